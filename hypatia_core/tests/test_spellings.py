"""Each rewrite of products in each spelling of a product: the programs of a table by the rows of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import hypatia_core

SIDE, THIN, BATCH = 256, 4, 3

Product = Callable[[Any, Any], Any]


def by_linear(a: Any, b: Any) -> Any:
    return functional.linear(a, b.mT)


def by_einsum(a: Any, b: Any) -> Any:
    return torch.einsum("...ij,...jk->...ik", a, b)


def by_addmm(a: Any, b: Any) -> Any:
    return torch.addmm(a.new_zeros(a.shape[0], b.shape[1]), a, b)


def by_baddbmm(a: Any, b: Any) -> Any:
    return torch.baddbmm(a.new_zeros(a.shape[0], a.shape[1], b.shape[2]), a, b)


def by_permute(a: Any, b: Any) -> Any:
    axes = [*range(a.dim() - 2), a.dim() - 1, a.dim() - 2]
    return (b.permute(axes) @ a.permute(axes)).permute(axes)


#: How a user writes a product of matrices.
MATRICES: dict[str, Product] = {
    "@": lambda a, b: a @ b,
    "mm": torch.mm,
    "matmul": torch.matmul,
    "einsum": lambda a, b: torch.einsum("ij,jk->ik", a, b),
    "linear": by_linear,
    "addmm": by_addmm,
    ".T": lambda a, b: (b.T @ a.T).T,
    "permute": by_permute,
    "tensordot": lambda a, b: torch.tensordot(a, b, dims=1),
}
#: The same of stacks of matrices.
STACKS: dict[str, Product] = {
    "@": lambda a, b: a @ b,
    "bmm": torch.bmm,
    "matmul": torch.matmul,
    "einsum": by_einsum,
    "baddbmm": by_baddbmm,
    "transpose": lambda a, b: (b.transpose(1, 2) @ a.transpose(1, 2)).mT,
    "permute": by_permute,
}
SPELLINGS = [("matrix", name) for name in MATRICES] + [("stack", name) for name in STACKS]

#: By name: a program of three matrices by a product, and the least part of its cost that must go.
PROGRAMS: dict[str, tuple[Callable[[Product, Any, Any, Any], Any], float]] = {
    "chain of three": (lambda p, a, b, c: p(p(a, b), c[..., :THIN]), 0.8),
    "chain of four": (lambda p, a, b, c: p(p(p(a, b), c), c[..., :THIN]), 0.8),
    "thin in the middle": (lambda p, a, b, c: p(a, p(p(b[..., :THIN], c[..., :THIN, :]), a)), 0.3),
    "sum": (lambda p, a, b, c: p(a, b).sum(), 0.7),
    "sum of rows": (lambda p, a, b, c: p(a, b).sum(-2), 0.8),
    "sum of columns": (lambda p, a, b, c: p(a, b).sum(-1), 0.8),
    "mean": (lambda p, a, b, c: p(a, b).mean(), 0.7),
    "mean of rows": (lambda p, a, b, c: p(a, b).mean(-2), 0.8),
    "diagonal": (lambda p, a, b, c: p(a, b).diagonal(dim1=-2, dim2=-1), 0.5),
    "trace": (lambda p, a, b, c: p(a, b).diagonal(dim1=-2, dim2=-1).sum(-1), 0.5),
    "element": (lambda p, a, b, c: p(a, b)[..., 2, 3], 0.9),
    "rows": (lambda p, a, b, c: p(a, b)[..., 4:8, :], 0.8),
    "columns": (lambda p, a, b, c: p(a, b)[..., 4:8], 0.8),
    "last row": (lambda p, a, b, c: p(a, b)[..., -1, :], 0.8),
    "gathered rows": (lambda p, a, b, c: p(a, b).index_select(-2, torch.tensor([5, 1])), 0.8),
    "rows of a sum": (lambda p, a, b, c: (p(a, b) + c)[..., :THIN, :], 0.8),
    "common left factor": (lambda p, a, b, c: p(a, b) + p(a, c), 0.3),
    "common right factor": (lambda p, a, b, c: p(a, c) - p(b, c), 0.3),
    "projection": (lambda p, a, b, c: p(a - p(b.mT, b), c[..., :THIN]), 0.7),
    "scale": (lambda p, a, b, c: p(a * 3.0, b[..., :THIN]), 0.1),
    "twice": (lambda p, a, b, c: p(a, b) + p(a, b) * c, 0.3),
    "transposed twice": (lambda p, a, b, c: p(a, b) * p(b.mT, a.mT).mT, 0.3),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("kind", "spelling"), SPELLINGS, ids=[f"{k} {s}" for k, s in SPELLINGS])
@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(torch.float32, id="float32"),
        pytest.param(torch.float64, id="float64", marks=pytest.mark.slow),
    ],
)
def test_a_product_is_seen_in_each_spelling(
    program: str, kind: str, spelling: str, dtype: torch.dtype
) -> None:
    product = (MATRICES if kind == "matrix" else STACKS)[spelling]
    run, part = PROGRAMS[program]
    torch.manual_seed(0)
    torch._dynamo.reset()
    shape = (SIDE, SIDE) if kind == "matrix" else (BATCH, SIDE, SIDE)
    inputs = [torch.randn(shape, dtype=dtype) for _ in range(3)]
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(lambda *x: run(product, *x), backend="hypatia", options=options)
    with torch.no_grad():
        wanted = run(product, *[x.double() for x in inputs])
        given = compiled(*inputs)
    scale = float(wanted.abs().max())
    assert float((given - wanted).abs().max()) <= 1e4 * torch.finfo(dtype).eps * scale
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.cost_before is not None and graph.cost_after is not None
    assert graph.cost_after <= (1 - part) * graph.cost_before, graph.rules
