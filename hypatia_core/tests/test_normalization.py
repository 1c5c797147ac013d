"""Normalization and layers of constant weights: recognised as users spell them, folded where it pays."""

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
TIMES, OVER = "times-rsqrt-of-mean-square-is-rms-standardized", "over-root-of-mean-square-is-rms-standardized"
WIDTH = 256

#: Root mean square normalization with a gain, by name; the rule that sees it.
SPELLINGS: dict[str, tuple[Callable[..., Any], str]] = {
    "rms_norm": (lambda x, w: functional.rms_norm(x, (WIDTH,), w, 1e-6), TIMES),
    "pow and rsqrt": (lambda x, w: w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)), TIMES),
    "x * x and rsqrt": (lambda x, w: x * (x * x).mean(-1, True).add(1e-6).rsqrt() * w, TIMES),
    "over sqrt": (lambda x, w: x / torch.sqrt((x**2).mean(dim=-1, keepdim=True) + 1e-6) * w, OVER),
    "sum over a count": (lambda x, w: x * (x.square().sum(-1, True) / WIDTH + 1e-6).rsqrt() * w, TIMES),
    "without an axis": (lambda x, w: x * ((x * x).mean(-1) + 1e-6).rsqrt().unsqueeze(-1) * w, TIMES),
    "sum without an axis": (
        lambda x, w: x / torch.sqrt(x.pow(2).sum(-1) / WIDTH + 1e-6)[..., None] * w,
        OVER,
    ),
    "square": (lambda x, w: x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * w, OVER),
}


def rules_of(compiled: Any) -> set[str]:
    (graph,) = hypatia_core.report(compiled).graphs
    return set(graph.rules)


@DTYPES
@pytest.mark.parametrize("batch", [(64,), (2, 32)], ids=["rows", "stacks"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_rms_norm_is_recognised(name: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    program, rule = SPELLINGS[name]
    x, w = torch.randn(*batch, WIDTH, dtype=dtype), torch.randn(WIDTH, dtype=dtype)
    compiled = assert_agrees(program, x, w, measure=False)
    assert rule in rules_of(compiled), rules_of(compiled)


class Layers(torch.nn.Module):
    """Two consumers of what a normalization gives."""

    def __init__(self, norm: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = norm
        self.a, self.b = (torch.nn.Linear(WIDTH, n, bias=False, dtype=dtype) for n in (WIDTH, 32))

    def forward(self, x: Any) -> Any:
        y = self.norm(x)
        return self.a(y), self.b(y).sigmoid()


@DTYPES
@pytest.mark.parametrize("kind", [torch.nn.RMSNorm, torch.nn.LayerNorm])
def test_a_gain_passes_into_every_weight_that_uses_it(kind: Any, dtype: torch.dtype) -> None:
    norm = kind(WIDTH, dtype=dtype)
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    with torch.no_grad():
        compiled = assert_agrees(
            Layers(norm, dtype).eval(), torch.randn(512, WIDTH, dtype=dtype), measure=False
        )
    assert "gain-passes-into-the-right-factor" in rules_of(compiled), rules_of(compiled)


@DTYPES
def test_batch_norm_passes_into_a_linear_layer(dtype: torch.dtype) -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, WIDTH, dtype=dtype), torch.nn.BatchNorm1d(WIDTH, dtype=dtype)
    ).eval()
    for statistic in (model[1].running_mean, model[1].running_var):
        torch.nn.init.uniform_(statistic, 0.5, 2)  # type: ignore[arg-type]
    with torch.no_grad():
        compiled = assert_agrees(model, torch.randn(64, WIDTH, dtype=dtype), measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert "batch-norm-is-scale-and-shift" in graph.rules, graph.rules
    assert "column-scaling-passes-through-matmul (reversed)" in graph.rules, graph.rules


class LowRank(torch.nn.Module):
    """A weight and its update of low rank (Hu and others, 2021)."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(WIDTH, WIDTH, dtype=dtype) / 16)
        self.a = torch.nn.Parameter(torch.randn(WIDTH, 8, dtype=dtype) / 16)
        self.b = torch.nn.Parameter(torch.randn(8, WIDTH, dtype=dtype))

    def forward(self, x: Any) -> Any:
        return x @ self.w + 0.5 * ((x @ self.a) @ self.b)


@DTYPES
def test_an_update_of_low_rank_is_merged_into_its_weight(dtype: torch.dtype) -> None:
    with torch.no_grad():
        compiled = assert_agrees(LowRank(dtype).eval(), torch.randn(1024, WIDTH, dtype=dtype), measure=False)
    assert "matmul-distributes-on-the-left" in rules_of(compiled), rules_of(compiled)


def test_an_update_of_low_rank_is_kept_thin_where_weights_are_not_folded() -> None:
    """What the caller gives is not computed once: the product of the thin factors costs more than they do."""

    def program(x: Any, w: Any, a: Any, b: Any) -> Any:
        return x @ (w + a @ b)

    inputs = [torch.randn(s) for s in ((4, WIDTH), (WIDTH, WIDTH), (WIDTH, 8), (8, WIDTH))]
    compiled = assert_agrees(program, *inputs, measure=False)
    assert "matmul-distributes-on-the-left (reversed)" in rules_of(compiled), rules_of(compiled)


@DTYPES
@pytest.mark.parametrize("inner, collapses", [(2 * WIDTH, True), (4, False)], ids=["wide", "bottleneck"])
def test_consecutive_affine_layers_collapse_only_where_that_is_cheaper(
    inner: int, collapses: bool, dtype: torch.dtype
) -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, inner, dtype=dtype), torch.nn.Linear(inner, WIDTH, dtype=dtype)
    ).eval()
    with torch.no_grad():
        compiled = assert_agrees(model, torch.randn(512, WIDTH, dtype=dtype), measure=False)
    assert any("matmul-associates" in rule for rule in rules_of(compiled)) is collapses
