"""The native multivectors against tables and matrices worked out here from first principles."""

from __future__ import annotations

import copy
import doctest
import itertools
import math
import operator
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation, Slerp

import hypatia_core
from hypatia_core import HypatiaError, PyAlgebra, PyMultiVector, PyMultiVector2D, PyMultiVector3D

MODELS = [name for name, _, _ in PyAlgebra.models()]
SIGNATURES = [signature for _, signature, _ in PyAlgebra.models()] + [
    (2, 2, 1),
    (0, 3, 0),
    (1, 0, 2),
    (5, 0, 0),
]
SIGMA = [np.array(m, complex) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]])]
SPACE, PLANE = PyAlgebra.named("VGA3D"), PyAlgebra.named("VGA2D")

moderate = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 6))


def multivectors(algebra: PyAlgebra) -> st.SearchStrategy[PyMultiVector]:
    size = len(algebra)
    return st.lists(moderate, min_size=size, max_size=size).map(algebra.multivector)


@st.composite
def in_some_model(draw: st.DrawFn, count: int) -> list[PyMultiVector]:
    algebra = PyAlgebra.named(draw(st.sampled_from(MODELS)))
    return [draw(multivectors(algebra)) for _ in range(count)]


def sorted_word(word: list[int], squares: list[int]) -> tuple[tuple[int, ...], int]:
    """The definition: exchange neighbours, each time changing the sign; contract equal neighbours."""
    word, sign = list(word), 1
    while True:
        for k in range(1, len(word)):
            if word[k - 1] == word[k]:
                sign *= squares[word[k]]
                del word[k - 1 : k + 1]
                break
            if word[k - 1] > word[k]:
                word[k - 1], word[k] = word[k], word[k - 1]
                sign = -sign
                break
        else:
            return tuple(word), sign


class FirstPrinciples:
    """The products of an algebra from words of basis vectors; shares nothing with the engine."""

    def __init__(self, algebra: PyAlgebra) -> None:
        names = algebra.blades
        first = min(int(name[1]) for name in names if name != "s")
        p, q, r = algebra.signature
        squares = [0] * r + [1] * p + [-1] * q if r == 1 else [1] * p + [-1] * q + [0] * r
        self.squares = squares
        self.words = [[] if name == "s" else [int(digit) - first for digit in name[1:]] for name in names]
        self.place: dict[tuple[int, ...], tuple[int, int]] = {}
        for k, word in enumerate(self.words):
            canonical, sign = sorted_word(word, [1] * len(squares))
            self.place[canonical] = (k, sign)

    def basis(self, i: int, j: int) -> tuple[int, int, int]:
        word, sign = sorted_word(self.words[i] + self.words[j], self.squares)
        k, orientation = self.place[word]
        return k, sign * orientation, len(word)

    def product(self, a: np.ndarray, b: np.ndarray, keep: Callable[[int, int, int], bool]) -> np.ndarray:
        out = np.zeros(len(self.words))
        for i, j in itertools.product(range(len(a)), range(len(b))):
            k, sign, grade = self.basis(i, j)
            if keep(len(self.words[i]), len(self.words[j]), grade):
                out[k] += sign * a[i] * b[j]
        return out


PRODUCTS: dict[str, tuple[Callable[..., object], Callable[[int, int, int], bool]]] = {
    "geometric": (operator.mul, lambda r, s, t: True),
    "outer": (operator.xor, lambda r, s, t: t == r + s),
    "inner": (operator.or_, lambda r, s, t: t == abs(r - s)),
    "left_contraction": (operator.lshift, lambda r, s, t: t == s - r),
    "right_contraction": (operator.rshift, lambda r, s, t: t == r - s),
}


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_every_product_agrees_with_first_principles(signature: tuple[int, int, int]) -> None:
    algebra = PyAlgebra(*signature)
    reference = FirstPrinciples(algebra)
    rng = np.random.default_rng(7)
    a, b = rng.integers(-9, 10, (2, len(algebra))).astype(float)
    left, right = algebra.multivector(a), algebra.multivector(b)
    for name, (apply, keep) in PRODUCTS.items():
        np.testing.assert_array_equal(
            np.asarray(apply(left, right)), reference.product(a, b, keep), err_msg=name
        )
    scalar = reference.product(a, b, lambda r, s, t: t == 0)[0]
    assert left.scalar_product(right) == scalar


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_the_whole_cayley_table(signature: tuple[int, int, int]) -> None:
    algebra = PyAlgebra(*signature)
    reference = FirstPrinciples(algebra)
    table = algebra.cayley("geometric")
    for i, j in itertools.product(range(len(algebra)), repeat=2):
        k, sign, _ = reference.basis(i, j)
        assert table[i][j][1] == sign
        assert sign == 0 or table[i][j][0] == k


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_dual_and_regressive_product(signature: tuple[int, int, int]) -> None:
    algebra = PyAlgebra(*signature)
    top = algebra.pseudoscalar()
    for name in algebra.blades:
        b = algebra.blade(name)
        assert b ^ b.dual() == top
        assert b.dual().undual() == b
    rng = np.random.default_rng(3)
    a, b = (algebra.multivector(c) for c in rng.integers(-9, 10, (2, len(algebra))).astype(float))
    assert a & b == (a.dual() ^ b.dual()).undual()


def pauli(value: PyMultiVector) -> np.ndarray:
    """The faithful representation of space's algebra by 2x2 complex matrices."""
    words = {
        "s": [],
        "e1": [0],
        "e2": [1],
        "e3": [2],
        "e12": [0, 1],
        "e23": [1, 2],
        "e31": [2, 0],
        "e123": [0, 1, 2],
    }
    out = np.zeros((2, 2), complex)
    for name, word in words.items():
        matrix = np.eye(2, dtype=complex)
        for k in word:
            matrix = matrix @ SIGMA[k]
        out += value[name] * matrix
    return out


@given(multivectors(SPACE), multivectors(SPACE))
def test_space_is_the_algebra_of_the_pauli_matrices(a: PyMultiVector, b: PyMultiVector) -> None:
    np.testing.assert_allclose(pauli(a * b), pauli(a) @ pauli(b), atol=1e-9)
    np.testing.assert_allclose(pauli(~a), pauli(a).conj().T, atol=0)


@given(multivectors(SPACE))
def test_exp_is_the_matrix_exponential(a: PyMultiVector) -> None:
    a = a / 5
    expected = expm(pauli(a))
    np.testing.assert_allclose(pauli(a.exp()), expected, atol=1e-12 * (1 + np.abs(expected).max()))


@given(in_some_model(3))
def test_the_laws_of_the_product(values: list[PyMultiVector]) -> None:
    a, b, c = values
    close = {"rtol": 1e-12, "atol": 1e-9}
    assert ((a * b) * c).isclose(a * (b * c), **close)
    assert (a * (b + c)).isclose(a * b + a * c, **close)
    assert (~(a * b)).isclose(~b * ~a, **close)
    assert ((a ^ b) ^ c).isclose(a ^ (b ^ c), **close)
    assert (a * b).involute().isclose(a.involute() * b.involute(), **close)
    assert a.conjugate() == (~a).involute()
    assert a.even() + a.odd() == a
    assert sum((a.grade(k) for k in range(a.algebra.dimension + 1)), start=a * 0) == a
    assert a.commutator(b).isclose((a * b - b * a) / 2, **close)
    assert a.anticommutator(b).isclose((a * b + b * a) / 2, **close)


@given(in_some_model(1), moderate)
def test_scalars_on_both_sides(values: list[PyMultiVector], x: float) -> None:
    (a,) = values
    one = a.algebra.scalar(x)
    for apply in (operator.mul, operator.xor, operator.or_, operator.and_, operator.lshift, operator.rshift):
        assert apply(x, a) == apply(one, a)
        assert apply(a, x) == apply(a, one)
    assert x + a == a + x == a + one
    assert x - a == one - a
    assert a - x == a - one
    assert np.float32(2.0) * a == a * np.float64(2.0) == a * 2 == a + a


@given(in_some_model(1))
def test_the_inverse_undoes_or_is_refused(values: list[PyMultiVector]) -> None:
    (a,) = values
    try:
        inverse = a.inverse()
    except HypatiaError as error:
        assert "inverse" in str(error)
        return
    size = np.abs(a.to_numpy()).max() * np.abs(inverse.to_numpy()).max()
    tolerance = 1e-8 + 1e-13 * len(a) * size
    assert (a * inverse).isclose(1, rtol=0, atol=tolerance)
    assert (inverse * a).isclose(1, rtol=0, atol=tolerance)
    assert a**-1 == 1 / a == inverse


@pytest.mark.parametrize("model", MODELS)
def test_products_of_vectors_keep_grades_in_a_sandwich(model: str) -> None:
    algebra = PyAlgebra.named(model)
    rng = np.random.default_rng(11)
    versor = algebra.scalar(1.0)
    for _ in range(3):
        versor = versor * algebra.vector(rng.normal(size=algebra.dimension))
    for grade in range(algebra.dimension + 1):
        x = algebra.of_grade(grade, rng.normal(size=algebra.grades.count(grade)))
        image = versor.sandwich(x)
        assert image.isclose(versor * x * ~versor, rtol=1e-12)
        assert image.isclose(image.grade(grade), rtol=1e-12)


@pytest.mark.parametrize("signature", [*SIGNATURES, (6, 0, 0), (4, 2, 0)], ids=str)
@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.3, 1.2])
def test_the_logarithm_of_the_exponential_of_a_bivector(signature: tuple[int, int, int], size: float) -> None:
    algebra = PyAlgebra(*signature)
    rng = np.random.default_rng(5)
    for _ in range(4):
        bivector = algebra.of_grade(2, size * rng.uniform(-1, 1, algebra.grades.count(2)) / algebra.dimension)
        rotor = bivector.exp()
        assert (rotor * ~rotor).isclose(1, rtol=1e-13)
        assert rotor.log().isclose(bivector, rtol=1e-9, atol=1e-15)
        assert (rotor.sqrt() ** 2).isclose(rotor, rtol=1e-13)
        assert (rotor**0.25).isclose((bivector / 4).exp(), rtol=1e-12)


@given(in_some_model(1))
def test_the_exponential_is_its_series(values: list[PyMultiVector]) -> None:
    a = values[0] / 40
    term = total = a.algebra.scalar(1.0)
    for k in range(1, 80):
        term = term * a / k
        total = total + term
    assert a.exp().isclose(total, rtol=1e-12)


@given(in_some_model(1))
def test_roots_and_logarithms_fit_or_are_refused(values: list[PyMultiVector]) -> None:
    (a,) = values
    for function, back in ((PyMultiVector.sqrt, lambda x: x * x), (PyMultiVector.log, PyMultiVector.exp)):
        try:
            found = function(a)
        except HypatiaError as error:
            assert "no principal" in str(error)
        else:
            assert back(found).isclose(a, rtol=1e-7, atol=1e-12)


unit = st.floats(-1, 1, allow_nan=False)
axes = st.one_of(
    st.tuples(unit, unit, unit).filter(lambda a: np.linalg.norm(a) > 1e-3),
    st.sampled_from([tuple(s * row) for row in np.eye(3) for s in (1.0, -1.0)]),
)
angles = st.one_of(
    st.floats(-7, 7),
    st.sampled_from([0.0, math.pi, -math.pi, math.pi / 2, 2 * math.pi]),
    st.floats(-1e-7, 1e-7).map(lambda d: math.pi + d),
)


def scipy_rotation(angle: float, axis: tuple[float, ...]) -> Rotation:
    return Rotation.from_rotvec(angle * np.array(axis) / np.linalg.norm(axis))


@given(axes, angles, st.tuples(unit, unit, unit))
def test_rotors_turn_as_scipy_does(axis: tuple[float, ...], angle: float, v: tuple[float, ...]) -> None:
    rotor, rotation = PyMultiVector3D.rotor(angle, *axis), scipy_rotation(angle, axis)
    turned = np.asarray(rotor.rotate_vector(PyMultiVector3D.vector(*v)))
    np.testing.assert_allclose(turned[1:4], rotation.apply(v), atol=1e-12)
    np.testing.assert_allclose(rotor.to_matrix(), rotation.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotor.to_rotation().as_matrix(), rotation.as_matrix(), atol=1e-12)
    for back in (
        PyMultiVector3D.from_rotation(rotation),
        PyMultiVector3D.from_matrix(rotation.as_matrix()),
        PyMultiVector3D.from_quaternion(rotor.to_quaternion()),
    ):
        assert back.isclose(rotor, rtol=1e-9) or back.isclose(-rotor, rtol=1e-9)


@given(axes, angles, axes, angles)
def test_rotors_compose_as_scipy_does(
    a: tuple[float, ...], alpha: float, b: tuple[float, ...], beta: float
) -> None:
    rotor = PyMultiVector3D.rotor(beta, *b) * PyMultiVector3D.rotor(alpha, *a)
    expected = scipy_rotation(beta, b) * scipy_rotation(alpha, a)
    np.testing.assert_allclose(rotor.to_matrix(), expected.as_matrix(), atol=1e-12)


@given(axes, axes)
def test_the_rotor_between_two_vectors(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    first, second = PyMultiVector3D.vector(*a), PyMultiVector3D.vector(*b)
    rotor = PyMultiVector3D.rotor_between(first, second)
    assert rotor.rotate_vector(first.normalized()).isclose(second.normalized(), rtol=1e-13)
    opposite = PyMultiVector3D.rotor_between(first, -first)
    assert opposite.rotate_vector(first).isclose(-first, rtol=1e-13)


@given(axes, st.floats(-3, 3), axes, st.floats(-3, 3), st.floats(0, 1))
def test_slerp_is_scipys(
    a: tuple[float, ...], alpha: float, b: tuple[float, ...], beta: float, t: float
) -> None:
    start, end = PyMultiVector3D.rotor(alpha, *a), PyMultiVector3D.rotor(beta, *b)
    assume(abs((~start * end).s()) > 1e-6)  # Half a turn apart both ways are shortest.
    expected = Slerp([0, 1], Rotation.concatenate([start.to_rotation(), end.to_rotation()]))(t)
    np.testing.assert_allclose(start.slerp(end, t).to_matrix(), expected.as_matrix(), atol=1e-9)


@given(st.floats(-7, 7), moderate, moderate)
def test_the_plane_turns_counter_clockwise(theta: float, x: float, y: float) -> None:
    turned = PyMultiVector2D.rotor(theta).rotate_vector(PyMultiVector2D.vector(x, y))
    z = complex(x, y) * complex(math.cos(theta), math.sin(theta))
    assert turned.isclose(PyMultiVector2D.vector(z.real, z.imag), rtol=1e-13, atol=1e-13)
    matrix = PyMultiVector2D.rotor(theta).to_matrix()
    np.testing.assert_allclose(PyMultiVector2D.from_matrix(matrix).to_matrix(), matrix, atol=1e-13)


def test_accessors_are_methods_in_the_order_of_the_conventions() -> None:
    a = PyMultiVector2D(1, 2, 3, 4)
    assert (a.s(), a.e1(), a.e2(), a.e12()) == (1, 2, 3, 4)
    b = PyMultiVector3D(1, 2, 3, 4, 5, 6, 7, 8)
    assert (b.s(), b.e1(), b.e2(), b.e3(), b.e12(), b.e23(), b.e31(), b.e123()) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert b.e13() == b["e13"] == -b.e31() == -7
    assert b["e321"] == -8
    assert list(b) == b.coefficients() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (b[-1], len(b), b.grades()) == (8, 8, [0, 1, 2, 3])
    sum_of_grades = PyMultiVector3D.bivector(1, 2, 3) + PyMultiVector3D.trivector(4)
    assert sum_of_grades == PyMultiVector3D(0, 0, 0, 0, 1, 2, 3, 4)
    e1, e2, e3 = (PyMultiVector3D.vector(*row) for row in np.eye(3))
    assert (e1 * e2).e12() == (e2 * e3).e23() == (e3 * e1).e31() == (e1 * e3).e13() == 1
    assert PyMultiVector2D([1, 2, 3, 4]) == PyMultiVector2D(np.array([1, 2, 3, 4])) == a


def test_equality_hash_and_truth() -> None:
    a = PyMultiVector3D.vector(0.0, 1.0, 2.0)
    same = PyMultiVector3D.vector(-0.0, 1.0, 2.0)
    assert a == same
    assert hash(a) == hash(same)
    assert a != PyMultiVector2D.vector(0.0, 1.0)
    assert PyMultiVector3D.scalar(3.0) == 3
    assert hash(PyMultiVector3D.scalar(3.0)) == hash(3)
    assert (a == "text") is False
    assert a
    assert not a * 0
    assert PyMultiVector3D.scalar(math.nan) != PyMultiVector3D.scalar(math.nan)


@pytest.mark.parametrize("model", MODELS)
def test_copies_pickles_and_text(model: str) -> None:
    algebra = PyAlgebra.named(model)
    a = algebra.multivector(np.random.default_rng(0).normal(size=len(algebra)))
    for again in (
        pickle.loads(pickle.dumps(a)),
        copy.copy(a),
        copy.deepcopy(a),
        eval(repr(a), vars(hypatia_core)),
    ):
        assert again == a
        assert type(again) is type(a)
    assert pickle.loads(pickle.dumps(algebra)) == algebra == eval(repr(algebra), vars(hypatia_core))
    assert hash(algebra) == hash(PyAlgebra.named(model))
    names = {name: algebra.blade(name) for name in algebra.blades if name != "s"}
    assert eval(str(a), names) == a
    assert a._repr_latex_() == f"${a.latex()}$"


def test_numpy_sees_the_coefficients_without_a_copy() -> None:
    a = PyMultiVector3D(*range(8))
    seen = np.asarray(a)
    assert seen.__array_interface__["data"][0] == a.__array_interface__["data"][0]
    assert not seen.flags.writeable
    del a
    np.testing.assert_array_equal(seen, np.arange(8.0))
    b = PyMultiVector2D(1, 2, 3, 4)
    np.testing.assert_array_equal(b.to_numpy(), [1, 2, 3, 4])
    assert list(memoryview(bytes(b)).cast("d")) == [1, 2, 3, 4]


def test_subspaces() -> None:
    rng = np.random.default_rng(2)
    a, n = (PyMultiVector3D.vector(*row) for row in rng.normal(size=(2, 3)))
    plane = PyMultiVector3D.bivector(1.0, 0.0, 0.0)
    assert a.project(plane).isclose(PyMultiVector3D.vector(a.e1(), a.e2(), 0.0))
    assert a.reject(plane).isclose(PyMultiVector3D.vector(0.0, 0.0, a.e3()))
    normal = np.asarray(n)[1:4] / n.norm()
    v = np.asarray(a)[1:4]
    np.testing.assert_allclose(np.asarray(a.reflect(n))[1:4], v - 2 * (v @ normal) * normal, atol=1e-14)
    mirror = PyMultiVector3D.vector(0.0, 0.0, 1.0)
    assert plane.reflect(mirror) == plane
    e12, e23 = SPACE.blade("e12"), SPACE.blade("e23")
    assert e12.meet(e23) in (SPACE.blade("e2"), -SPACE.blade("e2"))
    assert SPACE.blade("e1").join(SPACE.blade("e2")) == e12
    assert e12.join(SPACE.blade("e1")) in (e12, -e12)
    assert a.polarity().isclose(a * SPACE.pseudoscalar().inverse())


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: PyMultiVector3D.rotor(1.0, 0, 0, 0), "axis.*zero"),
    (lambda: PyMultiVector3D.rotor(math.nan, 0, 0, 1), "angle.*finite.*NaN"),
    (lambda: PyMultiVector3D.rotor(1.0, math.inf, 0, 1), "axis.*finite"),
    (lambda: PyMultiVector2D.rotor(math.inf), "angle.*finite"),
    (lambda: PyMultiVector2D(1, 2, 3), "4 blades.*3 coefficients"),
    (lambda: PyMultiVector3D([1.0] * 9), "8 blades.*9 coefficients"),
    (lambda: PyMultiVector3D(), "0 coefficients"),
    (lambda: PyMultiVector3D.from_quaternion([0, 0, 0, 0]), "quaternion.*zero"),
    (lambda: PyMultiVector3D.from_quaternion([1, 0, 0]), "4 components"),
    (lambda: PyMultiVector3D.from_matrix(np.eye(2)), "3 rows of 3"),
    (lambda: PyMultiVector3D.from_matrix(2 * np.eye(3)), "not a rotation matrix"),
    (lambda: PyMultiVector3D.from_matrix(-np.eye(3)), "determinant"),
    (lambda: PyMultiVector3D.vector(1, 0, 0).to_matrix(), "rotor"),
    (lambda: PyMultiVector3D.vector(0, 0, 0).normalized(), "norm 0"),
    (lambda: PyMultiVector3D.scalar(0).inverse(), "zero has no inverse"),
    (lambda: (1 + PyMultiVector3D.vector(1, 0, 0)).inverse(), "no inverse"),
    (lambda: PyMultiVector3D.scalar(-1).log(), "no principal logarithm"),
    (lambda: PyMultiVector3D.scalar(-1).sqrt(), "no principal square root"),
    (lambda: PyMultiVector3D.scalar(1e3).exp(), "overflow"),
    (
        lambda: PyMultiVector3D.vector(1, 0, 0) * PyMultiVector2D.vector(1, 0),
        "different algebras.*VGA3D.*VGA2D",
    ),
    (lambda: PyMultiVector3D.vector(1, 0, 0)["e4"], "no blade 'e4'"),
    (lambda: PyAlgebra(0), "1 to 9"),
    (lambda: PyAlgebra(5, 5), "10 basis vectors"),
    (lambda: PyAlgebra.named("VGA"), "unknown model 'VGA'.*VGA2D"),
    (lambda: SPACE.cayley("cross"), "unknown product 'cross'.*geometric"),
    (lambda: SPACE.terms("outer", [4], [0]), "no grade 4"),
    (lambda: PyAlgebra.named("PGA3D").blade("e1").polarity(), "no inverse"),
    (lambda: PyMultiVector3D.rotor(1, 0, 0, 1).rotate_vector(PyMultiVector3D.scalar(1)), "takes a vector"),
    (lambda: PyMultiVector3D.rotor_between(SPACE.scalar(1), SPACE.blade("e1")), "first"),
    (lambda: PLANE.blade("e12").slerp(PLANE.scalar(1), math.nan), "slerp.*finite"),
]


@pytest.mark.parametrize("attempt, message", REFUSED, ids=[message for _, message in REFUSED])
def test_bad_input_is_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(HypatiaError, match=message):
        attempt()


def test_foreign_operands_are_type_errors() -> None:
    torch = pytest.importorskip("torch")
    a = PyMultiVector2D.vector(1, 2)
    for other in ("2", None, 1j, torch.tensor([2.0], requires_grad=True), np.ones(4)):
        with pytest.raises(TypeError):
            a * other
        with pytest.raises(TypeError):
            other * a
    with pytest.raises(ZeroDivisionError):
        a / 0


@pytest.mark.parametrize("cls", [PyAlgebra, PyMultiVector, PyMultiVector2D, PyMultiVector3D])
def test_the_examples_of_the_docstrings_run(cls: type) -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    texts = {cls.__name__: cls.__doc__} | {name: getattr(cls, name).__doc__ for name in vars(cls)}
    for name, text in texts.items():
        runner.run(parser.get_doctest(text or "", {}, name, None, None))
    results = runner.summarize()
    assert results.failed == 0
    assert results.attempted > 0
