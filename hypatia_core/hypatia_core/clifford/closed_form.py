"""Functions of multivectors whose coefficients are of any kind, where one formula is the whole answer.

A multivector a = s + r whose part r squares to a number q has the functions of a complex, dual or split
number, as q is negative, zero or positive: with n² = s² − q

    exp a = eˢ (cos w + r sin w / w),  w² = −q;        √a = (a + n) / √(2 (s + n));
    log a = log n + r · 2 atan(w / (n + s)) / w        (the principal value).

Rotors of space and of the plane are such, and in any signature what turns in one plane.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from hypatia_core._hypatia_core import HypatiaError, Symbol
from hypatia_core.clifford import plan

if TYPE_CHECKING:
    from hypatia_core.clifford.symbolic import SymbolicMultivector


def elementary(name: str, value: Any) -> Any:
    """A function of one coefficient: a number's, a tensor's, SymPy's or a `Symbol`'s.

    >>> elementary("sqrt", Fraction(9, 4))
    Fraction(3, 2)
    >>> elementary("exp", 0)
    1.0
    """
    if isinstance(value, torch.Tensor):
        return getattr(torch, name)(value)
    if isinstance(value, (int, float, Fraction)):
        return _root(value) if name == "sqrt" else getattr(math, name)(value)
    if type(value).__module__.startswith("sympy."):
        import sympy

        return getattr(sympy, name)(value)
    if isinstance(value, Symbol):
        return getattr(Symbol, name)(value)
    raise HypatiaError(f"coefficients of type {type(value).__name__} have no {name}")


def _root(value: float | Fraction) -> Any:
    """The square root; exact for squares of fractions."""
    if isinstance(value, (int, Fraction)) and value >= 0:
        exact = Fraction(value)
        top, bottom = math.isqrt(exact.numerator), math.isqrt(exact.denominator)
        if top * top == exact.numerator and bottom * bottom == exact.denominator:
            root = Fraction(top, bottom)
            return int(root) if isinstance(value, int) else root
    return math.sqrt(value)


def is_zero(value: Any) -> bool:
    """Whether a coefficient is zero, as far as expanding it tells."""
    if isinstance(value, Symbol):
        return bool(value.expand() == Symbol.const(0))
    if isinstance(value, torch.Tensor):
        return False
    return bool(value == 0) or (hasattr(value, "expand") and bool(value.expand() == 0))


def sign_of_square(a: SymbolicMultivector[Any]) -> int | None:
    """The sign of the sum of its terms' squares, whatever the coefficients; None where these tell."""
    table = a.algebra.native.cayley("geometric")
    stored = plan.positions(a.algebra.signature, a.grades)
    signs = {table[k][k][1] for k, c in zip(stored, a.coefficients, strict=True) if not is_zero(c)} - {0}
    if len(signs) > 1:
        return None
    return signs.pop() if signs else 0


def parts(a: SymbolicMultivector[Any], name: str) -> tuple[Any, SymbolicMultivector[Any], Any, int]:
    """The number s, the rest r, its square q, and the sign of q.

    Raises:
        HypatiaError: The rest does not square to a number, or the sign depends on the coefficients.
    """
    rest = a.grade(*(g for g in a.grades if g)) if set(a.grades) != {0} else a * 0
    square = rest * rest
    grades = plan.grade_of_each(a.algebra.signature, square.grades)
    if not all(is_zero(c) for c, g in zip(square.coefficients, grades, strict=True) if g):
        raise HypatiaError(
            f"{name}: there is one formula only where the part that is no number squares to a number, "
            "and these coefficients do not show that it does"
        )
    sign = sign_of_square(rest)
    q = square.coefficient("s")
    if sign is None:
        if not type(q).__module__.startswith("sympy."):
            raise HypatiaError(
                f"{name}: whether the square is negative depends on the coefficients, some blades having "
                "positive squares and some negative ones; with SymPy's the formula is that of complex numbers"
            )
        sign = -1
    return a.coefficient("s"), rest, q, sign


def exp(a: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
    """The exponential; see the module."""
    s, rest, q, sign = parts(a, "exp")
    if sign == 0:
        out: SymbolicMultivector[Any] = rest + 1
    else:
        w = elementary("sqrt", q if sign > 0 else -q)
        even, odd = ("cosh", "sinh") if sign > 0 else ("cos", "sin")
        out = rest * (elementary(odd, w) / w) + elementary(even, w)
    return out if is_zero(s) else out.map(lambda c: c * elementary("exp", s))


def sqrt(a: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
    """The principal square root; see the module."""
    s, _, q, _ = parts(a, "sqrt")
    n = elementary("sqrt", s * s - q)
    root: SymbolicMultivector[Any] = (a + n) / elementary("sqrt", (s + n) * 2)
    return root


def log(a: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
    """The principal logarithm; see the module."""
    s, rest, q, sign = parts(a, "log")
    n = elementary("sqrt", s * s - q)
    if sign == 0:
        factor = 1 / s
    else:
        w = elementary("sqrt", q if sign > 0 else -q)
        factor = elementary("atanh" if sign > 0 else "atan", w / (n + s)) * 2 / w
    logarithm: SymbolicMultivector[Any] = rest * factor + elementary("log", n)
    return logarithm


def norm(a: SymbolicMultivector[Any]) -> Any:
    """The root of the absolute value of a ~a's scalar part."""
    square = a.norm_squared()
    sign = sign_of_square(a)
    grades = {g for g in a.grades if g % 4 > 1}
    # ~a negates these grades, so that the signs of the squares say nothing of a sum over others too.
    if sign is None or (grades and grades != set(a.grades)):
        return elementary("sqrt", abs(square))
    positive = sign * (-1 if grades else 1) >= 0
    return elementary("sqrt", square if positive else -square)


def join(a: SymbolicMultivector[Any], b: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
    """The smallest subspace that contains both blades, where they share nothing."""
    found = a ^ b
    if all(is_zero(c) for c in found.coefficients):
        raise HypatiaError("join: the blades share a direction, and symbols do not say which")
    return found


def meet(a: SymbolicMultivector[Any], b: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
    """The largest subspace that both blades contain, where they span the whole space together."""
    found = a & b
    if all(is_zero(c) for c in found.coefficients):
        raise HypatiaError("meet: the blades do not span the space, and symbols do not say what they do span")
    return found
