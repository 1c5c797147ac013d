"""What a node of a graph is while a program is written."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

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


@dataclass(eq=False)
class Apart:
    """Places along a last axis, each a value of its own; laid together once somebody reads the whole."""

    parts: tuple[Value, ...]
    sizes: Sizes
    kind: str
    #: Whose value it is; and of which it is the same under other sizes.
    node: fx.Node | None = None
    same: Apart | None = None
    home: View | None = None

    @property
    def first(self) -> Apart:
        """The one of which all others are renamed."""
        return self if self.same is None else self.same.first


#: What a node is here: also a view of memory.
Value = Held | View | Constant | Spread | Apart
