"""Matrix products of which half is known: X Xᵀ, which is symmetric, and products with triangular matrices.

No operation of torch leaves the known half out. Here the product is taken by panels of rows, each as far as
the diagonal: of the multiplications a little more than half are left.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

#: As many panels cost as many calls and leave (n + 1) / 2n of the multiplications.
PANELS = 6

#: The operations' declarations; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
for declaration in (
    "gram(Tensor x) -> Tensor",
    "lower_product(Tensor a, Tensor b) -> Tensor",
    "upper_product(Tensor a, Tensor b) -> Tensor",
):
    _LIBRARY.define(declaration, tags=(torch.Tag.pt2_compliant_tag,))


def _panels(rows: int) -> Iterator[tuple[int, int]]:
    step = max(-(-rows // PANELS), 1)
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _gram(x: torch.Tensor) -> torch.Tensor:
    """x xᵀ: the lower half by panels, then mirrored."""
    result = x.new_empty(x.shape[0], x.shape[0])
    for start, end in _panels(x.shape[0]):
        torch.mm(x[start:end], x[:end].T, out=result[start:end, :end])
        result[:start, start:end] = result[start:end, :start].T
    return result


def _lower_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a b, where a has zeros above its diagonal."""
    result = b.new_empty(a.shape[0], b.shape[1])
    for start, end in _panels(a.shape[0]):
        torch.mm(a[start:end, :end], b[:end], out=result[start:end])
    return result


def _upper_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a b, where a has zeros below its diagonal."""
    result = b.new_empty(a.shape[0], b.shape[1])
    for start, end in _panels(a.shape[0]):
        torch.mm(a[start:end, start:], b[start:], out=result[start:end])
    return result


def _gram_shape(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[0], x.shape[0])


def _product_shape(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return b.new_empty(a.shape[0], b.shape[1])


_LIBRARY.impl("gram", _gram, "CompositeExplicitAutograd")
_LIBRARY.impl("lower_product", _lower_product, "CompositeExplicitAutograd")
_LIBRARY.impl("upper_product", _upper_product, "CompositeExplicitAutograd")
torch.library.register_fake("hypatia::gram", _gram_shape, lib=_LIBRARY)
torch.library.register_fake("hypatia::lower_product", _product_shape, lib=_LIBRARY)
torch.library.register_fake("hypatia::upper_product", _product_shape, lib=_LIBRARY)

GRAM = torch.ops.hypatia.gram.default
LOWER_PRODUCT = torch.ops.hypatia.lower_product.default
UPPER_PRODUCT = torch.ops.hypatia.upper_product.default
