"""Convolutions of images whose channels lie together, by code of our own, as operations of torch.

`torch.ops.hypatia.pixels_on_panels` is a 1×1 convolution: a product of all pixels with a weight in panels.
`torch.ops.hypatia.convolution_on_panels` is any other one without groups: a product of windows with a weight
in panels, whose rows are (taps down, taps across, channels).
`torch.ops.hypatia.winograd_convolution` is one of 3×3 taps side by side at every position, by Winograd's
minimal filtering (Lavin and Gray 2016): tiles of 2 × 2 or 4 × 4 positions meet the filters at (side + 2)²
points, where `torch.ops.hypatia.winograd_filters` has taken the filters' values. In the reals that is the
same; what is no number spreads over a tile. Of the largest value a convolution of 64 to 512 channels was
measured to err 3e-7 to 7e-7 by tiles of 2 × 2 and 1.5e-6 to 3e-6 by those of 4 × 4, torch's 9e-7 to 2.3e-6.
`torch.ops.hypatia.depthwise_convolution` gives each channel a filter of its own; the filters are (taps down,
taps across, channels). All add a bias and apply an activation before they write, and answer channels last.
For inference: none has a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import (
    convolution_on_panels,
    depthwise_convolution,
    pack_winograd,
    winograd_on_panels,
)
from hypatia_core.packed_linear import COLUMNS, memory_of_panels, require_float32, write_product

#: The operations' declarations; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
for _declaration in (
    "pixels_on_panels(Tensor x, Tensor panels, Tensor? bias, Tensor? other, SymInt channels, str activation, "
    "float[] numbers, str algorithm) -> Tensor",
    "convolution_on_panels(Tensor x, Tensor panels, Tensor? bias, Tensor? other, SymInt filters, int[] taps, "
    "int[] stride, int[] padding, int[] dilation, str activation, float[] numbers, str algorithm) -> Tensor",
    "winograd_filters(Tensor weight, int side) -> Tensor",
    "winograd_convolution(Tensor x, Tensor panels, Tensor? bias, Tensor? other, SymInt filters, "
    "int[] padding, int side, str activation, float[] numbers, str algorithm) -> Tensor",
    "depthwise_convolution(Tensor x, Tensor filters, Tensor? bias, int[] stride, int[] padding, "
    "int[] dilation, str activation, float[] numbers, str algorithm) -> Tensor",
):
    _LIBRARY.define(_declaration, tags=(torch.Tag.pt2_compliant_tag,))


def _image(like: Tensor, batch: int, channels: int, height: int, width: int) -> Tensor:
    """Memory for images, channels last."""
    steps = (height * width * channels, 1, width * channels, channels)
    return like.new_empty_strided((batch, channels, height, width), steps)


def pixels_on_panels(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    channels: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    """`torch.ops.hypatia.pixels_on_panels` past the dispatcher."""
    batch, depth, height, width = x.shape
    if depth != panels.shape[1]:
        raise ValueError(f"pixels of {depth} channels by a weight of {panels.shape[1]}")
    result = _image(x, batch, channels, height, width)
    x = x.contiguous(memory_format=torch.channels_last)
    if other is not None:
        other = other.contiguous(memory_format=torch.channels_last)
    rows = batch * height * width
    write_product(x, panels, bias, other, result, rows, channels, activation, numbers, algorithm)
    return result


def _type_of_pixels(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    channels: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    batch, _, height, width = x.shape
    return _image(x, batch, channels, height, width)


def positions(size: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    """How many positions a filter has along an axis.

    >>> positions(224, 3, 2, 1, 1)
    112
    """
    return (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


def _laid_out(
    what: str,
    fit: bool,
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    result: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The operands of a convolution on panels as its kernel reads them; `fit` says whether the panels do.

    Raises:
        ValueError: one is of another size than the result asks for.
    """
    fits = (
        fit
        and (bias is None or bias.numel() == result.shape[1])
        and (other is None or other.shape == result.shape)
    )
    if not fits:
        shapes = [None if t is None else tuple(t.shape) for t in (x, panels, bias, other)]
        raise ValueError(f"{what} on panels: operands of {shapes}")
    x = x.contiguous(memory_format=torch.channels_last)
    if other is not None:
        other = other.contiguous(memory_format=torch.channels_last)
    return x, panels.contiguous(), None if bias is None else bias.contiguous(), other


def of_windows(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    filters: int,
    taps: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    """`torch.ops.hypatia.convolution_on_panels` past the dispatcher."""
    require_float32("a convolution on panels", x, panels, bias, other)
    geometry = (taps, stride, padding, dilation)
    result = _type_of_windows(x, panels, bias, other, filters, *geometry, activation, numbers, algorithm)
    batch, channels, height, width = x.shape
    depth = taps[0] * taps[1] * channels
    what = f"a convolution by {filters} filters of {list(taps)}"
    fit = panels.numel() == -(-filters // COLUMNS) * depth * COLUMNS
    x, panels, bias, other = _laid_out(what, fit, x, panels, bias, other, result)
    low, high = numbers or (0.0, 0.0)
    convolution_on_panels(
        x.data_ptr(),
        panels.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        0 if other is None else other.data_ptr(),
        result.data_ptr(),
        (batch, channels, filters),
        (height, taps[0], stride[0], padding[0], dilation[0]),
        (width, taps[1], stride[1], padding[1], dilation[1]),
        activation,
        low,
        high,
        algorithm,
        torch.get_num_threads(),
    )
    return result


def _type_of_windows(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    filters: int,
    taps: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    batch, _, *sizes = x.shape
    height, width = (positions(sizes[i], taps[i], stride[i], padding[i], dilation[i]) for i in (0, 1))
    return _image(x, batch, filters, height, width)


def winograd_filters(weight: Tensor, side: int) -> Tensor:
    """`torch.ops.hypatia.winograd_filters` past the dispatcher."""
    require_float32("filters at Winograd's points", weight)
    if tuple(weight.shape[2:]) != (3, 3):
        raise ValueError(f"filters at Winograd's points: 3×3 taps, not a weight of {tuple(weight.shape)}")
    panels = memory_of_panels(weight, _type_of_filters(weight.to("meta"), side).shape)
    weight = weight.contiguous()
    filters, channels, *_ = weight.shape
    pack_winograd(weight.data_ptr(), panels.data_ptr(), filters, channels, side)
    return panels


def _type_of_filters(weight: Tensor, side: int) -> Tensor:
    filters, channels, *_ = weight.shape
    return weight.new_empty(((side + 2) ** 2, -(-filters // COLUMNS), channels, COLUMNS))


def of_tiles(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    filters: int,
    padding: Sequence[int],
    side: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    """`torch.ops.hypatia.winograd_convolution` past the dispatcher."""
    require_float32("a convolution of tiles", x, panels, bias, other)
    result = _type_of_tiles(x, panels, bias, other, filters, padding, side, activation, numbers, algorithm)
    batch, channels, height, width = x.shape
    fit = tuple(panels.shape) == ((side + 2) ** 2, -(-filters // COLUMNS), channels, COLUMNS)
    what = f"a convolution of tiles by {filters} filters"
    x, panels, bias, other = _laid_out(what, fit, x, panels, bias, other, result)
    low, high = numbers or (0.0, 0.0)
    winograd_on_panels(
        x.data_ptr(),
        panels.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        0 if other is None else other.data_ptr(),
        result.data_ptr(),
        (batch, channels, filters),
        (height, width),
        (padding[0], padding[1]),
        side,
        activation,
        low,
        high,
        algorithm,
        torch.get_num_threads(),
    )
    return result


def _type_of_tiles(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    filters: int,
    padding: Sequence[int],
    side: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    batch, _, *sizes = x.shape
    height, width = (positions(sizes[i], 3, 1, padding[i], 1) for i in (0, 1))
    return _image(x, batch, filters, height, width)


def depthwise(
    x: Tensor,
    filters: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    """`torch.ops.hypatia.depthwise_convolution` past the dispatcher."""
    require_float32("a depthwise convolution", x, filters, bias)
    result = _type_of_depthwise(x, filters, bias, stride, padding, dilation, activation, numbers, algorithm)
    batch, channels, height, width = x.shape
    down, across, own = filters.shape
    if own != channels or (bias is not None and bias.numel() != channels):
        raise ValueError(f"images of {channels} channels by filters of {own}, or by a bias of another size")
    x, filters = x.contiguous(memory_format=torch.channels_last), filters.contiguous()
    if bias is not None:
        bias = bias.contiguous()
    low, high = numbers or (0.0, 0.0)
    depthwise_convolution(
        x.data_ptr(),
        filters.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        result.data_ptr(),
        (batch, channels),
        (height, down, stride[0], padding[0], dilation[0]),
        (width, across, stride[1], padding[1], dilation[1]),
        activation,
        low,
        high,
        algorithm,
        torch.get_num_threads(),
    )
    return result


def _type_of_depthwise(
    x: Tensor,
    filters: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    batch, channels, *sizes = x.shape
    height, width = (
        positions(sizes[i], filters.shape[i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    return _image(x, batch, channels, height, width)


_LIBRARY.impl("pixels_on_panels", pixels_on_panels, "CPU")
_LIBRARY.impl("convolution_on_panels", of_windows, "CPU")
_LIBRARY.impl("winograd_filters", winograd_filters, "CPU")
_LIBRARY.impl("winograd_convolution", of_tiles, "CPU")
_LIBRARY.impl("depthwise_convolution", depthwise, "CPU")
torch.library.register_fake("hypatia::pixels_on_panels", _type_of_pixels, lib=_LIBRARY)
torch.library.register_fake("hypatia::convolution_on_panels", _type_of_windows, lib=_LIBRARY)
torch.library.register_fake("hypatia::winograd_filters", _type_of_filters, lib=_LIBRARY)
torch.library.register_fake("hypatia::winograd_convolution", _type_of_tiles, lib=_LIBRARY)
torch.library.register_fake("hypatia::depthwise_convolution", _type_of_depthwise, lib=_LIBRARY)

PIXELS_ON_PANELS: Any = torch.ops.hypatia.pixels_on_panels.default
CONVOLUTION_ON_PANELS: Any = torch.ops.hypatia.convolution_on_panels.default
WINOGRAD_FILTERS: Any = torch.ops.hypatia.winograd_filters.default
WINOGRAD_CONVOLUTION: Any = torch.ops.hypatia.winograd_convolution.default
DEPTHWISE_CONVOLUTION: Any = torch.ops.hypatia.depthwise_convolution.default
