"""Operations on places of a last axis, such as the blades of multivectors, one row each.

Each place becomes a value of its own (:class:`Apart`), so that what follows reads it from registers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from hypatia_core import compat
from hypatia_core.native.aliases import args_of
from hypatia_core.native.apart import each_place
from hypatia_core.native.lowering import KINDS, MOST_APART, Lowering
from hypatia_core.native.pointwise import Emitter
from hypatia_core.native.units import Register
from hypatia_core.native.values import Apart, Constant, Value

aten = torch.ops.aten

#: An operation whose places are sums of so many others at most stays within one program.
MOST_TERMS = 64


def constant_of(node: Any) -> list[Any] | None:
    """Elements of a tensor that a graph holds itself, so that nothing changes it; None of other nodes."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value = getattr(node.graph.owning_module, str(node.target), None)
    if type(value) is not torch.Tensor or value.dim() == 0 or value.numel() > MOST_APART**2:
        return None
    with compat.without_fake_mode():
        elements: list[Any] = value.tolist()
    return elements


def _sizes(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _indices(source: fx.Node, given: Sequence[Any]) -> list[int] | None:
    """Places that a list of one axis, the last, takes from a tensor; None where they are not known."""
    *before, indices = given
    places = constant_of(indices)
    rank, extent = len(_sizes(source)), _sizes(source)[-1]
    if places is None or len(given) != rank or any(one is not None for one in before):
        return None
    if any(type(n) is not int for n in places) or not 1 < len(places) <= MOST_APART >= extent:
        return None
    return [n % extent for n in places] if all(-extent <= n < extent for n in places) else None


def _of(node: fx.Node, parts: Sequence[Value]) -> Apart:
    return Apart(tuple(parts), _sizes(node), KINDS[node.meta["val"].dtype], node)


def _taken(low: Lowering, node: fx.Node) -> Value:
    source, given = args_of(node)
    places, parts = _indices(source, given), each_place(low, source)
    assert places is not None
    return _of(node, [parts[n] for n in places])


def _takes_index(node: fx.Node) -> bool:
    source, given = args_of(node)
    return len(_sizes(node)) > 1 and len(given) > 0 and _indices(source, given) is not None


def _summed(low: Lowering, node: fx.Node, terms: Sequence[tuple[Value, float]]) -> Value:
    """Σ c·v over values of one place, whose zeros are factors too."""
    batch, kind = _sizes(node)[:-1], KINDS[node.meta["val"].dtype]
    # What is finite and known adds what is known.
    kept = [(value, c) for value, c in terms if not isinstance(value, Constant) or value.number * c != 0]
    if not kept:
        return Constant(0.0, batch, kind)

    def write(e: Emitter, registers: dict[Any, Register]) -> Register:
        total: Register | None = None
        for n, (_, c) in enumerate(kept):
            term = registers[n]
            if total is not None and c in (1, -1):
                total = e("add" if c == 1 else "sub", total, term)
                continue
            term = term if c == 1 else e("mul", term, c)
            total = term if total is None else e("add", total, term)
        assert total is not None
        return total

    return low.elements_of(node, batch, {n: value for n, (value, _) in enumerate(kept)}, write)


def _put(low: Lowering, node: fx.Node) -> Value:
    zeros, given, values, *_ = args_of(node)
    places, parts = _indices(zeros, given), each_place(low, values)
    assert places is not None
    sums = ([(parts[n], 1.0) for n, at in enumerate(places) if at == k] for k in range(_sizes(node)[-1]))
    return _of(node, [_summed(low, node, terms) for terms in sums])


def _takes_put(node: fx.Node) -> bool:
    zeros, given, values, *accumulate = args_of(node)
    if accumulate != [True] or len(_sizes(node)) < 2 or not given or not is_zero(zeros):
        return False
    places = _indices(zeros, given)
    return places is not None and _sizes(values) == (*_sizes(node)[:-1], len(places))


def is_zero(node: Any) -> bool:
    """Whether a node is made full of zeros."""
    if node.target is aten.full.default:
        return bool(args_of(node)[1] == 0)
    return node.target in (aten.zeros.default, aten.new_zeros.default, aten.zeros_like.default)


def _by_matrix(low: Lowering, node: fx.Node) -> Value:
    x, matrix = args_of(node)
    rows = constant_of(matrix)
    assert rows is not None
    parts, columns = each_place(low, x), zip(*rows, strict=True)
    return _of(node, [_summed(low, node, list(zip(parts, column, strict=True))) for column in columns])


def _takes_matrix(node: fx.Node) -> bool:
    x, matrix = args_of(node)
    rows, sizes = constant_of(matrix), _sizes(matrix)
    if rows is None or len(sizes) != 2 or len(_sizes(x)) < 2 or max(_sizes(x)[-1], sizes[1]) > MOST_APART:
        return False
    terms = [c for row in rows for c in row]
    return min(sizes) > 1 and len(terms) <= MOST_TERMS and all(map(math.isfinite, terms))


def _spread(low: Lowering, node: fx.Node) -> Value:
    """A slice's gradient: zeros beside it."""
    x, sizes, axis, start, _, step = args_of(node)
    axis %= len(sizes)
    extent, kind = sizes[axis], KINDS[node.meta["val"].dtype]
    begin = min(max(start + extent if start < 0 else start, 0), extent)
    count = _sizes(x)[axis]
    if axis == len(sizes) - 1 and extent <= MOST_APART:
        parts: list[Value] = [Constant(0.0, tuple(sizes[:-1]), kind)] * extent
        parts[begin : begin + count * step : step] = each_place(low, x)
        return _of(node, parts)
    around = []
    for beside in (begin, extent - begin - count):
        around.append(Constant(0.0, (*sizes[:axis], beside, *sizes[axis + 1 :]), kind))
    values = [around[0], low.value(x), around[1]]
    return low.laid([v for v in values if v.sizes[axis]], axis, tuple(sizes), kind, node)


def _takes_slice(node: fx.Node) -> bool:
    x, sizes, axis, _, _, step = args_of(node)
    axis %= len(sizes)
    if not all(type(n) is int for n in args_of(node)[2:]) or math.prod(_sizes(x)) == 0:
        return False
    if axis == len(sizes) - 1 and sizes[axis] <= MOST_APART:
        return sizes[axis] > 1 and len(sizes) > 1
    return bool(step == 1)


@dataclass(frozen=True)
class PlaceRow:
    """One operation that is done place by place."""

    write: Callable[[Lowering, fx.Node], Value]
    takes: Callable[[fx.Node], bool]


#: One row an overload.
PLACES: dict[Any, PlaceRow] = {
    aten.index.Tensor: PlaceRow(_taken, _takes_index),
    aten.index_put.default: PlaceRow(_put, _takes_put),
    aten.matmul.default: PlaceRow(_by_matrix, _takes_matrix),
    aten.mm.default: PlaceRow(_by_matrix, _takes_matrix),
    aten.slice_backward.default: PlaceRow(_spread, _takes_slice),
}


def is_by_place(node: fx.Node) -> bool:
    """Whether a node of float32 is such an operation."""
    row = PLACES.get(node.target)
    if row is None or node.kwargs:
        return False
    tensors = [x.meta["val"] for x in node.all_input_nodes if x.meta["val"].dtype is not torch.int64]
    return all(x.dtype is torch.float32 for x in (node.meta["val"], *tensors)) and row.takes(node)
