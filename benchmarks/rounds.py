"""Alternating rounds in one process, and what a benchmark leaves under `benchmarks/results/`."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from systems import busy

from hypatia_core import profile

RESULTS = Path(__file__).parent / "results"
#: A round calls each system for at least so long, or so often.
BLOCK, CALLS = 0.02, 1000


def alternate(
    calls: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Seconds of each call, in rounds that take them in turn, each round beginning with another one.

    Returns:
        The medians, and the rounds.
    """
    names = list(calls)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for done in range(rounds):
        turn = done % len(names)
        for name in names[turn:] + names[:turn]:
            call, number, spent = calls[name], 0, 0.0
            if samples[name] and samples[name][-1] < BLOCK:
                call()  # else a short call would pay for caches that a long one before it has filled
            while number < 1 or (spent < BLOCK and number < CALLS):
                begun = time.perf_counter()
                call()
                spent += time.perf_counter() - begun
                number += 1
            samples[name].append(spent / number)
    return {name: statistics.median(times) for name, times in samples.items()}, samples


class Quiet:
    """How many cores other processes took while a run lasted: what a reader has to know of its figures."""

    def __init__(self) -> None:
        self._before, self._begun = busy(), time.perf_counter()

    def others(self) -> float:
        """Cores taken by others since this was made; 0 where the system does not say."""
        (all_before, own_before), (all_now, own_now) = self._before, busy()
        return max(0.0, (all_now - all_before) - (own_now - own_before)) / (time.perf_counter() - self._begun)


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


def geometric(values: list[float]) -> float:
    """The geometric mean of what is known."""
    known = [value for value in values if not math.isnan(value)]
    return math.exp(statistics.fmean(map(math.log, known))) if known else math.nan


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
    stem: str, data: Mapping[str, Any], lines: list[str], bars: Mapping[str, Mapping[str, float]], scale: str
) -> None:
    """Writes a run as JSON, as a table and as a plot.

    Args:
        stem: the name of the files.
        data: what the JSON holds.
        lines: the table.
        bars: for each row of the plot, a length for each system.
        scale: what the lengths mean.
    """
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(data, indent=1, ensure_ascii=False)
    (RESULTS / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    (RESULTS / f"{stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
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
