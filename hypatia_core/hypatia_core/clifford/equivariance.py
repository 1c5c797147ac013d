"""Whether a function commutes with the versors of an algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.multivector import Multivector


def random_versor(
    algebra: Algebra,
    factors: int,
    *,
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> Multivector:
    """A product of unit vectors: a rotor, motor or Lorentz transformation where their number is even.

    Args:
        algebra: The algebra.
        factors: How many vectors.
        dtype: The coefficients' dtype.
        generator: The source of randomness.

    Raises:
        HypatiaError: If the algebra has no invertible vector, or `factors` is negative.

    Example:
        >>> from hypatia_core.clifford import Algebra, random_versor
        >>> versor = random_versor(Algebra(3), 2)
        >>> bool((versor * ~versor).isclose(1.0))
        True
    """
    if factors < 0 or not any(algebra.squares):
        raise HypatiaError(f"{algebra!r} has no versor of {factors} invertible vectors")
    out = algebra.scalar(torch.ones((), dtype=dtype))
    for _ in range(factors):
        while True:
            vector = algebra.randn(grades=(1,), dtype=dtype, generator=generator)
            size = float(vector.values.square().sum())
            # Far from null, so that no transformation is extreme.
            if abs(float(vector.norm_squared())) > 0.3 * size:
                break
        out = out * vector.normalized()
    return out


def transformed(versor: Multivector, x: Multivector) -> Multivector:
    """V x V^-1, with x grade-involuted where V is odd: a vector acts on vectors as the reflection in it."""
    odd = all(g % 2 == 1 for g in versor.grades)
    image = versor * (x.involute() if odd else x) * versor.inverse()
    return image.with_grades(x.grades)


def equivariance_error(
    function: Callable[..., Any],
    algebra: Algebra,
    *inputs: Multivector,
    versors: int = 4,
    generator: torch.Generator | None = None,
) -> float:
    """How far `function(V x)` is from `V function(x)`, relative to its largest coefficient, over random V.

    Even and odd versors take turns. An equivariant function has an error of the size of rounding. Use
    float64.

    Args:
        function: From multivectors to one multivector.
        algebra: The algebra.
        inputs: The arguments to try; each is transformed by the same versor.
        versors: How many to try.
        generator: The source of randomness.

    Returns:
        The largest relative error seen.

    Example:
        >>> from hypatia_core.clifford import Algebra, MVActivation, equivariance_error
        >>> space = Algebra(3)
        >>> x = space.randn(5, 2, dtype=torch.float64)
        >>> equivariance_error(MVActivation(space, 2).double(), space, x) < 1e-10
        True
        >>> equivariance_error(lambda a: a.map(torch.relu), space, x) < 1e-2
        False
    """
    worst = 0.0
    with torch.no_grad():
        plain = function(*inputs)
        for count in range(1, versors + 1):
            versor = random_versor(algebra, 1 + count % 2, dtype=plain.dtype, generator=generator)
            moved = function(*(transformed(versor, x) for x in inputs))
            expected = transformed(versor, plain)
            difference = (moved - expected).values.abs().max()
            worst = max(worst, float(difference / expected.values.abs().max()))
    return worst
