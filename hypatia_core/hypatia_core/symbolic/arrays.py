"""Elementwise evaluation over NumPy arrays."""

from collections.abc import Mapping
from typing import Any

from hypatia_core._hypatia_core import HypatiaError, Symbol


def evaluate(symbol: Symbol, values: Mapping[Any, Any]) -> Any:
    """The values of `symbol` over arrays of doubles, broadcast against each other; NaN where it is undefined.

    Raises:
        HypatiaError: a variable is not given, or an array does not hold real numbers.

    Example:
        >>> import numpy
        >>> from hypatia_core import Symbol
        >>> (Symbol.variable("x") ** 2).eval({"x": numpy.array([1.0, 2.0, 3.0])})
        array([1., 4., 9.])
    """
    import numpy

    named = {name if isinstance(name, str) else str(name): value for name, value in values.items()}
    columns = []
    for name in sorted(symbol.free_symbols):
        if name not in named:
            given = ", ".join(sorted(named)) or "none"
            raise HypatiaError(f"Variable '{name}' not found; given: {given}")
        column = numpy.asarray(named[name])
        if column.dtype.kind not in "iuf":
            raise HypatiaError(f"the values of '{name}' have dtype {column.dtype}; real numbers are needed")
        columns.append(numpy.asarray(column, dtype=numpy.float64))
    shape = numpy.broadcast_shapes(*(numpy.shape(value) for value in named.values()))
    flat = [
        column if column.ndim == 0 else numpy.ascontiguousarray(numpy.broadcast_to(column, shape))
        for column in columns
    ]
    result = numpy.empty(shape, dtype=numpy.float64)
    symbol._eval_columns(flat, result)
    return result
