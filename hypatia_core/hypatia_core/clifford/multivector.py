"""`Multivector`: a batch of multivectors over a torch tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError, PyMultiVector
from hypatia_core.clifford import exponential, kernel, plan, subspace
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.root_functions import safe_sqrt

# The names that torch gives to an operator's function, and the operator's own.
_OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "truediv",
    "div": "truediv",
    "xor": "xor",
    "or": "or",
    "and": "and",
    "lshift": "lshift",
    "rshift": "rshift",
}

_REFLECTED_DIVISION = torch.Tensor.__rtruediv__


class Multivector:
    """Multivectors of one algebra: `values` of shape `(..., blades)`, the leading extents being the batch.

    Only the blades of `grades` are stored, and only they are multiplied: a vector of space has three
    coefficients. Operators broadcast batches and take real numbers and tensors of the batch's shape on either
    side: `*` geometric, `^` outer, `|` inner (grade |r - s|, scalars included), `<<` and `>>` left and right
    contraction, `&` regressive, `~` reverse, `/` by the inverse, `**` powers. Everything is made of
    differentiable torch operations, so autograd, `torch.compile`, `torch.func` and any dtype or device work
    as they do for tensors.

    Args:
        algebra: The algebra.
        values: Coefficients of shape `(..., blades of the grades)`.
        grades: The grades that are stored; all by default.

    Raises:
        HypatiaError: If the last extent is not the number of blades of the grades.

    Example:
        >>> from hypatia_core.clifford import Algebra
        >>> space = Algebra(3)
        >>> a, b = space.vector([1.0, 2.0, 0.0]), space.vector([0.0, 1.0, 0.0])
        >>> print(a * b)
        2 + e12
        >>> (a ^ b).grades
        (2,)
    """

    algebra: Algebra
    values: Tensor
    grades: tuple[int, ...]

    # NumPy scalars and arrays leave the operator to this class, which refuses what it does not know.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, algebra: Algebra, values: Tensor, grades: Iterable[int] | None = None) -> None:
        kept = algebra.all_grades if grades is None else algebra.check_grades(grades)
        size = len(plan.positions(algebra.signature, kept))
        if values.dim() == 0 or values.shape[-1] != size:
            raise HypatiaError(
                f"{algebra!r} has {size} blades of grades {list(kept)}, but the values have shape "
                f"{tuple(values.shape)}"
            )
        self.algebra = algebra
        self.values = values
        self.grades = kept

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Sends `tensor * multivector` and its like to the operators of this class, in Dynamo too."""
        # Dynamo sees through the wrapper that the reflected division has, and with it its name.
        name = "rdiv" if function is _REFLECTED_DIVISION else getattr(function, "__name__", "").strip("_")
        swapped = name.startswith("r") and name[1:] in _OPERATORS
        operation = _OPERATORS.get(name[1:] if swapped else name)
        if operation is None or len(args) != 2 or kwargs:
            return NotImplemented
        left, right = args[::-1] if swapped else args
        if isinstance(left, Multivector):
            return getattr(left, f"__{operation}__")(right)
        return getattr(right, f"__r{operation}__")(left)

    # Shape, dtype, device

    @property
    def shape(self) -> torch.Size:
        """The batch's shape, without the blades."""
        return self.values.shape[:-1]

    @property
    def dtype(self) -> torch.dtype:
        """The coefficients' dtype."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """The coefficients' device."""
        return self.values.device

    def map(self, function: Callable[[Tensor], Tensor]) -> Multivector:
        """A function of the coefficients that keeps the last extent, such as `lambda v: v.detach()`."""
        return Multivector(self.algebra, function(self.values), self.grades)

    def to(self, *args: Any, **kwargs: Any) -> Multivector:
        """As `Tensor.to`: another dtype or device."""
        return self.map(lambda values: values.to(*args, **kwargs))

    def detach(self) -> Multivector:
        """Without its gradient."""
        return self.map(Tensor.detach)

    def reshape(self, *shape: int) -> Multivector:
        """With another batch shape."""
        return self.map(lambda values: values.reshape(*shape, values.shape[-1]))

    def unsqueeze(self, dim: int) -> Multivector:
        """With a batch extent of 1 at `dim`, counted without the blades."""
        return self.map(lambda values: values.unsqueeze(dim if dim >= 0 else dim - 1))

    def sum(self, dim: int) -> Multivector:
        """Summed over a batch extent, counted without the blades."""
        return self.map(lambda values: values.sum(dim if dim >= 0 else dim - 1))

    def mean(self, dim: int) -> Multivector:
        """The mean over a batch extent, counted without the blades."""
        return self.map(lambda values: values.mean(dim if dim >= 0 else dim - 1))

    @staticmethod
    def stack(parts: Sequence[Multivector], dim: int = 0) -> Multivector:
        """Stacked along a new batch extent; grades that some lack are filled with zeros."""
        grades = sorted({g for part in parts for g in part.grades})
        values = [part.with_grades(grades).values for part in parts]
        return Multivector(parts[0].algebra, torch.stack(values, dim if dim >= 0 else dim - 1), grades)

    def __getitem__(self, index: Any) -> Multivector:
        """Indexes the batch."""
        index = index if isinstance(index, tuple) else (index,)
        rest = (slice(None),) if any(part is Ellipsis for part in index) else (Ellipsis, slice(None))
        return self.map(lambda values: values[index + rest])

    def __len__(self) -> int:
        return len(self.values) if self.values.dim() > 1 else 0

    # Coefficients and grades

    def coefficient(self, name: str) -> Tensor:
        """The coefficients of a blade by name; zero where its grade is not stored.

        >>> from hypatia_core.clifford import Algebra
        >>> Algebra(3).bivector([1.0, 2.0, 3.0]).coefficient("e13")
        tensor(-3.)
        """
        k, sign = plan.blade_index(self.algebra.signature, name)
        stored = plan.positions(self.algebra.signature, self.grades)
        if k not in stored:
            return self.values.new_zeros(self.shape)
        found = self.values[..., stored.index(k)]
        return found if sign == 1 else -found

    def with_grades(self, grades: Iterable[int]) -> Multivector:
        """The part of these grades, stored as such: other grades are dropped, missing ones are zero.

        The coefficients may share memory with this one's, as a slice of a tensor does.
        """
        target = self.algebra.check_grades(grades)
        if target == self.grades:
            return self
        runs = plan.runs(self.algebra.signature, (self.grades,), target)
        return Multivector(self.algebra, kernel.repacked(runs, self.values), target)

    def grade(self, *grades: int) -> Multivector:
        """The part of these grades."""
        kept = tuple(g for g in self.grades if g in grades)
        return self.with_grades(kept or grades[:1])

    def even(self) -> Multivector:
        """The part of even grades."""
        return self.grade(*self.algebra.all_grades[::2])

    def odd(self) -> Multivector:
        """The part of odd grades."""
        return self.grade(*self.algebra.all_grades[1::2])

    def full(self) -> Tensor:
        """All coefficients, `(..., 2^n)`, zeros where a grade is not stored."""
        return self.with_grades(self.algebra.all_grades).values

    def scalar_part(self) -> Tensor:
        """The scalar coefficients, of the batch's shape."""
        return self.coefficient("s")

    def to_native(self) -> PyMultiVector:
        """The engine's multivector of a single one; its gradient is lost.

        Raises:
            HypatiaError: If there is a batch.
        """
        if self.shape.numel() != 1:
            raise HypatiaError(
                f"to_native takes one multivector, but the batch has shape {tuple(self.shape)}"
            )
        return self.algebra.single(self.full().detach().reshape(-1).tolist())

    # Linear operations

    def _signed(self, sign: Callable[[int], int]) -> Multivector:
        grade = plan.grade_of_each(self.algebra.signature, self.grades)
        signs = [sign(g) for g in grade]
        if len(set(signs)) == 1:
            return self if signs[0] == 1 else -self
        parts = [part if s == 1 else -part for part, s in zip(self.values.unbind(-1), signs, strict=True)]
        return Multivector(self.algebra, torch.stack(parts, -1), self.grades)

    def reverse(self) -> Multivector:
        """The factors of every blade in the opposite order."""
        return self._signed(lambda g: 1 if g % 4 < 2 else -1)

    def involute(self) -> Multivector:
        """The grade involution: every vector negated."""
        return self._signed(lambda g: 1 if g % 2 == 0 else -1)

    def conjugate(self) -> Multivector:
        """The Clifford conjugate: reversed and involuted."""
        return self._signed(lambda g: 1 if g % 4 in (0, 3) else -1)

    def _complemented(self, inverse: bool) -> Multivector:
        grades, places, signs = plan.dual_map(self.algebra.signature, self.grades, inverse)
        parts = self.values.unbind(-1)
        moved = [parts[n] if s == 1 else -parts[n] for n, s in zip(places, signs, strict=True)]
        return Multivector(self.algebra, torch.stack(moved, -1), grades)

    def dual(self) -> Multivector:
        """The right complement: b ^ b.dual() is the pseudoscalar for a basis blade b. Needs no metric."""
        return self._complemented(False)

    def undual(self) -> Multivector:
        """The inverse of `dual`."""
        return self._complemented(True)

    def polarity(self) -> Multivector:
        """The metric dual a * I**-1.

        Raises:
            HypatiaError: If the algebra has null vectors, whose pseudoscalar has no inverse.
        """
        square = plan.pseudoscalar_square(self.algebra.signature)
        if square == 0:
            raise HypatiaError(f"the pseudoscalar of {self.algebra!r} has no inverse; `dual` needs none")
        top = torch.full_like(self.values[..., :1], square)
        return self * Multivector(self.algebra, top, self.algebra.all_grades[-1:])

    def _operand(self, other: Any) -> Multivector | None:
        """A real number or tensor as scalars beside this one; None if it is neither."""
        if isinstance(other, Multivector):
            if other.algebra.signature != self.algebra.signature:
                raise HypatiaError(
                    "multivectors of different algebras cannot be combined: "
                    f"{self.algebra!r} and {other.algebra!r}"
                )
            return other
        if isinstance(other, Tensor):
            return Multivector(self.algebra, other.unsqueeze(-1), (0,))
        if isinstance(other, (int, float)):
            return Multivector(self.algebra, self.values.new_full((1,), other), (0,))
        return None

    def _added(self, other: Multivector, factor: int) -> Multivector:
        grades = tuple(sorted({*self.grades, *other.grades}))
        if set(self.grades).isdisjoint(other.grades):
            runs = plan.runs(self.algebra.signature, (self.grades, other.grades), grades)
            second = other.values if factor == 1 else -other.values
            return Multivector(self.algebra, kernel.repacked(runs, self.values, second), grades)
        left, right = self.with_grades(grades).values, other.with_grades(grades).values
        return Multivector(self.algebra, left + right if factor == 1 else left - right, grades)

    def __add__(self, other: Any) -> Multivector:
        operand = self._operand(other)
        return NotImplemented if operand is None else self._added(operand, 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Multivector:
        operand = self._operand(other)
        return NotImplemented if operand is None else self._added(operand, -1)

    def __rsub__(self, other: Any) -> Multivector:
        operand = self._operand(other)
        return NotImplemented if operand is None else operand._added(self, -1)

    def __neg__(self) -> Multivector:
        return self.map(torch.neg)

    def __pos__(self) -> Multivector:
        return self

    def __invert__(self) -> Multivector:
        return self.reverse()

    # Products

    def product(self, name: str, other: Multivector) -> Multivector:
        """A product by name.

        The names: geometric, outer, inner, left_contraction, right_contraction, regressive, scalar.
        """
        form = plan.product(self.algebra.signature, name, self.grades, other.grades)
        return Multivector(self.algebra, kernel.bilinear(form, self.values, other.values), form.grades)

    def _product(self, name: str, other: Any, swapped: bool = False) -> Multivector:
        operand = self._operand(other)
        if operand is None:
            return cast(Multivector, NotImplemented)
        return operand.product(name, self) if swapped else self.product(name, operand)

    def __mul__(self, other: Any) -> Multivector:
        if isinstance(other, Multivector) and other is self:
            return self.squared()
        if isinstance(other, (int, float)):
            return self.map(lambda values: values * other)
        if isinstance(other, Tensor):
            return self.map(lambda values: values * other.unsqueeze(-1))
        return self._product("geometric", other)

    def __rmul__(self, other: Any) -> Multivector:
        return self.__mul__(other)

    def __xor__(self, other: Any) -> Multivector:
        return self._product("outer", other)

    def __rxor__(self, other: Any) -> Multivector:
        return self._product("outer", other, swapped=True)

    def __or__(self, other: Any) -> Multivector:
        return self._product("inner", other)

    def __ror__(self, other: Any) -> Multivector:
        return self._product("inner", other, swapped=True)

    def __and__(self, other: Any) -> Multivector:
        return self._product("regressive", other)

    def __rand__(self, other: Any) -> Multivector:
        return self._product("regressive", other, swapped=True)

    def __lshift__(self, other: Any) -> Multivector:
        return self._product("left_contraction", other)

    def __rlshift__(self, other: Any) -> Multivector:
        return self._product("left_contraction", other, swapped=True)

    def __rshift__(self, other: Any) -> Multivector:
        return self._product("right_contraction", other)

    def __rrshift__(self, other: Any) -> Multivector:
        return self._product("right_contraction", other, swapped=True)

    def __truediv__(self, other: Any) -> Multivector:
        if isinstance(other, (int, float)):
            return self.map(lambda values: values / other)
        if isinstance(other, Tensor):
            return self.map(lambda values: values / other.unsqueeze(-1))
        operand = self._operand(other)
        return NotImplemented if operand is None else self * operand.inverse()

    def __rtruediv__(self, other: Any) -> Multivector:
        operand = self._operand(other)
        return NotImplemented if operand is None else operand * self.inverse()

    def __pow__(self, exponent: float) -> Multivector:
        if isinstance(exponent, int):
            base = self if exponent >= 0 else self.inverse()
            one = Multivector(self.algebra, torch.ones_like(self.values[..., :1]), (0,))
            out = one
            for bit in bin(abs(exponent))[2:]:
                out = out.product("geometric", out)
                out = out.product("geometric", base) if bit == "1" else out
            return out
        if isinstance(exponent, float):
            return self.sqrt() if exponent == 0.5 else (self.log() * exponent).exp()
        return NotImplemented

    def squared(self) -> Multivector:
        """a*a, with the grades that cancel known to be zero."""
        form = plan.square(self.algebra.signature, self.grades, False)
        return Multivector(self.algebra, kernel.bilinear(form, self.values, self.values), form.grades)

    def reverse_squared(self) -> Multivector:
        """a*~a, with the grades that cancel known to be zero: a number for a vector or a rotor of space."""
        form = plan.square(self.algebra.signature, self.grades, True)
        return Multivector(self.algebra, kernel.bilinear(form, self.values, self.values), form.grades)

    def scalar_product(self, other: Multivector) -> Tensor:
        """The scalar part of the product, of the batch's shape."""
        return self.product("scalar", other).scalar_part()

    def commutator(self, other: Multivector) -> Multivector:
        """(ab - ba) / 2."""
        return (self * other - other * self) / 2

    def anticommutator(self, other: Multivector) -> Multivector:
        """(ab + ba) / 2."""
        return (self * other + other * self) / 2

    def sandwich(self, x: Multivector) -> Multivector:
        """a x ~a: rotors, motors and reflections acting on x.

        Where the versors are few beside the x (one rotor, a million points) their matrices are built once and
        the rest is one matrix product; elsewhere the two products are staged. Multiplications decide.

        >>> from math import pi
        >>> from hypatia_core.clifford import Algebra, rotor
        >>> turn = rotor(Algebra(3), torch.tensor(pi / 2), [0.0, 0.0, 1.0])
        >>> turn.sandwich(Algebra(3).vector([[1.0, 0.0, 0.0]])).values.round(decimals=6).abs()
        tensor([[0., 1., 0.]])
        """
        operand = self._operand(x)
        if operand is None:
            raise TypeError(f"sandwich takes a multivector, not {type(x).__name__}")
        form = plan.sandwich(self.algebra.signature, self.grades, operand.grades)
        first = plan.product(self.algebra.signature, "geometric", self.grades, operand.grades)
        second = plan.product(self.algebra.signature, "geometric", first.grades, self.grades)
        if kernel.matrix_is_cheaper(form, (first, second), self.values, operand.values):
            dtype = torch.promote_types(self.dtype, operand.dtype)
            matrix = kernel.sandwich_matrix(form, self.values.to(dtype))
            return Multivector(
                self.algebra, kernel.apply_matrix(matrix, operand.values.to(dtype)), form.grades
            )
        return (self * operand * ~self).with_grades(form.grades)

    # Norms, inverse, functions

    def norm_squared(self) -> Tensor:
        """The scalar part of a*~a; negative where the metric makes it so."""
        return self.scalar_product(~self)

    def norm(self) -> Tensor:
        """The root of the absolute value of `norm_squared`; its gradient at zero is zero."""
        return safe_sqrt(self.norm_squared().abs())

    def normalized(self) -> Multivector:
        """Divided by its norm, as tensors divide: a null multivector gives non-finite coefficients."""
        return self / self.norm()

    def normalize(self) -> Multivector:
        """The same as `normalized`."""
        return self.normalized()

    def __abs__(self) -> Tensor:
        return self.norm()

    def inverse(self) -> Multivector:
        """The inverse. Where a*~a is a number by its grades alone, ~a over it; elsewhere a linear solve.

        Raises:
            torch.linalg.LinAlgError: If a multivector that has to be solved for divides zero.
        """
        return exponential.inverse(self)

    def exp(self) -> Multivector:
        """The exponential."""
        return exponential.exp(self)

    def log(self) -> Multivector:
        """The principal logarithm of rotors, motors and numbers.

        Raises:
            HypatiaError: If the grades admit multivectors for which there is no closed form.
        """
        return exponential.log(self)

    def sqrt(self) -> Multivector:
        """The principal square root of rotors, motors and numbers.

        Raises:
            HypatiaError: As `log`.
        """
        return exponential.sqrt(self)

    def slerp(self, other: Multivector, t: Tensor | float) -> Multivector:
        """Between rotors or motors at constant speed by the shorter way; t has the batch's shape."""
        step = ~self * other
        sign = torch.where(step.scalar_part() < 0, -1.0, 1.0).to(step.dtype)
        return self * ((step * sign).log() * t).exp()

    # Subspaces

    def project(self, blade: Multivector) -> Multivector:
        """The projection on the subspace of an invertible blade."""
        return (self << blade.inverse()) << blade

    def reject(self, blade: Multivector) -> Multivector:
        """What the projection leaves."""
        return self - self.project(blade)

    def reflect(self, normal: Multivector) -> Multivector:
        """The mirror image in the hyperplane orthogonal to a vector: -n v n**-1 for a vector v."""
        return (normal * self.involute() * normal.inverse()).with_grades(self.grades)

    def join(self, other: Multivector, grade: int | None = None) -> Multivector:
        """The smallest blades that contain both, as subspaces; batches broadcast.

        The outer product where the blades share no direction. Elsewhere the coefficients have length 1 and it
        continues this one, up to its sign.

        Args:
            other: Blades of one grade, as these are.
            grade: Of all the joins. By default it is read off the values; where these are not known (in
                `torch.compile` and `vmap`) blades are taken to share no more than they have to.

        Raises:
            HypatiaError: If either has several grades or is known to be no blade, if joins of the batch have
                different grades, or none can have this one.

        Example:
            >>> from hypatia_core.clifford import Algebra
            >>> space = Algebra(3)
            >>> x, y, z = (space.vector(v) for v in torch.eye(3))
            >>> print(x.join(y), (x ^ y).join(y ^ z))
            e12 e123
        """
        return subspace.join(self, self._blade(other), grade)

    def meet(self, other: Multivector, grade: int | None = None) -> Multivector:
        """The largest blades that both contain: the undual of the join of the duals, with its conditions.

        The regressive product where both span the whole space together.

        Args:
            other: Blades of one grade, as these are.
            grade: Of all the meets; see `join`.

        Raises:
            HypatiaError: As `join`.

        Example:
            >>> from hypatia_core.clifford import Algebra
            >>> space = Algebra(3)
            >>> x, y, z = (space.vector(v) for v in torch.eye(3))
            >>> print((x ^ y).meet(y ^ z))
            e2
        """
        return subspace.meet(self, self._blade(other), grade)

    def _blade(self, other: Any) -> Multivector:
        operand = self._operand(other)
        if operand is None:
            raise TypeError(f"meet and join take multivectors, not {type(other).__name__}")
        return operand

    def to_quaternion(self) -> Tensor:
        """The unit quaternions (x, y, z, w) `(..., 4)` of rotors of space, scalar last as in SciPy.

        Raises:
            HypatiaError: If the algebra is not VGA3D.

        Example:
            >>> from math import pi
            >>> from hypatia_core.clifford import Algebra, rotor
            >>> rotor(Algebra(3), torch.tensor(pi), [0.0, 1.0, 0.0]).to_quaternion().round(decimals=4)
            tensor([0., 1., 0., -0.])
        """
        if self.algebra.signature != (3, 0, 0):
            raise HypatiaError(f"quaternions are rotors of VGA3D, not of {self.algebra!r}")
        planes = [-self.coefficient(name) for name in ("e23", "e31", "e12")]
        values = torch.stack([*planes, self.scalar_part()], -1)
        length: Tensor = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
        return values / length

    def to_matrix(self) -> Tensor:
        """The matrices `(..., n, n)` of v -> a v ~a on vectors; column j is the image of basis vector j."""
        form = plan.sandwich(self.algebra.signature, self.grades, (1,))
        matrix = Multivector(self.algebra, kernel.sandwich_matrix(form, self.values), form.grades)
        return matrix.with_grades((1,)).values.mT

    # Comparison and text

    def __eq__(self, other: object) -> Any:
        """Whether all coefficients are equal, for each of the batch; grades that are not stored are zero."""
        operand = self._operand(other)
        return NotImplemented if operand is None else (self.full() == operand.full()).all(-1)

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else ~equal

    def __bool__(self) -> bool:
        """Whether a single one is not zero.

        Raises:
            HypatiaError: If there is a batch.
        """
        if self.shape.numel() != 1:
            raise HypatiaError(f"a batch of shape {tuple(self.shape)} is neither true nor false")
        return bool((self.values != 0).any())

    def isclose(self, other: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Tensor:
        """Whether all coefficients are close, for each of the batch."""
        operand = self._operand(other)
        if operand is None:
            raise TypeError(f"isclose takes a multivector or number, not {type(other).__name__}")
        left, right = self.full(), operand.full()
        return torch.isclose(left, right.to(left.dtype), rtol=rtol, atol=atol).all(-1)

    def __repr__(self) -> str:
        return f"Multivector({self.algebra!r}, {self.values!r}, grades={self.grades})"

    def __str__(self) -> str:
        if self.shape.numel() == 1 and not self.shape:
            return str(self.to_native())
        return repr(self)
