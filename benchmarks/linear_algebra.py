"""The 17 tests of the Linear Algebra Awareness Benchmark: eager, Inductor, Hypatia, the best form by hand.

    python benchmarks/linear_algebra.py                        # n = 3000, several minutes
    python benchmarks/linear_algebra.py --size 256 --rounds 2  # a taste
    python benchmarks/linear_algebra.py --tests "chain" --dtypes float32

Written afresh after HPAC/LAAB-Python: does a framework see what a linear algebraist sees? Each test is an
expression as one writes it, beside the form that an expert would write. All systems run in turn, in one
process, on the same inputs; each result is held against the expert's in float64. A test is passed within 1.25
times of the best form. Writes `benchmarks/results/linear_algebra.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

import torch

from hypatia_core import profile

RESULTS = Path(__file__).parent / "results" / "linear_algebra.json"
PASSED = 1.25

Tensor = torch.Tensor
Program = Callable[..., Any]


@dataclass(frozen=True)
class Test:
    """An expression, the best form of it, and its operands."""

    name: str
    naive: Program
    best: Program
    operands: Callable[[int, torch.dtype], list[Tensor]]


def square(count: int) -> Callable[[int, torch.dtype], list[Tensor]]:
    """So many square matrices."""
    return lambda n, t: [torch.randn(n, n, dtype=t) / n**0.5 for _ in range(count)]


def with_vectors(matrices: int, vectors: int) -> Callable[[int, torch.dtype], list[Tensor]]:
    """Square matrices, then columns."""

    def make(n: int, t: torch.dtype) -> list[Tensor]:
        return square(matrices)(n, t) + [torch.randn(n, 1, dtype=t) for _ in range(vectors)]

    return make


def lower_triangular(n: int, t: torch.dtype) -> list[Tensor]:
    a, b = square(2)(n, t)
    return [a.tril(), b]


def tridiagonal(n: int, t: torch.dtype) -> list[Tensor]:
    a, b = square(2)(n, t)
    return [a.tril(1).triu(-1), b]


def diagonal(n: int, t: torch.dtype) -> list[Tensor]:
    return [torch.diag(torch.randn(n, dtype=t)), *square(1)(n, t)]


def tridiagonal_times(a: Tensor, b: Tensor) -> Tensor:
    """By its three diagonals."""
    c = a.diagonal().unsqueeze(1) * b
    c[1:] += a.diagonal(-1).unsqueeze(1) * b[:-1]
    c[:-1] += a.diagonal(1).unsqueeze(1) * b[1:]
    return c


def triangular_times(a: Tensor, b: Tensor) -> Tensor:
    """By halves: three quarters of the work, and three quarters of that again one level down."""
    h = a.shape[0] // 2
    top, bottom = a[:h, :h] @ b[:h], a[h:, :h] @ b[:h]
    return torch.cat([top, bottom.addmm_(a[h:, h:], b[h:])])


def loop_with_invariant(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    total = torch.zeros_like(a)
    for i in range(3):
        total = total + a @ b + v[i] * v[i]
    return total


def loop_hoisted(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return 3 * (a @ b) + (v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


TESTS = [
    Test("A B (a library's product)", lambda a, b: a @ b, lambda a, b: torch.mm(a, b), square(2)),
    Test("A Aᵀ (symmetric)", lambda a: a @ a.T, lambda a: torch.mm(a, a.T), square(1)),
    Test("L B, L triangular", lambda a, b: a @ b, triangular_times, lower_triangular),
    Test("T B, T tridiagonal", lambda a, b: a @ b, tridiagonal_times, tridiagonal),
    Test("D B, D diagonal", lambda a, b: a @ b, lambda a, b: a.diagonal().unsqueeze(1) * b, diagonal),
    Test(
        "common sub-expression AᵀB + AᵀB",
        lambda a, b: a.T @ b + a.T @ b,
        lambda a, b: 2 * (a.T @ b),
        square(2),
    ),
    Test(
        "(AᵀB)ᵀ (AᵀB)",
        lambda a, b: (a.T @ b).T @ (a.T @ b),
        lambda a, b: (lambda s: s.T @ s)(a.T @ b),
        square(2),
    ),
    Test(
        "(AᵀB)ᵀ AᵀB, without brackets",
        lambda a, b: (a.T @ b).T @ a.T @ b,
        lambda a, b: (lambda s: s.T @ s)(a.T @ b),
        square(2),
    ),
    Test("chain HᵀH x", lambda h, x: h.T @ h @ x, lambda h, x: h.T @ (h @ x), with_vectors(1, 1)),
    Test("chain yᵀ HᵀH", lambda h, y: y.T @ (h.T @ h), lambda h, y: (y.T @ h.T) @ h, with_vectors(1, 1)),
    Test(
        "chain Hᵀy xᵀH",
        lambda h, x, y: h.T @ y @ x.T @ h,
        lambda h, x, y: (h.T @ y) @ (x.T @ h),
        with_vectors(1, 2),
    ),
    Test(
        "distributivity AB + AC",
        lambda a, b, c: a @ b + a @ c,
        lambda a, b, c: a @ (b + c),
        square(3),
    ),
    Test(
        "distributivity (A − HᵀH) x",
        lambda a, h, x: (a - h.T @ h) @ x,
        lambda a, h, x: a @ x - h.T @ (h @ x),
        with_vectors(2, 1),
    ),
    Test(
        "blocks [A 0; 0 B] [C; D]",
        lambda a, b, c, d: (
            torch.cat([torch.cat([a, torch.zeros_like(a)], 1), torch.cat([torch.zeros_like(b), b], 1)])
            @ torch.cat([c, d])
        ),
        lambda a, b, c, d: torch.cat([a @ c, b @ d]),
        lambda n, t: square(4)(n // 2, t),
    ),
    Test("loop-invariant code", loop_with_invariant, loop_hoisted, with_vectors(2, 1)),
    Test("one element of A + B", lambda a, b: (a + b)[2, 2], lambda a, b: a[2, 2] + b[2, 2], square(2)),
    Test("one element of A B", lambda a, b: (a @ b)[2, 2], lambda a, b: a[2] @ b[:, 2], square(2)),
]


def compiled(program: Program, backend: str) -> Program:
    torch._dynamo.reset()
    # A function of its own for each system: what Dynamo keeps goes by the code.
    return torch.compile(program, backend=backend, dynamic=False)


def error(given: Tensor, truth: Tensor) -> float:
    """The largest difference, relative to the largest element."""
    return float((given.double() - truth).abs().max()) / max(float(truth.abs().max()), 1e-300)


def run(test: Test, size: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """Every system on one test, in alternating rounds."""
    operands = test.operands(size, dtype)
    truth = test.best(*[x.double() for x in operands])
    systems: dict[str, Program] = {
        "eager": test.naive,
        "inductor": compiled(test.naive, "inductor"),
        "hypatia": compiled(test.naive, "hypatia"),
        "best": test.best,
    }
    errors, times = {}, {name: [] for name in systems}  # type: dict[str, float], dict[str, list[float]]
    for name, system in systems.items():
        errors[name] = error(system(*operands), truth)
        system(*operands)
    for _ in range(rounds):
        for name, system in systems.items():
            number, spent = 0, 0.0
            while number < 1 or (spent < 0.02 and number < 1000):
                begun = time.perf_counter()
                system(*operands)
                spent += time.perf_counter() - begun
                number += 1
            times[name].append(spent / number)
    seconds = {name: statistics.median(samples) for name, samples in times.items()}
    allowed = 1e3 * torch.finfo(dtype).eps
    return {
        "seconds": seconds,
        "errors": errors,
        "correct": all(e <= allowed for e in errors.values()),
        "passed": {name: s <= PASSED * seconds["best"] for name, s in seconds.items() if name != "best"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--tests", nargs="*", default=[""], help="parts of the names of tests")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if profile.current().machine() is None:
        print("costs are guessed: `hypatia_core.calibrate()` measures them")
    found: dict[str, dict[str, Any]] = {}
    with torch.no_grad():
        for name in arguments.dtypes:
            dtype = getattr(torch, name)
            print(f"{name}, n = {arguments.size}, {torch.get_num_threads()} threads; ms")
            print(f"{'test':34s} {'eager':>9s} {'Inductor':>9s} {'Hypatia':>9s} {'best':>9s}  Hypatia / best")
            for test in TESTS:
                if not any(part in test.name for part in arguments.tests):
                    continue
                torch.manual_seed(0)
                row = found.setdefault(name, {})[test.name] = run(
                    test, arguments.size, dtype, arguments.rounds
                )
                s = row["seconds"]
                shown = " ".join(f"{1e3 * s[k]:9.3f}" for k in ("eager", "inductor", "hypatia", "best"))
                mark = "" if row["passed"]["hypatia"] else "  missed"
                wrong = "" if row["correct"] else f"  WRONG: {row['errors']}"
                print(f"{test.name:34s} {shown}  {s['hypatia'] / s['best']:6.2f}{mark}{wrong}")
            for system in ("eager", "inductor", "hypatia"):
                passed = sum(row["passed"][system] for row in found[name].values())
                print(f"  {system}: {passed} of {len(found[name])} within {PASSED} times of the best form")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    facts = {**profile.machine_facts(), "threads": torch.get_num_threads()}
    content = {"machine": facts, "size": arguments.size, "rounds": arguments.rounds, "tests": found}
    arguments.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
