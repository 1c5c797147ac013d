"""Programs that the search must find a cheaper form of, in the spellings that users write: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core

N, THIN = 512, 4


def square(count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(N, N, dtype=dtype) for _ in range(count)]


def heads(count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(2, 4, N, 16, dtype=dtype) for _ in range(count)]


def normalised_attention(q: Any, k: Any, v: Any) -> Any:
    weights = q.sigmoid() @ k.sigmoid().transpose(-1, -2)
    return (weights @ v) / weights.sum(-1, keepdim=True)


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
