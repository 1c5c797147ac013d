"""Small constant tensors that code captures: their values as facts for the search, and what guards them.

A multiplication table that a module keeps as a buffer, or code as a global, reaches the graph as an input.
The search may read its values; the program that rests on them runs only while they hold, asked at each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Runnable

#: Tensors of more elements are not looked into.
LARGEST = 2**15
#: The element types that the engine knows literals of.
READABLE = (torch.float32, torch.float64)


def is_readable(value: Any) -> bool:
    """Whether a tensor is a small plain one on the processor, of finite floats."""
    return (
        type(value) in (torch.Tensor, torch.nn.Buffer)
        and value.layout is torch.strided
        and value.dtype in READABLE
        and value.device.type == "cpu"
        and not value.requires_grad
        and 0 < value.numel() <= LARGEST
        and bool(torch.isfinite(value).all())
    )


def is_table(value: torch.Tensor) -> bool:
    """Whether it looks like a table that is not trained: three axes, small whole numbers, mostly zero.

    A wrong guess costs time alone: what rests on it is guarded.
    """
    if value.dim() < 3:
        return False
    few = 2 * int(torch.count_nonzero(value)) <= value.numel()
    return few and bool((value == value.round()).all()) and bool((value.abs() <= 16).all())


@dataclass(frozen=True)
class Tables:
    """The tables among a Dynamo graph's inputs that its code captures, not those that its caller gives."""

    #: Copies, by position.
    values: dict[int, torch.Tensor]
    #: How many inputs there are.
    inputs: int

    @classmethod
    def captured(cls, gm: GraphModule, inputs: Sequence[Any]) -> Tables:
        """The tables of a graph and its real inputs."""
        captured = compat.captured_inputs(gm)
        values = {
            position: value.detach().clone()
            for position, value in enumerate(inputs)
            if position in captured and is_readable(value) and is_table(value)
        }
        return cls(values, len(inputs))

    def among(self, graph: fx.Graph) -> dict[int, torch.Tensor]:
        """Those at the same place of AOTAutograd's graph, by count and types; a guard tells the rest."""
        places = [node.meta.get("val") for node in graph.nodes if node.op == "placeholder"]
        if len(places) != self.inputs:
            return {}
        return {
            position: value
            for position, value in self.values.items()
            if isinstance(places[position], torch.Tensor)
            and (places[position].shape, places[position].dtype, places[position].device)
            == (value.shape, value.dtype, value.device)
        }


def while_they_hold(run: Runnable, otherwise: Runnable, assumed: Mapping[int, torch.Tensor]) -> Runnable:
    """Runs one program where inputs have these values, the other elsewhere."""
    facts = list(assumed.items())

    def call(inputs: list[Any]) -> Any:
        if all(torch.equal(inputs[position], value) for position, value in facts):
            return run(inputs)
        return otherwise(inputs)

    return compat.boxed(call)
