"""Runs every case and writes docs/conformance.md: `make conformance`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import torch

import hypatia_core
from conformance.cases import SAMPLES, Case, cases
from conformance.comparison import Outcome, Result, compare, compile_with
from conformance.round_trip import every_graph_rewritten

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def main() -> int:
    """Exit status 1 where a case fails that the yardstick passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="cases whose name contains this; the page is not written")
    parser.add_argument(
        "--part", default="0/1", help="K/N: every N-th case from K on; the page is not written"
    )
    parser.add_argument(
        "--as-found", action="store_true", help="only graphs that the search improves are rewritten"
    )
    parser.add_argument(
        "--record",
        type=Path,
        help="keep each result in this file as it comes, and take from there what an earlier run kept; "
        "for the parts of one page, and to go on after an interruption",
    )
    parser.add_argument("--samples", type=int, default=SAMPLES, help="sample inputs of a case, at most")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    torch.set_num_threads(1)
    hypatia_core.set_log_level("ERROR")
    warnings.simplefilter("ignore", hypatia_core.HypatiaWarning)
    chosen = [c for c in cases(arguments.samples) if not arguments.only or arguments.only in c.name][
        part::parts
    ]
    begun = time.monotonic()
    record = Record(arguments.record)
    results = []
    hypatia = compile_with("hypatia", executor="aten", verify=False, measure=False, on_error="raise")
    for i, case in enumerate(chosen, 1):
        result = record.result(case)
        if result is None:
            with contextlib.nullcontext() if arguments.as_found else every_graph_rewritten():
                result = compare(case, hypatia, compile_with("aot_eager"))
            record.keep(result)
        results.append(result)
        if result.outcome is not Outcome.PASSED:
            print(f"{case.kind} {case.name}: {result.outcome.value}: {result.reasons[:3]}", flush=True)
        if i % 50 == 0:
            print(f"{i} of {len(chosen)} in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(dict(Counter(r.outcome.value for r in results)))
    if len(chosen) == len(cases()):
        PAGE.write_text(page(results, arguments.samples), encoding="utf-8")
    return int(any(r.outcome is Outcome.FAILED for r in results))


class Record:
    """Results in a file, one line of JSON each; without a file, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self._kept = {(row["kind"], row["name"]): row for row in map(json.loads, lines)}

    def result(self, case: Case) -> Result | None:
        """What an earlier run found for a case; None where it has not been run."""
        row = self._kept.get((case.kind, case.name))
        return row and Result(case, Outcome(row["outcome"]), row["samples"], row["reasons"])

    def keep(self, result: Result) -> None:
        """Adds a line."""
        if self.path is not None:
            row = {"kind": result.case.kind, "name": result.case.name, "outcome": result.outcome.value}
            row |= {"samples": result.samples, "reasons": result.reasons}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def page(results: list[Result], samples: int) -> str:
    """The results as a page of the documentation."""
    lines = [
        "# Conformance",
        "",
        "Every operator (`op_db`) and module (`module_db`) of the tables that ship with torch, in float32 "
        "on the CPU, forward and backward, against eager: values, types, strides, changes of the inputs, "
        "gradients. "
        f"At most {samples} sample inputs a case, with and without gradients.",
        "",
        f"Written by `make conformance` with torch {torch.__version__}, executor `aten`, unverified. "
        "A failure is *allowed* where torch's own `aot_eager` fails on the same samples.",
        "",
        "| | cases | samples | " + " | ".join(o.value for o in Outcome) + " |",
        "|---|--:|--:|" + "--:|" * len(Outcome),
    ]
    for kind in ("operator", "module"):
        rows = [r for r in results if r.case.kind == kind]
        counts = Counter(r.outcome for r in rows)
        cells = " | ".join(str(counts[o]) for o in Outcome)
        lines.append(f"| {kind}s | {len(rows)} | {sum(r.samples for r in rows)} | {cells} |")
    for outcome in (Outcome.FAILED, Outcome.ALLOWED, Outcome.SKIPPED):
        rows = [r for r in results if r.outcome is outcome]
        if rows:
            lines += ["", f"## {outcome.value.capitalize()}", ""]
            for row in rows:
                reason = (
                    row.reasons[0].replace("|", "\\|")
                    if row.reasons
                    else "eager gives no result that repeats"
                )
                lines.append(f"- `{row.case.name}`: {reason}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
