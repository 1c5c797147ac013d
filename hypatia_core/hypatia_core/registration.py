"""The backend's name in torch: `torch.compile(model, backend="hypatia")`.

It gets there in two ways. Importing the package registers it, and the entry point `torch_dynamo_backends` of
the distribution lets torch find it with no import. Both may happen in one process, in either order.
"""

import functools
from importlib.metadata import EntryPoint

import torch
import torch._dynamo
from torch._dynamo.backends import registry

from hypatia_core.backend import hypatia_backend
from hypatia_core.log import announce

NAME = "hypatia"


def register_backend() -> None:
    """Register the backend "hypatia" with torch; harmless when it is registered already.

    The first call in a process logs what the setup guide shows.

    Raises:
        RuntimeError: another backend goes by this name.

    Example:
        >>> import torch, hypatia_core
        >>> hypatia_core.register_backend()
        >>> "hypatia" in torch._dynamo.list_backends()
        True
    """
    registered = registry._COMPILER_FNS.get(NAME)
    if registered is None:
        # What an entry point names, torch registers itself at the first lookup, asserting that nobody has.
        if not isinstance(registry._BACKENDS.get(NAME), EntryPoint):
            torch._dynamo.register_backend(compiler_fn=hypatia_backend, name=NAME)
    elif registered is not hypatia_backend:
        raise RuntimeError(f"torch has another backend named {NAME!r}: {registered!r}")
    _announce_once()


@functools.cache
def _announce_once() -> None:
    # The names known so far: `list_backends()` would import Inductor to find the rest.
    known = sorted(registry._BACKENDS)
    announce("✅ Hypatia backend registered successfully")
    announce("   Usage: torch.compile(model, backend='%s')", NAME)
    announce("   ✓ Backend confirmed in: %s", known)
