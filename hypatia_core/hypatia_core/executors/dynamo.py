"""Runs a graph by any other registered Dynamo backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, Runnable, compiled_apart


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
        return compiled_apart(compat.dynamo_backend(self.name), graph, fake_inputs)
