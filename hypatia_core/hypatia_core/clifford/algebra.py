"""`Algebra`: a signature, and the way to its multivectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError, PyAlgebra, PyMultiVector
from hypatia_core.clifford import plan

if TYPE_CHECKING:
    from hypatia_core.clifford.multivector import Multivector
    from hypatia_core.clifford.symbolic import SymbolicMultivector

C = TypeVar("C")


class Algebra:
    """The Clifford algebra in which `p` basis vectors square to +1, `q` to -1 and `r` to 0.

    Blades are ordered by grade, then by their factors; the algebra (3, 0, 0) has the cyclic bivectors e12,
    e23, e31. With `r == 1` the null vector is e0 and comes first. At most nine basis vectors, 2^9 blades.

    Args:
        p: How many basis vectors square to +1.
        q: How many square to -1.
        r: How many square to 0.

    Raises:
        HypatiaError: If there is no basis vector or more than nine.

    Example:
        >>> from hypatia_core.clifford import Algebra
        >>> space = Algebra(3)
        >>> v = space.vector(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        >>> (v * v).values
        tensor([[1.],
                [1.]])
    """

    signature: tuple[int, int, int]

    def __init__(self, p: int, q: int = 0, r: int = 0) -> None:
        native = PyAlgebra(p, q, r)
        self.signature = native.signature
        self.dimension = native.dimension
        self.blades = tuple(native.blades)
        self.all_grades = tuple(range(native.dimension + 1))

    @classmethod
    def named(cls, name: str) -> Algebra:
        """The algebra of a named model; `Algebra.models()` lists them.

        Raises:
            HypatiaError: If there is none of this name.
        """
        return cls(*PyAlgebra.named(name).signature)

    @staticmethod
    def models() -> dict[str, str]:
        """The names of the models and what each models.

        >>> sorted(Algebra.models())
        ['CGA2D', 'CGA3D', 'PGA2D', 'PGA3D', 'STA', 'VGA2D', 'VGA3D']
        """
        return {name: meaning for name, _, meaning in PyAlgebra.models()}

    @property
    def native(self) -> PyAlgebra:
        """The engine's algebra: single multivectors in float64, and the Cayley tables."""
        return plan.native(self.signature)

    @property
    def squares(self) -> tuple[int, ...]:
        """What each basis vector squares to."""
        return tuple(self.native.squares)

    def size(self, grades: Iterable[int]) -> int:
        """How many blades have these grades."""
        return len(plan.positions(self.signature, self.check_grades(grades)))

    def check_grades(self, grades: Iterable[int]) -> tuple[int, ...]:
        """The grades in order and once each.

        Raises:
            HypatiaError: If the algebra has no such grade.
        """
        ordered = tuple(sorted(set(grades)))
        for g in ordered:
            if not 0 <= g <= self.dimension:
                raise HypatiaError(f"{self!r} has no grade {g}; its grades are 0 to {self.dimension}")
        return ordered

    def multivector(self, values: Tensor | Sequence[Any], grades: Iterable[int] | None = None) -> Multivector:
        """Multivectors from `(..., blades)` coefficients of these grades, of all grades by default.

        Raises:
            HypatiaError: If the last extent is not the number of blades.
        """
        # Multivector's module imports this one.
        from hypatia_core.clifford.multivector import Multivector

        tensor = values if isinstance(values, Tensor) else torch.as_tensor(values)
        return Multivector(self, tensor, grades)

    def of_grade(self, grade: int, values: Tensor | Sequence[Any]) -> Multivector:
        """Multivectors of one grade from `(..., blades of that grade)` coefficients."""
        return self.multivector(values, (grade,))

    def scalar(self, values: Tensor | float) -> Multivector:
        """Scalars from a tensor of the batch's shape."""
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(values)
        return self.of_grade(0, tensor.unsqueeze(-1))

    def vector(self, values: Tensor | Sequence[Any]) -> Multivector:
        """Vectors from `(..., n)` components."""
        return self.of_grade(1, values)

    def bivector(self, values: Tensor | Sequence[Any]) -> Multivector:
        """Bivectors from `(..., n (n - 1) / 2)` components."""
        return self.of_grade(2, values)

    def even(self, values: Tensor | Sequence[Any]) -> Multivector:
        """Even multivectors from `(..., 2^(n - 1))` coefficients."""
        return self.multivector(values, self.all_grades[::2])

    def blade(
        self, name: str, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Multivector:
        """One basis blade, without a batch; the factors may stand in any order.

        >>> Algebra(3).blade("e13").coefficient("e31")
        tensor(-1.)
        """
        k, sign = plan.blade_index(self.signature, name)
        grade = self.native.grades[k]
        stored = plan.positions(self.signature, (grade,))
        values = torch.tensor([float(sign) if n == k else 0.0 for n in stored], dtype=dtype, device=device)
        return self.of_grade(grade, values)

    def pseudoscalar(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Multivector:
        """The product of all basis vectors."""
        return self.blade(self.blades[-1], dtype=dtype, device=device)

    def from_native(
        self,
        value: PyMultiVector,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Multivector:
        """A single multivector of the engine as a tensor, with the grades that are not zero.

        Raises:
            HypatiaError: If it is of another algebra.
        """
        if value.algebra.signature != self.signature:
            raise HypatiaError(f"expected a multivector of {self!r}, got one of {value.algebra!r}")
        grades = tuple(value.grades()) or (0,)
        values = [value[k] for k in plan.positions(self.signature, grades)]
        return self.multivector(torch.tensor(values, dtype=dtype, device=device), grades)

    def single(self, coefficients: Iterable[SupportsFloat]) -> PyMultiVector:
        """A single multivector of the engine, in float64 without torch: one coefficient for each blade."""
        return self.native.multivector(coefficients)

    def symbolic(
        self, coefficients: Sequence[C], grades: Iterable[int] | None = None
    ) -> SymbolicMultivector[C]:
        """A multivector over anything that has `+ - *`: Symbols, fractions, polynomials."""
        from hypatia_core.clifford.symbolic import SymbolicMultivector

        return SymbolicMultivector(self, coefficients, grades)

    def randn(
        self,
        *shape: int,
        grades: Iterable[int] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Multivector:
        """Multivectors of a batch shape whose coefficients are standard normal."""
        kept = self.all_grades if grades is None else self.check_grades(grades)
        values = torch.randn(*shape, self.size(kept), dtype=dtype, device=device, generator=generator)
        return self.multivector(values, kept)

    def cayley(self, product: str = "geometric", *, dtype: torch.dtype = torch.float32) -> Tensor:
        """The dense structure constants `(blades, blades, blades)`: left, right, result.

        >>> Algebra(2).cayley().count_nonzero()
        tensor(16)
        """
        form = plan.product(self.signature, product, self.all_grades, self.all_grades)
        n = len(self.blades)
        table = torch.zeros(n, n, n, dtype=dtype)
        results = plan.positions(self.signature, form.grades)
        for term in form.terms:
            table[term.left, term.right, results[term.result]] = term.factor
        return table

    def __len__(self) -> int:
        return len(self.blades)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Algebra) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)

    def __reduce__(self) -> tuple[type[Algebra], tuple[int, int, int]]:
        return type(self), self.signature

    def __repr__(self) -> str:
        return f"Algebra{self.signature}"
