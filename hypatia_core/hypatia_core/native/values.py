"""What a node of a graph is while a program is written."""

from __future__ import annotations

from dataclasses import dataclass

from hypatia_core.native.units import Cell
from hypatia_core.native.views import Sizes, View


@dataclass(frozen=True)
class Held:
    """A value in the order of a cell's elements, under sizes of its own."""

    cell: Cell
    sizes: Sizes


@dataclass(frozen=True)
class Constant:
    """One number everywhere."""

    number: float
    sizes: Sizes
    kind: str


@dataclass(frozen=True)
class Spread:
    """A value broadcast to sizes."""

    value: Held
    sizes: Sizes


#: What a node is here: also a view of memory.
Value = Held | View | Constant | Spread
