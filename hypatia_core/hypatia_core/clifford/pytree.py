"""Multivectors as the tensors they hold, wherever torch walks nested inputs: `vmap`, `grad`, `export`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.multivector import Multivector

Context = tuple[tuple[int, int, int], tuple[int, ...]]


def flatten(value: Multivector) -> tuple[list[Tensor], Context]:
    """The coefficients, and the algebra and grades as plain numbers."""
    return [value.values], (value.algebra.signature, value.grades)


def unflatten(values: Any, context: Context) -> Multivector:
    """The multivector again. What stands in for the coefficients need not be a tensor: in_dims, specs."""
    signature, grades = context
    value = object.__new__(Multivector)
    (value.values,) = values
    value.algebra, value.grades = Algebra(*signature), grades
    return value
