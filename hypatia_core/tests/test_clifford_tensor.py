"""Batches of multivectors over tensors against the engine's single ones; gradients and transforms."""

from __future__ import annotations

import itertools
import math
import operator
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

import hypatia_core
from hypatia_core import HypatiaError, PyMultiVector
from hypatia_core.clifford import Algebra, Multivector, kernel, plan, rotor, translator

MODELS = sorted(Algebra.models())
OPERATORS = [operator.mul, operator.xor, operator.or_, operator.and_, operator.lshift, operator.rshift]
LINEAR = [operator.add, operator.sub]


def randn(algebra: Algebra, *shape: int, grades: tuple[int, ...] | None = None, seed: int = 0) -> Multivector:
    generator = torch.Generator().manual_seed(seed)
    return algebra.randn(*shape, grades=grades, dtype=torch.float64, generator=generator)


def singles(value: Multivector) -> list[PyMultiVector]:
    return [value.algebra.single(row) for row in value.full().reshape(-1, len(value.algebra)).tolist()]


def assert_same(batch: Multivector, expected: list[PyMultiVector], rtol: float = 1e-11) -> None:
    for got, want in zip(singles(batch), expected, strict=True):
        assert got.isclose(want, rtol=rtol, atol=1e-12), f"{got} is not {want}"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("apply", [*OPERATORS, *LINEAR], ids=lambda f: f.__name__)
def test_every_operator_in_every_model(model: str, apply: Callable[..., Any]) -> None:
    algebra = Algebra.named(model)
    n = algebra.dimension
    shapes = [(None, None), ((1,), (2,)), (tuple(range(0, n + 1, 2)), (1,)), ((n,), None), ((0,), (0, 1))]
    for left, right in shapes:
        a, b = randn(algebra, 3, grades=left), randn(algebra, 3, grades=right, seed=1)
        expected = [apply(x, y) for x, y in zip(singles(a), singles(b), strict=True)]
        assert_same(apply(a, b), expected)


def metric_dual(a: Any) -> Any:
    """The polarity, where the metric has one."""
    return a if a.algebra.signature[2] else a.polarity()


UNARY: list[tuple[str, Callable[[Any], Any]]] = [
    ("reverse", operator.invert),
    ("negative", operator.neg),
    ("involute", lambda a: a.involute()),
    ("conjugate", lambda a: a.conjugate()),
    ("dual", lambda a: a.dual()),
    ("undual", lambda a: a.undual()),
    ("polarity", metric_dual),
    ("square", lambda a: a * a),
    ("even", lambda a: a.even()),
    ("odd", lambda a: a.odd()),
    ("grade 1", lambda a: a.grade(1)),
    ("inverse", lambda a: a.inverse()),
    ("cube", lambda a: a**3),
    ("inverse square", lambda a: a**-2),
    ("exp", lambda a: a.exp()),
    ("half", lambda a: a / 2),
    ("from 1", lambda a: 1 - a),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("apply", [f for _, f in UNARY], ids=[name for name, _ in UNARY])
def test_every_function_in_every_model(model: str, apply: Callable[[Any], Any]) -> None:
    algebra = Algebra.named(model)
    for grades in (None, (1,), (0, 2), tuple(range(0, algebra.dimension + 1, 2))):
        a = randn(algebra, 4, grades=grades, seed=3)
        assert_same(apply(a), [apply(x) for x in singles(a)], rtol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("versors", "points"), [((), (50,)), ((50,), (50,)), ((3, 1), (3, 7)), ((1,), (4,)), ((), ())]
)
def test_a_sandwich_in_the_form_that_is_chosen(
    model: str, versors: tuple[int, ...], points: tuple[int, ...]
) -> None:
    algebra = Algebra.named(model)
    for left, right in [((0, 2), (1,)), (None, None), ((1,), (0, 1, 2))]:
        a, x = randn(algebra, *versors, grades=left), randn(algebra, *points, grades=right, seed=1)
        staged = (a * x * ~a).full()
        torch.testing.assert_close(a.sandwich(x).full(), staged, rtol=1e-10, atol=1e-9)


def test_one_rotor_and_many_points_is_one_matrix() -> None:
    space = Algebra(3)
    form = plan.sandwich(space.signature, (0, 2), (1,))
    first = plan.product(space.signature, "geometric", (0, 2), (1,))
    second = plan.product(space.signature, "geometric", first.grades, (0, 2))
    assert (len(first.terms), form.grades) == (12, (1,))
    rotor, points = torch.zeros(4), torch.zeros(1000, 3)
    assert kernel.matrix_is_cheaper(form, (first, second), rotor, points)
    assert not kernel.matrix_is_cheaper(form, (first, second), rotor.expand(1000, 4), points)


@pytest.mark.parametrize("model", MODELS)
def test_the_forms_of_a_product_agree(model: str) -> None:
    algebra = Algebra.named(model)
    every = algebra.all_grades
    form = plan.product(algebra.signature, "geometric", every, every)
    for left, right in itertools.product([(), (1,), (500,), (2, 500)], repeat=2):
        a, b = randn(algebra, *left).values, randn(algebra, *right, seed=1).values
        torch.testing.assert_close(kernel.bilinear(form, a, b), kernel.unrolled(form, a, b))


def test_known_zeros_are_not_stored_or_multiplied() -> None:
    space = Algebra(3)
    v = space.vector(torch.ones(3))
    assert v.values.shape == (3,)
    assert v.squared().grades == (0,)
    assert (v ^ v).grades == (2,)
    assert space.even(torch.ones(4)).reverse_squared().grades == (0,)
    assert len(plan.product(space.signature, "geometric", (0, 2), (1,)).terms) == 12
    largest = Algebra(8)
    assert len(plan.product(largest.signature, "geometric", (1,), (1,)).terms) == 64


def test_batches_broadcast_and_tensors_are_scalars() -> None:
    space = Algebra(3)
    a, b = randn(space, 4, 1), randn(space, 5, seed=1)
    assert (a * b).shape == (4, 5)
    t = torch.arange(5.0, dtype=torch.float64)
    for apply in (operator.add, operator.sub, operator.mul, operator.xor, operator.or_, operator.truediv):
        scalar = space.scalar(t + 1)
        expected = apply(b, scalar)
        torch.testing.assert_close(apply(b, t + 1).full(), expected.full())
        if apply is not operator.truediv:
            torch.testing.assert_close(apply(t + 1, b).full(), apply(scalar, b).full())
    torch.testing.assert_close((2 / b).full(), (b.inverse() * 2).full())
    torch.testing.assert_close(torch.stack([(b[2]).values, b[-1].values]), b.values[[2, -1]])
    assert b.unsqueeze(0).shape == (1, 5)
    assert b.unsqueeze(-1).shape == (5, 1)
    assert b.reshape(5, 1).sum(0).shape == (1,)
    assert a[..., 0].shape == (4,)
    torch.testing.assert_close(b.mean(-1).values, b.values.mean(0))
    mixed = Multivector.stack([space.vector(torch.ones(3)), space.scalar(2.0)])
    assert (mixed.grades, mixed.shape) == ((0, 1), (2,))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64, torch.int64]
)
def test_any_dtype(dtype: torch.dtype) -> None:
    space = Algebra(3)
    a = space.multivector(torch.arange(8).to(dtype))
    b = space.multivector(torch.arange(8).flip(0).to(dtype))
    expected = space.single(range(8)) * space.single(range(7, -1, -1))
    assert (a * b).dtype == dtype
    torch.testing.assert_close((a * b).full().to(torch.complex64), torch.tensor(expected.coefficients()) + 0j)


@pytest.mark.parametrize("model", MODELS)
def test_gradients(model: str) -> None:
    algebra = Algebra.named(model)
    even = algebra.all_grades[::2]
    a, b = randn(algebra, 2, grades=even), randn(algebra, 2, grades=(1,), seed=1)
    a.values.requires_grad_()
    b.values.requires_grad_()

    def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (Multivector(algebra, x, even) * Multivector(algebra, y, (1,))).values

    def turned(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return Multivector(algebra, x, even).sandwich(Multivector(algebra, y, (1,))).values

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (Multivector(algebra, x, even).inverse() & Multivector(algebra, y, (1,)).dual()).values

    for f in (product, turned, function):
        assert gradcheck(f, (a.values, b.values))
    planes = (randn(algebra, 2, grades=(2,), seed=2).values / 4).requires_grad_()
    assert gradcheck(lambda x: Multivector(algebra, x, (2,)).exp().values, (planes,))


def vectors(algebra: Algebra, count: int, seed: int = 0) -> list[Multivector]:
    return [randn(algebra, 3, grades=(1,), seed=seed + k) for k in range(count)]


def assert_same_blades(batch: Multivector, expected: list[PyMultiVector]) -> None:
    """Up to the sign of each."""
    for got, want in zip(singles(batch), expected, strict=True):
        assert got.isclose(want, atol=1e-9) or got.isclose(-want, atol=1e-9), f"{got} is not ±{want}"


@pytest.mark.parametrize("model", MODELS)
def test_meets_and_joins_in_every_model(model: str) -> None:
    algebra = Algebra.named(model)
    u, v, w = vectors(algebra, 3)
    pairs = [(u, v), (u, u * -2), (u ^ v, u), (u ^ v, u ^ w), (u ^ v, v ^ u), (u.dual(), v.dual())]
    if algebra.dimension > 3:
        x = vectors(algebra, 1, seed=9)[0]
        pairs += [(u ^ v, w ^ x), (u ^ v ^ w, u ^ x), (u ^ v ^ w, u ^ v ^ x), (u ^ v ^ w, u)]
    pairs += [
        (algebra.scalar(torch.ones(3, dtype=torch.float64)), u),
        (algebra.pseudoscalar().to(u.dtype), u),
    ]
    for a, b in pairs:
        rows = list(zip(singles(a.map(lambda v: v.expand(3, -1))), singles(b), strict=True))
        joins, meets = [x.join(y) for x, y in rows], [x.meet(y) for x, y in rows]
        assert_same_blades(a.join(b), joins)
        assert_same_blades(a.meet(b), meets)
        # The same where the grade is said, and of a batch that broadcasts.
        (join,), (meet,) = joins[0].grades(), meets[0].grades()
        torch.testing.assert_close(a.join(b, join).values, a.join(b).values)
        torch.testing.assert_close(a.meet(b, grade=meet).values, a.meet(b).values)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_meets_and_joins(model: str) -> None:
    algebra = Algebra.named(model)
    leaves = [v.values.requires_grad_() for v in vectors(algebra, 3, seed=4)]

    def shared(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        u, v, w = (algebra.vector(x) for x in values)
        return (u ^ v).join(u ^ w).values, (u ^ v).dual().meet((u ^ w).dual()).values, (u ^ v).join(u).values

    assert gradcheck(shared, leaves)


def test_joins_compile_and_map_as_blades_that_share_no_more_than_they_must() -> None:
    torch._dynamo.reset()
    space = Algebra(3)
    u, v, w = vectors(space, 3)

    def outer(a: Multivector, b: Multivector, grade: int | None = None) -> torch.Tensor:
        return a.join(b, grade).values

    compiled = torch.compile(outer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(u, v), (u ^ v).values)
    torch.testing.assert_close(compiled(u, u * 2.0, 1).abs(), (u / u.norm()).values.abs())
    torch.testing.assert_close(torch.vmap(outer)(u, v), (u ^ v).values)
    planes = (u ^ v), (u ^ w)
    torch.testing.assert_close(torch.vmap(outer)(*planes), planes[0].join(planes[1]).values)


def test_joins_of_several_grades_need_to_be_said() -> None:
    space = Algebra(3)
    a = space.vector(torch.eye(3)[[0, 0]])
    b = space.vector(torch.eye(3)[[0, 1]])
    with pytest.raises(HypatiaError, match=r"grades \[1, 2\].*`grade`"):
        a.join(b)
    assert a.join(b, 2).grades == (2,)
    nothing = space.vector(torch.zeros(0, 3))
    assert nothing.join(nothing).shape == (0,)


def test_slices_of_grades_and_sums_of_different_ones_copy_no_more_than_they_must() -> None:
    space = Algebra(3)
    a = randn(space, 4)
    assert a.grade(2).values.data_ptr() == a.values[..., 4:].data_ptr()
    mixed = a.grade(0, 2) + a.grade(1, 3)
    assert mixed.grades == (0, 1, 2, 3)
    torch.testing.assert_close(mixed.values, a.values, rtol=0, atol=0)
    difference = a.grade(1).to(torch.float32) - randn(space, 2, 1, grades=(0,), seed=1)
    assert (difference.shape, difference.dtype) == ((2, 4), torch.float64)
    assert_same(
        difference[1, 2],
        [singles(a.grade(1).to(torch.float32))[2] - singles(randn(space, 2, 1, grades=(0,), seed=1))[1]],
    )


@pytest.mark.parametrize("model", ["VGA2D", "VGA3D", "PGA2D", "PGA3D"])
def test_minus_one_has_no_logarithm(model: str) -> None:
    algebra = Algebra.named(model)
    minus = -algebra.even(torch.eye(1, algebra.size(algebra.all_grades[::2])))
    assert bool(minus.log().with_grades((2,)).values.isnan().any())


@pytest.mark.parametrize("model", MODELS)
def test_exponentials_of_batches_in_single_precision(model: str) -> None:
    algebra = Algebra.named(model)
    exact = randn(algebra, 500, grades=(2,), seed=8) / 2
    rough = exact.to(torch.float32)
    moved = rough.exp()
    scale = exact.exp().values.abs().amax(-1, keepdim=True)
    assert float(((moved.values - exact.exp().values) / scale).abs().max()) < 2e-6
    again = moved.log().with_grades((2,)).values
    # A logarithm near half a turn or of a large boost loses what the versor has rounded off.
    assert float((again - exact.values).abs().median()) < 1e-6


CLOSED_LOGARITHMS = ["VGA2D", "VGA3D", "PGA2D", "PGA3D"]


@pytest.mark.parametrize("model", CLOSED_LOGARITHMS)
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3, 0.2, 3.0])
def test_the_logarithm_undoes_the_exponential_with_its_gradient(model: str, size: float) -> None:
    algebra = Algebra.named(model)
    # Shorter than pi, where the logarithm's principal branch ends.
    values = size * torch.nn.functional.normalize(randn(algebra, 5, grades=(2,)).values, dim=-1)
    rotor = algebra.bivector(values).exp()
    assert_same(rotor, [x.exp() for x in singles(algebra.bivector(values))])
    torch.testing.assert_close(rotor.log().with_grades((2,)).values, values, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close((rotor.sqrt() * rotor.sqrt()).full(), rotor.full())
    values.requires_grad_()
    assert gradcheck(lambda x: algebra.bivector(x).exp().values, (values,))
    inner = rotor.values.detach().requires_grad_()
    assert gradcheck(lambda x: Multivector(algebra, x, rotor.grades).log().values, (inner,))


@pytest.mark.parametrize("model", CLOSED_LOGARITHMS)
@given(st.floats(-20, 20), st.floats(-3, 3))
@settings(max_examples=25)
def test_logarithms_agree_with_the_engine(model: str, angle: float, slide: float) -> None:
    algebra = Algebra.named(model)
    direction = randn(algebra, grades=(2,), seed=4)
    rotor = (direction * angle).exp() * (randn(algebra, grades=(2,), seed=5) * slide).exp()
    single = rotor.to_native()
    try:
        expected = single.log()
    except HypatiaError:
        return
    torch.testing.assert_close(
        rotor.log().full(), torch.tensor(expected.coefficients(), dtype=torch.float64), rtol=1e-6, atol=1e-7
    )


def test_a_logarithm_without_a_closed_form_says_so() -> None:
    with pytest.raises(HypatiaError, match=r"log of grades.*to_native"):
        randn(Algebra(6), 2, grades=(0, 2, 4)).log()


@pytest.mark.parametrize("signature", [(4, 0, 0), (5, 0, 0), (4, 1, 0), (1, 3, 0), (3, 1, 1), (2, 2, 1)])
def test_versors_of_up_to_five_dimensions_have_logarithms_and_roots(signature: tuple[int, int, int]) -> None:
    algebra = Algebra(*signature)
    planes = randn(algebra, 40, grades=(2,)).map(lambda values: values / 5)
    versor = planes.exp()
    singles_of = [planes.map(operator.itemgetter(k)).to_native().exp() for k in range(4)]
    for k, single in enumerate(singles_of):
        torch.testing.assert_close(
            versor.full()[k],
            torch.tensor(single.coefficients(), dtype=torch.float64),
            atol=1e-9,
            rtol=0,
        )
    torch.testing.assert_close(versor.log().with_grades((2,)).values, planes.values, rtol=0, atol=1e-7)
    root = versor.sqrt()
    torch.testing.assert_close((root * root).full(), versor.full(), rtol=0, atol=1e-7)
    values = planes.values.clone().requires_grad_()
    again = Multivector(algebra, values, (2,)).exp().log().with_grades((2,))
    (slope,) = torch.autograd.grad(again.values.sum(), [values])
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=0, atol=1e-5)


def test_translations_among_conformal_versors_have_logarithms() -> None:
    cga = Algebra.named("CGA3D")
    motor = translator(cga, torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)) * rotor(
        cga, torch.tensor([0.0, 0.3, 3.0], dtype=torch.float64), [1.0, 1.0, 0.2]
    )
    again = motor.log().exp().with_grades(motor.grades)
    torch.testing.assert_close(again.values, motor.values, rtol=0, atol=1e-9)


def test_what_is_no_versor_has_no_logarithm_among_conformal_ones() -> None:
    found = randn(Algebra.named("CGA3D"), 2, grades=(0, 2, 4)).log()
    assert bool(found.values.isnan().all())


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_torch_compile_takes_whole_expressions(backend: str) -> None:
    torch._dynamo.reset()
    space, motors = Algebra(3), Algebra.named("PGA3D")

    def geometry(a: Multivector, b: Multivector, t: torch.Tensor) -> Multivector:
        turn = (b.dual() * t).exp()
        return turn.sandwich(a ^ b) + t * (a | b.dual()) - (a & turn) / 2

    def motion(twist: Multivector, x: Multivector) -> Multivector:
        motor = twist.exp()
        return motor.sandwich(x) + motor.log().with_grades((1,)) + motor.inverse().with_grades((1,))

    a, b = randn(space, 6, grades=(1,)), randn(space, 6, grades=(1,), seed=1)
    cases: list[tuple[Callable[..., Multivector], tuple[Any, ...]]] = [
        (geometry, (a, b, torch.linspace(0, 1, 6, dtype=torch.float64))),
        (motion, (randn(motors, 6, grades=(2,)), randn(motors, 6, grades=(1,), seed=1))),
    ]
    for function, arguments in cases:
        compiled = torch.compile(function, backend=backend, fullgraph=True)
        got, expected = compiled(*arguments), function(*arguments)
        assert got.grades == expected.grades
        torch.testing.assert_close(got.values, expected.values)


def test_compiled_gradients() -> None:
    torch._dynamo.reset()
    space = Algebra(3)
    points = space.vector(torch.randn(20, 3, dtype=torch.float64))

    def loss(planes: torch.Tensor) -> torch.Tensor:
        return (space.bivector(planes).exp().sandwich(points) | points).values.square().sum()

    first = torch.randn(3, dtype=torch.float64, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(first), first)
    (got,) = torch.autograd.grad(torch.compile(loss, backend="aot_eager", fullgraph=True)(second), second)
    torch.testing.assert_close(got, expected)


def test_vmap_and_functional_gradients() -> None:
    space = Algebra(3)
    a, b = randn(space, 4), randn(space, 4, seed=1)
    mapped = torch.vmap(lambda x, y: x * y + x.sandwich(y))(a, b)
    torch.testing.assert_close(mapped.full(), (a * b + a.sandwich(b)).full())
    one = torch.vmap(lambda x, y: (x * y).values, in_dims=(0, None))(a, b[0])
    torch.testing.assert_close(one, (a * b[0]).values)

    def energy(values: torch.Tensor) -> torch.Tensor:
        return (space.bivector(values).exp() * b[0]).norm_squared()

    planes = randn(space, 4, grades=(2,)).values
    batch = torch.vmap(torch.func.grad(energy))(planes)
    for row, gradient in zip(planes, batch, strict=True):
        leaf = row.clone().requires_grad_()
        (expected,) = torch.autograd.grad(energy(leaf), leaf)
        torch.testing.assert_close(gradient, expected)
    # Constants cached inside a transform must not belong to it.
    assert (a * b).isclose(a * b).all()


def test_a_sandwich_traced_first_by_a_fake_mode_leaves_no_fake_constants() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    algebra = Algebra(2, 1)
    with FakeTensorMode() as mode:
        fake = Multivector(algebra, mode.from_tensor(torch.randn(5, 8)))
        assert fake.sandwich(fake * fake).values.shape == (5, 8)
    a = randn(algebra, 5)
    torch.testing.assert_close(a.sandwich(a).full(), (a * a * ~a).full())


def test_conversions() -> None:
    space = Algebra(3)
    single = space.single(range(8))
    batch = space.from_native(single)
    assert batch.to_native() == single
    assert space.from_native(space.native.blade("e31")).grades == (2,)
    assert str(space.vector([1.0, 0.0, -2.0])) == "e1 - 2*e3"
    assert pickle.loads(pickle.dumps(space)) == space
    again = pickle.loads(pickle.dumps(batch))
    torch.testing.assert_close(again.values, batch.values)
    v = space.vector([1.0, 2.0, 3.0])
    assert v.to(torch.float64).dtype == torch.float64
    assert np.asarray(single).tolist() == batch.full().tolist()


def test_subspaces_and_matrices_agree_with_the_engine() -> None:
    space = Algebra(3)
    a, n, plane = randn(space, 3), randn(space, 3, grades=(1,), seed=1), randn(space, 3, grades=(2,), seed=2)
    rows = list(zip(singles(a), singles(n), singles(plane), strict=True))
    assert_same(a.project(plane), [x.project(p) for x, _, p in rows])
    assert_same(a.reject(plane), [x.reject(p) for x, _, p in rows])
    assert_same(a.reflect(n), [x.reflect(m) for x, m, _ in rows])
    assert_same(a.commutator(n), [x.commutator(m) for x, m, _ in rows])
    rotor, other = plane.exp(), (plane * 0.3 + n.dual()).exp()
    for matrix, x in zip(rotor.to_matrix(), singles(rotor), strict=True):
        np.testing.assert_allclose(matrix, x.to_matrix(), atol=1e-12)
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    assert_same(
        rotor.slerp(other, t),
        [x.slerp(y, s) for x, y, s in zip(singles(rotor), singles(other), t.tolist(), strict=True)],
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_same_formulas_over_fractions(model: str) -> None:
    algebra = Algebra.named(model)
    generator = np.random.default_rng(1)
    for left, right in [(None, None), ((0, 2), (1,))]:
        size = [algebra.size(algebra.all_grades if g is None else g) for g in (left, right)]
        a, b = ([Fraction(int(x), 3) for x in generator.integers(-9, 9, n)] for n in size)
        x, y = algebra.symbolic(a, left), algebra.symbolic(b, right)
        p, q = (
            algebra.multivector(torch.tensor([float(c) for c in v], dtype=torch.float64), g)
            for v, g in ((a, left), (b, right))
        )
        others: list[Callable[[Any, Any], Any]] = [lambda s, t: s.sandwich(t), lambda s, t: ~s + t.involute()]
        for apply in [*OPERATORS, *LINEAR, *others]:
            exact, floating = apply(x, y), apply(p, q)
            assert exact.grades == floating.grades
            assert [float(c) for c in exact.coefficients] == pytest.approx(floating.values.tolist())
        assert float(x.norm_squared()) == pytest.approx(float(p.norm_squared()))
    half = algebra.symbolic([Fraction(1, 2)], [0])
    assert half * 2 == algebra.symbolic([Fraction(1)], [0])
    assert 1 - half == half


def test_the_same_formulas_over_sympy() -> None:
    sympy = pytest.importorskip("sympy")
    space = Algebra(3)
    theta = sympy.Symbol("theta", real=True)
    rotor = space.symbolic([sympy.cos(theta / 2), -sympy.sin(theta / 2), 0, 0], [0, 2])
    turned = rotor.sandwich(space.symbolic([1, 0, 0], [1])).map(sympy.simplify)
    expected = [sympy.cos(theta), sympy.sin(theta), 0]
    assert all(sympy.simplify(c - e) == 0 for c, e in zip(turned.coefficients, expected, strict=True))


@pytest.mark.skipif(not hasattr(hypatia_core, "Symbol"), reason="this build has no Symbol")
def test_the_same_formulas_over_symbols() -> None:
    variable: Callable[[str], Any] = vars(hypatia_core)["Symbol"].variable
    space = Algebra(3)
    a = space.symbolic([variable(f"a{k}") for k in range(4)], [0, 2])
    x = space.symbolic([variable(f"x{k}") for k in range(3)], [1])
    numbers = {f"a{k}": 0.3 * k - 0.5 for k in range(4)} | {f"x{k}": 1.5 - k for k in range(3)}
    single = space.multivector(torch.tensor([numbers[f"a{k}"] for k in range(4)]), [0, 2])
    vector = space.vector(torch.tensor([numbers[f"x{k}"] for k in range(3)]))
    for symbolic, value in ((a * x, single * vector), (a.sandwich(x), single.sandwich(vector))):
        got = [float(c.eval(numbers)) for c in symbolic.coefficients]
        assert got == pytest.approx(value.values.tolist(), abs=1e-5)
    slope = a.sandwich(x).coefficients[0].derivative("x0")
    assert float(slope.eval(numbers)) == pytest.approx(float(single.to_matrix()[0, 0]), abs=1e-5)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: Algebra(3).multivector(torch.zeros(3, 7)), r"8 blades.*\(3, 7\)"),
    (lambda: Algebra(3).vector(torch.zeros(4)), "3 blades of grades"),
    (lambda: Algebra(3).multivector(torch.tensor(1.0)), "8 blades"),
    (lambda: Algebra(3).of_grade(4, torch.zeros(1)), "no grade 4"),
    (lambda: Algebra(3).blade("e4"), "no blade 'e4'"),
    (lambda: Algebra(0), "1 to 9"),
    (lambda: Algebra.named("PGA"), "unknown model"),
    (lambda: Algebra(3).randn(1) * Algebra(2).randn(1), "different algebras"),
    (lambda: Algebra(3).randn(2).to_native(), "batch has shape"),
    (lambda: Algebra(3).from_native(Algebra(2).native.scalar(1.0)), "got one of"),
    (lambda: Algebra(3).symbolic([1, 2, 3]), "3 coefficients"),
    (lambda: Algebra(3, 0, 1).randn(1).polarity(), "no inverse"),
    (lambda: Algebra(3).randn(1).product("cross", Algebra(3).randn(1)), "unknown product"),
    (lambda: Algebra(3).randn(1).join(Algebra(3).vector([1.0, 0.0, 0.0])), "one grade"),
    (lambda: Algebra(3).vector([0.0, 0.0, 0.0]).join(Algebra(3).vector([1.0, 0.0, 0.0])), "take blades"),
    (
        lambda: Algebra(4).bivector([1.0, 0, 0, 0, 0, 1]).meet(Algebra(4).vector([1.0, 0, 0, 0])),
        "take blades",
    ),
    (lambda: Algebra(3).vector([1.0, 0, 0]).join(Algebra(3).vector([0, 1.0, 0]), 3), "grades 1 to 2, not 3"),
]


@pytest.mark.parametrize(("attempt", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(HypatiaError, match=message):
        attempt()


def test_foreign_operands_are_type_errors() -> None:
    a = Algebra(2).randn(3)
    for other in ("2", None, np.ones(3), object()):
        for apply in (operator.mul, operator.add, operator.xor):
            with pytest.raises(TypeError):
                apply(a, other)
            with pytest.raises(TypeError):
                apply(other, a)


def test_solving_for_the_inverse_of_a_zero_divisor_is_an_error() -> None:
    idempotent = Algebra(3).multivector(torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(RuntimeError, match="singular"):
        idempotent.inverse()


def test_half_turns_have_logarithms() -> None:
    space = Algebra(3)
    rotor = (space.bivector(torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)) * (math.pi / 2 / 1.3)).exp()
    assert_same(rotor.log(), [x.log() for x in singles(rotor)])


def test_equality_is_asked_for_each_of_a_batch() -> None:
    space = Algebra(3)
    a = space.vector([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert (a == a.with_grades((0, 1))).tolist() == [True, True]
    assert (a == space.vector([1.0, 2.0, 3.0])).tolist() == [True, False]
    assert (a != 0).tolist() == [True, False]
    assert a != "a vector"
    assert bool(a[0]) is True
    assert bool(a[1]) is False
    assert abs(a).tolist() == pytest.approx([14**0.5, 0.0])
    with pytest.raises(HypatiaError, match="neither true nor false"):
        bool(a)
