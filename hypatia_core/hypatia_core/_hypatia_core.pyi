"""The native module: what `src/python/` registers."""

# --- the module and its log -----------------------------------------------------------------------------------

__version__: str

class HypatiaError(Exception): ...

def set_log_level(level: str) -> None: ...
