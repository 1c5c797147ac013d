"""Sizes that are not known before the call, as plain data: read from torch, checked, written as Python.

A size is a number, the name of a symbol ("s0"), or a list of an operator and its operands.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch

from hypatia_core._hypatia_core import HypatiaError

Size = Any

#: Each operator with what it does; all take two operands.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "max": max,
    "min": min,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NAMES = {
    "Add": "+",
    "Mul": "*",
    "FloorDiv": "//",
    "CleanDiv": "//",
    "Mod": "%",
    "PythonMod": "%",
    "Max": "max",
    "Min": "min",
    "Equality": "==",
    "Unequality": "!=",
    "StrictLessThan": "<",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "GreaterThan": ">=",
}


class Symbols:
    """Gives each symbol of torch a name of ours, in the order in which they are met."""

    def __init__(self) -> None:
        self.names: dict[sympy.Symbol, str] = {}

    def size(self, value: Any) -> Size:
        """A size, symbolic or not, as plain data.

        Raises:
            HypatiaError: it is no arithmetic of symbols.
        """
        return self.expression(value.node.expr) if isinstance(value, torch.SymInt) else int(value)

    def expression(self, expr: Any, *, known: bool = False) -> Size:
        """The same for a sympy expression; with `known` no new symbol may come in it."""
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            if known and expr not in self.names:
                raise HypatiaError(f"a size that no input tells: {expr}")
            return self.names.setdefault(expr, f"s{len(self.names)}")
        kind = type(expr).__name__
        if kind == "Pow" and expr.args[1].is_Integer and expr.args[1] > 0:
            parts = [self.expression(expr.args[0], known=known)] * int(expr.args[1])
            name = "*"
        elif kind in _NAMES:
            parts = [self.expression(part, known=known) for part in expr.args]
            name = _NAMES[kind]
        else:
            raise HypatiaError(f"a relation between sizes that is not understood: {expr}")
        total = parts[0]
        for part in parts[1:]:
            total = [name, total, part]
        return total


def evaluated(size: Size, values: Mapping[str, int]) -> Any:
    """The number that a size is, or the truth of a relation.

    >>> evaluated(["*", "s0", 3], {"s0": 4})
    12
    """
    if isinstance(size, list):
        return OPERATORS[size[0]](evaluated(size[1], values), evaluated(size[2], values))
    return values[size] if isinstance(size, str) else size


def written(size: Size) -> str:
    """A size as Python and for people.

    >>> written(["<=", ["*", "s0", 3], 12])
    '(s0 * 3) <= 12'
    """
    text = _written(size)
    return text[1:-1] if isinstance(size, list) and text.startswith("(") else text


def _written(size: Size) -> str:
    if not isinstance(size, list):
        return str(size)
    name, a, b = size
    return (
        f"{name}({_written(a)}, {_written(b)})"
        if name in ("max", "min")
        else f"({_written(a)} {name} {_written(b)})"
    )


def checked(data: Any, symbols: set[str] | None = None) -> Size:
    """A size that came from a file, or an error: what is written as Python later must be nothing else.

    Args:
        data: what was read.
        symbols: the names that may stand in it; None for any of the right form.

    Raises:
        HypatiaError: it is no size.
    """
    if type(data) is int:
        return data
    if isinstance(data, str):
        fine = data in symbols if symbols is not None else data[:1] == "s" and data[1:].isdecimal()
        if fine and data.isascii():
            return data
    if isinstance(data, list) and len(data) == 3 and isinstance(data[0], str) and data[0] in OPERATORS:
        return [data[0], checked(data[1], symbols), checked(data[2], symbols)]
    raise HypatiaError(f"{data!r} is no size")


def contiguous(shape: list[Size]) -> list[Size]:
    """The strides of a contiguous tensor."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step = math.prod((step, size)) if type(step) is int and type(size) is int else _times(step, size)
    return strides


def _times(a: Size, b: Size) -> Size:
    return b if a == 1 else a if b == 1 else ["*", a, b]
