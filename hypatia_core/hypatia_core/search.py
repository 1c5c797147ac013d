"""The engine's search, asked for one graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypatia_core import profile, user_rules
from hypatia_core._hypatia_core import HypatiaError, optimize_graph
from hypatia_core.fx_import import Imported
from hypatia_core.options import Options
from hypatia_core.report import GraphReport


@dataclass(frozen=True)
class Found:
    """What the search found: a cheaper graph, and where it differs."""

    #: The graph as JSON; None where the original stands.
    text: str | None
    #: For each different part that changed, its inputs and outputs: pairs of positions, original and result.
    regions: list[dict[str, list[tuple[int, int]]]]
    #: The engine's account of what it did.
    account: dict[str, Any]


def search(imported: Imported, options: Options, report: GraphReport, *, folds: bool = False) -> Found:
    """The cheaper graph that the engine found, if there is one. Fills in the report.

    Args:
        imported: the graph.
        options: what bounds the search.
        report: filled in.
        folds: whether what depends on weights alone is computed once, and not on each run.

    Raises:
        HypatiaError: the graph is malformed, or a rule proved unsound on it.
    """
    machine = profile.current().machine()
    settings: dict[str, Any] = {
        "numerics": options.numerics,
        "fold_weights": folds,
        "limits": {
            "nodes": options.max_nodes,
            "iterations": options.max_iterations,
            "matches": options.max_matches,
        },
        "check_proof": options.check_proof,
    }
    if machine is not None:
        settings["machine"] = machine
    try:
        text, account_text = optimize_graph(imported.text, json.dumps(settings), user_rules.defined())
    except BaseException as error:
        # A panic of the engine is no `Exception`, and would pass every fallback.
        if type(error).__name__ == "PanicException":
            raise HypatiaError(f"the engine panicked: {error}") from error
        raise
    account = json.loads(account_text)
    report.rules = dict(account["rules"])
    report.cost_before, report.cost_after = account["seconds_before"], account["seconds_after"]
    report.search = {
        "nodes": account["egraph_nodes"],
        "classes": account["egraph_classes"],
        "iterations": account["iterations"],
        "islands": account["islands"],
        "different islands": account["different_islands"],
        "stopped by": account["stops"],
        "extractions": account["extractions"],
        "proven gap": account["gap"],
        **{f"{name} seconds": seconds for name, seconds in account["stages"].items()},
    }
    report.steps_replayed = account["replayed"]
    if account["too_large"]:
        left = account["too_large"]
        report.refusals.append(f"{left} parts left as they came: the cheaper form needs too much memory")
    return Found(text, account["regions"], account)
