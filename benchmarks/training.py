"""Training steps beside eager and Inductor: forward, loss and backward, in alternating rounds.

    python benchmarks/training.py [--rounds 9] [--threads 2] [--only LoRA] [--executor auto]

A step is one call and one `backward()`. Before anything is timed, the gradients of each way are held against
those of a float64 run by the backend's own criterion, as eager's are; the figure is the median over the
rounds, in milliseconds. "kept" is what the forward keeps for the backward besides inputs, in eager's own
division of the graph and in the one that runs. Table, JSON and plot go to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from records import facts, save
from rounds import Quiet, alternate, disturbance
from torch import Tensor, nn
from torch.nn import functional

import hypatia_core
from hypatia_core.check import judge

Step = Callable[[], list[Tensor]]


class Chain(nn.Module):
    """A vector through two matrices that are multiplied first, and a loss of it."""

    def __init__(self, size: int = 1024) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(size, size) / size**0.5)
        self.b = nn.Parameter(torch.randn(size, size) / size**0.5)

    def forward(self, v: Tensor) -> Tensor:
        return ((self.a @ self.b) @ v).square().mean()


class LoRA(nn.Module):
    """A frozen layer whose weight is W + A B with thin A and B; only these learn."""

    def __init__(self, width: int = 1024, rank: int = 8) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(width, width) / width**0.5, requires_grad=False)
        self.a = nn.Parameter(torch.randn(width, rank) / width**0.5)
        self.b = nn.Parameter(torch.randn(rank, width) / rank**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return (x @ (self.w + self.a @ self.b)).square().mean()


class LinearAttention(nn.Module):
    """Attention without softmax, written as the product of queries and keys first."""

    def __init__(self, width: int = 512, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.project(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        return (((q @ k.transpose(-2, -1)) @ v) / length).square().mean()


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            self.inward(self.first(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.outward(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(functional.gelu(self.wide(self.second(x))))


class Transformer(nn.Module):
    """Two blocks, for which there is little algebra to gain: what the joint graph costs."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(width, 8), Block(width, 8))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x)
        return y.square().mean()


CASES: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "chain": lambda: (Chain(), torch.randn(1024, 1)),
    "LoRA": lambda: (LoRA(), torch.randn(64, 1024)),
    "linear attention": lambda: (LinearAttention(), torch.randn(1, 1024, 512)),
    "transformer": lambda: (Transformer(), torch.randn(4, 128, 256)),
}


def step_of(model: nn.Module, call: Callable[[Tensor], Tensor], x: Tensor) -> Step:
    """One step: its loss and gradients."""
    learned = [p for p in model.parameters() if p.requires_grad]

    def step() -> list[Tensor]:
        loss = call(x)
        return [loss.detach(), *torch.autograd.grad(loss, learned)]

    return step


def compare(name: str, rounds: int, executor: str) -> dict[str, Any]:
    """One case: correctness, then the times."""
    torch.manual_seed(0)
    model, x = CASES[name]()
    wide = copy.deepcopy(model).double()
    exact = step_of(wide, wide, x.double())()
    torch._dynamo.reset()
    options = {"cache": False, "executor": executor}
    ways: dict[str, Any] = {
        "eager": model,
        "inductor": torch.compile(copy.deepcopy(model), backend="inductor"),
        "hypatia": torch.compile(copy.deepcopy(model), backend="hypatia", options=options),
    }
    steps = {way: step_of(model if call is model else call._orig_mod, call, x) for way, call in ways.items()}
    eager = steps["eager"]()
    wrong = []
    for way, step in steps.items():
        for _ in range(3):
            verdict = judge(step(), eager, exact, exact=False)
        if not verdict.accepted:
            wrong.append(f"{way}: {verdict.reason}")
    quiet = Quiet()
    seconds, samples = alternate(steps, rounds)
    graph = hypatia_core.report(ways["hypatia"]).graphs[0]
    return {
        "seconds": seconds,
        "rounds": samples,
        "others": quiet.others(),
        "wrong": wrong,
        "kept": [graph.kept_before, graph.kept_after],
        "installed": graph.installed,
        "apart": None if graph.stage == "joint" else graph.refusals[0],
    }


HEAD = f"{'':18}{'eager':>10} {'Inductor':>10} {'Hypatia':>10}   {'eager/H':>7} {'ind/H':>6}   kept"


def line(name: str, row: dict[str, Any]) -> str:
    """A row as text."""
    seconds, (before, after) = row["seconds"], row["kept"]
    times = " ".join(f"{1e3 * value:10.3f}" for value in seconds.values())
    ratios = f"{seconds['eager'] / seconds['hypatia']:7.2f} {seconds['inductor'] / seconds['hypatia']:6.2f}"
    kept = f"{before / 1e6:6.2f} → {after / 1e6:.2f} MB   {row['installed']}" if before else row["installed"]
    remarks = [f"  WRONG: {complaint}" for complaint in row["wrong"]]
    remarks += [f"  {row['apart']}"] if row["apart"] else []
    return "\n".join([f"{name:18}{times}   {ratios}   {kept}{disturbance(row)}", *remarks])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=list(CASES), default=None)
    parser.add_argument("--executor", default="auto")
    parser.add_argument("--name", help="of the files under benchmarks/results/; a part of the run has none")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    hypatia_core.set_log_level("WARN")
    machine = facts()
    head = f"{machine['line']}; ms a step, medians of {chosen.rounds} rounds"
    print(head, HEAD, sep="\n")
    found: dict[str, dict[str, Any]] = {}
    for name in CASES if chosen.only is None else [chosen.only]:
        found[name] = compare(name, chosen.rounds, chosen.executor)
        print(line(name, found[name]), flush=True)
    stem = chosen.name or ("training" if chosen.only is None else None)
    if stem is not None:
        lines = [head, "", HEAD, *[line(*row) for row in found.items()]]
        bars = {
            name: {way: row["seconds"]["eager"] / row["seconds"][way] for way in ("inductor", "hypatia")}
            for name, row in found.items()
        }
        save(stem, {"machine": machine, "steps": found}, lines, bars, "times faster than eager")
    return int(any(row["wrong"] for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
