"""Sizes that are not numbers: symbols of Dynamo's shape environment, as the engine numbers them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sympy
import torch
from torch import fx


class Unsupported(Exception):  # noqa: N818 - it is a decision, no error
    """A graph that the pipeline leaves as it came; the message is the reason in the report."""


def expression(size: Any) -> sympy.Expr:
    """The sympy expression of a size, symbolic or not."""
    return size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)


def is_symbolic(value: Any) -> bool:
    """Whether a value is a symbol, or a tensor with one among its sizes and strides."""
    if isinstance(value, torch.Tensor):
        return not all(isinstance(n, int) for n in (*value.shape, *value.stride()))
    return isinstance(value, torch.SymInt)


def is_dense(value: torch.Tensor) -> bool:
    """Whether a tensor is surely contiguous, without adding a guard."""
    shape: Sequence[Any] = value.shape
    strides: Sequence[Any] = value.stride()
    if is_symbolic(value):
        shape, strides = [expression(n) for n in shape], [expression(n) for n in strides]
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


class Sizes:
    """Numbers the symbolic sizes of a graph, and writes them again as nodes of another graph."""

    def __init__(self) -> None:
        self._numbers: dict[sympy.Expr, int] = {}

    def dimension(self, size: Any) -> int | dict[str, int]:
        """One extent as the engine reads it: a number, or a symbol with the value seen while tracing."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        expr = size.node.expr
        if expr.is_Integer:
            return int(expr)
        hint = size.node.hint
        if hint is None:
            raise Unsupported(f"a size that is known only at run time: {expr}")
        return {"symbol": self._numbers.setdefault(expr, len(self._numbers)), "hint": int(hint)}

    def expression(self, number: int) -> sympy.Expr:
        """The expression that was given this number."""
        return next(expr for expr, n in self._numbers.items() if n == number)


class SizeWriter:
    """Writes size expressions as nodes that read them off the inputs of a new graph."""

    def __init__(self, graph: fx.Graph, placeholders: list[fx.Node]) -> None:
        self._graph = graph
        self._written: dict[sympy.Expr, fx.Node | int] = {}
        self._sources: dict[sympy.Expr, tuple[fx.Node, int] | fx.Node] = {}
        for node in placeholders:
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self._sources[value.node.expr] = node
        for node in placeholders:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor) and value.layout is torch.strided:
                for axis, size in enumerate(value.shape):
                    if isinstance(size, torch.SymInt):
                        self._sources.setdefault(size.node.expr, (node, axis))

    def write(self, expr: sympy.Expr) -> fx.Node | int:
        """A node whose value is this size, or the number itself.

        Raises:
            Unsupported: the inputs do not tell this size.
        """
        if expr.is_Integer:
            return int(expr)
        if expr not in self._written:
            self._written[expr] = self._compute(expr)
        return self._written[expr]

    def _compute(self, expr: sympy.Expr) -> fx.Node | int:
        source = self._sources.get(expr)
        if isinstance(source, fx.Node):
            return source
        if source is not None:
            placeholder, axis = source
            value = placeholder.meta["val"].shape[axis]
            return self._call(torch.ops.aten.sym_size.int, (placeholder, axis), value)
        if expr.func is sympy.Pow and expr.args[1].is_Integer and expr.args[1] > 0:
            return self._product([expr.args[0]] * int(expr.args[1]), operator.mul)
        combine = _COMBINES.get(expr.func.__name__)
        if combine is None:
            raise Unsupported(f"a size that the inputs do not tell: {expr}")
        return self._product(expr.args, combine)

    def _product(self, parts: Iterable[sympy.Expr], combine: Callable[[Any, Any], Any]) -> fx.Node | int:
        total: Any = None
        for part in map(self.write, parts):
            if total is None:
                total = part
            else:
                value = combine(_value(total), _value(part))
                total = self._call(combine, (total, part), value)
        result: fx.Node | int = total
        return result

    def _call(self, target: Any, args: tuple[Any, ...], value: Any) -> fx.Node:
        node = self._graph.call_function(target, args)
        node.meta["val"] = value
        return node


#: By the name of their class, since torch has its own for some.
_COMBINES: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Mul": operator.mul,
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "Max": torch.sym_max,
    "Min": torch.sym_min,
}


def _value(size: fx.Node | int) -> Any:
    return size.meta["val"] if isinstance(size, fx.Node) else size
