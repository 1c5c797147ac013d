"""Runs a graph by any other registered Dynamo backend."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, Runnable


class DynamoBackend(Executor):
    """Another backend of `torch.compile`, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @staticmethod
    def names() -> list[str]:
        """What may be given as a name."""
        return sorted(set(compat.backend_names()) - {"hypatia"})

    def refusal(self, graph: GraphModule) -> str | None:
        """The backend itself finds out."""
        return None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """What the backend makes of a copy of the graph."""
        backend = compat.dynamo_backend(self.name)
        owned = GraphModule(graph, copy.deepcopy(graph.graph))
        inputs = [x.detach() if isinstance(x, torch.Tensor) else x for x in fake_inputs]
        with torch.no_grad(), compat.fresh_tracing_context(compat.fake_mode(inputs)):
            compiled = backend(owned, inputs)

        def call(arguments: list[Any]) -> Any:
            given = tuple(arguments)
            arguments.clear()
            return compiled(*given)

        return compat.boxed(call)
