"""Inverse, exponential, logarithm and square root of batches, with gradients that are finite at the identity.

The closed forms of the engine's `exponential.rs`, chosen by the stored grades alone and never by the values:
a tracer sees one straight path. `w` below is minus the square of the part without scalar, sin^2 of an angle
where it is positive, and minus sinh^2 of a rapidity where it is negative.

Up to five dimensions the square of a bivector is z + q with q of grade 4 and q*q a scalar. A function of it
is one of the numbers z + sqrt(q*q) and z - sqrt(q*q), or of z and its slope where q*q is zero: `_of_number`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import kernel, plan

if TYPE_CHECKING:
    from hypatia_core.clifford.multivector import Multivector

# Below these |z| the series are exact to rounding in float64.
SERIES = 0.1
ANGLE_SERIES = 0.01


def safe_sqrt(x: Tensor) -> Tensor:
    """The root of what is positive, 0 elsewhere, with gradient 0 where the root's would be infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), torch.where(x.isnan(), x, 0))


def _roots(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the series holds; the roots of z and of -z, with 1 in place of what is not used."""
    small = z.abs() < SERIES
    return small, torch.where((z > 0) & ~small, z, 1).sqrt(), torch.where((z < 0) & ~small, -z, 1).sqrt()


def _series(z: Tensor, coefficients: list[float]) -> Tensor:
    total = torch.full_like(z, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * z + c
    return total


def _factorial_series(start: int, scale: list[int], count: int = 8) -> list[float]:
    """scale[k] / (2 k + start)! for k = 0, 1, ..."""
    out, factorial = [], 1.0
    for m in range(1, start + 1):
        factorial *= m
    for k in range(count):
        out.append(scale[k] / factorial)
        factorial *= (2 * k + start + 1) * (2 * k + start + 2)
    return out


_COSH = _factorial_series(0, [1] * 8)
_SINHC = _factorial_series(1, [1] * 8)
_SINHC_SLOPE = _factorial_series(3, list(range(1, 9)))
# asin(s) / s in powers of s*s.
_ASIN = [math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(11)]


def cosh_root(z: Tensor) -> Tensor:
    """cosh(sqrt(z)), entire in z: the cosine of sqrt(-z) where z is negative."""
    small, up, down = _roots(z)
    return torch.where(
        small, _series(torch.where(small, z, 0), _COSH), torch.where(z > 0, torch.cosh(up), torch.cos(down))
    )


def sinhc_root(z: Tensor) -> Tensor:
    """sinh(sqrt(z)) / sqrt(z), entire in z."""
    small, up, down = _roots(z)
    large = torch.where(z > 0, torch.sinh(up) / up, torch.sin(down) / down)
    return torch.where(small, _series(torch.where(small, z, 0), _SINHC), large)


def sinhc_root_slope(z: Tensor) -> Tensor:
    """The derivative of `sinhc_root`."""
    small = z.abs() < SERIES
    far = torch.where(small, 1, z)
    large = (cosh_root(far) - sinhc_root(far)) / (2 * far)
    return torch.where(small, _series(torch.where(small, z, 0), _SINHC_SLOPE), large)


def angle_over_sine(c: Tensor, w: Tensor) -> Tensor:
    """atan2(sqrt(w), c) / sqrt(w), continued through w = 0 to artanh(sqrt(-w) / c) / sqrt(-w)."""
    small, sine, sinh = _angle_parts(c, w)
    safe = torch.where(small, c, 1)
    near = _series(-torch.where(small, w, 0) / safe**2, [1 / (2 * k + 1) for k in range(9)]) / safe
    rapid = torch.atanh(torch.where((w < 0) & ~small, sinh / c, 0.5)) / sinh
    return torch.where(small, near, torch.where(w > 0, torch.atan2(sine, c) / sine, rapid))


def angle_over_sine_slope(c: Tensor, w: Tensor) -> Tensor:
    """The derivative of `angle_over_sine` by w."""
    small, _, _ = _angle_parts(c, w)
    safe = torch.where(small, c, 1)
    terms = [-(k + 1) / (2 * k + 3) for k in range(9)]
    near = _series(-torch.where(small, w, 0) / safe**2, terms) / safe**3
    far = torch.where(small, 1, w)
    large = (c / (c * c + far) - angle_over_sine(c, far)) / (2 * far)
    return torch.where(small, near, large)


def _angle_parts(c: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the series holds; the roots of w and of -w, with 1 in place of what is not used."""
    small = (w.abs() < ANGLE_SERIES * c * c) & (c > 0)
    sine = torch.where((w > 0) & ~small, w, 1).sqrt()
    sinh = torch.where((w < 0) & ~small, -w, 1).sqrt()
    return small, sine, sinh


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


def _is_null(a: Multivector) -> bool:
    """Whether these grades square to zero whatever the coefficients."""
    return not plan.square(a.algebra.signature, a.grades, False).terms


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


def _exp_of_rest(a: Multivector) -> Multivector:
    square = a.squared()
    z, q = _parts(square)
    if z is None:
        z = torch.zeros_like(square.values[..., 0])
    if q is None:
        return a * sinhc_root(z) + cosh_root(z)
    if _is_null(q):
        factor = q * sinhc_root_slope(z) + sinhc_root(z)
        return a * factor + q * (sinhc_root(z) / 2) + cosh_root(z)
    if a.algebra.dimension <= 5 and a.grades == (2,) and q.grades == (4,):
        sinhc = _of_number(_complex_sinhc_root, sinhc_root, sinhc_root_slope, z, q)
        cosh = _of_number(_complex_cosh_root, cosh_root, lambda z: sinhc_root(z) / 2, z, q)
        return a * sinhc + cosh
    rows, grades = _left_matrix(a)
    return a.algebra.multivector(torch.linalg.matrix_exp(rows)[..., 0, :], grades)


def _is_nearly_null(square: Tensor, size: Tensor) -> Tensor:
    """Whether q*q is so small beside its terms that its root has no digits to divide by."""
    return square.abs() <= torch.finfo(square.dtype).eps ** (2 / 3) * size


def _root(square: Tensor, null: Tensor) -> Tensor:
    """The complex root of q*q, 1 where it is not used."""
    safe = torch.where(null, torch.ones_like(square), square)
    return torch.complex(safe, torch.zeros_like(safe)).sqrt()


def _of_number(
    function: Callable[[Tensor], Tensor],
    real: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    z: Tensor,
    q: Multivector,
) -> Multivector:
    """An entire function, real on the reals, of z + q with q*q a scalar."""
    square = q.squared().scalar_part()
    null = _is_nearly_null(square, 1 + q.values.square().sum(-1))
    root = _root(square, null)
    above, below = function(z + root), function(z - root)
    scalar = torch.where(null, real(z), ((above + below) / 2).real)
    factor = torch.where(null, slope(z), ((above - below) / (2 * root)).real)
    return q * factor + scalar


def _complex_cosh_root(z: Tensor) -> Tensor:
    small = z.abs() < SERIES
    far = torch.where(small, torch.ones_like(z), z).sqrt().cosh()
    return torch.where(small, _series(torch.where(small, z, 0), _COSH), far)


def _complex_sinhc_root(z: Tensor) -> Tensor:
    small = z.abs() < SERIES
    root = torch.where(small, torch.ones_like(z), z).sqrt()
    return torch.where(small, _series(torch.where(small, z, 0), _SINHC), root.sinh() / root)


def _complex_angle_over_sine(c: Tensor, w: Tensor) -> Tensor:
    """log(c + i s) / (i s) for s*s = w, where c*c + w = 1."""
    small = (w.abs() < ANGLE_SERIES) & (c.real > 0)
    root = torch.where(small, torch.ones_like(w), w).sqrt()
    far = -1j * (c + 1j * root).log() / root
    near = _series(torch.where(small, w, 0), _ASIN)
    return torch.where(small, near, far)


def _log_of_versor(a: Multivector) -> Multivector:
    """The logarithm of an even versor of up to five dimensions; NaN for what is none."""
    planes = a.with_grades((2,))
    norm = a.norm_squared()
    length = norm.abs().sqrt()
    excess = (a.reverse_squared() - norm).values.abs().amax(-1)
    versor = excess <= torch.finfo(a.dtype).eps ** 0.5 * a.values.square().sum(-1)
    length = torch.where(versor, length, torch.full_like(length, torch.nan))
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
    above = _complex_angle_over_sine(c + dc * root, w + dw * root)
    below = _complex_angle_over_sine(c - dc * root, w - dw * root)
    slope = dw * angle_over_sine_slope(c, w) - dc / (c * c + w)
    scalar = torch.where(null, angle_over_sine(c, w), ((above + below) / 2).real)
    factor = torch.where(null, slope, ((above - below) / (2 * root)).real)
    return planes * (q * factor + scalar) + length.log()


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
    square = rest.squared()
    if square.grades == (0,):
        w = -square.scalar_part()
        return rest * angle_over_sine(c, w) + (c * c + w).log() / 2
    if 2 not in rest.grades or not set(rest.grades) <= {2, 4}:
        raise _refuse("log", a)
    planes, top = rest.with_grades((2,)), rest.with_grades((4,))
    square = planes.squared()
    z, q = _parts(square)
    if z is None or not _is_null(top) or (q is not None and not _is_null(q)):
        if a.algebra.dimension > 5:
            raise _refuse("log", a)
        return _log_of_versor(a)
    w = -z
    length = c * c + w
    factor = top * (-1 / length) + angle_over_sine(c, w)
    if q is not None:
        factor = factor - q * angle_over_sine_slope(c, w)
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
