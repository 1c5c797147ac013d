"""Circles turned inside out: in the conformal model inversion in a circle is one sandwich, for all at once.

    pip install "hypatia-core[examples]"
    python examples/inversion.py --out inversion.svg

A circle of the plane is a vector of CGA2D, and acts on others as inversion in it. Circles of a ring that
touch each other touch after it too, which the scalar product of two unit circles says: 1 or -1. It prints

    6 circles, each touching the next: yes
    their images, each touching the next: yes
"""

from __future__ import annotations

import argparse
import math

import torch

from hypatia_core.clifford import Algebra, Multivector, center_and_radius, rotor, sphere

CGA = Algebra.named("CGA2D")
COUNT = 6


def ring() -> Multivector:
    """Circles in a ring, each touching the next, by turning the first."""
    first = sphere(CGA, torch.tensor([1.0, 0.0], dtype=torch.float64), math.sin(math.pi / COUNT))
    turns = rotor(CGA, torch.arange(COUNT, dtype=torch.float64) * (2 * math.pi / COUNT))
    return turns.sandwich(first)


def touch(circles: Multivector) -> bool:
    """Whether each touches the next."""
    unit = circles / circles.norm()
    following = unit.map(lambda values: values.roll(-1, 0))
    return bool(torch.allclose(unit.scalar_product(following).abs(), torch.ones(COUNT, dtype=torch.float64)))


def draw(path: str, pictures: list[tuple[str, Multivector]], mirror: Multivector) -> None:
    """The circles before and after, and the one in which they are inverted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Circle

    figure, axes = pyplot.subplots(1, len(pictures), figsize=(8, 4))
    for axis, (title, circles) in zip(axes, pictures, strict=True):
        centers, radii = center_and_radius(circles)
        for k, (center, radius) in enumerate(zip(centers.tolist(), radii.abs().tolist(), strict=True)):
            axis.add_patch(Circle((center[0], center[1]), radius, fill=True, alpha=0.6, color=f"C{k}"))
        middle, size = center_and_radius(mirror)
        axis.add_patch(Circle((float(middle[0]), float(middle[1])), float(size), fill=False, linestyle="--"))
        axis.set_aspect("equal")
        axis.set_title(title)
        axis.set_xlim(-3.2, 4.3)
        axis.set_ylim(-2.7, 2.7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Inverts, checks, draws where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default=None, help="where to draw the picture; none without it")
    options = parser.parse_args()
    circles = ring()
    mirror = sphere(CGA, torch.tensor([2.2, 0.0], dtype=torch.float64), 1.9)
    images = mirror.sandwich(circles)
    for what, chain in (("circles", circles), ("their images", images)):
        count = f"{COUNT} " if what == "circles" else ""
        print(f"{count}{what}, each touching the next: {'yes' if touch(chain) else 'no'}")
    if options.out:
        draw(options.out, [("a ring of circles", circles), ("inverted in the dashed circle", images)], mirror)


if __name__ == "__main__":
    main()
