"""How masks are read and written, and which of them a graph makes of nothing but numbers.

A mask that depends on no input (`torch.ones(n, n).tril() == 0`, `positions[:, None] >= positions`,
`torch.full((n, n), -inf).triu(1)`) is computed once while the graph is read. Where it is one value up to a
diagonal and another above it, the engine reads it as that, however it was spelled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core import compat

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten

#: Masks of more elements are not computed while a graph is read.
LARGEST = 2**22


@dataclass(frozen=True)
class Band:
    """A matrix of two values: one in column j of row i where j − i is at most the offset, else the other."""

    offset: int
    below: bool | float
    above: bool | float

    @classmethod
    def of(cls, value: torch.Tensor) -> Band | None:
        """What a tensor is, whose axes but the last two have one element; None where it is no band.

        >>> Band.of(torch.ones(3, 4).tril(1))
        Band(offset=1, below=1.0, above=0.0)
        >>> Band.of(torch.rand(3, 4)) is None
        True
        """
        rows, columns = value.shape[-2:]
        matrix = value.reshape(rows, columns)
        below, above = matrix[0, 0].item(), matrix[0, -1].item()
        offset = int(torch.count_nonzero(matrix[0] == below)) - 1
        kept = torch.arange(columns) - torch.arange(rows)[:, None] <= offset  # `tril` starts threads
        wanted = torch.where(kept, matrix[0, 0], matrix[0, -1])
        numbers = all(math.isfinite(number) or number == -math.inf for number in (below, above))
        if below == above or not numbers or not torch.equal(matrix, wanted):
            return None
        return cls(offset, below, above)

    def read(self, reader: Reader, node: fx.Node) -> int:
        """The band as the engine has it, in the place of a node."""
        value = node.meta["val"]
        matrix, whole = reader.type_of(node, list(value.shape[-2:])), reader.type_of(node)
        attributes = [
            reader.shape_attribute(value.shape[-2:]),
            {"int": self.offset},
            {"int": whole["device"]},
        ]
        place = reader.computed("band", [], attributes, {**matrix, "dtype": "bool"})
        if value.dtype is not torch.bool:
            parts = [reader.constant(float(number), node) for number in (self.below, self.above)]
            place = reader.computed("where", [place, *parts], [], matrix)
        if value.dim() > 2:
            place = reader.computed("reshape", [place], [reader.shape(node)], whole)
        if value.dtype is torch.bool and not self.below:
            place = reader.computed("not", [place], [], whole)
        return place


def bands(graph: fx.Graph) -> dict[fx.Node, Band]:
    """The bands that a graph makes of numbers alone, where they meet what depends on more."""
    constant: set[fx.Node] = set()
    for node in graph.nodes:  # operands stand before what uses them
        if all(operand in constant for operand in node.all_input_nodes) and _is_constant(node):
            constant.add(node)
    found: dict[fx.Node, Band] = {}
    #: Layers make one mask each, and all the same.
    numbers: dict[Any, int] = {}
    known: dict[int, Band | None] = {}
    values: dict[fx.Node, Any] = {}
    with compat.without_fake_mode(), torch.no_grad():
        for node in constant:
            if not _may_mask(node.meta.get("val")) or constant.issuperset(node.users):
                continue
            number = _number(node, numbers)
            if number not in known:
                try:
                    known[number] = Band.of(_value(node, values))
                except (RuntimeError, TypeError, NotImplementedError):  # it is read as it stands
                    known[number] = None
            band = known[number]
            if band is not None:
                found[node] = band
    return found


def _number(node: fx.Node, numbers: dict[Any, int]) -> int:
    """What a node computes, as a number: equal for equal computations. Holds those of nodes and of calls."""
    if node not in numbers:
        call = f"self.{node.target}"
        if node.op != "get_attr":
            operands = fx.node.map_arg((node.args, node.kwargs), lambda n: f"%{_number(n, numbers)}")
            call = f"{node.target}{operands}"
        numbers[node] = numbers.setdefault(call, len(numbers))
    return numbers[node]


def _is_constant(node: fx.Node) -> bool:
    """Whether a node has the same value whenever its operands do, small enough to be computed here."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.device.type != "cpu" or value.layout is not torch.strided:
        return False
    if not all(type(size) is int for size in value.shape) or value.numel() > LARGEST:
        return False
    if node.op == "get_attr":  # what the graph holds itself, nothing else can change
        return type(getattr(node.graph.owning_module, str(node.target), None)) is torch.Tensor
    target = node.target
    return (
        node.op == "call_function"
        and isinstance(target, torch._ops.OpOverload)
        and target.namespace in ("aten", "prims")
        and not target._schema.is_mutable
        and torch.Tag.nondeterministic_seeded not in target.tags
        and "empty" not in target._schema.name  # what lies there is anything
    )


def _may_mask(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and (value.dtype is torch.bool or value.dtype.is_floating_point)
        and value.dim() >= 2
        and min(value.shape[-2:]) > 1
        and value.shape[-2] * value.shape[-1] == value.numel()
    )


def _value(node: fx.Node, values: dict[fx.Node, Any]) -> torch.Tensor:
    if node not in values:
        if node.op == "get_attr":
            values[node] = getattr(node.graph.owning_module, str(node.target))
        else:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: _value(n, values))
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    result: torch.Tensor = values[node]
    return result


def write_band(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """True up to a diagonal."""
    shape, offset, _ = attributes
    return writer.call(aten.tril.default, writer.ones(shape, torch.bool), offset)


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype.is_floating_point


def read_masked_fill(reader: Reader, node: fx.Node) -> int | None:
    """With a number."""
    source, mask, value = node.args
    if not _is_float(node) or not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    filled = reader.constant(float(value), node)
    return reader.known("where", [reader.tensor(mask), filled, reader.tensor(source)], [], node)


def read_masked_fill_tensor(reader: Reader, node: fx.Node) -> int | None:
    """With a tensor of one element."""
    source, mask, value = node.args
    if not _is_float(node) or value.meta["val"].dtype != node.meta["val"].dtype:  # type: ignore[union-attr]
        return None
    return reader.known("where", [reader.tensor(a) for a in (mask, value, source)], [], node)


def read_where(reader: Reader, node: fx.Node) -> int | None:
    """Of tensors of one type."""
    operands: Any = node.args
    dtypes = {operand.meta["val"].dtype for operand in operands[1:]}
    if dtypes != {node.meta["val"].dtype} or operands[0].meta["val"].dtype is not torch.bool:
        return None
    if not _is_float(node):
        return None
    return reader.known("where", [reader.tensor(operand) for operand in operands], [], node)


def write_where(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """The condition stands first."""
    return writer.call(aten.where.self, *map(writer.node, operands))


def read_not(reader: Reader, node: fx.Node) -> int | None:
    """Of truth values."""
    if node.args[0].meta["val"].dtype is not torch.bool:  # type: ignore[union-attr]
        return None
    return reader.known("not", [reader.tensor(node.args[0])], [], node)
