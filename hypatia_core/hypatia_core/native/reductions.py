"""Operations over rows, one row each: sums and the like, norms, softmax, and what they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from hypatia_core.native.aliases import args_of, keywords_of
from hypatia_core.native.pointwise import Emitter
from hypatia_core.native.units import Register

aten = torch.ops.aten

#: Rows whose elements do not lie together are read from far apart: of no more elements.
MOST_STRIDED = 1 << 15


@dataclass(frozen=True)
class Reduced:
    """How an operation reads: its operand of full size, along which axes, and the rest by register."""

    #: Operands of the full size, and those that lie along the row, which may be missing.
    full: tuple[fx.Node, ...]
    along: tuple[fx.Node | None, ...]
    axes: tuple[int, ...]
    #: Instructions, of the emitter, these operands and the row's extent: the results, one or several.
    write: Callable[[Emitter, list[Any], list[Any], int], tuple[Register, ...]]


def _axes(given: Any, rank: int) -> tuple[int, ...]:
    axes = range(rank) if given is None or given == [] or given == () else given
    axes = [axes] if isinstance(axes, int) else axes
    return tuple(sorted(axis % rank for axis in axes)) if rank else ()


def _over(node: fx.Node, axes: Any, write: Callable[[Emitter, Register, int], Register]) -> Reduced | None:
    x = args_of(node)[0]
    assert isinstance(x, fx.Node)
    rank = x.meta["val"].dim()
    return Reduced((x,), (), _axes(axes, rank), lambda e, full, along, n: (write(e, full[0], n),))


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return args_of(node)[position] if len(args_of(node)) > position else node.kwargs.get(name, default)


def _simple(write: Callable[[Emitter, Register, int], Register]) -> Callable[[fx.Node], Reduced | None]:
    return lambda node: _over(node, _argument(node, 1, "dim", None), write)


def _whole(write: Callable[[Emitter, Register, int], Register]) -> Callable[[fx.Node], Reduced | None]:
    return lambda node: _over(node, None, write)


def _sum(e: Emitter, x: Register, n: int) -> Register:
    return e("sum", x)


def _mean(e: Emitter, x: Register, n: int) -> Register:
    return e("div", e("sum", x), n)


def _greatest(e: Emitter, x: Register, n: int) -> Register:
    return e("max", x)


def _least(e: Emitter, x: Register, n: int) -> Register:
    return e("min", x)


def _product(e: Emitter, x: Register, n: int) -> Register:
    return e("prod", x)


def _squares(e: Emitter, x: Register, n: int) -> Register:
    """The sum of squared distances from the mean."""
    far = e("sub", x, _mean(e, x, n))
    return e("sum", e("mul", far, far))


def _variance(node: fx.Node) -> Reduced | None:
    correction = keywords_of(node).get("correction", 1)
    correction = 1 if correction is None else correction

    def write(e: Emitter, x: Register, n: int) -> Register:
        left = max(float(n - correction), 0.0)
        return e("div", _squares(e, x, n), left)

    return _over(node, _argument(node, 1, "dim", None), write)


def _norm(node: fx.Node) -> Reduced | None:
    if _argument(node, 1, "ord", 2) != 2 or node.kwargs.get("dtype") is not None:
        return None

    def write(e: Emitter, x: Register, n: int) -> Register:
        return e("sqrt", e("sum", e("mul", x, x)))

    return _over(node, _argument(node, 2, "dim", None), write)


def _exponentials(e: Emitter, x: Register) -> tuple[Register, Register]:
    """x less its greatest, and the exponential of that."""
    low = e("sub", x, e("max", x))
    return low, e("exp", low)


def _along_one(node: fx.Node, write: Callable[..., Any]) -> Reduced | None:
    x, axis = args_of(node)[:2]
    if len(args_of(node)) > 2 and args_of(node)[2] not in (False, None):
        return None
    assert isinstance(x, fx.Node) and isinstance(axis, int)
    rank = x.meta["val"].dim()
    if rank == 0 or axis % rank != rank - 1:
        return None
    return Reduced((x,), (), (rank - 1,), write)


def _softmax(node: fx.Node) -> Reduced | None:
    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        _, high = _exponentials(e, full[0])
        return (e("mul", high, e("reciprocal", e("sum", high))),)

    return _along_one(node, write)


def _safe_softmax(node: fx.Node) -> Reduced | None:
    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        greatest = e("max", full[0])
        high = e("exp", e("sub", full[0], greatest))
        ratio = e("mul", high, e("reciprocal", e("sum", high)))
        return (e("where", e("eq", greatest, -math.inf), 0.0, ratio),)

    return _along_one(node, write)


def _log_softmax(node: fx.Node) -> Reduced | None:
    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        low, high = _exponentials(e, full[0])
        return (e("sub", low, e("log", e("sum", high))),)

    return _along_one(node, write)


def _softmax_gradient(node: fx.Node, of_logarithm: bool) -> Reduced | None:
    gradient, y, axis, dtype = args_of(node)
    assert isinstance(gradient, fx.Node) and isinstance(y, fx.Node) and isinstance(axis, int)
    rank = y.meta["val"].dim()
    if rank == 0 or axis % rank != rank - 1 or dtype is not torch.float32:
        return None

    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        g, out = full
        if of_logarithm:
            return (e("sub", g, e("mul", e("exp", out), e("sum", g))),)
        product = e("mul", g, out)
        return (e("sub", product, e("mul", out, e("sum", product))),)

    return Reduced((gradient, y), (), (rank - 1,), write)


def _layer_norm(node: fx.Node) -> Reduced | None:
    x, shape, weight, bias, epsilon = args_of(node)
    assert isinstance(x, fx.Node) and isinstance(shape, (list, tuple))
    rank = x.meta["val"].dim()

    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        mean = _mean(e, full[0], n)
        far = e("sub", full[0], mean)
        spread = e("rsqrt", e("add", e("div", e("sum", e("mul", far, far)), n), epsilon))
        y = e("mul", far, spread)
        scale, shift = along
        y = y if scale is None else e("mul", y, scale)
        return (y if shift is None else e("add", y, shift)), mean, spread

    return Reduced((x,), (weight, bias), tuple(range(rank - len(shape), rank)), write)


def _rms_norm(node: fx.Node) -> Reduced | None:
    x, shape = args_of(node)[:2]
    weight, epsilon = _argument(node, 2, "weight", None), _argument(node, 3, "eps", None)
    assert isinstance(x, fx.Node) and isinstance(shape, (list, tuple))
    rank = x.meta["val"].dim()
    small = torch.finfo(torch.float32).eps if epsilon is None else epsilon

    def write(e: Emitter, full: list[Any], along: list[Any], n: int) -> tuple[Register, ...]:
        spread = e("rsqrt", e("add", e("div", e("sum", e("mul", full[0], full[0])), n), small))
        y = e("mul", full[0], spread)
        return (y if along[0] is None else e("mul", y, along[0])), spread

    return Reduced((x,), (weight,), tuple(range(rank - len(shape), rank)), write)


#: One row an overload; None of a row means that this one is not for it.
REDUCTIONS: dict[Any, Callable[[fx.Node], Reduced | None]] = {
    aten.sum.dim_IntList: _simple(_sum),
    aten.sum.default: _whole(_sum),
    aten.mean.dim: _simple(_mean),
    aten.mean.default: _whole(_mean),
    aten.amax.default: _simple(_greatest),
    aten.amin.default: _simple(_least),
    aten.max.default: _whole(_greatest),
    aten.min.default: _whole(_least),
    aten.prod.default: _whole(_product),
    aten.prod.dim_int: _simple(_product),
    aten.any.dim: _simple(_greatest),
    aten.any.dims: _simple(_greatest),
    aten.any.default: _whole(_greatest),
    aten.all.dim: _simple(_least),
    aten.all.dims: _simple(_least),
    aten.all.default: _whole(_least),
    aten.var.correction: _variance,
    aten.linalg_vector_norm.default: _norm,
    aten._softmax.default: _softmax,
    aten._safe_softmax.default: _safe_softmax,
    aten._log_softmax.default: _log_softmax,
    aten._softmax_backward_data.default: lambda node: _softmax_gradient(node, False),
    aten._log_softmax_backward_data.default: lambda node: _softmax_gradient(node, True),
    aten.native_layer_norm.default: _layer_norm,
    aten._fused_rms_norm.default: _rms_norm,
}

#: Of these each result has a place in a tuple.
OF_SEVERAL = frozenset({aten.native_layer_norm.default, aten._fused_rms_norm.default})
