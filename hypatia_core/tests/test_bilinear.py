"""Sparse bilinear maps as an operation of torch."""

from __future__ import annotations

import pytest
import torch

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
