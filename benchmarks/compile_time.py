"""How long compiling takes: our own stages, stage by stage, beside Inductor's whole compilation.

    python benchmarks/compile_time.py                          # all models, with Inductor: several minutes
    python benchmarks/compile_time.py --no-inductor            # our own stages only
    python benchmarks/compile_time.py --models "chain of 5000"

Our stages are those between torch's capture and the executor: import, search, export, and whatever else the
report counts as our own; implementations are chosen without timing. They are the same for every executor.
Inductor's figure is its first call with cold caches, less a call of eager. Weights are
random, as only the graphs count. A whole run writes JSON, a table and a plot to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
os.environ["HYPATIA_CACHE_DIR"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from records import facts, save
from rounds import Quiet
from torch import nn

import hypatia_core


class Chain(nn.Module):
    """So many elementwise operations and products in a row, no two neighbours alike."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(self.length):
            match i % 5:
                case 0:
                    y = y @ w
                case 1:
                    y = y * 0.5
                case 2:
                    y = y + x
                case 3:
                    y = y.tanh()
                case _:
                    y = y - x
        return y


def bert(layers: int) -> tuple[nn.Module, tuple[Any, ...]]:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=384,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=1536,
        vocab_size=1000,
    )
    return BertModel(config), (torch.randint(1000, (2, 64)),)


def llama(layers: int) -> tuple[nn.Module, tuple[Any, ...]]:
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=256,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=688,
        vocab_size=1000,
        use_cache=False,
    )
    return LlamaModel(config), (torch.randint(1000, (1, 64)),)


def image(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    import timm

    return timm.create_model(name, pretrained=False), (torch.randn(1, 3, 224, 224),)


def mamba() -> tuple[nn.Module, tuple[Any, ...]]:
    from zoo import mamba as work

    made = work(1)
    return made.model, made.inputs


MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "MiniLM": lambda: bert(6),
    "ViT-B/16": lambda: image("vit_base_patch16_224"),
    "ResNet-50": lambda: image("resnet50"),
    "Llama-like, 6 layers": lambda: llama(6),
    "Llama-like, 16 layers": lambda: llama(16),
    "Llama-like, 24 layers": lambda: llama(24),
    "Mamba": mamba,
    "chain of 5000": lambda: (Chain(5000), (torch.randn(8, 8), torch.randn(8, 8) / 8)),
}
#: Inductor takes minutes to hours on one long chain: it is not asked.
TOO_LONG_FOR_INDUCTOR = ("chain of 5000",)


def first_call(run: Callable[..., Any], inputs: tuple[Any, ...]) -> float:
    begun = time.perf_counter()
    run(*inputs)
    return time.perf_counter() - begun


def own_stages(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[dict[str, float], Any]:
    """Seconds of each of our stages, and the report's graph."""
    torch._dynamo.reset()
    options = {"executor": "aten", "verify": False, "measure": False, "on_error": "raise"}
    compiled = torch.compile(model, backend="hypatia", options=options)
    compiled(*inputs)
    graph = max(hypatia_core.report(compiled).graphs, key=lambda g: g.nodes_before)
    foreign = ("capture", "verify", "measure", "predict")
    own = {name: s for name, s in graph.stages.items() if name not in foreign}
    stages = {name: s for name, s in own.items() if not name.startswith("compile ")}
    inner = {
        f"search: {name.removesuffix(' seconds')}": s
        for name, s in graph.search.items()
        if name.endswith(" seconds")
    }
    return {**stages, **inner}, graph


def measured(names: list[str], rounds: int, inductor: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each model's row: of so many compilations of ours, in turns with the others', the least; Inductor's."""
    made = {name: MODELS[name]() for name in names}
    tries: dict[str, list[tuple[float, dict[str, float], Any]]] = {name: [] for name in names}
    with torch.no_grad():
        for _ in range(rounds):
            for name, (model, inputs) in made.items():
                model.eval()
                stages, graph = own_stages(model, inputs)
                own = sum(s for stage, s in stages.items() if ":" not in stage)
                tries[name].append((own, stages, graph))
        for name, (model, inputs) in made.items():
            own, stages, graph = min(tries[name], key=lambda one: one[0])
            row: dict[str, Any] = {
                "nodes": [graph.nodes_before, graph.nodes_after],
                "own": own,
                "stages": stages,
                "islands": [graph.search.get("islands"), graph.search.get("different islands")],
                "extractions": graph.search.get("extractions"),
                "proven gap": graph.search.get("proven gap"),
            }
            if inductor and name not in TOO_LONG_FOR_INDUCTOR:
                eager = min(first_call(model, inputs) for _ in range(2))
                torch._dynamo.reset()
                row["inductor"] = first_call(torch.compile(model), inputs) - eager
            yield name, row


STAGES = ("import", "search", "export", "implementations")
HEAD = f"{'model':24s}{'nodes':>12s}{'islands':>9s}" + "".join(f"{s:>16s}" for s in STAGES)
HEAD += f"{'own':>9s}{'Inductor':>11s}"


def line(name: str, row: dict[str, Any]) -> str:
    """A row as text; islands are all and different ones."""
    stages = "".join(f"{1e3 * row['stages'].get(stage, math.nan):16.0f}" for stage in STAGES)
    nodes, islands = "→".join(map(str, row["nodes"])), "/".join(map(str, row["islands"]))
    inductor = f"{1e3 * row['inductor']:11.0f}" if "inductor" in row else f"{'not run':>11s}"
    return f"{name:24s}{nodes:>12s}{islands:>9s}{stages}{1e3 * row['own']:9.0f}{inductor}"


def summary(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The targets and what was measured."""
    lines = []
    layers = [rows.get(f"Llama-like, {n} layers", {}).get("own") for n in (6, 24)]
    if all(layers):
        lines.append(f"24 layers cost {layers[1] / layers[0]:.2f} times 6 layers (target 1.3)")
    slow = [
        name
        for name, row in rows.items()
        if row["own"] > (3 if name.startswith("chain") else math.inf) or max(row["stages"].values()) > 1
    ]
    lines.append("over their target (each stage 1 s, the chain 3 s in all): " + (", ".join(slow) or "none"))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=2, help="the least of so many compilations is shown")
    parser.add_argument("--no-inductor", action="store_true")
    parser.add_argument("--name", help="of the files under benchmarks/results/; a part of the run has none")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    hypatia_core.set_log_level("WARN")
    torch._dynamo.config.recompile_limit = 64
    rows: dict[str, dict[str, Any]] = {}
    quiet = Quiet()
    print(HEAD)
    for name, row in measured(arguments.models, arguments.rounds, not arguments.no_inductor):
        rows[name] = row
        print(line(name, row), flush=True)
    print("\n".join(summary(rows)))
    whole = arguments.models == list(MODELS) and not arguments.no_inductor
    stem = arguments.name or ("compile_time" if whole else None)
    if stem is not None:
        machine = {**facts(), "others": quiet.others()}
        lines = [
            f"{machine['line']}; ms",
            "",
            HEAD,
            *[line(*row) for row in rows.items()],
            "",
            *summary(rows),
        ]
        bars = {
            name: {"Hypatia's own stages": row["own"], "Inductor": row.get("inductor", math.nan)}
            for name, row in rows.items()
        }
        save(stem, {"machine": machine, "models": rows}, lines, bars, "seconds")


if __name__ == "__main__":
    main()
