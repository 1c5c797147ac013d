"""Which nodes of a graph run together as one program, and in which order all of it runs.

Nodes that programs know and nodes that they do not take turns in *phases*; each node is in the earliest phase
that its operands allow, so that there are as few turns as there can be. What only names memory, or is one
number, belongs to no phase: whoever reads it has it for himself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import fx

from hypatia_core.native.aliases import root_of
from hypatia_core.native.kernels import KERNELS
from hypatia_core.native.lowering import Lowering
from hypatia_core.native.table import is_alias, is_constant, is_known, write
from hypatia_core.native.written import UnlowerableError, Written

#: A program of less is not worth its call: an operation counts one, a kernel of ours two.
LEAST_WORTH = 2


@dataclass
class Segment:
    """Nodes that run as one program, and those of their values that others read."""

    nodes: list[fx.Node] = field(default_factory=list)
    exports: dict[fx.Node, None] = field(default_factory=dict)

    @property
    def worth(self) -> int:
        """How much it saves, in operations of torch."""
        if not self.exports:
            return 0
        own = (n for n in self.nodes if not n.name.startswith("getitem"))
        return sum(2 if _is_ours(node) else 1 for node in own)


@dataclass
class Phases:
    """A graph in the order of its execution: nodes that run as they are, and segments."""

    parts: list[list[fx.Node] | Segment]

    @property
    def segments(self) -> list[Segment]:
        """Those of the parts that are programs."""
        return [part for part in self.parts if isinstance(part, Segment)]

    def outside(self) -> Counter[str]:
        """Operations that no program runs, by name."""
        nodes = (node for part in self.parts if isinstance(part, list) for node in part)
        targets = (node.target for node in nodes if node.op == "call_function")
        return Counter(t.overloadpacket.__name__ for t in targets if isinstance(t, torch._ops.OpOverload))


#: Where a graph, which nobody changes any more, has what was found of it: asked for several times.
_FOUND = "_hypatia_phases"


def divided(graph: fx.Graph) -> Phases:
    """A graph's phases, its segments worth their calls."""
    found: Phases | None = getattr(graph, _FOUND, None)
    if found is None:
        found = _worthy(graph, set())
        setattr(graph, _FOUND, found)
    return found


def _worthy(graph: fx.Graph, outside: set[fx.Node]) -> Phases:
    """Phases of which those nodes stay outside, and those whose segment would not be worth its call."""
    while True:
        found = _phases(graph, outside)
        poor = [segment for segment in found.segments if segment.worth < LEAST_WORTH]
        if not poor:
            return found
        outside.update(node for segment in poor for node in segment.nodes)


def phases(graph: fx.Graph) -> tuple[Phases, list[Written]]:
    """A graph's phases, and the program of each of its segments."""
    found, outside = divided(graph), set[fx.Node]()
    while True:
        try:
            programs = [written(segment) for segment in found.segments]
        except UnlowerableError as error:
            outside.add(error.node)
            found = _worthy(graph, outside)
            setattr(graph, _FOUND, found)
        else:
            return found, programs


def written(segment: Segment) -> Written:
    """A segment's program."""
    low = Lowering(list(segment.exports))
    done: set[fx.Node] = set()

    def add(node: fx.Node) -> None:
        """A node after what it reads that belongs to no phase."""
        work = [(node, False)]
        while work:
            here, ready = work.pop()
            if ready:
                write(low, here)
            elif here not in done and (is_free(here) or here is node):
                done.add(here)
                work.append((here, True))
                work.extend((operand, False) for operand in here.all_input_nodes)

    for node in segment.nodes:
        add(node)
    for node in segment.exports:
        add(node)
    return low.written()


def is_free(node: fx.Node) -> bool:
    """Whether a node belongs to no phase."""
    return is_alias(node) or is_constant(node)


def base_of(node: fx.Node) -> fx.Node:
    """The node whose memory a node names."""
    while is_alias(node):
        node = node.all_input_nodes[0]
    return node


def _is_ours(node: fx.Node) -> bool:
    return node.target in KERNELS and getattr(node.target, "namespace", "") == "hypatia"


def _is_ordered(node: fx.Node) -> bool:
    """Whether a node keeps its place among its like."""
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and (
        torch.Tag.nondeterministic_seeded in target.tags
        or target.namespace not in ("aten", "prims", "hypatia")
    )


def _phases(graph: fx.Graph, outside: set[fx.Node]) -> Phases:
    level: dict[fx.Node, int] = {}
    free: set[fx.Node] = set()
    known: set[fx.Node] = set()
    last_ordered = 0
    for node in graph.nodes:
        if node.op == "output":
            continue
        reads = max((level[x] for x in node.all_input_nodes), default=0)
        if is_free(node) and node not in outside:
            free.add(node)
            level[node] = reads
        elif node.op in ("placeholder", "get_attr"):
            level[node] = 0
        elif node not in outside and is_known(node) and not _source_is(node, outside):
            known.add(node)
            level[node] = reads + 1 - reads % 2
        else:
            level[node] = reads + reads % 2
            if _is_ordered(node):
                level[node] = last_ordered = max(level[node], last_ordered)
    _sink(graph, level, known, free)
    parts: dict[int, list[fx.Node] | Segment] = {}
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr", "output") or node in free:
            continue
        if node in known:
            segment = parts.setdefault(level[node], Segment())
            assert isinstance(segment, Segment)
            segment.nodes.append(node)
        else:
            plain = parts.setdefault(level[node], [])
            assert isinstance(plain, list)
            plain.append(node)
    _export(graph, parts, level, known, free)
    return Phases([parts[i] for i in sorted(parts)])


def _source_is(node: fx.Node, outside: set[fx.Node]) -> bool:
    """Whether a node takes a result out of one that stays outside."""
    return not isinstance(node.target, torch._ops.OpOverload) and any(
        x in outside for x in node.all_input_nodes
    )


def _sink(graph: fx.Graph, level: dict[fx.Node, int], known: set[fx.Node], free: set[fx.Node]) -> None:
    """What depends on inputs alone is computed in the first segment that needs it, not in the very first."""
    early = {
        node
        for node in known
        if all(base_of(x) not in known and level[base_of(x)] == 0 for x in node.all_input_nodes)
    }
    for node in reversed(list(graph.nodes)):
        if node not in early:
            continue
        users = list(_readers(node, free))
        if users and all(user in known for user in users):
            level[node] = min(level[user] for user in users)


def _readers(node: fx.Node, free: set[fx.Node]) -> Iterable[fx.Node]:
    for user in node.users:
        if user in free:
            yield from _readers(user, free)
        else:
            yield user


def _export(
    graph: fx.Graph,
    parts: dict[int, list[fx.Node] | Segment],
    level: dict[fx.Node, int],
    known: set[fx.Node],
    free: set[fx.Node],
) -> None:
    """Finds what others read of each segment."""
    whole: set[fx.Node] = set()
    named: dict[fx.Node, dict[fx.Node, None]] = {}
    for node in graph.nodes:
        if node in free or node.op in ("placeholder", "get_attr"):
            continue
        for x in node.all_input_nodes:
            base = base_of(x)
            if base not in known:
                continue
            if node in known:
                if level[base] != level[node]:
                    whole.add(base)
            elif x is base:
                whole.add(base)
            else:
                named.setdefault(base, {})[x] = None
    for node in graph.nodes:
        if node not in known or (node not in whole and node not in named):
            continue
        names = list(named.get(node, ()))
        alone = node not in whole and len(names) == 1 and root_of(names[0]) is root_of(node)
        segment = parts[level[node]]
        assert isinstance(segment, Segment)
        segment.exports[names[0] if alone else node] = None
