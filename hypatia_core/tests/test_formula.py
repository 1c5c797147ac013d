"""Formulas of functions and models, and how each operation is written."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hypatia_core import HypatiaError, formula, notation
from hypatia_core._hypatia_core import rules

pytestmark = pytest.mark.usefixtures("one_thread")

A, B, V = torch.ones(8, 8), torch.ones(8, 8), torch.ones(8, 1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (torch.relu(q) @ torch.relu(k).transpose(-2, -1)) @ v


@pytest.mark.parametrize(
    "function, inputs, text",
    [
        (lambda a, b, v: (a @ b) @ v, (A, B, V), "y = (a b) v"),
        (lambda a, b: a * b + a / b, (A, B), "y = a ⊙ b + a / b"),
        (lambda a: (a - 2.0).exp().sum(0), (A,), "y = ∑[0] e^(a - 2)"),
        (lambda a, b: -(a - (b - a)), (A, B), "y = -(a - (b - a))"),
        (lambda a: (a.abs() + 1).rsqrt() * a.t(), (A,), "y = (1 / √(|a| + 1)) ⊙ aᵀ"),
        (attention, (A, B, V), "y = (relu(q) relu(k)ᵀ) v"),
    ],
)
def test_functions(function: object, inputs: tuple[Tensor, ...], text: str) -> None:
    assert formula(function, inputs).text == text  # type: ignore[arg-type]


def test_what_the_search_makes_of_it() -> None:
    assert formula(attention, (A, B, V), optimized=True).text == "y = relu(q) (relu(k)ᵀ v)"


def test_shared_values_get_a_name_and_results_too() -> None:
    def two(x: Tensor) -> tuple[Tensor, Tensor]:
        once = torch.tanh(x + 1)
        return once * once, x @ once

    found = formula(two, (A,))
    assert found.text.splitlines() == ["t1 = tanh(x + 1)", "y1 = t1 ⊙ t1", "y2 = x t1"]
    assert found.latex.startswith("\\begin{aligned}\nt_{1} &= ") and str(found) == found.latex
    assert found._repr_latex_().startswith("$$") and found.mathml.count("<mtr>") == 3


def test_weights_go_by_their_names() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    assert formula(model, (A,)).text == "y = relu(args[0] 0.weightᵀ + 0.bias)"


def test_inputs_that_are_one_tensor_stay_two() -> None:
    assert formula(lambda a, b: a @ b, (A, A)).text == "y = a b"


def test_what_cannot_be_captured_is_an_error() -> None:
    with pytest.raises(HypatiaError, match="cannot capture"):
        formula(lambda x: x if x.sum() > 0 else -x, (A,))
    with pytest.raises(HypatiaError, match="unknown option"):
        formula(attention, (A, B, V), numeric="exact")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["name"])
def test_both_sides_of_every_rule_can_be_written(rule: dict[str, str]) -> None:
    for side in ("left", "right"):
        piece = notation.write(notation.pattern(rule[side]))
        assert piece.text and piece.latex.count("{") == piece.latex.count("}")
        assert piece.latex.count("\\left") >= piece.latex.count("\\right)")
        assert piece.mathml.count("<mrow>") == piece.mathml.count("</mrow>")


def test_brackets_show_how_a_product_is_grouped() -> None:
    sides = [
        notation.write(notation.pattern(p)).text
        for p in ("(matmul (matmul ?a ?b) ?c)", "(matmul ?a (matmul ?b ?c))")
    ]
    assert sides == ["(a b) c", "a (b c)"]
