"""Graphs of the literature on superoptimizers, against eager; algebra that Inductor leaves, against Inductor.

    python benchmarks/graphs.py                         # everything, several minutes
    python benchmarks/graphs.py --only "linear attention" "LoRA"

NasRNN, SqueezeNet, Inception-v3, ResNeXt-50 and VGG-19 are the graphs of TASO (SOSP 2019) and Tensat (MLSys
2021), at batch 1 with random weights; there their gains were measured on a GPU. All systems run in turn, in
one process, on the same inputs, and each output is held against a float64 run of eager in the same run. What
errs too much is printed as wrong. Table, JSON and plot go to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
os.environ["HYPATIA_CACHE_DIR"] = ""

import torch
from records import facts, kept, save
from rounds import Quiet, alternate, disturbance
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

SYSTEMS = ("eager", "inductor", "hypatia")


@dataclass(frozen=True)
class Graph:
    """A model with its inputs, and how many times faster than a peer Hypatia is to run it."""

    name: str
    make: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]
    peer: str
    target: float


class NasRnn(nn.Module):
    """The recurrent cell that Zoph and Le's search found, unrolled, as TASO and Tensat state it.

    Each step and gate has weights of its own, of `hidden` by `hidden`.
    """

    def __init__(self, hidden: int = 512, steps: int = 5) -> None:
        super().__init__()
        self.steps = steps
        scale = hidden**-0.5
        self.x = nn.ParameterList(nn.Parameter(scale * torch.randn(hidden, hidden)) for _ in range(8 * steps))
        self.h = nn.ParameterList(nn.Parameter(scale * torch.randn(hidden, hidden)) for _ in range(8 * steps))
        self.state = nn.Parameter(torch.randn(1, hidden))

    def forward(self, *xs: Tensor) -> Tensor:
        state: Tensor = self.state
        for step, x in enumerate(xs):
            t = [x @ self.x[8 * step + i] + state @ self.h[8 * step + i] for i in range(8)]
            first = torch.relu(t[0]) + torch.sigmoid(t[3])
            second = torch.sigmoid(t[1]) + torch.tanh(t[2])
            third = torch.sigmoid(t[4]) * torch.tanh(t[5])
            fourth = torch.sigmoid(t[6]) * torch.relu(t[7])
            left = torch.sigmoid(second) + torch.tanh(third)
            right = torch.tanh(first) * torch.tanh(fourth)
            state = torch.tanh(torch.tanh(left) * torch.tanh(right))
        return state


class Fire(nn.Module):
    """SqueezeNet's block: few channels, then two convolutions side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.one = nn.Conv2d(squeezed, expanded, 1)
        self.three = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0 (Iandola et al. 2016, table 1)."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(96, 16, 64),
        Fire(128, 16, 64),
        Fire(128, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(256, 32, 128),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(512, 64, 256),
        nn.Conv2d(512, 1000, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def pictures(
    model: Callable[[], nn.Module], size: int = 224
) -> Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]:
    return lambda: (model(), (torch.randn(1, 3, size, size),))


def timm(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm

        model: nn.Module = timm.create_model(name, pretrained=False)
        return model

    return make


class Formula(nn.Module):
    """An expression over weights, which it holds, and inputs."""

    def __init__(self, formula: Callable[..., Tensor], *weights: Tensor) -> None:
        super().__init__()
        self.formula = formula
        self.count = len(weights)
        for i, weight in enumerate(weights):
            self.register_buffer(f"w{i}", weight)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.formula(*inputs, *[getattr(self, f"w{i}") for i in range(self.count)])


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Katharopoulos et al. 2020, written in the quadratic order, with its normaliser."""
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).transpose(-2, -1)
    return (weights @ v) / weights.sum(-1, keepdim=True)


def cayley() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The geometric product of Cl(3, 0) with its dense table, as layers of geometric algebra write it."""
    table = torch.zeros(8, 8, 8)
    for i in range(8):
        for j in range(8):
            # Basis vectors of i that stand left of a smaller one of j are to be exchanged with it.
            swaps = sum(((i >> (bit + 1)) & ((1 << 3) - 1)).bit_count() for bit in range(3) if j >> bit & 1)
            table[i, j, i ^ j] = (-1.0) ** swaps
    formula = Formula(lambda x, y, t: torch.einsum("bi,bj,ijk->bk", x, y, t), table)
    return formula, (torch.randn(100_000, 8), torch.randn(100_000, 8))


def random(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Normal numbers, each matrix scaled so that products with it keep their size."""
    return tuple(torch.randn(shape) * shape[-1] ** -0.5 for shape in shapes)


def formula(
    call: Callable[..., Tensor], *inputs: tuple[int, ...], weights: tuple[tuple[int, ...], ...] = ()
) -> Any:
    return lambda: (Formula(call, *random(*weights)), random(*inputs))


GRAPHS = [
    Graph("NasRNN", lambda: (NasRnn(), random(*[(1, 512)] * 5)), "eager", 1.69),
    Graph("SqueezeNet", pictures(squeezenet), "eager", 1.0),
    Graph("Inception-v3", pictures(timm("inception_v3"), 299), "eager", 1.0),
    Graph("ResNeXt-50", pictures(timm("resnext50_32x4d")), "eager", 1.0),
    Graph("VGG-19", pictures(timm("vgg19")), "eager", 1.0),
    Graph(
        "(A B) C, C thin",
        formula(lambda a, b, c: (a @ b) @ c, (1024, 1024), (1024, 1024), (1024, 8)),
        "inductor",
        7,
    ),
    Graph("linear attention", formula(linear_attention, *[(8, 1024, 64)] * 3), "inductor", 8),
    Graph("(A B).sum()", formula(lambda a, b: (a @ b).sum(), (1024, 1024), (1024, 1024)), "inductor", 10),
    Graph(
        "X A + X B",
        formula(lambda x, a, b: x @ a + x @ b, (512, 1024), (1024, 1024), (1024, 1024)),
        "inductor",
        1.8,
    ),
    Graph(
        "low-rank loss",
        formula(lambda x, u, v: ((x - u @ v.T) ** 2).sum(), (2000, 2000), (2000, 16), (2000, 16)),
        "inductor",
        2,
    ),
    Graph(
        "LoRA, folded",
        formula(
            lambda x, w, a, b: x @ w + 2.0 * (x @ a @ b),
            (64, 1024),
            weights=((1024, 1024), (1024, 8), (8, 1024)),
        ),
        "inductor",
        1.2,
    ),
    Graph("Cayley einsum, Cl(3, 0)", cayley, "inductor", 3),
]


def error(given: Tensor, truth: Tensor) -> float:
    """The largest difference, in parts of the largest element."""
    return float((given.double() - truth).abs().max()) / max(float(truth.abs().max()), 1e-300)


def run(graph: Graph, rounds: int) -> dict[str, Any]:
    """Every system on one graph, in alternating rounds."""
    model, inputs = graph.make()
    model.eval()
    truth = copy.deepcopy(model).double()(*[x.double() for x in inputs])
    systems: dict[str, Callable[..., Any]] = {"eager": model}
    for name in SYSTEMS[1:]:
        systems[name] = torch.compile(copy.deepcopy(model), backend=name, dynamic=False)
    calls: dict[str, Callable[[], Any]] = {
        name: (lambda system=system: system(*inputs))  # type: ignore[misc]
        for name, system in systems.items()
    }
    errors, first = {}, {}
    for name, call in calls.items():
        begun = time.perf_counter()
        errors[name] = error(call(), truth)
        first[name] = time.perf_counter() - begun
        call()
    quiet = Quiet()
    seconds, samples = alternate(calls, rounds)
    allowed = max(1e-5, 10 * errors["eager"])
    ratio = seconds[graph.peer] / seconds["hypatia"]
    return {
        "seconds": seconds,
        "rounds": samples,
        "others": quiet.others(),
        "errors": errors,
        "first call": first,
        "correct": all(e <= allowed for e in errors.values()),
        "peer": graph.peer,
        "ratio": ratio,
        "target": graph.target,
        "met": ratio >= graph.target,
    }


HEAD = f"{'graph':26s}" + "".join(f"{name:>11s}" for name in SYSTEMS) + "   peer / hypatia, target"


def line(name: str, row: dict[str, Any]) -> str:
    """A row as text."""
    cells = "".join(f"{1e3 * row['seconds'][system]:11.3f}" for system in SYSTEMS)
    mark = "" if row["met"] else "  MISSED"
    wrong = "" if row["correct"] else f"  WRONG: {row['errors']}"
    return (
        f"{name:26s}{cells}   {row['peer']:>8s} {row['ratio']:6.2f}  {row['target']:5.2f}{mark}{wrong}"
        + disturbance(row)
    )


def write(stem: str, rounds: int, found: dict[str, dict[str, Any]]) -> None:
    """Leaves what there is so far, in the order of the graphs."""
    found = {graph.name: found[graph.name] for graph in GRAPHS if graph.name in found}
    machine = facts()
    head = f"{machine['line']}; ms, medians of {rounds} rounds"
    lines = [head, "", HEAD, *[line(*row) for row in found.items()]]
    bars = {
        name: {system: row["seconds"]["eager"] / row["seconds"][system] for system in SYSTEMS[1:]}
        for name, row in found.items()
    }
    save(stem, {"machine": machine, "graphs": found}, lines, bars, "times faster than eager")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of graphs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--name", help="of the files under benchmarks/results/; a part of the run has none")
    parser.add_argument("--add", action="store_true", help="to the rows that the files of this name have")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    stem = arguments.name or ("graphs" if arguments.only == [""] else None)
    found = kept(stem, "graphs") if arguments.add and stem else {}
    print(HEAD)
    for graph in GRAPHS:
        if any(part in graph.name for part in arguments.only):
            torch.manual_seed(0)
            torch._dynamo.reset()
            with torch.no_grad():
                found[graph.name] = run(graph, arguments.rounds)
            print(line(graph.name, found[graph.name]), flush=True)
            if stem is not None:
                write(stem, arguments.rounds, found)
    return int(not all(row["correct"] for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
