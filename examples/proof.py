"""A symbolic proof: equal, not equal with a witness, and equal where something is known.

    python examples/proof.py

prints

    sin(x)^2 + cos(x)^2 = 1: proved
    sqrt(x^2) = x: refuted at x = -2
    sqrt(x^2) = x for positive x: proved
    d/dx of log(1 + exp(x)) is the sigmoid: proved
"""

from __future__ import annotations

import hypatia_core
from hypatia_core import parse_expr, prove_equivalent


def main() -> None:
    hypatia_core.set_log_level("WARN")
    print(f"sin(x)^2 + cos(x)^2 = 1: {prove_equivalent('sin(x)^2 + cos(x)^2', '1').status}")
    answer = prove_equivalent("sqrt(x^2)", "x")
    assert answer.witness is not None
    print(f"sqrt(x^2) = x: {answer.status} at x = {answer.witness['x']}")
    positive = prove_equivalent("sqrt(x^2)", "x", {"x": "positive"})
    print(f"sqrt(x^2) = x for positive x: {positive.status}")
    softplus = parse_expr("log(1 + exp(x))").derivative("x")
    print(f"d/dx of log(1 + exp(x)) is the sigmoid: {prove_equivalent(softplus, 'sigmoid(x)').status}")


if __name__ == "__main__":
    main()
