"""Attention by code of our own, as an operation of torch.

`torch.ops.hypatia.attention(q, k, v, mask, causal, scale)` is softmax(q kᵀ·scale + mask) v over the last two
of four dimensions (batch, heads, positions, width), heads of q, k and v as many. The result lies position by
position, all heads of one together, as the product that follows reads it. For inference: it has no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import attention as native
from hypatia_core.packed_linear import require_float32

#: The operation's declaration; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
_LIBRARY.define(
    "attention(Tensor q, Tensor k, Tensor v, Tensor? mask, bool causal, float scale) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def _rows(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _place(x: Tensor) -> tuple[int, int, int, int]:
    """Where vectors lie, and the steps between them."""
    example, head, position, _ = x.stride()
    return x.data_ptr(), example, head, position


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """`torch.ops.hypatia.attention` past the dispatcher."""
    require_float32("attention", q, k, v, mask)
    batch, heads, queries, width = q.shape
    keys = k.shape[2]
    if k.shape != (batch, heads, keys, width) or v.shape != k.shape:
        raise ValueError(f"attention of {tuple(q.shape)} to {tuple(k.shape)} with {tuple(v.shape)}")
    q, k, v = _rows(q), _rows(k), _rows(v)
    if mask is not None:
        mask = mask.expand(batch, heads, queries, keys)
        if mask.stride(3) != 1:
            mask = mask.contiguous()
    result = _type_of_result(q, k, v, mask, causal, scale)
    native(
        _place(q),
        _place(k),
        _place(v),
        (0, 0, 0, 0) if mask is None else _place(mask),
        result.data_ptr(),
        (batch, heads, queries, keys, width),
        causal,
        scale,
        torch.get_num_threads(),
    )
    return result


def _type_of_result(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    batch, heads, queries, width = q.shape
    steps = (queries * heads * width, width, heads * width, 1)
    return q.new_empty_strided((batch, heads, queries, width), steps)


_LIBRARY.impl("attention", attention, "CPU")
torch.library.register_fake("hypatia::attention", _type_of_result, lib=_LIBRARY)

ATTENTION: Any = torch.ops.hypatia.attention.default
