"""What the pipeline did to one graph, as its report's data: both programs, and the steps between them."""

from __future__ import annotations

import functools
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat, notation
from hypatia_core._hypatia_core import rules
from hypatia_core.fx_import import Imported
from hypatia_core.log import logger
from hypatia_core.node_times import node_seconds
from hypatia_core.program import Correspondence, Costs, Program, correspondence, describe, source_of
from hypatia_core.report import Explanation, GraphReport, Step, brief
from hypatia_core.search import Found

#: Runs of each program when its nodes are measured; the least time of each node counts.
PROFILE_RUNS = 3


def input_names(dynamo_graph: GraphModule, captured: fx.Graph) -> dict[str, str]:
    """What the model calls the inputs of a captured graph, by placeholder name."""
    given = compat.input_names(dynamo_graph)
    placeholders = [n.name for n in dynamo_graph.graph.nodes if n.op == "placeholder"]
    names = {}
    for node in captured.nodes:
        if node.op == "placeholder":
            number = compat.original_input(node)
            if number is not None and number < len(given):
                names[node.name] = readable(given[number] or placeholders[number])
            elif isinstance(target := getattr(node.meta.get("desc"), "target", None), str):
                names[node.name] = target
    return names


def readable(source: str) -> str:
    """Dynamo's name of an input as the model has it.

    >>> readable("L['self']._modules['encoder']._modules['0']._parameters['weight']")
    'encoder.0.weight'
    """
    text = re.sub(r"\._(?:modules|parameters|buffers)\['(\w+)'\]", r".\1", source)
    text = re.sub(r"^L\['self'\]\.|^G\['(\w+)'\]", r"\1", text)
    return re.sub(r"L\['(\w+)'\]", r"\1", text).removeprefix("self.")


def explain_later(
    report: GraphReport,
    graph: fx.Graph,
    names: Mapping[str, str],
    weights: frozenset[int],
    imported: Imported | None = None,
    found: Found | None = None,
    rewritten: fx.Graph | None = None,
    places: Sequence[Any] = (),
) -> None:
    """Has `before`, `after` and `steps` of a report worked out when read, as far as the pipeline came.

    Until then both graphs are kept, with their fake values, and no weights. A fault costs the report only.

    Args:
        report: told how.
        graph: the graph as captured; not changed any more.
        names: what the model calls the inputs, by placeholder.
        weights: the positions of those that are parameters or buffers.
        imported, found, rewritten, places: what the stages after it made, as far as they came.
    """
    if found is not None:
        report.machine = found.account["machine"]
    if imported is not None:
        imported = replace(imported, assumed={}, structures={})

    def work() -> Explanation:
        try:
            return explanation(graph, names, weights, imported, found, rewritten, places)
        except Exception as error:
            report.refusals.append(f"the report is without its graphs: {brief(error)}")
            logger.debug("%s", "".join(traceback.format_exception(error)))
            return Explanation()

    report.explain_by(work)


def explanation(
    graph: fx.Graph,
    names: Mapping[str, str],
    weights: frozenset[int],
    imported: Imported | None,
    found: Found | None,
    rewritten: fx.Graph | None,
    places: Sequence[Any],
) -> Explanation:
    """Both programs and the steps between them; the arguments are those of `explain_later`."""
    if imported is None or found is None:
        return Explanation(describe(graph, names, weights, Costs({}), "removed")[0])
    before_seconds = found.account["node_seconds_before"]
    seconds = {node: s for p, node in imported.nodes.items() if (s := before_seconds[p]) is not None}
    if rewritten is None or found.text is None:
        return Explanation(describe(graph, names, weights, Costs(seconds), "removed")[0])
    result = json.loads(found.text)
    shared = correspondence(imported.wire, result, found.account["values"])
    gone = {node for place, node in imported.nodes.items() if place not in shared.kept_before}
    # An operation with several results is as its results are.
    gone -= {node for node in gone if _has_several(node) and not all(user in gone for user in node.users)}
    kept = frozenset(node for node in graph.nodes if node not in gone)
    before, order = describe(graph, names, weights, Costs(seconds, kept), "removed")
    after = _result(imported, found, rewritten, places, names, weights, shared, result)
    return Explanation(
        before, after, [_step(step, imported, before, order) for step in found.account["steps"]]
    )


def _has_several(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (tuple, list))


def _result(
    imported: Imported,
    found: Found,
    rewritten: fx.Graph,
    places: Sequence[Any],
    names: Mapping[str, str],
    weights: frozenset[int],
    shared: Correspondence,
    wire: Mapping[str, Any],
) -> Program:
    seconds: dict[fx.Node, float] = {}
    origins: dict[fx.Node, fx.Node] = {}
    new: set[fx.Node] = set()
    written: set[fx.Node] = set()
    for place, node in enumerate(places):
        if not isinstance(node, fx.Node):
            continue
        written.add(node)
        if (s := found.account["node_seconds_after"][place]) is not None:
            seconds[node] = seconds.get(node, 0.0) + s
        origin = imported.nodes.get(shared.values.get(place, -1))
        entry = wire["nodes"][place]
        if origin is None and entry["op"] == "opaque":
            origin = imported.opaque[entry["attributes"][0]["word"]]
        if origin is not None:
            origins[node] = origin
        if place not in shared.kept_after:
            new.add(node)
    following_new = False
    for node in reversed(list(rewritten.nodes)):
        if node.op != "call_function":
            continue
        # What was written on the way to a node of the wire (a sum's first parts) is as new as that node.
        following_new = node in new if node in written else following_new
        if following_new:
            new.add(node)
        if source_of(origins.get(node, node))[0] is None:
            users = (origins.get(user, user) for user in node.users)
            user = next((u for u in users if source_of(u)[0] is not None), None)
            if user is not None:
                origins[node] = user
    kept = frozenset(node for node in rewritten.nodes if node not in new)
    program, _ = describe(rewritten, names, weights, Costs(seconds, kept, origins), "new")
    return program


@functools.cache
def _catalogue() -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in rules()}


def _step(
    step: Mapping[str, Any], imported: Imported, program: Program, order: Mapping[fx.Node, int]
) -> Step:
    def named(formula: Any) -> Any:
        if "node" in formula:
            place = formula["node"]
            entry, node = imported.wire["nodes"][place], imported.nodes.get(place)
            if entry["op"] == "permute":  # a transposed matrix is better read than named
                return named({**entry, "operands": [{"node": o} for o in entry["operands"]]})
            return {"name": f"t{place}" if node is None else program.nodes[order[node]].name}
        if "op" in formula:
            return {**formula, "operands": [named(operand) for operand in formula["operands"]]}
        return formula

    rule = step["rule"].removesuffix(" (reversed)")
    backwards = rule != step["rule"]
    row = _catalogue().get(rule, {})
    sides = [notation.write(notation.pattern(row[side])) for side in ("left", "right")] if row else []
    if backwards:
        sides.reverse()
    places = [imported.nodes[p] for p in step["places"] if p in imported.nodes]
    return Step(
        rule=rule,
        backwards=backwards,
        left=_notations(notation.write(named(step["left"]))),
        right=_notations(notation.write(named(step["right"]))),
        pattern=_notations(notation.joined(sides, " = ", "<mo>=</mo>", " = ", 0)) if sides else {},
        why=row.get("why", ""),
        soundness=row.get("soundness", ""),
        conditions=[meaning for _, meaning in row.get("conditions", [])],
        times=step["times"],
        at=[order[node] for node in places],
        seconds_left=step["seconds_left"],
        seconds_right=step["seconds_right"],
    )


def _notations(piece: notation.Piece) -> dict[str, str]:
    return {"text": piece.text, "latex": piece.latex, "mathml": piece.mathml}


def profile(
    report: GraphReport, graph: GraphModule, rewritten: GraphModule | None, inputs: list[Any]
) -> None:
    """Measures each node of both programs, run op by op, and fills in `measured`."""
    for program, module in ((report.before, graph), (report.after, rewritten)):
        if program is None or module is None:
            continue
        seconds = node_seconds(module, inputs, PROFILE_RUNS)
        for position, node in enumerate(module.graph.nodes):
            program.nodes[position].measured = seconds.get(node)
