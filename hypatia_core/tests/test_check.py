"""The judge: what it lets pass, and above all what it does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from agreement import Function
from hypatia_core.check import Reference, Terms, judge

NAN, INF = math.nan, math.inf


def verdict(ours: list[float], theirs: list[float], truth: list[float]) -> bool:
    narrow: Function = lambda x: [torch.tensor(x)]  # noqa: E731
    reference = [torch.tensor(truth, dtype=torch.float64)]
    return judge(narrow(ours), narrow(theirs), reference, exact=False).accepted


@pytest.mark.parametrize(
    ("ours", "theirs", "truth", "accepted"),
    [
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.000001], [1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.001], [1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.003], [1.0, 2.001], [1.0, 2.0], True),
        ([1.0, 2.005], [1.0, 2.001], [1.0, 2.0], False),
        ([NAN, 2.0], [1.0, 2.0], [1.0, 2.0], False),
        ([INF, 2.0], [1.0, 2.0], [1.0, 2.0], False),
        ([NAN, 2.0], [NAN, 2.0], [NAN, 2.0], True),
        ([1.0, 2.0], [NAN, 2.0], [NAN, 2.0], False),
        ([INF, 2.0], [INF, 2.0], [1e300, 2.0], True),
        # An element at 9 where the truth is 2 must not hide behind one at 1e30.
        ([1e30, 9.0], [INF, 2.0], [1e30, 2.0], False),
        ([5.0, 2.0], [INF, 2.0], [1.0, 2.0], False),
        ([INF, 7.0], [INF, 2.0], [1e300, 2.0], False),
        ([-INF, 2.0], [INF, 2.0], [INF, 2.0], False),
        ([NAN, 2.0], [INF, 2.0], [INF, 2.0], False),
        ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], True),
        ([1e-3, 0.0], [0.0, 0.0], [0.0, 0.0], False),
    ],
)
def test_verdicts(ours: list[float], theirs: list[float], truth: list[float], accepted: bool) -> None:
    assert verdict(ours, theirs, truth) == accepted


def test_integers_types_and_numbers_must_be_equal() -> None:
    one = torch.tensor([1, 2])
    assert judge([one], [one.clone()], None, exact=False).accepted
    assert not judge([one + 1], [one], None, exact=False).accepted
    assert not judge([one.float()], [one.double()], None, exact=False).accepted
    assert not judge([one[:1]], [one], None, exact=False).accepted
    assert not judge([3], [4], None, exact=False).accepted and judge([3], [3], None, exact=False).accepted
    near = torch.tensor([1.0])
    assert judge([near * (1 + 1e-7)], [near], None, exact=False).accepted
    assert not judge([near * (1 + 1e-6 / 8)], [near], None, exact=True).accepted


def test_the_reference_is_nearer_than_the_original() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.to(torch.bfloat16) @ x.to(torch.bfloat16)
        return y.sum(0), torch.zeros(3, dtype=torch.float32) + y.float()[0, :3]

    x = torch.randn(64, 64)
    graph = make_fx(function, tracing_mode="fake")(x)
    results = Reference(graph).run_on([x])
    assert all(r.dtype == torch.float64 for r in results)
    assert torch.allclose(results[0], (x.double() @ x.double()).sum(0))


def test_the_reference_draws_the_same_numbers_and_reads_the_same_bits() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        return torch.rand_like(x) * x, torch.nn.functional.dropout(x, 0.5, True), (x * 2).view(torch.int32)

    x = torch.randn(5)
    graph = make_fx(function, tracing_mode="fake")(x)
    torch.manual_seed(3)
    ours = Reference(graph).run_on([x])
    torch.manual_seed(3)
    theirs = function(x)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.to(b.dtype), b)
    assert torch.equal(ours[2], theirs[2])


def test_inputs_are_not_widened_all_at_once() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        return x.sum() + y.sum()

    inputs = [torch.randn(4), torch.randn(4)]
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    reference = Reference(graph)
    placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
    seen: list[torch.dtype] = []
    run_node = reference.run_node

    def watch(n: torch.fx.Node) -> object:
        seen.extend(reference.env[p].dtype for p in placeholders if p in reference.env)
        return run_node(n)

    reference.run_node = watch  # type: ignore[method-assign]
    assert reference.run_on(inputs)[0].dtype == torch.float64
    assert seen and set(seen) == {torch.float32}


def test_an_element_of_a_product_is_held_against_its_terms() -> None:
    """One element may be small by chance where its terms are not: the original's error says nothing then."""
    a = torch.tensor([[1.0, 3.0, -4.0], [5.0, 6.0, 7.0]])
    b = torch.tensor([[1.0], [1.0], [1.0 + 1e-4]])
    inputs = [a, b]
    graph = make_fx(lambda a, b: [(a @ b).t()[0, 0].clone(), a @ b, a + 1])(*inputs)
    terms = Terms(graph).terms_on(inputs)
    assert terms[0] is not None and terms[0].item() == pytest.approx(26**0.5, rel=1e-3)
    assert terms[1] is None and terms[2] is None
    reference = Reference(graph).run_on(inputs)
    for off, accepted in [(2e-6, True), (2e-5, False)]:
        original = [x.float() for x in reference]
        candidate = [original[0] + off, *original[1:]]
        assert not judge(candidate, original, reference, exact=False).accepted
        assert judge(candidate, original, reference, exact=False, terms=terms).accepted == accepted
