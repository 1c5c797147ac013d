"""Products that share a factor: merged in every spelling where it pays, and left alone where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import hypatia_core
from agreement import assert_agrees

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
#: The rules by which a slice of the wider product is one of the products.
MERGED = {
    "columns-of-matmul-need-just-those-columns",
    "columns-of-addmm-need-just-those-columns",
    "rows-of-matmul-need-just-those-rows",
}


def rules_of(compiled: Any) -> set[str]:
    (graph,) = hypatia_core.report(compiled).graphs
    return set(graph.rules)


def joined(q: Any, k: Any, v: Any) -> Any:
    return q * k.sigmoid() + v


#: x is long, the weights are thin: reading x once is what pays. By name: rank of x, the program.
SPELLINGS: dict[str, tuple[int, Callable[..., Any]]] = {
    "@": (2, lambda x, a, b, c: joined(x @ a, x @ b, x @ c)),
    "@, batched": (3, lambda x, a, b, c: joined(x @ a, x @ b, x @ c)),
    "mm": (2, lambda x, a, b, c: joined(torch.mm(x, a), torch.mm(x, b), torch.mm(x, c))),
    "matmul": (3, lambda x, a, b, c: joined(x.matmul(a), torch.matmul(x, b), x @ c)),
    "bmm": (
        3,
        lambda x, a, b, c: joined(*(torch.bmm(x, w.expand(len(x), *w.shape)) for w in (a, b, c))),
    ),
    "einsum": (3, lambda x, a, b, c: joined(*(torch.einsum("bnd,de->bne", x, w) for w in (a, b, c)))),
    "linear": (
        2,
        lambda x, a, b, c: joined(
            functional.linear(x, a.T), functional.linear(x, b.T), functional.linear(x, c.T)
        ),
    ),
    "linear, batched": (3, lambda x, a, b, c: joined(*(functional.linear(x, w.T) for w in (a, b, c)))),
    "linear with bias": (3, lambda x, a, b, c: joined(*(functional.linear(x, w.T, w[0]) for w in (a, b, c)))),
    "addmm": (2, lambda x, a, b, c: joined(*(torch.addmm(w[0], x, w) for w in (a, b, c)))),
    "transposed": (2, lambda x, a, b, c: joined(*((w.T @ x.T).T for w in (a, b, c)))),
    "permuted": (
        3,
        lambda x, a, b, c: joined(*(x.permute(1, 0, 2) @ w for w in (a, b, c))),
    ),
    "two of three": (2, lambda x, a, b, c: joined(x @ a, x @ b, c.sum())),
}


@DTYPES
@pytest.mark.parametrize("name", SPELLINGS)
def test_products_that_share_an_input_are_merged(name: str, dtype: torch.dtype) -> None:
    rank, program = SPELLINGS[name]
    x = torch.randn((4096, 256) if rank == 2 else (4, 1024, 256), dtype=dtype)
    weights = [torch.randn(256, 4, dtype=dtype) for _ in range(3)]
    compiled = assert_agrees(program, x, *weights, measure=False)
    assert rules_of(compiled) & MERGED, rules_of(compiled)


@DTYPES
@pytest.mark.parametrize("rank, bias", [(2, True), (2, False), (3, True)])
def test_queries_keys_and_values_are_one_product_of_folded_weights(
    rank: int, bias: bool, dtype: torch.dtype
) -> None:
    class Projections(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (torch.nn.Linear(64, n, bias, dtype=dtype) for n in (64, 32, 32))

        def forward(self, x: Any) -> Any:
            return self.q(x), self.k(x).sigmoid() * self.v(x)

    x = torch.randn((32, 64) if rank == 2 else (2, 16, 64), dtype=dtype)
    with torch.no_grad():
        compiled = assert_agrees(Projections().eval(), x, measure=False)
    assert rules_of(compiled) & MERGED, rules_of(compiled)


@DTYPES
def test_products_that_share_a_weight_are_merged(dtype: torch.dtype) -> None:
    x, y, w = (
        torch.randn(4, 256, dtype=dtype),
        torch.randn(8, 256, dtype=dtype),
        torch.randn(256, 4096, dtype=dtype),
    )
    compiled = assert_agrees(lambda x, y, w: ((x @ w).exp(), (y @ w).sigmoid()), x, y, w, measure=False)
    assert "rows-of-matmul-need-just-those-rows" in rules_of(compiled)


def test_large_products_of_given_weights_are_left_alone() -> None:
    """Concatenating what the caller gives costs more than one call saves."""
    x, *weights = (torch.randn(256, 256) for _ in range(4))
    compiled = assert_agrees(lambda x, a, b, c: joined(x @ a, x @ b, x @ c), x, *weights, measure=False)
    assert not rules_of(compiled) & MERGED


def test_a_recurrence_keeps_its_order() -> None:
    """Each step needs the one before: products by the same weight cannot run at once."""

    def steps(h: Any, w: Any) -> Any:
        for _ in range(4):
            h = torch.tanh(h @ w)
        return h

    compiled = assert_agrees(steps, torch.randn(2, 64), torch.randn(64, 64), measure=False)
    assert not rules_of(compiled) & MERGED


def test_gates_of_a_recurrence_are_merged_step_by_step() -> None:
    """As in NasRNN: the gates of one step share its state, and all steps share the weights.

    Cheapest are products of `[x h]` with the weights of a gate stacked, made once, or those of all gates.
    """

    class Gates(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = torch.nn.ParameterList(torch.randn(64, 64) / 8 for _ in range(4))
            self.h = torch.nn.ParameterList(torch.randn(64, 64) / 8 for _ in range(4))

        def forward(self, xs: Any, h: Any) -> Any:
            for x in xs.unbind(0):
                a, b, c, d = (x @ v + h @ w for v, w in zip(self.x, self.h, strict=True))
                h = torch.tanh(a) * torch.sigmoid(b) + torch.relu(c) * torch.tanh(d)
            return h

    with torch.no_grad():
        compiled = assert_agrees(Gates().eval(), torch.randn(3, 1, 64), torch.randn(1, 64), measure=False)
    stacked = {"sum-of-products-is-a-product-of-stacks"}
    assert rules_of(compiled) & (MERGED | stacked), rules_of(compiled)


@DTYPES
@pytest.mark.parametrize("batch", [(), (2,)], ids=["matrices", "stacks"])
def test_a_sum_of_thin_products_is_one_product(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    a, c = (torch.randn(*batch, 512, 4, dtype=dtype) for _ in range(2))
    b, d = (torch.randn(*batch, 4, 512, dtype=dtype) for _ in range(2))
    compiled = assert_agrees(lambda a, b, c, d: a @ b + c @ d, a, b, c, d, measure=False)
    assert "sum-of-products-is-a-product-of-stacks" in rules_of(compiled)


def test_a_sum_of_square_products_is_left_alone() -> None:
    inputs = [torch.randn(256, 256) for _ in range(4)]
    compiled = assert_agrees(lambda a, b, c, d: a @ b + c @ d, *inputs, measure=False)
    assert "sum-of-products-is-a-product-of-stacks" not in rules_of(compiled)
