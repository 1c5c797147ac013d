"""Transposed convolutions whose filters meet nowhere: each pixel becomes a patch of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from hypatia_core import compat, packed_linear
from hypatia_core.implementations.base import Emitter, Implementation, WeightedUnit, on_cpu_in_float32

aten = torch.ops.aten

NAME = "transposed convolution"


@dataclass(frozen=True)
class TransposedConvolution(WeightedUnit):
    """A transposed convolution of images whose stride is the extent of its filters, and a bias.

    The weight is (channels, filters, taps down, taps across).
    """

    operation: str = NAME

    @property
    def covered(self) -> tuple[fx.Node, ...]:
        """Itself alone."""
        return (self.node,)

    @property
    def key(self) -> tuple[Any, ...]:
        """Sizes and layouts."""
        values = (self.x.meta["val"], self.weight.meta["val"])
        sizes = (compat.hint(n) for value in values for n in (*value.shape, *value.stride()))
        return (self.operation, *sizes, self.bias is not None)


def transposed_convolution(
    node: fx.Node, weights: set[fx.Node], taken: set[fx.Node]
) -> TransposedConvolution | None:
    """The transposed convolution with a weight that a node is, where no two of its patches meet."""
    if node.target is not aten.convolution.default:
        return None
    x, weight, bias, stride, padding, dilation, transposed, beyond, groups = node.args
    if not transposed or weight not in weights or x in weights or (bias is not None and bias not in weights):
        return None
    if not on_cpu_in_float32(x, weight, bias) or x.meta["val"].ndim != 4:  # type: ignore[arg-type, union-attr]
        return None
    sizes = (*x.meta["val"].shape, *weight.meta["val"].shape)  # type: ignore[union-attr]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    apart = list(stride) == list(sizes[-2:]) and not any((*padding, *beyond))  # type: ignore[arg-type, misc]
    if not apart or groups != 1 or any(d != 1 for d in dilation):  # type: ignore[union-attr]
        return None
    return TransposedConvolution(node, x, weight, bias)  # type: ignore[arg-type]


def _as_torch_does(emitter: Emitter, unit: TransposedConvolution) -> fx.Node:
    return emitter.call(aten.convolution.default, unit.x, unit.weight, unit.bias, *unit.node.args[3:])


def _channels_lie_together(unit: TransposedConvolution) -> bool:
    return bool(unit.x.meta["val"].is_contiguous(memory_format=torch.channels_last))


def _on_panels(emitter: Emitter, unit: TransposedConvolution) -> fx.Node:
    """All pixels by all taps in one product, whose patches are then laid beside one another."""
    batch, channels, height, width = unit.x.meta["val"].shape
    _, filters, down, across = unit.weight.meta["val"].shape
    pixels = emitter.call(aten.permute.default, unit.x, [0, 2, 3, 1])
    rows = emitter.call(aten.view.default, pixels, [-1, channels])
    turned = emitter.call(aten.permute.default, unit.weight, [2, 3, 1, 0])
    lying = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    panels = emitter.call(
        packed_linear.PANELS_OF_WEIGHT, emitter.call(aten.view.default, lying, [-1, channels])
    )
    bias = None if unit.bias is None else emitter.call(aten.repeat.default, unit.bias, [down * across])
    call = (packed_linear.LINEAR_ON_PANELS, rows, panels, bias, None, down * across * filters)
    product = emitter.call(*call, "none", [], "")
    patches = emitter.call(aten.view.default, product, [batch, height, width, down, across, filters])
    beside = emitter.call(
        aten.clone.default,
        emitter.call(aten.permute.default, patches, [0, 1, 3, 2, 4, 5]),
        memory_format=torch.contiguous_format,
    )
    images = emitter.call(aten.view.default, beside, [batch, height * down, width * across, filters])
    return emitter.call(aten.permute.default, images, [0, 3, 1, 2])


IMPLEMENTATIONS: list[Implementation] = [
    Implementation("torch", NAME, lambda unit: True, _as_torch_does),
    Implementation(
        "own kernel over pixels, weight in panels, channels last",
        NAME,
        _channels_lie_together,
        _on_panels,
        is_step=True,
    ),
]
