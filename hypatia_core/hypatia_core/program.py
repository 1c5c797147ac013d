"""A graph as plain data that a person can be shown: what each node is, where it comes from, what it costs."""

from __future__ import annotations

import functools
import json
import linecache
import math
import operator
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import fx

from hypatia_core.ops import DTYPES

aten = torch.ops.aten


@dataclass
class Node:
    """One node of a graph."""

    #: Its name in the graph; of an input or a weight, what the model calls it.
    name: str
    #: "input", "weight", "output", or the operation, e.g. "addmm".
    op: str
    #: Positions of the nodes that it reads, earlier in the list.
    inputs: list[int] = field(default_factory=list)
    #: Its other arguments, as text.
    arguments: str = ""
    #: Element type and shape, e.g. "f32[48, 384]"; of several results, each.
    type: str = ""
    #: The module that it was traced in, e.g. "encoder.layer.0.attention".
    module: str | None = None
    #: The user's line that it comes from: "file:line", and its text.
    source: str | None = None
    code: str | None = None
    #: Estimated seconds; None where the cost model knows nothing of the operation.
    predicted: float | None = None
    #: Measured seconds, with the option `profile`.
    measured: float | None = None
    #: Floating operations of a product, an estimate elsewhere; bytes read and written.
    flops: int = 0
    bytes: int = 0
    #: "kept" (in both programs), "removed" (in the original only) or "new" (in the result only).
    fate: str = "kept"


@dataclass
class Program:
    """A whole graph, in the order of its execution."""

    nodes: list[Node] = field(default_factory=list)
    #: Bytes of values and inputs at the moment that needs most, weights apart, and bytes of the weights.
    peak_bytes: int = 0
    weight_bytes: int = 0
    #: Repeated parts, such as layers: each begins at `start` and is `count` times `period` nodes long.
    folds: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Costs:
    """What the engine says of a program's nodes, by FX node."""

    seconds: Mapping[fx.Node, float]
    #: Nodes that the other program has too.
    kept: frozenset[fx.Node] | None = None
    #: Where a node without a source takes its own from.
    sources: Mapping[fx.Node, fx.Node] = field(default_factory=dict)


def describe(
    graph: fx.Graph, names: Mapping[str, str], weights: frozenset[int], costs: Costs, other: str
) -> tuple[Program, dict[fx.Node, int]]:
    """A graph as data, and the position of each node in it.

    Args:
        graph: a functional ATen graph with fake values.
        names: what the model calls an input, by placeholder name.
        weights: which inputs are parameters or buffers.
        costs: what the engine says.
        other: the fate of a node that is not kept.
    """
    program, places = Program(), dict[fx.Node, int]()
    sizes = {node: _bytes(node.meta.get("val")) for node in graph.nodes}
    inputs = 0
    for node in graph.nodes:
        read = [places[n] for n in node.all_input_nodes]
        origin = costs.sources.get(node, node)
        described = Node(node.name, _operation(node), read, _arguments(node), _type(node.meta.get("val")))
        if node.op == "placeholder":
            described.op = "weight" if inputs in weights else "input"
            described.name = names.get(node.name, node.name)
            inputs += 1
        described.module = module_of(origin)
        described.source, described.code = source_of(origin)
        described.predicted = costs.seconds.get(node)
        if node.op == "call_function":
            described.flops, described.bytes = _work(node, sizes)
            if costs.kept is not None and node not in costs.kept:
                described.fate = other
        places[node] = len(program.nodes)
        program.nodes.append(described)
    program.peak_bytes, program.weight_bytes = _memory(graph, places, program, sizes)
    program.folds = folds([_signature(node) for node in program.nodes])
    return program, places


def _operation(node: fx.Node) -> str:
    if node.op != "call_function":
        return "constant" if node.op == "get_attr" else node.op
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = target.overloadpacket.__name__
        return name if target.namespace == "aten" else f"{target.namespace}.{name}"
    return "item" if target is operator.getitem else str(getattr(target, "__name__", target))


def _arguments(node: fx.Node) -> str:
    if node.op != "call_function":
        return ""

    def show(value: Any) -> str:
        if isinstance(value, fx.Node):
            return "·"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(show, value))}]"
        return DTYPES.get(value, str(value)) if isinstance(value, torch.dtype) else str(value)

    shown = [show(a) for a in node.args] + [f"{k}={show(v)}" for k, v in node.kwargs.items()]
    return "" if all(text == "·" for text in shown) else ", ".join(shown)


def _type(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        dtype = DTYPES.get(value.dtype, str(value.dtype).removeprefix("torch."))
        return f"{dtype}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(_type, value)))
    return "" if value is None else type(value).__name__


def module_of(node: fx.Node) -> str | None:
    """The path of the module that a node was traced in; None at the top."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return None
    path = str(next(reversed(stack.values()))[0])
    return _within_the_model(path)


@functools.lru_cache(maxsize=4096)
def _within_the_model(path: str) -> str | None:
    return re.sub(r"^L\['\w+'\]\.?|^L__\w+?___", "", path) or None


#: A frame of a stack trace as FX keeps it.
_FRAME = re.compile(r'File "(.+?)", line (\d+), in ')


def source_of(node: fx.Node) -> tuple[str | None, str | None]:
    """The line of the user's program that a node comes from, "file:line" and its text."""
    return _innermost_of_the_user(node.meta.get("stack_trace") or "")


@functools.lru_cache(maxsize=4096)
def _innermost_of_the_user(trace: str) -> tuple[str | None, str | None]:
    """Neighbouring nodes share their traces, which are long."""
    frames = _FRAME.findall(trace)
    if not frames:
        return None, None
    path, line = next((f for f in reversed(frames) if "/torch/" not in f[0]), frames[-1])
    text = linecache.getline(path, int(line)).strip()
    shown = Path(path)
    return f"{'/'.join(shown.parts[-2:])}:{line}", text or None


def _numel(value: Any) -> int:
    shape = value.shape
    return math.prod([size if type(size) is int else int(size.node.hint or 1) for size in shape])


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in _tensors(v)] if isinstance(value, (list, tuple)) else []


def _bytes(value: Any) -> int:
    return sum(_numel(t) * t.element_size() for t in _tensors(value))


#: Products, with the position of the left factor: its last extent is what is summed over.
_PRODUCTS: dict[Any, int] = {
    aten.mm.default: 0,
    aten.bmm.default: 0,
    aten.mv.default: 0,
    aten.dot.default: 0,
    aten.addmm.default: 1,
    aten.baddbmm.default: 1,
    aten.linear.default: 0,
}


def _is_view(node: fx.Node) -> bool:
    return _gives_views(node.target)


@functools.lru_cache(maxsize=4096)
def _gives_views(target: Any) -> bool:
    if target is operator.getitem:
        return True
    return isinstance(target, torch._ops.OpOverload) and any(
        r.alias_info is not None and not r.alias_info.is_write for r in target._schema.returns
    )


def _work(node: fx.Node, sizes: Mapping[fx.Node, int]) -> tuple[int, int]:
    """Floating operations, by the operands' shapes, and bytes that have to move; `sizes` are of values."""
    if _is_view(node):
        return 0, 0
    value = node.meta.get("val")
    moved = sizes[node] + sum([sizes[n] for n in node.all_input_nodes])
    results = sum(map(_numel, _tensors(value)))
    position = _PRODUCTS.get(node.target)
    if position is not None and isinstance(node.args[position], fx.Node):
        left = node.args[position].meta.get("val")  # type: ignore[union-attr]
        inner = left.shape[-1] if isinstance(left, torch.Tensor) and left.dim() else 1
        inner = int(inner.node.hint or 1) if isinstance(inner, torch.SymInt) else int(inner)
        return 2 * results * inner, moved
    if node.target is aten.convolution.default:
        weight = node.args[1].meta["val"]  # type: ignore[union-attr]
        return 2 * results * math.prod(int(s) for s in weight.shape[1:]), moved
    attention = "scaled_dot_product" in str(node.target)
    if attention:
        q, k = (a.meta["val"] for a in node.args[:2])  # type: ignore[union-attr]
        return 4 * _numel(q) * int(k.shape[-2]), moved
    return results, moved


def _memory(
    graph: fx.Graph, places: Mapping[fx.Node, int], program: Program, sizes: Mapping[fx.Node, int]
) -> tuple[int, int]:
    """The largest sum of values alive at one time, and the weights' bytes."""
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for read in node.all_input_nodes:
            last[read] = node
    alive = peak = weights = 0
    owners: dict[fx.Node, fx.Node] = {}
    users: dict[fx.Node, int] = {}
    for node in graph.nodes:
        size = sizes[node]
        if node.op == "placeholder" and program.nodes[places[node]].op == "weight":
            weights += size
            continue
        viewed = node.all_input_nodes[0] if _is_view(node) and node.all_input_nodes else None
        owner = owners.get(viewed, node) if viewed is not None else node
        owners[node] = owner
        users[owner] = users.get(owner, 0) + 1
        if owner is node and node.op != "output":
            alive += size
        peak = max(peak, alive)
        for read in node.all_input_nodes:
            if last[read] is node and read in owners:
                users[owners[read]] -= 1
                if users[owners[read]] == 0:
                    alive -= sizes[owners[read]]
    return peak, weights


def _signature(node: Node) -> str:
    """What two nodes have in common that stand at the same place of two equal layers."""
    return f"{node.op} {node.type} {node.arguments}" if node.op not in ("input", "weight") else ""


#: A part is folded if it has at least so many nodes; so many lengths are tried.
LEAST_PERIOD = 6
PERIODS_TRIED = 8


def folds(signatures: Sequence[str]) -> list[dict[str, int]]:
    """Runs of equal parts: see `Program.folds`. Inputs and weights, whose signature is empty, belong to none.

    >>> folds(["", *"abcdef" * 3, "g"])
    [{'start': 1, 'period': 6, 'count': 3}]
    """
    first = next((i for i, s in enumerate(signatures) if s), len(signatures))
    work = list(signatures[first:])
    found: list[dict[str, int]] = []
    _fold(work, 0, len(work), first, found)
    return sorted(found, key=lambda fold: fold["start"])


def _periods(work: Sequence[str], begin: int, end: int) -> list[int]:
    """How far apart equal signatures stand, the most frequent distances first."""
    last: dict[str, int] = {}
    votes: Counter[int] = Counter()
    for i in range(begin, end):
        if work[i] in last:
            votes[i - last[work[i]]] += 1
        last[work[i]] = i
    distances = [(count, period) for period, count in votes.items() if period >= LEAST_PERIOD]
    return [period for _, period in sorted(distances, reverse=True)[:PERIODS_TRIED]]


def _fold(work: Sequence[str], begin: int, end: int, offset: int, found: list[dict[str, int]]) -> None:
    best = (0, 0, 0)  # nodes saved, start, period
    for period in _periods(work, begin, end):
        run = 0
        for i in range(begin, end - period):
            run = run + 1 if work[i] == work[i + period] else 0
            saved = run // period * period
            if saved > best[0]:
                best = (saved, i - run + 1, period)
    saved, start, period = best
    if not saved:
        return
    count = saved // period + 1
    found.append({"start": start + offset, "period": period, "count": count})
    _fold(work, begin, start, offset, found)
    _fold(work, start + count * period, end, offset, found)


@dataclass(frozen=True)
class Correspondence:
    """Which computations two wires share: equal operations over operands of equal value."""

    #: Of a position of the result, one of the original's of equal value, as far as that is known.
    values: dict[int, int]
    #: Positions of the original, and of the result, that the other has too.
    kept_before: frozenset[int]
    kept_after: frozenset[int]


def correspondence(
    before: Mapping[str, Any], after: Mapping[str, Any], equal: Iterable[tuple[int, int]]
) -> Correspondence:
    """Compares two wires.

    Args:
        before, after: the engine's graphs.
        equal: positions of the original and of the result that are known to have one value.
    """
    keys: dict[str, int] = {}
    known: dict[int, int] = {}
    joined: dict[int, int] = {}
    for a, b in equal:
        first_equal = known.setdefault(b, a)
        if first_equal != a:  # two of the original's own values are equal
            joined[max(a, first_equal)] = min(a, first_equal)

    def computations(
        wire: Mapping[str, Any], identities: list[int], known: Mapping[int, int], values: list[int]
    ) -> list[int]:
        """The key of each node's computation; fills in the identity of its value.

        A position in `known` has the value that the position which it names has among `values`.
        """
        own: list[int] = []
        for place, node in enumerate(wire["nodes"]):
            operands = [identities[o] for o in node.get("operands", [])]
            if node["op"] in ("add", "mul"):
                operands.sort()
            attributes = [
                float(a["float"]) if "float" in a else a for a in node.get("attributes", [])
            ]  # Rust writes 1e-5 where Python writes 1e-05
            text = json.dumps([node["op"], operands, attributes])
            own.append(keys.setdefault(text, len(keys)))
            same = known.get(place)
            identities.append(own[-1] if same is None else values[same])
        return own

    values_before: list[int] = []
    ours = computations(before, values_before, joined, values_before)
    values_after: list[int] = []
    theirs = computations(after, values_after, known, values_before)
    before_keys, after_keys = set(ours), set(theirs)
    first: dict[int, int] = {}
    for place, identity in enumerate(values_before):
        first.setdefault(identity, place)
    return Correspondence(
        {place: first[identity] for place, identity in enumerate(values_after) if identity in first},
        frozenset(p for p, key in enumerate(ours) if key in after_keys),
        frozenset(p for p, key in enumerate(theirs) if key in before_keys),
    )
