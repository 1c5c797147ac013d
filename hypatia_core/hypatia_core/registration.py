"""The backend's name in torch: `torch.compile(model, backend="hypatia")`.

It gets there in two ways. Importing the package registers it, and the entry point `torch_dynamo_backends` of
the distribution lets torch find it with no import. Both may happen in one process, in either order.
"""

import functools

import torch
import torch._dynamo

from hypatia_core import compat
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
    registered = compat.registered_backend(NAME)
    if registered is None:
        # What an entry point names, torch registers itself at the first lookup, asserting that nobody has.
        if not compat.found_by_entry_point(NAME):
            torch._dynamo.register_backend(compiler_fn=hypatia_backend, name=NAME)
    elif registered is not hypatia_backend:
        raise RuntimeError(f"torch has another backend named {NAME!r}: {registered!r}")
    _announce_once()


@functools.cache
def _announce_once() -> None:
    announce("✅ Hypatia backend registered successfully")
    announce("   Usage: torch.compile(model, backend='%s')", NAME)
    announce("   ✓ Backend confirmed in: %s", compat.known_backends())
