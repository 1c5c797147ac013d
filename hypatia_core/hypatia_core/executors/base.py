"""What an executor is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch.fx import GraphModule

#: Runs a graph on a list of inputs, which it may empty.
Runnable = Callable[[list[Any]], Any]


class Executor(ABC):
    """A named way to run a functional ATen graph."""

    #: By which the option `executor` and the report call it.
    name: str

    @abstractmethod
    def refusal(self, graph: GraphModule) -> str | None:
        """Why it cannot run this graph here; None where it can."""

    @abstractmethod
    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Makes the graph runnable. The graph stays as it is; the inputs are fake."""
