"""Rotors and motors of matrices, quaternions and pairs of vectors, and back, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import check
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.motion import (
    EUCLIDEAN,
    combination,
    components,
    point,
    position,
    rotor,
    space_dimension,
    translator,
)
from hypatia_core.clifford.multivector import Multivector


def _square(matrix: Tensor | Sequence[Any], n: int, what: str) -> Tensor:
    found = components(matrix, n, f"a row of {what}")
    if found.dim() < 2 or found.shape[-2] != n:
        raise HypatiaError(f"{what} has {n} rows of {n}, but the shape is {tuple(found.shape)}")
    return found


def rotor_from_matrix(algebra: Algebra, matrix: Tensor | Sequence[Any]) -> Multivector:
    """The rotors of rotation matrices `(..., n, n)`: the inverse of `to_matrix` of rotors about the origin.

    Args:
        algebra: A Euclidean, projective or conformal model of the plane or of space.
        matrix: Columns are the images of the axes of the plane or of space.

    Raises:
        HypatiaError: If the shape is another, or a matrix is not orthonormal with determinant 1.

    Example:
        >>> from hypatia_core.clifford import Algebra, rotor, rotor_from_matrix
        >>> turn = rotor(Algebra(3), torch.tensor([0.5, 3.0]), [0.0, 0.6, 0.8])
        >>> rotor_from_matrix(Algebra(3), turn.to_matrix()).isclose(turn, atol=1e-5)
        tensor([True, True])
    """
    n = space_dimension(algebra)
    m = _square(matrix, n, "a rotation matrix")
    error = (m @ m.mT - torch.eye(n, dtype=m.dtype, device=m.device)).abs().amax((-2, -1))
    check.refuse_if(
        ~(error <= max(1e-6, 100 * torch.finfo(m.dtype).eps)), "not a rotation matrix: M Mᵀ differs from 1"
    )
    rows = [row.unbind(-1) for row in m.unbind(-2)]
    if n == 2:
        determinant = rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
        check.refuse_if(determinant < 0, "not a rotation matrix: its determinant is -1")
        return rotor(algebra, torch.atan2(rows[1][0] - rows[0][1], rows[0][0] + rows[1][1]))
    check.refuse_if(torch.linalg.det(m.detach()) < 0, "not a rotation matrix: its determinant is -1")
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows
    x, y, z = zy - yz, xz - zx, yx - xy
    # Shepperd (1978): the row of 4 q qᵀ with the largest square, so that none is lost near half a turn.
    products = (
        (1 + xx - yy - zz, yx + xy, zx + xz, x),
        (yx + xy, 1 - xx + yy - zz, zy + yz, y),
        (zx + xz, zy + yz, 1 - xx - yy + zz, z),
        (x, y, z, 1 + xx + yy + zz),
    )
    every = torch.stack([torch.stack(row, -1) for row in products], -2)
    largest = every.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    quaternion = every.gather(-2, largest.expand(*largest.shape[:-1], 4)).squeeze(-2)
    return rotor_from_quaternion(algebra, quaternion)


def rotor_from_quaternion(algebra: Algebra, quaternion: Tensor | Sequence[Any]) -> Multivector:
    """The rotors of quaternions (x, y, z, w) `(..., 4)`, scalar last and active as in SciPy, of any length.

    Raises:
        HypatiaError: If the algebra is no model of space, or a quaternion is zero or not finite.

    Example:
        >>> from hypatia_core.clifford import Algebra, rotor_from_quaternion
        >>> rotor_from_quaternion(Algebra(3), [0.0, 0.0, 1.0, 1.0]).to_quaternion()
        tensor([0.0000, 0.0000, 0.7071, 0.7071])
    """
    if space_dimension(algebra) != 3:
        raise HypatiaError(f"quaternions are rotors of space, not of {algebra!r}")
    values = components(quaternion, 4, "a quaternion")
    length = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    check.refuse_if((length == 0) | ~length.isfinite(), "a quaternion must be finite and not zero")
    x, y, z, w = (values / length).unbind(-1)
    return combination(algebra, {"s": w, "e23": -x, "e31": -y, "e12": -z})


def _unit(a: Multivector) -> Multivector:
    return a.map(lambda values: values / torch.linalg.vector_norm(values, dim=-1, keepdim=True))


def rotor_between(a: Multivector, b: Multivector) -> Multivector:
    """The rotors that turn the directions of vectors a to those of b by the shorter way; batches broadcast.

    Where they are opposite every plane through a serves, and one is chosen.

    Raises:
        HypatiaError: If either is no vector, or zero or not finite, or the space is not Euclidean.

    Example:
        >>> from hypatia_core.clifford import Algebra, rotor_between
        >>> a, b = Algebra(3).vector([2.0, 0.0, 0.0]), Algebra(3).vector([0.0, 1.0, 0.0])
        >>> rotor_between(a, b).sandwich(a).isclose(b * 2.0, atol=1e-5)
        tensor(True)
    """
    algebra = a.algebra
    if algebra.signature[1:] != (0, 0) or algebra.dimension < 2 or b.algebra.signature != algebra.signature:
        raise HypatiaError(
            "a rotor between vectors needs two of the same Euclidean space, not of "
            f"{algebra!r} and {b.algebra!r}"
        )
    if a.grades != (1,) or b.grades != (1,):
        raise HypatiaError(
            f"a rotor between vectors, not between grades {list(a.grades)} and {list(b.grades)}"
        )
    for vector in (a, b):
        length = torch.linalg.vector_norm(vector.values, dim=-1)
        check.refuse_if((length == 0) | ~length.isfinite(), "a rotor's vectors must be finite and not zero")
    a, b = _unit(a), _unit(b)
    dot = a.scalar_product(b)
    # At acute angles 1 + b a has all digits, and a gradient where both are the same.
    acute = _unit(dot + 1 + (b ^ a))
    # At others the part of b across a, made orthogonal twice, so that its plane holds a.
    across = b - a * dot
    across = across - a * a.scalar_product(across)
    length = torch.linalg.vector_norm(across.values, dim=-1, keepdim=True)
    opposite = length <= 16 * torch.finfo(dot.dtype).eps
    least = a.values.abs().argmin(-1, keepdim=True).expand(*across.shape, 1)
    axis = torch.zeros_like(across.values).scatter(-1, least, 1.0)
    chosen = algebra.vector(axis) - a * a.scalar_product(algebra.vector(axis))
    direction = across.map(
        lambda v: torch.where(opposite, _unit(chosen).values, v / torch.where(opposite, 1, length))
    )
    half = torch.atan2(direction.scalar_product(b), dot) / 2
    obtuse = half.cos() - (a ^ direction) * half.sin()
    return acute.map(lambda values: torch.where((dot > 0).unsqueeze(-1), values, obtuse.values))


def motor_from_matrix(algebra: Algebra, matrix: Tensor | Sequence[Any]) -> Multivector:
    """The motors of poses `(..., n + 1, n + 1)` in homogeneous coordinates: a rotation, then a translation.

    Args:
        algebra: A projective or conformal model of the plane or of space.
        matrix: The rotation beside the displacement, above a row (0, ..., 0, 1).

    Raises:
        HypatiaError: If the model has no translations, or a matrix is no pose.

    Example:
        >>> from hypatia_core.clifford import Algebra, motor_from_matrix, motor_to_matrix
        >>> pose = torch.tensor([[0.0, -1.0, 5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> motor_to_matrix(motor_from_matrix(Algebra.named("PGA2D"), pose)).round(decimals=4) + 0.0
        tensor([[ 0., -1.,  5.],
                [ 1.,  0.,  0.],
                [ 0.,  0.,  1.]])
    """
    n = space_dimension(algebra)
    pose = _square(matrix, n + 1, "a pose")
    last = torch.zeros(n + 1, dtype=pose.dtype, device=pose.device)
    last[-1] = 1
    check.refuse_if((pose[..., -1, :] - last).abs() > 1e-6, "the last row of a pose is (0, ..., 0, 1)")
    return translator(algebra, pose[..., :-1, -1]) * rotor_from_matrix(algebra, pose[..., :-1, :-1])


def motor_to_matrix(motor: Multivector) -> Tensor:
    """The poses `(..., n + 1, n + 1)` of motors: what they do to points in homogeneous coordinates.

    Raises:
        HypatiaError: If the model has no points.
    """
    n = space_dimension(motor.algebra)
    if motor.algebra.signature in EUCLIDEAN:
        raise HypatiaError(f"{motor.algebra!r} has no translations: its rotors have `to_matrix`")
    corners = torch.eye(n + 1, n, dtype=motor.dtype, device=motor.device).roll(1, 0)
    images = position(motor.unsqueeze(-1).sandwich(point(motor.algebra, corners)))
    origin = images[..., :1, :]
    columns = torch.cat([images[..., 1:, :] - origin, origin], -2)
    last = torch.eye(n + 1, dtype=motor.dtype, device=motor.device)[:, -1:]
    return torch.cat([columns, last.expand(*columns.shape[:-1], 1)], -1).mT
