"""A function of tensors, read as the engine's graph: for what is asked of single operations and rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from hypatia_core.fx_import import Imported, Reader


def traced(function: Callable[..., Any], examples: Sequence[torch.Tensor]) -> Imported:
    """The engine's graph of a function, on tensors of the examples' shapes and element types.

    Raises:
        Unsupported: the function holds something that the engine cannot read; the message says what.
    """
    with torch.no_grad():
        apart = [torch.empty_like(x) for x in examples]  # one tensor twice would be one input
        graph = make_fx(lambda *tensors: function(*tensors), tracing_mode="fake")(*apart)
    return Reader().read(graph.graph)
