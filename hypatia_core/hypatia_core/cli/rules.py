"""`hypatia rules`: the catalogue of rewrites."""

from __future__ import annotations

import argparse
import difflib
from typing import Any

from hypatia_core import notation
from hypatia_core._hypatia_core import rules
from hypatia_core.cli.console import DONE, FAILED, Console, add_json

EXAMPLES = """\
examples:
  hypatia rules                            every rule, by family
  hypatia rules matmul-associates          one rule: both sides, conditions, why it holds
  hypatia rules --search transpose         rules whose name, text or reason has the word
  hypatia rules --family matmul --json
"""


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "rules",
        help="the catalogue of rewrites, searchable",
        description="Shows the rules by which tensor programs are rewritten.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="one rule, in full")
    parser.add_argument("--search", metavar="WORD", help="only rules that have the word")
    parser.add_argument("--family", metavar="FAMILY", choices=sorted({r["family"] for r in rules()}))
    add_json(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace, console: Console) -> int:
    """Prints one rule, or those that were asked for."""
    known = rules()
    if chosen.name is not None:
        return _one(chosen.name, known, console)
    found = [rule for rule in known if _wanted(rule, chosen)]
    lines: list[str] = []
    family = None
    for rule in found:
        if rule["family"] != family:
            family = rule["family"]
            lines.append(console.bold(str(family)))
        lines.append(f"  {rule['name']:<42} {_sides(rule)}")
    lines.append(console.dim(f"{len(found)} of {len(known)} rules"))
    console.result(found, "\n".join(lines))
    return DONE if found else FAILED


def _wanted(rule: dict[str, Any], chosen: argparse.Namespace) -> bool:
    if chosen.family is not None and rule["family"] != chosen.family:
        return False
    text = f"{rule['name']} {rule['left']} {rule['right']} {rule['why']}".lower()
    return chosen.search is None or chosen.search.lower() in text


def _sides(rule: dict[str, Any]) -> str:
    left, right = (notation.write(notation.pattern(rule[side])).text for side in ("left", "right"))
    return f"{left}  {'=' if rule['both_ways'] else '→'}  {right}"


def _one(name: str, known: list[dict[str, Any]], console: Console) -> int:
    rule = next((rule for rule in known if rule["name"] == name), None)
    if rule is None:
        near = difflib.get_close_matches(name, [rule["name"] for rule in known], n=3, cutoff=0.4)
        console.say(
            f"hypatia rules: no rule is called {name!r}" + (f"; near: {', '.join(near)}" if near else "")
        )
        return FAILED
    lines = [
        console.bold(rule["name"]),
        f"  {_sides(rule)}",
        f"  {rule['left']} {'⇔' if rule['both_ways'] else '⇒'} {rule['right']}",
        f"  why         {rule['why']}",
        f'  soundness   {rule["soundness"]}, admitted by numerics="{rule["numerics"]}" and above',
    ]
    lines += [f"  if          {text}: {meaning}" for text, meaning in rule["conditions"]]
    lines += [f"  family      {rule['family']}", f"  example     {rule['example']}"]
    console.result(rule, "\n".join(lines))
    return DONE
