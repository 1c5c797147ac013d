"""Convolutions along one axis as matrix products: for long filters, of which oneDNN's own run far below it.

With channels last, the window that a filter sees at a position lies in one piece: all windows are a strided
view of the sequence, and one product with the filters once that view is copied. Where the copy is large, a
product for each tap of the filter, added up, reads the sequence as it lies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from hypatia_core.implementations.base import Emitter, Implementation
from hypatia_core.implementations.convolution import Convolution, folded

aten = torch.ops.aten

_LIBRARY = torch.library.Library("hypatia_core", "FRAGMENT")
_LIBRARY.define("products_of_taps(Tensor rows, Tensor taps, Tensor? bias, int dilation) -> Tensor")


def _products_of_taps(
    rows: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor | None, dilation: int
) -> torch.Tensor:
    """The sum over t of rows[:, t·d : t·d + n] @ taps[t] of (b, l, c) and (k, c, m), as (b, n, m)."""
    result = _products_of_taps_type(rows, taps, bias, dilation)
    if bias is None:
        result.zero_()
    else:
        result.copy_(bias.expand_as(result))
    length = result.shape[1]
    for t, tap in enumerate(taps.unbind()):
        window = rows[:, t * dilation : t * dilation + length]
        result.baddbmm_(window, tap.expand(rows.shape[0], *tap.shape))
    return result


def _products_of_taps_type(
    rows: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor | None, dilation: int
) -> torch.Tensor:
    length = rows.shape[1] - dilation * (taps.shape[0] - 1)
    return rows.new_empty(rows.shape[0], length, taps.shape[2])


_LIBRARY.impl("products_of_taps", _products_of_taps, "CompositeExplicitAutograd")
torch.library.register_fake("hypatia_core::products_of_taps", _products_of_taps_type, lib=_LIBRARY)


def _is_along_one_axis(unit: Convolution) -> bool:
    padding, _, _, groups = unit.geometry
    *_, taps, across = unit.weight.meta["val"].shape
    flat = unit.x.meta["val"].shape[3] == 1 and across == 1 and padding[1] == 0
    return bool(flat and groups == 1 and taps > 1 and unit.other is None)


def _rows(emitter: Emitter, unit: Convolution) -> fx.Node:
    """The padded sequence as (batch, length, channels), contiguous."""
    padding, *_ = unit.geometry
    batch, channels, length, _ = unit.x.meta["val"].shape
    x = unit.x
    if padding[0]:
        x = emitter.call(aten.constant_pad_nd.default, x, [0, 0, padding[0], padding[0]])
    rows = emitter.call(aten.permute.default, emitter.call(aten.squeeze.dim, x, 3), [0, 2, 1])
    if not rows.meta["val"].is_contiguous():
        rows = emitter.call(aten.clone.default, rows, memory_format=torch.contiguous_format)
    return emitter.call(aten.view.default, rows, [batch, length + 2 * padding[0], channels])


def _taps(emitter: Emitter, unit: Convolution) -> tuple[fx.Node, fx.Node | None]:
    """The filters as (taps, channels in, channels out), contiguous, and the bias, with the norm in both."""
    weight, bias = folded(emitter, unit)
    turned = emitter.call(aten.permute.default, emitter.call(aten.squeeze.dim, weight, 3), [2, 1, 0])
    return emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format), bias


def _as_image(emitter: Emitter, unit: Convolution, rows: fx.Node) -> fx.Node:
    """(batch, length, channels) with the activation, as the convolution's result lies on its axes."""
    if unit.activation is not None:
        rows = unit.activation.by_logistic(emitter, rows)
    # So that the steps are those of channels last on every axis, that of length one too.
    return emitter.call(aten.permute.default, emitter.call(aten.unsqueeze.default, rows, 2), [0, 3, 1, 2])


def _product_of_windows(emitter: Emitter, unit: Convolution) -> fx.Node:
    _, stride, dilation, _ = unit.geometry
    rows = _rows(emitter, unit)
    batch, length, channels = rows.meta["val"].shape
    taps, bias = _taps(emitter, unit)
    count, _, outputs = taps.meta["val"].shape
    positions = (length - dilation[0] * (count - 1) - 1) // stride[0] + 1
    steps = [length * channels, stride[0] * channels, dilation[0] * channels, 1]
    windows = emitter.call(aten.as_strided.default, rows, [batch, positions, count, channels], steps)
    copied = emitter.call(aten.clone.default, windows, memory_format=torch.contiguous_format)
    flat = emitter.call(aten.view.default, copied, [batch * positions, count * channels])
    filters = emitter.call(aten.view.default, taps, [count * channels, outputs])
    if bias is None:
        product = emitter.call(aten.mm.default, flat, filters)
    else:
        product = emitter.call(aten.addmm.default, bias, flat, filters)
    return _as_image(emitter, unit, emitter.call(aten.view.default, product, [batch, positions, outputs]))


def _product_of_each_tap(emitter: Emitter, unit: Convolution) -> fx.Node:
    _, _, dilation, _ = unit.geometry
    taps, bias = _taps(emitter, unit)
    operation: Any = torch.ops.hypatia_core.products_of_taps.default
    return _as_image(
        emitter, unit, emitter.call(operation, _rows(emitter, unit), taps, bias, int(dilation[0]))
    )


IMPLEMENTATIONS: list[Implementation] = [
    Implementation("product of the windows", "convolution", _is_along_one_axis, _product_of_windows),
    Implementation(
        "products of the taps",
        "convolution",
        lambda unit: _is_along_one_axis(unit) and unit.geometry[1][0] == 1,
        _product_of_each_tap,
    ),
]
