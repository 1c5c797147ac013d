"""How well the cost model predicts: estimated against measured seconds, at shapes not measured before.

    python benchmarks/cost_model.py                     # two minutes, after `hypatia_core.calibrate()`
    python benchmarks/cost_model.py --pairs 40          # a taste
    python benchmarks/cost_model.py --calibrate         # measures the profile first, into a folder of its own

Shapes are drawn log-uniformly, so that they fall between the grid of the calibration. Everything is measured
in passes, of which the least counts, as in the calibration: a shared machine has slow seconds. Printed:
the median relative error |predicted − measured| / measured, the share within a factor of two, and Spearman's
rank correlation. Table and JSON go to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from records import facts, save

import hypatia_core
from hypatia_core import cache_folder, profile
from hypatia_core._hypatia_core import estimate_graph
from hypatia_core.calibrate import least_seconds
from hypatia_core.trace import traced

SAMPLES = 3

Draw = Callable[[random.Random], tuple[tuple[int, ...], ...]]


def extent(draw: random.Random, low: int, high: int) -> int:
    """An extent, log-uniform."""
    return round(math.exp(draw.uniform(math.log(low), math.log(high))))


def flat(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    return ((extent(draw, 4, 3_000_000),),)


def pair(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    n = extent(draw, 4, 3_000_000)
    return ((n,), (n,))


def spread(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    rows, columns = extent(draw, 2, 1500), extent(draw, 2, 1500)
    return ((rows, columns), (columns,))


def rows(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    return ((extent(draw, 1, 1500), extent(draw, 4, 1500)),)


def product(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    m, k, n = (extent(draw, 1, 1200) for _ in range(3))
    return ((m, k), (k, n))


def stacked(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    b = extent(draw, 2, 64)
    m, k, n = (extent(draw, 1, 256) for _ in range(3))
    return ((b, m, k), (b, k, n))


def affine(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    m, k, n = (extent(draw, 1, 1200) for _ in range(3))
    return ((n,), (m, k), (k, n))


#: Name, function, shapes.
OPERATIONS: list[tuple[str, Callable[..., Any], Draw]] = [
    ("add", torch.add, pair),
    ("mul by a row", torch.mul, spread),
    ("div", torch.div, pair),
    ("exp", torch.exp, flat),
    ("tanh", torch.tanh, flat),
    ("gelu", torch.nn.functional.gelu, flat),
    ("sqrt", torch.sqrt, flat),
    ("relu", torch.relu, flat),
    ("sigmoid", torch.sigmoid, flat),
    ("sum of rows", lambda x: x.sum(1, keepdim=True), rows),
    ("sum of columns", lambda x: x.sum(0, keepdim=True), rows),
    ("mean", lambda x: x.mean((0, 1), keepdim=True), rows),
    ("softmax", lambda x: torch.softmax(x, -1), rows),
    ("transpose", lambda x: x.t(), rows),
    ("mm", torch.mm, product),
    ("mm again", torch.mm, product),
    ("bmm", torch.bmm, stacked),
    ("addmm", torch.addmm, affine),
]


def predicted(
    machine: dict[str, Any], function: Callable[..., Any], operands: Sequence[torch.Tensor]
) -> float:
    """The engine's estimate for a function."""
    text = estimate_graph(json.dumps(traced(function, operands).wire), json.dumps(machine))
    return sum(e["seconds"] for e in json.loads(text) if e is not None)


def measured(function: Callable[..., Any], operands: Sequence[torch.Tensor]) -> float:
    """Seconds of one call: the least of a few samples of at least 0.2 ms each."""
    function(*operands)
    begun = time.perf_counter()
    function(*operands)
    number = max(1, math.ceil(2e-4 / max(time.perf_counter() - begun, 1e-8)))
    samples = []
    for _ in range(SAMPLES):
        begun = time.perf_counter()
        for _ in range(number):
            function(*operands)
        samples.append((time.perf_counter() - begun) / number)
    return min(samples)


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value; equal values share theirs."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    result = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in order[at : end + 1]:
            result[i] = (at + end) / 2
        at = end + 1
    return result


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation."""
    return statistics.correlation(ranks(a), ranks(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=360, help="how many pairs of operation and shape")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--calibrate", action="store_true", help="measure a profile first, in a folder of its own"
    )
    parser.add_argument("--name", default="cost_model", help="of the files under benchmarks/results/")
    arguments = parser.parse_args()

    if arguments.calibrate:
        os.environ[cache_folder.VARIABLE] = tempfile.mkdtemp(prefix="hypatia-profile-")
        begun = time.perf_counter()
        hypatia_core.calibrate()
        print(f"calibrated in {time.perf_counter() - begun:.1f} s")
    machine = profile.current().machine()
    if machine is None:
        print("No profile for this machine and thread count: the figures are of the guessed roofline.")
        print("`--calibrate`, or `hypatia_core.calibrate()` before, measures one.")
    draw = random.Random(arguments.seed)
    found: list[dict[str, Any]] = []
    with torch.no_grad():
        for i in range(arguments.pairs):
            name, function, shapes = OPERATIONS[i % len(OPERATIONS)]
            dtype = torch.float32 if draw.random() < 0.7 else torch.float64
            drawn = shapes(draw)
            operands = [torch.rand(shape, dtype=dtype) + 0.5 for shape in drawn]
            found.append(
                {
                    "operation": name,
                    "shapes": drawn,
                    "dtype": str(dtype).removeprefix("torch."),
                    "predicted": predicted(machine or {}, function, operands),
                }
            )

        def seconds(i: int) -> float:
            operands = [
                torch.rand(s, dtype=getattr(torch, found[i]["dtype"])) + 0.5 for s in found[i]["shapes"]
            ]
            return measured(OPERATIONS[i % len(OPERATIONS)][1], operands)

        # Passes as in the calibration: again what was measured while the machine was slow.
        for i, least in least_seconds(range(len(found)), seconds).items():
            found[i]["measured"] = least

    def error(row: dict[str, Any]) -> float:
        return abs(row["predicted"] - row["measured"]) / row["measured"]

    lines = [f"{'operation':16s} {'pairs':>5s} {'median error':>12s} {'worst':>8s}"]
    for name, _, _ in OPERATIONS:
        errors = [error(row) for row in found if row["operation"] == name]
        if errors:
            lines.append(f"{name:16s} {len(errors):5d} {statistics.median(errors):12.1%} {max(errors):8.1%}")
    summary = {
        "pairs": len(found),
        "median relative error": statistics.median(map(error, found)),
        "within a factor of two": statistics.mean(
            0.5 <= row["predicted"] / row["measured"] <= 2 for row in found
        ),
        "rank correlation": rank_correlation(
            [row["predicted"] for row in found], [row["measured"] for row in found]
        ),
    }
    lines.append(
        f"{summary['pairs']} pairs: "
        f"median relative error {summary['median relative error']:.1%} (target 25 %), "
        f"within a factor of two {summary['within a factor of two']:.1%}, "
        f"rank correlation {summary['rank correlation']:.3f} (target 0.95)"
    )
    print("\n".join(lines))
    where = facts()
    save(arguments.name, {"machine": where, "summary": summary, "pairs": found}, [where["line"], "", *lines])


if __name__ == "__main__":
    main()
