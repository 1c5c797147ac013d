"""Sparse bilinear maps as an operation of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hypatia_core.bilinear import terms_text

TABLE = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]]])  # of the complex numbers
TEXT = terms_text([2, 2, 2], TABLE.flatten().tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("left", "right"),
    [((2,), (2,)), ((5, 2), (2,)), ((3, 1, 2), (4, 2)), ((0, 2), (2,)), ((20_000, 2), (20_000, 2))],
)
def test_values_are_those_of_the_dense_table(
    left: tuple[int, ...], right: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, y = torch.randn(left, dtype=dtype), torch.randn(right, dtype=dtype)
    given = torch.ops.hypatia.bilinear(x, y, TEXT)
    wanted = torch.einsum("...i,ijk,...j->...k", x.double(), TABLE.double(), y.double())
    torch.testing.assert_close(given.double(), wanted, rtol=0, atol=40 * torch.finfo(dtype).eps)
    assert given.dtype == dtype


def test_strided_operands_are_read_in_their_order() -> None:
    x, y = torch.randn(2, 7).t(), torch.randn(7, 4)[:, ::2]
    wanted = torch.einsum("bi,ijk,bj->bk", x, TABLE, y)
    torch.testing.assert_close(torch.ops.hypatia.bilinear(x, y, TEXT), wanted)


def test_torch_checks_the_operation() -> None:
    x, y = torch.randn(3, 2), torch.randn(3, 2)
    torch.library.opcheck(torch.ops.hypatia.bilinear.default, (x, y, TEXT))


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 3 and 2"):
        torch.ops.hypatia.bilinear(torch.randn(4, 3), torch.randn(4, 2), TEXT)


WEIGHTED = "2 3 2 3,0 0 0 1.0 0,1 1 0 -1.0 2,0 1 1 2.0 1,1 2 1 1.0 0"


def weighted(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The map of `WEIGHTED`, written out."""
    (a, b), (c, d, e), (u, v, w) = x.unbind(-1), y.unbind(-1), weight.unbind(-1)
    return torch.stack([u * a * c - w * b * d, 2 * v * a * d + u * b * e], -1)


def drawn(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, dtype=dtype, generator=generator, requires_grad=True) for s in shapes]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(4,), (3, 4), (5000, 4), (2, 33, 4)])
def test_weights_of_channels(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    x, y, weight = drawn((*batch, 2), (*batch, 3), (4, 3), dtype=dtype)
    given = torch.ops.hypatia.weighted_bilinear(x, y, weight, WEIGHTED)
    wanted = weighted(*(t.double() for t in (x, y, weight)))
    torch.testing.assert_close(given.double(), wanted, rtol=0, atol=60 * torch.finfo(dtype).eps)
    gradients = torch.autograd.grad(given.square().sum(), [x, y, weight])
    expected = torch.autograd.grad(wanted.square().sum(), [x, y, weight])
    for ours, theirs in zip(gradients, expected, strict=True):
        scale = float(theirs.double().abs().max())
        atol = 100 * torch.finfo(dtype).eps * scale
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=atol)


def test_gradients_of_any_order() -> None:
    def plain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.hypatia.bilinear(x, y, TEXT)
        return out

    def by_channels(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.hypatia.weighted_bilinear(x, y, weight, WEIGHTED)
        return out

    cases: list[tuple[Callable[..., Tensor], list[Tensor]]] = [
        (plain, drawn((5, 2), (5, 2))),
        (plain, drawn((3, 1, 2), (4, 2))),
        (by_channels, drawn((2, 4, 2), (2, 4, 3), (4, 3))),
        (by_channels, drawn((2, 4, 2), (4, 3), (4, 3))),
        (torch.ops.hypatia.rows_by_matrix, drawn((6, 3), (3, 2))),
        (torch.ops.hypatia.rows_by_matrix_and_squares, drawn((6, 3), (3, 2))),
        (torch.ops.hypatia.rows_by_matrix_and_squares, drawn((2, 70), (70, 1))),
    ]
    for function, inputs in cases:
        assert torch.autograd.gradcheck(function, tuple(inputs))
        assert torch.autograd.gradgradcheck(function, tuple(inputs))


def test_batches_of_calls() -> None:
    x, y, weight = drawn((6, 5, 4, 2), (5, 4, 3), (4, 3))
    weights = torch.stack([weight, 2 * weight, -weight, weight, weight, weight])

    def call(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.hypatia.weighted_bilinear(x, y, weight, WEIGHTED)
        return out

    one = torch.vmap(call, in_dims=(0, None, None))(x, y, weight)
    torch.testing.assert_close(one, weighted(x, y, weight))
    each = torch.vmap(call, in_dims=(0, None, 0))(x, y, weights)
    wanted = torch.stack([weighted(a, y, w) for a, w in zip(x, weights, strict=True)])
    torch.testing.assert_close(each, wanted)
    rows = torch.vmap(torch.ops.hypatia.rows_by_matrix, in_dims=(1, None))(x[0, :, :, :], *drawn((2, 3)))
    assert rows.shape == (4, 5, 3)
    both = torch.vmap(torch.ops.hypatia.rows_by_matrix_and_squares, in_dims=(1, None))
    product, squares = both(x[0, :, :, :], *drawn((2, 3)))
    torch.testing.assert_close(product, rows)
    torch.testing.assert_close(squares, x[0].square().sum((0, 2)))


def test_torch_checks_the_other_operations() -> None:
    x, y, weight, g = drawn((3, 4, 2), (3, 4, 3), (4, 3), (3, 4, 2))
    torch.library.opcheck(torch.ops.hypatia.weighted_bilinear.default, (x, y, weight, WEIGHTED))
    torch.library.opcheck(torch.ops.hypatia.bilinear_weight_gradient.default, (x, y, g, WEIGHTED))
    torch.library.opcheck(torch.ops.hypatia.rows_by_matrix.default, (x, *drawn((2, 5))))
    torch.library.opcheck(torch.ops.hypatia.rows_by_matrix_and_squares.default, (x, *drawn((2, 5))))


@pytest.mark.parametrize("extents", [(2, 2), (3, 3), (4, 4), (8, 8), (3, 5), (1, 1)])
@pytest.mark.parametrize("rows", [(), (0,), (7,), (50_000,), (3, 70)])
def test_rows_by_a_matrix(rows: tuple[int, ...], extents: tuple[int, int]) -> None:
    x, matrix = drawn((*rows, extents[0]), extents)
    torch.testing.assert_close(torch.ops.hypatia.rows_by_matrix(x, matrix), x @ matrix)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("extents", [(3, 2), (63, 1), (64, 16), (517, 17), (1030, 9), (64, 0)])
@pytest.mark.parametrize("rows", [(), (0,), (1,), (39,), (3, 70)])
def test_rows_by_a_matrix_and_the_squares(
    rows: tuple[int, ...], extents: tuple[int, int], dtype: torch.dtype, threads: int
) -> None:
    x, matrix = (t.detach() for t in drawn((*rows, extents[0]), extents, dtype=dtype))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    product, squares = torch.ops.hypatia.rows_by_matrix_and_squares(x, matrix)
    torch.set_num_threads(before)
    rounded = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(product, x @ matrix, rtol=rounded, atol=10 * rounded)
    torch.testing.assert_close(squares, x.double().square().sum().to(dtype))


def test_squares_of_rows_that_lie_otherwise() -> None:
    x, matrix = torch.randn(300, 2, 70)[:, 1].t(), torch.randn(600, 5)[::2].contiguous()
    product, squares = torch.ops.hypatia.rows_by_matrix_and_squares(x, matrix)
    torch.testing.assert_close(product, x @ matrix, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(squares, x.square().sum())


@pytest.mark.parametrize("threads", [1, 2])
def test_squares_of_millions_err_like_those_of_thousands(threads: int) -> None:
    x, matrix = torch.rand(1500, 2001) + 1, torch.rand(2001, 3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    _, squares = torch.ops.hypatia.rows_by_matrix_and_squares(x, matrix)
    torch.set_num_threads(before)
    torch.testing.assert_close(squares.double(), x.double().square().sum(), rtol=2e-7, atol=0)


def test_weights_of_another_shape_are_refused() -> None:
    x, y = torch.randn(5, 4, 2), torch.randn(5, 4, 3)
    with pytest.raises(ValueError, match="channels"):
        torch.ops.hypatia.weighted_bilinear(x, y, torch.randn(3, 3), WEIGHTED)


def test_a_training_step_over_a_constant_table_is_sparse_both_ways() -> None:
    import hypatia_core

    table = TABLE.clone()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,ijk,bj->bk", x, table, y).square().sum()

    x, y = drawn((2000, 2), (2000, 2), dtype=torch.float32)
    compiled = torch.compile(
        loss, backend="hypatia", options={"executor": "aten", "cache": False, "check_proof": True}
    )
    ours = torch.autograd.grad(compiled(x, y), [x, y])
    for given, wanted in zip(ours, torch.autograd.grad(loss(x, y), [x, y]), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)
    for graph in hypatia_core.report(compiled).graphs:
        rules = " ".join(graph.rules)
        assert "constant-table" in rules, (graph.stage, rules, graph.refusals)
    table[0, 0, 0] = 3.0
    ours = torch.autograd.grad(compiled(x, y), [x, y])
    for given, wanted in zip(ours, torch.autograd.grad(loss(x, y), [x, y]), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)
