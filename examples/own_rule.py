"""A rule of one's own: Hypatia tries it, refuses it where it is wrong, and uses it where it pays.

python examples/own_rule.py

It prints why a false rule is refused, with the numbers where both sides differ, then a true rule as it joins
the search, and the report of a function that it made faster.
"""

from typing import Any

import torch

import hypatia_core


def sharpened(x: Any, y: Any) -> Any:
    """Two exponentials where one would do."""
    return x.exp() * y.exp()


def main() -> None:
    print("A false rule is refused, with a counter-example:")
    try:
        hypatia_core.rule(
            "root-of-square", lambda x: (x * x).sqrt(), lambda x: x, [torch.ones(3)], why="it looks so"
        )
    except hypatia_core.HypatiaError as refusal:
        print(f"  {refusal}")

    print("A true one is tried and joins the search:")
    rule = hypatia_core.rule(
        "product-of-exponentials",
        lambda x, y: x.exp() * y.exp(),
        lambda x, y: (x + y).exp(),
        [torch.ones(3), torch.ones(3)],
        why="the exponential of a sum is the product of the exponentials",
        numerics="reals",
    )
    print(f"  {rule}")

    x, y = torch.randn(512, 512), torch.randn(512, 512)
    compiled = torch.compile(sharpened, backend="hypatia", options={"numerics": "reals", "executor": "aten"})
    with torch.no_grad():
        error = (compiled(x, y) - sharpened(x.double(), y.double())).abs().max()
    print(hypatia_core.report(compiled))
    print(f"  largest difference from float64: {float(error):.1e}")


if __name__ == "__main__":
    main()
