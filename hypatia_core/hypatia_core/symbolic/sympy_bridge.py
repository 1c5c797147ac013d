"""To and from SymPy's expressions."""

import functools
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypatia_core._hypatia_core import HypatiaError, Symbol
from hypatia_core.symbolic.callables import CALLS, INFIX, _distinct


def to_sympy(symbol: Symbol) -> Any:
    """The expression as SymPy has it, unevaluated rewriting left to SymPy; assumptions go along.

    Raises:
        HypatiaError: a tensor operator occurs.

    Example:
        >>> from hypatia_core import parse_expr
        >>> import sympy
        >>> sympy.sympify(parse_expr("x**2 + 1/2"))
        x**2 + 1/2
    """
    import sympy

    signs = symbol.assumptions
    known: dict[Symbol, Any] = {}
    for node in _distinct(symbol):
        match node.func:
            case "variable":
                name = str(node)
                assumed = {"real": True, signs[name]: True} if name in signs else {"real": True}
                known[node] = sympy.Symbol(name, **assumed)
            case "number":
                known[node] = sympy.Rational(str(node))
            case "float":
                known[node] = sympy.Float(node.value)
            case "pi":
                known[node] = sympy.pi
            case _:
                known[node] = _meaning(node.func)(*(known[argument] for argument in node.args))
    return known[symbol]


@functools.cache
def _meaning(kind: str) -> Callable[..., Any]:
    """What makes SymPy's expression of this operator or function from those of its arguments."""
    import sympy

    if kind in INFIX:
        text = f"a {INFIX[kind]} b"
    elif kind == "neg":
        text = "-a"
    elif kind in CALLS:
        text = CALLS[kind].sympy.format("a", "b")
    else:
        raise HypatiaError(f"'{kind}' acts on tensors and is unknown to SymPy")
    meaning: Callable[..., Any] = eval(f"lambda a, b=None: {text}", {"sympy": sympy})
    return meaning


def from_sympy(expression: Any) -> Symbol:
    """The Symbol of a SymPy expression; the signs its symbols are assumed to have come along.

    Raises:
        HypatiaError: something in it has no counterpart over the reals.

    Example:
        >>> import sympy
        >>> from hypatia_core import Symbol
        >>> x = sympy.Symbol("x", positive=True)
        >>> Symbol.from_sympy(sympy.sqrt(x) / 2)
        Symbol('(mul 1/2 (sqrt x))')
    """
    import sympy

    known: dict[Any, Symbol] = {}
    for node in sympy.postorder_traversal(sympy.sympify(expression)):
        if node not in known:
            known[node] = _node(sympy, node, known)
    return known[sympy.sympify(expression)]


_SIGNS = ("positive", "negative", "nonnegative", "nonpositive", "nonzero")
#: SymPy's classes that have a function of the same meaning, by the table of calls.
_FUNCTIONS = {
    call.sympy.removeprefix("sympy.").removesuffix("({0})"): name
    for name, call in CALLS.items()
    if call.sympy.endswith("({0})") and call.sympy.count("{0}") == 1 and call.sympy.startswith("sympy.")
}
_COMPOSED: dict[str, Callable[[Symbol], Symbol]] = {
    "ceiling": lambda u: -Symbol.floor(-u),
    "cot": lambda u: Symbol.cos(u) / Symbol.sin(u),
    "sec": lambda u: 1 / Symbol.cos(u),
    "csc": lambda u: 1 / Symbol.sin(u),
    "coth": lambda u: Symbol.cosh(u) / Symbol.sinh(u),
    "sech": lambda u: 1 / Symbol.cosh(u),
    "csch": lambda u: 1 / Symbol.sinh(u),
    "erfc": lambda u: 1 - Symbol.erf(u),
}


def _node(sympy: Any, node: Any, known: dict[Any, Symbol]) -> Symbol:
    """The Symbol of one node whose arguments are known."""
    arguments = [known[argument] for argument in node.args if argument in known]
    if node.is_Symbol:
        sign = next((sign for sign in _SIGNS if getattr(node, f"is_{sign}")), None)
        return Symbol.variable(node.name, **({sign: True} if sign else {}))
    if node.is_Rational:
        return Symbol.const(Fraction(int(node.p), int(node.q)))
    if node.is_Float:
        return Symbol.const(float(node))
    if node is sympy.pi:
        return Symbol.pi()
    if node is sympy.E:
        return Symbol.exp(1)
    name = type(node).__name__
    if node.is_Add or node.is_Mul or name in ("Max", "Min"):
        combine: Callable[[Symbol, Symbol], Symbol] = {
            "Add": operator.add,
            "Mul": operator.mul,
            "Max": Symbol.max,
            "Min": Symbol.min,
        }[name]
        total = arguments[0]
        for argument in arguments[1:]:
            total = combine(total, argument)
        return total
    if node.is_Pow:
        if node.exp == sympy.Rational(1, 2):
            return Symbol.sqrt(arguments[0])
        if node.base is sympy.E:
            return Symbol.exp(arguments[1])
        return arguments[0] ** arguments[1]
    if name in _FUNCTIONS and len(arguments) == 1:
        made: Symbol = getattr(Symbol, _FUNCTIONS[name])(arguments[0])
        return made
    if name in _COMPOSED and len(arguments) == 1:
        return _COMPOSED[name](arguments[0])
    raise HypatiaError(f"'{node}' ({name}) has no counterpart over the reals")
