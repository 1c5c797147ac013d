"""Inner products of long vectors as one operation of torch.

`torch.dot` may sum millions of float32 numbers one after another, which loses digits; this sums in blocks.
"""

from __future__ import annotations

from typing import Any

import torch

from hypatia_core._hypatia_core import inner_product

#: The operation's declaration; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
_LIBRARY.define("inner_product(Tensor x, Tensor y) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


def of_vectors(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """`torch.ops.hypatia.inner_product` past the dispatcher: the engine's own code on dense memory."""
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float64) or x.shape != y.shape:
        return torch.dot(x, y)
    x, y = x.contiguous(), y.contiguous()
    double = x.dtype == torch.float64
    total = inner_product(double, x.data_ptr(), y.data_ptr(), x.numel(), torch.get_num_threads())
    return x.new_full((), total)


def _shape_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.new_empty(())


_LIBRARY.impl("inner_product", of_vectors, "CPU")
_LIBRARY.impl("inner_product", torch.dot, "CUDA")
torch.library.register_fake("hypatia::inner_product", _shape_of, lib=_LIBRARY)

INNER_PRODUCT: Any = torch.ops.hypatia.inner_product.default
