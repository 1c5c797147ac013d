"""Our own kernels over drawn shapes, odd ones among them, against float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

import hypatia_core
from test_programs import MACHINES, Make, assert_same, steps

ours = torch.ops.hypatia
NONE: tuple[str, list[float], str] = ("none", [], "")
RELU: tuple[str, list[float], str] = ("relu", [], "")
#: Least and most of taps, strides, padding and dilation along an axis.
_GEOMETRY = ((1, 5), (1, 3), (0, 3), (1, 3))


def assert_near(found: torch.Tensor, exact: torch.Tensor, terms: int) -> None:
    """As sums of so many float32 products may differ from those of float64."""
    assert found.shape == exact.shape
    error = (found.double() - exact).abs().max() if exact.numel() else torch.zeros(())
    assert float(error) <= 2**-23 * 8 * max(terms, 1) ** 0.5, float(error)


@settings(max_examples=120, deadline=None)
@given(
    *(st.integers(1, most) for most in (40, 150, 400)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_products_of_few_rows_and_of_many(
    rows: int, columns: int, depth: int, bias: bool, other: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    x, weight = torch.rand(rows, depth) - 0.5, torch.rand(columns, depth) - 0.5
    shift = torch.rand(columns) - 0.5 if bias else None
    term = torch.rand(rows, columns) - 0.5 if other else None
    found = ours.linear_on_panels(x, ours.panels_of_weight(weight), shift, term, columns, *RELU)
    exact = x.double() @ weight.double().T
    exact = exact if shift is None else exact + shift
    exact = exact if term is None else exact + term
    assert_near(found, exact.relu(), depth)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*(st.integers(1, most) for most in (2, 20, 40, 12, 30))),
    *(st.tuples(st.integers(least, most), st.integers(least, most)) for least, most in _GEOMETRY),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_convolutions_of_windows_and_of_each_channel(
    sizes: tuple[int, ...],
    taps: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    bias: bool,
    seed: int,
) -> None:
    batch, channels, filters, height, width = sizes
    torch.manual_seed(seed)
    x = torch.rand(batch, channels, height, width) - 0.5
    for axis, size in enumerate((height, width)):
        assume(size + 2 * padding[axis] > dilation[axis] * (taps[axis] - 1))
    geometry = [list(numbers) for numbers in (stride, padding, dilation)]
    shift = torch.rand(filters) - 0.5 if bias else None
    weight = torch.rand(filters, channels, *taps) - 0.5
    exact = functional.conv2d(
        x.double(), weight.double(), None if shift is None else shift.double(), stride, padding, dilation
    )
    other = torch.rand(exact.shape) - 0.5
    panels = ours.panels_of_weight(weight.permute(0, 2, 3, 1).reshape(filters, -1))
    found = ours.convolution_on_panels(x, panels, shift, other, filters, list(taps), *geometry, *RELU)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_near(found, (exact + other).relu(), weight[0].numel())

    each, shift = torch.rand(channels, 1, *taps) - 0.5, torch.rand(channels) - 0.5
    exact = functional.conv2d(x.double(), each.double(), shift.double(), stride, padding, dilation, channels)
    turned = each.squeeze(1).permute(1, 2, 0).contiguous()
    assert_near(ours.depthwise_convolution(x, turned, shift, *geometry, *NONE), exact, each[0].numel())


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*(st.integers(1, most) for most in (3, 80, 100, 12, 30))),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from([2, 4]),
    st.integers(0, 2**31),
)
def test_convolutions_of_tiles(
    sizes: tuple[int, ...], padding: tuple[int, int], side: int, seed: int
) -> None:
    batch, channels, filters, height, width = sizes
    assume(height + 2 * padding[0] >= 3 and width + 2 * padding[1] >= 3)
    torch.manual_seed(seed)
    x, weight = torch.rand(batch, channels, height, width) - 0.5, torch.rand(filters, channels, 3, 3) - 0.5
    shift = torch.rand(filters) - 0.5
    exact = functional.conv2d(x.double(), weight.double(), shift.double(), padding=padding)
    other = torch.rand(exact.shape) - 0.5
    panels = ours.winograd_filters(weight, side)
    found = ours.winograd_convolution(x, panels, shift, other, filters, list(padding), side, *RELU)
    assert found.is_contiguous(memory_format=torch.channels_last)
    # Of larger tiles sums are of larger terms.
    assert_near(found, (exact + other).relu(), weight[0].numel() * side)


@pytest.mark.parametrize("columns", [520, 4096])
@pytest.mark.parametrize("rows", [1, 2, 5, 30])
def test_panels_of_large_weights(rows: int, columns: int) -> None:
    x, weight = torch.rand(rows, 1025) - 0.5, torch.rand(columns, 1025) - 0.5
    panels = ours.panels_of_weight(weight)
    assert panels.untyped_storage().nbytes() == 4 * panels.numel()
    exact = x.double() @ weight.double().T
    assert_near(ours.linear_on_panels(x, panels, None, None, columns, *NONE), exact, 1025)


def test_a_convolution_refuses_what_does_not_fit() -> None:
    image, weight = torch.randn(1, 8, 4, 4), torch.randn(5, 72)
    panels, once = ours.panels_of_weight(weight), ([1, 1], [1, 1], [1, 1])
    taps = [3, 3]
    assert ours.convolution_on_panels(image, panels, None, None, 5, taps, *once, *NONE).shape == (1, 5, 4, 4)
    with pytest.raises(ValueError, match="takes float32"):
        ours.convolution_on_panels(image.half(), panels, None, None, 5, taps, *once, *NONE)
    for bias, other, filters in (
        (torch.zeros(4), None, 5),
        (None, torch.zeros(1, 5, 4, 3), 5),
        (None, None, 40),
    ):
        with pytest.raises(ValueError, match="on panels: operands"):
            ours.convolution_on_panels(image, panels, bias, other, filters, taps, *once, *NONE)
    with pytest.raises(ValueError, match="on panels: operands"):
        ours.convolution_on_panels(image, panels, None, None, 5, [5, 5], *once, *NONE)


def test_tiles_refuse_what_does_not_fit() -> None:
    image, weight = torch.randn(1, 8, 4, 4), torch.randn(5, 8, 3, 3)
    panels = ours.winograd_filters(weight, 2)
    given = (5, [1, 1], 2, *NONE)
    assert ours.winograd_convolution(image, panels, None, None, *given).shape == (1, 5, 4, 4)
    with pytest.raises(ValueError, match="takes float32"):
        ours.winograd_convolution(image.half(), panels, None, None, *given)
    with pytest.raises(ValueError, match="3×3 taps"):
        ours.winograd_filters(torch.randn(5, 8, 1, 3), 2)
    for bias, other, filters, side in (
        (torch.zeros(4), None, 5, 2),
        (None, torch.zeros(1, 5, 4, 3), 5, 2),
        (None, None, 40, 2),
        (None, None, 5, 4),
    ):
        with pytest.raises(ValueError, match="on panels: operands"):
            ours.winograd_convolution(image, panels, bias, other, filters, [1, 1], side, *NONE)
    with pytest.raises(hypatia_core.HypatiaError, match="2 or 4 positions a side"):
        ours.winograd_filters(weight, 3)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("side", [2, 4])
def test_a_convolution_in_tiles_is_a_step(make: Make, side: int, added: bool) -> None:
    x = torch.randn(2, 7, 9, 6).contiguous(memory_format=torch.channels_last)
    panels, bias = torch.ops.hypatia.winograd_filters(torch.randn(19, 7, 3, 3), side), torch.randn(19)
    other = torch.randn(2, 19, 9, 8).contiguous(memory_format=torch.channels_last)

    def function(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        panels, bias, other = given
        y: torch.Tensor = torch.ops.hypatia.winograd_convolution(
            x * 2, panels, bias, other if added else None, 19, [1, 2], side, "relu", [], ""
        )
        return y * 3

    given = (x, panels, bias, other)
    assert [step["step"] for step in steps(function, *given)] == ["rows", "winograd", "rows"]
    assert_same(make, function, *given, tolerance=1e-3)
