"""Matrix products of which much is known: symmetric ones, and those with triangular or banded matrices.

No operation of torch leaves the known part out. Here a product is taken by panels of rows, each as far as
the diagonal: of the multiplications a little more than half are left. A narrow band is taken by diagonals.
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
    "banded_product(Tensor a, Tensor b, int least, int most) -> Tensor",
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


def _banded_product(a: torch.Tensor, b: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """The diagonals of a from `least` to `most`, times b: one pass over b for each."""
    n = a.shape[0]
    if least <= 0 <= most:
        result = b.new_empty(b.shape)  # dense, however b lies
        torch.mul(a.diagonal().unsqueeze(1), b, out=result)
    else:
        result = b.new_zeros(b.shape)
    for offset in range(max(least, 1 - n), min(most, n - 1) + 1):
        factor = a.diagonal(offset).unsqueeze(1)
        if offset > 0:
            result[: n - offset].addcmul_(factor, b[offset:])
        elif offset < 0:
            result[-offset:].addcmul_(factor, b[: n + offset])
    return result


def _gram_shape(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[0], x.shape[0])


def _product_shape(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return b.new_empty(a.shape[0], b.shape[1])


def _banded_shape(a: torch.Tensor, b: torch.Tensor, least: int, most: int) -> torch.Tensor:
    return b.new_empty(a.shape[0], b.shape[1])


_LIBRARY.impl("gram", _gram, "CompositeExplicitAutograd")
_LIBRARY.impl("lower_product", _lower_product, "CompositeExplicitAutograd")
_LIBRARY.impl("upper_product", _upper_product, "CompositeExplicitAutograd")
_LIBRARY.impl("banded_product", _banded_product, "CompositeExplicitAutograd")
torch.library.register_fake("hypatia::banded_product", _banded_shape, lib=_LIBRARY)
torch.library.register_fake("hypatia::gram", _gram_shape, lib=_LIBRARY)
torch.library.register_fake("hypatia::lower_product", _product_shape, lib=_LIBRARY)
torch.library.register_fake("hypatia::upper_product", _product_shape, lib=_LIBRARY)

GRAM = torch.ops.hypatia.gram.default
LOWER_PRODUCT = torch.ops.hypatia.lower_product.default
UPPER_PRODUCT = torch.ops.hypatia.upper_product.default
BANDED_PRODUCT = torch.ops.hypatia.banded_product.default
