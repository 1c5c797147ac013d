"""Pooling of images whose channels lie together: the greatest of shifted images, element by element."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from hypatia_core.native.aliases import args_of
from hypatia_core.native.lowering import Lowering, item_of
from hypatia_core.native.pointwise import Emitter
from hypatia_core.native.units import Register
from hypatia_core.native.values import Value

MAX_POOL = torch.ops.aten.max_pool2d_with_indices.default

#: Images that a row program reads at once: windows of no more pixels.
MOST_TAPS = 9


def _windows(node: fx.Node) -> tuple[list[int], list[int], list[int], list[int]]:
    """Extent, stride, padding and dilation of a pooling's windows."""
    names = ("self", "kernel_size", "stride", "padding", "dilation")
    given = dict(zip(names, args_of(node), strict=False)) | node.kwargs

    def pair(name: str, default: Any) -> list[int]:
        numbers = list(given.get(name) or default)
        return numbers * 2 if len(numbers) == 1 else numbers

    taps = pair("kernel_size", ())
    return taps, pair("stride", taps), pair("padding", (0,)), pair("dilation", (1,))


def takes_windows(node: fx.Node) -> bool:
    """Whether windows are small and lie within the images, and nobody asks where the greatest was."""
    images, (pooled, _) = args_of(node)[0].meta["val"], node.meta["val"]
    taps, stride, padding, dilation = _windows(node)
    within = all(
        (pooled.shape[2 + i] - 1) * stride[i] + (taps[i] - 1) * dilation[i] < images.shape[2 + i]
        for i in (0, 1)
    )
    return (
        images.dim() == 4
        and images.is_contiguous(memory_format=torch.channels_last)
        and within
        and not any(padding)
        and taps[0] * taps[1] <= MOST_TAPS
        and item_of(node, 0) is not None
        and ((where := item_of(node, 1)) is None or not where.users)
    )


def greatest_of_windows(low: Lowering, node: fx.Node) -> list[Value]:
    """The greatest of each window: of as many images as it has pixels, each with its strides."""
    taps, stride, _, dilation = _windows(node)
    pooled = item_of(node, 0)
    assert pooled is not None
    batch, channels, height, width = pooled.meta["val"].shape
    images = low.view(low.value(args_of(node)[0])).permuted((0, 2, 3, 1))
    shifted: dict[Any, Value] = {
        (i, j): images.sliced(1, i * dilation[0], height, stride[0]).sliced(
            2, j * dilation[1], width, stride[1]
        )
        for i in range(taps[0])
        for j in range(taps[1])
    }

    def write(emitter: Emitter, registers: dict[Any, Register]) -> Register:
        first, *others = (registers[place] for place in shifted)
        for other in others:
            first = emitter("max", first, other)
        return first

    order = (0, 2, 3, 1)
    value = low.elements_of(pooled, (batch, height, width, channels), shifted, write, order)
    return [low.turned(value, (0, 3, 1, 2)), value]
