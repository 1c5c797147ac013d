"""Users' rules: tried at definition, refused with the instance that refutes them, used like built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import hypatia_core
from hypatia_core import HypatiaError, user_rules

ONES = torch.ones(3, 4)


@pytest.fixture(autouse=True)
def rules_end_with_their_test() -> Iterator[None]:
    """No rule is left for the next test."""
    torch._dynamo.reset()
    yield
    for rule in user_rules.defined():
        user_rules.forget(rule.name)


def squares_differ(a: Any, b: Any) -> Any:
    return a * a - b * b


def factored(a: Any, b: Any) -> Any:
    return (a + b) * (a - b)


def rules_of(program: Callable[..., Any], *inputs: torch.Tensor, numerics: str = "reals") -> dict[str, int]:
    compiled = torch.compile(
        program, backend="hypatia", options={"executor": "aten", "numerics": numerics, "on_error": "raise"}
    )
    with torch.no_grad():
        wanted = program(*[x.double() for x in inputs])
        given = compiled(*inputs)
    assert float((given - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
    (graph,) = hypatia_core.report(compiled).graphs
    return graph.rules


def test_a_rule_joins_the_search_and_its_steps_are_replayed() -> None:
    def program(x: Any, y: Any) -> Any:
        return x.exp() * y.exp()

    inputs = [torch.rand(256, 256), torch.rand(256, 256)]
    assert "exponentials" not in rules_of(program, *inputs)
    torch._dynamo.reset()
    hypatia_core.rule(
        "exponentials",
        program,
        lambda x, y: (x + y).exp(),
        [ONES, ONES],
        why="eˣ eʸ = eˣ⁺ʸ",
        numerics="reals",
    )
    assert rules_of(program, *inputs) == {"exponentials": 1}
    torch._dynamo.reset()
    assert "exponentials" not in rules_of(program, *inputs, numerics="reassociate")
    user_rules.forget("exponentials")
    torch._dynamo.reset()
    assert "exponentials" not in rules_of(program, *inputs)


def test_a_rule_holds_for_other_shapes_than_its_example() -> None:
    rule = hypatia_core.rule(
        "trace-of-square-product",
        lambda a: (a @ a).sum(-1),
        lambda a: (a @ a.sum(-1, keepdim=True)).reshape((a @ a).shape[:-1]),
        [torch.ones(3, 3)],
        why="a sum over columns passes through the product",
    )
    assert "?shape0" in rule.left and "?shape0" in rule.right


REFUSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any], str]] = {
    "sides that differ": (lambda x: x.abs(), lambda x: x, {}, r"refused: refused, at x: .*:"),
    "a claim too strong": (
        lambda x, y, z: (x + y) + z,
        lambda x, y, z: x + (y + z),
        {"numerics": "exact"},
        "refused: refused",
    ),
    "an opaque operation": (lambda x: x.cumsum(0), lambda x: x, {}, "aten.cumsum.*does not look into"),
    "other parameters": (lambda x: x, lambda y: y, {}, "same parameters"),
    "another shape": (lambda x: x.exp(), lambda x: x.exp().sum(0), {}, "another type|stands for|shape"),
    "no reason": (lambda x: x.neg().neg(), lambda x: x, {"why": ""}, "why it holds"),
    "unknown numerics": (
        lambda x: x.neg().neg(),
        lambda x: x,
        {"numerics": "loose"},
        "unknown numerics 'loose'",
    ),
    "unknown condition": (
        lambda x: x.neg().neg(),
        lambda x: x,
        {"conditions": ["is-nice ?x"]},
        "unknown condition",
    ),
    "nothing to search for": (lambda x: x, lambda x: x, {}, "must be an operation"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_rule_is_refused_with_the_reason(case: str) -> None:
    left, right, options, message = REFUSED[case]
    example = [ONES] * left.__code__.co_argcount
    with pytest.raises(HypatiaError, match=message):
        hypatia_core.rule("refused", left, right, example, **{"why": "it seems so", **options})
    assert user_rules.defined() == []


def test_a_built_in_name_is_not_given_twice() -> None:
    with pytest.raises(HypatiaError, match="built-in"):
        hypatia_core.rule("matmul-associates", lambda x: x.neg().neg(), lambda x: x, [ONES], why="two signs")


def test_both_ways_and_conditions_are_as_in_a_row() -> None:
    rule = hypatia_core.rule(
        "difference-of-squares",
        squares_differ,
        factored,
        [ONES, ONES],
        why="a² − b² = (a + b)(a − b)",
        both_ways=True,
    )
    assert repr(rule) == (
        "UserRule('difference-of-squares': (sub (mul ?a ?a) (mul ?b ?b)) == (mul (add ?a ?b) (sub ?a ?b)))"
    )
    assert (rule.numerics, rule.why) == ("reassociate", "a² − b² = (a + b)(a − b)")


def test_axes_are_counted_from_the_end() -> None:
    rule = hypatia_core.rule(
        "sum-of-exponential-rows",
        lambda x: x.exp().sum(-1, keepdim=True).log(),
        lambda x: torch.logsumexp(x, -1, keepdim=True),
        [ONES],
        why="the definition",
        numerics="accurate",
    )
    assert rule.left == "(log (sum (exp ?x) ends:[1] true))"
    hypatia_core.rule(
        "transposed-difference",
        lambda a, b: a.mT - b.mT,
        lambda a, b: (a - b).mT,
        [ONES, ONES],
        why="both move the same axes",
        numerics="exact",
    )
    for shape in ((256, 64), (2, 256, 64), (2, 3, 256, 64)):
        torch._dynamo.reset()
        inputs = [torch.randn(shape) for _ in range(2)]
        used = rules_of(lambda a, b: (a.mT - b.mT).mT @ b.mT, *inputs)
        assert "transposed-difference" in used, shape
