"""What a program knows: which nodes, and how each is written."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from hypatia_core.native.aliases import ALIASES, COPIES, LISTS, args_of
from hypatia_core.native.kernels import KERNELS, taken_in
from hypatia_core.native.lowering import (
    DTYPES,
    KINDS,
    LONGEST_ROW,
    Lowering,
)
from hypatia_core.native.places import PLACES, is_by_place
from hypatia_core.native.pointwise import POINTWISE, row_of
from hypatia_core.native.reductions import MOST_STRIDED, OF_SEVERAL, REDUCTIONS
from hypatia_core.native.values import Constant

aten = torch.ops.aten

#: Other types of element, of the same number.
_CASTS = frozenset({aten._to_copy.default, torch.ops.prims.convert_element_type.default})
#: The same number everywhere: which argument it is, or the number.
_CONSTANTS: dict[Any, Any] = {
    aten.full.default: lambda node: args_of(node)[1],
    aten.full_like.default: lambda node: args_of(node)[1],
    aten.new_full.default: lambda node: args_of(node)[2],
    aten.scalar_tensor.default: lambda node: args_of(node)[0],
    aten.zeros.default: lambda node: 0.0,
    aten.zeros_like.default: lambda node: 0.0,
    aten.new_zeros.default: lambda node: 0.0,
    aten.ones.default: lambda node: 1.0,
    aten.ones_like.default: lambda node: 1.0,
    aten.new_ones.default: lambda node: 1.0,
}
#: Of these each result has a place in a tuple.
_SEVERAL = OF_SEVERAL | {target for target, row in KERNELS.items() if row.several}
_CAT = frozenset({aten.cat.default, aten.stack.default})
_NUMBERS = (int, float, bool)


def is_alias(node: fx.Node) -> bool:
    """Whether a node computes nothing, and its result is its operand's memory."""
    if node.op != "call_function" or node.target in COPIES:
        return False
    if node.target is operator.getitem:
        source = args_of(node)[0]
        return isinstance(source, fx.Node) and source.target in LISTS and is_alias(source)
    return (
        node.target in ALIASES
        and is_plain(node.meta.get("val"))
        and all(is_plain(x.meta.get("val")) for x in node.all_input_nodes)
    )


def is_constant(node: fx.Node) -> bool:
    """Whether a node is one number everywhere, which is known."""
    return (
        node.target in _CONSTANTS
        and node.op == "call_function"
        and is_plain(node.meta.get("val"))
        and node.meta["val"].dtype is not torch.int64
        and type(_CONSTANTS[node.target](node)) in _NUMBERS
    )


def is_known(node: fx.Node) -> bool:
    """Whether a program computes this node. Of several results, the node that takes one out is known too."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem:
        source = args_of(node)[0]
        return isinstance(source, fx.Node) and source.target in _SEVERAL and is_known(source)
    value = node.meta.get("val")
    if not is_plain(value) or not all(is_plain(x.meta.get("val")) for x in node.all_input_nodes):
        return False
    if is_by_place(node):
        return True
    operands = {KINDS[t.dtype] for x in node.all_input_nodes for t in _tensors(x.meta["val"])}
    (result, *_) = (KINDS[t.dtype] for t in _tensors(value))
    if node.target in KERNELS:
        row = KERNELS[node.target]
        fits = operands <= ({"float32", "int64"} if row.indices else {"float32"})
        if fits and result == "float32" and row.takes(node):
            return True
    if result == "int64" or "int64" in operands:
        return False
    if node.target in COPIES:
        return True
    if node.target in _CASTS:
        return True
    if node.target in _CAT:
        return len(args_of(node)[0]) > 0 and operands == {result}
    if node.target in REDUCTIONS:
        return _is_reduced(node, operands, result)
    return _is_pointwise(node, operands, result)


def _is_pointwise(node: fx.Node, operands: set[str], result: str) -> bool:
    if row_of(node.target, operands, result) is None or not operands:
        return False
    given = (*args_of(node), *node.kwargs.values())
    return all(x is None or isinstance(x, (fx.Node, str)) or type(x) in _NUMBERS for x in given)


def _is_reduced(node: fx.Node, operands: set[str], result: str) -> bool:
    if node.kwargs.get("dtype") not in (None, torch.float32) or (operands == {"bool"}) != (result == "bool"):
        return False
    reduced = REDUCTIONS[node.target](node)
    if reduced is None:
        return False
    fake = reduced.full[0].meta["val"]
    row = 1
    for axis in reduced.axes:
        row *= fake.shape[axis]
    if row > LONGEST_ROW or any(x.meta["val"].shape != fake.shape for x in reduced.full):
        return False
    kept = [i for i in range(fake.dim()) if i not in reduced.axes and fake.shape[i] != 1]
    together = not reduced.axes or all(i < reduced.axes[0] for i in kept)
    return together or (fake.numel() <= MOST_STRIDED and node.target not in OF_SEVERAL)


def write(low: Lowering, node: fx.Node) -> None:
    """Adds a node that is known, or an alias, to a program."""
    if node.target in ALIASES:
        low.define(node, ALIASES[node.target](low, node))
    elif node.target in PLACES and is_by_place(node):
        low.define(node, PLACES[node.target].write(low, node))
    elif node.target in KERNELS and KERNELS[node.target].takes(node):
        low.define(node, KERNELS[node.target].write(low, node))
    elif node.target in _CONSTANTS:
        fake = node.meta["val"]
        number = float(_CONSTANTS[node.target](node))
        number = float(number != 0) if fake.dtype is torch.bool else number
        low.define(node, Constant(number, tuple(fake.shape), KINDS[fake.dtype]))
    elif node.target in _CASTS:
        _cast(low, node)
    elif node.target is aten.cat.default:
        axis = args_of(node)[1] if len(args_of(node)) > 1 else node.kwargs.get("dim", 0)
        rank = node.meta["val"].dim()
        low.concatenate(node, list(args_of(node)[0]), axis % rank)
    elif node.target is aten.stack.default:
        axis = args_of(node)[1] if len(args_of(node)) > 1 else node.kwargs.get("dim", 0)
        rank = node.meta["val"].dim()
        low.concatenate(node, list(args_of(node)[0]), axis % rank, stacked=True)
    elif node.target in REDUCTIONS:
        reduced = REDUCTIONS[node.target](node)
        assert reduced is not None
        low.reduce(node, reduced, node.target in OF_SEVERAL)
    else:
        taken = taken_in(low, node)
        if taken is not None:
            low.define(node, taken)
            return
        operands = {KINDS[x.meta["val"].dtype] for x in node.all_input_nodes}
        row = row_of(node.target, operands, KINDS[node.meta["val"].dtype])
        assert row is not None
        low.pointwise(node, row)


def _cast(low: Lowering, node: fx.Node) -> None:
    """Another type of element: a number is true where it is not zero."""
    to_bool = node.meta["val"].dtype is torch.bool and args_of(node)[0].meta["val"].dtype is not torch.bool
    if to_bool:
        low.pointwise(node, lambda e, x, *_, **__: e("ne", x, 0.0))
    else:
        low.pointwise(node, lambda e, x, *_, **__: x)


def is_plain(value: Any) -> bool:
    """Whether a value is a dense tensor of a known kind and size on the CPU, with elements; or several."""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(is_plain(v) for v in value)
    return (
        isinstance(value, torch.Tensor)
        and value.dtype in KINDS
        and value.device.type in ("cpu", "meta")  # of a program that was read from a file, types are known
        and value.layout is torch.strided
        and all(type(n) is int for n in (*value.shape, *value.stride()))
        and value.numel() > 0
        and not value.is_conj()
        and not value.is_neg()
    )


def _tensors(value: Any) -> list[torch.Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


__all__ = ["DTYPES", "POINTWISE", "is_alias", "is_known", "write"]
