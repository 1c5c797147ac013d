"""Pooling of images whose channels lie together: the greatest of shifted images, element by element."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from hypatia_core.native.aliases import args_of, item_of
from hypatia_core.native.lowering import Lowering
from hypatia_core.native.pointwise import Emitter
from hypatia_core.native.units import Register
from hypatia_core.native.values import Value

MAX_POOL = torch.ops.aten.max_pool2d_with_indices.default

#: Images that a row program reads at once: windows of no more pixels.
MOST_TAPS = 9
#: Parts of the result whose windows reach beyond the images in the same way: a step each.
MOST_PARTS = 9


def _windows(node: fx.Node) -> tuple[list[int], list[int], list[int], list[int]]:
    """Extent, stride, padding and dilation of a pooling's windows."""
    names = ("self", "kernel_size", "stride", "padding", "dilation")
    given = dict(zip(names, args_of(node), strict=False)) | node.kwargs

    def pair(name: str, default: Any) -> list[int]:
        numbers = list(given.get(name) or default)
        return numbers * 2 if len(numbers) == 1 else numbers

    taps = pair("kernel_size", ())
    return taps, pair("stride", taps), pair("padding", (0,)), pair("dilation", (1,))


@dataclass(frozen=True)
class _Run:
    """Positions along an axis whose windows have the same pixels within the image."""

    first: int
    count: int
    #: Those of the window's places, and the pixel of each at the first position.
    taps: tuple[int, ...]
    pixels: tuple[int, ...]


def _runs(size: int, positions: int, taps: int, stride: int, padding: int, dilation: int) -> list[_Run]:
    """All positions along an axis; what lies beyond the image is in no window, as if it were least of all.

    >>> [(run.first, run.count, run.taps) for run in _runs(8, 4, 3, 2, 1, 1)]
    [(0, 1, (1, 2)), (1, 3, (0, 1, 2))]
    """

    def within(position: int) -> tuple[int, ...]:
        start = position * stride - padding
        return tuple(tap for tap in range(taps) if 0 <= start + tap * dilation < size)

    found = []
    for inside, group in itertools.groupby(range(positions), within):
        first, *rest = group
        start = first * stride - padding
        pixels = tuple(start + tap * dilation for tap in inside)
        found.append(_Run(first, 1 + len(rest), inside, pixels))
    return found


def _axes(node: fx.Node) -> list[list[_Run]]:
    """The positions down and across."""
    images, (pooled, _) = args_of(node)[0].meta["val"], node.meta["val"]
    windows = _windows(node)
    return [
        _runs(images.shape[2 + i], pooled.shape[2 + i], *(numbers[i] for numbers in windows)) for i in (0, 1)
    ]


def takes_windows(node: fx.Node) -> bool:
    """Whether windows are small and meet the images in few ways, and nobody asks where the greatest was."""
    images = args_of(node)[0].meta["val"]
    taps = _windows(node)[0]
    if images.dim() != 4 or taps[0] * taps[1] > MOST_TAPS:
        return False
    down, across = _axes(node)
    return (
        images.is_contiguous(memory_format=torch.channels_last)
        and all(run.taps for run in (*down, *across))
        and 1 <= len(down) * len(across) <= MOST_PARTS
        and item_of(node, 0) is not None
        and ((where := item_of(node, 1)) is None or not where.users)
    )


def greatest_of_windows(low: Lowering, node: fx.Node) -> list[Value]:
    """The greatest of each window: of as many images as it has pixels, each with its strides.

    Where windows reach beyond the images, of those that are there: a part of the result for each set of them.
    """
    stride, pooled = _windows(node)[1], item_of(node, 0)
    assert pooled is not None
    batch, channels, height, width = pooled.meta["val"].shape
    images = low.view(low.value(args_of(node)[0])).permuted((0, 2, 3, 1))
    sizes, order = (batch, height, width, channels), (0, 2, 3, 1)
    down, across = _axes(node)
    parts = list(itertools.product(down, across))

    def greatest(down: _Run, across: _Run, order: Sequence[int]) -> Value:
        shifted: dict[Any, Value] = {
            (y, x): images.sliced(1, y, down.count, stride[0]).sliced(2, x, across.count, stride[1])
            for y in down.pixels
            for x in across.pixels
        }

        def write(emitter: Emitter, registers: dict[Any, Register]) -> Register:
            first, *others = (registers[place] for place in shifted)
            for other in others:
                first = emitter("max", first, other)
            return first

        made = (batch, down.count, across.count, channels)
        return low.elements_of(pooled, made, shifted, write, order)

    value: Value
    if len(parts) == 1:
        value = greatest(down[0], across[0], order)
    else:
        # Of a part none of the node's own orders says how it lies.
        made = [(greatest(y, x, ()), {1: y.first, 2: x.first}) for y, x in parts]
        value, _ = low.composed(made, sizes, low.kind_of(pooled.meta["val"]), pooled, order)
    return [low.turned(value, (0, 3, 1, 2)), value]
