"""An equivariant network learns how charged bodies move, and still knows it when the world is turned.

    pip install "hypatia-core[examples]"
    python examples/nbody.py --out nbody.png

Five bodies with charges +1 and -1 attract and repel each other. From positions, velocities and charges the
networks predict the positions some time later. All training worlds lie flat, near the plane z = 0. The
Clifford network sums messages between pairs of bodies, made of layers that commute with every rotation; the
plain network has the same shape and as many weights, with coordinates in place of multivectors. Both are
tested on flat worlds and on turned ones, and the table of their errors is what it prints.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

from hypatia_core.clifford import (
    Algebra,
    CliffordLinear,
    GeometricProduct,
    Multivector,
    MVActivation,
    MVLayerNorm,
    random_versor,
)

SPACE = Algebra(3)
BODIES, SPAN, STEPS = 5, 1.5, 100
World = tuple[Tensor, Tensor, Tensor]


def forces(x: Tensor, charge: Tensor) -> Tensor:
    """Coulomb's, softened: equal charges repel."""
    offset = x.unsqueeze(-2) - x.unsqueeze(-3)
    strength = charge.unsqueeze(-1) * charge.unsqueeze(-2) / (offset.square().sum(-1) + 0.1) ** 1.5
    return (strength.unsqueeze(-1) * offset).sum(-2)


def motion(world: World) -> Tensor:
    """The positions at all steps, `(steps + 1, batch, bodies, 3)`, by the leapfrog method."""
    x, v, charge = world
    dt, path = SPAN / STEPS, [x]
    for _ in range(STEPS):
        v = v + forces(x, charge) * (dt / 2)
        x = x + v * dt
        v = v + forces(x, charge) * (dt / 2)
        path.append(x)
    return torch.stack(path)


def flat_worlds(count: int, generator: torch.Generator) -> World:
    """Random bodies near the plane z = 0."""
    flat = torch.tensor([1.0, 1.0, 0.05])
    x = torch.randn(count, BODIES, 3, generator=generator) * flat
    v = 0.5 * torch.randn(count, BODIES, 3, generator=generator) * flat
    charge = torch.randint(0, 2, (count, BODIES), generator=generator) * 2.0 - 1
    return x - x.mean(1, keepdim=True), v, charge


def turned(world: World, rotor: Multivector) -> World:
    """The same worlds, turned by one rotor."""
    x, v, charge = world
    return rotor.sandwich(SPACE.vector(x)).values, rotor.sandwich(SPACE.vector(v)).values, charge


class CliffordBlock(nn.Module):
    """Mixes channels, multiplies them with one another, normalises and gates."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.left, self.right = (CliffordLinear(SPACE, inputs, channels) for _ in range(2))
        self.product = GeometricProduct(SPACE, channels)
        self.mix = CliffordLinear(SPACE, 2 * channels, channels)
        self.norm, self.gate = MVLayerNorm(SPACE, channels), MVActivation(SPACE, channels)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        both = torch.cat([left, self.product(left, self.right(x))], -2)
        out: Tensor = self.gate(self.norm(self.mix(both)))
        return out


class CliffordNetwork(nn.Module):
    """Messages between pairs, summed at each body, then the body's own block; the vector part moves it."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.message = CliffordBlock(4, channels)
        self.update = CliffordBlock(channels + 1, channels)
        self.out = CliffordLinear(SPACE, channels, 1)

    def forward(self, x: Tensor, v: Tensor, charge: Tensor) -> Tensor:
        offset = x.unsqueeze(2) - x.unsqueeze(1)
        both = charge.unsqueeze(2) * charge.unsqueeze(1)
        near = both / (offset.square().sum(-1) + 0.1)
        relative = v.unsqueeze(2) - v.unsqueeze(1)
        features = [
            SPACE.vector(offset),
            SPACE.vector(relative),
            SPACE.scalar(near),
            SPACE.vector(offset) * near,
        ]
        messages = self.message(torch.stack([f.full() for f in features], -2))
        own = SPACE.vector(v).full().unsqueeze(-2)
        state = self.update(torch.cat([messages.sum(2), own], -2))
        change = Multivector(SPACE, self.out(state)).grade(1).values.squeeze(-2)
        return x + SPAN * v + change


class PlainNetwork(nn.Module):
    """The same messages over coordinates, which know no rotations."""

    def __init__(self, width: int = 30) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(10, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.update = nn.Sequential(nn.Linear(width + 3, width), nn.SiLU(), nn.Linear(width, 3))

    def forward(self, x: Tensor, v: Tensor, charge: Tensor) -> Tensor:
        offset = x.unsqueeze(2) - x.unsqueeze(1)
        near = (charge.unsqueeze(2) * charge.unsqueeze(1) / (offset.square().sum(-1) + 0.1)).unsqueeze(-1)
        relative = v.unsqueeze(2) - v.unsqueeze(1)
        messages = self.message(torch.cat([offset, relative, near, offset * near], -1)).sum(2)
        change: Tensor = self.update(torch.cat([messages, v], -1))
        return x + SPAN * v + change


def train(network: nn.Module, world: World, target: Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        rows = torch.randint(len(target), (64,), generator=generator)
        loss = (network(*(part[rows] for part in world)) - target[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def draw(
    path: str,
    worlds: dict[str, World],
    truth: dict[str, Tensor],
    networks: dict[str, nn.Module],
    errors: dict[str, dict[str, float]],
) -> None:
    """True paths and predicted ends of one world, flat and turned; the errors beside them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    markers = {"Clifford": ("o", "tab:blue"), "plain": ("x", "tab:red")}
    for axis, (name, world) in zip(axes, worlds.items(), strict=False):
        first = tuple(part[:1] for part in world)
        true = truth[name][:, 0]
        for body in range(BODIES):
            axis.plot(true[:, body, 0], true[:, body, 1], color="0.6", zorder=0)
        for label, network in networks.items():
            with torch.no_grad():
                end = network(*first)[0]
            marker, color = markers[label]
            axis.scatter(end[:, 0], end[:, 1], marker=marker, color=color, label=label)
        axis.set_title(f"{name} world: true paths, predicted ends")
        axis.set_aspect("equal", "datalim")
        axis.legend()
    names = list(errors)
    for k, world_name in enumerate(worlds):
        places = [n + 0.4 * k for n in range(len(names))]
        axes[2].bar(places, [errors[n][world_name] for n in names], width=0.38, label=world_name)
    axes[2].set_xticks([n + 0.2 for n in range(len(names))], names)
    axes[2].set_yscale("log")
    axes[2].set_title("mean squared error")
    axes[2].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    print(f"drawn: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300, help="training steps of each network")
    parser.add_argument("--out", default=None, help="where to draw the picture; none without it")
    options = parser.parse_args()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    training, flat = flat_worlds(2000, generator), flat_worlds(300, generator)
    rotor = random_versor(SPACE, 2, dtype=torch.float32, generator=generator)
    worlds = {"flat": flat, "turned": turned(flat, rotor)}
    truth = {name: motion(world) for name, world in worlds.items()}
    target = motion(training)[-1]
    networks: dict[str, nn.Module] = {"Clifford": CliffordNetwork(), "plain": PlainNetwork()}
    errors: dict[str, dict[str, float]] = {
        "straight": {n: float((w[0] + SPAN * w[1] - truth[n][-1]).square().mean()) for n, w in worlds.items()}
    }
    for name, network in networks.items():
        begin = time.perf_counter()
        train(network, training, target, options.steps)
        spent = time.perf_counter() - begin
        with torch.no_grad():
            errors[name] = {n: float((network(*w) - truth[n][-1]).square().mean()) for n, w in worlds.items()}
        weights = sum(p.numel() for p in network.parameters())
        print(f"{name:9s} {weights:5d} weights, trained in {spent:.0f} s")
    print("\nmean squared error of the end positions    flat      turned")
    for name, row in errors.items():
        print(f"  {name:38s} {row['flat']:8.4f}   {row['turned']:8.4f}")
    if options.out:
        draw(options.out, worlds, truth, networks, errors)


if __name__ == "__main__":
    main()
