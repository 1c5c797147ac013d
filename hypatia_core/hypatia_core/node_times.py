"""How long each node of a graph takes, run op by op."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

#: Of a graph whose run takes so many seconds one tells as much as two: no node is started for the first time
#: for a part of it that counts.
LONG = 0.2


def node_seconds(graph: GraphModule, inputs: Sequence[Any], runs: int) -> dict[fx.Node, float]:
    """The least time of each node that computes something, in seconds.

    Args:
        graph: a functional ATen graph.
        inputs: what it takes.
        runs: how often it is run at most; a long one is run once.
    """
    timed = _Timed(graph)
    with torch.no_grad():
        for _ in range(runs):
            begun = time.perf_counter()
            timed.run(*inputs)
            if time.perf_counter() - begun > LONG:
                break
    return timed.least


class _Timed(fx.Interpreter):
    """Runs a graph and notes the least time of each node."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.least: dict[fx.Node, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        begun = time.perf_counter()
        result = super().run_node(n)
        spent = time.perf_counter() - begun
        if n.op == "call_function":
            self.least[n] = min(spent, self.least.get(n, spent))
        return result
