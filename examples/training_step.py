"""A training step: forward and backward are optimised as one, and learn what eager learns.

    python examples/training_step.py

prints

    graphs: joint
    after 30 steps eager and compiled agree: True
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

import hypatia_core

STEPS = 30


class Regression(nn.Module):
    """Two linear layers, and the loss in the model, so that the graph has it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        loss: Tensor = ((self.layers(x) - y) ** 2).mean()
        return loss


def trained(model: nn.Module, call: Callable[..., Tensor], x: Tensor, y: Tensor) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loss = torch.zeros(())
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = call(x, y)
        loss.backward()
        optimizer.step()
    return loss.item()


def main() -> None:
    torch.manual_seed(0)
    hypatia_core.set_log_level("WARN")
    model = Regression()
    twin = copy.deepcopy(model)
    x, y = torch.randn(128, 32), torch.randn(128, 1)
    compiled = torch.compile(model, backend="hypatia")
    ours, theirs = trained(model, compiled, x, y), trained(twin, twin, x, y)
    stages = [graph.stage for graph in hypatia_core.report(compiled).graphs]
    print(f"graphs: {', '.join(stages)}")
    print(f"after {STEPS} steps eager and compiled agree: {abs(ours - theirs) < 1e-4 * abs(theirs)}")


if __name__ == "__main__":
    main()
