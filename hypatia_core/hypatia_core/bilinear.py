"""Sparse bilinear maps as one operation of torch: the product of an algebra over a batch, for instance.

`torch.ops.hypatia.bilinear(x, y, terms)` is Σ c·xᵢ·yⱼ over the last dimensions, for the terms of a table that
is written as text: the three widths, then `i j k c` for each term, all apart by commas. What stands before
the last dimension broadcasts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from hypatia_core._hypatia_core import BilinearMap

#: The operation's declaration; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "DEF")
_LIBRARY.define("bilinear(Tensor x, Tensor y, str terms) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


def terms_text(shape: Sequence[int], values: Sequence[float]) -> str:
    """The text of a dense table of shape (n, m, p).

    >>> terms_text([1, 2, 1], [0.0, -1.0])
    '1 2 1,0 1 0 -1.0'
    """
    _, m, p = shape
    terms = [
        f"{place // (m * p)} {place // p % m} {place % p} {value!r}"
        for place, value in enumerate(values)
        if value
    ]
    return ",".join([" ".join(map(str, shape)), *terms])


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[tuple[int, int, int], list[tuple[int, int, int, float]]]:
    widths, *terms = text.split(",")
    n, m, p = map(int, widths.split())
    split = [term.split() for term in terms]
    return (n, m, p), [(int(i), int(j), int(k), float(c)) for i, j, k, c in split]


@functools.lru_cache(maxsize=256)
def _map(text: str) -> BilinearMap:
    return BilinearMap(*_parsed(text))


def _bilinear(x: torch.Tensor, y: torch.Tensor, terms: str) -> torch.Tensor:
    """The engine's own code on the memory of dense rows."""
    widths, _ = _parsed(terms)
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float64):
        return _by_matrix(x, y, terms)
    batch = x.shape[:-1]
    if y.shape[:-1] != batch:
        batch = torch.broadcast_shapes(batch, y.shape[:-1])
        x, y = x.expand(*batch, x.shape[-1]), y.expand(*batch, y.shape[-1])
    x, y = x.contiguous(), y.contiguous()
    if x.shape[-1] != widths[0] or y.shape[-1] != widths[1]:
        raise ValueError(f"bilinear: rows of {x.shape[-1]} and {y.shape[-1]} where {widths} is asked for")
    result = x.new_empty((*batch, widths[2]))
    _map(terms).run(
        x.dtype == torch.float64,
        x.data_ptr(),
        y.data_ptr(),
        result.data_ptr(),
        batch.numel(),
        torch.get_num_threads(),
    )
    return result


def _by_matrix(x: torch.Tensor, y: torch.Tensor, terms: str) -> torch.Tensor:
    """All pairs, then one product with the table as a matrix: where there is no code of our own."""
    (n, m, p), entries = _parsed(terms)
    table = torch.zeros(n, m, p, dtype=torch.float64)
    for i, j, k, c in entries:
        table[i, j, k] = c
    pairs = (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)
    return pairs @ table.to(pairs).reshape(n * m, p)


def _shape_of(x: torch.Tensor, y: torch.Tensor, terms: str) -> Any:
    """The result without its values."""
    widths, _ = _parsed(terms)
    batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    return x.new_empty((*batch, widths[2]))


_LIBRARY.impl("bilinear", _bilinear, "CPU")
_LIBRARY.impl("bilinear", _by_matrix, "CUDA")
torch.library.register_fake("hypatia::bilinear", _shape_of, lib=_LIBRARY)
