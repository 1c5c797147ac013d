"""Convolutions with what follows them: a batch norm or a shift in their weights, a sum, an activation."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from torch import fx

from hypatia_core import compat, packed_convolution, packed_linear
from hypatia_core.activation import Activation, activation, post_operation
from hypatia_core.implementations.base import (
    KERNELS,
    Emitter,
    Implementation,
    has_kernels,
    on_cpu_in_float32,
    only_user,
)

aten = torch.ops.aten

#: Channels last, oneDNN sums all terms one after another: of so many, that errs three times what torch does.
MANY_TERMS = 8192

#: What a convolution along one axis is called, and what one of images is.
OF_SEQUENCES, OF_IMAGES = "convolution along one axis", "convolution"

_BATCH_NORM = aten._native_batch_norm_legit_no_training.default


@dataclass(frozen=True)
class Convolution:
    """act(norm(x ∗ w + b) + shift + other), of which only the convolution must be there."""

    node: fx.Node
    convolution: fx.Node
    x: fx.Node
    weight: fx.Node
    bias: fx.Node | None
    #: Scale, shift, mean and variance of a batch norm at inference, of which the first two may be missing.
    norm: tuple[fx.Node | None, ...]
    epsilon: float
    #: A number for each channel, of weights alone: what the search leaves of a batch norm.
    shift: fx.Node | None
    #: What is added before the activation.
    other: fx.Node | None
    activation: Activation | None
    covered: tuple[fx.Node, ...]
    operation: str = OF_IMAGES

    @property
    def activations(self) -> tuple[fx.Node, ...]:
        """The image, and what is added."""
        return (self.x,) if self.other is None else (self.x, self.other)

    @property
    def weights(self) -> tuple[fx.Node | None, ...]:
        """The filters, the bias, the shift, and those of the norm."""
        return (self.weight, self.bias, self.shift, *self.norm)

    def on(self, activations: list[fx.Node], weights: list[fx.Node | None]) -> Convolution:
        """The same on other nodes."""
        weight, bias, shift, *norm = weights
        assert weight is not None
        other = activations[1] if self.other is not None else None
        here = replace(self, x=activations[0], other=other, weight=weight)
        return replace(here, bias=bias, shift=shift, norm=tuple(norm))

    @property
    def geometry(self) -> tuple[Any, Any, Any, int]:
        """Padding, stride, dilation and groups."""
        _, _, _, stride, padding, dilation, _, _, groups = self.convolution.args
        return padding, stride, dilation, groups  # type: ignore[return-value]

    @property
    def key(self) -> tuple[Any, ...]:
        """Shapes, layouts, geometry and what is fused."""
        values = [node.meta["val"] for node in (*self.activations, self.weight)]
        return (
            self.operation,
            *(compat.hint(n) for value in values for n in (*value.shape, *value.stride())),
            str(self.geometry),
            *(node is not None for node in (self.bias, self.shift, *self.norm)),
            self.other is not None,
            None if self.activation is None else post_operation(self.activation)[::2],
        )


def convolution(node: fx.Node, weights: set[fx.Node], taken: set[fx.Node]) -> Convolution | None:
    """The convolution with a weight that a node is, of images or along one axis, with what is fused to it."""
    if node.target is not aten.convolution.default:
        return None
    x, weight, bias, _, _, _, transposed, _, _ = node.args
    if transposed or weight not in weights or x in weights or (bias is not None and bias not in weights):
        return None
    axes = x.meta["val"].ndim - 2  # type: ignore[union-attr]
    if not on_cpu_in_float32(x, weight, bias) or axes not in (1, 2):  # type: ignore[arg-type]
        return None
    if not all(isinstance(size, int) and size > 0 for size in x.meta["val"].shape):  # type: ignore[union-attr]
        return None
    unit = Convolution(node, node, x, weight, bias, (), 0.0, None, None, None, (node,))  # type: ignore[arg-type]
    if axes == 1:
        unit = replace(unit, operation=OF_SEQUENCES)
    extensions = (_with_norm, _with_shift, _with_sum, _with_activation)
    for extend in extensions if axes == 2 else extensions[-1:]:
        following = only_user(unit.node)
        if following is not None and following not in taken:
            unit = extend(unit, following, weights)
    return unit if unit.other is None else _with_shift_beside(unit, weights, taken)


def _with_norm(unit: Convolution, following: fx.Node, weights: set[fx.Node]) -> Convolution:
    first = only_user(following)
    if following.target is not _BATCH_NORM or first is None or first.target is not operator.getitem:
        return unit
    _, *norm, _, epsilon = following.args
    if first.args[1] != 0 or any(part is not None and part not in weights for part in norm):
        return unit
    covered = (*unit.covered, following, first)
    return replace(unit, node=first, norm=tuple(norm), epsilon=epsilon, covered=covered)  # type: ignore[arg-type]


def _with_shift(unit: Convolution, following: fx.Node, weights: set[fx.Node]) -> Convolution:
    if following.target is not aten.add.Tensor or following.kwargs:
        return unit
    others = [term for term in following.args if term is not unit.node]
    if len(others) != 1 or not _is_shift(others[0], unit, weights):
        return unit
    return replace(unit, node=following, shift=others[0], covered=(*unit.covered, following))


def _is_shift(term: Any, unit: Convolution, weights: set[fx.Node]) -> TypeGuard[fx.Node]:
    """Whether a term is a number for each channel, of weights alone."""
    if not isinstance(term, fx.Node) or term not in weights or not on_cpu_in_float32(term):
        return False
    channels = unit.node.meta["val"].shape[1]
    return tuple(term.meta["val"].shape) in ((channels, 1, 1), (1, channels, 1, 1))


def _with_shift_beside(unit: Convolution, weights: set[fx.Node], taken: set[fx.Node]) -> Convolution:
    """Of w ∗ x + (shift + other), as sums of several terms are written, with the shift in its bias."""
    added = unit.other
    assert added is not None
    if unit.shift is not None or added in taken or added.target is not aten.add.Tensor or added.kwargs:
        return unit
    if len(added.users) != 1 or len(added.args) != 2:
        return unit
    for shift, rest in (added.args, added.args[::-1]):
        if _is_shift(shift, unit, weights) and isinstance(rest, fx.Node) and rest not in weights:
            covered = (added, *unit.covered)
            if on_cpu_in_float32(rest) and rest.meta["val"].shape == added.meta["val"].shape:
                return replace(unit, shift=shift, other=rest, covered=covered)
    return unit


def _with_sum(unit: Convolution, following: fx.Node, weights: set[fx.Node]) -> Convolution:
    if following.target is not aten.add.Tensor or following.kwargs:
        return unit
    others = [term for term in following.args if term is not unit.node]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return unit
    other, value = others[0].meta["val"], unit.node.meta["val"]
    if others[0] in weights or not on_cpu_in_float32(others[0]) or other.shape != value.shape:
        return unit
    return replace(unit, node=following, other=others[0], covered=(*unit.covered, following))


def _with_activation(unit: Convolution, following: fx.Node, weights: set[fx.Node]) -> Convolution:
    fused = activation(following)
    if fused is None:
        return unit
    return replace(unit, node=following, activation=fused, covered=(*unit.covered, following))


def _as_torch_does(emitter: Emitter, unit: Convolution) -> fx.Node:
    node = emitter.call(aten.convolution.default, unit.x, unit.weight, unit.bias, *unit.convolution.args[3:])
    if unit.norm:
        normed = emitter.call(_BATCH_NORM, node, *unit.norm, 0.1, unit.epsilon)
        node = emitter.call(operator.getitem, normed, 0)
    if unit.shift is not None:
        node = emitter.call(aten.add.Tensor, node, unit.shift)
    return _completed(emitter, unit, node)


def _completed(emitter: Emitter, unit: Convolution, node: fx.Node) -> fx.Node:
    """With the sum and the activation by operations of their own."""
    if unit.other is not None:
        node = emitter.call(aten.add.Tensor, node, unit.other)
    if unit.activation is not None:
        node = unit.activation.after(emitter, node)
    return node


def _with_folded_weight(emitter: Emitter, unit: Convolution) -> fx.Node:
    weight, bias = folded(emitter, unit)
    node = emitter.call(aten.convolution.default, unit.x, weight, bias, *unit.convolution.args[3:])
    return _completed(emitter, unit, node)


def folded(emitter: Emitter, unit: Convolution) -> tuple[fx.Node, fx.Node | None]:
    """Weight and bias with norm and shift in them."""
    weight, bias = _with_norm_in(emitter, unit) if unit.norm else (unit.weight, unit.bias)
    if unit.shift is None:
        return weight, bias
    shift = emitter.call(aten.view.default, unit.shift, [-1])
    return weight, shift if bias is None else emitter.call(aten.add.Tensor, bias, shift)


def _with_norm_in(emitter: Emitter, unit: Convolution) -> tuple[fx.Node, fx.Node]:
    """w·s and (b − mean)·s + shift, s = scale/√(variance + ε)."""
    scale, shift, mean, variance = unit.norm
    factor = emitter.call(aten.rsqrt.default, emitter.call(aten.add.Tensor, variance, unit.epsilon))
    if scale is not None:
        factor = emitter.call(aten.mul.Tensor, factor, scale)
    weight = emitter.call(
        aten.mul.Tensor, unit.weight, emitter.call(aten.view.default, factor, [-1, 1, 1, 1])
    )
    centred = (
        emitter.call(aten.neg.default, mean)
        if unit.bias is None
        else emitter.call(aten.sub.Tensor, unit.bias, mean)
    )
    bias = emitter.call(aten.mul.Tensor, centred, factor)
    return weight, bias if shift is None else emitter.call(aten.add.Tensor, bias, shift)


def _channels_last(emitter: Emitter, node: fx.Node) -> fx.Node:
    if node.meta["val"].is_contiguous(memory_format=torch.channels_last):
        return node
    return emitter.call(aten.clone.default, node, memory_format=torch.channels_last)


def _onednn_packed(emitter: Emitter, unit: Convolution) -> fx.Node:
    x = unit.x  # the kernel takes any layout, and answers channels last where its weight is packed
    weight, bias = folded(emitter, unit)
    weight = emitter.call(aten.clone.default, weight, memory_format=torch.channels_last)
    padding, stride, dilation, groups = unit.geometry
    packed = emitter.pack(
        *(KERNELS["_reorder_convolution_weight"], weight, padding, stride, dilation, groups),
        list(x.meta["val"].shape),
    )
    geometry = (padding, stride, dilation, groups)
    name, scalars, algorithm = post_operation(unit.activation)
    if unit.other is None:
        call = (x, packed, bias, *geometry, name, scalars, algorithm)
        return emitter.call(KERNELS["_convolution_pointwise"], *call)
    other = _channels_last(emitter, unit.other)
    last = (None, [], None) if unit.activation is None else (name, scalars, algorithm)
    return emitter.call_like(
        other,
        *(KERNELS["_convolution_pointwise.binary"], x, other, packed, bias, *geometry, "add", 1.0, *last),
    )


def _mixes_channels_only(unit: Convolution) -> bool:
    padding, stride, _, groups = unit.geometry
    kernel = unit.weight.meta["val"].shape[2:]
    return (tuple(kernel), tuple(padding), tuple(stride), groups) == ((1, 1), (0, 0), (1, 1), 1)


def _product_of_channels(emitter: Emitter, unit: Convolution) -> fx.Node:
    x = _channels_last(emitter, unit.x)
    images, channels, height, width = x.meta["val"].shape
    weight, bias = folded(emitter, unit)
    columns = emitter.call(
        aten.clone.default,
        emitter.call(aten.permute.default, emitter.call(aten.view.default, weight, [-1, channels]), [1, 0]),
        memory_format=torch.contiguous_format,
    )
    rows = emitter.call(
        aten.view.default, emitter.call(aten.permute.default, x, [0, 2, 3, 1]), [-1, channels]
    )
    if bias is None:
        product = emitter.call(aten.mm.default, rows, columns)
    else:
        product = emitter.call(aten.addmm.default, bias, rows, columns)
    if unit.other is not None:
        other = emitter.call(aten.permute.default, _channels_last(emitter, unit.other), [0, 2, 3, 1])
        rows = emitter.call(aten.view.default, other, list(product.meta["val"].shape))
        product = emitter.call(aten.add.Tensor, product, rows)
    if unit.activation is not None:
        product = unit.activation.after(emitter, product)
    shaped = emitter.call(aten.view.default, product, [images, height, width, -1])
    return emitter.call(aten.permute.default, shaped, [0, 3, 1, 2])


def _in_kernel(unit: Convolution) -> tuple[str, list[float], str] | None:
    """The activation, where our own kernels know it."""
    name, numbers, algorithm = post_operation(unit.activation)
    return (name, numbers, algorithm) if (name, algorithm) in packed_linear.ACTIVATIONS else None


_NOTHING: tuple[str, list[float], str] = ("none", [], "")


def _pixels_on_panels(emitter: Emitter, unit: Convolution) -> fx.Node:
    x = _channels_last(emitter, unit.x)
    weight, bias = folded(emitter, unit)
    matrix = emitter.call(aten.view.default, weight, [weight.meta["val"].shape[0], -1])
    panels = emitter.call(packed_linear.PANELS_OF_WEIGHT, matrix)
    other = None if unit.other is None else _channels_last(emitter, unit.other)
    known = _in_kernel(unit)
    call = (packed_convolution.PIXELS_ON_PANELS, x, panels, bias, other, matrix.meta["val"].shape[0])
    node = emitter.call(*call, *(known or _NOTHING))
    return node if known or unit.activation is None else unit.activation.after(emitter, node)


def _windows_on_panels(emitter: Emitter, unit: Convolution) -> fx.Node:
    x = _channels_last(emitter, unit.x)
    weight, bias = folded(emitter, unit)
    filters, _, *taps = weight.meta["val"].shape
    turned = emitter.call(aten.permute.default, weight, [0, 2, 3, 1])
    rows = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    matrix = emitter.call(aten.view.default, rows, [filters, -1])
    panels = emitter.call(packed_linear.PANELS_OF_WEIGHT, matrix)
    other = None if unit.other is None else _channels_last(emitter, unit.other)
    padding, stride, dilation, _ = unit.geometry
    known = _in_kernel(unit)
    geometry = (taps, list(stride), list(padding), list(dilation))
    call = (packed_convolution.CONVOLUTION_ON_PANELS, x, panels, bias, other, filters, *geometry)
    node = emitter.call(*call, *(known or _NOTHING))
    return node if known or unit.activation is None else unit.activation.after(emitter, node)


def _has_three_taps(unit: Convolution) -> bool:
    """Whether filters have 3×3 taps side by side, at every position."""
    _, stride, dilation, groups = unit.geometry
    taps = unit.weight.meta["val"].shape[2:]
    return (tuple(taps), tuple(stride), tuple(dilation), groups) == ((3, 3), (1, 1), (1, 1), 1)


def _in_tiles(side: int) -> Callable[[Emitter, Convolution], fx.Node]:
    """Winograd's minimal filtering by tiles of so many positions a side."""

    def write(emitter: Emitter, unit: Convolution) -> fx.Node:
        x = _channels_last(emitter, unit.x)
        weight, bias = folded(emitter, unit)
        panels = emitter.call(packed_convolution.WINOGRAD_FILTERS, weight, side)
        other = None if unit.other is None else _channels_last(emitter, unit.other)
        known, filters = _in_kernel(unit), weight.meta["val"].shape[0]
        call = (packed_convolution.WINOGRAD_CONVOLUTION, x, panels, bias, other, filters)
        node = emitter.call(*call, list(unit.geometry[0]), side, *(known or _NOTHING))
        return node if known or unit.activation is None else unit.activation.after(emitter, node)

    return write


def _is_depthwise(unit: Convolution) -> bool:
    channels, each, *_ = unit.weight.meta["val"].shape
    return bool(unit.geometry[3] == channels == unit.x.meta["val"].shape[1] and each == 1)


def _depthwise(emitter: Emitter, unit: Convolution) -> fx.Node:
    x = _channels_last(emitter, unit.x)
    weight, bias = folded(emitter, unit)
    turned = emitter.call(aten.permute.default, emitter.call(aten.squeeze.dim, weight, 1), [1, 2, 0])
    filters = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    padding, stride, dilation, _ = unit.geometry
    known = _in_kernel(unit) if unit.other is None else None
    call = (packed_convolution.DEPTHWISE_CONVOLUTION, x, filters, bias, list(stride), list(padding))
    node = emitter.call(*call, list(dilation), *(known or _NOTHING))
    return node if known else _completed(emitter, unit, node)


def _depthwise_along(emitter: Emitter, unit: Convolution) -> fx.Node:
    """The sequence as an image of one column, so that positions are what threads divide."""
    x = _channels_last(emitter, emitter.call(aten.unsqueeze.default, unit.x, 3))
    turned = emitter.call(aten.permute.default, unit.weight, [2, 1, 0])
    filters = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    padding, stride, dilation, _ = unit.geometry
    known = _in_kernel(unit)
    call = (packed_convolution.DEPTHWISE_CONVOLUTION, x, filters, unit.bias, [stride[0], 1], [padding[0], 0])
    node = emitter.call(*call, [dilation[0], 1], *(known or _NOTHING))
    node = emitter.call(aten.squeeze.dim, node, 3)
    return node if known else _completed(emitter, unit, node)


def _terms(unit: Convolution) -> int:
    """How many products each element is the sum of."""
    return math.prod(unit.weight.meta["val"].shape[1:])


IMPLEMENTATIONS: list[Implementation] = [
    Implementation("torch", "convolution", lambda unit: True, _as_torch_does),
    Implementation(
        "torch, norm and shift in the weight",
        "convolution",
        lambda unit: bool(unit.norm) or unit.shift is not None,
        _with_folded_weight,
    ),
    Implementation(
        "oneDNN, packed weight, channels last, fused",
        "convolution",
        lambda unit: (
            _terms(unit) < MANY_TERMS
            and has_kernels("_convolution_pointwise.binary", "_reorder_convolution_weight")
        ),
        _onednn_packed,
    ),
    Implementation(
        "product of the channels, channels last",
        "convolution",
        _mixes_channels_only,
        _product_of_channels,
    ),
    Implementation(
        "own kernel over pixels, weight in panels, channels last, fused",
        "convolution",
        _mixes_channels_only,
        _pixels_on_panels,
        is_step=True,
    ),
    Implementation(
        "own kernel over windows, weight in panels, channels last, fused",
        "convolution",
        lambda unit: unit.geometry[3] == 1 and not _mixes_channels_only(unit),
        _windows_on_panels,
        is_step=True,
    ),
    *(
        Implementation(
            f"own kernel over tiles of {side}×{side} (Winograd), channels last, fused",
            "convolution",
            _has_three_taps,
            _in_tiles(side),
            is_step=True,
            reals=True,
            memory=memory,
        )
        for side, memory in ((2, 2.5), (4, 5.0))
    ),
    Implementation(
        "own kernel, a filter for each channel, channels last, fused",
        "convolution",
        _is_depthwise,
        _depthwise,
        is_step=True,
    ),
    Implementation("torch", OF_SEQUENCES, lambda unit: True, _as_torch_does),
    Implementation(
        "own kernel, a filter for each channel, channels last, fused",
        OF_SEQUENCES,
        _is_depthwise,
        _depthwise_along,
        is_step=True,
    ),
]
