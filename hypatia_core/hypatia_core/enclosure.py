"""A graph run over intervals of float64: enclosures of its outputs over the reals, rounding accounted for."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx
from torch.utils import _pytree as pytree

aten = torch.ops.aten

#: Units in the last place that torch's elementary functions may err in float64; one or two are documented.
FUNCTION_ULPS = 8.0
EPS = 2.0**-52
TINY = 5e-324


Elementwise = Callable[[torch.Tensor], torch.Tensor]
Bilinear = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class UnboundedError(Exception):
    """No enclosure of an operation's result is known; the message names the operation."""


class Interval(NamedTuple):
    """Everything between two float64 tensors of one shape."""

    low: torch.Tensor
    high: torch.Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of both ends."""
        return self.low.shape


def exact(value: torch.Tensor) -> Interval:
    """The real numbers that a tensor holds."""
    wide = value.detach().to(torch.float64)
    return Interval(wide, wide)


def _outward(low: torch.Tensor, high: torch.Tensor, ulps: float = 1.0) -> Interval:
    return Interval(low - (low.abs() * (ulps * EPS) + TINY), high + (high.abs() * (ulps * EPS) + TINY))


def _interval(value: Any) -> Interval:
    if isinstance(value, Interval):
        return value
    if isinstance(value, torch.Tensor):
        return exact(value)
    return exact(torch.tensor(float(value), dtype=torch.float64))


def _corners(a: Any, b: Any, operation: Callable[[Any, Any], torch.Tensor]) -> Interval:
    (p, q), (r, s) = _interval(a), _interval(b)
    ends = torch.stack(torch.broadcast_tensors(*(operation(x, y) for x in (p, q) for y in (r, s))))
    return _outward(ends.amin(0), ends.amax(0))


def _add(a: Any, b: Any, *, alpha: float = 1) -> Interval:
    (p, q), (r, s) = _interval(a), _interval(b) if alpha == 1 else _mul(b, alpha)
    return _outward(p + r, q + s)


def _neg(a: Any) -> Interval:
    low, high = _interval(a)
    return Interval(-high, -low)


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Interval:
    return _add(a, _neg(b), alpha=alpha)


def _mul(a: Any, b: Any) -> Interval:
    return _corners(a, b, torch.mul)


def _div(a: Any, b: Any) -> Interval:
    low, high = _interval(b)
    if bool(((low <= 0) & (high >= 0)).any()):
        raise UnboundedError("a division by what may be zero")
    return _corners(a, b, torch.div)


def _rising(
    function: Callable[[torch.Tensor], torch.Tensor], least: float = -math.inf
) -> Callable[[Any], Interval]:
    def apply(a: Any) -> Interval:
        low, high = _interval(a)
        if bool((low < least).any()):
            raise UnboundedError(
                f"{getattr(function, '__name__', function)} near the end of where it is defined"
            )
        return _outward(function(low), function(high), FUNCTION_ULPS)

    return apply


def _gentle(function: Elementwise) -> Callable[[Any], Interval]:
    """A function that nowhere rises or falls faster than its argument."""

    def apply(a: Any) -> Interval:
        low, high = _interval(a)
        middle = (low + high) / 2
        value, radius = function(middle), (high - low) + middle.abs() * EPS + FUNCTION_ULPS * EPS
        return _outward(value - radius, value + radius)

    return apply


def _abs(a: Any) -> Interval:
    low, high = _interval(a)
    ends = torch.maximum(low.abs(), high.abs())
    inner = torch.where((low <= 0) & (high >= 0), torch.zeros_like(low), torch.minimum(low.abs(), high.abs()))
    return Interval(inner, ends)


def _pow(a: Any, exponent: Any) -> Interval:
    if isinstance(exponent, (Interval, torch.Tensor)) or exponent != int(exponent) or not 0 <= exponent <= 16:
        raise UnboundedError(f"the power {exponent}")
    if exponent % 2 == 0:
        a = _abs(a)
    low, high = _interval(a)
    return _outward(low ** int(exponent), high ** int(exponent), 2.0 + exponent)


def _both(operation: Callable[..., torch.Tensor]) -> Callable[..., Interval]:
    """An operation that only moves elements, or that rises in each operand and rounds nothing."""

    def apply(*args: Any, **kwargs: Any) -> Interval:
        def end(which: int) -> torch.Tensor:
            pick = lambda value: _interval(value)[which] if isinstance(value, Interval) else value  # noqa: E731
            picked, named = pytree.tree_map(pick, (args, kwargs), is_leaf=lambda v: isinstance(v, Interval))
            return operation(*picked, **named)

        return Interval(end(0), end(1))

    return apply


def _sum(a: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Interval:
    low, high = _interval(a)
    axes = list(range(low.ndim)) if dim is None or dim == [] else dim
    if low.ndim == 0:
        return Interval(low, high)
    count = low.numel() / max(1, low.sum(axes).numel())
    size = torch.maximum(low.abs(), high.abs()).sum(axes, keepdim=keepdim)
    error = size * (count * 2 * EPS) + TINY
    return Interval(low.sum(axes, keepdim=keepdim) - error, high.sum(axes, keepdim=keepdim) + error)


def _mean(a: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Interval:
    total = _sum(a, dim, keepdim)
    return _div(total, _interval(a).low.numel() / max(1, total.low.numel()))


def _variance(a: Any, dim: Any = None, *, correction: float | None = None, keepdim: bool = False) -> Interval:
    centred = _sub(a, _mean(a, dim, True))
    total = _sum(_pow(centred, 2), dim, keepdim)
    count = _interval(a).low.numel() / max(1, total.low.numel())
    return _div(total, count - (1 if correction is None else correction))


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any, epsilon: float) -> tuple[Interval, ...]:
    axes = list(range(-len(shape), 0))
    mean = _mean(x, axes, True)
    scale = _rsqrt(_add(_variance(x, axes, correction=0, keepdim=True), epsilon))
    value = _mul(_sub(x, mean), scale)
    value = value if weight is None else _mul(value, weight)
    return (value if bias is None else _add(value, bias), mean, scale)


def _rsqrt(a: Any) -> Interval:
    return _div(1.0, _rising(torch.sqrt, TINY)(a))


def _product(multiply: Bilinear, terms: int, a: Any, b: Any) -> Interval:
    """A bilinear operation that sums so many products, by midpoints and radii (Rump 1999)."""

    def middle(value: Any) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = _interval(value)
        centre = low + (high - low) / 2
        return centre, torch.maximum(high - centre, centre - low) * (1 + 4 * EPS)

    (p, r), (q, s) = middle(a), middle(b)
    value = multiply(p, q)
    spread = multiply(p.abs(), s) + multiply(r, q.abs() + s)
    rounding = multiply(p.abs(), q.abs()) * ((terms + 4) * EPS)
    radius = (spread + rounding) * (1 + (terms + 8) * EPS) + TINY * (terms + 1)
    return _outward(value - radius, value + radius)


def _matmul(a: Any, b: Any) -> Interval:
    return _product(torch.matmul, int(_interval(a).shape[-1]), a, b)


def _addmm(c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Interval:
    return _add(_mul(c, beta), _mul(_matmul(a, b), alpha))


def _convolution(x: Any, weight: Any, bias: Any, *rest: Any) -> Interval:
    terms = int(_interval(weight).low[0].numel())

    def convolve(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = aten.convolution(p, q, None, *rest)
        return product

    value = _product(convolve, terms, x, weight)
    if bias is None:
        return value
    low, high = _interval(bias)
    shape = (1, -1, *[1] * (value.low.ndim - 2))
    return _add(value, Interval(low.reshape(shape), high.reshape(shape)))


def _cast(a: Any, *_: Any, dtype: torch.dtype | None = None, **__: Any) -> Interval:
    if dtype is not None and not dtype.is_floating_point:
        raise UnboundedError(f"a conversion to {dtype}")
    return _interval(a)


def _where(condition: Any, a: Any, b: Any) -> Interval:
    if isinstance(condition, Interval):
        raise UnboundedError("a choice by numbers")
    (p, q), (r, s) = _interval(a), _interval(b)
    return Interval(torch.where(condition, p, r), torch.where(condition, q, s))


def _comparison(operation: Callable[[Any, Any], torch.Tensor]) -> Callable[[Any, Any], torch.Tensor]:
    def apply(a: Any, b: Any) -> torch.Tensor:
        (p, q), (r, s) = _interval(a), _interval(b)
        one, other = operation(p, s), operation(q, r)
        if not torch.equal(one, other):
            raise UnboundedError("a comparison that rounding decides")
        return one

    return apply


def _clamp(a: Any, low: Any = None, high: Any = None) -> Interval:
    return _both(torch.clamp)(a, low, high)


def _sigmoid(a: Any) -> Interval:
    return _rising(torch.sigmoid)(a)


_MOVES = (
    *(aten.view, aten._unsafe_view, aten.reshape, aten.permute, aten.transpose, aten.t, aten.expand),
    *(aten.unsqueeze, aten.squeeze, aten.select, aten.slice, aten.clone, aten.detach, aten.alias, aten.cat),
    *(aten.stack, aten.flip, aten.roll, aten.repeat, aten.gather, aten.index_select, aten.diagonal),
    *(aten.contiguous, aten.lift_fresh_copy, aten.flatten, aten.tril, aten.triu, aten.constant_pad_nd),
    *(aten.amax, aten.amin, aten.maximum, aten.minimum, aten.relu, aten.max_pool2d),
)
_KNOWN: dict[Any, Callable[..., Any]] = {
    aten.add: _add,
    aten.sub: _sub,
    aten.rsub: lambda a, b, **kwargs: _sub(b, a, **kwargs),
    aten.mul: _mul,
    aten.div: _div,
    aten.neg: _neg,
    aten.abs: _abs,
    aten.exp: _rising(torch.exp),
    aten.expm1: _rising(torch.expm1),
    aten.log: _rising(torch.log, TINY),
    aten.log1p: _rising(torch.log1p, -1 + EPS),
    aten.sqrt: _rising(torch.sqrt, 0.0),
    aten.rsqrt: _rsqrt,
    aten.var: _variance,
    aten.native_layer_norm: _layer_norm,
    operator.getitem: operator.getitem,
    aten.reciprocal: lambda a: _div(1.0, a),
    aten.tanh: _rising(torch.tanh),
    aten.sigmoid: _sigmoid,
    aten.erf: _rising(torch.erf),
    aten.atan: _rising(torch.atan),
    aten.sinh: _rising(torch.sinh),
    aten.sin: _gentle(torch.sin),
    aten.cos: _gentle(torch.cos),
    aten.pow: _pow,
    aten.square: lambda a: _pow(a, 2),
    aten.sum: _sum,
    aten.mean: _mean,
    aten.mm: _matmul,
    aten.bmm: _matmul,
    aten.mv: _matmul,
    aten.dot: _matmul,
    aten.matmul: _matmul,
    aten.addmm: _addmm,
    aten.baddbmm: _addmm,
    aten.convolution: _convolution,
    aten._to_copy: _cast,
    aten.where: _where,
    aten.clamp: _clamp,
    aten.gt: _comparison(torch.gt),
    aten.ge: _comparison(torch.ge),
    aten.lt: _comparison(torch.lt),
    aten.le: _comparison(torch.le),
    **{packet: _both(packet) for packet in _MOVES},
}


class Enclosing(fx.Interpreter):
    """Runs a graph over enclosures: float tensors are intervals, others what they are."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An operation's enclosure, or its value where nothing real goes in."""
        leaves = pytree.tree_leaves((args, kwargs), is_leaf=lambda v: isinstance(v, Interval))
        if not any(isinstance(leaf, Interval) for leaf in leaves):
            value = super().call_function(target, args, kwargs)
            return exact(value) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        packet = target.overloadpacket if isinstance(target, torch._ops.OpOverload) else target
        known = _KNOWN.get(packet)
        if known is None:
            raise UnboundedError(f"no enclosure of {packet} is known")
        try:
            result = known(*args, **kwargs)
        except TypeError as error:
            raise UnboundedError(f"no enclosure of {target} with these arguments is known") from error
        parts = (
            [result] if isinstance(result, Interval) else list(result) if isinstance(result, tuple) else []
        )
        if not all(bool(torch.isfinite(end).all()) for part in parts for end in part):
            raise UnboundedError(f"the values of {packet} leave the range of float64")
        return result


def enclose(graph: fx.GraphModule, inputs: list[Any]) -> list[Any]:
    """Enclosures of the outputs at the inputs, taken as real numbers; outputs that are no floats as they are.

    Raises:
        UnboundedError: an operation has no known enclosure, or none there.
    """
    given = [
        exact(value) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in inputs
    ]
    with torch.no_grad():
        # As they are: torch would flatten an interval among the inputs.
        result = Enclosing(graph).run(*given, enable_io_processing=False)
    return (
        list(result) if isinstance(result, (list, tuple)) and not isinstance(result, Interval) else [result]
    )
