"""Operations of elements, one row each: the instructions that they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from hypatia_core.native.units import Group, Register

aten = torch.ops.aten


class Emitter:
    """Writes instructions into a group; numbers may stand where registers do."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def __call__(self, name: str, *operands: Any, numbers: tuple[float, ...] = ()) -> Register:
        """An instruction over registers and numbers."""
        registers = [x if isinstance(x, Register) else self.number(x) for x in operands]
        return self.group.call(name, *registers, numbers=numbers)

    def number(self, value: float) -> Register:
        """A number that is the same everywhere."""
        return self.group.call("const", numbers=(float(value),))


#: What writes an operation: an emitter, its operands as registers or numbers, its keywords.
Row = Callable[..., Register]


def _plain(name: str) -> Row:
    def row(e: Emitter, *operands: Any) -> Register:
        return e(name, *operands)

    return row


def _with_alpha(name: str) -> Row:
    def row(e: Emitter, x: Any, y: Any, alpha: Any = 1) -> Register:
        return e(name, x, y if alpha == 1 else e("mul", y, alpha))

    return row


def _reversed_sub(e: Emitter, x: Any, y: Any, alpha: Any = 1) -> Register:
    return e("sub", y, x if alpha == 1 else e("mul", x, alpha))


def _gelu(e: Emitter, x: Register, approximate: str = "none") -> Register:
    return e("gelu" if approximate == "none" else "gelu_tanh", x)


def _hardtanh(e: Emitter, x: Register, low: float = -1.0, high: float = 1.0) -> Register:
    return e("clamp", x, numbers=(low, high))


def _clamp(e: Emitter, x: Register, min: Any = None, max: Any = None) -> Register:  # noqa: A002 - torch's names
    if isinstance(min, Register) or isinstance(max, Register):
        low = x if min is None else e("max", x, min)
        return low if max is None else e("min", low, max)
    return e("clamp", x, numbers=(-math.inf if min is None else min, math.inf if max is None else max))


def _leaky_relu(e: Emitter, x: Register, slope: float = 0.01) -> Register:
    return e("where", e("gt", x, 0.0), x, e("mul", x, slope))


def _elu(
    e: Emitter, x: Register, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Register:
    below = e("mul", e("expm1", e("mul", x, input_scale)), alpha * scale)
    return e("where", e("gt", x, 0.0), e("mul", x, scale), below)


def _softplus(e: Emitter, x: Register, beta: float = 1.0, threshold: float = 20.0) -> Register:
    if beta == 1 and threshold == 20:
        return e("softplus", x)
    scaled = e("mul", x, beta)
    return e("where", e("gt", scaled, threshold), x, e("div", e("log1p", e("exp", scaled)), beta))


def _square(e: Emitter, x: Register) -> Register:
    return e("mul", x, x)


def _addcmul(e: Emitter, x: Any, a: Any, b: Any, value: float = 1.0) -> Register:
    return e("add", x, e("mul", e("mul", a, value) if value != 1 else a, b))


def _addcdiv(e: Emitter, x: Any, a: Any, b: Any, value: float = 1.0) -> Register:
    return e("add", x, e("div", e("mul", a, value) if value != 1 else a, b))


def _masked_fill(e: Emitter, x: Any, mask: Any, value: Any) -> Register:
    return e("where", mask, value, x)


def _is_nan(e: Emitter, x: Register) -> Register:
    return e("ne", x, x)


def _is_infinite(e: Emitter, x: Register) -> Register:
    return e("eq", e("abs", x), math.inf)


def _same(e: Emitter, x: Any, *others: Any, **kwargs: Any) -> Register:
    return x if isinstance(x, Register) else e.number(x)


def _threshold_backward(e: Emitter, gradient: Any, x: Any, threshold: float) -> Register:
    return e("where", e("le", x, threshold), 0.0, gradient)


def _sigmoid_backward(e: Emitter, gradient: Any, y: Any) -> Register:
    return e("mul", e("mul", gradient, e("sub", 1.0, y)), y)


def _tanh_backward(e: Emitter, gradient: Any, y: Any) -> Register:
    return e("mul", gradient, e("sub", 1.0, e("mul", y, y)))


def _silu_backward(e: Emitter, gradient: Any, x: Any) -> Register:
    s = e("sigmoid", x)
    return e("mul", gradient, e("mul", s, e("add", 1.0, e("mul", x, e("sub", 1.0, s)))))


def _gelu_backward(e: Emitter, gradient: Any, x: Any, approximate: str = "none") -> Register:
    if approximate == "none":
        below = e("mul", e("add", e("erf", e("mul", x, math.sqrt(0.5))), 1.0), 0.5)
        density = e("mul", e("exp", e("mul", e("mul", x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return e("mul", gradient, e("add", below, e("mul", x, density)))
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    square = e("mul", x, x)
    t = e("tanh", e("mul", e("add", x, e("mul", e("mul", square, x), cubic)), scale))
    slope = e("mul", e("add", e("mul", square, 3 * cubic), 1.0), scale)
    right = e("mul", e("mul", e("mul", x, 0.5), e("sub", 1.0, e("mul", t, t))), slope)
    return e("mul", gradient, e("add", e("mul", e("add", t, 1.0), 0.5), right))


#: What operations that have an instruction of their own are called, here and there.
_UNARY = (
    *("neg", "abs", "relu", "sigmoid", "tanh", "silu", "exp", "exp2", "expm1", "log", "log1p", "sqrt"),
    *("rsqrt", "reciprocal", "erf", "sin", "cos", "hardswish", "hardsigmoid", "floor", "ceil", "trunc"),
)
_COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne")

#: One row an overload, of tensors of float32 or bool with a result of either.
POINTWISE: dict[Any, Row] = {
    **{getattr(aten, name).default: _plain(name) for name in _UNARY},
    **{getattr(aten, name).Tensor: _plain(name) for name in _COMPARISONS},
    **{getattr(aten, name).Scalar: _plain(name) for name in _COMPARISONS},
    aten.sgn.default: _plain("sign"),
    aten.sign.default: _plain("sign"),
    aten.round.default: _plain("round"),
    aten.add.Tensor: _with_alpha("add"),
    aten.add.Scalar: _with_alpha("add"),
    aten.sub.Tensor: _with_alpha("sub"),
    aten.sub.Scalar: _with_alpha("sub"),
    aten.rsub.Scalar: _reversed_sub,
    aten.rsub.Tensor: _reversed_sub,
    aten.mul.Tensor: _plain("mul"),
    aten.mul.Scalar: _plain("mul"),
    aten.div.Tensor: _plain("div"),
    aten.div.Scalar: _plain("div"),
    aten.pow.Tensor_Scalar: _plain("pow"),
    aten.pow.Tensor_Tensor: _plain("pow"),
    aten.pow.Scalar: _plain("pow"),
    aten.square.default: _square,
    aten.maximum.default: _plain("max"),
    aten.minimum.default: _plain("min"),
    aten.clamp.default: _clamp,
    aten.clamp.Tensor: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: lambda e, x, high: _clamp(e, x, None, high),
    aten.hardtanh.default: _hardtanh,
    aten.gelu.default: _gelu,
    aten.leaky_relu.default: _leaky_relu,
    aten.elu.default: _elu,
    aten.softplus.default: _softplus,
    aten.addcmul.default: _addcmul,
    aten.addcdiv.default: _addcdiv,
    # Choices.
    aten.where.self: _plain("where"),
    aten.where.ScalarSelf: _plain("where"),
    aten.where.ScalarOther: _plain("where"),
    aten.where.Scalar: _plain("where"),
    aten.masked_fill.Scalar: _masked_fill,
    aten.masked_fill.Tensor: _masked_fill,
    aten.logical_not.default: _plain("not"),
    aten.logical_and.default: _plain("and"),
    aten.logical_or.default: _plain("or"),
    aten.isnan.default: _is_nan,
    aten.isinf.default: _is_infinite,
    # Gradients of elements.
    aten.threshold_backward.default: _threshold_backward,
    aten.sigmoid_backward.default: _sigmoid_backward,
    aten.tanh_backward.default: _tanh_backward,
    aten.silu_backward.default: _silu_backward,
    aten.gelu_backward.default: _gelu_backward,
}

#: The same, of bool alone.
OF_BOOL: dict[Any, Row] = {
    aten.bitwise_not.default: _plain("not"),
    aten.bitwise_and.Tensor: _plain("and"),
    aten.bitwise_or.Tensor: _plain("or"),
    aten.bitwise_xor.Tensor: _plain("ne"),
    aten.mul.Tensor: _plain("and"),
    aten.add.Tensor: _plain("or"),
}

#: Rows whose result may be bool where operands are not.
_ANSWERS = frozenset(
    {
        *(getattr(aten, name).Tensor for name in _COMPARISONS),
        *(getattr(aten, name).Scalar for name in _COMPARISONS),
        *(aten.logical_not.default, aten.logical_and.default, aten.logical_or.default),
        *(aten.isnan.default, aten.isinf.default),
        *(aten.where.self, aten.maximum.default, aten.minimum.default),
        *(aten.masked_fill.Scalar, aten.masked_fill.Tensor),
    }
)


def row_of(target: Any, operands: set[str], result: str) -> Row | None:
    """The row of an operation over tensors of these kinds, with a result of this; None where none is."""
    if result == "bool" and operands <= {"bool"} and target in OF_BOOL:
        return OF_BOOL[target]
    if result == "bool" and target not in _ANSWERS:
        return None
    return POINTWISE.get(target)
