"""Runs a graph op by op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.executors.bindings import bind, join
from hypatia_core.executors.reuse import reuse


class Aten(Executor):
    """Flat Python over ATen, each value freed or written over at its last use. Needs no compiler."""

    name = "aten"
    packs = True

    def refusal(self, graph: GraphModule) -> str | None:
        """It runs everything."""
        return None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """The graph's own code, as one function."""
        return compat.boxed_forward(graph, flatten)


def flatten(graph: fx.Graph) -> None:
    """Makes of a graph what this executor runs: results over operands, fewer calls, direct bindings."""
    reuse(graph)
    join(graph)
    bind(graph)
