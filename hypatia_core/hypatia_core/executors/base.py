"""What an executor is."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat

#: Runs a graph on a list of inputs, which it may empty.
Runnable = Callable[[list[Any]], Any]


class Executor(ABC):
    """A named way to run a functional ATen graph."""

    #: By which the option `executor` and the report call it.
    name: str
    #: Whether it generates code and fuses, which takes seconds to make: not every graph is worth them.
    generates = False
    #: Whether it runs kernels over packed weights itself, so that these need not be out of its sight.
    packs = False

    #: Whether it gains by our own kernels even where another one is a little faster by itself.
    prefers_own = False

    def claims(self, graph: GraphModule) -> bool:
        """Whether it is worth a try where several executors are; all graphs unless one says otherwise."""
        return True

    @abstractmethod
    def refusal(self, graph: GraphModule) -> str | None:
        """Why it cannot run this graph here; None where it can."""

    @abstractmethod
    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Makes the graph runnable. The graph stays as it is; the inputs are fake."""

    def account(self, graph: GraphModule) -> str | None:
        """What the report says of how it runs a graph; None for nothing."""
        return None

    def over_folded(
        self, graph: GraphModule, fake_inputs: Sequence[Any], given: int
    ) -> Callable[[list[Any]], Runnable] | None:
        """What makes of values of all inputs from `given` on a function of those before; None for nothing.

        It is asked of executors that pack: where a call gains by knowing what does not change between calls.
        """
        return None

    def later(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Callable[[], Runnable]:
        """What `compile` does, to be done at the first call, if at all."""
        return lambda: self.compile(graph, fake_inputs)


class HoldingExecutor(Executor):
    """An executor that holds weights as constants, and is asked again when they have changed."""

    @abstractmethod
    def over(self, graph: GraphModule, fake_inputs: Sequence[Any], constants: Sequence[Any]) -> Runnable:
        """Makes a graph runnable whose last inputs are constants. The graph stays as it is."""


def compiled_apart(
    compiler: Callable[[GraphModule, list[Any]], Callable[..., Any]],
    graph: GraphModule,
    fake_inputs: Sequence[Any],
) -> Runnable:
    """What another compiler makes of a copy of the graph, its tracing kept apart from the one under way."""
    owned = GraphModule(graph, copy.deepcopy(graph.graph))
    inputs = [x.detach() if isinstance(x, torch.Tensor) else x for x in fake_inputs]
    with torch.no_grad(), compat.fresh_tracing_context(compat.fake_mode(inputs)):
        compiled = compiler(owned, inputs)

    def call(arguments: list[Any]) -> Any:
        given = tuple(arguments)
        arguments.clear()
        return compiled(*given)

    return compat.boxed(call)
