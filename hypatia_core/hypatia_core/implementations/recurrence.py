"""Recurrent layers as products of all inputs at once and one kernel of ours for the steps.

Torch runs an LSTM by oneDNN and other layers by operations, step by step; each step multiplies the state with
the same weight. Our kernel gives each thread the same units at every step, so that its part of the weight
stays in its own cache.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import native, packed_linear
from hypatia_core.implementations.base import Emitter, on_cpu_in_float32, rewritable
from hypatia_core.native.aliases import args_of
from hypatia_core.packed_linear import COLUMNS
from hypatia_core.packed_recurrence import GATES, RECURRENCE

aten = torch.ops.aten

#: What the report calls a layer that is written so.
NAME = "recurrent layer: own kernel"

_CELLS: dict[Any, str] = {
    aten.lstm.input: "lstm",
    aten.gru.input: "gru",
    aten.rnn_tanh.input: "tanh",
    aten.rnn_relu.input: "relu",
}


@dataclass(frozen=True)
class _Layer:
    """A call of a recurrent layer whose weights are there before."""

    cell: str
    x: fx.Node
    #: The states before the first step, (layers · directions, batch, units), and the memories of an LSTM.
    before: list[fx.Node]
    #: Of each layer and direction: the weight of its inputs, that of its state, and their biases, if any.
    weights: list[list[fx.Node]]
    directions: int
    batch_first: bool


def recurrent_layers(graph: GraphModule, weights: set[fx.Node]) -> tuple[GraphModule, int] | None:
    """The graph with recurrent layers of fixed weights written so, and how many; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        weights: its nodes that depend on weights alone.
    """
    if not any(_layer(node, weights) for node in graph.graph.nodes):
        return None
    written, constant, emitter = rewritable(graph, weights)
    count = 0
    for node in list(written.graph.nodes):
        layer = _layer(node, constant)
        if layer is None:
            continue
        with written.graph.inserting_before(node):
            results = _written(emitter, layer)
        if all(native.lies_alike(user.meta["val"], results[user.args[1]].meta["val"]) for user in node.users):
            for user in list(node.users):
                user.replace_all_uses_with(results[user.args[1]])
                written.graph.erase_node(user)
            count += 1
    written.graph.eliminate_dead_code()
    return (written, count) if count else None


def _layer(node: fx.Node, weights: set[fx.Node]) -> _Layer | None:
    cell = _CELLS.get(node.target)
    if cell is None:
        return None
    x, before, parameters, biased, layers, dropout, train, both_ways, batch_first = args_of(node)
    before = list(before) if isinstance(before, (list, tuple)) else [before]
    each, directions = 4 if biased else 2, 2 if both_ways else 1
    # With a projection each has a further weight.
    plain = len(parameters) == each * layers * directions
    if not plain or (train and dropout) or not all(p in weights for p in parameters):
        return None
    operands = [x, *before, *parameters]
    if x in weights or not on_cpu_in_float32(*operands) or x.meta["val"].dim() != 3:
        return None
    if not all(isinstance(n, int) and n > 0 for one in operands for n in one.meta["val"].shape):
        return None
    if not all(user.target is operator.getitem for user in node.users):
        return None
    groups = [parameters[i : i + each] for i in range(0, len(parameters), each)]
    return _Layer(cell, x, before, groups, directions, bool(batch_first))


def _written(emitter: Emitter, layer: _Layer) -> list[fx.Node]:
    """The states of the last layer, and what each layer and direction ends with."""
    x = layer.x
    if layer.batch_first:
        x = emitter.call(aten.permute.default, x, [1, 0, 2])
    last: list[list[fx.Node]] = [[] for _ in layer.before]
    for first in range(0, len(layer.weights), layer.directions):
        ways = []
        for way in range(layer.directions):
            states, *ends = _one_way(emitter, layer, x, first + way, reverse=way == 1)
            ways.append(states)
            for kept, end in zip(last, ends, strict=True):
                kept.append(end)
        x = ways[0] if len(ways) == 1 else emitter.call(aten.cat.default, ways, 2)
    if layer.batch_first:
        x = emitter.call(aten.permute.default, x, [1, 0, 2])
    return [x, *(emitter.call(aten.stack.default, ends) for ends in last)]


def _one_way(emitter: Emitter, layer: _Layer, x: fx.Node, at: int, reverse: bool) -> list[fx.Node]:
    of_input, of_state, *biases = layer.weights[at]
    units = of_state.meta["val"].shape[1]
    steps, batch, width = x.meta["val"].shape
    shift, bias = (_ordered(emitter, b, layer.cell) for b in biases) if biases else (None, None)
    flat = emitter.call(aten.reshape.default, x, [steps * batch, width])
    weight = emitter.call(aten.permute.default, _ordered(emitter, of_input, layer.cell), [1, 0])
    if shift is None:
        product = emitter.call(aten.mm.default, flat, weight)
    else:
        product = emitter.call(aten.addmm.default, shift, flat, weight)
    inputs = emitter.call(aten.view.default, product, [steps, batch, -1])
    panels = emitter.call(packed_linear.PANELS_OF_WEIGHT, _ordered(emitter, of_state, layer.cell))
    before = [emitter.call(aten.select.int, value, 0, at) for value in layer.before]
    state, memory = before if len(before) == 2 else (before[0], None)
    call = (RECURRENCE, inputs, panels, bias, state, memory, layer.cell, units, reverse)
    states = made = emitter.call(*call)
    ends = [emitter.call(aten.select.int, made, 0, 0 if reverse else steps - 1)]
    if memory is not None:
        states = emitter.call(aten.slice.Tensor, made, 0, 0, steps)
        ends.append(emitter.call(aten.select.int, made, 0, steps))
    return [states, *ends]


def _ordered(emitter: Emitter, weight: fx.Node, cell: str) -> fx.Node:
    """A weight of all gates with those of every sixteen units together, and zeros for units that are not."""
    gates = GATES[cell]
    rows, *width = weight.meta["val"].shape
    units = rows // gates
    blocks = -(-units // COLUMNS)
    apart = emitter.call(aten.reshape.default, weight, [gates, units, *width])
    if units % COLUMNS:
        more = [*([0, 0] * len(width)), 0, -units % COLUMNS]
        apart = emitter.call(aten.constant_pad_nd.default, apart, more)
    blocked = emitter.call(aten.view.default, apart, [gates, blocks, COLUMNS, *width])
    order = [1, 0, *range(2, 3 + len(width))]
    together = emitter.call(aten.permute.default, blocked, order)
    dense = emitter.call(aten.clone.default, together, memory_format=torch.contiguous_format)
    return emitter.call(aten.view.default, dense, [gates * blocks * COLUMNS, *width])
