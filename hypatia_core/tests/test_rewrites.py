"""Programs that the search must find a cheaper form of, in the spellings that users write: one line each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core
from agreement import assert_agrees

N, THIN = 512, 4


def square(count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(N, N, dtype=dtype) for _ in range(count)]


def heads(count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(2, 4, N, 16, dtype=dtype) for _ in range(count)]


def normalised_attention(q: Any, k: Any, v: Any) -> Any:
    weights = q.sigmoid() @ k.sigmoid().transpose(-1, -2)
    return (weights @ v) / weights.sum(-1, keepdim=True)


def table(dtype: torch.dtype) -> torch.Tensor:
    """The multiplication table of Cl(3,0): e_a e_b = ± e_(a xor b)."""
    table = torch.zeros(8, 8, 8, dtype=dtype)
    for a, b in itertools.product(range(8), repeat=2):
        swaps = sum(bin((a >> shift) & b).count("1") for shift in range(1, 3))
        table[a, b, a ^ b] = (-1) ** swaps
    return table


TABLES = {dtype: table(dtype) for dtype in (torch.float32, torch.float64)}


def multivectors(dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(4, 100, 8, dtype=dtype) for _ in range(2)]


def outer_then_table(x: Any, y: Any) -> Any:
    return (x[..., :, None] * y[..., None, :]).flatten(-2) @ TABLES[x.dtype].reshape(64, 8)


def positive(dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.rand(64, 256, dtype=dtype) + 0.1 for _ in range(2)]


def one(dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(64, 256, dtype=dtype)]


def gelu_by_tanh(x: Any) -> Any:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def softmax_attention(q: Any, k: Any, v: Any) -> Any:
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1) @ v


def masked_attention(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.softmax(torch.einsum("bhnd,bhmd->bhnm", q, k) * 0.25 + mask, dim=-1) @ v


def attention_of_scaled(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.matmul((torch.matmul(q * 0.25, k.mT) + mask).softmax(-1), v)


def attention_of_exponentials(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.mT * 0.25
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights @ v / weights.sum(-1, keepdim=True)


def with_mask(dtype: torch.dtype) -> list[torch.Tensor]:
    return [*heads(3, dtype), torch.randn(N, N, dtype=dtype)]


def standardized(x: Any) -> Any:
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)


def standardized_by_rsqrt(x: Any) -> Any:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5)


def layer_norm_spelled_out(x: Any) -> Any:
    return standardized(x) * x[0] + x[1]


#: By name: the program, its inputs, a rule that must be used, the least part of the cost that must go.
CASES: dict[str, tuple[Callable[..., Any], Callable[[torch.dtype], list[torch.Tensor]], str, float]] = {
    "chain with a thin end": (
        lambda a, b, v: (a @ b) @ v[:, :THIN],
        lambda t: square(3, t),
        "matmul-associates",
        0.8,
    ),
    "chain by einsum": (
        lambda a, b, v: torch.einsum("ij,jk,kl->il", a, b, v[:, :THIN]),
        lambda t: square(3, t),
        "matmul-associates",
        0.8,
    ),
    "chain by mm": (
        lambda a, b, v: torch.mm(torch.mm(a, b), v[:, :THIN].contiguous()),
        lambda t: square(3, t),
        "matmul-associates",
        0.8,
    ),
    "chain with a vector": (lambda a, b, v: (a @ b) @ v[0], lambda t: square(3, t), "matmul-associates", 0.8),
    "outer product in the middle": (
        lambda h, x, y: h.T @ y[:, :1] @ x[:1] @ h,
        lambda t: square(3, t),
        "matmul-associates",
        0.8,
    ),
    "common left factor": (
        lambda x, a, b: x @ a + x @ b,
        lambda t: square(3, t),
        "matmul-distributes-on-the-left",
        0.3,
    ),
    "common right factor": (
        lambda a, b, x: a @ x + b @ x,
        lambda t: square(3, t),
        "matmul-distributes-on-the-right",
        0.3,
    ),
    "projection of a vector": (
        lambda a, h, x: (a - h.T @ h) @ x[0],
        lambda t: square(3, t),
        "matmul-distributes-on-the-right (reversed)",
        0.7,
    ),
    "sum of a product": (lambda a, b: (a @ b).sum(), lambda t: square(2, t), "sum-of-matmul", 0.8),
    "mean of rows": (lambda a, b: (a @ b).mean(0), lambda t: square(2, t), "mean-of-rows-of-matmul", 0.8),
    "trace of a product": (
        lambda a, b: torch.trace(a @ b),
        lambda t: square(2, t),
        "diagonal-of-matmul",
        0.5,
    ),
    "one element": (
        lambda a, b: (a @ b)[2, 3],
        lambda t: square(2, t),
        "rows-of-matmul-need-just-those-rows",
        0.9,
    ),
    "last row of each": (
        lambda x, w: (x @ w)[:, -1],
        lambda t: [torch.randn(4, 48, 96, dtype=t), torch.randn(96, 300, dtype=t)],
        "rows-of-matmul-need-just-those-rows",
        0.8,
    ),
    "attention without softmax": (
        lambda q, k, v: (q @ k.mT) @ v,
        lambda t: heads(3, t),
        "matmul-associates",
        0.5,
    ),
    "attention by einsum": (
        lambda q, k, v: torch.einsum("bhnm,bhmd->bhnd", torch.einsum("bhnd,bhmd->bhnm", q, k), v),
        lambda t: heads(3, t),
        "matmul-associates",
        0.5,
    ),
    "attention with its normaliser": (
        normalised_attention,
        lambda t: heads(3, t),
        "sum-along-rows-passes-through-reshape",
        0.5,
    ),
    "log-sum-exp": (lambda x: torch.log(torch.exp(x).sum(-1)), one, "log-of-sum-of-exp-is-logsumexp", 0.3),
    "shifted log-sum-exp": (
        lambda x: (x - x.amax(1, keepdim=True)).exp().sum(1, keepdim=True).log() + x.amax(1, keepdim=True),
        one,
        "shifted-log-of-sum-of-exp-is-logsumexp",
        0.3,
    ),
    "log-softmax": (lambda x: torch.softmax(x, -1).log(), one, "log-of-softmax-is-log-softmax", 0.2),
    "log-softmax by log-sum-exp": (
        lambda x: x - torch.logsumexp(x, -1, keepdim=True),
        one,
        "less-logsumexp-is-log-softmax",
        0.0,
    ),
    "softmax": (
        lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
        one,
        "exp-over-its-sum-is-softmax",
        0.2,
    ),
    "softmax, shifted": (
        lambda x: (e := torch.exp(x - x.amax(-1, True))) / e.sum(-1, True),
        one,
        "shifted-exp-over-its-sum-is-softmax",
        0.2,
    ),
    "softplus": (lambda x: torch.log(1 + torch.exp(x)), one, "log-of-one-plus-exp-is-softplus", 0.1),
    "softplus by log1p": (lambda x: x.exp().log1p(), one, "log1p-of-exp-is-softplus", 0.1),
    "log-sigmoid": (lambda x: torch.log(torch.sigmoid(x)), one, "log-of-sigmoid-is-one-function", 0.1),
    "log-sigmoid by exp": (
        lambda x: -torch.log(1 + torch.exp(-x)),
        one,
        "negative-softplus-of-negative-is-log-sigmoid",
        0.2,
    ),
    "log1p": (lambda x, y: torch.log(x + 1.0), positive, "log-of-one-plus", 0.1),
    "expm1": (lambda x: torch.exp(x) - 1, one, "exp-less-one", 0.1),
    "hypot": (lambda x, y: (x * x + y.pow(2)).sqrt(), positive, "root-of-squares-is-hypot", 0.2),
    "variance": (
        lambda x: (x**2).mean(-1) - x.mean(-1) ** 2,
        one,
        "mean-square-less-square-mean-is-variance",
        0.3,
    ),
    "variance by deviations": (
        lambda x: (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True),
        one,
        "mean-of-squared-deviation-is-variance",
        0.3,
    ),
    "sigmoid": (lambda x: 1 / (1 + torch.exp(-x)), one, "reciprocal-of-one-plus-exp-is-sigmoid", 0.2),
    "silu": (lambda x: x * torch.sigmoid(x), one, "times-sigmoid-is-silu", 0.1),
    "silu by exp": (lambda x: x / (1 + (-x).exp()), one, "over-one-plus-exp-is-silu", 0.2),
    "gelu": (
        lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))),
        one,
        "half-times-one-plus-erf-is-gelu",
        0.2,
    ),
    "gelu, halved last": (
        lambda x: x * (1 + torch.erf(x * math.sqrt(0.5))) / 2,
        one,
        "half-times-one-plus-erf-of-product-is-gelu",
        0.2,
    ),
    "gelu by tanh": (gelu_by_tanh, one, "half-times-one-plus-tanh-is-gelu", 0.2),
    "relu": (
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        one,
        "maximum-with-zero-is-relu",
        0.0,
    ),
    "attention": (softmax_attention, lambda t: heads(3, t), "attention-with-quotient", 0.3),
    "attention, 3 axes": (
        lambda q, k, v: (q @ k.mT * 0.25).softmax(-1) @ v,
        lambda t: [torch.randn(8, N, 16, dtype=t) for _ in range(3)],
        "attention-with-scale",
        0.3,
    ),
    "attention of scaled queries": (
        lambda q, k, v: torch.bmm(torch.softmax(torch.bmm(q / 4, k.transpose(1, 2)), 2), v),
        lambda t: [torch.randn(8, N, 16, dtype=t) for _ in range(3)],
        "attention-without-scale",
        0.3,
    ),
    "attention, keys first": (
        lambda q, k, v: torch.softmax(k @ q.mT / math.sqrt(q.shape[-1]), -2).mT @ v,
        lambda t: heads(3, t),
        "transposed-softmax-is-of-the-transposed",
        0.3,
    ),
    "attention, keys and values first": (
        lambda q, k, v: (v.mT @ torch.softmax(k @ q.mT * 0.25, -2)).mT,
        lambda t: heads(3, t),
        "transposing-passes-through-stacking",
        0.2,
    ),
    "attention by exponentials": (
        attention_of_exponentials,
        lambda t: heads(3, t),
        "shifted-exp-over-its-sum-after-the-product-of-stacks",
        0.3,
    ),
    "attention by exponentials, 3 axes": (
        attention_of_exponentials,
        lambda t: [torch.randn(8, N, 16, dtype=t) for _ in range(3)],
        "shifted-exp-over-its-sum-after-the-product",
        0.3,
    ),
    "masked attention": (masked_attention, with_mask, "masked-attention-with-scale", 0.3),
    "masked attention of scaled queries": (
        attention_of_scaled,
        with_mask,
        "masked-attention-without-scale",
        0.3,
    ),
    "rows standardized": (standardized, one, "deviation-over-root-is-standardized", 0.3),
    "rows standardized by rsqrt": (
        standardized_by_rsqrt,
        one,
        "deviation-by-rsqrt-is-standardized",
        0.3,
    ),
    "rows standardized, their numbers without an axis": (
        lambda x: (x - x.mean(-1)[:, None]) / (x.var(-1, unbiased=False) + 1e-5).sqrt().unsqueeze(-1),
        one,
        "sqrt-passes-through-reshape",
        0.3,
    ),
    "layer norm": (layer_norm_spelled_out, one, "layer-norm-is-gain-and-bias (reversed)", 0.3),
    "kronecker product by a vector": (
        lambda a, b: torch.kron(a[:32, :32], b[:16, :16]) @ a[0],
        lambda t: square(2, t),
        "kronecker-product-by-a-vector",
        0.8,
    ),
    "low-rank residual": (
        lambda x, u: ((x - u[:, :THIN] @ u[:, THIN : 2 * THIN].T) ** 2).sum(),
        lambda t: [torch.randn(2048, 2048, dtype=t), torch.randn(2048, 2 * THIN, dtype=t)],
        "norm-of-a-residual-of-low-rank",
        0.1,
    ),
    "product of an algebra by einsum": (
        lambda x, y: torch.einsum("bni,ijk,bnj->bnk", x, TABLES[x.dtype], y),
        multivectors,
        "product-by-a-constant-table",
        0.5,
    ),
    "product of an algebra, its table first": (
        lambda x, y: torch.einsum("i j k, ... j, ... k -> ... i", TABLES[x.dtype], x, y),
        multivectors,
        "product-by-a-constant-table",
        0.5,
    ),
    "product of an algebra by pairs": (
        outer_then_table,
        multivectors,
        "broadcast-product-by-a-constant-table",
        0.5,
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_a_cheaper_form_is_found_and_agrees(name: str, dtype: torch.dtype) -> None:
    program, make, rule, part = CASES[name]
    torch.manual_seed(0)
    torch._dynamo.reset()
    inputs = make(dtype)
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(program, backend="hypatia", options=options)
    with torch.no_grad():
        wanted = program(*[x.double() for x in inputs])
        given = compiled(*inputs)
    scale = float(wanted.abs().max())
    assert float((given - wanted).abs().max()) <= 1e3 * torch.finfo(dtype).eps * scale
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten, graph.refusals
    assert rule in graph.rules, graph.rules
    assert graph.cost_before is not None and graph.cost_after is not None
    assert graph.cost_after <= (1 - part) * graph.cost_before


def test_exact_numerics_reorders_nothing() -> None:
    torch._dynamo.reset()
    a, b, v = square(3, torch.float32)
    options: dict[str, Any] = {"executor": "aten", "numerics": "exact", "on_error": "raise"}
    compiled = torch.compile(lambda a, b, v: (a @ b) @ v[:, :THIN], backend="hypatia", options=options)
    with torch.no_grad():
        assert torch.equal(compiled(a, b, v), (a @ b) @ v[:, :THIN])
    assert "matmul-associates" not in hypatia_core.report(compiled).graphs[0].rules


def products_of_an_algebra(holder: str) -> Any:
    if holder == "buffer":

        class Algebra(torch.nn.Module):
            table: torch.Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("table", table(torch.float32))

            def forward(self, x: Any, y: Any) -> Any:
                return torch.einsum("bni,ijk,bnj->bnk", x, self.table, y)

        return Algebra()
    numbers = table(torch.float32)
    written = numbers.tolist()
    if holder == "closure":
        return lambda x, y: torch.einsum("bni,ijk,bnj->bnk", x, numbers, y)
    return lambda x, y: torch.einsum("bni,ijk,bnj->bnk", x, torch.tensor(written), y)


@pytest.mark.parametrize("holder", ["buffer", "closure", "literal"])
def test_a_table_is_seen_wherever_code_keeps_it(holder: str) -> None:
    torch._dynamo.reset()
    product, (x, y) = products_of_an_algebra(holder), multivectors(torch.float32)
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled: Callable[..., Any] = torch.compile(product, backend="hypatia", options=options)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x, y), product(x, y))
    assert "product-by-a-constant-table" in hypatia_core.report(compiled).graphs[0].rules


def test_a_table_that_changes_is_noticed() -> None:
    torch._dynamo.reset()
    algebra, (x, y) = products_of_an_algebra("buffer"), multivectors(torch.float32)
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled: Callable[..., Any] = torch.compile(algebra, backend="hypatia", options=options)
    with torch.no_grad():
        first = compiled(x, y)
        assert hypatia_core.report(compiled).graphs[0].rewritten
        for change in (
            lambda: algebra.table.mul_(2),
            lambda: algebra.table.data.add_(1),
            lambda: setattr(algebra, "table", torch.randn(8, 8, 8)),
        ):
            change()
            changed = compiled(x, y)
            assert not torch.equal(changed, first)
            torch.testing.assert_close(changed, algebra(x, y))


def test_what_the_caller_gives_is_no_constant() -> None:
    torch._dynamo.reset()
    x, y = multivectors(torch.float32)
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(
        lambda x, t, y: torch.einsum("bni,ijk,bnj->bnk", x, t, y), backend="hypatia", options=options
    )
    with torch.no_grad():
        compiled(x, TABLES[torch.float32], y)
    assert "product-by-a-constant-table" not in hypatia_core.report(compiled).graphs[0].rules


def test_a_table_with_holes_needs_the_reals() -> None:
    x, y = multivectors(torch.float32)
    holes = table(torch.float32)
    holes[1] = 0
    for numerics, rule in (("reassociate", False), ("reals", True)):
        torch._dynamo.reset()
        options: dict[str, Any] = {"executor": "aten", "measure": False, "numerics": numerics}
        compiled = torch.compile(
            lambda x, y: torch.einsum("bni,ijk,bnj->bnk", x, holes, y), backend="hypatia", options=options
        )
        with torch.no_grad():
            compiled(x, y)
        assert ("product-by-a-degenerate-table" in hypatia_core.report(compiled).graphs[0].rules) is rule


@pytest.mark.parametrize("measure", [True, False])
def test_what_is_more_accurate_is_taken_whatever_it_costs(measure: bool) -> None:
    torch._dynamo.reset()
    x = torch.logspace(-8, -4, 64)
    options: dict[str, Any] = {"executor": "aten", "numerics": "accurate", "measure": measure}
    compiled = torch.compile(lambda x: torch.log(1 + x), backend="hypatia", options=options)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), torch.log1p(x))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and "log-of-one-plus" in graph.rules
    assert graph.error is not None and graph.original_error is not None
    assert graph.error < 0.01 * graph.original_error


def test_batch_norm_passes_into_the_filters() -> None:
    torch._dynamo.reset()
    model = torch.nn.Sequential(
        torch.nn.Conv2d(8, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU()
    ).eval()
    for statistic in (model[1].running_mean, model[1].running_var):
        torch.nn.init.uniform_(statistic, 0.5, 2)  # type: ignore[arg-type]
    x = torch.randn(4, 8, 32, 32)
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(model, backend="hypatia", options=options)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    (graph,) = hypatia_core.report(compiled).graphs
    assert "channelwise-factor-passes-into-the-filters" in graph.rules, (graph.rules, graph.refusals)


def test_a_diagonal_scales_rows_where_zeros_may_be_dropped() -> None:
    (a,) = square(1, torch.float32)
    for numerics, rule in (("reassociate", False), ("reals", True)):
        torch._dynamo.reset()
        options: dict[str, Any] = {"executor": "aten", "measure": False, "numerics": numerics}
        compiled = torch.compile(lambda a: torch.diag(a[0]) @ a, backend="hypatia", options=options)
        with torch.no_grad():
            torch.testing.assert_close(compiled(a), torch.diag(a[0]) @ a)
        rules = hypatia_core.report(compiled).graphs[0].rules
        assert ("diagonal-on-the-left-scales-rows" in rules) is rule


def test_the_first_power_is_the_number_itself() -> None:
    x, y = torch.randn(200, 200), torch.randn(200, 200)
    compiled = assert_agrees(lambda x, y: (x**1.0 @ y) @ y[:, :2], x, y, measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.after is not None
    assert not any(node.op.startswith("pow") for node in graph.after.nodes)
