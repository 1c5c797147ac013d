"""Which implementation runs each operation: the fastest as measured, where it gains enough."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.implementations import FINDERS, TABLE, Implementation, Unit
from hypatia_core.implementations.base import Emitter
from hypatia_core.timing import Timings
from hypatia_core.weights import dependent_on

#: Another implementation must gain this part of torch's own time, …
LEAST_GAIN = 0.05
#: … and this many seconds: about what one more call from Python costs.
LEAST_SECONDS = 10e-6


def lower(
    graph: GraphModule, weights: Iterable[int], timings: Timings
) -> tuple[GraphModule, dict[str, int]] | None:
    """The graph with operations run by faster implementations, and how many by which; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        weights: positions of its inputs that are parameters or buffers.
        timings: what is known of this machine.
    """
    lowered = GraphModule(graph, copy.deepcopy(graph.graph))
    constant, _, _ = dependent_on(lowered, weights)
    values = [node.meta.get("val") for node in lowered.graph.nodes if node.op == "placeholder"]
    mode = compat.fake_mode([value for value in values if value is not None])
    chosen: Counter[str] = Counter()
    for node in list(lowered.graph.nodes):
        unit = next((found for find in FINDERS if (found := find(node, constant)) is not None), None)
        if unit is None:
            continue
        row = _fastest(unit, timings)
        if row is None:
            continue
        with lowered.graph.inserting_before(node):
            node.replace_all_uses_with(row.write(Emitter(lowered.graph, mode), unit))
        lowered.graph.erase_node(node)
        chosen[f"{unit.operation}: {row.name}"] += 1
    if not chosen:
        return None
    lowered.graph.lint()
    lowered.recompile()
    return lowered, dict(chosen)


def _fastest(unit: Unit, timings: Timings) -> Implementation | None:
    own, *others = [row for row in TABLE if row.operation == unit.operation and row.takes(unit)]
    if not others:
        return None
    seconds = timings.of(unit, [own, *others])
    best = min(others, key=lambda row: seconds[row.name])
    gain = seconds[own.name] - seconds[best.name]
    return best if gain > max(LEAST_SECONDS, LEAST_GAIN * seconds[own.name]) else None
