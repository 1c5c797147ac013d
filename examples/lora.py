"""LoRA: one base weight, several low-rank updates, switched between calls.

    python examples/lora.py

prints

    as written   y = x (weight + b a)ᵀ
    red: right, blue: right, red again: right
    1 graph for all of them
      (weight + b a)ᵀ  →  weightᵀ + (b a)ᵀ
      x (weightᵀ + (b a)ᵀ)  →  x weightᵀ + x (b a)ᵀ
      (b a)ᵀ  →  aᵀ bᵀ
      x (aᵀ bᵀ)  →  (x aᵀ) bᵀ
      x weightᵀ + (x aᵀ) bᵀ  →  addmm(x weightᵀ, x aᵀ, bᵀ)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hypatia_core

WIDTH, RANK = 256, 8


class LoRA(nn.Module):
    """x (W + B A)ᵀ, as one would write it from the paper: the update is added to the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return x @ (self.weight + b @ a).t()


def main() -> None:
    torch.manual_seed(0)
    hypatia_core.set_log_level("WARN")
    model = LoRA().eval()
    adapters = {name: (torch.randn(RANK, WIDTH), torch.randn(WIDTH, RANK)) for name in ("red", "blue")}
    x = torch.randn(4, WIDTH)
    print(f"as written   {hypatia_core.formula(model, (x, *adapters['red'])).text}")
    compiled = torch.compile(model, backend="hypatia")
    found: list[str] = []
    with torch.no_grad():
        for name in ("red", "blue", "red"):
            ours, expected = compiled(x, *adapters[name]), model(x, *adapters[name])
            right = torch.allclose(ours, expected, rtol=1e-3, atol=1e-2)
            found.append(f"{name}{' again' if len(found) == 2 else ''}: {'right' if right else 'WRONG'}")
    print(", ".join(found))
    report = hypatia_core.report(compiled)
    print(f"{len(report.graphs)} graph for all of them")
    for step in report.graphs[0].steps:
        print(f"  {step.left['text']}  →  {step.right['text']}")


if __name__ == "__main__":
    main()
