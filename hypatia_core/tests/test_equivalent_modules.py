"""`equivalent_modules`: proofs by the tensor rules, refutations by enclosures, and honest doubt."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from hypatia_core import HypatiaError, equivalent_modules
from hypatia_core.compat import decompositions
from hypatia_core.enclosure import UnboundedError, enclose

A, B, V = torch.randn(6, 6), torch.randn(6, 6), torch.randn(6, 1)

Pair = tuple[Callable[..., Any], Callable[..., Any], list[Any]]

PROVED: dict[str, Pair] = {
    "a product in another order": (lambda a, b, v: (a @ b) @ v, lambda a, b, v: a @ (b @ v), [A, B, V]),
    "a common factor": (lambda a, b: a @ a + a @ b, lambda a, b: a @ (a + b), [A, B]),
    "a transposed product": (lambda a, b: (a @ b).T, lambda a, b: b.T @ a.T, [A, B]),
    "a sum in another order": (lambda a, b: (a + b) + 1, lambda a, b: b + (1 + a), [A, B]),
    "two outputs": (lambda a, b: (a + b, a * b), lambda a, b: (b + a, b * a), [A, B]),
    "the same composite": (
        lambda a, b: torch.softmax(a + b, -1),
        lambda a, b: torch.softmax(b + a, -1),
        [A, B],
    ),
    "a nest of inputs": (lambda d: d["a"] - d["b"], lambda d: -(d["b"] - d["a"]), [{"a": A, "b": B}]),
}
REFUTED: dict[str, Pair] = {
    "a product turned round": (lambda a, b: a @ b, lambda a, b: b @ a, [A, B]),
    "relu is not gelu": (torch.relu, nn.functional.gelu, [A]),
    "softmax is not linear": (
        lambda a, b: torch.softmax(a + b, -1),
        lambda a, b: torch.softmax(a, -1),
        [A, B],
    ),
    "another axis": (lambda a: a.sum(0), lambda a: a.sum(1), [A]),
    "a flipped sign": (lambda a, b: a @ b + a, lambda a, b: a @ b - a, [A, B]),
    "a small constant": (lambda a: a, lambda a: a + 1e-6, [A]),
    "another shape": (lambda a: a.sum(0), lambda a: a.sum(0, keepdim=True), [A]),
    "another dtype": (lambda a: a, lambda a: a.double(), [A]),
    "an integer": (
        lambda a: torch.ones(2, dtype=torch.long),
        lambda a: torch.zeros(2, dtype=torch.long),
        [A],
    ),
}


@pytest.mark.parametrize("name", PROVED)
def test_equal_functions_are_proved(name: str) -> None:
    f, g, inputs = PROVED[name]
    assert equivalent_modules(f, g, inputs).status == "proved"
    assert equivalent_modules(g, f, inputs).status == "proved"


@pytest.mark.parametrize("name", REFUTED)
def test_unequal_functions_are_refuted_at_the_witness(name: str) -> None:
    f, g, inputs = REFUTED[name]
    answer = equivalent_modules(f, g, inputs)
    assert answer.status == "refuted" and answer.difference > 0
    assert answer.witness is not None
    ours, theirs = f(*answer.witness), g(*answer.witness)
    assert ours.shape != theirs.shape or ours.dtype != theirs.dtype or not torch.equal(ours, theirs)


def test_every_answer_holds_the_other_way_round() -> None:
    for f, g, inputs in REFUTED.values():
        assert equivalent_modules(g, f, inputs).status == "refuted"


def test_modules_with_equal_weights_are_equal_and_with_others_are_not() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    x = torch.randn(5, 4)
    assert equivalent_modules(first, second, [x]).status == "refuted"
    second.load_state_dict(first.state_dict())
    assert equivalent_modules(first, second, [x]).status == "proved"
    merged = lambda x: x @ first.weight.T + first.bias  # noqa: E731
    assert equivalent_modules(first, merged, [x]).status == "proved"
    deep = nn.Sequential(first, nn.ReLU(), nn.Linear(3, 2))
    assert equivalent_modules(deep, lambda x: deep[2](deep[0](x).relu()), [x]).status == "proved"


def test_constants_of_one_name_and_two_values_are_not_confused() -> None:
    f, g = (lambda a, c=c: a * torch.tensor(c) for c in ([1.0] * 6, [2.0] * 6))
    assert equivalent_modules(f, g, [A]).status == "refuted"


def test_what_rules_cannot_show_is_unknown_with_a_reason() -> None:
    answer = equivalent_modules(torch.tanh, lambda a: torch.sinh(a) / torch.cosh(a), [A])
    assert (
        answer.status == "unknown" and answer.reason is not None and "the rules did not lead" in answer.reason
    )


INTEGERS, MASK = torch.randint(-5, 5, (4, 4)), torch.randn(4, 4) > 0
#: Close to each other, or equal over the reals, and not for all that the types hold: none may be proved.
NEARLY: dict[str, Pair] = {
    "a quotient by itself": (lambda a: a / a, torch.ones_like, [A]),
    "nothing of what may be infinite": (lambda a: a * 0, torch.zeros_like, [A]),
    "a conversion there and back": (lambda a: a.int().float(), lambda a: a, [A]),
    "half precision there and back": (lambda a: a.half().float(), lambda a: a, [A]),
    "whole division": (lambda i: i // 2 * 2, lambda i: i, [INTEGERS]),
    "integers that overflow": (lambda i: (i * 3) // 3, lambda i: i, [INTEGERS]),
    "a sum of booleans": (lambda m: m + m, lambda m: m.logical_xor(m), [MASK]),
    "the root of a square": (lambda a: (a**2) ** 0.5, lambda a: a, [A]),
    "NaN replaced": (torch.nan_to_num, lambda a: a, [A]),
    "a mask by a product": (lambda a, m: a.masked_fill(m, 0), lambda a, m: a * (~m), [A[:4, :4], MASK]),
    "a variance of a sample": (lambda a: a.var(-1), lambda a: a.var(-1, unbiased=False), [A]),
    "a transposed view": (lambda a: a.reshape(4, 9), lambda a: a.T.reshape(4, 9), [A]),
    "the place of the least": (lambda a: a.argmax(-1), lambda a: (-a).argmax(-1), [A]),
}


@pytest.mark.parametrize("name", NEARLY)
def test_what_holds_over_the_reals_alone_is_not_proved(name: str) -> None:
    f, g, inputs = NEARLY[name]
    assert equivalent_modules(f, g, inputs).status != "proved"
    assert equivalent_modules(g, f, inputs).status != "proved"


def test_random_numbers_are_neither_proved_nor_refuted() -> None:
    answer = equivalent_modules(lambda a: a + torch.rand(6, 6), lambda a: torch.rand(6, 6) + a, [A])
    assert answer.status == "unknown" and answer.reason is not None and "random" in answer.reason


def test_zero_times_and_exactness_need_leave() -> None:
    f, g = lambda a: a * 0 + a, lambda a: a
    assert equivalent_modules(f, g, [A]).status == "unknown"
    assert equivalent_modules(f, g, [A], numerics="reals").status == "proved"
    chain = (lambda a, b, v: (a @ b) @ v, lambda a, b, v: a @ (b @ v), [A, B, V])
    assert equivalent_modules(*chain, numerics="exact").status == "unknown"


def test_a_branch_on_values_is_refused() -> None:
    with pytest.raises(HypatiaError, match="could not be captured"):
        equivalent_modules(lambda a: a if a.sum() > 0 else -a, lambda a: a, [A])
    with pytest.raises(HypatiaError, match="unknown numerics 'quick'"):
        equivalent_modules(lambda a: a, lambda a: a, [A], numerics="quick")


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: torch.softmax(a @ b, -1),
        lambda a, b: nn.functional.layer_norm(a, (6,)) * b,
        lambda a, b: nn.functional.gelu(a) / (1 + b * b),
        lambda a, b: torch.sqrt(a * a + b * b).mean(0),
        lambda a, b: torch.sin(a) + torch.where(b > 0, a, b).abs(),
        lambda a, b: nn.functional.conv2d(a[None, None], b[None, None, :3, :3], padding=1),
        lambda a, b: (torch.sigmoid(a) - torch.tanh(b)).amax(-1) + torch.cat([a, b])[3],
    ],
)
def test_enclosures_hold_the_value_in_wider_arithmetic(function: Callable[..., Any]) -> None:
    from hypatia_core.equivalence import COMPOSITE, _captured

    captured = _captured(function, [A, B], decompositions(COMPOSITE))
    (found,) = enclose(captured.graph, [A, B, *captured.weights])
    truth = function(A.double(), B.double())
    assert bool((found.low <= truth).all()) and bool((truth <= found.high).all())
    assert float((found.high - found.low).max()) < 1e-10


def test_an_operation_without_an_enclosure_says_so() -> None:
    from hypatia_core.equivalence import _captured

    captured = _captured(lambda a: torch.linalg.inv(a), [A], {})
    with pytest.raises(UnboundedError, match="linalg"):
        enclose(captured.graph, [A])
