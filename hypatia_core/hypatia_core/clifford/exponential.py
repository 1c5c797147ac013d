"""Inverse, exponential, logarithm and square root of batches, with gradients that are finite at the identity.

The closed forms of the engine's `exponential.rs`, chosen by the stored grades alone and never by the values:
a tracer sees one straight path. `w` below is minus the square of the part without scalar, sin^2 of an angle
where it is positive, and minus sinh^2 of a rapidity where it is negative.

Up to five dimensions the square of a bivector is z + q with q of grade 4 and q*q a scalar. A function of it
is one of the numbers z + sqrt(q*q) and z - sqrt(q*q), or of z and its slope where q*q is zero: `_of_pair`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import kernel, plan
from hypatia_core.clifford.root_functions import (
    angle_over_sine,
    complex_angle_over_sine,
    complex_cosh_of_root,
    cosh_of_root,
    safe_sqrt,
)

if TYPE_CHECKING:
    from hypatia_core.clifford.algebra import Algebra
    from hypatia_core.clifford.multivector import Multivector


def _left_matrix(a: Multivector) -> tuple[Tensor, tuple[int, ...]]:
    """Rows j: a times stored blade j, over the even subalgebra where a is even."""
    even = all(g % 2 == 0 for g in a.grades)
    grades = a.algebra.all_grades[::2] if even else a.algebra.all_grades
    form = plan.product(a.algebra.signature, "geometric", a.grades, grades)
    blades = torch.eye(a.algebra.size(grades), dtype=a.dtype, device=a.device)
    rows = kernel.bilinear(form, a.values.unsqueeze(-2), blades)
    return a.algebra.multivector(rows, form.grades).with_grades(grades).values, grades


def inverse(a: Multivector) -> Multivector:
    """See `Multivector.inverse`."""
    square = a.reverse_squared()
    if square.grades == (0,):
        return ~a / square.scalar_part()
    rows, grades = _left_matrix(a)
    one = torch.zeros_like(rows[..., 0, :])
    one[..., 0] = 1
    return a.algebra.multivector(torch.linalg.solve(rows.mT, one), grades)


def _parts(a: Multivector) -> tuple[Tensor | None, Multivector | None]:
    """The scalar and the rest, where the grades admit them."""
    rest = tuple(g for g in a.grades if g != 0)
    return (a.scalar_part() if 0 in a.grades else None), (a.with_grades(rest) if rest else None)


def _is_null(algebra: Algebra, grades: tuple[int, ...]) -> bool:
    """Whether these grades square to zero whatever the coefficients."""
    return not plan.square(algebra.signature, grades, False).terms


def exp(a: Multivector) -> Multivector:
    """See `Multivector.exp`."""
    scalar, rest = _parts(a)
    if rest is None:
        return a.map(torch.exp)
    n = a.algebra.dimension
    if n % 2 == 1 and n in rest.grades and len(rest.grades) > 1:
        # The pseudoscalar of an odd dimension commutes with everything.
        others = tuple(g for g in rest.grades if g != n)
        out = exp(rest.grade(n)) * exp(rest.with_grades(others))
    else:
        out = _exp_of_rest(rest)
    return out if scalar is None else out * scalar.exp()


def _scalars(like: Multivector, values: Tensor) -> Multivector:
    """Numbers as multivectors, so that a product by them is one operation of the engine."""
    return like.algebra.multivector(values.unsqueeze(-1), (0,))


def _exp_of_rest(a: Multivector) -> Multivector:
    sign = plan.sign_of_square(a.algebra.signature, a.grades)
    square = a.squared()
    z, q = _parts(square)
    if z is None:
        z = torch.zeros_like(square.values[..., 0])
    if q is None:
        cosh, sinhc, _ = cosh_of_root(z, sign)
        return a.product("geometric", _scalars(a, sinhc)) + cosh
    if _is_null(a.algebra, q.grades):
        cosh, sinhc, slope = cosh_of_root(z, sign)
        return a * (q * slope + sinhc) + (q * (sinhc / 2) + cosh)
    if a.algebra.dimension <= 5 and a.grades == (2,) and q.grades == (4,):
        cosh, sinhc, slope = cosh_of_root(z, sign)
        qq = q.squared().scalar_part()
        null = _is_nearly_null(qq, 1 + q.values.square().sum(-1))
        root = _root(qq, null)
        cosh_pair, sinhc_pair = complex_cosh_of_root(torch.stack([z + root, z - root]))
        return a * _of_pair(q, sinhc_pair, root, null, sinhc, slope) + _of_pair(
            q, cosh_pair, root, null, cosh, sinhc / 2
        )
    rows, grades = _left_matrix(a)
    return a.algebra.multivector(torch.linalg.matrix_exp(rows)[..., 0, :], grades)


def _is_nearly_null(square: Tensor, size: Tensor) -> Tensor:
    """Whether q*q is so small beside its terms that its root has no digits to divide by."""
    least: float = torch.finfo(square.dtype).eps ** (2 / 3)
    return square.abs() <= least * size


def _root(square: Tensor, null: Tensor) -> Tensor:
    """The complex root of q*q, 1 where it is not used."""
    safe = torch.where(null, torch.ones_like(square), square)
    return torch.complex(safe, torch.zeros_like(safe)).sqrt()


def _of_pair(
    q: Multivector, pair: Tensor, root: Tensor, null: Tensor, value: Tensor, slope: Tensor
) -> Multivector:
    """A function, real on the reals, of z + q with q*q a scalar.

    Args:
        q: The part of grade 4.
        pair: The function of z + root and of z - root.
        root: The complex root of q*q.
        null: Where q*q is taken for zero.
        value: The function of z.
        slope: Its derivative there.
    """
    above, below = pair.unbind(0)
    scalar = torch.where(null, value, (above.real + below.real) / 2)
    factor = torch.where(null, slope, ((above - below) / (2 * root)).real)
    return q * factor + scalar


def _log_of_versor(a: Multivector) -> Multivector:
    """The logarithm of an even versor of up to five dimensions; NaN for what is none."""
    square = a.reverse_squared()
    length = square.scalar_part().abs().sqrt()
    excess = square.with_grades((4,)).values.abs().amax(-1)
    versor = excess <= torch.finfo(a.dtype).eps ** 0.5 * a.values.square().sum(-1)
    length = torch.where(versor, length, torch.nan)
    unit = a / length
    planes, c, tops = unit.with_grades((2,)), unit.scalar_part(), unit.with_grades((4,))
    square = planes.squared()
    w, more = -square.scalar_part(), -square.with_grades((4,))
    larger = tops.values.square().sum(-1) > more.values.square().sum(-1)
    q = tops.map(lambda values: torch.where(larger.unsqueeze(-1), values, more.values))
    size = q.values.square().sum(-1)
    known = torch.where(size > 0, size, 1)
    dc, dw = ((part.values * q.values).sum(-1) / known for part in (tops, more))
    qq = q.squared().scalar_part()
    null = _is_nearly_null(qq, size) | (size == 0)
    root = _root(qq, null)
    pair = complex_angle_over_sine(
        torch.stack([c + dc * root, c - dc * root]), torch.stack([w + dw * root, w - dw * root])
    )
    angle, slope, unity = angle_over_sine(c, w, plan.sign_of_square(a.algebra.signature, (2,)))
    factor = _of_pair(q, pair, root, null, angle, dw * slope - dc / unity)
    return planes * factor + length.log()


def _refuse(function: str, a: Multivector) -> HypatiaError:
    return HypatiaError(
        f"{function} of grades {list(a.grades)} of {a.algebra!r} has no closed form here; it has one for "
        "numbers and for even versors of up to five dimensions, and single multivectors have it "
        "(`to_native`)"
    )


def log(a: Multivector) -> Multivector:
    """See `Multivector.log`."""
    c, rest = _parts(a)
    if rest is None:
        return a.map(torch.log)
    if c is None:
        c = torch.zeros_like(rest.values[..., 0])
    signature = a.algebra.signature
    sign = plan.sign_of_square(signature, rest.grades)
    if plan.square(signature, rest.grades, False).grades == (0,):
        angle, _, length = angle_over_sine(c, -rest.squared().scalar_part(), sign)
        return rest.product("geometric", _scalars(rest, angle)) + length.log() / 2
    if 2 not in rest.grades or not set(rest.grades) <= {2, 4}:
        raise _refuse("log", a)
    planes, top = rest.with_grades((2,)), rest.with_grades((4,))
    squares = plan.square(signature, (2,), False).grades
    if 0 not in squares or not all(_is_null(a.algebra, (g,)) for g in {*squares, 4} - {0}):
        if a.algebra.dimension > 5:
            raise _refuse("log", a)
        return _log_of_versor(a)
    z, q = _parts(planes.squared())
    assert z is not None
    angle, slope, length = angle_over_sine(c, -z, sign)
    factor = top * (-1 / length) + angle
    if q is not None:
        factor = factor - q * slope
    return planes * factor + length.log() / 2


def sqrt(a: Multivector) -> Multivector:
    """See `Multivector.sqrt`."""
    c, rest = _parts(a)
    if rest is None:
        return a.map(torch.sqrt)
    square = rest.squared()
    if square.grades != (0,):
        return (log(a) / 2).exp()
    if c is None:
        c = torch.zeros_like(rest.values[..., 0])
    w = -square.scalar_part()
    length = torch.sqrt(c * c + w)
    high = torch.sqrt((length + c.abs()) / 2)
    scalar = torch.where(c >= 0, high, safe_sqrt(w) / (2 * high))
    return rest / (2 * scalar) + scalar
