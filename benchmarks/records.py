"""What a benchmark leaves under `benchmarks/results/`: data, a table and a plot, with the machine's facts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hypatia_core import profile

RESULTS = Path(__file__).parent / "results"


def facts() -> dict[str, Any]:
    """The machine's facts, and a line that says them."""
    found = {**profile.machine_facts(), "threads": torch.get_num_threads()}
    measured = profile.current().machine() is not None
    found["costs"] = "measured" if measured else "guessed"
    line = (
        f"{found['processor'] or found['architecture']}, {found['threads']} threads, {found['capability']}, "
        f"torch {found['torch']}, costs {found['costs']}"
    )
    return {**found, "line": line}


def kept(stem: str, rows: str) -> dict[str, Any]:
    """The rows of an earlier part of the same run, to which a later part adds its own.

    Raises:
        SystemExit: they were measured on another machine, or with other settings of this one.
    """
    path = RESULTS / f"{stem}.json"
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["machine"] != facts():
        raise SystemExit(f"{path} was measured elsewhere: {data['machine']['line']}")
    found: dict[str, Any] = data[rows]
    return found


def save(
    stem: str,
    data: Mapping[str, Any],
    lines: list[str],
    bars: Mapping[str, Mapping[str, float]] | None = None,
    scale: str = "",
) -> None:
    """Writes a run as JSON, as a table and, where there are bars, as a plot.

    Args:
        stem: the name of the files.
        data: what the JSON holds.
        lines: the table.
        bars: for each row of the plot, a length for each system.
        scale: what the lengths mean.
    """
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"arguments": sys.argv[1:], **data}, indent=1, ensure_ascii=False)
    (RESULTS / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    (RESULTS / f"{stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if bars:
        _plot(bars, scale, RESULTS / f"{stem}.svg")


def _plot(bars: Mapping[str, Mapping[str, float]], scale: str, path: Path) -> None:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print('no plot: pip install "hypatia-core[bench]"')
        return
    systems = list(dict.fromkeys(name for row in bars.values() for name in row))
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.36 * len(bars)), layout="constrained")
    height = 0.8 / len(systems)
    for i, system in enumerate(systems):
        lengths = [row.get(system, math.nan) for row in bars.values()]
        axes.barh(
            [y + (i - (len(systems) - 1) / 2) * height for y in range(len(bars))],
            lengths,
            height,
            label=system,
        )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.set_xlabel(scale)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
