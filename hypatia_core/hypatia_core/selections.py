"""How rows that a list of places selects are read from ATen and written back.

Only of values that the graph computes: of an input there is nothing that fewer rows of it could spare.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten

_PLACES = (torch.int64, torch.int32)


def _selected(
    reader: Reader, node: fx.Node, source: Any, axis: int, places: Any, spelling: str
) -> int | None:
    """Places of one axis, of any shape: as a list, and the result reshaped."""
    if not isinstance(source, fx.Node) or source.op != "call_function" or not isinstance(places, fx.Node):
        return None
    value, index = source.meta["val"], places.meta["val"]
    plain = value.dtype.is_floating_point and index.dtype in _PLACES and value.device == index.device
    if not plain or not all(type(size) is int for size in index.shape):
        return None
    count = math.prod(index.shape)
    flat = reader.tensor(places)
    if index.dim() != 1:
        shape = reader.shape_attribute([count])
        flat = reader.computed("reshape", [flat], [shape], reader.type_of(places, [count]))
    attributes = [{"int": axis}, {"word": spelling}]
    operands = [reader.tensor(source), flat]
    if index.dim() == 1:
        return reader.known("select_rows", operands, attributes, node)
    rows = [*value.shape[:axis], count, *value.shape[axis + 1 :]]
    selected = reader.computed("select_rows", operands, attributes, reader.type_of(node, rows))
    return reader.known("reshape", [selected], [reader.shape(node)], node)


def read_index_select(reader: Reader, node: fx.Node) -> int | None:
    """Of one axis, by a list."""
    source, axis, places = node.args
    rank = source.meta["val"].dim()  # type: ignore[union-attr]
    if rank == 0 or places.meta["val"].dim() != 1:  # type: ignore[union-attr]
        return None
    return _selected(reader, node, source, int(axis) % rank, places, "index_select")  # type: ignore[arg-type]


def read_index(reader: Reader, node: fx.Node) -> int | None:
    """Where one axis alone is indexed."""
    source, indices = node.args
    given = [(axis, places) for axis, places in enumerate(indices) if places is not None]  # type: ignore[arg-type]
    if len(given) != 1:
        return None
    ((axis, places),) = given
    return _selected(reader, node, source, axis, places, "index")


def read_embedding(reader: Reader, node: fx.Node) -> int | None:
    """Rows of a table that is computed."""
    table, places = node.args[:2]
    return _selected(reader, node, table, 0, places, "embedding")


def read_gather(reader: Reader, node: fx.Node) -> int | None:
    """Where one list of places is repeated along all other axes."""
    source, axis, places = node.args[:3]
    rank = source.meta["val"].dim()  # type: ignore[union-attr]
    repeated = isinstance(places, fx.Node) and places.target is aten.expand.default
    if rank == 0 or not repeated or node.kwargs:
        return None
    inner: Any = places.args[0]  # type: ignore[union-attr]
    axis = int(axis) % rank  # type: ignore[arg-type]
    before, after = inner.meta["val"], node.meta["val"]
    extents = [size for i, size in enumerate(source.meta["val"].shape) if i != axis]  # type: ignore[union-attr]
    whole = [size for i, size in enumerate(after.shape) if i != axis]
    one = all(type(size) is int and (size == 1 or i == axis) for i, size in enumerate(before.shape))
    if before.dim() != rank or not one or before.shape[axis] != after.shape[axis] or extents != whole:
        return None
    if not all(type(size) is int for size in extents):
        return None
    count = int(after.shape[axis])
    if not isinstance(source, fx.Node) or source.op != "call_function" or before.dtype not in _PLACES:
        return None
    if not source.meta["val"].dtype.is_floating_point or before.device != after.device:
        return None
    shape = reader.shape_attribute([count])
    flat = reader.computed("reshape", [reader.tensor(inner)], [shape], reader.type_of(inner, [count]))
    attributes = [{"int": axis}, {"word": "index_select"}]
    return reader.known("select_rows", [reader.tensor(source), flat], attributes, node)


def write_selection(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """By the operation that it was read from, whose errors for places out of reach are its own."""
    source, places = map(writer.node, operands)
    axis, spelling = attributes
    if spelling == "index":
        return writer.call(aten.index.Tensor, source, [*[None] * axis, places])
    if spelling == "embedding" and axis == 0 and source.meta["val"].dim() == 2:
        return writer.call(aten.embedding.default, source, places)
    return writer.call(aten.index_select.default, source, axis, places)
