"""What a product does, worked out once: its terms over the stored grades, and its constants as tensors.

A plan is a tuple of plain numbers, so that a tracer takes it as a constant. Its terms come from the engine's
Cayley tables and speak of positions among the *stored* blades: a grade that is not stored is not multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

from hypatia_core import bilinear
from hypatia_core._hypatia_core import PyAlgebra

Signature = tuple[int, int, int]
Grades = tuple[int, ...]

P = ParamSpec("P")
R = TypeVar("R")


class Term(NamedTuple):
    """`out[result] += factor * left[left] * right[right]`."""

    result: int
    left: int
    right: int
    factor: int


class Plan(NamedTuple):
    """A bilinear (or, of one operand with itself, quadratic) form over stored blades."""

    grades: Grades
    size: int
    terms: tuple[Term, ...]
    #: As `torch.ops.hypatia.bilinear` takes it.
    text: str


class SandwichTerm(NamedTuple):
    """`matrix[input][result] += factor * versor[first] * versor[second]`."""

    result: int
    input: int
    first: int
    second: int
    factor: int


class SandwichPlan(NamedTuple):
    """The matrix of `a x ~a` as quadratic forms in a."""

    grades: Grades
    size: int
    inputs: int
    terms: tuple[SandwichTerm, ...]


def constant(function: Callable[P, R]) -> Callable[P, R]:
    """Computed once for equal arguments, and a constant to `torch.compile`."""
    cached = cache(function)

    # Dynamo looks through a cache's own wrapper, so the mark stands on a plain function around it.
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return cached(*args, **kwargs)  # type: ignore[arg-type]

    marked: Callable[P, R] = torch.compiler.assume_constant_result(call)
    return marked


@cache
def native(signature: Signature) -> PyAlgebra:
    """The engine's algebra of a signature."""
    return PyAlgebra(*signature)


@constant
def positions(signature: Signature, grades: Grades) -> tuple[int, ...]:
    """Where the blades of these grades stand among all blades, in order."""
    return tuple(k for k, grade in enumerate(native(signature).grades) if grade in grades)


@constant
def grade_of_each(signature: Signature, grades: Grades) -> tuple[int, ...]:
    """The grade of every stored blade."""
    all_grades = native(signature).grades
    return tuple(all_grades[k] for k in positions(signature, grades))


@constant
def square_of_each(signature: Signature, grades: Grades) -> tuple[int, ...]:
    """The number e_k ~e_k of every stored blade."""
    table, grade = native(signature).cayley("geometric"), native(signature).grades
    reverse = {k: -1 if grade[k] % 4 > 1 else 1 for k in range(len(grade))}
    return tuple(reverse[k] * table[k][k][1] for k in positions(signature, grades))


@constant
def blade_index(signature: Signature, name: str) -> tuple[int, int]:
    """Position among all blades and sign of a blade by name."""
    return native(signature).blade_index(name)


@constant
def pseudoscalar_square(signature: Signature) -> int:
    """What the pseudoscalar squares to: 1, -1 or 0."""
    top = native(signature).pseudoscalar()
    return int((top * top).scalar_part())


class Run(NamedTuple):
    """So many stored blades of an operand from `start` on, one after another; zeros for no operand."""

    operand: int | None
    start: int
    length: int


@constant
def repacking(signature: Signature, source: Grades, target: Grades) -> tuple[int, ...]:
    """For each blade of `target` its place in `source`, or -1 where it is not stored there."""
    place = {k: n for n, k in enumerate(positions(signature, source))}
    return tuple(place.get(k, -1) for k in positions(signature, target))


@constant
def runs(signature: Signature, sources: tuple[Grades, ...], target: Grades) -> tuple[Run, ...]:
    """Where the blades of `target` come from, of operands that store different grades each.

    >>> [tuple(run) for run in runs((3, 0, 0), ((0, 2), (1,)), (0, 1, 2, 3))]
    [(0, 0, 1), (1, 0, 3), (0, 1, 3), (None, 0, 1)]
    """
    place = {k: (s, n) for s, g in enumerate(sources) for n, k in enumerate(positions(signature, g))}
    found: list[Run] = []
    for k in positions(signature, target):
        operand, start = place.get(k, (None, 0))
        last = found[-1] if found else None
        if last and last.operand == operand and (operand is None or start == last.start + last.length):
            found[-1] = last._replace(length=last.length + 1)
        else:
            found.append(Run(operand, start, 1))
    return tuple(found)


@constant
def dual_map(
    signature: Signature, grades: Grades, inverse: bool
) -> tuple[Grades, tuple[int, ...], tuple[int, ...]]:
    """The grades of the (un)dual, and for each of its blades the place it comes from and its sign."""
    algebra = native(signature)
    complements = algebra.complements()
    if inverse:
        pairs = {image: (k, sign) for k, (image, sign) in enumerate(complements)}
        complements = [pairs[k] for k in range(len(algebra))]
    target = tuple(sorted(algebra.dimension - g for g in grades))
    source = {k: n for n, k in enumerate(positions(signature, grades))}
    came_from = {complements[k][0]: (n, complements[k][1]) for k, n in source.items()}
    found = [came_from[k] for k in positions(signature, target)]
    return target, tuple(n for n, _ in found), tuple(sign for _, sign in found)


def _packed(
    signature: Signature, left: Grades, right: Grades, terms: list[tuple[int, int, int, int]]
) -> Plan:
    """A plan over stored blades, its grades those that a term reaches."""
    grade = native(signature).grades
    reached = tuple(sorted({grade[k] for k, _, _, _ in terms})) or (0,)
    place = [{k: n for n, k in enumerate(positions(signature, g))} for g in (reached, left, right)]
    packed = [Term(place[0][k], place[1][i], place[2][j], factor) for k, i, j, factor in terms]
    table = tuple(bilinear.Term(i, j, k, float(factor)) for k, i, j, factor in packed)
    widths = len(place[1]), len(place[2]), len(place[0])
    return Plan(reached, len(place[0]), tuple(packed), bilinear.Table(widths, 0, table).text())


@constant
def product(signature: Signature, name: str, left: Grades, right: Grades) -> Plan:
    """The plan of a product of two multivectors that store these grades."""
    return _packed(signature, left, right, native(signature).terms(name, list(left), list(right)))


@constant
def square(signature: Signature, grades: Grades, reverse: bool) -> Plan:
    """The plan of a*a, or of a*~a: like terms are joined and those that cancel are gone."""
    algebra = native(signature)
    joined: dict[tuple[int, int, int], int] = {}
    for k, i, j, sign in algebra.terms("geometric", list(grades), list(grades)):
        if reverse and algebra.grades[j] % 4 >= 2:
            sign = -sign
        key = (k, min(i, j), max(i, j))
        joined[key] = joined.get(key, 0) + sign
    return _packed(
        signature, grades, grades, [(*key, factor) for key, factor in sorted(joined.items()) if factor]
    )


@constant
def sign_of_square(signature: Signature, grades: Grades) -> int | None:
    """The sign of the scalar part of a*a where the metric alone tells it, 0 where it is zero, else None.

    >>> [sign_of_square((3, 0, 1), grades) for grades in [(1,), (2,), (4,), (1, 2)]]
    [1, -1, 0, None]
    """
    form = square(signature, grades, False)
    signs = {1 if term.factor > 0 else -1 for term in form.terms if form.grades[0] == term.result == 0}
    if len(signs) > 1:
        return None
    return signs.pop() if signs else 0


@constant
def sandwich(signature: Signature, versor: Grades, x: Grades) -> SandwichPlan:
    """The plan of the matrix of x -> a x ~a."""
    algebra = native(signature)
    terms = algebra.sandwich_terms(list(versor), list(x))
    reached = tuple(sorted({algebra.grades[term[0]] for term in terms})) or (0,)
    out, a, b = ({k: n for n, k in enumerate(positions(signature, g))} for g in (reached, versor, x))
    packed = [SandwichTerm(out[k], b[j], a[i], a[m], factor) for k, j, i, m, factor in terms]
    return SandwichPlan(reached, len(out), len(b), tuple(packed))


@constant
def paths(signature: Signature) -> tuple[tuple[int, int, int], ...]:
    """The grades (left, right, result) that the geometric product joins."""
    grade = native(signature).grades
    every = tuple(range(native(signature).dimension + 1))
    terms = product(signature, "geometric", every, every).terms
    return tuple(sorted({(grade[i], grade[j], grade[k]) for k, i, j, _ in terms}))


@constant
def path_of_each(signature: Signature, left: Grades, right: Grades) -> tuple[int, ...]:
    """For every term of the geometric product of these grades, the number of its path."""
    number = {path: n for n, path in enumerate(paths(signature))}
    form = product(signature, "geometric", left, right)
    results, lefts, rights = (grade_of_each(signature, g) for g in (form.grades, left, right))
    return tuple(number[lefts[i], rights[j], results[k]] for k, i, j, _ in form.terms)


@constant
def weighted_text(signature: Signature, left: Grades, right: Grades) -> str:
    """The product with a weight for each path, as `torch.ops.hypatia.weighted_bilinear` takes it."""
    form = product(signature, "geometric", left, right)
    pairs = zip(form.terms, path_of_each(signature, left, right), strict=True)
    terms = tuple(bilinear.Term(i, j, k, float(factor), p) for (k, i, j, factor), p in pairs)
    widths = len(positions(signature, left)), len(positions(signature, right)), form.size
    return bilinear.Table(widths, len(paths(signature)), terms).text()


# A cached constant must not belong to a transform or mode that happens to be active in the caller's thread.
_CLEAN = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hypatia-constants")


def _tensor(values: Callable[[], Tensor]) -> Tensor:
    return _CLEAN.submit(values).result()


@lru_cache(maxsize=256)
def product_tensor(plan: Plan, left: int, right: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The dense structure constants of a plan, of shape (left, right, size)."""

    def build() -> Tensor:
        table = torch.zeros(left, right, plan.size, dtype=torch.float64)
        for term in plan.terms:
            table[term.left, term.right, term.result] += term.factor
        return table.to(device=device, dtype=dtype)

    return _tensor(build)


@lru_cache(maxsize=256)
def path_tensor(
    plan: Plan,
    path: tuple[int, ...],
    count: int,
    left: int,
    right: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """The structure constants by path, of shape (paths, left * right * size)."""

    def build() -> Tensor:
        table = torch.zeros(count, left, right, plan.size, dtype=torch.float64)
        for term, p in zip(plan.terms, path, strict=True):
            table[p, term.left, term.right, term.result] += term.factor
        return table.flatten(1).to(device=device, dtype=dtype)

    return _tensor(build)


@lru_cache(maxsize=256)
def invariant_tensors(
    signature: Signature, grades: Grades, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """How squares of coefficients sum to <a_g ~a_g>, (blades, grades); the number of each blade's grade."""
    number = {g: n for n, g in enumerate(grades)}

    def build() -> Tensor:
        sums = torch.zeros(len(grade_of_each(signature, grades)), len(grades), dtype=torch.float64)
        pairs = zip(grade_of_each(signature, grades), square_of_each(signature, grades), strict=True)
        for k, (g, square) in enumerate(pairs):
            sums[k, number[g]] = square
        return sums.to(device=device, dtype=dtype)

    def index() -> Tensor:
        each = [number[g] for g in grade_of_each(signature, grades)]
        return torch.tensor(each, device=device)

    return _tensor(build), _tensor(index)


@lru_cache(maxsize=256)
def sandwich_tensors(
    plan: SandwichPlan, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs (first, second) of versor coefficients that occur, and how the matrix sums their products."""
    pairs = sorted({(term.first, term.second) for term in plan.terms})

    def build() -> Tensor:
        place = {pair: n for n, pair in enumerate(pairs)}
        sums = torch.zeros(len(pairs), plan.inputs, plan.size, dtype=torch.float64)
        for term in plan.terms:
            sums[place[term.first, term.second], term.input, term.result] += term.factor
        return sums.flatten(1).to(device=device, dtype=dtype)

    first = _tensor(lambda: torch.tensor([pair[0] for pair in pairs], device=device))
    second = _tensor(lambda: torch.tensor([pair[1] for pair in pairs], device=device))
    return first, second, _tensor(build)
