"""`hypatia optimize` and `hypatia prove`: the symbolic algebra."""

from __future__ import annotations

import argparse
from typing import Any

from hypatia_core._hypatia_core import optimize_ast, parse_expr, prove_equivalent
from hypatia_core.cli.console import DONE, FAILED, UNKNOWN, USAGE, Console, add_json

OPTIMIZE_EXAMPLES = """\
examples:
  hypatia optimize "2*x + 3*x"
  hypatia optimize "(add (mul 2 x) (mul 3 x))" --latex
"""
PROVE_EXAMPLES = """\
examples:
  hypatia prove "(x + 1)^2" "x^2 + 2*x + 1"
  hypatia prove "sqrt(x^2)" "x"                      refuted, with a witness; exit code 1
  hypatia prove "sqrt(x^2)" "x" --assume x=positive

exit codes: 0 proved, 1 refuted, 3 not known
"""
#: The exit code of an answer.
CODES = {"proved": DONE, "refuted": FAILED}


def add(commands: Any) -> None:
    """The commands' arguments."""
    shaped = argparse.RawDescriptionHelpFormatter
    optimize = commands.add_parser(
        "optimize",
        help="rewrite an expression to one that costs less",
        description="Rewrites an expression, infix or S-expression, to a cheaper one of the same meaning.",
        epilog=OPTIMIZE_EXAMPLES,
        formatter_class=shaped,
    )
    optimize.add_argument("expression", metavar="EXPR")
    optimize.add_argument("--latex", action="store_true", help="print LaTeX")
    add_json(optimize)
    optimize.set_defaults(run=run_optimize)
    prove = commands.add_parser(
        "prove",
        help="prove or refute that two expressions are equal",
        description="Proves or refutes that two expressions are equal over the reals where both are defined.",
        epilog=PROVE_EXAMPLES,
        formatter_class=shaped,
    )
    prove.add_argument("left", metavar="A")
    prove.add_argument("right", metavar="B")
    prove.add_argument(
        "--assume",
        metavar="NAME=FACT",
        action="append",
        default=[],
        help="what is known of a variable: positive, negative, nonnegative, nonpositive, nonzero, real",
    )
    add_json(prove)
    prove.set_defaults(run=run_prove)


def run_optimize(chosen: argparse.Namespace, console: Console) -> int:
    """Prints the cheaper form."""
    before = parse_expr(chosen.expression)
    after = parse_expr(optimize_ast(chosen.expression))
    text = after.latex() if chosen.latex else after.infix()
    data = {
        "expression": str(before),
        "result": str(after),
        "infix": after.infix(),
        "latex": after.latex(),
        "size": [before.size, after.size],
    }
    console.result(data, text)
    return DONE


def run_prove(chosen: argparse.Namespace, console: Console) -> int:
    """Prints the answer with its steps or its witness."""
    assumptions = {}
    for assumption in chosen.assume:
        name, found, fact = assumption.partition("=")
        if not found:
            console.say(f"hypatia prove: --assume {assumption!r}: NAME=FACT is accepted, e.g. x=positive")
            return USAGE
        assumptions[name.strip()] = fact.strip()
    answer = prove_equivalent(chosen.left, chosen.right, assumptions or None)
    lines = [f"{console.bold(answer.status)}: {chosen.left} = {chosen.right}"]
    for rule, before, after, note in answer.steps:
        lines.append(f"  {rule}: {before} = {after}" + (f", {note}" if note else ""))
    if answer.conditions:
        lines.append(f"  where {', '.join(answer.conditions)}")
    if answer.witness is not None:
        at = ", ".join(f"{name} = {value}" for name, value in answer.witness.items())
        values = "" if answer.values is None else f": {answer.values[0]:g} and {answer.values[1]:g}"
        lines.append(f"  at {at}{values}")
    if answer.reason:
        lines.append(f"  {answer.reason}")
    data = {
        "status": answer.status,
        "steps": [
            {"rule": rule, "before": str(before), "after": str(after), "note": note}
            for rule, before, after, note in answer.steps
        ],
        "conditions": list(answer.conditions),
        "witness": {name: str(value) for name, value in (answer.witness or {}).items()},
        "values": answer.values,
        "reason": answer.reason,
    }
    console.result(data, "\n".join(lines))
    return CODES.get(answer.status, UNKNOWN)
