"""`SymbolicMultivector`: the same formulas over coefficients of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, Generic, TypeVar

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import closed_form, plan
from hypatia_core.clifford.algebra import Algebra

C = TypeVar("C")
D = TypeVar("D")


class SymbolicMultivector(Generic[C]):
    """A multivector whose coefficients have `+`, `-` and `*`: Symbols, fractions, polynomials, tensors.

    The operators are those of `Multivector`; division, `inverse` and commutators ask for coefficients with
    `/`. The plans are those of the tensors: only stored grades are multiplied, like terms are joined, and
    terms that cancel are never written. Where no term reaches a blade its coefficient is the number 0.

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
        kept = tuple(g for g in self.grades if g in grades)
        return self.with_grades(kept or grades[:1])

    def even(self) -> SymbolicMultivector[Any]:
        """The part of even grades."""
        return self.grade(*self.algebra.all_grades[::2])

    def odd(self) -> SymbolicMultivector[Any]:
        """The part of odd grades."""
        return self.grade(*self.algebra.all_grades[1::2])

    def scalar_part(self) -> Any:
        """The scalar coefficient."""
        return self.coefficient("s")

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

    def __pos__(self) -> SymbolicMultivector[Any]:
        return self

    def __invert__(self) -> SymbolicMultivector[Any]:
        return self.reverse()

    def reverse(self) -> SymbolicMultivector[Any]:
        """The factors of every blade in the opposite order."""
        return self._signed(lambda g: 1 if g % 4 < 2 else -1)

    def conjugate(self) -> SymbolicMultivector[Any]:
        """The Clifford conjugate: reversed and involuted."""
        return self._signed(lambda g: 1 if g % 4 in (0, 3) else -1)

    def _complemented(self, inverse: bool) -> SymbolicMultivector[Any]:
        grades, places, signs = plan.dual_map(self.algebra.signature, self.grades, inverse)
        moved = [_scaled(self.coefficients[n], s) for n, s in zip(places, signs, strict=True)]
        return SymbolicMultivector(self.algebra, moved, grades)

    def dual(self) -> SymbolicMultivector[Any]:
        """The right complement: b ^ b.dual() is the pseudoscalar for a basis blade b. Needs no metric."""
        return self._complemented(False)

    def undual(self) -> SymbolicMultivector[Any]:
        """The inverse of `dual`."""
        return self._complemented(True)

    def polarity(self) -> SymbolicMultivector[Any]:
        """The metric dual a * I**-1.

        Raises:
            HypatiaError: If the algebra has null vectors, whose pseudoscalar has no inverse.
        """
        square = plan.pseudoscalar_square(self.algebra.signature)
        if square == 0:
            raise HypatiaError(f"the pseudoscalar of {self.algebra!r} has no inverse; `dual` needs none")
        return self * SymbolicMultivector(self.algebra, [square], self.algebra.all_grades[-1:])

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

    def __rxor__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("outer", self)

    def __or__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("inner", other)

    def __ror__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("inner", self)

    def __and__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("regressive", other)

    def __rand__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("regressive", self)

    def __lshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("left_contraction", other)

    def __rlshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("left_contraction", self)

    def __rshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self.product("right_contraction", other)

    def __rrshift__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other).product("right_contraction", self)

    def __truediv__(self, other: Any) -> SymbolicMultivector[Any]:
        if isinstance(other, SymbolicMultivector):
            return self * self._operand(other).inverse()
        return self.map(lambda c: c / other)

    def __rtruediv__(self, other: Any) -> SymbolicMultivector[Any]:
        return self._operand(other) * self.inverse()

    def __pow__(self, exponent: int) -> SymbolicMultivector[Any]:
        if not isinstance(exponent, int):
            return NotImplemented
        base = self if exponent >= 0 else self.inverse()
        out = SymbolicMultivector[Any](self.algebra, [1], (0,))
        for _ in range(abs(exponent)):
            out = base if out.grades == (0,) and out.coefficients == (1,) else out * base
        return out

    def scalar_product(self, other: Any) -> Any:
        """The scalar part of the product."""
        return self.product("scalar", other).coefficient("s")

    def commutator(self, other: Any) -> SymbolicMultivector[Any]:
        """(ab - ba) / 2."""
        right = self._operand(other)
        return (self * right - right * self).map(_halved)

    def anticommutator(self, other: Any) -> SymbolicMultivector[Any]:
        """(ab + ba) / 2."""
        right = self._operand(other)
        return (self * right + right * self).map(_halved)

    def inverse(self) -> SymbolicMultivector[Any]:
        """The inverse, over coefficients that can be divided.

        Where a*~a is a number by its grades alone it is ~a over it. Elsewhere a satisfies its characteristic
        equation, whose coefficients are scalar parts of its powers (Shirokov, "On computing the determinant,
        other characteristic polynomial coefficients, and inverse in Clifford algebras", 2021).

        Raises:
            HypatiaError: If it divides zero, as far as the coefficients can tell.
        """
        form = plan.square(self.algebra.signature, self.grades, True)
        if form.grades == (0,):
            return _over(self.reverse(), self.norm_squared())
        size = 2 ** ((self.algebra.dimension + 1) // 2)
        power: SymbolicMultivector[Any] = self
        for k in range(1, size):
            trace = _part(power.coefficient("s"), size, k)
            adjugate = trace - power
            power = self * -adjugate
        return _over(adjugate, -power.coefficient("s"))

    def project(self, blade: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
        """The projection on the subspace of an invertible blade."""
        return (self << blade.inverse()) << blade

    def reject(self, blade: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
        """What the projection leaves."""
        return self - self.project(blade)

    def reflect(self, normal: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
        """The mirror image in the hyperplane orthogonal to a vector: -n v n**-1 for a vector v."""
        return (normal * self.involute() * normal.inverse()).with_grades(self.grades)

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

    def norm(self) -> Any:
        """The root of the absolute value of `norm_squared`, without `abs` where the metric tells the sign."""
        return closed_form.norm(self)

    def normalized(self) -> SymbolicMultivector[Any]:
        """Divided by its norm."""
        length = self.norm()
        return self.map(lambda c: _divided(c, length))

    def normalize(self) -> SymbolicMultivector[Any]:
        """The same as `normalized`."""
        return self.normalized()

    def exp(self) -> SymbolicMultivector[Any]:
        """The exponential, where what is no number in it squares to a number: see `closed_form`.

        Raises:
            HypatiaError: If it does not, or if coefficients are of a kind that has no such functions.

        Example:
            >>> import sympy
            >>> from hypatia_core.clifford import Algebra
            >>> t = sympy.Symbol("t", positive=True)
            >>> Algebra(2).symbolic([-t], [2]).exp()
            cos(t) + (-sin(t))*e12
        """
        return closed_form.exp(self)

    def log(self) -> SymbolicMultivector[Any]:
        """The principal logarithm, as `exp`; at the negative of a positive number it has no value.

        Raises:
            HypatiaError: As `exp`.
        """
        return closed_form.log(self)

    def sqrt(self) -> SymbolicMultivector[Any]:
        """The principal square root, as `exp`.

        Raises:
            HypatiaError: As `exp`.

        Example:
            >>> from hypatia_core.clifford import Algebra
            >>> Algebra(2).symbolic([3, 4], [0, 2]).sqrt().coefficients
            (2.0, 1.0)
        """
        return closed_form.sqrt(self)

    def join(self, other: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
        """The smallest subspace that contains both blades, where they share nothing: their outer product.

        Raises:
            HypatiaError: If they do share something, as far as the coefficients tell.
        """
        return closed_form.join(self, self._operand(other))

    def meet(self, other: SymbolicMultivector[Any]) -> SymbolicMultivector[Any]:
        """The largest subspace that both blades contain, where they span the space: the regressive product.

        Raises:
            HypatiaError: If they do not, as far as the coefficients tell.
        """
        return closed_form.meet(self, self._operand(other))

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


def _part(value: Any, numerator: int, denominator: int) -> Any:
    """The product with a fraction; a division only where it is no whole number."""
    if numerator % denominator == 0:
        return _scaled(value, numerator // denominator)
    return _divided(_scaled(value, numerator), denominator)


def _halved(value: Any) -> Any:
    return _divided(value, 2)


def _divided(value: Any, divisor: Any) -> Any:
    """The quotient; exact for whole numbers."""
    return (
        Fraction(value, divisor) if isinstance(value, int) and isinstance(divisor, int) else value / divisor
    )


def _over(value: SymbolicMultivector[Any], number: Any) -> SymbolicMultivector[Any]:
    if number == 0:
        raise HypatiaError("it divides zero, so that it has no inverse")
    return value.map(lambda c: _divided(c, number))
