"""Expressions as programs: Python functions over NumPy, torch or floats, and C, with shared parts once."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hypatia_core._hypatia_core import HypatiaError, Symbol

BACKENDS = ("numpy", "torch", "math")

#: The operators between two operands, as Python and C write them.
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


class Calls(NamedTuple):
    """How a function of the arguments `{0}` and `{1}` is written in Python's `math`, torch, C and SymPy."""

    math: str
    torch: str
    c: str
    sympy: str


def _same(name: str) -> Calls:
    """A function that has one name everywhere."""
    return Calls(f"math.{name}({{0}})", f"torch.{name}({{0}})", f"{name}({{0}})", f"sympy.{name}({{0}})")


_NAMED = (
    *("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("asinh", "acosh", "atanh", "erf", "floor"),
)
#: Every function of the scalar algebra: one row each.
CALLS: dict[str, Calls] = {
    **{name: _same(name) for name in _NAMED},
    "expm1": _same("expm1")._replace(sympy="sympy.exp({0}) - 1"),
    "log1p": _same("log1p")._replace(sympy="sympy.log(1 + {0})"),
    "abs": Calls("abs({0})", "torch.abs({0})", "fabs({0})", "sympy.Abs({0})"),
    "sign": Calls(
        "(float({0} > 0) - float({0} < 0))",
        "torch.sign({0})",
        "(double)(({0} > 0) - ({0} < 0))",
        "sympy.sign({0})",
    ),
    "hypot": Calls(
        "math.hypot({0}, {1})", "torch.hypot({0}, {1})", "hypot({0}, {1})", "sympy.sqrt({0}**2 + {1}**2)"
    ),
    "max": Calls("max({0}, {1})", "torch.maximum({0}, {1})", "fmax({0}, {1})", "sympy.Max({0}, {1})"),
    "min": Calls("min({0}, {1})", "torch.minimum({0}, {1})", "fmin({0}, {1})", "sympy.Min({0}, {1})"),
    "relu": Calls("max({0}, 0.0)", "torch.relu({0})", "fmax({0}, 0.0)", "sympy.Max({0}, 0)"),
    "relu_grad": Calls(
        "float({0} > 0)",
        "({0} > 0).to({0}.dtype)",
        "(double)({0} > 0)",
        "sympy.Piecewise((1, {0} > 0), (0, True))",
    ),
    "sigmoid": Calls(
        "(0.5 * math.tanh(0.5 * {0}) + 0.5)",
        "torch.sigmoid({0})",
        "(0.5 * tanh(0.5 * {0}) + 0.5)",
        "1 / (1 + sympy.exp(-{0}))",
    ),
    "softplus": Calls(
        "(max({0}, 0.0) + math.log1p(math.exp(-abs({0}))))",
        "torch.nn.functional.softplus({0})",
        "(fmax({0}, 0.0) + log1p(exp(-fabs({0}))))",
        "sympy.log(1 + sympy.exp({0}))",
    ),
    "gelu": Calls(
        "(0.5 * {0} * math.erfc(-{0} * 0.7071067811865476))",
        "torch.nn.functional.gelu({0})",
        "(0.5 * {0} * erfc(-{0} * 0.7071067811865476))",
        "{0} * (1 + sympy.erf({0} / sympy.sqrt(2))) / 2",
    ),
    "silu": Calls(
        "({0} * (0.5 * math.tanh(0.5 * {0}) + 0.5))",
        "torch.nn.functional.silu({0})",
        "({0} * (0.5 * tanh(0.5 * {0}) + 0.5))",
        "{0} / (1 + sympy.exp(-{0}))",
    ),
    "pow": Calls("{0} ** {1}", "{0} ** {1}", "pow({0}, {1})", "{0} ** {1}"),
}


def _distinct(symbol: Symbol) -> list[Symbol]:
    """Every distinct part, arguments before what uses them; not recursive."""
    seen: set[Symbol] = set()
    order: list[Symbol] = []
    stack = [(symbol, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((argument, False) for argument in node.args if argument not in seen)
    return order


def cse(symbol: Symbol) -> tuple[list[tuple[str, Symbol]], Symbol]:
    """The parts that occur more than once, by name in the order of use, and the expression over those names.

    Example:
        >>> from hypatia_core import parse_expr
        >>> parts, rest = parse_expr("exp(x*y) + sin(x*y)").cse()
        >>> parts, rest
        ([('t0', Symbol('(mul x y)'))], Symbol('(add (exp t0) (sin t0))'))
    """
    uses: dict[Symbol, int] = {}
    order = _distinct(symbol)
    for node in order:
        for argument in node.args:
            uses[argument] = uses.get(argument, 0) + 1
    taken = symbol.free_symbols
    parts: list[tuple[str, Symbol]] = []
    rewritten: dict[Symbol, Symbol] = {}
    for node in order:
        new = node._with([rewritten[argument] for argument in node.args]) if node.args else node
        if node.args and uses.get(node, 0) > 1:
            name = next(
                name
                for index in range(len(parts), len(parts) + len(taken) + 1)
                if (name := f"t{index}") not in taken
            )
            parts.append((name, new))
            taken = taken | {name}
            new = Symbol.variable(name)
        rewritten[node] = new
    return parts, rewritten[symbol]


def _assignments(
    symbol: Symbol, language: str, names: dict[str, str], literal: Callable[[str], str] = str
) -> tuple[list[str], str]:
    """One assignment for each distinct part that is not a leaf, and the name of the last.

    `literal` writes an argument of a function: torch's take no plain numbers.
    """
    lines: list[str] = []
    known: dict[Symbol, str] = {}
    for node in _distinct(symbol):
        kind = node.func
        if kind == "variable":
            known[node] = names[str(node)]
            continue
        if kind in ("number", "float", "pi"):
            known[node] = _python_number(node)
            continue
        arguments = [known[argument] for argument in node.args]
        if kind in INFIX:
            text = f"{arguments[0]} {INFIX[kind]} {arguments[1]}"
        elif kind == "neg":
            text = f"-{arguments[0]}"
        elif kind in CALLS:
            call: str = getattr(CALLS[kind], language)
            text = call.format(*map(literal, arguments) if kind != "pow" else arguments)
        else:
            raise HypatiaError(f"'{kind}' acts on tensors and has no scalar code")
        known[node] = f"v{len(lines)}"
        lines.append(f"{known[node]} = {text}")
    return lines, known[symbol]


def _python_number(node: Symbol) -> str:
    import math

    value = math.pi if node.func == "pi" else node.value
    try:
        text = repr(float(value))  # type: ignore[arg-type]
    except OverflowError:
        raise HypatiaError(f"the number {str(value)[:40]}… is beyond the range of a double") from None
    return f"({text})" if text.startswith("-") else text


def _torch_literal(argument: str) -> str:
    """The argument of a torch function: a number becomes a tensor without dimensions."""
    is_name = argument[0] in "av"
    return argument if is_name else f"torch.tensor({argument}, dtype=torch.float64)"


def to_callable(
    symbol: Symbol, names: Iterable[str] | None = None, backend: str = "numpy"
) -> Callable[..., Any]:
    """A function of the variables `names` (sorted ones by default), elementwise, shared parts computed once.

    `numpy` runs the engine's own evaluator over arrays and gives NaN where it is undefined; `torch` is torch
    code under `torch.compile(backend="hypatia")`, compiled at the first call and differentiable; `math`
    takes floats.

    Raises:
        HypatiaError: the backend is unknown, a variable is missing in `names`, or a tensor operator occurs.

    Example:
        >>> from hypatia_core import parse_expr
        >>> f = parse_expr("x**2 + y").to_callable(["x", "y"], backend="math")
        >>> f(3.0, 1.0)
        10.0
    """
    if backend not in BACKENDS:
        raise HypatiaError(f"unknown backend '{backend}'. Backends: {', '.join(BACKENDS)}")
    order = sorted(symbol.free_symbols) if names is None else [str(name) for name in names]
    missing = sorted(symbol.free_symbols - set(order))
    if missing:
        raise HypatiaError(f"the variables {', '.join(missing)} are not among the arguments")
    if len(set(order)) != len(order):
        raise HypatiaError("an argument is named twice")
    if backend == "numpy":

        def over_arrays(*values: Any) -> Any:
            if len(values) != len(order):
                raise TypeError(f"expected {len(order)} arguments ({', '.join(order)}), found {len(values)}")
            return symbol.eval(dict(zip(order, values, strict=True)))

        return over_arrays
    arguments = {name: f"a{index}" for index, name in enumerate(order)}
    literal = _torch_literal if backend == "torch" else str
    lines, result = _assignments(symbol, backend, arguments, literal)
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def function({', '.join(arguments.values())}):\n{body}    return {result}\n"
    scope: dict[str, Any] = {}
    if backend == "torch":
        import torch

        scope = {"torch": torch}
    else:
        import math

        scope = {"math": math}
    exec(compile(source, f"<hypatia {backend}>", "exec"), scope)
    function: Callable[..., Any] = scope["function"]
    function.__doc__ = source
    if backend == "torch":
        compiled: Callable[..., Any] = torch.compile(function, backend="hypatia")
        return compiled
    return function


def to_c(symbol: Symbol, name: str = "f") -> str:
    """A C function of doubles, its arguments the variables in the order of their names.

    Raises:
        HypatiaError: `name` or a variable is no C identifier, or a tensor operator occurs.

    Example:
        >>> from hypatia_core import parse_expr
        >>> print(parse_expr("x**2 + 1").to_c("f"))
        #include <math.h>
        <BLANKLINE>
        double f(double x) {
            double v0 = pow(x, 2.0);
            double v1 = v0 + 1.0;
            return v1;
        }
        <BLANKLINE>
    """
    variables = sorted(symbol.free_symbols)
    for word in (name, *variables):
        if not (word.isidentifier() and word.isascii()):
            raise HypatiaError(f"'{word}' is no identifier in C")
    lines, result = _assignments(symbol, "c", {variable: variable for variable in variables})
    body = "".join(f"    double {line};\n" for line in lines)
    arguments = ", ".join(f"double {variable}" for variable in variables) or "void"
    return f"#include <math.h>\n\ndouble {name}({arguments}) {{\n{body}    return {result};\n}}\n"
