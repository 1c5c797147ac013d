"""Products with a weight that lies as the innermost loop reads it, as operations of torch.

`torch.ops.hypatia.panels_of_weight(w)` lays a weight (n, k) out in panels of 16 columns; an element may then
be read as it is needed, from end to end. `torch.ops.hypatia.linear_on_panels(x, panels, bias, other, n,
activation, numbers, algorithm)` is act(x Wᵀ + bias + other) of a matrix x, activations called as oneDNN does.
For inference: neither has a gradient.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import linear_on_panels, pack_linear

#: Bytes of a large page of memory.
_LARGE_PAGE = 2 << 20
#: Columns of a panel.
COLUMNS = 16
#: Activations that the kernel knows, by name and algorithm.
ACTIVATIONS = frozenset(
    {
        *(("none", ""), ("relu", ""), ("hardtanh", ""), ("swish", ""), ("sigmoid", ""), ("hardswish", "")),
        *(("gelu", "none"), ("gelu", "tanh")),
    }
)

#: The operations' declarations; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
for _declaration in (
    "panels_of_weight(Tensor weight) -> Tensor",
    "linear_on_panels(Tensor x, Tensor panels, Tensor? bias, Tensor? other, SymInt columns, str activation, "
    "float[] numbers, str algorithm) -> Tensor",
):
    _LIBRARY.define(_declaration, tags=(torch.Tag.pt2_compliant_tag,))


def require_float32(what: str, *operands: Tensor | None) -> None:
    """Refuses what native code would read as numbers that it does not hold.

    Raises:
        ValueError: an operand is not of float32, or not on the CPU.
    """
    for operand in operands:
        if operand is not None and not (operand.dtype is torch.float32 and operand.is_cpu):
            raise ValueError(f"{what} takes float32 on the CPU, not {operand.dtype} on {operand.device}")


def panels_of(weight: Tensor) -> Tensor:
    """`torch.ops.hypatia.panels_of_weight` past the dispatcher."""
    if weight.dtype is not torch.float32 or weight.dim() != 2:
        raise ValueError(f"panels of a weight of {weight.dtype} and {weight.dim()} dimensions; float32, 2")
    panels = memory_of_panels(weight, _type_of_panels(weight.to("meta")).shape)
    weight = weight.contiguous()
    pack_linear(weight.data_ptr(), panels.data_ptr(), *weight.shape)
    return panels


def memory_of_panels(weight: Tensor, shape: torch.Size) -> Tensor:
    """Memory for the panels of a weight; that of large ones begins at a large page, where there are such.

    At each end of a small one the processor stops to read ahead: one row by a weight takes up to half longer.
    """
    size = 4 * shape.numel()
    if size < _LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return weight.new_empty(shape)
    # Whole large pages of addresses, which the system then places at such a page; of memory, what is written.
    region = mmap.mmap(-1, -(-size // _LARGE_PAGE) * _LARGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system without large pages
        region.madvise(mmap.MADV_HUGEPAGE, 0, size // _LARGE_PAGE * _LARGE_PAGE)
    return torch.frombuffer(region, dtype=torch.float32, count=shape.numel()).view(shape)


def _type_of_panels(weight: Tensor) -> Tensor:
    columns, depth = weight.shape
    return weight.new_empty((-(-columns // COLUMNS), depth, COLUMNS))


def on_panels(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    columns: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    """`torch.ops.hypatia.linear_on_panels` past the dispatcher."""
    rows, depth = x.shape
    if depth != panels.shape[1]:
        raise ValueError(f"rows of {depth} by a weight of {panels.shape[1]}")
    result = x.new_empty((rows, columns))
    if other is not None:
        other = other.contiguous()
    x = x.contiguous()
    write_product(x, panels, bias, other, result, rows, columns, activation, numbers, algorithm)
    return result


def write_product(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    result: Tensor,
    rows: int,
    columns: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> None:
    """Writes act(x Wᵀ + bias + other) into memory that lies row by row, as x and `other` do.

    Raises:
        ValueError: these are not tensors of float32 on the CPU, of the sizes that rows and columns ask for.
    """
    require_float32("a product on panels", x, panels, bias, other)
    depth = panels.shape[1]
    fits = (
        x.numel() == rows * depth
        and panels.numel() == -(-columns // COLUMNS) * depth * COLUMNS
        and (bias is None or bias.numel() == columns)
        and (other is None or other.numel() == rows * columns)
    )
    if not fits:
        shapes = [None if t is None else tuple(t.shape) for t in (x, panels, bias, other)]
        raise ValueError(f"a product of {rows} rows and {columns} columns on panels: operands of {shapes}")
    if bias is not None:
        bias = bias.contiguous()
    low, high = numbers or (0.0, 0.0)
    linear_on_panels(
        x.data_ptr(),
        panels.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        0 if other is None else other.data_ptr(),
        result.data_ptr(),
        rows,
        columns,
        depth,
        activation,
        low,
        high,
        algorithm,
        torch.get_num_threads(),
    )


def _type_of_product(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    columns: int,
    activation: str,
    numbers: Sequence[float],
    algorithm: str,
) -> Tensor:
    return x.new_empty((x.shape[0], columns))


_LIBRARY.impl("panels_of_weight", panels_of, "CPU")
_LIBRARY.impl("linear_on_panels", on_panels, "CPU")
torch.library.register_fake("hypatia::panels_of_weight", _type_of_panels, lib=_LIBRARY)
torch.library.register_fake("hypatia::linear_on_panels", _type_of_product, lib=_LIBRARY)

PANELS_OF_WEIGHT: Any = torch.ops.hypatia.panels_of_weight.default
LINEAR_ON_PANELS: Any = torch.ops.hypatia.linear_on_panels.default
