"""Gathers from the last axis by indices that code captures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import hypatia_core
from hypatia_core import channel_map
from hypatia_core.bilinear import Table, Term
from hypatia_core.constant_indices import with_constant_indices

aten, hypatia = torch.ops.aten, torch.ops.hypatia
GRADES = torch.tensor([0, 1, 1, -1])
PATHS = torch.tensor([[1, 0], [2, 2], [0, 1]])
GRADED = channel_map.graded(range(4), 4)
PRODUCT = Table((3, 2, 4), 6, tuple(Term(n % 3, n % 2, n % 4, 1.0 - n, n) for n in range(6))).text()


def rewritten(function: Callable[..., Any], *given: Tensor) -> tuple[Any, Counter[str], set[int]]:
    """A function's graph whose last input is known, by which operations it computes, and what it rests on."""
    graph = make_fx(function, tracing_mode="fake")(*given)
    found = with_constant_indices(graph, {len(given) - 1: given[-1]})
    if found is None:
        return graph, Counter(), set()
    names = (str(node.target) for node in found[0].graph.nodes if node.op == "call_function")
    return found[0], Counter(name.split(".")[1] for name in names), found[1]


def put(values: Tensor, like: Tensor, places: Tensor) -> Tensor:
    before = [None] * (like.dim() - 1)
    result: Tensor = aten.index_put(torch.zeros_like(like), [*before, places], values, True)
    return result


CASES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...], Counter[str]]] = {
    "weights of a channel map": (
        lambda x, w, at: hypatia.channel_map(x, w[..., at], GRADED),
        (torch.randn(6, 5, 4), torch.randn(3, 5, 3), GRADES),
        Counter(channel_map=1),
    ),
    "with channels turned": (
        lambda x, w, at: hypatia.channel_map(x, w[..., at].permute(1, 0, 2), GRADED),
        (torch.randn(6, 5, 4), torch.randn(5, 3, 3), GRADES),
        Counter(channel_map=1, permute=1),
    ),
    "weights of a bilinear map, by indices of two axes": (
        lambda x, y, w, at: hypatia.weighted_bilinear(x, y, w[:, at].reshape(5, 6), PRODUCT),
        (torch.randn(7, 5, 3), torch.randn(7, 5, 2), torch.randn(5, 3), PATHS),
        Counter(weighted_bilinear=1),
    ),
    "their gradient": (
        lambda x, y, g, w, at: put(
            hypatia.bilinear_weight_gradient(x, y, g, PRODUCT).reshape(5, 3, 2), w, at
        ),
        (*(torch.randn(7, 5, n) for n in (3, 2, 4)), torch.randn(5, 3), PATHS),
        Counter(bilinear_weight_gradient=1),
    ),
    "the gradient of a channel map's": (
        lambda x, g, w, at: put(hypatia.channel_map_weight_gradient(x, g, GRADED), w, at),
        (torch.randn(6, 5, 4), torch.randn(6, 3, 4), torch.randn(3, 5, 3), GRADES),
        Counter(channel_map_weight_gradient=1),
    ),
    "what is no weight holds its indices": (
        lambda x, at: x.exp()[..., at],
        (torch.randn(6, 3), GRADES),
        Counter(exp=1, index=1),
    ),
    "axes that are mixed among one another": (
        lambda x, y, w, at: hypatia.weighted_bilinear(x, y, w[:, at].permute(0, 2, 1).reshape(5, 6), PRODUCT),
        (torch.randn(7, 5, 3), torch.randn(7, 5, 2), torch.randn(5, 3), PATHS),
        Counter(),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_gathers_are_found_and_are_the_same(case: Any) -> None:
    function, given, wanted = case
    graph, calls, used = rewritten(function, *given)
    assert calls == wanted
    assert used == ({len(given) - 1} if wanted else set())
    torch.testing.assert_close(graph(*given), function(*given))


def test_indices_out_of_reach_and_other_axes_are_left() -> None:
    _, _, used = rewritten(lambda x, at: x.exp()[at], torch.randn(3, 6), GRADES)
    assert not used
    graph = make_fx(lambda x, at: x[..., at], tracing_mode="fake")(torch.randn(6, 3), GRADES)
    assert with_constant_indices(graph, {1: torch.tensor([0, 1, 3, 0])}) is None


class Gated(torch.nn.Module):
    """A gate for each grade, and channels mixed by weights of each grade."""

    grade: Tensor
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grade", torch.tensor([0, 1, 1, 2]))
        self.register_buffer("squares", torch.eye(3)[self.grade])
        self.weight = torch.nn.Parameter(torch.randn(5, 5, 3) / 2)
        self.gate = torch.nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("oci,bci->boi", self.weight[..., self.grade], x)
        return y * torch.sigmoid(self.gate * (y * y @ self.squares))[..., self.grade]


@pytest.mark.parametrize("executor", ["native", "aten"])
def test_a_layer_trains_by_them_and_keeps_its_indices_watched(executor: str) -> None:
    torch.manual_seed(0)
    layer, x = Gated(), torch.randn(40, 5, 4)
    compiled = torch.compile(
        layer, backend="hypatia", options={"measure": False, "cache": False, "executor": executor}
    )

    def gradients(model: Callable[[Tensor], Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(model(x).square().mean(), [*layer.parameters()]))

    def check() -> None:
        torch.testing.assert_close(gradients(compiled), gradients(layer), rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), layer(x), rtol=1e-4, atol=1e-4)

    check()
    (joint, inference) = hypatia_core.report(compiled).graphs
    assert (joint.executor, inference.executor) == (executor, executor)
    with torch.no_grad():
        layer.grade.copy_(torch.tensor([2, 0, 1, 0]))
    check()
    with torch.no_grad():
        layer.squares[1] = 3.0
    check()
