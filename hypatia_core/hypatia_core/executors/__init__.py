"""Ways to run an optimised graph: each has a name, a claim and a compile method; adding one adds a file."""

from __future__ import annotations

import difflib

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.aten import Aten
from hypatia_core.executors.base import Executor, HoldingExecutor
from hypatia_core.executors.dynamo import DynamoBackend
from hypatia_core.executors.inductor import Inductor
from hypatia_core.executors.native import Native
from hypatia_core.executors.onednn import OneDnnGraph

__all__ = ["Executor", "HoldingExecutor", "named"]

_BUILT_IN: tuple[Executor, ...] = (Aten(), Inductor(), Native(), OneDnnGraph())


def named(name: str, *, exact: bool = False) -> list[Executor]:
    """The executors that an option's value stands for, the preferred one first.

    Args:
        name: "auto", a built-in executor's name, or the name of a registered Dynamo backend.
        exact: whether "auto" means only what computes bit by bit as eager does.

    Raises:
        HypatiaError: nothing goes by this name; the message lists what does.
    """
    if name == "auto":
        return [Aten()] if exact else [Inductor(), Native(), Aten(), OneDnnGraph()]
    for executor in _BUILT_IN:
        if executor.name == name:
            return [executor]
    if name == "hypatia":
        raise HypatiaError("option 'executor' is 'hypatia', which would run itself")
    known = DynamoBackend.names()
    if name in known:
        return [DynamoBackend(name)]
    choices = ["auto", *(e.name for e in _BUILT_IN), *known]
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise HypatiaError(f"option 'executor' is {name!r}{hint}; accepted: {', '.join(choices)}")
