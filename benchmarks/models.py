"""Hypatia beside eager PyTorch, Inductor, ONNX Runtime and OpenVINO on whole models.

    python benchmarks/models.py [--quick] [--only TEXT] [--rounds 9] [--threads 2]
    python benchmarks/models.py [--brief] [--batch 1] [--resume] [--most 240]

Each system runs in a process of its own, at its best documented setting, with cold caches. Blocks of calls
alternate between the systems; a round in which other processes took more than a tenth of a core is discarded
and run again. Outputs are held against float64 in the same run: what errs too much is named and not compared.
`pip install "hypatia-core[bench]"` installs what is needed; what is missing is said and left out.
The table, JSON and a plot go to `benchmarks/results/`, after each row. With `--resume` rows that stand there
already are kept and not run again; with `--most` no further row is begun after so many seconds: a long run
can be made in pieces, which exit with 3 while rows are left.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from records import RESULTS, save
from rounds import geometric
from systems import COLD, EMPTY, SYSTEMS, System
from zoo import ROWS

PROGRAM = Path(__file__).parent / "systems.py"
#: Other processes may take this part of a core in a round that counts.
QUIET = 0.1
#: A block's length in seconds, and the pause before it, in which the threads of the one before fall asleep.
BLOCK, PAUSE = 0.4, 0.05
#: Exit status while rows are left.
UNFINISHED = 3
#: A system that errs more than this part of the output's scale, and ten times what eager errs, is wrong.
WRONG = 1e-3


@dataclass
class Result:
    """One system on one row."""

    system: str
    reason: str | None = None
    compile: float = 0.0
    error: float = math.nan
    peak: int = 0
    #: Seconds of a compiled call of this model that computes nothing, where `torch.compile` is on the way.
    empty: float = 0.0
    rounds: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median over the rounds; NaN where it did not run."""
        return statistics.median(self.rounds) if self.rounds and self.reason is None else math.nan


@dataclass
class Comparison:
    """All systems on one model at one batch size."""

    model: str
    batch: int
    results: dict[str, Result]
    discarded: int = 0
    #: Seconds that the whole row took.
    took: float = 0.0


class Worker:
    """A system's process."""

    def __init__(
        self, system: str, model: str, batch: int, folder: str, environment: dict[str, str], patience: float
    ) -> None:
        self.patience = patience
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(PROGRAM), system, model, str(batch), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env={**os.environ, **COLD, **environment},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(line)
        self._answers.put(json.dumps({"ready": False, "reason": self._end()}))

    def _end(self) -> str:
        """The last that the process said, where it ended before its time."""
        # Read by place: the process writes through the same file, and a seek would move it too.
        handle = self._complaints.fileno()
        said = os.pread(handle, 4000, max(0, os.fstat(handle).st_size - 4000)).decode(errors="replace")
        return ": ".join(
            ["the process ended", *[line.strip() for line in said.splitlines() if line.strip()][-1:]]
        )

    def answer(self) -> dict[str, Any]:
        """The next line."""
        try:
            found: dict[str, Any] = json.loads(self._answers.get(timeout=self.patience))
            return found
        except queue.Empty:
            return {"ready": False, "reason": f"no answer in {self.patience:g} s"}

    def block(self, seconds: float) -> dict[str, Any]:
        """A block of calls; the first time it compiles instead."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"ready": False, "reason": self._end()}
        return self.answer()

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()


def compare(
    model: str, batch: int, systems: list[System], rounds: int, threads: int, patience: float
) -> Comparison:
    """Every system on one row."""
    begun = time.perf_counter()
    comparison = Comparison(model, batch, {})
    environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            exact = Worker("float64", model, batch, folder, environment, patience)
            made = exact.answer()
            exact.end()
            if not made["ready"]:
                raise RuntimeError(made["reason"])
            for system in [*systems, EMPTY]:
                own = {**environment, **system.environment}
                workers[system.name] = Worker(system.name, model, batch, folder, own, patience)
            # All load the model at the same time, and compile one after the other.
            loaded = {name: worker.answer() for name, worker in workers.items()}
            for name, worker in list(workers.items()):
                print(f"… {model}, batch {batch}: {name}", flush=True)
                found = worker.block(0.0) if loaded[name].get("loaded") else loaded[name]
                result = comparison.results[name] = Result(name)
                if not found.pop("ready"):
                    result.reason = found["reason"]
                    workers.pop(name).end()
                    continue
                for key, value in found.items():
                    setattr(result, key, value)
            measure(comparison, workers, rounds)
            empty = comparison.results.pop(EMPTY.name).seconds
            for system in systems:
                if system.group in ("Inductor", "Hypatia"):
                    comparison.results[system.name].empty = 0.0 if math.isnan(empty) else empty
        finally:
            for worker in workers.values():
                worker.end()
    eager = comparison.results["eager"]
    for result in comparison.results.values():
        if result.reason is None and not result.error <= max(WRONG, 10 * eager.error):
            result.reason = f"wrong: errs {result.error:.1e}, eager {eager.error:.1e}"
    comparison.took = time.perf_counter() - begun
    return comparison


def measure(comparison: Comparison, workers: dict[str, Worker], rounds: int) -> None:
    """Alternating rounds; a disturbed one is run again, as often as there are rounds."""
    names = list(workers)
    done = 0
    while done < rounds and comparison.discarded <= rounds:
        turn = (done + comparison.discarded) % max(1, len(names))
        times: dict[str, float] = {}
        others = 0.0
        for name in names[turn:] + names[:turn]:
            time.sleep(PAUSE)
            found = workers[name].block(BLOCK)
            if "reason" in found:
                comparison.results[name].reason = found["reason"]
                continue
            times[name] = found["seconds"]
            others = max(others, found["others"])
        # The last rounds count as they are: a figure of a busy machine is better than none, and is marked.
        if others > QUIET and comparison.discarded < rounds:
            comparison.discarded += 1
            continue
        for name, seconds in times.items():
            comparison.results[name].rounds.append(seconds)
        done += 1


def best(comparison: Comparison, group: str) -> Result | None:
    """The fastest system of a group that ran and was right."""
    named = {system.name for system in SYSTEMS if system.group == group}
    ran = [r for r in comparison.results.values() if r.system in named and not math.isnan(r.seconds)]
    return min(ran, key=lambda result: result.seconds) if ran else None


def lines_of(comparison: Comparison) -> list[str]:
    """The table's lines for one row."""
    eager = comparison.results["eager"].seconds
    inductor = best(comparison, "Inductor")
    lines = []
    for result in comparison.results.values():
        title = f"{comparison.model}, batch {comparison.batch}" if result.system == "eager" else ""
        if result.reason is not None:
            lines.append(f"{title:<38}{result.system:<25}left out: {result.reason}")
            continue
        spread = statistics.quantiles(result.rounds, n=4) if len(result.rounds) > 1 else [math.nan] * 3
        against = inductor.seconds / result.seconds if inductor else math.nan
        lines.append(
            f"{title:<38}{result.system:<25}{1e3 * result.seconds:9.3f} ±{500 * (spread[2] - spread[0]):7.3f}"
            f"{eager / result.seconds:8.2f}{against:8.2f}{result.compile:9.1f}{result.peak / 1e6:8.0f}"
            f"  {result.error:8.1e}".rstrip()
        )
    if comparison.discarded:
        lines.append(f"{'':<38}({comparison.discarded} disturbed rounds discarded)")
    return lines


def targets(comparisons: list[Comparison]) -> list[tuple[str, float, float]]:
    """What the project aims at: its name, what was measured (NaN where nothing was), the target."""

    def ratios(ours: str, group: str, *, aside: bool = False) -> list[float]:
        found = []
        for comparison in comparisons:
            peer, result = best(comparison, group), comparison.results.get(ours)
            if peer is not None and result is not None and not math.isnan(result.seconds):
                # Never below half: a call cannot cost less than nothing.
                spent = max(result.seconds - result.empty, result.seconds / 2) if aside else result.seconds
                found.append(peer.seconds / spent)
        return found

    def default_ratios(attribute: str) -> list[float]:
        pairs = [(c.results.get("Inductor"), c.results.get("Hypatia, torch.compile")) for c in comparisons]
        return [
            getattr(a, attribute) / getattr(b, attribute)
            for a, b in pairs
            if a is not None and b is not None and a.reason is None and b.reason is None
        ]

    served, compiled = "Hypatia, served", "Hypatia, torch.compile"
    eager, inductor, runtime = (ratios(served, group) for group in ("eager", "Inductor", "runtime"))
    aside = ratios(compiled, "eager", aside=True)
    speed, seconds = default_ratios("seconds"), default_ratios("compile")
    ahead = sum(1 for ratio in runtime if ratio > 1) / len(runtime) if runtime else math.nan
    least = math.nan
    return [
        ("served, slowest row against eager", min(eager, default=least), 0.97),
        ("torch.compile, slowest row against eager, an empty call aside", min(aside, default=least), 0.97),
        ("served, geometric mean against eager", geometric(eager), 1.3),
        ("served, geometric mean against the best Inductor", geometric(inductor), 1.2),
        ("served, geometric mean against the better runtime", geometric(runtime), 1.0),
        ("served, share of rows ahead of the better runtime", ahead, 2 / 3),
        ("torch.compile, slowest row against Inductor's default", min(speed, default=least), 1.0),
        ("compile time, worst row: Inductor's default over Hypatia's", min(seconds, default=least), 0.8),
    ]


def summary(comparisons: list[Comparison]) -> list[str]:
    """The targets as lines of the table."""
    return [
        f"{title:<66}{value:7.2f}   target {target:4.2f}   "
        f"{'not known' if math.isnan(value) else 'met' if value >= target else 'MISSED'}"
        for title, value, target in targets(comparisons)
    ]


def bars(comparisons: list[Comparison]) -> dict[str, dict[str, float]]:
    """How many times faster than eager the best of each kind is, by row."""
    kinds = {"Inductor": "Inductor", "runtime": "ONNX Runtime or OpenVINO", "Hypatia": "Hypatia"}
    lengths: dict[str, dict[str, float]] = {}
    for row in comparisons:
        eager = row.results["eager"].seconds
        if not math.isnan(eager):
            found = {label: best(row, kind) for kind, label in kinds.items()}
            lengths[f"{row.model}, batch {row.batch}"] = {
                f"{label}, best": math.nan if r is None else eager / r.seconds for label, r in found.items()
            }
    return lengths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few models and settings, in five minutes")
    parser.add_argument("--brief", action="store_true", help="all models, Inductor by its default alone")
    parser.add_argument(
        "--batch", type=int, help="models at this batch size alone (the MLP at all of its own)"
    )
    parser.add_argument("--only", default="", help="models whose name holds this text")
    parser.add_argument("--rounds", type=int, default=None, help="alternating rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of each system")
    parser.add_argument("--name", default=None, help="of the files under benchmarks/results/")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the files have already")
    parser.add_argument("--most", type=float, default=math.inf, help="seconds after which no row is begun")
    parser.add_argument("--patience", type=float, default=900, help="seconds a system has to compile")
    chosen = parser.parse_args()
    begun = time.perf_counter()
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    systems = [system for system in SYSTEMS if system.quick or not (chosen.quick or chosen.brief)]
    work = [
        (row.name, batch)
        for row in ROWS
        if chosen.only.lower() in row.name.lower()
        for batch in (row.quick if chosen.quick else row.batches)
        if chosen.batch in (None, batch) or len(row.batches) > 2
    ]
    machine = (
        f"torch {torch.__version__}, {chosen.threads} threads, {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}; medians of {rounds} rounds"
    )
    stem = chosen.name or ("models-quick" if chosen.quick else "models")
    known, left_out = kept(stem, machine) if chosen.resume else ({}, {})
    for row in work:
        if row in known:
            continue
        if time.perf_counter() - begun > chosen.most:
            return UNFINISHED
        try:
            known[row] = compare(*row, systems, rounds, chosen.threads, chosen.patience)
            left_out.pop(row, None)
        except RuntimeError as error:
            left_out[row] = str(error)
        # In the table's own order, whichever piece came first.
        order = [(r.name, batch) for r in ROWS for batch in r.batches]
        comparisons = [known[key] for key in order if key in known]
        write(stem, machine, comparisons, left_out)
    print("", (RESULTS / f"{stem}.txt").read_text(encoding="utf-8"), sep="\n")
    return 0


def kept(stem: str, machine: str) -> tuple[dict[tuple[str, int], Comparison], dict[tuple[str, int], str]]:
    """The rows of an earlier piece of the same run, and what it left out."""
    path = RESULTS / f"{stem}.json"
    if not path.exists():
        return {}, {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["machine"] != machine:
        raise SystemExit(f"{path} is of another run ({data['machine']}; now {machine}): name another file")
    rows = {
        (row["model"], row["batch"]): Comparison(
            row["model"],
            row["batch"],
            {result["system"]: Result(**result) for result in row["results"]},
            row["discarded"],
            row["took"],
        )
        for row in data["rows"]
    }
    return rows, {(model, batch): reason for model, batch, reason in data["left out"]}


def write(
    stem: str, machine: str, comparisons: list[Comparison], left_out: dict[tuple[str, int], str]
) -> None:
    """The table, the data and the plot."""
    head = (
        f"{'':<38}{'system':<25}{'ms':>9} {'±':>8}{'/eager':>8}{'/Induc.':>8}{'compile s':>9}{'MB':>8}  error"
    )
    table = [machine, "", head]
    for comparison in comparisons:
        table += [*lines_of(comparison), ""]
    took = sum(comparison.took for comparison in comparisons)
    table += [*summary(comparisons), "", f"{len(comparisons)} rows in {took / 60:.0f} minutes"]
    table += [f"left out: {model}, batch {batch}: {reason}" for (model, batch), reason in left_out.items()]
    data = {
        "machine": machine,
        "rows": [
            {
                "model": c.model,
                "batch": c.batch,
                "discarded": c.discarded,
                "took": c.took,
                "results": [vars(r) for r in c.results.values()],
            }
            for c in comparisons
        ],
        "targets": [[title, None if math.isnan(v) else v, t] for title, v, t in targets(comparisons)],
        "left out": [[model, batch, reason] for (model, batch), reason in left_out.items()],
    }
    save(stem, data, table, bars(comparisons), "times faster than eager PyTorch")


if __name__ == "__main__":
    sys.exit(main())
