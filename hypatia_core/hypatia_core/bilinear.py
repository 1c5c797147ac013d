"""Sparse bilinear maps as operations of torch: the product of an algebra over a batch, for instance.

`torch.ops.hypatia.bilinear(x, y, terms)` is Σ c·xᵢ·yⱼ over the last dimensions, for the terms of a table that
is written as text: the three widths, then `i j k c` for each term, all apart by commas. What stands before
the last dimension broadcasts.

`torch.ops.hypatia.weighted_bilinear(x, y, weight, terms)` multiplies each term by a weight of its channel,
the last dimension before the rows: `weight` is (channels, weights), and a term is `i j k c w`.

`torch.ops.hypatia.rows_by_matrix(x, matrix)` is `x @ matrix` for a small matrix and many rows, and
`torch.ops.hypatia.rows_by_matrix_and_squares(x, matrix)` that and the sum of the squares of x, of which it
reads long rows once.

All have gradients of any order, which are such maps themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hypatia_core._hypatia_core import BilinearMap, rows_by_matrix, rows_by_matrix_and_squares

#: The operations' declarations; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "DEF")
for _signature in (
    "bilinear(Tensor x, Tensor y, str terms) -> Tensor",
    "weighted_bilinear(Tensor x, Tensor y, Tensor weight, str terms) -> Tensor",
    "bilinear_weight_gradient(Tensor x, Tensor y, Tensor gradient, str terms) -> Tensor",
    "rows_by_matrix(Tensor x, Tensor matrix) -> Tensor",
    "rows_by_matrix_and_squares(Tensor x, Tensor matrix) -> (Tensor, Tensor)",
):
    _LIBRARY.define(_signature, tags=(torch.Tag.pt2_compliant_tag,))


class Term(NamedTuple):
    """`result[k] += c * x[i] * y[j]`, times weight w where there are weights."""

    i: int
    j: int
    k: int
    c: float
    w: int = 0


class Table(NamedTuple):
    """A map's widths, how many weights a channel has (0 without weights), and the terms."""

    widths: tuple[int, int, int]
    weights: int
    terms: tuple[Term, ...]

    def text(self) -> str:
        """As the operations take it."""
        weights = [self.weights] if self.weights else []
        head = " ".join(map(str, (*self.widths, *weights)))
        used = 5 if self.weights else 4
        return ",".join([head, *(" ".join(repr(value) for value in term[:used]) for term in self.terms)])


def terms_text(shape: Sequence[int], values: Sequence[float]) -> str:
    """The text of a dense table of shape (n, m, p).

    >>> terms_text([1, 2, 1], [0.0, -1.0])
    '1 2 1,0 1 0 -1.0'
    """
    n, m, p = shape
    terms = (
        Term(place // (m * p), place // p % m, place % p, float(value))
        for place, value in enumerate(values)
        if value
    )
    return Table((n, m, p), 0, tuple(terms)).text()


@functools.lru_cache(maxsize=1024)
def parsed(text: str) -> Table:
    """The table that a text says.

    >>> parsed("1 2 3,0 1 2 -1.0").terms
    (Term(i=0, j=1, k=2, c=-1.0, w=0),)
    """
    head, *rows = text.split(",")
    n, m, p, *weights = map(int, head.split())
    split = [row.split() for row in rows]
    terms = tuple(Term(int(i), int(j), int(k), float(c), *map(int, w)) for i, j, k, c, *w in split)
    return Table((n, m, p), weights[0] if weights else 0, terms)


@functools.lru_cache(maxsize=1024)
def _map(text: str) -> BilinearMap:
    table = parsed(text)
    return BilinearMap(table.widths, table.terms, table.weights)


@functools.lru_cache(maxsize=1024)
def adjoint(text: str, operand: int) -> str:
    """The map that gives an operand's gradient, of the result's gradient and the other operand.

    >>> adjoint("1 2 3,0 1 2 -1.0", 0)
    '3 2 1,2 1 0 -1.0'
    """
    (n, m, p), weights, terms = parsed(text)
    if operand == 0:
        return Table((p, m, n), weights, tuple(Term(k, j, i, c, w) for i, j, k, c, w in terms)).text()
    return Table((p, n, m), weights, tuple(Term(k, i, j, c, w) for i, j, k, c, w in terms)).text()


def _rows(x: Tensor, y: Tensor, widths: tuple[int, int, int]) -> tuple[Tensor, Tensor, torch.Size]:
    """Both operands as dense rows of one batch, and that batch's shape."""
    if x.shape[-1] != widths[0] or y.shape[-1] != widths[1]:
        raise ValueError(f"bilinear: rows of {x.shape[-1]} and {y.shape[-1]} where {widths} is asked for")
    batch = x.shape[:-1]
    if y.shape[:-1] != batch:
        batch = torch.broadcast_shapes(batch, y.shape[:-1])
        x, y = x.expand(*batch, x.shape[-1]), y.expand(*batch, y.shape[-1])
    return x.contiguous(), y.contiguous(), batch


def is_ours(*values: Tensor) -> bool:
    """Whether the engine's code takes elements of this type."""
    dtype = values[0].dtype
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    return all(value.dtype is dtype and value.is_cpu for value in values)


def on_rows(x: Tensor, y: Tensor, terms: str) -> Tensor:
    """`torch.ops.hypatia.bilinear` past the dispatcher: the engine's own code on the memory of dense rows."""
    if not is_ours(x, y):
        return _by_matrix(x, y, terms)
    widths = parsed(terms).widths
    x, y, batch = _rows(x, y, widths)
    result = x.new_empty((*batch, widths[2]))
    double = x.dtype == torch.float64
    _map(terms).run(
        double, x.data_ptr(), y.data_ptr(), 0, 1, result.data_ptr(), batch.numel(), torch.get_num_threads()
    )
    return result


def weighted_on_rows(x: Tensor, y: Tensor, weight: Tensor, terms: str) -> Tensor:
    """`torch.ops.hypatia.weighted_bilinear` past the dispatcher."""
    if not is_ours(x, y, weight):
        return _weighted_by_matrix(x, y, weight, terms)
    widths, weights, _ = parsed(terms)
    x, y, batch = _rows(x, y, widths)
    channels = _channels(batch, weight.shape, weights)
    weight = weight.contiguous()
    result = x.new_empty((*batch, widths[2]))
    _map(terms).run(
        x.dtype == torch.float64,
        x.data_ptr(),
        y.data_ptr(),
        weight.data_ptr(),
        channels,
        result.data_ptr(),
        batch.numel(),
        torch.get_num_threads(),
    )
    return result


def weight_gradient_on_rows(x: Tensor, y: Tensor, gradient: Tensor, terms: str) -> Tensor:
    """`torch.ops.hypatia.bilinear_weight_gradient` past the dispatcher."""
    if not is_ours(x, y, gradient):
        return _weight_gradient_by_matrix(x, y, gradient, terms)
    widths, weights, _ = parsed(terms)
    x, y, batch = _rows(x, y, widths)
    gradient = gradient.expand(*batch, widths[2]).contiguous()
    result = x.new_empty((batch[-1], weights))
    _map(terms).weight_gradient(
        x.dtype == torch.float64,
        x.data_ptr(),
        y.data_ptr(),
        result.data_ptr(),
        batch[-1],
        gradient.data_ptr(),
        batch.numel(),
        torch.get_num_threads(),
    )
    return result


def many_rows_by_matrix(x: Tensor, matrix: Tensor) -> Tensor:
    """`torch.ops.hypatia.rows_by_matrix` past the dispatcher."""
    return x @ matrix if not is_ours(x, matrix) else _rows_by(rows_by_matrix, x, matrix)[0]


def rows_and_squares(x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`torch.ops.hypatia.rows_by_matrix_and_squares` past the dispatcher."""
    if not is_ours(x, matrix):
        return _product_and_squares(x, matrix)
    product, squares = _rows_by(rows_by_matrix_and_squares, x, matrix)
    return product, x.new_full((), squares)


def _rows_by(native: Callable[..., Any], x: Tensor, matrix: Tensor) -> tuple[Tensor, Any]:
    """Rows by a matrix, which native code writes, and what that gives."""
    if x.dim() == 0 or matrix.dim() != 2 or x.shape[-1] != matrix.shape[0]:
        raise ValueError(f"rows of shape {tuple(x.shape)} by a matrix of shape {tuple(matrix.shape)}")
    x, matrix = x.contiguous(), matrix.contiguous()
    n, p = matrix.shape
    result = x.new_empty((*x.shape[:-1], p))
    given = native(
        x.dtype == torch.float64,
        x.data_ptr(),
        matrix.data_ptr(),
        result.data_ptr(),
        x.shape[:-1].numel(),
        (n, p),
        torch.get_num_threads(),
    )
    return result, given


def _channels(batch: torch.Size, weight: torch.Size, weights: int) -> int:
    if len(batch) == 0 or tuple(weight) != (batch[-1], weights):
        raise ValueError(
            f"weighted_bilinear: weights of shape {tuple(weight)} where the last of {tuple(batch)} is the "
            f"channels and each has {weights}"
        )
    return batch[-1]


# Where there is no code of our own: all pairs, then one product with the table as a matrix.


def _matrix(terms: str, like: Tensor) -> Tensor:
    """The table as (n * m, weights or 1, p)."""
    (n, m, p), weights, entries = parsed(terms)
    table = torch.zeros(n, m, max(weights, 1), p, dtype=torch.float64)
    for i, j, k, c, w in entries:
        table[i, j, w, k] += c
    return table.flatten(0, 1).to(like)


def _pairs(x: Tensor, y: Tensor) -> Tensor:
    return (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)


def _by_matrix(x: Tensor, y: Tensor, terms: str) -> Tensor:
    pairs = _pairs(x, y)
    return pairs @ _matrix(terms, pairs).squeeze(1)


def _weighted_by_matrix(x: Tensor, y: Tensor, weight: Tensor, terms: str) -> Tensor:
    pairs = _pairs(x, y)
    _channels(pairs.shape[:-1], weight.shape, parsed(terms).weights)
    return torch.einsum("...cq,qwk,cw->...ck", pairs, _matrix(terms, pairs), weight)


def _weight_gradient_by_matrix(x: Tensor, y: Tensor, gradient: Tensor, terms: str) -> Tensor:
    pairs = _pairs(x, y).expand(*gradient.shape[:-1], -1)
    by_weight = torch.einsum("...cq,qwk,...ck->...cw", pairs, _matrix(terms, pairs), gradient)
    return by_weight.flatten(0, -3).sum(0) if by_weight.dim() > 2 else by_weight


def _product_and_squares(x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    return x @ matrix, x.square().sum()


def _shape_of(x: Tensor, y: Tensor, terms: str) -> Any:
    """The result without its values."""
    batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.new_empty((*batch, parsed(terms).widths[2]), dtype=dtype)


def _shape_of_weights(x: Tensor, y: Tensor, gradient: Tensor, terms: str) -> Any:
    return x.new_empty((gradient.shape[-2], parsed(terms).weights))


# Gradients.


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.terms = inputs
    ctx.save_for_backward(*tensors)


def _gradients(context: Any, g: Tensor) -> tuple[Any, ...]:
    x, y = context.saved_tensors
    needs = context.needs_input_grad
    bilinear = torch.ops.hypatia.bilinear
    dx = bilinear(g, y, adjoint(context.terms, 0)).sum_to_size(x.shape) if needs[0] else None
    dy = bilinear(g, x, adjoint(context.terms, 1)).sum_to_size(y.shape) if needs[1] else None
    return dx, dy, None


def _weighted_gradients(context: Any, g: Tensor) -> tuple[Any, ...]:
    x, y, weight = context.saved_tensors
    needs, ops = context.needs_input_grad, torch.ops.hypatia
    dx, dy, dw = None, None, None
    if needs[0]:
        dx = ops.weighted_bilinear(g, y, weight, adjoint(context.terms, 0)).sum_to_size(x.shape)
    if needs[1]:
        dy = ops.weighted_bilinear(g, x, weight, adjoint(context.terms, 1)).sum_to_size(y.shape)
    if needs[2]:
        dw = ops.bilinear_weight_gradient(x, y, g, context.terms)
    return dx, dy, dw, None


def _gradients_of_weight_gradient(context: Any, h: Tensor) -> tuple[Any, ...]:
    # It is linear in each of x, y and g, with h in the weights' place.
    x, y, g = context.saved_tensors
    needs, weighted = context.needs_input_grad, torch.ops.hypatia.weighted_bilinear
    dx = weighted(g, y, h, adjoint(context.terms, 0)).sum_to_size(x.shape) if needs[0] else None
    dy = weighted(g, x, h, adjoint(context.terms, 1)).sum_to_size(y.shape) if needs[1] else None
    dg = weighted(x, y, h, context.terms) if needs[2] else None
    return dx, dy, dg, None


def _keep_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _gradients_of_rows(context: Any, g: Tensor) -> tuple[Any, ...]:
    x, matrix = context.saved_tensors
    needs = context.needs_input_grad
    dx = torch.ops.hypatia.rows_by_matrix(g, matrix.mT) if needs[0] else None
    dm = x.reshape(-1, x.shape[-1]).mT @ g.reshape(-1, g.shape[-1]) if needs[1] else None
    return dx, dm


def _gradients_of_rows_and_squares(context: Any, g: Tensor, of_squares: Tensor) -> tuple[Any, ...]:
    dx, dm = _gradients_of_rows(context, g)
    return (None if dx is None else dx + 2 * of_squares * context.saved_tensors[0]), dm


# Batches of calls.


def _first(value: Any, dim: int | None, extents: int) -> Any:
    """With the batch of calls first, before so many extents of its own."""
    if dim is None:
        return value
    value = value.movedim(dim, 0)
    return value.reshape(value.shape[0], *[1] * (extents + 1 - value.dim()), *value.shape[1:])


def _each(operation: Any, size: int, in_dims: tuple[int | None, ...], values: tuple[Any, ...]) -> list[Any]:
    pairs = list(zip(values, in_dims, strict=True))
    calls = ([value if dim is None else value.select(dim, n) for value, dim in pairs] for n in range(size))
    return [operation(*call) for call in calls]


def _one_by_one(operation: Any, size: int, in_dims: tuple[int | None, ...], values: tuple[Any, ...]) -> Any:
    return torch.stack(_each(operation, size, in_dims, values))


def _many_bilinear(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[Any, int]:
    x, y, *others = values
    if any(dim is not None for dim in in_dims[2:]):
        operation = torch.ops.hypatia.weighted_bilinear
        return _one_by_one(operation, info.batch_size, in_dims, values), 0
    extents = max(v.dim() - (dim is not None) for v, dim in zip((x, y), in_dims, strict=False))
    x, y = _first(x, in_dims[0], extents), _first(y, in_dims[1], extents)
    operation = torch.ops.hypatia.bilinear if len(others) == 1 else torch.ops.hypatia.weighted_bilinear
    return operation(x, y, *others), 0


def _many_weight_gradients(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[Any, int]:
    operation = torch.ops.hypatia.bilinear_weight_gradient
    return _one_by_one(operation, info.batch_size, in_dims, values), 0


def _many_rows(info: Any, in_dims: tuple[int | None, ...], x: Any, matrix: Any) -> tuple[Any, int]:
    if in_dims[1] is None:
        return torch.ops.hypatia.rows_by_matrix(x.movedim(in_dims[0], 0), matrix), 0
    return _one_by_one(torch.ops.hypatia.rows_by_matrix, info.batch_size, in_dims, (x, matrix)), 0


def _many_rows_and_squares(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[Any, Any]:
    found = _each(torch.ops.hypatia.rows_by_matrix_and_squares, info.batch_size, in_dims, values)
    return tuple(torch.stack(results) for results in zip(*found, strict=True)), (0, 0)


def _register() -> None:
    rows: dict[str, tuple[Callable[..., Any], ...]] = {
        "bilinear": (on_rows, _by_matrix, _shape_of, _gradients, _many_bilinear),
        "weighted_bilinear": (
            weighted_on_rows,
            _weighted_by_matrix,
            lambda x, y, weight, terms: _shape_of(x, y, terms),
            _weighted_gradients,
            _many_bilinear,
        ),
        "bilinear_weight_gradient": (
            weight_gradient_on_rows,
            _weight_gradient_by_matrix,
            _shape_of_weights,
            _gradients_of_weight_gradient,
            _many_weight_gradients,
        ),
        "rows_by_matrix": (
            many_rows_by_matrix,
            torch.matmul,
            lambda x, matrix: x.new_empty((*x.shape[:-1], matrix.shape[-1])),
            _gradients_of_rows,
            _many_rows,
        ),
        "rows_by_matrix_and_squares": (
            rows_and_squares,
            _product_and_squares,
            lambda x, matrix: (x.new_empty((*x.shape[:-1], matrix.shape[-1])), x.new_empty(())),
            _gradients_of_rows_and_squares,
            _many_rows_and_squares,
        ),
    }
    for name, (ours, by_matrix, shape, gradients, many) in rows.items():
        _LIBRARY.impl(name, ours, "CPU")
        _LIBRARY.impl(name, by_matrix, "CUDA")
        operation = f"hypatia::{name}"
        keep = _keep_tensors if name.startswith("rows_by_matrix") else _keep
        torch.library.register_fake(operation, shape, lib=_LIBRARY)
        torch.library.register_vmap(operation, many, lib=_LIBRARY)
        torch.library.register_autograd(operation, gradients, setup_context=keep, lib=_LIBRARY)


_register()

ROWS_BY_MATRIX = torch.ops.hypatia.rows_by_matrix.default
ROWS_BY_MATRIX_AND_SQUARES = torch.ops.hypatia.rows_by_matrix_and_squares.default
