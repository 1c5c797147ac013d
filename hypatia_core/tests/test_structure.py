"""Matrices whose structure the graph shows: halves that are known are not computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core
from agreement import assert_agrees

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
N = 384

#: By name: the program of a matrix, a rule, what it needs.
SPELLINGS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "x @ x.T": (lambda x: x @ x.T, "matrix-times-its-transpose-is-symmetric", "reassociate"),
    "x.T @ x": (lambda x: x.T @ x, "transpose-times-its-matrix-is-symmetric", "reassociate"),
    "mm": (lambda x: torch.mm(x, x.t()), "matrix-times-its-transpose-is-symmetric", "reassociate"),
    "einsum": (
        lambda x: torch.einsum("ik,jk->ij", x, x),
        "matrix-times-its-transpose-is-symmetric",
        "reassociate",
    ),
    "linear": (
        lambda x: torch.nn.functional.linear(x, x),
        "matrix-times-its-transpose-is-symmetric",
        "reassociate",
    ),
    "tril @": (lambda x: x.tril() @ x, "lower-triangle-needs-half-of-the-products", "reals"),
    "triu, mm": (lambda x: torch.mm(torch.triu(x), x), "upper-triangle-needs-half-of-the-products", "reals"),
    "transposed tril": (lambda x: torch.tril(x).T @ x, "upper-triangle-needs-half-of-the-products", "reals"),
    "tridiagonal": (lambda x: x.tril(1).triu(-1) @ x, "a-narrow-band-needs-its-diagonals-alone", "reals"),
    "band, the other way": (
        lambda x: x.triu(-3).tril(-1) @ x,
        "a-narrow-band-needs-its-diagonals-alone",
        "reals",
    ),
    "x @ tril": (lambda x: x @ x.tril(), "lower-triangle-on-the-right-needs-half-of-the-products", "reals"),
    "x @ triu": (lambda x: x @ x.triu(), "upper-triangle-on-the-right-needs-half-of-the-products", "reals"),
    "zeros": (lambda x: x @ torch.zeros_like(x) + x, "product-with-zeros-on-the-right-is-zero", "reals"),
    "eye": (lambda x: torch.eye(N, dtype=x.dtype) @ x, "diagonal-on-the-left-scales-rows", "reals"),
    "diag_embed": (lambda x: x @ torch.diag_embed(x[0]), "diagonal-on-the-right-scales-columns", "reals"),
}


@DTYPES
@pytest.mark.parametrize("name", SPELLINGS)
def test_structure_is_used(name: str, dtype: torch.dtype) -> None:
    program, rule, numerics = SPELLINGS[name]
    compiled = assert_agrees(program, torch.randn(N, N, dtype=dtype), measure=False, numerics=numerics)
    (graph,) = hypatia_core.report(compiled).graphs
    assert rule in graph.rules, (graph.rules, graph.refusals)


@pytest.mark.parametrize("rows", [0, 1, 5, 6, 7, 100])
def test_panels_of_any_number_of_rows(rows: int) -> None:
    x, b = torch.randn(rows, 9, dtype=torch.float64), torch.randn(rows, 3, dtype=torch.float64)
    a = torch.randn(rows, rows, dtype=torch.float64)
    torch.testing.assert_close(torch.ops.hypatia.gram(x), x @ x.T)
    torch.testing.assert_close(torch.ops.hypatia.lower_product(a.tril(), b), a.tril() @ b)
    torch.testing.assert_close(torch.ops.hypatia.upper_product(a.triu(), b), a.triu() @ b)


@pytest.mark.parametrize("rows", [0, 1, 3, 9])
@pytest.mark.parametrize("band", [(-1, 1), (0, 0), (1, 3), (-5, -2), (2, 1), (-20, 20)])
def test_bands_of_any_width(band: tuple[int, int], rows: int) -> None:
    a, b = torch.randn(rows, rows, dtype=torch.float64), torch.randn(rows, 3, dtype=torch.float64)
    least, most = band
    given = torch.ops.hypatia.banded_product(a, b, least, most)
    torch.testing.assert_close(given, a.tril(most).triu(least) @ b)


def test_a_symmetric_product_is_not_transposed() -> None:
    x = torch.randn(N, N)
    compiled = assert_agrees(lambda x: (x @ x.T).T @ x[:, :4], x, measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and "matmul-associates" in graph.rules


def test_nan_is_kept_without_the_reals() -> None:
    x = torch.randn(N, N)
    x[3, 4] = float("nan")
    programs: list[Callable[..., torch.Tensor]] = [lambda x: x @ x.T, lambda x: x.tril() @ x]
    for program in programs:
        torch._dynamo.reset()
        compiled = torch.compile(program, backend="hypatia", options={"executor": "aten", "measure": False})
        assert torch.equal(compiled(x).isnan(), program(x).isnan())


@DTYPES
@pytest.mark.parametrize("threads", [1, 2])
def test_inner_products_of_long_vectors(threads: int, dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    for count in (0, 1, 100, 1_500_001):
        x, y = torch.rand(count, dtype=dtype) + 1, torch.rand(count, dtype=dtype)
        given = torch.ops.hypatia.inner_product(x, y)
        torch.testing.assert_close(given.double(), x.double() @ y.double(), rtol=1e-6, atol=0)
    torch.set_num_threads(before)


#: A product and the sum of the squares of its left factor in one pass, as reports say it.
SHARED = "rows_by_matrix_and_squares: the engine's"
#: Squared residuals of low rank, by name.
RESIDUALS: dict[str, Callable[..., Any]] = {
    "**": lambda x, u, v: ((x - u @ v.T) ** 2).sum(),
    "square, mm": lambda x, u, v: (x - torch.mm(u, v.t())).square().sum(),
    "einsum": lambda x, u, v: (x - torch.einsum("ik,jk->ij", u, v)).pow(2).sum(),
    "linear": lambda x, u, v: (x - torch.nn.functional.linear(u, v)).pow(2).sum((0, 1)),
    "times itself": lambda x, u, v: torch.sum((x - u @ v.mT) * (x - u @ v.mT)),
}


@DTYPES
@pytest.mark.parametrize("name", RESIDUALS)
def test_the_square_of_a_residual_is_an_inner_product(name: str, dtype: torch.dtype) -> None:
    x, (u, v) = torch.randn(1024, 1024, dtype=dtype), torch.randn(2, 1024, 8, dtype=dtype)
    compiled = assert_agrees(RESIDUALS[name], x, u, v, measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and graph.executor == "aten", graph.refusals
    assert "sum-of-all-products-is-an-inner-product" in graph.rules
    assert graph.implementations[SHARED] == 1
    assert graph.cost_before is not None and graph.cost_after is not None
    assert graph.cost_after <= 0.5 * graph.cost_before


#: Programs of a long matrix and a thin one that read the long one twice, and how often they do in one pass.
TWICE: dict[str, tuple[Callable[..., Any], int]] = {
    "scaled": (lambda x, v: (x @ v) / (x * x).sum(), 1),
    "apart": (lambda x, v: (x @ v.sin(), x.square().sum().sqrt()), 1),
    "of what is computed": (lambda x, v: (x.exp() @ v, x.exp().square().sum()), 1),
    "transposed": (lambda x, v: (x.T @ v, (x.T * x.T).sum()), 0),  # it does not lie row by row
    "the other factor waits": (lambda x, v: x @ (v / (x * x).sum()).sin(), 0),
    "other squares": (lambda x, v: (x @ v, (v * v).sum()), 0),
    "of two": (lambda x, v: (x @ v, (x * x.cos()).sum()), 0),
}


@DTYPES
@pytest.mark.parametrize("name", TWICE)
def test_products_and_squares_share_a_pass(name: str, dtype: torch.dtype) -> None:
    program, count = TWICE[name]
    x, v = torch.randn(1024, 1024, dtype=dtype), torch.randn(1024, 8, dtype=dtype)
    compiled = assert_agrees(program, x, v, measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.implementations.get(SHARED, 0) == count, graph.after


def test_squares_of_a_weight_are_computed_once() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(1024, 1024))

        def forward(self, v: torch.Tensor) -> torch.Tensor:
            return (self.weight @ v) / self.weight.square().sum()

    with torch.no_grad():
        compiled = assert_agrees(Scaled(), torch.randn(1024, 8), measure=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert SHARED not in graph.implementations
