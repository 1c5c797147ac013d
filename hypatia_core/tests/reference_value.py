"""The value of an expression at a point by mpmath alone, exact while it is rational, or why there is none.

What the engine's answers are held against; nothing here is used by the engine.
"""

from fractions import Fraction
from typing import Any

import mpmath

#: Digits of the computation (200 bits are 60), and below which a number may be zero but for rounding.
DIGITS = 80
NEAR = mpmath.mpf(10) ** -30
LARGE = mpmath.mpf(10) ** 40

#: Fractions with more digits than this become decimals.
BITS = 4096


class UndefinedError(Exception):
    """The expression has no value at the point."""


class UnclearError(Exception):
    """Rounding decides whether there is a value, or which."""


def _decimal(value: Any) -> Any:
    return mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _sign(value: Any) -> int:
    if isinstance(value, Fraction):
        return (value > 0) - (value < 0)
    if abs(value) < NEAR or not abs(value) < LARGE:
        raise UnclearError
    return 1 if value > 0 else -1


def _needs(value: Any, *signs: int) -> Any:
    if _sign(value) not in signs:
        raise UndefinedError
    return _decimal(value)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if exponent < 0 and _sign(base) == 0:
            raise UndefinedError
        if abs(exponent) > 1000:
            raise UnclearError
        return base ** int(exponent)
    sign = _sign(base)
    if sign == 0:
        return Fraction(0) if _sign(exponent) > 0 else _needs(base, 1)
    # A power of a negative number has a value where the exponent is whole, which a rounded one may be.
    if sign < 0 and not isinstance(exponent, Fraction) and abs(exponent - mpmath.nint(exponent)) < NEAR:
        raise UnclearError
    return mpmath.power(_needs(base, 1), _decimal(exponent))


def _divide(top: Any, bottom: Any) -> Any:
    if _sign(bottom) == 0:
        raise UndefinedError
    if isinstance(top, Fraction) and isinstance(bottom, Fraction):
        return top / bottom
    return _decimal(top) / _decimal(bottom)


def _floor(value: Any) -> Any:
    if isinstance(value, Fraction):
        return Fraction(value.numerator // value.denominator)
    if not abs(value) < LARGE or abs(value - mpmath.nint(value)) < NEAR:
        raise UnclearError
    return Fraction(int(mpmath.floor(value)))


def _arc(name: str, value: Any) -> Any:
    inside = 1 - abs(value)
    if _sign(inside) < 0:
        raise UndefinedError
    return getattr(mpmath, name)(_decimal(value))


def _greater(a: Any, b: Any) -> Any:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return max(a, b)
    return max(_decimal(a), _decimal(b))


def _tangent(value: Any) -> Any:
    cosine = mpmath.cos(_decimal(value))
    _sign(cosine)
    return mpmath.sin(_decimal(value)) / cosine


def _exponential(value: Any) -> Any:
    value = _decimal(value)
    if abs(value) > 1000:
        raise UnclearError
    return mpmath.exp(value)


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + _exponential(-value))


FUNCTIONS: dict[str, Any] = {
    "div": _divide,
    "pow": _power,
    "neg": lambda a: -a,
    "abs": abs,
    "sign": lambda a: Fraction(_sign(a)),
    "floor": _floor,
    "max": _greater,
    "min": lambda a, b: -_greater(-a, -b),
    "relu": lambda a: _greater(a, Fraction(0)),
    "relu_grad": lambda a: Fraction(_sign(a) > 0),
    "exp": _exponential,
    "log": lambda a: mpmath.log(_needs(a, 1)),
    "sqrt": lambda a: mpmath.sqrt(_needs(a, 0, 1)),
    "tan": _tangent,
    "asin": lambda a: _arc("asin", a),
    "acos": lambda a: _arc("acos", a),
    "atanh": lambda a: mpmath.atanh(_needs(1 - abs(a), 1) and _decimal(a)),
    "acosh": lambda a: mpmath.acosh(_needs(a - 1, 0, 1) and _decimal(a)) if a != 1 else mpmath.mpf(0),
    "sinh": lambda a: (_exponential(a) - _exponential(-a)) / 2,
    "cosh": lambda a: (_exponential(a) + _exponential(-a)) / 2,
    "sigmoid": _sigmoid,
    "silu": lambda a: _decimal(a) * _sigmoid(a),
    "softplus": lambda a: mpmath.log(1 + _exponential(a)),
    "gelu": lambda a: _decimal(a) / 2 * (1 + mpmath.erf(_decimal(a) / mpmath.sqrt(2))),
    "expm1": lambda a: _exponential(a) - 1,
    "log1p": lambda a: mpmath.log(_needs(1 + a, 1)),
    "hypot": lambda a, b: mpmath.hypot(_decimal(a), _decimal(b)),
}


def _value(symbol: Any, point: dict[str, Fraction], known: dict[Any, Any]) -> Any:
    if symbol in known:
        return known[symbol]
    match symbol.func:
        case "variable":
            value: Any = point[str(symbol)]
        case "number":
            value = symbol.value
        case "float":
            value = Fraction(symbol.value)
        case "pi":
            value = +mpmath.pi
        case name:
            arguments = [_value(argument, point, known) for argument in symbol.args]
            exact = all(isinstance(argument, Fraction) for argument in arguments)
            if name in ("add", "sub", "mul"):
                a, b = arguments if exact else map(_decimal, arguments)
                value = a + b if name == "add" else a - b if name == "sub" else a * b
            elif name in FUNCTIONS:
                value = FUNCTIONS[name](*arguments)
            else:
                value = getattr(mpmath, name)(*map(_decimal, arguments))
    if isinstance(value, Fraction) and value.numerator.bit_length() + value.denominator.bit_length() > BITS:
        value = _decimal(value)
    if not isinstance(value, Fraction) and not (mpmath.isfinite(value) and abs(value) < LARGE):
        raise UnclearError
    known[symbol] = value
    return value


def reference_value(symbol: Any, point: dict[str, Fraction]) -> Any:
    """A fraction where the value is rational all the way, otherwise a decimal of mpmath.

    Raises:
        UndefinedError: there is none.
        UnclearError: rounding would decide.
    """
    with mpmath.workdps(DIGITS):
        return _value(symbol, point, {})


def differ(a: Any, b: Any, digits: int = 20) -> bool:
    """Whether two values differ by more than rounding, in so many digits."""
    with mpmath.workdps(DIGITS):
        a, b = _decimal(a), _decimal(b)
        return bool(abs(a - b) > mpmath.mpf(10) ** -digits * (1 + abs(a) + abs(b)))
