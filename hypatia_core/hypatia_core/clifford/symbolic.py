"""`SymbolicMultivector`: the same formulas over coefficients of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import plan
from hypatia_core.clifford.algebra import Algebra

C = TypeVar("C")
D = TypeVar("D")


class SymbolicMultivector(Generic[C]):
    """A multivector whose coefficients have `+`, `-` and `*`: Symbols, fractions, polynomials, tensors.

    The plans are those of the tensors: only stored grades are multiplied, like terms are joined, and terms
    that cancel are never written. Where no term reaches a blade its coefficient is the number 0.

    Args:
        algebra: The algebra.
        coefficients: One for each blade of the grades.
        grades: The grades that are stored; all by default.

    Raises:
        HypatiaError: If the number of coefficients is not that of the blades.

    Example:
        >>> from fractions import Fraction
        >>> from hypatia_core.clifford import Algebra
        >>> plane = Algebra(2)
        >>> a = plane.symbolic([Fraction(1, 2), Fraction(1, 3)], [1])
        >>> (a * a).coefficient("s")
        Fraction(13, 36)
    """

    def __init__(
        self, algebra: Algebra, coefficients: Sequence[C], grades: Iterable[int] | None = None
    ) -> None:
        self.algebra = algebra
        self.grades = algebra.all_grades if grades is None else algebra.check_grades(grades)
        self.coefficients = tuple(coefficients)
        if len(self.coefficients) != algebra.size(self.grades):
            raise HypatiaError(
                f"{algebra!r} has {algebra.size(self.grades)} blades of grades {list(self.grades)}, "
                f"but {len(self.coefficients)} coefficients were given"
            )

    def map(self, function: Callable[[C], D]) -> SymbolicMultivector[D]:
        """A function of every coefficient, such as `lambda c: c.simplify()`."""
        return SymbolicMultivector(self.algebra, [function(c) for c in self.coefficients], self.grades)

    def coefficient(self, name: str) -> Any:
        """The coefficient of a blade by name; 0 where its grade is not stored."""
        k, sign = plan.blade_index(self.algebra.signature, name)
        stored = plan.positions(self.algebra.signature, self.grades)
        if k not in stored:
            return 0
        found = self.coefficients[stored.index(k)]
        return found if sign == 1 else _scaled(found, sign)

    def with_grades(self, grades: Iterable[int]) -> SymbolicMultivector[Any]:
        """The part of these grades; missing ones are 0."""
        target = self.algebra.check_grades(grades)
        places = plan.repacking(self.algebra.signature, self.grades, target)
        return SymbolicMultivector(
            self.algebra, [0 if n < 0 else self.coefficients[n] for n in places], target
        )

    def grade(self, *grades: int) -> SymbolicMultivector[Any]:
        """The part of these grades."""
        return self.with_grades(grades)

    def _operand(self, other: Any) -> SymbolicMultivector[Any]:
        if isinstance(other, SymbolicMultivector):
            if other.algebra != self.algebra:
                raise HypatiaError(
                    "multivectors of different algebras cannot be combined: "
                    f"{self.algebra!r} and {other.algebra!r}"
                )
            return other
        return SymbolicMultivector(self.algebra, [other], (0,))

    def _added(self, other: SymbolicMultivector[Any], sign: int) -> SymbolicMultivector[Any]:
        grades = tuple(sorted({*self.grades, *other.grades}))
        pairs = zip(
            plan.repacking(self.algebra.signature, self.grades, grades),
            plan.repacking(self.algebra.signature, other.grades, grades),
            strict=True,
        )
        sums: list[Any] = []
        for i, j in pairs:
            if j < 0:
                sums.append(self.coefficients[i])
            elif i < 0:
                sums.append(_scaled(other.coefficients[j], sign))
            else:
                left: Any = self.coefficients[i]
                sums.append(left + other.coefficients[j] if sign == 1 else left - other.coefficients[j])
        return SymbolicMultivector(self.algebra, sums, grades)

    def __add__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._added(self._operand(other), 1)

    def __radd__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other)._added(self, 1)

    def __sub__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._added(self._operand(other), -1)

    def __rsub__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other)._added(self, -1)

    def __neg__(self) -> SymbolicMultivector[Any]:
        return self.map(lambda c: _scaled(c, -1))

    def _signed(self, sign: Callable[[int], int]) -> SymbolicMultivector[Any]:
        grade = plan.grade_of_each(self.algebra.signature, self.grades)
        signed = [_scaled(c, sign(g)) for c, g in zip(self.coefficients, grade, strict=True)]
        return SymbolicMultivector(self.algebra, signed, self.grades)

    def __invert__(self) -> SymbolicMultivector[Any]:
        return self._signed(lambda g: 1 if g % 4 < 2 else -1)

    def involute(self) -> SymbolicMultivector[Any]:
        """The grade involution: every vector negated."""
        return self._signed(lambda g: 1 if g % 2 == 0 else -1)

    def product(self, name: str, other: Any) -> SymbolicMultivector[Any]:
        """A product by name, as `Multivector.product`."""
        right = self._operand(other)
        form = plan.product(self.algebra.signature, name, self.grades, right.grades)
        sums: list[Any] = [None] * form.size
        for result, i, j, factor in form.terms:
            left: Any = self.coefficients[i]
            sums[result] = _accumulated(sums[result], left * right.coefficients[j], factor)
        return SymbolicMultivector(self.algebra, [0 if c is None else c for c in sums], form.grades)

    def __mul__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("geometric", other)

    def __rmul__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("geometric", self)

    def __xor__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("outer", other)

    def __or__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("inner", other)

    def __and__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("regressive", other)

    def __lshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("left_contraction", other)

    def __rshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("right_contraction", other)

    def sandwich(self, x: Any) -> SymbolicMultivector[Any]:
        """a x ~a, expanded with like terms joined."""
        right = self._operand(x)
        form = plan.sandwich(self.algebra.signature, self.grades, right.grades)
        sums: list[Any] = [None] * form.size
        for result, k, i, j, factor in form.terms:
            first: Any = self.coefficients[i]
            sums[result] = _accumulated(
                sums[result], first * self.coefficients[j] * right.coefficients[k], factor
            )
        return SymbolicMultivector(self.algebra, [0 if c is None else c for c in sums], form.grades)

    def norm_squared(self) -> Any:
        """The scalar part of a*~a."""
        return self.product("scalar", ~self).coefficient("s")

    def __eq__(self, other: object) -> bool:
        """Whether the grades and the coefficients are equal, as the coefficients understand it."""
        if not isinstance(other, SymbolicMultivector):
            return NotImplemented
        same = self.algebra == other.algebra and self.grades == other.grades
        return same and self.coefficients == other.coefficients

    def __hash__(self) -> int:
        return hash((self.algebra, self.grades, self.coefficients))

    def __repr__(self) -> str:
        names = [self.algebra.blades[k] for k in plan.positions(self.algebra.signature, self.grades)]
        terms = [
            str(c) if name == "s" else f"({c})*{name}"
            for name, c in zip(names, self.coefficients, strict=True)
        ]
        return " + ".join(terms)


def _scaled(value: Any, factor: int) -> Any:
    """An integer multiple, by negation where that is all."""
    if factor == 1:
        return value
    return -value if factor == -1 else value * factor


def _accumulated(so_far: Any, value: Any, factor: int) -> Any:
    """so_far + factor * value, by subtraction where the factor is negative."""
    if so_far is None:
        return _scaled(value, factor)
    size = value if abs(factor) == 1 else value * abs(factor)
    return so_far + size if factor > 0 else so_far - size
