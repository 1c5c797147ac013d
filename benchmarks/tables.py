"""The tables of the documents, from the results that the benchmarks have left.

    python benchmarks/tables.py            # writes them into the pages again
    python benchmarks/tables.py --check    # says which page is not as the results are

A page has a table between `<!-- table: NAME -->` and `<!-- end of table -->`; NAME is one of `TABLES`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGES = ("README.md", "README.tr.md", "docs/geometric.md", "docs/limits.md", "docs/symbolic.md")
MARKED = re.compile(r"(<!-- table: ([\w -]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def results(name: str) -> dict[str, Any]:
    """What a benchmark left."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(seconds: float | None) -> str:
    """A time with three digits, in the unit that fits."""
    if seconds is None:
        return "–"
    unit, size = next(
        ((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if seconds >= s), ("ns", 1e-9)
    )
    return f"{seconds / size:.3g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"


def fastest_marked(cells: Sequence[float | None]) -> list[str]:
    """Times, the least of them in bold."""
    least = min((cell for cell in cells if cell is not None), default=None)
    return [f"**{shown(cell)}**" if cell is not None and cell == least else shown(cell) for cell in cells]


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def models() -> str:
    """Whole models under each system; Inductor and Hypatia at their best settings that ran."""
    columns = {
        "eager": ("eager",),
        "Inductor": ("Inductor",),
        "ONNX Runtime": ("ONNX Runtime",),
        "OpenVINO": ("OpenVINO",),
        '`torch.compile`, `backend="hypatia"`': ("Hypatia, torch.compile",),
        "`hypatia_core.compile`": ("Hypatia, served",),
    }
    rows = []
    for row in results("models")["rows"]:
        found = {r["system"]: r for r in row["results"]}

        def least(kinds: tuple[str, ...], found: dict[str, Any] = found) -> float | None:
            times = [
                _median(r["rounds"])
                for name, r in found.items()
                if name.startswith(kinds) and r["reason"] is None and r["rounds"]
            ]
            return min((t for t in times if t is not None), default=None)

        rows.append(
            [row["model"], str(row["batch"]), *fastest_marked([least(kinds) for kinds in columns.values()])]
        )
    return markdown(["model", "batch", *columns], rows)


def model_targets() -> str:
    """What the project aims at on whole models, and what was measured."""
    rows = [
        [
            title,
            "–" if value is None else f"{value:.2f}",
            f"{target:.2f}",
            "met" if (value or 0) >= target else "missed",
        ]
        for title, value, target in results("models")["targets"]
    ]
    return markdown(["over all rows", "measured", "target", ""], rows)


def graphs() -> str:
    """Graphs of the literature, and algebra that compilers leave."""
    rows = []
    for name, row in results("graphs")["graphs"].items():
        times = fastest_marked([row["seconds"][system] for system in ("eager", "inductor", "hypatia")])
        verdict = f"{row['ratio']:.2f} of {row['peer'].replace('inductor', 'Inductor')}"
        rows.append([name, *times, verdict, f"{row['target']:g}", "met" if row["met"] else "missed"])
    return markdown(["graph", "eager", "Inductor", "Hypatia", "times the speed", "target", ""], rows)


def linear_algebra() -> str:
    """Whether each test's time is within 1.25 times of the form by hand, by element type."""
    rows = []
    for dtype in ("float32", "float64"):
        if not (RESULTS / f"linear_algebra-{dtype}.json").exists():
            continue
        tests = [t for t in results(f"linear_algebra-{dtype}")["tests"].values() if t["scored"]]
        passed = [str(sum(t["passed"][system] for t in tests)) for system in ("hypatia", "inductor", "eager")]
        rows.append([dtype, str(len(tests)), *passed])
    return markdown(["element type", "tests", "Hypatia", "Inductor", "eager"], rows)


def training() -> str:
    """Training steps: one forward, loss and backward."""
    rows = []
    for name, row in results("training")["steps"].items():
        times = row["seconds"]
        ratios = [f"{times[peer] / times['hypatia']:.2f}" for peer in ("eager", "inductor")]
        rows.append([name, *fastest_marked([times[k] for k in ("eager", "inductor", "hypatia")]), *ratios])
    return markdown(["step", "eager", "Inductor", "Hypatia", "× eager", "× Inductor"], rows)


def geometric() -> str:
    """Geometric algebra: ours first, then each other with how many times longer it takes."""
    rows = []
    for part in results("geometric")["parts"].values():
        for row in part["rows"]:
            ours = row["seconds"]["hypatia"]
            others = [
                f"{name} {shown(value)} ({value / ours:.2f}×)"
                for name, value in row["seconds"].items()
                if name != "hypatia"
            ]
            rows.append([row["title"], shown(ours), ", ".join(others)])
    return markdown(["work", "Hypatia", "others"], rows)


def compile_time() -> str:
    """Our own stages, and Inductor's whole compilation."""
    stages = ("import", "search", "export", "implementations")
    rows = []
    for name, row in results("compile_time")["models"].items():
        nodes = "{} → {}".format(*row["nodes"])
        own = [*(shown(row["stages"].get(stage)) for stage in stages), shown(row["own"])]
        rows.append([name, nodes, *own, shown(row.get("inductor"))])
    return markdown(["model", "nodes", *stages, "all our own", "Inductor, whole"], rows)


def cost_model() -> str:
    """How far predictions lie from measurements."""
    found = results("cost_model")["summary"]
    rows = [
        ["pairs of operation and shape", str(found["pairs"]), "200"],
        ["median relative error", f"{found['median relative error']:.1%}", "25 %"],
        ["within a factor of two", f"{found['within a factor of two']:.1%}", "–"],
        ["rank correlation", f"{found['rank correlation']:.3f}", "0.950"],
    ]
    return markdown(["", "measured", "target"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "models": models,
    "model targets": model_targets,
    "graphs": graphs,
    "linear algebra": linear_algebra,
    "training": training,
    "geometric": geometric,
    "compile time": compile_time,
    "cost model": cost_model,
}


def filled(page: str) -> str:
    """A page with its tables as the results are.

    Raises:
        KeyError: it asks for a table that there is not.
    """
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 where a page is old"
    )
    check = parser.parse_args().check
    old = []
    for name in PAGES:
        before = (ROOT / name).read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            old.append(name)
            if not check:
                (ROOT / name).write_text(after, encoding="utf-8")
    print("\n".join(f"{name}: {'not as the results are' if check else 'written'}" for name in old))
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
