"""Verifying a large graph region by region, so that time and memory stay bounded.

A region is a part of the graph that was rewritten, with values that both programs have at its borders.
The original runs once, in its own precision; each region is then run on the values that it had there: as it
was, as it is now, and as it was in float64. Only one region is held in float64 at a time, and equal regions
(layers) are tried once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core.check import Reference, Verdict, judge
from hypatia_core.fx_import import Imported

#: Graphs of more nodes are verified region by region.
LARGE = 600


@dataclass(frozen=True)
class Region:
    """A rewritten part: the nodes at its borders, in the original and in the rewritten graph."""

    inputs: list[tuple[fx.Node, fx.Node]]
    outputs: list[tuple[fx.Node, fx.Node]]


def regions(
    found: list[dict[str, list[tuple[int, int]]]], imported: Imported, places: list[Any]
) -> list[Region] | None:
    """The regions that the engine named, as nodes; None where a border lies between nodes of the original.

    Args:
        found: pairs of positions in the original's and the result's wire.
        imported: the original.
        places: the node of each position of the result's wire.
    """
    named = []
    for region in found:
        # Constants have no node; both sides hold them.
        inputs = [(a, b) for a, b in region["inputs"] if isinstance(places[b], fx.Node)]
        pairs = [*inputs, *region["outputs"]]
        if not all(a in imported.nodes and isinstance(places[b], fx.Node) for a, b in pairs):
            return None
        nodes = [(imported.nodes[a], places[b]) for a, b in pairs]
        named.append(Region(nodes[: len(inputs)], nodes[len(inputs) :]))
    return named


def _part(graph: GraphModule, inputs: list[fx.Node], outputs: list[fx.Node]) -> tuple[GraphModule, list[int]]:
    """What lies between some nodes of a graph, and which of the graph's own inputs it takes besides."""
    needed: set[fx.Node] = set()
    work = list(outputs)
    while work:
        node = work.pop()
        if node not in needed and node not in inputs:
            needed.add(node)
            work.extend(node.all_input_nodes)
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    further = [i for i, node in enumerate(placeholders) if node in needed]
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in [*inputs, *(placeholders[i] for i in further)]:
        copies[node] = part.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node in graph.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = part.node_copy(node, lambda n: copies[n])
    part.output(tuple(copies[node] for node in outputs))
    return GraphModule(graph, part), further


class RegionByRegion(fx.Interpreter):
    """Runs the original once and tries each region as soon as the values at its borders are there."""

    def __init__(
        self, original: GraphModule, rewritten: GraphModule, parts: list[Region], exact: bool
    ) -> None:
        super().__init__(original)
        self._original = original
        self._rewritten = rewritten
        self._exact = exact
        self._waiting = list(parts)
        self._held: dict[fx.Node, Any] = {}
        self.verdicts: list[Verdict] = []

    def try_on(self, inputs: Sequence[Any]) -> Verdict:
        """The worst verdict over all regions, or that nothing differs."""
        self._inputs = list(inputs)
        with torch.no_grad():
            self.run(*inputs)
        refused = [verdict for verdict in self.verdicts if not verdict.accepted]
        if refused:
            return refused[0]
        worst = max((v.error for v in self.verdicts), default=0.0)
        return Verdict(True, "", worst, max((v.original_error for v in self.verdicts), default=0.0))

    def run_node(self, n: fx.Node) -> Any:
        """The node, and whatever region it completes."""
        result = super().run_node(n)
        if any(n is node for region in self._waiting for node, _ in [*region.inputs, *region.outputs]):
            self._held[n] = result
            for region in [
                r for r in self._waiting if all(a in self._held for a, _ in [*r.inputs, *r.outputs])
            ]:
                self._waiting.remove(region)
                self.verdicts.append(self._try(region))
            kept = {a for region in self._waiting for a, _ in [*region.inputs, *region.outputs]}
            self._held = {node: value for node, value in self._held.items() if node in kept}
        return result

    def _try(self, region: Region) -> Verdict:
        before, needs = _part(self._original, [a for a, _ in region.inputs], [a for a, _ in region.outputs])
        after, needs_after = _part(
            self._rewritten, [b for _, b in region.inputs], [b for _, b in region.outputs]
        )
        values = [self._held[a] for a, _ in region.inputs]
        reference = Reference(before).run_on([*values, *(self._inputs[i] for i in needs)])
        ours = after(*values, *(self._inputs[i] for i in needs_after))
        return judge(ours, tuple(self._held[a] for a, _ in region.outputs), reference, self._exact)
