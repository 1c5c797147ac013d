"""Which implementation runs each operation: the fastest as measured, where it gains enough."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.implementations import (
    FINDERS,
    RECURRENT_LAYER,
    TABLE,
    Implementation,
    Unit,
    products_of_rows,
    recurrent_layers,
)
from hypatia_core.implementations.base import Emitter
from hypatia_core.sizes import Unsupported
from hypatia_core.timing import Timings
from hypatia_core.weights import dependent_on
from hypatia_core.written_graph import WrittenGraph

#: Another implementation must gain this part of torch's own time, …
LEAST_GAIN = 0.03
#: … and this many seconds: about what it costs to see on each call that a weight is as it was.
LEAST_SECONDS = 2e-6
#: Where a program of our own kernels is to be, ours may be slower by this part, …
OWN_LOSS = 0.05
#: … and by so many seconds: about what it costs that another kernel divides a program in two.
OWN_CALL = 1e-5
#: Bytes a second at which a tensor is laid out anew: a price for comparing plans, a guess.
COPY_SPEED = 5e9

aten = torch.ops.aten

#: Operations whose meaning hangs on how their operand lies in memory.
_LAYOUT_READERS = frozenset(
    overload
    for packet in (aten.view, aten._unsafe_view, aten.as_strided, aten._reshape_alias, aten.view_as_complex)
    for overload in (getattr(packet, name) for name in packet.overloads())
)


@dataclass(frozen=True)
class Lowered:
    """A graph with operations run by the implementations that measured fastest."""

    graph: GraphModule
    #: How many by which.
    implementations: dict[str, int]
    #: Seconds of all convolutions with what is fused to them, each by its fastest implementation.
    convolutions: float


def lower(
    graph: GraphModule,
    weights: Iterable[int],
    timings: Timings,
    precision: str = "float32",
    own: bool = False,
    reals: bool = False,
) -> Lowered | None:
    """The graph with operations run by faster implementations; None where there is none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        weights: positions of its inputs that are parameters or buffers.
        timings: what is known of this machine.
        precision: "bfloat16" admits implementations that compute in it.
        own: whether kernels that are steps of programs are taken where they are nearly the fastest.
        reals: admits implementations that are the same of the reals alone.

    Raises:
        Unsupported: an operation cannot be given the memory layout that it had; the message says which.
    """
    weights = list(weights)
    constant = dependent_on(graph, weights)[0]
    layers, recurrent = recurrent_layers(graph, constant), 0
    if layers is not None:
        graph, recurrent = layers
        constant = dependent_on(graph, weights)[0]
    by_rows = products_of_rows(graph, constant)
    if by_rows is not None:
        graph = by_rows
        constant = dependent_on(graph, weights)[0]
    units: dict[fx.Node, Unit] = {}
    taken: set[fx.Node] = set()
    for node in graph.graph.nodes:
        unit = next((found for find in FINDERS if (found := find(node, constant, taken)) is not None), None)
        if unit is not None:
            units[unit.node] = unit
            taken.update(unit.covered)
    if not units and not recurrent:
        return None
    precisions = {"float32", precision}
    lowered = _planned(_Lowering(graph, units, taken, timings, precisions, own=own, reals=reals))
    if recurrent:
        lowered.chosen[RECURRENT_LAYER] = recurrent
    if not lowered.chosen:
        return None
    return Lowered(compat.graph_module(graph, lowered.graph), dict(lowered.chosen), lowered.convolutions)


def _planned(greedy: _Lowering) -> _Lowering:
    """The cheaper of two plans: each operation by what is fastest where it stands, or all channels last.

    The first one may stay in a layout that costs each operation more than leaving it would once.
    """
    greedy.run()
    if not greedy.stayed:
        return greedy
    bold = replace(greedy, graph=WrittenGraph(), chosen=Counter(), enter=True, seconds=0.0, convolutions=0.0)
    try:
        bold.run()
    except Unsupported:
        return greedy
    return bold if bold.seconds < (1 - LEAST_GAIN) * greedy.seconds else greedy


@dataclass
class _Lowering:
    """Writes a graph anew, from its first node to its last, each with the layout that its value has now."""

    original: GraphModule
    #: By the node whose value it makes; and every node that one covers.
    units: dict[fx.Node, Unit]
    covered: set[fx.Node]
    timings: Timings
    precisions: set[str]
    graph: fx.Graph = field(default_factory=WrittenGraph)
    chosen: Counter[str] = field(default_factory=Counter)
    #: Whether convolutions go channels last even where that alone does not pay.
    enter: bool = False
    #: Whether steps of programs are preferred.
    own: bool = False
    #: Whether what is the same of the reals alone is.
    reals: bool = False
    #: What the plan takes, as far as implementations compete; and whether one stayed out of channels last.
    seconds: float = 0.0
    stayed: bool = False
    #: The least that its convolutions can take.
    convolutions: float = 0.0

    def __post_init__(self) -> None:
        values = [n.meta.get("val") for n in self.original.graph.nodes if n.op == "placeholder"]
        self._emitter = Emitter(self.graph, compat.fake_mode([v for v in values if v is not None]))
        self._now: dict[fx.Node, fx.Node] = {}
        #: Nodes whose value lies otherwise than in the original.
        self._moved: set[fx.Node] = set()

    def run(self) -> None:
        """Writes every node."""
        for node in self.original.graph.nodes:
            if node.op == "output":
                self.graph.output(fx.node.map_arg(node.args[0], self._where_it_lay)).meta = dict(node.meta)
            elif node in self.units:
                self._write_unit(self.units[node])
            elif node not in self.covered:
                self._copy(node)
        self.graph.lint()

    def _write_unit(self, unit: Unit) -> None:
        here = unit.on(
            [self._now[node] for node in unit.activations],
            [None if node is None else self._now[node] for node in unit.weights],
        )
        row = self._fastest(here)
        if row is None:
            for node in unit.covered:
                self._copy(node)
            return
        self._now[unit.node] = written = row.write(self._emitter, here)
        self.chosen[f"{unit.operation}: {row.name}"] += 1
        if written.meta["val"].stride() != unit.node.meta["val"].stride():
            self._moved.add(unit.node)

    def _fastest(self, unit: Unit) -> Implementation | None:
        own, *others = [
            row
            for row in TABLE
            if row.operation == unit.operation
            and row.precision in self.precisions
            and (self.reals or not row.reals)
            and row.takes(unit)
        ]
        if not others:
            return None
        known = self.timings.of(unit, [own, *others])
        seconds = {row.name: self._seconds(row, known) for row in (own, *others)}
        step = self._step(others, seconds)
        if step is not None:
            self.seconds += seconds[step.name]
            return step
        best = min(others, key=lambda row: seconds[row.name])
        gain = seconds[own.name] - seconds[best.name]
        faster = gain > max(LEAST_SECONDS, LEAST_GAIN * seconds[own.name])
        if not faster and _is_outside(unit) and seconds[best.name] < math.inf:
            self.stayed = True
            faster = self.enter
        self.seconds += seconds[best.name if faster else own.name]
        if unit.operation == "convolution":
            self.convolutions += min(known[row.name] for row in (own, *others))
        return best if faster else None

    def _seconds(self, row: Implementation, known: dict[str, float]) -> float:
        """What a row takes where it will run: of steps of programs, where these are to be, as one of them."""
        as_step = known[row.as_step] if self.own and row.is_step else math.inf
        return known[row.name] if math.isinf(as_step) else as_step

    def _step(self, rows: list[Implementation], seconds: dict[str, float]) -> Implementation | None:
        """The implementation that programs have as a step, where these are preferred and it does."""
        steps = [row for row in rows if row.is_step]
        if not self.own or not steps:
            return None
        best = min(steps, key=lambda row: seconds[row.name])
        most = (1 + OWN_LOSS) * min(seconds.values()) + OWN_CALL
        return best if seconds[best.name] <= most else None

    def _copy(self, node: fx.Node) -> None:
        moved = any(argument in self._moved for argument in node.all_input_nodes)
        reads_layout = moved and (
            node.target in _LAYOUT_READERS
            or (isinstance(node.target, torch._ops.OpOverload) and node.target.namespace != "aten")
        )
        place = self._where_it_lay if reads_layout else self._now.__getitem__
        copied = self.graph.node_copy(node, place)
        self._now[node] = copied
        if moved and not reads_layout:
            arguments = fx.node.map_arg((copied.args, copied.kwargs), lambda n: n.meta["val"])
            with self._emitter.mode:
                copied.meta["val"] = copied.target(*arguments[0], **arguments[1])  # type: ignore[operator]
            if _strides(copied.meta["val"]) != _strides(node.meta["val"]):
                self._moved.add(node)

    def _where_it_lay(self, node: fx.Node) -> fx.Node:
        """The node's value, laid in memory as the original's."""
        if node not in self._moved:
            return self._now[node]
        if not node.meta["val"].is_contiguous():
            raise Unsupported(f"{node.name} would have to be laid out as it was")
        value = node.meta["val"]
        self.seconds += 2 * value.itemsize * math.prod(map(compat.hint, value.shape)) / COPY_SPEED
        return self._emitter.call(aten.clone.default, self._now[node], memory_format=torch.contiguous_format)


def _is_outside(unit: Unit) -> bool:
    """Whether a unit takes an image that does not lie channels last."""
    image = unit.activations[0].meta["val"]
    return unit.operation == "convolution" and not image.is_contiguous(memory_format=torch.channels_last)


def _strides(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.stride()
    return [_strides(v) for v in value] if isinstance(value, (list, tuple)) else None
