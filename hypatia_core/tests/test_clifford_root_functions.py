"""Functions of the square root of a number against those of complex numbers, with their derivatives."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from hypatia_core.clifford import plan
from hypatia_core.clifford.root_functions import angle_over_sine, cosh_of_root

# Zero, what the series take, their borders on both sides, and beyond.
SIZES = [0.0, 1e-30, 1e-12, 1e-4, 0.0099, 0.0101, 0.0999, 0.1001, 0.5, 2.0, 9.5, 30.0]
SIGNS: list[tuple[int | None, list[float]]] = [
    (None, [s * z for z in SIZES for s in (1, -1)]),
    (-1, [-z for z in SIZES]),
    (1, SIZES),
]


def exactly(z: float) -> tuple[float, float, float]:
    """By the series where it converges at once, else by complex roots."""
    if abs(z) < 1:
        terms = [z**k / math.factorial(2 * k) for k in range(20)]
        sinhc = [z**k / math.factorial(2 * k + 1) for k in range(20)]
        slope = [k * z ** (k - 1) / math.factorial(2 * k + 1) for k in range(1, 20)]
        return math.fsum(terms), math.fsum(sinhc), math.fsum(slope)
    root = cmath.sqrt(z)
    cosh, sinhc_ = cmath.cosh(root).real, (cmath.sinh(root) / root).real
    return cosh, sinhc_, (cosh - sinhc_) / (2 * z)


@pytest.mark.parametrize(("sign", "numbers"), SIGNS, ids=["either", "turns", "boosts"])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 2e-14), (torch.float32, 8e-6)])
def test_entire_functions_of_a_root(
    sign: int | None, numbers: list[float], dtype: torch.dtype, error: float
) -> None:
    z = torch.tensor(numbers, dtype=dtype)
    expected = torch.tensor([exactly(x) for x in z.tolist()], dtype=torch.float64).unbind(-1)
    for got, want in zip(cosh_of_root(z, sign), expected, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=error, atol=error)


@pytest.mark.parametrize("sign", [None, -1])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 2e-13), (torch.float32, 5e-5)])
def test_an_angle_over_its_sine(sign: int | None, dtype: torch.dtype, error: float) -> None:
    angles = torch.tensor([1e-9, 1e-3, 0.09, 0.11, 1.0, math.pi / 2, 3.0, 3.14], dtype=torch.float64)
    c, w = angles.cos(), angles.sin().square()
    angle, slope, length = angle_over_sine(c.to(dtype), w.to(dtype), sign)
    torch.testing.assert_close(angle.double(), angles / angles.sin(), rtol=error * 1e3, atol=0)
    torch.testing.assert_close(angle.double()[:6], (angles / angles.sin())[:6], rtol=error, atol=0)
    torch.testing.assert_close(length.double(), torch.ones_like(length).double(), rtol=error, atol=0)
    # The derivative by w at a constant c.
    wanted = (c - angles / angles.sin()) / (2 * w)
    torch.testing.assert_close(slope.double()[3:6], wanted[3:6], rtol=error * 100, atol=0)
    torch.testing.assert_close(slope.double()[:2], torch.full((2,), -1 / 3).double(), rtol=1e-5, atol=0)


def test_an_angle_of_boosts_is_continued() -> None:
    rapidities = torch.tensor([1e-6, 0.05, 0.2, 2.0], dtype=torch.float64)
    angle, _, _ = angle_over_sine(rapidities.cosh(), -rapidities.sinh().square())
    torch.testing.assert_close(angle, rapidities / rapidities.sinh(), rtol=1e-13, atol=0)


def test_minus_one_and_boosts_beyond_the_light_have_no_angle() -> None:
    c, w = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([0.0, 0.0, -1.0])
    angle, slope, _ = angle_over_sine(c, w)
    assert bool(angle.isnan().all())
    assert bool(slope.isnan().all())
    assert bool(angle_over_sine(c[:2], w[:2], -1)[0].isnan().all())


@pytest.mark.parametrize(("sign", "numbers"), SIGNS, ids=["either", "turns", "boosts"])
def test_first_and_second_gradients(sign: int | None, numbers: list[float]) -> None:
    away = [0.0, 1e-3, 0.05, 0.3, 4.0]
    z = torch.tensor([(-1 if sign == -1 else 1) * x for x in away], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: cosh_of_root(x, None), (z,))
    assert gradgradcheck(lambda x: cosh_of_root(x, None), (z,))
    far = z.detach()[1:].requires_grad_()
    assert gradcheck(lambda x: cosh_of_root(x, sign), (far,))
    assert gradgradcheck(lambda x: cosh_of_root(x, sign), (far,))
    c = torch.full((4,), 0.7, dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.0, 1e-4, 0.02, 0.4], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda c, w: angle_over_sine(c, w)[:2], (c, w))
    assert gradgradcheck(lambda c, w: angle_over_sine(c, w)[:2], (c, w))


@pytest.mark.parametrize(
    ("signature", "grades", "sign"),
    [
        ((3, 0, 0), (2,), -1),
        ((3, 0, 1), (2,), -1),
        ((3, 0, 1), (1,), 1),
        ((3, 0, 1), (4,), 0),
        ((4, 1, 0), (2,), None),
        ((0, 2, 0), (1,), -1),
        ((3, 0, 0), (1, 2), None),
        ((3, 0, 0), (0, 2), None),
    ],
)
def test_the_metric_tells_the_sign_of_a_square(
    signature: tuple[int, int, int], grades: tuple[int, ...], sign: int | None
) -> None:
    assert plan.sign_of_square(signature, grades) == sign
