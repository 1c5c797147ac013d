"""The native module: what `src/python/` registers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.fx import GraphModule

from hypatia_core.fx_graph import OptimizedGraph

# --- the module and its log ------------------------------------------------------------------------------

__version__: str

class HypatiaError(Exception): ...

def set_log_level(level: str) -> None: ...

# --- the tensor optimizer --------------------------------------------------------------------------------

def optimize_graph(graph: str, settings: str) -> tuple[str | None, str]: ...
def compile_fx_graph(
    gm: GraphModule, example_inputs: Sequence[Any], module_info_map: Mapping[str, Any] | None = None
) -> OptimizedGraph: ...
