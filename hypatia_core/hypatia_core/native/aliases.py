"""Operations that compute nothing: other names, sizes and orders of what lies in memory, one row each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core.native.apart import take_apart
from hypatia_core.native.values import Apart
from hypatia_core.native.views import View

if TYPE_CHECKING:
    from hypatia_core.native.lowering import Lowering

aten = torch.ops.aten


def _overloads(*packets: Any) -> list[Any]:
    return [getattr(packet, name) for packet in packets for name in packet.overloads() if "out" not in name]


#: Elements in their order, under other sizes.
SHAPED = frozenset(
    _overloads(aten.view, aten._unsafe_view, aten.reshape, aten.unsqueeze, aten.squeeze, aten.flatten)
) - {aten.view.dtype}
#: The same elements, for a caller in memory of their own.
COPIES = frozenset({aten.clone.default})
#: The same elements.
SAME = frozenset({aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default}) | COPIES
SAME_ORDER = SHAPED | SAME


def args_of(node: fx.Node) -> Any:
    """A node's arguments, each of whatever type."""
    return node.args


def keywords_of(node: fx.Node) -> Any:
    """Its keywords, each of whatever type."""
    return node.kwargs


def alone(node: fx.Node) -> fx.Node | None:
    """The operation whose elements a node has in their order, where nothing else reads these."""
    while len(node.users) == 1:
        if node.target not in SAME_ORDER:
            return node
        node = args_of(node)[0]
    return None


def _sizes(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _shaped(low: Lowering, node: fx.Node) -> Any:
    return low.shaped(low.value(args_of(node)[0]), _sizes(node))


def _same(low: Lowering, node: fx.Node) -> Any:
    return low.value(args_of(node)[0])


def _permuted(low: Lowering, node: fx.Node) -> Any:
    value, order = low.value(args_of(node)[0]), args_of(node)[1]
    rank = len(value.sizes)
    return low.turned(value, [axis % rank for axis in order])


def _transposed(low: Lowering, node: fx.Node) -> Any:
    value = low.value(args_of(node)[0])
    order = list(range(len(value.sizes)))
    if order:
        a, b = (axis % len(order) for axis in (args_of(node)[1:] or (0, len(order) - 1)))
        order[a], order[b] = order[b], order[a]
    return low.turned(value, order)


def _expanded(low: Lowering, node: fx.Node) -> Any:
    return low.spread(low.value(args_of(node)[0]), _sizes(node))


def _selected(low: Lowering, node: fx.Node) -> Any:
    x, axis, place = args_of(node)
    sizes = low.value(x).sizes
    axis %= len(sizes)
    part = low.part(x, axis, place % sizes[axis], 1)
    return part.without(axis) if isinstance(part, View) else low.shaped(part, _sizes(node))


def _sliced(low: Lowering, node: fx.Node) -> Any:
    names = ("self", "dim", "start", "end", "step")
    given = dict(zip(names, args_of(node), strict=False)) | node.kwargs
    value = low.value(args_of(node)[0])
    sizes = _sizes(node)
    if sizes == value.sizes:
        return value
    axis = given.get("dim", 0) % len(sizes)
    start = given.get("start") or 0
    start = max(0, start + value.sizes[axis]) if start < 0 else min(start, value.sizes[axis])
    return low.part(args_of(node)[0], axis, start, sizes[axis], given.get("step", 1))


def parts_along(node: fx.Node) -> int | None:
    """The axis along which all that reads a node takes parts, together no more than there is; else None."""
    axes, taken = set(), 0
    for user in node.users:
        if user.target not in (aten.slice.Tensor, aten.select.int) or args_of(user)[0] is not node:
            return None
        axis = args_of(user)[1] if len(args_of(user)) > 1 else keywords_of(user).get("dim", 0)
        axes.add(axis % len(_sizes(node)))
        taken += 1 if user.target is aten.select.int else _sizes(user)[axis]
    (axis,) = axes if len(axes) == 1 else (None,)
    return axis if axis is not None and taken <= _sizes(node)[axis] else None


def _parts(low: Lowering, node: fx.Node, axis: int) -> Any:
    view = low.view(low.value(args_of(node)[0]))
    axis %= len(view.sizes)
    parts, start = [], 0
    for fake in node.meta["val"]:
        count = fake.shape[axis]
        parts.append(view.sliced(axis, start, count))
        start += count
    return parts


def _split(low: Lowering, node: fx.Node) -> Any:
    return _parts(low, node, args_of(node)[2] if len(args_of(node)) > 2 else keywords_of(node).get("dim", 0))


def _unbound(low: Lowering, node: fx.Node) -> Any:
    value = low.value(args_of(node)[0])
    axis = (args_of(node)[1] if len(args_of(node)) > 1 else 0) % len(value.sizes)
    if isinstance(value, Apart) and axis == len(value.sizes) - 1:
        return list(value.parts)
    view = low.view(value)
    if axis == len(view.sizes) - 1:
        return take_apart(low, view)
    return [view.sliced(axis, i, 1).without(axis) for i in range(view.sizes[axis])]


def _item(low: Lowering, node: fx.Node) -> Any:
    source, place = args_of(node)
    return low.values(source)[place]


#: One row an overload: what the node is, of a writer of programs and the node.
ALIASES: dict[Any, Callable[[Lowering, fx.Node], Any]] = {
    **dict.fromkeys(SHAPED, _shaped),
    **dict.fromkeys(SAME, _same),
    aten.permute.default: _permuted,
    aten.transpose.int: _transposed,
    aten.t.default: _transposed,
    aten.expand.default: _expanded,
    aten.select.int: _selected,
    aten.slice.Tensor: _sliced,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.unbind.int: _unbound,
}
#: Of these each result has a place in a list.
LISTS = frozenset({aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int})

item = operator.getitem
ALIASES[item] = _item


def item_of(node: fx.Node, position: int) -> fx.Node | None:
    """The node that takes a result out of several, if one does."""
    for user in node.users:
        if user.target is operator.getitem and user.args[1] == position:
            return user
    return None


def root_of(node: fx.Node) -> fx.Node:
    """The node whose elements a node has, in their order: through what only names other sizes."""
    while node.target in SAME_ORDER:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if source.op != "call_function":
            return node
        node = source
    return node
