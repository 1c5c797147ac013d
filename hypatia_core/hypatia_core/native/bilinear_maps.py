"""Steps of Clifford networks and of thin products: bilinear maps, maps of channels, signed sums, gradients
of their weights, rows by a matrix, inner products."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from hypatia_core import bilinear, channel_map, signed_sums
from hypatia_core.native.aliases import args_of, item_of
from hypatia_core.native.lowering import Lowering
from hypatia_core.native.units import Cell
from hypatia_core.native.values import Held, Value
from hypatia_core.native.views import View


def _rows(low: Lowering, x: fx.Node, batch: tuple[int, ...], width: int) -> View:
    """An operand broadcast to a batch, row after row."""
    sizes = (*batch, width)
    view = low.view(low.value(x)).expanded(sizes)
    packed = low.packed(view, sizes, rows=len(sizes)).shaped((math.prod(batch), width))
    assert packed is not None
    return packed


def _dense(low: Lowering, x: fx.Node, sizes: tuple[int, int]) -> View:
    """An operand under other sizes, row after row."""
    return low.packed(low.value(x), sizes, rows=2)


def _sizes(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _written(low: Lowering, node: fx.Node, own: tuple[int, ...], data: dict[str, Any]) -> Value:
    """A step of these words; it writes its result under sizes of its own."""
    reads = [word for word in data.values() if isinstance(word, View)]
    unit, cell = low.kernel(node, _sizes(node), reads)
    unit.fields = lambda: {**data, "result": _home(low, cell, own)}
    return Held(cell, cell.sizes)


def _home(low: Lowering, cell: Cell, own: tuple[int, ...]) -> View:
    found = low.home(cell).shaped(own)
    assert found is not None  # results lie row after row
    return found


def takes_table(node: fx.Node) -> bool:
    """Whether a table's coefficients are numbers that a program's text has."""
    terms = args_of(node)[-1]
    return "inf" not in terms and "nan" not in terms and not node.kwargs


def takes_lines(node: fx.Node) -> bool:
    """The same of signed sums, whose constant may be a keyword."""
    return len(args_of(node)) == 3 and takes_table(node)


def _bilinear_table(terms: str) -> dict[str, Any]:
    table = bilinear.parsed(terms)
    return {"widths": table.widths, "weights": table.weights, "terms": table.terms}


def bilinear_map(low: Lowering, node: fx.Node) -> Value:
    """Σ c·xᵢ·yⱼ, and with weights Σ w·c·xᵢ·yⱼ."""
    x, y, *weight, terms = args_of(node)
    table, batch = _bilinear_table(terms), _sizes(node)[:-1]
    n, m, p = table["widths"]
    rows, channels = math.prod(batch), batch[-1] if weight else 1
    data: dict[str, Any] = {
        **{"step": "bilinear", "table": table, "rows": rows, "channels": channels},
        **{"x": _rows(low, x, batch, n), "y": _rows(low, y, batch, m), "weight": None},
    }
    if weight:
        data["weight"] = _rows(low, weight[0], (channels,), table["weights"])
    return _written(low, node, (rows, p), data)


def bilinear_weights(low: Lowering, node: fx.Node) -> Value:
    """The gradient of such weights, Σ g·c·xᵢ·yⱼ over the rows of each channel."""
    x, y, gradient, terms = args_of(node)
    table = _bilinear_table(terms)
    n, m, p = table["widths"]
    batch = tuple(torch.broadcast_shapes(x.meta["val"].shape[:-1], y.meta["val"].shape[:-1]))
    data = {
        **{"step": "bilinear_weights", "table": table, "rows": math.prod(batch), "channels": batch[-1]},
        **{"x": _rows(low, x, batch, n), "y": _rows(low, y, batch, m)},
        "gradient": _rows(low, gradient, batch, p),
    }
    return _written(low, node, _sizes(node), data)


def _mixing(low: Lowering, terms: str, x: fx.Node, outs: int) -> dict[str, Any]:
    """The words of both steps of a channel map."""
    table = channel_map.parsed(terms)
    *batch, ins, places = _sizes(x)
    rows, widths = math.prod(batch), (table.weights, table.places, table.results)
    return {
        "table": {"widths": widths, "zeros_count": table.zeros_count, "terms": table.terms},
        **{"rows": rows, "channels": (outs, ins), "x": _dense(low, x, (rows, ins * places))},
    }


def mixed_channels(low: Lowering, node: fx.Node) -> Value:
    """Σ c·w[o, c, a]·x[…, c, j]."""
    x, weight, terms = args_of(node)
    outs, results = _sizes(node)[-2:]
    words = _mixing(low, terms, x, outs)
    data = {"step": "channel_map", **words, "weight": low.view(low.value(weight))}
    return _written(low, node, (words["rows"], outs * results), data)


def mixed_channels_weights(low: Lowering, node: fx.Node) -> Value:
    """The gradient of such a weight."""
    x, gradient, terms = args_of(node)
    outs, results = _sizes(gradient)[-2:]
    words = _mixing(low, terms, x, outs)
    of_result = _dense(low, gradient, (words["rows"], outs * results))
    data = {"step": "channel_map_weights", **words, "gradient": of_result}
    return _written(low, node, _sizes(node), data)


def summed_places(low: Lowering, node: fx.Node) -> Value:
    """Sums and differences of places, with a constant perhaps."""
    x, constant, terms = args_of(node)
    table = signed_sums.parsed(terms)
    rows, _, length = _sizes(x)
    data = {
        **{"step": "signed_sums", **table._asdict(), "rows": rows, "length": length},
        **{"x": low.view(low.value(x)), "constant": None},
    }
    if constant is not None:
        data["constant"] = _rows(low, constant, (table.results,), length)
    return _written(low, node, _sizes(node), data)


def rows_by_matrix(low: Lowering, node: fx.Node) -> Value:
    """x @ m of a dense matrix x, or of a stack of them."""
    words = _rows_by(low, node)
    return _written(low, node, (words["rows"], words["columns"]), {**words, "squares": None})


def rows_by_matrix_and_squares(low: Lowering, node: fx.Node) -> list[Value]:
    """The same, and Σ x² in the same pass."""
    words = _rows_by(low, node)
    product, squares = (tuple(fake.shape) for fake in node.meta["val"])
    unit, cell = low.kernel(item_of(node, 0), product, [words["x"], words["matrix"]])
    one = low.cell(squares, "float32", unit, None, item_of(node, 1))
    unit.fields = lambda: {
        **words,
        "result": _home(low, cell, (words["rows"], words["columns"])),
        "squares": _home(low, one, (1,)),
    }
    return [Held(cell, product), Held(one, squares)]


def _rows_by(low: Lowering, node: fx.Node) -> dict[str, Any]:
    x, matrix = args_of(node)
    depth, columns = _sizes(matrix)
    rows = math.prod(_sizes(x)[:-1])
    return {
        **{"step": "rows_by_matrix", "rows": rows, "depth": depth, "columns": columns},
        **{"x": _dense(low, x, (rows, depth)), "matrix": _dense(low, matrix, (depth, columns))},
    }


def inner_product(low: Lowering, node: fx.Node) -> Value:
    """Σ xᵢ·yᵢ of two vectors."""
    x, y = args_of(node)
    (count,) = _sizes(x)
    views = {name: _rows(low, vector, (), count).shaped((count,)) for name, vector in (("x", x), ("y", y))}
    return _written(low, node, (1,), {"step": "inner_product", "count": count, **views})
