"""Rotors, translators and motors, points and planes of the projective and conformal models, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import check, kernel, plan
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.multivector import Multivector

PROJECTIVE = {(2, 0, 1): 2, (3, 0, 1): 3}
CONFORMAL = {(3, 1, 0): 2, (4, 1, 0): 3}
EUCLIDEAN = {(2, 0, 0): 2, (3, 0, 0): 3}


def space_dimension(algebra: Algebra) -> int:
    """2 or 3: the dimension of the space that a model is about.

    Raises:
        HypatiaError: If the algebra is no Euclidean, projective or conformal model of the plane or of space.
    """
    models = EUCLIDEAN | PROJECTIVE | CONFORMAL
    if algebra.signature not in models:
        raise HypatiaError(f"{algebra!r} is no model of the plane or of space; accepted: {sorted(models)}")
    return models[algebra.signature]


def combination(algebra: Algebra, terms: dict[str, Tensor]) -> Multivector:
    """The multivector with these coefficients of named blades, zero elsewhere in their grades."""
    named = {plan.blade_index(algebra.signature, name): c for name, c in terms.items()}
    grade = plan.grade_of_each(algebra.signature, algebra.all_grades)
    grades = tuple(sorted({grade[k] for k, _ in named}))
    placed = {k: c if sign == 1 else -c for (k, sign), c in named.items()}
    shape = kernel.broadcast(*(c.shape for c in terms.values()))
    dtype = next(iter(terms.values())).dtype
    device = next(iter(terms.values())).device
    zero = torch.zeros(shape, dtype=dtype, device=device)
    kept = plan.positions(algebra.signature, grades)
    return Multivector(algebra, torch.stack([(placed.get(k, zero)).expand(shape) for k in kept], -1), grades)


def components(values: Tensor | Sequence[Any], count: int, what: str, like: Tensor | None = None) -> Tensor:
    """A floating tensor whose last extent is `count`; a list takes dtype and device of `like`."""
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(values)
    if like is not None and not isinstance(values, Tensor):
        tensor = tensor.to(like)
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    if tensor.dim() == 0 or tensor.shape[-1] != count:
        raise HypatiaError(f"{what} has {count} components, but the shape is {tuple(tensor.shape)}")
    return tensor


def rotor(algebra: Algebra, angle: Tensor | float, axis: Tensor | Sequence[Any] | None = None) -> Multivector:
    """The rotor cos(angle/2) - sin(angle/2) B about the origin, counter-clockwise about the axis.

    Args:
        algebra: A Euclidean, projective or conformal model.
        angle: Radians, of the batch's shape.
        axis: Of shape `(..., 3)`, its length does not matter; none in the plane.

    Raises:
        HypatiaError: If an angle is not finite, or an axis is zero, missing or of the wrong length.

    Example:
        >>> from math import pi
        >>> from hypatia_core.clifford import Algebra, rotor
        >>> rotor(Algebra(2), torch.tensor(pi)).values.round(decimals=4).abs()
        tensor([0., 1.])
    """
    half = torch.as_tensor(angle)
    half = (half if half.is_floating_point() else half.to(torch.get_default_dtype())) / 2
    check.refuse_if(~half.isfinite(), "the angle of a rotor must be finite")
    if space_dimension(algebra) == 2:
        if axis is not None:
            raise HypatiaError("a rotor of the plane has no axis")
        return combination(algebra, {"s": half.cos(), "e12": -half.sin()})
    if axis is None:
        raise HypatiaError("a rotor of space needs an axis of 3 components")
    direction = components(axis, 3, "the axis of a rotor", half)
    length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    check.refuse_if((length == 0) | ~length.isfinite(), "the axis of a rotor must be finite and not zero")
    x, y, z = (direction / length * -half.sin().unsqueeze(-1)).unbind(-1)
    return combination(algebra, {"s": half.cos().expand(x.shape), "e23": x, "e31": y, "e12": z})


def translator(algebra: Algebra, displacement: Tensor | Sequence[Any]) -> Multivector:
    """The motor that moves by a displacement `(..., 2 or 3)`, in a projective or conformal model.

    Raises:
        HypatiaError: If the algebra has no translations or the displacement the wrong length.
    """
    n = space_dimension(algebra)
    if algebra.signature in EUCLIDEAN:
        raise HypatiaError(f"{algebra!r} has no translations; the projective and conformal models have")
    parts = (components(displacement, n, "a displacement") / 2).unbind(-1)
    if algebra.signature in PROJECTIVE:
        terms = {f"e0{k}": -part for k, part in enumerate(parts, 1)}
    else:
        plus, minus = n + 1, n + 2
        terms = {f"e{k}{m}": -part for k, part in enumerate(parts, 1) for m in (plus, minus)}
    return combination(algebra, {"s": torch.ones_like(parts[0]), **terms})


def point(algebra: Algebra, position: Tensor | Sequence[Any]) -> Multivector:
    """The point at a position `(..., 2 or 3)`.

    In the conformal models it is x + x^2/2 e_infinity + e_origin; in the projective ones the product of the
    planes that meet in it, the dual of x + e0.

    Raises:
        HypatiaError: If the model has no points or the position the wrong length.
    """
    n = space_dimension(algebra)
    x = components(position, n, "a position")
    parts = x.unbind(-1)
    if algebra.signature in PROJECTIVE:
        dual = combination(
            algebra, {"e0": torch.ones_like(parts[0])} | {f"e{k}": p for k, p in enumerate(parts, 1)}
        )
        return dual.dual()
    if algebra.signature in CONFORMAL:
        half = (x * x).sum(-1) / 2
        terms = {f"e{k}": p for k, p in enumerate(parts, 1)}
        return combination(algebra, terms | {f"e{n + 1}": half - 0.5, f"e{n + 2}": half + 0.5})
    raise HypatiaError(
        f"{algebra!r} has vectors, not points; the projective and conformal models have points"
    )


def position(points: Multivector) -> Tensor:
    """Where points are, `(..., 2 or 3)`: the inverse of `point`, whatever their weight."""
    algebra = points.algebra
    n = space_dimension(algebra)
    if algebra.signature in PROJECTIVE:
        vector = points.with_grades((n,)).undual()
        weight = vector.coefficient("e0")
    else:
        vector = points.with_grades((1,))
        weight = vector.coefficient(f"e{n + 2}") - vector.coefficient(f"e{n + 1}")
    parts = [vector.coefficient(f"e{k}") for k in range(1, n + 1)]
    return torch.stack(parts, -1) / weight.unsqueeze(-1)


def plane(algebra: Algebra, normal: Tensor | Sequence[Any], distance: Tensor | float) -> Multivector:
    """The plane (in the plane: the line) n . x = distance, as the vector that reflects in it.

    Raises:
        HypatiaError: If the model is Euclidean or the normal has the wrong length.
    """
    n = space_dimension(algebra)
    direction = components(normal, n, "a normal")
    offset = torch.as_tensor(distance, dtype=direction.dtype, device=direction.device)
    offset = offset.expand(direction.shape[:-1])
    terms = {f"e{k}": part for k, part in enumerate(direction.unbind(-1), 1)}
    if algebra.signature in PROJECTIVE:
        return combination(algebra, terms | {"e0": -offset})
    if algebra.signature in CONFORMAL:
        return combination(algebra, terms | {f"e{n + 1}": offset, f"e{n + 2}": offset})
    raise HypatiaError(f"{algebra!r} has planes through the origin only: bivectors")


def sphere(algebra: Algebra, center: Tensor | Sequence[Any], radius: Tensor | float) -> Multivector:
    """The sphere (in the plane: the circle) as the vector that inverts in it, in a conformal model.

    Raises:
        HypatiaError: If the model is not conformal or the center has the wrong length.
    """
    if algebra.signature not in CONFORMAL:
        raise HypatiaError(f"{algebra!r} has no spheres; CGA2D and CGA3D have")
    n = space_dimension(algebra)
    at = point(algebra, center)
    drop = torch.as_tensor(radius, dtype=at.dtype, device=at.device).square().expand(at.shape) / 2
    return at - combination(algebra, {f"e{n + 1}": drop, f"e{n + 2}": drop})


def center_and_radius(spheres: Multivector) -> tuple[Tensor, Tensor]:
    """The center `(..., 2 or 3)` and radius of spheres of any weight; a negative square gives NaN."""
    n = space_dimension(spheres.algebra)
    weight = spheres.coefficient(f"e{n + 2}") - spheres.coefficient(f"e{n + 1}")
    return position(spheres), (spheres.norm_squared() / weight.square()).sqrt()
