"""What a call costs beside the work: both ways in, an empty compiled call, eager, and the weights' check.

    python benchmarks/overhead.py [--rounds 15] [--threads 1]

The graph has 20 operations and 10 weights, on tensors so small that the work is next to nothing; a second one
is the setup guide's MLP at batch 1. Rounds alternate; the figure is the median over the rounds, in
microseconds, kept under `benchmarks/results/`. "The executor's own" is the same generated code called on a
list of its inputs; right after Dynamo's guards it takes longer than in a loop: what we add there is told
against Dynamo calling that code.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import torch
from records import facts, save
from torch import Tensor, nn

import hypatia_core
from hypatia_core import compat
from hypatia_core._hypatia_core import Snapshot
from hypatia_core.executors.aten import Aten

SECONDS_A_ROUND = 0.02


class Twenty(nn.Module):
    """Ten products with ten weights, each made of one: 20 operations, half of them of weights alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(4, 4) / 4 for _ in range(10))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = x @ weight.exp()
        return x


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))


def microseconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median over alternating rounds of the mean time of a call."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {}
    for name, call in calls.items():
        call()
        begun = time.perf_counter()
        for _ in range(20):
            call()
        repeats[name] = max(20, int(SECONDS_A_ROUND / ((time.perf_counter() - begun) / 20)))
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - begun) / repeats[name])
    return {name: 1e6 * statistics.median(found) for name, found in times.items()}


def compiled(model: nn.Module, x: Tensor, **settings: Any) -> Callable[[Tensor], Any]:
    """A `torch.compile` of its own, called until it is settled."""

    # Dynamo keeps what it compiled by code, and asks one entry after the other: each model has its own code.
    def forward(self: Any, x: Tensor) -> Any:
        return self.model(x)

    own_code = types.FunctionType(forward.__code__.replace(), globals())
    whole = type("Own", (nn.Module,), {"forward": own_code})()
    whole.model = model
    run: Callable[[Tensor], Any] = torch.compile(whole.eval(), **settings)
    for _ in range(3):
        run(x)
    return run


def nothing(graph: Any, inputs: Any) -> Callable[..., Any]:
    """A backend that computes nothing: what is left is Dynamo."""
    results = graph(*inputs)
    return lambda *_: results


def compare(title: str, model: nn.Module, x: Tensor, rounds: int) -> tuple[list[str], dict[str, float]]:
    """One table, and what it is made of."""
    model = model.eval().requires_grad_(False)
    plain = {"executor": "aten", "weights": "off", "cache": False, "verify": False, "measure": False}
    folded = {**plain, "weights": "sampled"}
    served = hypatia_core.compile(model, x, options=plain)
    program = served._programs.rewritten or served._programs.original
    own = Aten().compile(program, [])
    unbound = compat.boxed_forward(program)
    values = served._values([x])

    def bare(graph: Any, inputs: Any) -> Callable[..., Any]:
        order = [next(i for i, given in enumerate(inputs) if given is value) for value in values]
        return lambda *given: own([given[i] for i in order])

    served_folded = hypatia_core.compile(model, x, options=folded)
    runs: dict[str, Callable[[], Any]] = {"eager": lambda: model(x), "own": lambda: own(list(values))}
    runs["unbound"] = lambda: unbound(list(values))
    for name, settings in {
        "nothing": {"backend": nothing},
        "bare": {"backend": bare},
        "inductor": {"backend": "inductor"},
        "hypatia": {"backend": "hypatia", "options": plain},
        "folded": {"backend": "hypatia", "options": folded},
    }.items():
        run = compiled(model, x, **settings)
        runs[name] = lambda run=run: run(x)  # type: ignore[misc]
    runs["served"] = lambda: served(x)
    runs["served folded"] = lambda: served_folded(x)
    weights = [value for value in values if value is not x]
    extents = [weight.numel() * weight.itemsize for weight in weights]
    watch, strict = (Snapshot(weights, extents, every) for every in (False, True))
    runs["watch"] = lambda: watch.changed(weights)
    runs["strict"] = lambda: strict.changed(weights)
    found = microseconds(runs, rounds)
    lines = [
        ("eager", found["eager"], ""),
        ("the executor's own", found["own"], ""),
        ("the same through torch.ops instead of bindings", found["unbound"], ""),
        ("an empty torch.compile call: Dynamo alone", found["nothing"], ""),
        ("torch.compile that calls the executor's own", found["bare"], ""),
        ("torch.compile, Inductor", found["inductor"], ""),
        (
            "torch.compile, Hypatia",
            found["hypatia"],
            f"{found['hypatia'] - found['bare']:.1f} above that (target 10)",
        ),
        ("the same, weights folded", found["folded"], ""),
        ("served", found["served"], f"{found['served'] - found['own']:.1f} above the executor (target 5)"),
        ("the same, weights folded", found["served folded"], ""),
        (
            f"the check of {len(weights)} weights, sampled",
            found["watch"],
            f"{found['watch'] / len(weights):.2f} a weight (target 0.5)",
        ),
        (f"the check of {len(weights)} weights, strict", found["strict"], ""),
    ]
    rows = [f"  {name:<48}{value:8.1f} µs   {remark}".rstrip() for name, value, remark in lines]
    return [title, *rows, ""], found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    hypatia_core.set_log_level("WARN")
    torch.manual_seed(0)
    machine = facts()
    lines, tables = [f"{machine['line']}; medians of {chosen.rounds} rounds", ""], {}
    graphs = {
        "20 operations, 10 weights": (Twenty(), torch.randn(4, 4)),
        "the guide's MLP, batch 1": (mlp(), torch.randn(1, 256)),
    }
    for title, (model, x) in graphs.items():
        with torch.no_grad():
            table, tables[title] = compare(title, model, x, chosen.rounds)
        lines += table
    print("\n".join(lines))
    save("overhead", {"machine": machine, "microseconds": tables}, lines[:-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
