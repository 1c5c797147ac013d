"""Forms of an expression with less rounding error, as a callable result."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hypatia_core._hypatia_core import HypatiaError, Symbol, _improve_accuracy


class Regime(NamedTuple):
    """A form and the values of the branching variable for which it is used, both ends included."""

    low: float
    high: float
    expression: Symbol
    exact: bool
    """Whether the form is equal over the reals; otherwise it is a truncated series."""


class Improvement:
    """What `improve_accuracy` found: one form, or several by the value of one variable.

    Attributes:
        regimes: the forms in rising order of `variable`, without gaps.
        variable: the variable that decides between them; None where there is one form.
        error_before: mean bits of error of the given expression.
        error_after: mean bits of error of this form, at the same points.
        points: how many points that are; the search has not seen them.
    """

    def __init__(
        self,
        original: Symbol,
        variable: str | None,
        regimes: tuple[Regime, ...],
        errors: tuple[float, float],
        points: int,
    ) -> None:
        self.original = original
        self.variable = variable
        self.regimes = regimes
        self.error_before, self.error_after = errors
        self.points = points

    @property
    def expression(self) -> Symbol:
        """The form, where there is one.

        Raises:
            HypatiaError: there are several; `regimes` has them.
        """
        if self.variable is not None:
            raise HypatiaError(f"there are {len(self.regimes)} forms, by '{self.variable}': see regimes")
        return self.regimes[0].expression

    def __call__(self, **values: Any) -> Any:
        """The value at a point, or elementwise over NumPy arrays."""
        names = sorted(self.original.free_symbols)
        if sorted(values) != names:
            given = ", ".join(sorted(values)) or "none"
            raise TypeError(f"expected the variables {', '.join(names)}, found {given}")
        if self.variable is None:
            return self.expression.eval(values)
        deciding = values[self.variable]
        if not any(getattr(value, "shape", ()) for value in values.values()):
            return self._regime(float(deciding)).expression.eval(values)
        import numpy

        arrays = dict(zip(names, numpy.broadcast_arrays(*(values[name] for name in names)), strict=True))
        result = numpy.empty(arrays[self.variable].shape)
        for regime in self.regimes:
            inside = (arrays[self.variable] >= regime.low) & (arrays[self.variable] <= regime.high)
            if inside.any():
                result[inside] = regime.expression.eval({name: arrays[name][inside] for name in names})
        result[numpy.isnan(arrays[self.variable])] = numpy.nan
        return result

    def _regime(self, value: float) -> Regime:
        for regime in self.regimes:
            if value <= regime.high:
                return regime
        return self.regimes[-1]

    def to_callable(self, names: list[str] | None = None) -> Callable[..., Any]:
        """A function of the variables in this order (sorted by default), of numbers or NumPy arrays."""
        order = sorted(self.original.free_symbols) if names is None else list(names)

        def function(*values: Any) -> Any:
            if len(values) != len(order):
                raise TypeError(f"expected {len(order)} arguments ({', '.join(order)}), found {len(values)}")
            return self(**dict(zip(order, values, strict=True)))

        return function

    def to_c(self, name: str = "f") -> str:
        """A C function of doubles with a branch a regime, its arguments in the order of their names."""
        if self.variable is None:
            return self.expression.to_c(name)
        variables = ", ".join(f"double {variable}" for variable in sorted(self.original.free_symbols))
        passed = ", ".join(sorted(self.original.free_symbols))
        parts, calls = [], []
        for index, regime in enumerate(self.regimes):
            part = f"{name}_{index}"
            body = regime.expression.to_c(part).split("\n\n", 1)[1]
            # Every part takes all variables, so that the calls look alike.
            parts.append(f"static double {part}({variables}) {{\n" + body.split("{\n", 1)[1])
            condition = f"if ({self.variable} <= {regime.high!r}) " if index + 1 < len(self.regimes) else ""
            calls.append(f"    {condition}return {part}({passed});\n")
        return f"#include <math.h>\n\n{''.join(parts)}double {name}({variables}) {{\n{''.join(calls)}}}\n"

    def __str__(self) -> str:
        if self.variable is None:
            return self.regimes[0].expression.infix()
        lines = []
        for index, regime in enumerate(self.regimes):
            text = regime.expression.infix()
            last = index + 1 == len(self.regimes)
            lines.append(f"{text} otherwise" if last else f"{text} if {self.variable} <= {regime.high!r}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Improvement from {self.error_before:.1f} to {self.error_after:.1f} bits of error>"


def improve_accuracy(
    expression: Symbol | str, ranges: Mapping[str, tuple[float, float]] | None = None
) -> Improvement:
    """A form of `expression` with less rounding error over `ranges`; the given one if none is better.

    Forms are equal over the reals, found by identities that hold where the ranges put the variables, or
    truncated series at zero and infinity. Where one form is good here and another there, they become branches
    by the value of one variable. Errors are bits: the logarithm to base two of the doubles between the
    computed value and the real one, which multiple precision gives. Points and limits are fixed, so the
    answer is the same everywhere.

    Args:
        expression: a scalar expression, or its text.
        ranges: the least and the greatest value by variable; one that is not named takes every finite double.

    Raises:
        HypatiaError: a range is empty or names no variable, the expression has more than 120 nodes or acts on
            tensors, or it has a value almost nowhere in the ranges.

    Example:
        >>> from hypatia_core import improve_accuracy
        >>> better = improve_accuracy("sqrt(x + 1) - sqrt(x)", {"x": (1, 1e300)})
        >>> better.expression.infix()
        '1/(sqrt(x + 1) + sqrt(x))'
        >>> better(x=1e20)
        5e-11
        >>> better.error_before > 30, better.error_after < 1
        (True, True)

    Source: P. Panchekha, A. Sanchez-Stern, J. R. Wilcox, Z. Tatlock, "Automatically improving accuracy for
    floating point expressions", PLDI 2015.
    """
    symbol = expression if isinstance(expression, Symbol) else Symbol(expression)
    for name, ends in (ranges or {}).items():
        if len(tuple(ends)) != 2:
            raise HypatiaError(f"the range of '{name}' is {ends!r}; a least and a greatest value are needed")
    given = {name: (float(low), float(high)) for name, (low, high) in (ranges or {}).items()}
    variable, found, before, after, points = _improve_accuracy(symbol, given)
    regimes = tuple(Regime(*regime) for regime in found)
    return Improvement(symbol, variable, regimes, (before, after), points)
