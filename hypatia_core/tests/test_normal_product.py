"""Products of normal equations: the operation, and the programs that it is found in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import hypatia_core
from agreement import assert_agrees
from hypatia_core.normal_product import MOST_COLUMNS

NORMAL = torch.ops.hypatia.normal_product


def wanted(a: Tensor, x: Tensor, b: Tensor | None, of_product: float, of_b: float) -> Tensor:
    between = of_product * (a @ x)
    return a.mT @ (between if b is None else between + of_b * b)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("columns", [0, 1, 2, 3, MOST_COLUMNS, MOST_COLUMNS + 1])
@pytest.mark.parametrize("extents", [(0, 3), (3, 0), (1, 1), (39, 517), (1000, 130)])
def test_any_extents(extents: tuple[int, int], columns: int, dtype: torch.dtype, threads: int) -> None:
    (m, n), before = extents, torch.get_num_threads()
    a, x, b = (torch.randn(shape, dtype=dtype) for shape in ((m, n), (n, columns), (m, columns)))
    torch.set_num_threads(threads)
    for shift, factors in ((None, (1.0, 0.0)), (b, (1.0, -1.0)), (b.mT.contiguous().mT, (-0.5, 2.0))):
        given = NORMAL(a, x, shift, *factors)
        exact = wanted(a.double(), x.double(), None if shift is None else shift.double(), *factors)
        scale = float(exact.abs().max()) if exact.numel() else 1.0
        atol = 100 * torch.finfo(dtype).eps * scale
        torch.testing.assert_close(given.double(), exact, rtol=0, atol=atol)
    torch.set_num_threads(before)


def test_what_is_not_finite() -> None:
    a, x = torch.randn(40, 100), torch.randn(100, 1)
    a[3, 7] = torch.nan
    assert NORMAL(a, x, None, 1.0, 0.0).isnan().all()
    a[3, 7] = torch.inf
    given, exact = NORMAL(a, x, None, 1.0, 0.0), wanted(a.double(), x.double(), None, 1.0, 0.0)
    torch.testing.assert_close(given.double(), exact, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_shapes_that_do_not_fit_are_refused() -> None:
    a, x = torch.randn(4, 3), torch.randn(3, 1)
    for given in ((a, x[0], None), (a, x.T, None), (a[0], x, None), (a, x, torch.randn(3, 1))):
        with pytest.raises(ValueError, match="are accepted"):
            NORMAL(*given, 1.0, 1.0)


def test_torch_checks_it() -> None:
    def scaled(a: Tensor, x: Tensor, b: Tensor | None = None) -> Any:
        return NORMAL(a, x, b, 2.0, -1.0)

    a, x, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((5, 3), (3, 2), (5, 2)))
    for shift in (None, b):
        torch.library.opcheck(NORMAL.default, (a, x, shift, 2.0, -1.0))
        inputs = (a, x) if shift is None else (a, x, shift)
        assert torch.autograd.gradcheck(scaled, inputs)
        assert torch.autograd.gradgradcheck(scaled, inputs)
    many = torch.vmap(lambda x, b: NORMAL(a, x, b, 2.0, -1.0), in_dims=(0, 1))
    xs, bs = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(5, 4, 2, dtype=torch.float64)
    torch.testing.assert_close(many(xs, bs), wanted(a, xs, bs.movedim(1, 0), 2.0, -1.0))


#: Programs of a matrix, few columns and as many longer ones, and whether they are of normal equations.
PROGRAMS: dict[str, tuple[Callable[..., Tensor], bool]] = {
    "left to right": (lambda a, x, b: a.T @ a @ x, True),
    "right to left": (lambda a, x, b: a.mT @ torch.mm(a, x), True),
    "residual": (lambda a, x, b: a.T @ (a @ x - b), True),
    "residual the other way": (lambda a, x, b: a.transpose(0, 1) @ (b - a @ x), True),
    "sum": (lambda a, x, b: x - a.permute(1, 0) @ (a @ x + b), True),
    "einsum": (lambda a, x, b: torch.einsum("ij,ik,k->j", a, a, x[:, 0]), True),
    "of rows": (lambda a, x, b: x[:, 0] @ a.T @ a, True),
    "vector": (lambda a, x, b: a.T @ (a @ x[:, 0] - b[:, 0]), True),
    "another matrix": (lambda a, x, b: (a * 2 + 1).T @ (a @ x), False),
    "read twice": (lambda a, x, b: a.T @ (a @ x) + (a @ x).sum(), False),
    "of columns": (lambda a, x, b: a @ (a.T @ b), False),
    "weighted": (lambda a, x, b: a.T @ (b * (a @ x)), False),
    "broadcast": (lambda a, x, b: a.T @ (a @ x - b[:, :1].mean()), False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, columns: int, dtype: torch.dtype) -> None:
    program, found = PROGRAMS[name]
    a, x, b = (torch.randn(shape, dtype=dtype) for shape in ((1200, 900), (900, columns), (1200, columns)))
    compiled = assert_agrees(program, a, x, b, measure=False, dynamic=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert ("normal_product: the engine's" in graph.implementations) == found, graph.after


def test_powers_are_one_pass_each() -> None:
    a, x = torch.randn(1200, 900), torch.randn(900, 1)
    compiled = assert_agrees(lambda a, x: a.T @ (a @ (a.T @ (a @ x))), a, x, measure=False, dynamic=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.implementations["normal_product: the engine's"] == 2
    assert graph.nodes_after == 2


@pytest.mark.parametrize(
    "a",
    [torch.randn(300, 900), torch.randn(20_000, 60), torch.randn(900, 1200).T],
    ids=["small", "short rows", "column by column"],
)
def test_matrices_that_are_not_worth_it(a: Tensor) -> None:
    program, x = lambda a, x: a.T @ (a @ x), torch.randn(a.shape[1], 1)
    compiled = assert_agrees(program, a, x, measure=False, dynamic=False)
    (graph,) = hypatia_core.report(compiled).graphs
    assert "normal_product: the engine's" not in graph.implementations


def test_exact_numerics_keep_both_products() -> None:
    options: dict[str, Any] = {"numerics": "exact"}
    program = torch.compile(lambda a, x: a.T @ (a @ x), backend="hypatia", options=options)
    a, x = torch.randn(1200, 900), torch.randn(900, 1)
    assert torch.equal(program(a, x), a.T @ (a @ x))


def test_columns_that_are_not_known_keep_both_products() -> None:
    a, x = torch.randn(1200, 900), torch.randn(900, 3)
    compiled = assert_agrees(lambda a, x: a.T @ (a @ x), a, x, measure=False, dynamic=True)
    (graph,) = hypatia_core.report(compiled).graphs
    assert "normal_product: the engine's" not in graph.implementations
