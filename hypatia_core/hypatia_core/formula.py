"""The formulas that a function or a model computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat, notation
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.base import Runnable
from hypatia_core.explanation import input_names
from hypatia_core.fx_import import Imported, Reader
from hypatia_core.options import Options
from hypatia_core.report import GraphReport, brief
from hypatia_core.search import search
from hypatia_core.sizes import Unsupported

#: A value used once is written where it is used, up to so many operations in one line.
OPERATIONS_A_LINE = 12


@dataclass(frozen=True)
class Formulas:
    """Equations in the order in which they are computed; the last ones give the results.

    `str` and `latex` give LaTeX, `text` plain text, `mathml` MathML; a notebook shows them set.
    """

    equations: tuple[tuple[notation.Piece, notation.Piece], ...]

    @property
    def latex(self) -> str:
        """One `aligned` block."""
        lines = (f"{left.latex} &= {right.latex}" for left, right in self.equations)
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    @property
    def text(self) -> str:
        """One equation a line."""
        return "\n".join(f"{left.text} = {right.text}" for left, right in self.equations)

    @property
    def mathml(self) -> str:
        """One `math` element."""
        rows = (
            f"<mtr><mtd>{left.mathml}</mtd><mtd><mo>=</mo></mtd><mtd>{right.mathml}</mtd></mtr>"
            for left, right in self.equations
        )
        return (
            f'<math display="block"><mtable columnalign="right center left">{"".join(rows)}</mtable></math>'
        )

    def __str__(self) -> str:
        return self.latex

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"


@dataclass(frozen=True)
class _Captured:
    """A graph as the engine reads it, and what the model calls its inputs."""

    imported: Imported
    names: list[str]


def _capture(fn: Callable[..., Any], example_inputs: Sequence[Any]) -> _Captured:
    """The graph that the backend would be given for a call."""
    captured: list[_Captured] = []

    def backend(gm: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        def read(graph: GraphModule, _: Sequence[Any]) -> Runnable:
            imported = Reader(compat.static_inputs()).read(graph.graph)
            known = input_names(gm, graph.graph)
            placeholders = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
            captured.append(_Captured(imported, [known.get(name, name) for name in placeholders]))
            return compat.boxed_forward(graph)

        run: Callable[..., Any] = compat.aot_autograd(
            fw_compiler=read, bw_compiler=read, inference_compiler=read
        )(gm, inputs)
        return run

    # Copies, since one tensor given twice would be one input.
    inputs = [x.clone() if isinstance(x, torch.Tensor) else x for x in example_inputs]
    with torch.no_grad():
        torch.compile(fn, backend=backend, fullgraph=True, dynamic=False)(*inputs)
    if not captured:
        raise Unsupported("it computes nothing on tensors")
    return captured[0]


def formula(
    fn: Callable[..., Any], example_inputs: Sequence[Any], *, optimized: bool = False, **options: Any
) -> Formulas:
    r"""The formulas that a function or a module computes, as LaTeX.

    Args:
        fn: a module, or a function of tensors.
        example_inputs: the arguments of a call, in order, which is made once; their shapes are what the
            formulas are for.
        optimized: the program that the search finds in place of the one that was written.
        options: names and values of :class:`hypatia_core.Options`, for the search.

    Returns:
        The equations; printing them gives LaTeX. ⊙ multiplies element by element, two factors side by side
        are a matrix product, and what the engine does not look into is a function by ATen's name.

    Raises:
        HypatiaError: the function cannot be captured, or an option is unknown; the message says why.

    >>> import torch, hypatia_core
    >>> A, B, v = torch.ones(8, 8), torch.ones(8, 8), torch.ones(8, 1)
    >>> print(hypatia_core.formula(lambda A, B, v: (A @ B) @ v, (A, B, v)))
    \begin{aligned}
    y &= \left(A \, B\right) \, v
    \end{aligned}
    >>> hypatia_core.formula(lambda A, B, v: (A @ B) @ v, (A, B, v), optimized=True).text
    'y = A (B v)'
    """
    chosen = Options.from_user(None, options)
    try:
        captured = _capture(fn, example_inputs)
    except Exception as error:
        raise HypatiaError(f"formula() cannot capture {_title(fn)}: {brief(error)}") from error
    imported = captured.imported
    wire: Mapping[str, Any] = imported.wire
    if optimized:
        found = search(imported, chosen, GraphReport("inference", 0, 0))
        wire = wire if found.text is None else json.loads(found.text)
    outputs = [wire["outputs"][value] for kind, value in imported.returns if kind == "tensor"]
    return Formulas(tuple(_equations(wire, captured.names, outputs)))


def _title(fn: Any) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__qualname__))


def _equations(
    wire: Mapping[str, Any], names: Sequence[str], outputs: Sequence[int]
) -> list[tuple[notation.Piece, notation.Piece]]:
    uses = [0] * len(wire["nodes"])
    needed = set(outputs)
    for place in range(len(wire["nodes"]) - 1, -1, -1):
        if place in needed:
            needed.update(wire["nodes"][place].get("operands", []))
            for operand in wire["nodes"][place].get("operands", []):
                uses[operand] += 1
    formulas: dict[int, notation.Formula] = {}
    sizes: dict[int, int] = {}
    equations: list[tuple[notation.Piece, notation.Piece]] = []
    count = 0
    for place, node in enumerate(wire["nodes"]):
        if place not in needed:
            continue
        operands, attributes = node.get("operands", []), node.get("attributes", [])
        if node["op"] == "input":
            formulas[place], sizes[place] = {"name": names[attributes[0]["int"]]}, 0
            continue
        written = _simplified(node["op"], [formulas[o] for o in operands], attributes)
        size = 1 + sum(sizes[o] for o in operands)
        is_short = node["op"] in ("const", "permute", "item")
        if place not in outputs and (is_short or (uses[place] == 1 and size < OPERATIONS_A_LINE)):
            formulas[place], sizes[place] = written, size
            continue
        if place in outputs:
            title = "y" if len(outputs) == 1 else f"y_{outputs.index(place) + 1}"
        else:
            count += 1
            title = f"t_{count}"
        equations.append((notation.name(title), notation.write(written)))
        formulas[place], sizes[place] = {"name": title}, 0
    for number, place in enumerate(outputs):
        if wire["nodes"][place]["op"] == "input":  # an input that is returned as it is
            title = "y" if len(outputs) == 1 else f"y_{number + 1}"
            equations.append((notation.name(title), notation.write(formulas[place])))
    return equations


_REDUCTIONS = ("sum", "mean", "amax")


def _simplified(op: str, operands: list[notation.Formula], attributes: list[Any]) -> notation.Formula:
    """One operation over formulas, as a person would write it."""
    if op == "reshape" and operands[0].get("op") in _REDUCTIONS:  # only drops the axes of one that it leaves
        return operands[0]
    if op != "addmm":
        return {"op": op, "operands": operands, "attributes": attributes}
    product = {"op": "matmul", "operands": operands[1:], "attributes": []}
    return {"op": "add", "operands": [product, operands[0]], "attributes": []}
