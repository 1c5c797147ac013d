"""Attention without softmax, written in the quadratic order: (φ(Q) φ(K)ᵀ) V.

    python examples/linear_attention.py

prints

    as written   y = (relu(q) relu(k)ᵀ) v
    as found     y = relu(q) (relu(k)ᵀ v)
    1024 × 1024 numbers are no longer made
    error      … (eager …), against float64
"""

from __future__ import annotations

import torch
from torch import Tensor

import hypatia_core

LENGTH, WIDTH = 1024, 32


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (torch.relu(q) @ torch.relu(k).transpose(-2, -1)) @ v


def main() -> None:
    torch.manual_seed(0)
    hypatia_core.set_log_level("WARN")
    inputs = tuple(torch.randn(LENGTH, WIDTH) for _ in range(3))
    print(f"as written   {hypatia_core.formula(attention, inputs).text}")
    print(f"as found     {hypatia_core.formula(attention, inputs, optimized=True).text}")
    compiled = torch.compile(attention, backend="hypatia")
    compiled(*inputs)
    report = hypatia_core.report(compiled, inputs=inputs)
    before, after = report.graphs[0].before, report.graphs[0].after
    assert before is not None and after is not None
    square = f"f32[{LENGTH}, {LENGTH}]"
    gone = any(n.type == square for n in before.nodes) and not any(n.type == square for n in after.nodes)
    print(f"{LENGTH} × {LENGTH} numbers are {'no longer' if gone else 'still'} made")
    print(str(report.comparison).splitlines()[-1].strip())


if __name__ == "__main__":
    main()
