"""Channels mixed by weights and places by a table, as operations of torch."""

from __future__ import annotations

import pytest
import torch

from hypatia_core.channel_map import Mixing, graded, identity, of_table

#: Two weights for each pair of channels, three places in, two out.
TABLE = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], [[0.0, -1.0], [1.0, 0.0], [0.0, 0.0]]])
TERMS = tuple((a, j, i, float(TABLE[a, j, i])) for a, j, i in TABLE.nonzero().tolist())
SPARSE = Mixing(2, 3, 2, False, TERMS).text()
DENSE = of_table(TABLE)


def dense(x: torch.Tensor, weight: torch.Tensor, table: torch.Tensor = TABLE) -> torch.Tensor:
    return torch.einsum("oca,aji,...cj->...oi", weight.double(), table.double(), x.double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (0,), (7,), (3, 50), (900,)])
@pytest.mark.parametrize("text", [SPARSE, DENSE])
def test_values_are_those_of_the_dense_table(batch: tuple[int, ...], dtype: torch.dtype, text: str) -> None:
    x, weight = torch.randn(*batch, 5, 3, dtype=dtype), torch.randn(4, 5, 2, dtype=dtype)
    given = torch.ops.hypatia.channel_map(x, weight, text)
    tolerance = 200 * torch.finfo(dtype).eps
    torch.testing.assert_close(given.double(), dense(x, weight), rtol=tolerance, atol=tolerance)
    assert given.dtype == dtype


@pytest.mark.parametrize("places", [1, 3, 4, 8, 16, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_channels_alone_of_any_number_of_places(places: int, dtype: torch.dtype) -> None:
    x, weight = torch.randn(70, 33, places, dtype=dtype), torch.randn(6, 33, 1, dtype=dtype)
    given = torch.ops.hypatia.channel_map(x, weight, identity(places))
    wanted = torch.einsum("oc,bci->boi", weight[..., 0], x)
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)
    g = torch.randn_like(wanted)
    slope = torch.ops.hypatia.channel_map_weight_gradient(x, g, identity(places))
    torch.testing.assert_close(slope[..., 0], torch.einsum("bci,boi->oc", x, g), rtol=1e-4, atol=1e-3)


def test_strided_operands_are_read_in_their_order() -> None:
    x, weight = torch.randn(3, 5, 9).permute(2, 1, 0), torch.randn(2, 5, 8).permute(2, 1, 0)[::2]
    assert not x.is_contiguous() and not weight.is_contiguous()
    given = torch.ops.hypatia.channel_map(x, weight, SPARSE)
    torch.testing.assert_close(given.double(), dense(x, weight), rtol=1e-5, atol=1e-5)


def test_gradients_of_any_order() -> None:
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    for text in (SPARSE, DENSE):
        assert torch.autograd.gradcheck(
            lambda x, w, t=text: torch.ops.hypatia.channel_map(x, w, t), (x, weight)
        )
        assert torch.autograd.gradgradcheck(
            lambda x, w, t=text: torch.ops.hypatia.channel_map(x, w, t), (x, weight)
        )


def test_batches_of_calls() -> None:
    x, weight = torch.randn(6, 4, 5, 3), torch.randn(6, 2, 5, 2)
    call = torch.ops.hypatia.channel_map
    by_x = torch.vmap(lambda x: call(x, weight[0], SPARSE))(x)
    torch.testing.assert_close(by_x, torch.stack([call(one, weight[0], SPARSE) for one in x]))
    both = torch.vmap(lambda x, w: call(x, w, SPARSE))(x, weight)
    pairs = zip(x, weight, strict=True)
    torch.testing.assert_close(both, torch.stack([call(one, w, SPARSE) for one, w in pairs]))


def test_torch_checks_the_operations() -> None:
    x, weight, g = torch.randn(7, 5, 3), torch.randn(4, 5, 2), torch.randn(7, 4, 2)
    torch.library.opcheck(torch.ops.hypatia.channel_map.default, (x, weight, SPARSE))
    torch.library.opcheck(torch.ops.hypatia.channel_map_weight_gradient.default, (x, g, DENSE))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tables_zeros_hide_nothing_that_is_not_finite(value: float) -> None:
    x, weight = torch.randn(6, 5, 3), torch.randn(4, 5, 2)
    x[2, 1, 0] = value
    given, wanted = torch.ops.hypatia.channel_map(x, weight, DENSE), dense(x, weight)
    assert torch.equal(given.isfinite(), wanted.isfinite())
    weight[3, 0, 1], x[2, 1, 0] = value, 0.0
    given, wanted = torch.ops.hypatia.channel_map(x, weight, DENSE), dense(x, weight)
    assert torch.equal(given.isfinite(), wanted.isfinite())
    alone = torch.ops.hypatia.channel_map(x, weight, SPARSE)
    assert alone[:, 3, 0].isfinite().sum() == 0 and not alone[:, :3].isnan().any()


def test_operands_of_other_shapes_are_refused() -> None:
    x, weight = torch.randn(7, 5, 3), torch.randn(4, 5, 2)
    with pytest.raises(ValueError, match="operands of shapes"):
        torch.ops.hypatia.channel_map(x, weight[:, 1:], SPARSE)
    with pytest.raises(ValueError, match="2 places where the table has 3"):
        torch.ops.hypatia.channel_map(x[..., 1:], weight, SPARSE)
    with pytest.raises(ValueError, match="operands of shapes"):
        torch.ops.hypatia.channel_map_weight_gradient(x, torch.randn(6, 4, 2), SPARSE)


def test_a_weight_for_each_place() -> None:
    x, weight = torch.randn(9, 2, 4), torch.randn(3, 2, 3)
    given = torch.ops.hypatia.channel_map(x, weight, graded([0, 1, 1, 2], 3))
    torch.testing.assert_close(given, torch.einsum("oci,bci->boi", weight[..., [0, 1, 1, 2]], x))
