"""Multivectors over exact and symbolic coefficients, in every named model, against the engine's numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hypatia_core import HypatiaError, PyMultiVector, Symbol
from hypatia_core.clifford import Algebra, SymbolicMultivector, closed_form

MODELS = sorted(Algebra.models())
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "mul": operator.mul,
    "xor": operator.xor,
    "or": operator.or_,
    "and": operator.and_,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "add": operator.add,
    "sub": operator.sub,
    "truediv": operator.truediv,
    "commutator": lambda a, b: a.commutator(b),
    "anticommutator": lambda a, b: a.anticommutator(b),
    "sandwich": lambda a, b: a.sandwich(b),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg,
    "pos": operator.pos,
    "invert": operator.invert,
    "reverse": lambda a: a.reverse(),
    "involute": lambda a: a.involute(),
    "conjugate": lambda a: a.conjugate(),
    "dual": lambda a: a.dual(),
    "undual": lambda a: a.undual(),
    "polarity": lambda a: a if a.algebra.signature[2] else a.polarity(),
    "even": lambda a: a.even(),
    "odd": lambda a: a.odd(),
    "grade": lambda a: a.grade(2),
    "inverse": lambda a: a.inverse(),
    "cube": lambda a: a**3,
    "nothing": lambda a: a**0,
    "inverse square": lambda a: a**-2,
    "half": lambda a: a / 2,
    "over": lambda a: 2 / a,
    "from the left": lambda a: ((2 * a) ^ 3) + (3 ^ a) + (2 | a) + (1 << a) + (2 >> a) + (5 & a) + (1 - a),
}


def drawn(
    algebra: Algebra, seed: int, grades: tuple[int, ...] | None = None
) -> SymbolicMultivector[Fraction]:
    numbers = np.random.default_rng(seed).integers(-9, 10, algebra.size(grades or algebra.all_grades))
    return algebra.symbolic([Fraction(int(x), 3) for x in numbers], grades)


def single(value: SymbolicMultivector[Any], numbers: dict[str, float] | None = None) -> PyMultiVector:
    full = value.with_grades(value.algebra.all_grades).coefficients
    return value.algebra.single([c.eval(numbers) if isinstance(c, Symbol) else float(c) for c in full])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", BINARY)
def test_two_operands(model: str, name: str) -> None:
    algebra = Algebra.named(model)
    for left, right in [(None, None), ((1,), (2,)), ((0, 2), (1,))]:
        # Planes through the origin of a projective or conformal model have no inverse in general.
        if name == "truediv" and right == (2,):
            continue
        a, b = drawn(algebra, 1, left), drawn(algebra, 2, right)
        assert single(BINARY[name](a, b)).isclose(BINARY[name](single(a), single(b)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", UNARY)
def test_one_operand(model: str, name: str) -> None:
    algebra = Algebra.named(model)
    for grades in (None, (1,)):
        a = drawn(algebra, 3, grades)
        assert single(UNARY[name](a)).isclose(UNARY[name](single(a)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("signature", [*(Algebra.named(m).signature for m in MODELS), (1, 0, 0), (2, 2, 1)])
def test_inverses_are_exact(signature: tuple[int, int, int]) -> None:
    algebra = Algebra(*signature)
    one = algebra.symbolic([1], [0]).with_grades(algebra.all_grades)
    a = drawn(algebra, 4)
    inverse = a.inverse()
    assert (a * inverse).with_grades(algebra.all_grades) == one
    assert (inverse * a).with_grades(algebra.all_grades) == one
    whole = algebra.symbolic([int(3 * c) for c in a.coefficients])
    assert (whole * whole.inverse()).with_grades(algebra.all_grades) == one


def test_a_zero_divisor_has_no_inverse() -> None:
    space = Algebra(3)
    idempotent = space.symbolic([Fraction(1, 2), Fraction(1, 2), 0, 0], [0, 1])
    assert idempotent * idempotent == idempotent.with_grades((0, 1, 2))
    for value in (idempotent, Algebra(3, 0, 1).symbolic([1, 0, 0, 0], [1])):
        with pytest.raises(HypatiaError, match="divides zero"):
            value.inverse()


@pytest.mark.parametrize("model", MODELS)
def test_symbols_give_what_numbers_give(model: str) -> None:
    algebra = Algebra.named(model)
    n = algebra.dimension
    numbers = {f"a{k}": 0.3 * k - 0.5 for k in range(n)} | {f"b{k}": 1.5 - 0.4 * k for k in range(n)}
    a, b = (algebra.symbolic([Symbol.variable(f"{x}{k}") for k in range(n)], [1]) for x in "ab")
    for name in ("mul", "xor", "or", "and", "lshift", "rshift", "add", "sub", "commutator", "sandwich"):
        apply = BINARY[name]
        got = single(apply(a, b), numbers)
        assert got.isclose(apply(single(a, numbers), single(b, numbers)), rtol=1e-12, atol=1e-12), name
    x, y = single(a, numbers), single(b, numbers)
    for form, expected in [
        ((a * b).inverse(), (x * y).inverse()),
        (a / (a * b), x * (x * y).inverse()),
        ((a * b) ** 2, x * y * x * y),
        (a.reflect(b), -y * x * y.inverse()),
        (a.project(b) + a.reject(b), x),
    ]:
        assert single(form, numbers).isclose(expected, rtol=1e-9, atol=1e-9)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": lambda a: a.exp(),
    "log": lambda a: a.exp().log(),
    "sqrt": lambda a: a.exp().sqrt(),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_of_what_squares_to_a_number(model: str, name: str) -> None:
    algebra, rng = Algebra.named(model), np.random.default_rng(7)
    grades, function = algebra.native.grades, FUNCTIONS[name]
    for k in range(len(algebra)):
        if grades[k] != 2:
            continue
        coefficient = float(rng.uniform(0.2, 0.9))
        native = algebra.native.multivector([coefficient * (m == k) for m in range(len(algebra))])
        values = [v for v, g in zip(native, grades, strict=True) if g == 2]
        given = function(algebra.symbolic(values, [2])).with_grades(algebra.all_grades)
        wanted = list(function(native))
        np.testing.assert_allclose([float(c) for c in given.coefficients], wanted, atol=1e-12)


def test_functions_of_several_terms_and_of_scalars_with_them() -> None:
    space, rng = Algebra(3), np.random.default_rng(8)
    values = [abs(float(c)) for c in rng.normal(size=4)]
    native = space.native.multivector([values[0], 0, 0, 0, *values[1:], 0])
    symbols = [Symbol.variable(name) for name in "abcd"]
    at = dict(zip("abcd", values, strict=True))
    stored = ("s", "e12", "e23", "e31")
    for name in ("exp", "log", "sqrt"):
        wanted = [getattr(native, name)()[blade] for blade in stored]
        exact = getattr(space.symbolic(values, [0, 2]), name)()
        np.testing.assert_allclose(exact.coefficients, wanted, atol=1e-12)
        formal = getattr(space.symbolic(symbols, [0, 2]), name)()
        np.testing.assert_allclose([c.eval(at) for c in formal.coefficients], wanted, atol=1e-12)


def test_norms_are_exact_where_they_can_be() -> None:
    space = Algebra(3)
    assert space.symbolic([Fraction(3), Fraction(4), Fraction(0)], [2]).norm() == 5
    assert space.symbolic([3, 4, 0], [2]).normalized().coefficients == (Fraction(3, 5), Fraction(4, 5), 0)
    stored = Algebra.named("STA").symbolic([3, 5, 0, 0], [1])
    assert stored.norm_squared() == -16 and stored.norm() == 4
    assert Algebra.named("STA").symbolic([0, 2, 0, 0], [1]).norm() == 2


def test_meets_and_joins_of_what_is_apart() -> None:
    space = Algebra(3)
    a, b = space.symbolic([1, 0, 2], [1]), space.symbolic([0, 1, 0], [1])
    assert a.join(b) == a ^ b
    p, q = space.symbolic([1, 0, 0], [2]), space.symbolic([0, 1, 0], [2])
    assert p.meet(q) == p & q
    with pytest.raises(HypatiaError, match="share a direction"):
        a.join(a * 2)
    with pytest.raises(HypatiaError, match="do not span the space"):
        p.meet(p)


def test_what_has_no_single_formula_says_so() -> None:
    motor = Algebra.named("PGA3D").symbolic([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2])
    with pytest.raises(HypatiaError, match="exp: there is one formula only where"):
        motor.exp()
    x, y = Symbol.variable("x"), Symbol.variable("y")
    with pytest.raises(HypatiaError, match="depends on the coefficients"):
        Algebra(1, 1).symbolic([x, y], [1]).exp()
    with pytest.raises(HypatiaError, match="coefficients of type str have no exp"):
        closed_form.elementary("exp", "a")
