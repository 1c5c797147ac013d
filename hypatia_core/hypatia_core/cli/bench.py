"""`hypatia bench`: small models under eager, Inductor and Hypatia, in alternating rounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hypatia_core.cli.console import DONE, FAILED, Console, add_json
from hypatia_core.comparison import Contest, contest

EXAMPLES = """\
examples:
  hypatia bench                      every work, in a table
  hypatia bench linear-attention
  hypatia bench mlp --threads 1 --json

Each contender's answer is held against eager in float64 in the same run; what Hypatia loses is printed like
what it wins.
"""


@dataclass(frozen=True)
class Work:
    """Something to run."""

    what: str
    make: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]


def _chain() -> tuple[Callable[..., Any], tuple[Any, ...]]:
    import torch

    return lambda a, b, v: (a @ b) @ v, (
        torch.randn(1024, 1024),
        torch.randn(1024, 1024),
        torch.randn(1024, 1),
    )


def _linear_attention() -> tuple[Callable[..., Any], tuple[Any, ...]]:
    import torch

    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        def positive(x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.elu(x) + 1

        return (positive(q) @ positive(k).transpose(-2, -1)) @ v

    return attention, tuple(torch.randn(8, 1024, 64) for _ in range(3))


def _mlp() -> tuple[Callable[..., Any], tuple[Any, ...]]:
    import torch

    layers = (torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    return torch.nn.Sequential(*layers).eval(), (torch.randn(128, 256),)


def _low_rank() -> tuple[Callable[..., Any], tuple[Any, ...]]:
    import torch

    return lambda u, v, x: (u @ v.t()) @ x, (
        torch.randn(2048, 16),
        torch.randn(2048, 16),
        torch.randn(2048, 32),
    )


WORKS = {
    "chain": Work("(A B) v, n = 1024", _chain),
    "linear-attention": Work("(φ(Q) φ(K)ᵀ) V, 8 × 1024 × 64", _linear_attention),
    "low-rank": Work("(U Vᵀ) X, n = 2048, rank 16", _low_rank),
    "mlp": Work("the setup guide's MLP, batch 128", _mlp),
}


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "bench",
        help="time small models under eager, Inductor and Hypatia",
        description="Times small models under eager, Inductor and Hypatia in alternating rounds, in one run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", choices=list(WORKS), help=", ".join(WORKS))
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of torch; default: as torch chooses"
    )
    parser.add_argument(
        "--without-inductor", action="store_true", help="leave Inductor out; it compiles for seconds"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace, console: Console) -> int:
    """Runs the contests and prints one table."""
    import torch

    from hypatia_core import compat

    if chosen.threads is not None:
        if chosen.threads < 1:
            console.say(f"hypatia bench: --threads {chosen.threads}: at least 1 is accepted")
            return FAILED
        torch.set_num_threads(chosen.threads)
    names = ["inductor", "hypatia"]
    if chosen.without_inductor or compat.cpp_compiler() is None:
        names.remove("inductor")
        if not chosen.without_inductor:
            console.say("Inductor is left out: there is no C++ compiler")
    works = [chosen.name] if chosen.name is not None else list(WORKS)
    results: dict[str, dict[str, Contest]] = {}
    with console.progress("bench") as progress:
        for number, name in enumerate(works):
            progress.step(WORKS[name].what, number + 1, len(works))
            results[name] = _measured(WORKS[name], names)
    lines = [f"{torch.get_num_threads()} threads, medians of alternating rounds, error against float64", ""]
    for name, contenders in results.items():
        lines.append(f"{console.bold(name)}  {WORKS[name].what}")
        eager = contenders["eager"].seconds
        for contender, found in contenders.items():
            time, ratio = f"{1e3 * found.seconds:10.3f} ms", f"{eager / found.seconds:7.2f}×"
            lines.append(f"  {contender:<9} {time}  {ratio}  {found.error:8.1e}")
    data = {name: {c: asdict(found) for c, found in row.items()} for name, row in results.items()}
    console.result({"threads": torch.get_num_threads(), "works": data}, "\n".join(lines))
    return DONE


def _measured(work: Work, backends: list[str]) -> dict[str, Contest]:
    import torch

    torch.manual_seed(0)
    function, inputs = work.make()
    contenders: dict[str, Callable[..., Any]] = {"eager": function}
    for backend in backends:
        torch.compiler.reset()
        contenders[backend] = torch.compile(function, backend=backend)
        with torch.no_grad():
            contenders[backend](*inputs)
    return contest(contenders, inputs)
