"""Rotors and motors of matrices, quaternions and vectors, in every model, against the engine and SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.autograd import gradcheck

from hypatia_core import HypatiaError, PyMultiVector2D, PyMultiVector3D
from hypatia_core.clifford import (
    Algebra,
    Multivector,
    motor_from_matrix,
    motor_to_matrix,
    rotor,
    rotor_between,
    rotor_from_matrix,
    rotor_from_quaternion,
    translator,
)
from hypatia_core.clifford.motion import EUCLIDEAN, space_dimension

MODELS = sorted(set(Algebra.models()) - {"STA"})
MOVING = [name for name in MODELS if name.startswith(("PGA", "CGA"))]
# None, small, large, nearly and just half a turn, about axes that are parallel to one and about others.
ANGLES = torch.tensor([0.0, 1e-7, 0.4, -2.0, math.pi - 1e-7, math.pi, math.pi], dtype=torch.float64)
AXES = torch.tensor(
    [[1, 0, 0], [0, 1, 0], [1, 2, -0.5], [0, 0, 1], [-1, 1, 1], [0, 1, 0], [0.6, 0, -0.8]],
    dtype=torch.float64,
)


def turns(algebra: Algebra) -> Multivector:
    return rotor(algebra, ANGLES, AXES if space_dimension(algebra) == 3 else None)


@pytest.mark.parametrize("model", MODELS)
def test_rotors_come_back_from_their_matrices(model: str) -> None:
    algebra = Algebra.named(model)
    turn = turns(algebra)
    euclidean = Algebra(space_dimension(algebra))
    matrices = turns(euclidean).to_matrix()
    again = rotor_from_matrix(algebra, matrices)
    sign = (again.values * turn.values).sum(-1).sign()
    torch.testing.assert_close((again * sign).values, turn.values, rtol=0, atol=1e-12)
    native = PyMultiVector2D if euclidean.dimension == 2 else PyMultiVector3D
    rotors = rotor_from_matrix(euclidean, matrices)
    for k, matrix in enumerate(matrices.tolist()):
        # Where two components are as large, either decides the sign.
        single, same = rotors[k].to_native(), native.from_matrix(matrix)
        assert single.isclose(same, atol=1e-12) or single.isclose(-same, atol=1e-12)
    values = torch.tensor([0.3, -2.8], dtype=torch.float64, requires_grad=True)
    axes = torch.tensor([[1.0, 0.5, -0.2], [0.3, 0.1, 2.0]], dtype=torch.float64, requires_grad=True)

    def around(angles: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
        of = rotor(euclidean, angles, axes if euclidean.dimension == 3 else None)
        return rotor_from_matrix(algebra, of.to_matrix()).values

    assert gradcheck(around, (values, axes) if euclidean.dimension == 3 else (values, axes.detach()))


def test_quaternions_agree_with_the_engine_and_scipy() -> None:
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    space = Algebra(3)
    turn = turns(space)
    quaternions = turn.to_quaternion()
    rows = [turn[k] for k in range(len(turn))]
    for one, quaternion in zip(rows, quaternions, strict=True):
        assert quaternion.tolist() == pytest.approx(PyMultiVector3D(*one.full().tolist()).to_quaternion())
        matrix = rotation.from_quat(quaternion.numpy()).as_matrix()
        torch.testing.assert_close(one.to_matrix(), torch.from_numpy(matrix), rtol=0, atol=1e-12)
    again = rotor_from_quaternion(space, quaternions * -3.0)
    torch.testing.assert_close(again.values, -turn.values, rtol=0, atol=1e-12)
    leaf = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda q: rotor_from_quaternion(space, q).to_quaternion(), (leaf,))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_rotor_between_vectors_turns_one_to_the_other(n: int) -> None:
    space = Algebra(n)
    generator = torch.Generator().manual_seed(n)
    a = torch.randn(9, n, generator=generator, dtype=torch.float64)
    b = torch.randn(9, n, generator=generator, dtype=torch.float64)
    b[0], b[1], b[2] = a[0] * 2, -a[1], -a[2] + 1e-9 * b[2]
    first, second = space.vector(a), space.vector(b)
    turn = rotor_between(first, second)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(
        turn.sandwich(first).with_grades((1,)).values, unit(b) * a.norm(dim=-1, keepdim=True)
    )
    torch.testing.assert_close((turn * ~turn).scalar_part(), torch.ones(9, dtype=torch.float64))
    one, many = rotor_between(first[3], second), rotor_between(first[3].unsqueeze(0), second)
    torch.testing.assert_close(one.values, many.values)
    leaves = a[3:].clone().requires_grad_(), b[3:].clone().requires_grad_()
    assert gradcheck(lambda x, y: rotor_between(space.vector(x), space.vector(y)).values, leaves)


@pytest.mark.parametrize("model", MOVING)
def test_motors_come_back_from_their_poses(model: str) -> None:
    algebra = Algebra.named(model)
    n = space_dimension(algebra)
    away = torch.linspace(-2, 5, 7 * n, dtype=torch.float64).reshape(7, n)
    motor = translator(algebra, away) * turns(algebra)
    pose = motor_to_matrix(motor)
    torch.testing.assert_close(pose[:, :n, n], away, rtol=0, atol=1e-12)
    torch.testing.assert_close(pose[:, :n, :n], turns(Algebra(n)).to_matrix(), rtol=0, atol=1e-12)
    torch.testing.assert_close(motor_to_matrix(motor_from_matrix(algebra, pose)), pose, rtol=0, atol=1e-10)
    torch.testing.assert_close(motor_to_matrix(motor[0] * motor[3]), pose[0] @ pose[3], rtol=0, atol=1e-10)
    leaf = pose[2:4, :n, n].clone().requires_grad_()
    assert gradcheck(lambda x: motor_to_matrix(translator(algebra, x) * turns(algebra)[2:4]), (leaf,))


def test_conversions_compile_and_map() -> None:
    torch._dynamo.reset()
    space = Algebra(3)
    matrices = turns(space).to_matrix()
    expected = rotor_from_matrix(space, matrices).values
    compiled = torch.compile(lambda m: rotor_from_matrix(space, m).values, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(matrices), expected)
    torch.testing.assert_close(torch.vmap(lambda m: rotor_from_matrix(space, m).values)(matrices), expected)


EYE = torch.eye(3)
BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: rotor_from_matrix(Algebra(3), torch.eye(2)), "3 components"),
    (lambda: rotor_from_matrix(Algebra(3), torch.eye(3)[:2]), r"3 rows of 3.*\(2, 3\)"),
    (lambda: rotor_from_matrix(Algebra(3), EYE * 2), "differs from 1"),
    (lambda: rotor_from_matrix(Algebra(3), EYE * torch.nan), "differs from 1"),
    (lambda: rotor_from_matrix(Algebra(3), torch.diag(torch.tensor([1.0, 1.0, -1.0]))), "determinant is -1"),
    (lambda: rotor_from_matrix(Algebra(2), torch.diag(torch.tensor([1.0, -1.0]))), "determinant is -1"),
    (lambda: rotor_from_matrix(Algebra.named("STA"), EYE), "no model"),
    (lambda: rotor_from_quaternion(Algebra(3), torch.zeros(2, 4)), "not zero"),
    (lambda: rotor_from_quaternion(Algebra(2), torch.ones(4)), "of space"),
    (lambda: Algebra(2).randn(2, grades=[0, 2]).to_quaternion(), "VGA3D"),
    (lambda: rotor_between(Algebra(3).randn(2), Algebra(3).randn(2)), "between grades"),
    (lambda: rotor_between(Algebra(3).vector(torch.zeros(3)), Algebra(3).vector(torch.ones(3))), "not zero"),
    (
        lambda: rotor_between(Algebra(2, 1).vector(torch.ones(3)), Algebra(2, 1).vector(torch.ones(3))),
        "Euclidean",
    ),
    (lambda: motor_from_matrix(Algebra(3), torch.eye(4)), "no translations"),
    (lambda: motor_from_matrix(Algebra.named("PGA3D"), torch.ones(4, 4)), "last row"),
    (lambda: motor_to_matrix(Algebra(3).randn(2)), "to_matrix"),
]


@pytest.mark.parametrize(("attempt", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(HypatiaError, match=message):
        attempt()


def test_every_model_but_space_time_is_tried() -> None:
    assert {Algebra.named(name).signature for name in MODELS} >= set(EUCLIDEAN)
    assert len(MODELS) == len(Algebra.models()) - 1
