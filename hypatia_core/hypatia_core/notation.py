"""Formulas of tensor programs in mathematical notation: as LaTeX, as MathML and as plain text.

A formula is plain data: `{"name": "x"}`, `{"number": 2.0}` or
`{"op": "matmul", "operands": [...], "attributes": [...]}`, as the engine's steps have it. One row of `ROWS`
says how an operation is written; one without a row is written as a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypatia_core._hypatia_core import operations

Formula = dict[str, Any]

#: What would be markup in MathML.
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

# How tightly a piece binds.
SUM, PRODUCT, PREFIX, POWER, ATOM = range(5)


@dataclass(frozen=True)
class Piece:
    """A part of a formula in all three notations, and how tightly its parts are bound."""

    latex: str
    mathml: str
    text: str
    binds: int = ATOM

    def at_least(self, level: int) -> Piece:
        """The same, in brackets where it binds less tightly."""
        return self if self.binds >= level else bracketed(self)


def bracketed(piece: Piece, left: str = "(", right: str = ")") -> Piece:
    """A piece in brackets."""
    latex = {"|": ("\\lvert ", "\\rvert "), "⌊": ("\\lfloor ", "\\rfloor ")}.get(left, (left, right))
    return Piece(
        f"\\left{latex[0]}{piece.latex}\\right{latex[1]}",
        f'<mrow><mo stretchy="true">{left}</mo>{piece.mathml}<mo stretchy="true">{right}</mo></mrow>',
        f"{left}{piece.text}{right}",
    )


def joined(pieces: Sequence[Piece], latex: str, mathml: str, text: str, binds: int) -> Piece:
    """Pieces with a sign between them."""
    return Piece(
        latex.join(p.latex for p in pieces),
        "<mrow>" + mathml.join(p.mathml for p in pieces) + "</mrow>",
        text.join(p.text for p in pieces),
        binds,
    )


def name(text: str) -> Piece:
    """A variable; what follows the first letters goes into the index."""
    short = ".".join(text.split(".")[-2:])
    if match := re.fullmatch(r"([^\W\d_]+)_?(\d+)", short):
        letters, index = match.groups()
        style = letters if len(letters) == 1 else f"\\mathit{{{letters}}}"
        return Piece(
            f"{style}_{{{index}}}", f"<msub><mi>{letters}</mi><mn>{index}</mn></msub>", f"{letters}{index}"
        )
    if len(short) == 1:
        return Piece(short, f"<mi>{short.translate(_MARKUP)}</mi>", short)
    return Piece(f"\\mathit{{{_escaped(short)}}}", f"<mi>{short.translate(_MARKUP)}</mi>", short)


def number(value: float) -> Piece:
    """A constant."""
    whole = abs(value) < 1e15 and value == int(value)
    text = str(int(value)) if whole else f"{value:.6g}"
    text = {"inf": "∞", "-inf": "-∞"}.get(text, text)
    latex = text.replace("∞", "\\infty")
    if "e" in text:
        mantissa, exponent = text.split("e")
        latex = f"{mantissa}\\cdot 10^{{{int(exponent)}}}"
        mathml = f"<mrow><mn>{mantissa}</mn><mo>⋅</mo><msup><mn>10</mn><mn>{int(exponent)}</mn></msup></mrow>"
        return Piece(latex, mathml, text, PRODUCT)
    return Piece(latex, f"<mn>{text}</mn>", text, PREFIX if text.startswith("-") else ATOM)


def function(title: str, arguments: Sequence[Piece], index: Piece | None = None) -> Piece:
    """A function by its name, its static arguments in the index."""
    inside = joined(arguments, ",\\, ", "<mo>,</mo>", ", ", ATOM)
    head = Piece(f"\\operatorname{{{_escaped(title)}}}", f"<mi mathvariant='normal'>{title}</mi>", title)
    if index is not None:
        head = Piece(
            f"{head.latex}_{{{index.latex}}}",
            f"<msub>{head.mathml}{index.mathml}</msub>",
            f"{title}[{index.text}]",
        )
    brackets = bracketed(inside)
    apply = "<mo>&#x2061;</mo>"
    return Piece(
        head.latex + brackets.latex,
        f"<mrow>{head.mathml}{apply}{brackets.mathml}</mrow>",
        head.text + brackets.text,
    )


def _escaped(text: str) -> str:
    return re.sub(r"([_#%&$])", r"\\\1", text)


def _attribute(value: Any) -> Any:
    """An attribute's plain value: the engine writes it with its kind."""
    if isinstance(value, dict) and len(value) == 1 and not {"name", "number"} & set(value):
        ((_, inner),) = value.items()
        return inner
    return value


def _index(attributes: Sequence[Any]) -> Piece | None:
    shown = []
    for attribute in attributes:
        value = _attribute(attribute)
        if isinstance(value, dict) and "name" in value:
            shown.append(name(value["name"]))
        elif isinstance(value, bool):
            continue
        elif isinstance(value, list):
            sizes = [f"{d['hint']}" if isinstance(d, dict) else str(d) for d in value]
            kind = next(iter(attribute)) if isinstance(attribute, dict) else ""
            times = "shape" in kind
            shown.append(
                Piece(
                    (" \\times " if times else ",").join(sizes),
                    f"<mtext>{('×' if times else ',').join(sizes)}</mtext>",
                    ("×" if times else ",").join(sizes),
                )
            )
        else:
            text = str(value).translate(_MARKUP)
            shown.append(Piece(f"\\mathrm{{{_escaped(str(value))}}}", f"<mtext>{text}</mtext>", str(value)))
    return joined(shown, ",", "<mo>,</mo>", ",", ATOM) if shown else None


Row = Callable[[list[Piece], list[Any]], Piece]


def _infix(latex: str, mathml: str, text: str, binds: int) -> Row:
    """A sign between operands; one of the same kind inside is bracketed: the grouping is the point."""
    return lambda parts, _: joined(
        [p.at_least(binds + 1) for p in parts], latex, f"<mo>{mathml}</mo>", text, binds
    )


def _difference(parts: list[Piece], _: list[Any]) -> Piece:
    return joined([parts[0].at_least(SUM), parts[1].at_least(PRODUCT)], " - ", "<mo>−</mo>", " - ", SUM)


def _negated(parts: list[Piece], _: list[Any]) -> Piece:
    inner = parts[0].at_least(PRODUCT)
    return Piece(f"-{inner.latex}", f"<mrow><mo>−</mo>{inner.mathml}</mrow>", f"-{inner.text}", PREFIX)


def _quotient(parts: list[Piece], _: list[Any]) -> Piece:
    above, below = parts
    text = f"{above.at_least(PRODUCT).text} / {below.at_least(POWER).text}"
    return Piece(
        f"\\frac{{{above.latex}}}{{{below.latex}}}",
        f"<mfrac><mrow>{above.mathml}</mrow><mrow>{below.mathml}</mrow></mfrac>",
        text,
        PRODUCT,
    )


def _power(base: Piece, exponent: Piece) -> Piece:
    inner = base.at_least(ATOM)
    text = f"{inner.text}^{exponent.at_least(ATOM).text}"
    return Piece(
        f"{{{inner.latex}}}^{{{exponent.latex}}}",
        f"<msup>{inner.mathml}<mrow>{exponent.mathml}</mrow></msup>",
        text,
        POWER,
    )


_T = Piece("\\mathsf{T}", "<mi mathvariant='normal'>T</mi>", "T")


def _permuted(parts: list[Piece], attributes: list[Any]) -> Piece:
    axes = _attribute(attributes[0]) if attributes else None
    if (
        isinstance(axes, list)
        and len(axes) >= 2
        and axes == [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]
    ):
        transposed = _power(parts[0], _T)
        return Piece(transposed.latex, transposed.mathml, f"{parts[0].at_least(ATOM).text}ᵀ", POWER)
    return function("permute", parts, _index(attributes))


def _inverted(parts: list[Piece], _: list[Any]) -> Piece:
    inverse = _power(parts[0], Piece("-1", "<mn>-1</mn>", "-1"))
    return Piece(inverse.latex, inverse.mathml, f"{parts[0].at_least(ATOM).text}⁻¹", POWER)


def _root(parts: list[Piece], _: list[Any]) -> Piece:
    inner = parts[0]
    return Piece(
        f"\\sqrt{{{inner.latex}}}", f"<msqrt>{inner.mathml}</msqrt>", f"√{inner.at_least(ATOM).text}"
    )


def _exponential(parts: list[Piece], _: list[Any]) -> Piece:
    base = Piece("e", "<mi>e</mi>", "e")
    return _power(base, parts[0])


def _raised(parts: list[Piece], attributes: list[Any]) -> Piece:
    value = _attribute(attributes[0])
    try:
        exponent = number(float(value))
    except (TypeError, ValueError):
        exponent = _index(attributes) or number(1)
    return _power(parts[0], exponent)


def _over(title: str, sign: str | None = None) -> Row:
    """A reduction, its axes below its sign; whether they stay as axes of one is left out."""

    def write(parts: list[Piece], attributes: list[Any]) -> Piece:
        index = _index(attributes[:1])
        if sign is None or index is None:
            return function(title, parts, index)
        inner = parts[0].at_least(PRODUCT)
        return Piece(
            f"\\sum_{{{index.latex}}} {inner.latex}",
            f"<mrow><munder><mo>{sign}</mo>{index.mathml}</munder>{inner.mathml}</mrow>",
            f"{sign}[{index.text}] {inner.text}",
            PREFIX,
        )

    return write


def _reciprocal(parts: list[Piece], attributes: list[Any]) -> Piece:
    return _quotient([number(1), parts[0]], attributes)


def _constant(_: list[Piece], attributes: list[Any]) -> Piece:
    return number(float(_attribute(attributes[0])))


def _sliced(parts: list[Piece], attributes: list[Any]) -> Piece:
    inner, index = parts[0].at_least(ATOM), _index(attributes)
    if index is None:
        return inner
    return Piece(
        f"{inner.latex}\\left[{index.latex}\\right]",
        f"<mrow>{inner.mathml}<mo>[</mo>{index.mathml}<mo>]</mo></mrow>",
        f"{inner.text}[{index.text}]",
    )


def _opaque(parts: list[Piece], attributes: list[Any]) -> Piece:
    """An operation that the engine does not look into: by the first word of its key, which is ATen's."""
    key = str(_attribute(attributes[0])) if attributes else "?"
    match = re.match(r"(?:\w+\.)?(\w+)", key)
    return function(match.group(1) if match else "?", parts)


#: How each operation is written.
ROWS: dict[str, Row] = {
    "add": _infix(" + ", "+", " + ", SUM),
    "sub": _difference,
    "mul": _infix(" \\odot ", "⊙", " ⊙ ", PRODUCT),
    "div": _quotient,
    "matmul": _infix(" \\, ", "&#x2062;", " ", PRODUCT),
    "neg": _negated,
    "abs": lambda parts, _: bracketed(parts[0], "|", "|"),
    "reciprocal": _reciprocal,
    "sqrt": _root,
    "rsqrt": lambda parts, a: _reciprocal([_root(parts, a)], a),
    "exp": _exponential,
    "pow_scalar": _raised,
    "permute": _permuted,
    # What is inverted or factored stands for the matrix itself.
    "inverting": lambda parts, _: parts[0],
    "factored": lambda parts, _: parts[0],
    "inverse": _inverted,
    "sum": _over("sum", "∑"),
    "mean": _over("mean"),
    "amax": _over("max"),
    "logsumexp": _over("logsumexp"),
    "variance": _over("var"),
    "maximum": lambda parts, _: function("max", parts),
    "minimum": lambda parts, _: function("min", parts),
    "diagonal": lambda parts, _: function("diag", parts),
    "slice": _sliced,
    "cast": lambda parts, a: function("as", parts, _index(a)),
    "gelu": lambda parts, _: function("gelu", parts),
    "const": _constant,
    "item": _sliced,
    "opaque": _opaque,
}


def write(formula: Formula) -> Piece:
    """A formula in all three notations.

    >>> product = {"op": "matmul", "operands": [{"name": "A"}, {"name": "v"}], "attributes": []}
    >>> write({"op": "add", "operands": [product, {"name": "b"}], "attributes": []}).text
    'A v + b'
    """
    if "name" in formula:
        return name(formula["name"])
    if "number" in formula:
        return number(formula["number"])
    if "op" not in formula:
        return Piece("\\ldots", "<mo>…</mo>", "…")
    parts = [write(operand) for operand in formula["operands"]]
    row = ROWS.get(formula["op"])
    if row is not None:
        return row(parts, formula["attributes"])
    return function(formula["op"], parts, _index(formula["attributes"]))


#: How many of an operation's arguments in a pattern are static.
ATTRIBUTES = dict(operations())


def pattern(text: str) -> Formula:
    """A rule's side as a formula; its variables are names.

    >>> write(pattern("(matmul (add ?a ?b) ?c)")).text
    '(a + b) c'
    """
    tokens = re.findall(r"[(){}]|[^\s(){}]+", text)
    formula, _ = _parse(tokens, 0)
    return formula


def _parse(tokens: list[str], at: int) -> tuple[Formula, int]:
    token = tokens[at]
    if token not in "({":
        if token.startswith("?"):
            return {"name": token[1:]}, at + 1
        try:
            return {"number": float(token)}, at + 1
        except ValueError:
            return {"name": token.removeprefix("int:")}, at + 1
    op, at = tokens[at + 1], at + 2
    arguments: list[Formula] = []
    while tokens[at] not in ")}":
        argument, at = _parse(tokens, at)
        arguments.append(argument)
    if token == "{":  # an attribute that is computed
        shown = ", ".join(write(argument).text for argument in arguments)
        return {"name": f"{op}({shown})"}, at + 1
    tensors = max(len(arguments) - ATTRIBUTES.get(op, 0), 0)
    return {"op": op, "operands": arguments[:tensors], "attributes": arguments[tensors:]}, at + 1
