"""Functions of the square root of a number that are smooth through zero, with their derivatives.

A bivector that squares to a number z turns where z is negative and boosts where it is positive. Where the
metric tells the sign of z, `sign` says so and the other half is not computed; near zero a series holds, so
that gradients of any order are finite there. Everything is one straight path of torch's operations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Below these |z| the series hold, with as many terms as `_series` takes.
SERIES = 0.1
ANGLE_SERIES = 0.01


def safe_sqrt(x: Tensor) -> Tensor:
    """The root of what is positive, 0 elsewhere, with gradient 0 where the root's would be infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), torch.where(x.isnan(), x, 0))


def _series(z: Tensor, coefficients: list[float]) -> Tensor:
    """By Horner's scheme; single precision needs six terms, its second derivative too."""
    wide = z.dtype in (torch.float64, torch.complex128)
    taken = coefficients if wide else coefficients[:6]
    total = torch.full_like(z, taken[-1])
    for c in reversed(taken[:-1]):
        total = torch.addcmul(z.new_full((), c), total, z)
    return total


_COSH = [1 / math.factorial(2 * k) for k in range(8)]
_SINHC = [1 / math.factorial(2 * k + 1) for k in range(8)]
_SINHC_SLOPE = [(k + 1) / math.factorial(2 * k + 3) for k in range(8)]
_ANGLE = [1 / (2 * k + 1) for k in range(9)]
_ANGLE_SLOPE = [-(k + 1) / (2 * k + 3) for k in range(9)]
# asin(s) / s in powers of s*s.
_ASIN = [math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(11)]


def cosh_of_root(z: Tensor, sign: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """cosh(√z), sinh(√z)/√z and the latter's derivative, all entire in z.

    Args:
        z: Any real numbers.
        sign: -1 where no z is positive, 1 where none is negative, None where either may be.

    Example:
        >>> z = torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64)
        >>> [f.round(decimals=4).tolist() for f in cosh_of_root(z)]
        [[1.0, 0.5403, 1.5431], [1.0, 0.8415, 1.1752], [0.1667, 0.1506, 0.1839]]
    """
    small = z.abs() < SERIES
    near = torch.where(small, z, 0)
    sinhc_near, slope_near = _series(near, _SINHC), _series(near, _SINHC_SLOPE)
    cosh_near = torch.addcmul(sinhc_near, near, slope_near, value=2)
    if sign is None:
        turns = z < 0
        down = torch.where(turns & ~small, -z, 1).sqrt()
        up = torch.where(turns | small, 1, z).sqrt()
        cosh = torch.where(turns, down.cos(), up.cosh())
        sinhc = torch.where(turns, down.sin() / down, up.sinh() / up)
        far = torch.where(small, 1, z)
    elif sign < 0:
        far = torch.where(small, -1, z)
        root = (-far).sqrt()
        cosh, sinhc = root.cos(), root.sin() / root
    else:
        far = torch.where(small, 1, z)
        root = far.sqrt()
        cosh, sinhc = root.cosh(), root.sinh() / root
    slope = (cosh - sinhc) / (2 * far)
    return (
        torch.where(small, cosh_near, cosh),
        torch.where(small, sinhc_near, sinhc),
        torch.where(small, slope_near, slope),
    )


def angle_over_sine(c: Tensor, w: Tensor, sign: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """atan2(√w, c)/√w, continued through w = 0 to artanh(√-w / c)/√-w; its derivative by w; and c² + w.

    NaN where there is no such angle: for w = 0 where c is not positive, and for boosts of no positive c.

    Args:
        c: The cosine, or the hyperbolic one.
        w: The square of the sine; minus that of the hyperbolic one.
        sign: Of -w, as for `cosh_of_root`.

    Example:
        >>> angle, slope, length = angle_over_sine(torch.tensor([1.0, 0.6]), torch.tensor([0.0, 0.64]))
        >>> angle, length
        (tensor([1.0000, 1.1591]), tensor([1., 1.]))
    """
    square = c * c
    length = square + w
    small = (w.abs() < ANGLE_SERIES * square) & (c > 0)
    safe = torch.where(small, c, 1)
    ratio = torch.where(small, w, 0) / -(safe * safe)
    near = _series(ratio, _ANGLE) / safe
    slope_near = _series(ratio, _ANGLE_SLOPE) / safe**3
    none = (w == 0) & ~small
    far = torch.where(small | none, 1, w)
    turns = far > 0
    sine = torch.where(turns, far, 1).sqrt()
    angle = torch.atan2(sine, c) / sine
    if sign is None or sign > 0:
        boosts = far < 0
        sinh = torch.where(boosts, -far, 1).sqrt()
        angle = torch.where(boosts, torch.atanh(torch.where(boosts, sinh / c, 0.5)) / sinh, angle)
    angle = torch.where(none, torch.nan, angle)
    slope = (c / length - angle) / (2 * far)
    return torch.where(small, near, angle), torch.where(small, slope_near, slope), length


def complex_cosh_of_root(z: Tensor) -> tuple[Tensor, Tensor]:
    """cosh(√z) and sinh(√z)/√z of complex numbers."""
    small = z.abs() < SERIES
    near = torch.where(small, z, 0)
    root = torch.where(small, torch.ones_like(z), z).sqrt()
    return (
        torch.where(small, _series(near, _COSH), root.cosh()),
        torch.where(small, _series(near, _SINHC), root.sinh() / root),
    )


def complex_angle_over_sine(c: Tensor, w: Tensor) -> Tensor:
    """log(c + i s) / (i s) for complex s*s = w, where c*c + w = 1."""
    small = (w.abs() < ANGLE_SERIES) & (c.real > 0)
    root = torch.where(small, torch.ones_like(w), w).sqrt()
    far = -1j * (c + 1j * root).log() / root
    return torch.where(small, _series(torch.where(small, w, 0), _ASIN), far)
