"""Operations that have a step of their own, one row each, and what they take into their one pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from hypatia_core._hypatia_core import register_bits
from hypatia_core.activation import activation, post_operation
from hypatia_core.inner_product import INNER_PRODUCT
from hypatia_core.native.aliases import alone, args_of
from hypatia_core.native.bilinear_maps import (
    bilinear_map,
    bilinear_weights,
    inner_product,
    mixed_channels,
    mixed_channels_weights,
    rows_by_matrix,
    rows_by_matrix_and_squares,
    summed_places,
    takes_lines,
    takes_table,
)
from hypatia_core.native.lowering import Lowering
from hypatia_core.native.pooling import MAX_POOL, greatest_of_windows, takes_windows
from hypatia_core.native.reductions import MOST_STRIDED
from hypatia_core.native.units import Kernel
from hypatia_core.native.values import Constant, Held, Value
from hypatia_core.native.views import View
from hypatia_core.packed_attention import ATTENTION
from hypatia_core.packed_convolution import (
    CONVOLUTION_ON_PANELS,
    DEPTHWISE_CONVOLUTION,
    PIXELS_ON_PANELS,
    WINOGRAD_CONVOLUTION,
)
from hypatia_core.packed_linear import ACTIVATIONS, COLUMNS, LINEAR_ON_PANELS
from hypatia_core.packed_recurrence import RECURRENCE

aten, hypatia = torch.ops.aten, torch.ops.hypatia

#: Products of no more multiplications are ours; torch's libraries take the others. With so many rows, which
#: pay for panels of the other factor, ours takes as long as theirs up to the second bound.
SMALL_PRODUCT, SMALL_PRODUCT_OF_MANY_ROWS, MANY_ROWS = 1 << 14, 1 << 24, 64


@dataclass(eq=False)
class Product(Kernel):
    """A product with a weight in panels; what follows it may still be taken in."""

    data: dict[str, Any] = field(default_factory=dict)


def _known(node: fx.Node) -> bool:
    return True


def _numbers(given: Any) -> list[Any]:
    return [x if math.isfinite(x) else str(float(x)) for x in given or ()]


def _on_panels(
    low: Lowering,
    node: fx.Node,
    x: View,
    sizes: tuple[int, ...],
    arguments: tuple[Any, ...],
    other: View | None,
    step: dict[str, Any],
    *,
    depth: int,
    order: tuple[int, ...] | None = None,
    result: tuple[int, ...] | None = None,
) -> Any:
    """The cell of a step that multiplies by a weight in panels; it writes under these sizes, or `result`."""
    panels, bias, activation, numbers, algorithm = arguments
    columns = sizes[-1]
    packed = low.whole(low.value(panels), -(-columns // COLUMNS) * depth * COLUMNS, node)
    shift = None if bias is None else low.whole(low.value(bias), columns, node)
    unit, cell = low.kernel(node, sizes, [x, packed, shift, other], Product, order)
    assert isinstance(unit, Product)
    unit.data = {
        **step,
        **{"x": x, "panels": packed, "bias": shift, "other": other},
        **{"activation": activation, "numbers": _numbers(numbers), "algorithm": algorithm},
    }
    unit.fields = lambda: {**unit.data, "result": low.home(cell).shaped(result or sizes)}
    return cell


def _rows_on_panels(rows: int, columns: int, depth: int) -> dict[str, Any]:
    return {"step": "linear", "rows": rows, "columns": columns, "depth": depth}


def _linear(low: Lowering, node: fx.Node) -> Value:
    x, panels, bias, other, _, *activation = args_of(node)
    sizes = tuple(node.meta["val"].shape)
    view = low.packed(low.value(x), tuple(x.meta["val"].shape))
    added = None if other is None else low.packed(low.value(other), sizes)
    (rows, depth), given = view.sizes, (panels, bias, *activation)
    step = _rows_on_panels(rows, sizes[-1], depth)
    cell = _on_panels(low, node, view, sizes, given, added, step, depth=depth)
    return Held(cell, sizes)


def _images(low: Lowering, node: Any) -> View:
    """Images as (batch, height, width, channels), one after the other."""
    view = low.view(low.value(node)).permuted((0, 2, 3, 1))
    return low.packed(view, view.sizes, rows=4)


def _pixels(low: Lowering, node: fx.Node) -> Value:
    x, panels, bias, other, columns, *activation = args_of(node)
    images = _images(low, x)
    batch, height, width, depth = images.sizes
    rows = batch * height * width
    flat = images.shaped((rows, depth))
    assert flat is not None
    added = None if other is None else _images(low, other).shaped((rows, columns))
    made: tuple[int, ...] = (batch, height, width, columns)
    step, given = _rows_on_panels(rows, columns, depth), (panels, bias, *activation)
    cell = _on_panels(
        *(low, node, flat, made, given, added, step), depth=depth, order=(0, 2, 3, 1), result=(rows, columns)
    )
    return low.turned(Held(cell, made), (0, 3, 1, 2))


def _windows(low: Lowering, node: fx.Node) -> Value:
    x, panels, bias, other, filters, taps, stride, padding, dilation, *activation = args_of(node)
    images = _images(low, x)
    batch, height, width, channels = images.sizes
    added = None if other is None else _images(low, other)
    _, _, high, wide = node.meta["val"].shape
    made = (batch, high, wide, filters)
    depth = channels * taps[0] * taps[1]
    given = (panels, bias, *activation)
    geometry = (taps, stride, padding, dilation)
    step = {
        **{"step": "convolution", "batch": batch, "channels": channels, "filters": filters},
        **{"down": [height, *(pair[0] for pair in geometry)]},
        **{"across": [width, *(pair[1] for pair in geometry)]},
    }
    cell = _on_panels(low, node, images, made, given, added, step, depth=depth, order=(0, 2, 3, 1))
    return low.turned(Held(cell, made), (0, 3, 1, 2))


def _tiles(low: Lowering, node: fx.Node) -> Value:
    x, panels, bias, other, filters, padding, side, *activation = args_of(node)
    images = _images(low, x)
    batch, height, width, channels = images.sizes
    added = None if other is None else _images(low, other)
    _, _, high, wide = node.meta["val"].shape
    made = (batch, high, wide, filters)
    given, depth = (panels, bias, *activation), channels * (side + 2) ** 2
    step = {
        **{"step": "winograd", "batch": batch, "channels": channels, "filters": filters, "side": side},
        **{"down": [height, padding[0]], "across": [width, padding[1]]},
    }
    cell = _on_panels(low, node, images, made, given, added, step, depth=depth, order=(0, 2, 3, 1))
    return low.turned(Held(cell, made), (0, 3, 1, 2))


def _depthwise(low: Lowering, node: fx.Node) -> Value:
    x, filters, bias, stride, padding, dilation, activation, numbers, algorithm = args_of(node)
    images = _images(low, x)
    batch, height, width, channels = images.sizes
    down, across, _ = filters.meta["val"].shape
    taps = low.whole(low.value(filters), down * across * channels, node)
    shift = None if bias is None else low.whole(low.value(bias), channels, node)
    _, _, high, wide = node.meta["val"].shape
    unit, cell = low.kernel(node, (batch, high, wide, channels), [images, taps, shift], order=(0, 2, 3, 1))
    given = [stride, padding, dilation]
    data = {
        **{"step": "depthwise", "batch": batch, "channels": channels},
        **{"down": [height, down, *(pair[0] for pair in given)]},
        **{"across": [width, across, *(pair[1] for pair in given)]},
        **{"x": images, "filters": taps, "bias": shift, "activation": activation},
        **{"numbers": _numbers(numbers), "algorithm": algorithm},
    }
    unit.fields = lambda: {**data, "result": low.home(cell)}
    return low.turned(Held(cell, (batch, high, wide, channels)), (0, 3, 1, 2))


def _attention(low: Lowering, node: fx.Node) -> Value:
    q, k, v, mask, causal, scale = args_of(node)
    views = [low.packed(low.value(x), tuple(x.meta["val"].shape)) for x in (q, k, v)]
    batch, heads, queries, width = views[0].sizes
    keys = views[1].sizes[2]
    hidden = None
    if mask is not None:
        sizes = (batch, heads, queries, keys)
        own = low.view(low.value(mask))
        kept = low.packed(own, own.sizes) if own.sizes[-1] != 1 or keys == 1 else own
        hidden = kept.expanded(sizes)
        if hidden.strides[-1] != 1 and keys != 1:
            hidden = low.packed(hidden, sizes)
    unit, cell = low.kernel(node, (batch, heads, queries, width), [*views, hidden])
    data = {
        **{"step": "attention", "batch": batch, "heads": heads, "queries": queries, "keys": keys},
        **{"width": width, "q": views[0], "k": views[1], "v": views[2], "mask": hidden},
        **{"causal": bool(causal), "scale": scale},
    }
    unit.fields = lambda: {**data, "result": low.home(cell)}
    return Held(cell, cell.sizes)


def _recurrence(low: Lowering, node: fx.Node) -> Value:
    inputs, panels, bias, state, memory, cell, units, reverse = args_of(node)
    steps, batch, columns = inputs.meta["val"].shape
    given = low.packed(low.value(inputs), (steps, batch, columns), rows=3)
    packed = low.whole(low.value(panels), columns * units, node)
    shift = None if bias is None else low.whole(low.value(bias), columns, node)
    before = [
        None if x is None else low.packed(low.value(x), (batch, units), rows=2) for x in (state, memory)
    ]
    sizes = tuple(node.meta["val"].shape)
    unit, written = low.kernel(node, sizes, [given, packed, shift, *before])
    data = {
        **{"step": "recurrence", "cell": cell, "steps": steps, "batch": batch, "units": units},
        **{"inputs": given, "panels": packed, "bias": shift, "state": before[0], "memory": before[1]},
        **{"reverse": reverse},
    }
    unit.fields = lambda: {**data, "result": low.home(written)}
    return Held(written, sizes)


def _matmul(low: Lowering, node: fx.Node | None, a: View, b: View, sizes: tuple[int, ...]) -> Value:
    unit, cell = low.kernel(node, sizes, [a, b])
    data = {
        **{"step": "matmul", "batch": list(sizes[:-2]), "rows": sizes[-2], "columns": sizes[-1]},
        **{"depth": a.sizes[-1], "a": a, "b": b},
    }
    unit.fields = lambda: {**data, "result": low.home(cell)}
    return Held(cell, sizes)


def _product_of_two(low: Lowering, node: fx.Node) -> Value:
    a, b = (low.view(low.value(x)) for x in args_of(node)[:2])
    return _matmul(low, node, a, b, tuple(node.meta["val"].shape))


def _product_and_sum(low: Lowering, node: fx.Node) -> Value:
    shift, *factors = args_of(node)
    a, b = (low.view(low.value(x)) for x in factors)
    product = _matmul(low, None, a, b, tuple(node.meta["val"].shape))
    given = {"product": product, "shift": low.value(shift)}
    return low.elements(node, given, lambda e, x: e("add", x["product"], x["shift"]))


def _is_small_with_sum(node: fx.Node) -> bool:
    return not node.kwargs and _is_small(node)


def _is_small(node: fx.Node) -> bool:
    a, b = (x.meta["val"] for x in args_of(node)[-2:])
    many = a.shape[-2] >= MANY_ROWS and b.shape[-1] >= COLUMNS and register_bits() > 0
    most = SMALL_PRODUCT_OF_MANY_ROWS if many else SMALL_PRODUCT
    return bool(math.prod(a.shape) * b.shape[-1] <= most)


def _summed_rows(low: Lowering, node: fx.Node) -> Value:
    """The sum of rows is a product by a row of ones."""
    x, axes = args_of(node)[:2]
    sizes = tuple(x.meta["val"].shape)
    rows, columns = math.prod(sizes[: len(axes)]), math.prod(sizes[len(axes) :])
    ones = low.view(Constant(1.0, (1, rows), "float32"))
    product = _matmul(low, node, ones, low.packed(low.value(x), (rows, columns), rows=2), (1, columns))
    return low.shaped(product, tuple(node.meta["val"].shape))


def _sums_rows(node: fx.Node) -> bool:
    """Whether a sum is of rows that are read one after another, and of more than a few elements."""
    x, axes = args_of(node)[:2]
    value = x.meta["val"]
    if node.kwargs.get("dtype") not in (None, torch.float32) or not axes:
        return False
    leading = sorted(axis % value.dim() for axis in axes) == list(range(len(axes)))
    columns = math.prod(value.shape[len(axes) :])
    fits = MOST_STRIDED < value.numel() <= SMALL_PRODUCT_OF_MANY_ROWS and columns >= COLUMNS
    return bool(leading and fits and value.is_contiguous())


def _gather(low: Lowering, node: fx.Node) -> Value:
    table, indices = (low.value(x) for x in _table_and_indices(node))
    rows = low.packed(table, table.sizes)
    asked = low.view(indices)
    count, width = table.sizes
    sizes = (*asked.sizes, width)
    unit, cell = low.kernel(node, sizes, [rows, asked])
    data = {
        **{"step": "gather", "outer": list(asked.sizes), "count": count, "width": width, "table": rows},
        **{"indices": asked},
    }
    unit.fields = lambda: {**data, "result": low.home(cell)}
    return Held(cell, sizes)


def _table_and_indices(node: fx.Node) -> tuple[Any, Any]:
    return args_of(node)[0], args_of(node)[2 if node.target is aten.index_select.default else 1]


def _is_gather(node: fx.Node) -> bool:
    table, indices = (x.meta["val"] for x in _table_and_indices(node))
    first = node.target is not aten.index_select.default or args_of(node)[1] in (0, -2)
    return bool(first and table.dim() == 2 and table.dtype is torch.float32 and indices.dtype is torch.int64)


@dataclass(frozen=True)
class KernelRow:
    """One operation with a step of its own."""

    write: Callable[[Lowering, fx.Node], Value | list[Value]]
    takes: Callable[[fx.Node], bool] = _known
    #: Whether it reads indices.
    indices: bool = False
    #: Whether it has several results.
    several: bool = False


#: One row an overload.
KERNELS: dict[Any, KernelRow] = {
    LINEAR_ON_PANELS: KernelRow(_linear),
    PIXELS_ON_PANELS: KernelRow(_pixels),
    CONVOLUTION_ON_PANELS: KernelRow(_windows),
    WINOGRAD_CONVOLUTION: KernelRow(_tiles),
    DEPTHWISE_CONVOLUTION: KernelRow(_depthwise),
    ATTENTION: KernelRow(_attention),
    RECURRENCE: KernelRow(_recurrence),
    aten.mm.default: KernelRow(_product_of_two, _is_small),
    aten.bmm.default: KernelRow(_product_of_two, _is_small),
    aten.addmm.default: KernelRow(_product_and_sum, _is_small_with_sum),
    aten.baddbmm.default: KernelRow(_product_and_sum, _is_small_with_sum),
    aten.sum.dim_IntList: KernelRow(_summed_rows, _sums_rows),
    MAX_POOL: KernelRow(greatest_of_windows, takes_windows, several=True),
    aten.embedding.default: KernelRow(_gather, _is_gather, indices=True),
    aten.index_select.default: KernelRow(_gather, _is_gather, indices=True),
    hypatia.rows_by_matrix.default: KernelRow(rows_by_matrix),
    hypatia.rows_by_matrix_and_squares.default: KernelRow(rows_by_matrix_and_squares, several=True),
    INNER_PRODUCT: KernelRow(inner_product),
    hypatia.bilinear.default: KernelRow(bilinear_map, takes_table),
    hypatia.weighted_bilinear.default: KernelRow(bilinear_map, takes_table),
    hypatia.bilinear_weight_gradient.default: KernelRow(bilinear_weights, takes_table),
    hypatia.channel_map.default: KernelRow(mixed_channels, takes_table),
    hypatia.channel_map_weight_gradient.default: KernelRow(mixed_channels_weights, takes_table),
    hypatia.signed_sums.default: KernelRow(summed_places, takes_lines),
}


def taken_in(low: Lowering, node: fx.Node) -> Value | None:
    """What an operation of elements is where the product before it takes it into its pass; None if not."""
    operands = [x for x in args_of(node) if isinstance(x, fx.Node)]
    for x in operands:
        value = low.value(x)
        if not isinstance(value, Held) or value.sizes != tuple(node.meta["val"].shape):
            continue
        unit, cell = value.cell.unit.root(), value.cell
        if not isinstance(unit, Product) or cell.home is not None or cell.export or alone(x) is None:
            continue
        if unit.data["activation"] != "none":
            continue
        if (node.target is aten.add.Tensor and not node.kwargs and len(operands) == 2) and _adds(
            low, unit, cell, operands[1 - operands.index(x)], value.sizes
        ):
            low.rename(cell, node)
            return value
        fused = activation(node)
        if fused is not None and len(operands) == 1:
            name, numbers, algorithm = post_operation(fused)
            if (name, algorithm) not in ACTIVATIONS:
                continue
            unit.data |= {"activation": name, "algorithm": algorithm, "numbers": _numbers(numbers)}
            low.rename(cell, node)
            return value
    return None


def _adds(low: Lowering, unit: Product, cell: Any, other: fx.Node, sizes: tuple[int, ...]) -> bool:
    """Has a product add another value, where that is there before it."""
    value = low.value(other)
    if unit.data["other"] is not None or value.sizes != sizes:
        return False
    if isinstance(value, Held) and value.cell.unit.root() is unit:
        return False
    view = low.packed(value, cell.sizes)
    if low.follows(unit, view):
        return False
    low.depend(unit, view)
    unit.data["other"] = view
    return True
