"""Low-rank factorisation by gradient descent: X ≈ U Vᵀ, and the product with it afterwards.

    python examples/low_rank.py

prints

    loss 1.0 → 0.0 (rounded)
    (U Vᵀ) y is computed as   y = u (vᵀ y)
"""

from __future__ import annotations

import torch
from torch import Tensor

import hypatia_core

SIZE, RANK, STEPS = 96, 4, 300


def loss(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return ((x - u @ v.t()) ** 2).mean()


def apply(u: Tensor, v: Tensor, y: Tensor) -> Tensor:
    return (u @ v.t()) @ y


def main() -> None:
    torch.manual_seed(0)
    hypatia_core.set_log_level("WARN")
    x = torch.randn(SIZE, RANK) @ torch.randn(RANK, SIZE) / RANK**0.5
    u, v = (torch.randn(SIZE, RANK, requires_grad=True) for _ in range(2))
    compiled = torch.compile(loss, backend="hypatia")
    optimizer = torch.optim.Adam([u, v], lr=0.05)
    first = loss(x, u, v).item()
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = compiled(x, u, v)
        value.backward()
        optimizer.step()
    print(f"loss {first / first:.1f} → {abs(value.item()) / first:.1f} (rounded)")
    inputs = (u.detach(), v.detach(), torch.randn(SIZE, 2))
    print(f"(U Vᵀ) y is computed as   {hypatia_core.formula(apply, inputs, optimized=True).text}")


if __name__ == "__main__":
    main()
