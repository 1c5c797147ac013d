"""Masks of attention: recognised as users spell them; rows of which nothing is left keep their NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core
from agreement import assert_agrees, hypatia, same

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
RULES = {"attention-with-a-mask", "attention-of-one-head-with-a-mask"}
CAUSAL = {"a-triangle-is-the-causal-mask", "a-triangle-of-infinities-is-the-causal-mask"}
N, D = 64, 16
INF = float("inf")


def causal(n: int) -> torch.Tensor:
    return torch.ones(n, n, dtype=torch.bool).tril()


def by_hand(q: Any, k: Any, v: Any, keep: Any) -> Any:
    scores = (q @ k.transpose(-2, -1)) / D**0.5
    return scores.masked_fill(~keep, -INF).softmax(-1) @ v


def of_a_buffer(q: Any, k: Any, v: Any, keep: Any) -> Any:
    """As nanoGPT spells it."""
    att = (q @ k.transpose(-2, -1)) * (1.0 / D**0.5)
    att = att.masked_fill(keep.float()[None, None, : q.shape[-2], : q.shape[-2]] == 0, -INF)
    return torch.nn.functional.softmax(att, dim=-1) @ v


def made_here(q: Any, k: Any, v: Any, keep: Any) -> Any:
    mask = torch.triu(torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool), diagonal=1)
    return torch.softmax((q @ k.mT).masked_fill(mask, -INF), -1) @ v


SPELLINGS: dict[str, Callable[..., Any]] = {
    "masked_fill": by_hand,
    "masked_fill of a buffer": of_a_buffer,
    "masked_fill, made here": made_here,
    "where": lambda q, k, v, keep: torch.where(keep, q @ k.mT * D**-0.5, -INF).softmax(-1) @ v,
    "where a tensor": lambda q, k, v, keep: (
        torch.where(keep, q @ k.mT, torch.full_like(q @ k.mT, -INF)).softmax(-1) @ v
    ),
    "where dropped": lambda q, k, v, keep: torch.where(keep.logical_not(), -INF, q @ k.mT).softmax(-1) @ v,
    "einsum": lambda q, k, v, keep: torch.einsum(
        "...nm,...md->...nd", torch.einsum("...nd,...md->...nm", q, k).masked_fill(~keep, -INF).softmax(-1), v
    ),
    "scaled queries": lambda q, k, v, keep: torch.matmul(
        torch.matmul(q * D**-0.5, k.mT).masked_fill(~keep, -INF).softmax(dim=-1), v
    ),
}


def rules_of(compiled: Any) -> set[str]:
    (graph,) = hypatia_core.report(compiled).graphs
    return set(graph.rules)


@DTYPES
@pytest.mark.parametrize("batch", [(2, 4), (3,)], ids=["heads", "one head"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_mask_is_recognised(name: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    if name == "masked_fill of a buffer" and len(batch) < 2:
        pytest.skip("the spelling has four dimensions")
    q, k, v = (torch.randn(*batch, N, D, dtype=dtype) for _ in range(3))
    compiled = assert_agrees(SPELLINGS[name], q, k, v, causal(N), measure=False, numerics="reals")
    assert rules_of(compiled) & RULES, rules_of(compiled)


@pytest.mark.parametrize("batch", [(2, 4), (3,)], ids=["heads", "one head"])
@pytest.mark.parametrize("mask", ["rows", "keys", "a batch"])
def test_rows_of_which_nothing_is_left_are_not_numbers(mask: str, batch: tuple[int, ...]) -> None:
    q, k, v = (torch.randn(*batch, N, D) for _ in range(3))
    keep = causal(N)
    if mask == "rows":
        keep[5] = keep[17] = False
    elif mask == "keys":
        keep = torch.rand(N) > 0.5
        keep = torch.stack([keep] * N)
        keep[0] = False
    else:
        keep = causal(N).repeat(batch[0], *[1] * len(batch[1:]), 1, 1)
        keep[1, ..., 3, :] = False
    compiled = hypatia(by_hand, measure=False, numerics="reals")
    given, wanted = compiled(q, k, v, keep), by_hand(q, k, v, keep)
    assert rules_of(compiled) & RULES
    assert bool(wanted.isnan().any()) and torch.equal(given.isnan(), wanted.isnan())
    torch.testing.assert_close(given, wanted, equal_nan=True, rtol=1e-4, atol=1e-5)


def test_without_the_reals_a_mask_stays_as_it_is() -> None:
    """A NaN in a masked key would spread otherwise."""
    q, k, v = (torch.randn(2, 4, N, D) for _ in range(3))
    k[0, 0, -1] = float("nan")
    compiled = hypatia(by_hand, measure=False)
    given = compiled(q, k, v, causal(N))
    assert not rules_of(compiled) & RULES
    assert same(given.isnan(), by_hand(q, k, v, causal(N)).isnan())


def test_a_finite_fill_is_not_taken_for_a_mask() -> None:
    """Where nothing is left it weighs all keys alike, which no mask does."""
    q, k, v = (torch.randn(2, 4, N, D) for _ in range(3))
    keep = causal(N)
    keep[5] = False
    compiled = assert_agrees(
        lambda q, k, v, keep: (q @ k.mT).masked_fill(~keep, -1e9).softmax(-1) @ v,
        *(q, k, v, keep),
        measure=False,
        numerics="reals",
    )
    assert not rules_of(compiled) & RULES


@DTYPES
def test_a_float_mask_of_one_head_is_recognised(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(3, N, D, dtype=dtype) for _ in range(3))
    mask = torch.zeros(N, N, dtype=dtype).masked_fill(~causal(N), -INF)
    compiled = assert_agrees(lambda q, k, v, m: (q @ k.mT + m).softmax(-1) @ v, q, k, v, mask, measure=False)
    assert "masked-attention-of-one-head" in rules_of(compiled)


def lower(n: int) -> torch.Tensor:
    return torch.ones(n, n).tril()


def positions(n: int) -> torch.Tensor:
    return torch.arange(n)[:, None] >= torch.arange(n)


def summand(n: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.full((n, n), -INF, dtype=dtype).triu(1)


#: By name: scores and values to the result, with a mask that the code makes itself.
CAUSAL_SPELLINGS: dict[str, Callable[[Any, Any], Any]] = {
    "tril == 0": lambda s, v: s.masked_fill(lower(N) == 0, -INF).softmax(-1) @ v,
    "not tril": lambda s, v: s.masked_fill(~lower(N).bool(), -INF).softmax(-1) @ v,
    "triu, bool": lambda s, v: s.masked_fill(torch.ones(N, N).triu(1).bool(), -INF).softmax(-1) @ v,
    "triu of bools": lambda s, v: (
        s.masked_fill(torch.triu(torch.ones(N, N, dtype=torch.bool), 1), -INF).softmax(-1) @ v
    ),
    "with axes in front": lambda s, v: (
        s.masked_fill(lower(N).view(*[1] * (s.dim() - 2), N, N) == 0, -INF).softmax(-1) @ v
    ),
    "where": lambda s, v: torch.where(lower(N).bool(), s, -INF).softmax(-1) @ v,
    "where, positions": lambda s, v: torch.where(positions(N), s, -INF).softmax(-1) @ v,
    "added": lambda s, v: (s + summand(N, s.dtype)).softmax(-1) @ v,
    "added, filled": lambda s, v: (
        (s + torch.zeros(N, N, dtype=s.dtype).masked_fill(~positions(N), -INF)).softmax(-1) @ v
    ),
    "einsum": lambda s, v: torch.einsum(
        "...nm,...md->...nd", s.masked_fill(lower(N) == 0, -INF).softmax(-1), v
    ),
}


@DTYPES
@pytest.mark.parametrize("batch", [(2, 4), (3,)], ids=["heads", "one head"])
@pytest.mark.parametrize("name", CAUSAL_SPELLINGS)
def test_a_causal_mask_is_recognised(name: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(*batch, N, D, dtype=dtype) for _ in range(3))
    compiled = assert_agrees(
        lambda q, k, v: CAUSAL_SPELLINGS[name](q @ k.mT / D**0.5, v),
        *(q, k, v),
        measure=False,
        numerics="reals",
    )
    assert rules_of(compiled) & CAUSAL, rules_of(compiled)


@pytest.mark.parametrize("rows", [N // 2, 2 * N], ids=["fewer queries", "more queries"])
def test_a_causal_mask_starts_at_the_first_key(rows: int) -> None:
    q, k, v = torch.randn(2, 4, rows, D), torch.randn(2, 4, N, D), torch.randn(2, 4, N, D)
    compiled = assert_agrees(
        lambda q, k, v: (q @ k.mT).masked_fill(torch.ones(rows, N).tril() == 0, -INF).softmax(-1) @ v,
        *(q, k, v),
        measure=False,
        numerics="reals",
    )
    assert rules_of(compiled) & CAUSAL


@pytest.mark.parametrize("offset", [-1, 1, 5])
@pytest.mark.parametrize("side", ["tril", "triu"])
def test_other_triangles_are_not_causal(side: str, offset: int) -> None:
    """Those with an offset below the diagonal have rows of which nothing is left."""
    q, k, v = (torch.randn(2, 4, N, D) for _ in range(3))

    def model(q: Any, k: Any, v: Any) -> Any:
        keep = getattr(torch.ones(N, N), side)(offset)
        return (q @ k.mT).masked_fill(keep == 0, -INF).softmax(-1) @ v

    compiled = hypatia(model, measure=False, numerics="reals")
    given, wanted = compiled(q, k, v), model(q, k, v)
    assert not rules_of(compiled) & CAUSAL
    torch.testing.assert_close(given, wanted, equal_nan=True, rtol=1e-4, atol=1e-5)


def test_a_mask_of_random_numbers_is_drawn_on_each_call() -> None:
    q, k, v = (torch.randn(2, 4, N, D) for _ in range(3))

    def model(q: Any, k: Any, v: Any) -> Any:
        keep = torch.ones(N, N).tril().mul(torch.rand(N, N) + 1) > 0
        return (q @ k.mT).masked_fill(~keep, -INF).softmax(-1) @ v

    compiled = hypatia(model, measure=False, numerics="reals")
    torch.testing.assert_close(compiled(q, k, v), model(q, k, v), rtol=1e-4, atol=1e-5)
    assert not rules_of(compiled) & CAUSAL
