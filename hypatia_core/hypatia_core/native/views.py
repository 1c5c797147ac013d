"""Where elements lie: a view is a buffer, an offset and a step for each dimension, in elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

#: Extents of a value, all of them known.
Sizes = tuple[int, ...]


@dataclass(eq=False)
class Buffer:
    """Memory that a program reads or writes."""

    elements: int
    kind: str
    #: "argument", "result" or "scratch".
    place: str
    #: Its number in the program; given when that is written.
    number: int = field(default=-1)


@dataclass(frozen=True)
class View:
    """Elements of a buffer as a tensor."""

    buffer: Buffer
    offset: int
    sizes: Sizes
    strides: Sizes

    def shaped(self, sizes: Sizes) -> View | None:
        """The same elements in the same order under other sizes; None where that takes a copy.

        >>> x = View(Buffer(12, "float32", "argument"), 0, (3, 4), (4, 1))
        >>> x.shaped((2, 6)).strides
        (6, 1)
        >>> x.permuted((1, 0)).shaped((12,)) is None
        True
        """
        strides = restrided(self.sizes, self.strides, sizes)
        return None if strides is None else replace(self, sizes=sizes, strides=strides)

    def permuted(self, order: Sequence[int]) -> View:
        """Dimensions in another order."""
        return replace(
            self,
            sizes=tuple(self.sizes[i] for i in order),
            strides=tuple(self.strides[i] for i in order),
        )

    def expanded(self, sizes: Sizes) -> View:
        """Broadcast to sizes: what is repeated has step 0."""
        own = (1,) * (len(sizes) - len(self.sizes)) + self.sizes
        steps = (0,) * (len(sizes) - len(self.sizes)) + self.strides
        return replace(
            self,
            sizes=sizes,
            strides=tuple(0 if n == 1 and m != 1 else s for n, m, s in zip(own, sizes, steps, strict=True)),
        )

    def sliced(self, axis: int, start: int, count: int, step: int = 1) -> View:
        """Every so-manieth position along an axis, from one on."""
        sizes, strides = list(self.sizes), list(self.strides)
        offset = self.offset + start * strides[axis]
        sizes[axis], strides[axis] = count, strides[axis] * step
        return replace(self, offset=offset, sizes=tuple(sizes), strides=tuple(strides))

    def without(self, axis: int) -> View:
        """Without a dimension, at its first position."""
        sizes = self.sizes[:axis] + self.sizes[axis + 1 :]
        return replace(self, sizes=sizes, strides=self.strides[:axis] + self.strides[axis + 1 :])

    def reversed_ends(self) -> View:
        """The last two dimensions exchanged."""
        order = list(range(len(self.sizes)))
        order[-2:] = order[-1], order[-2]
        return self.permuted(order)

    def written(self) -> dict[str, Any]:
        """As the machine reads it."""
        steps = [0 if n == 1 else s for n, s in zip(self.sizes, self.strides, strict=True)]
        return {"buffer": self.buffer.number, "offset": self.offset, "strides": steps}


def contiguous(sizes: Sequence[int]) -> Sizes:
    """The steps of elements that lie one after the other.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    steps, step = [], 1
    for n in reversed(sizes):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def is_dense(sizes: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements fill their memory without a gap, in whatever order of dimensions.

    >>> is_dense((2, 3), (1, 2)), is_dense((2, 3), (4, 1)), is_dense((2, 3), (0, 1))
    (True, False, False)
    """
    step = 1
    for stride, n in sorted((s, n) for n, s in zip(sizes, strides, strict=True) if n != 1):
        if stride != step:
            return False
        step *= n
    return True


def restrided(sizes: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> Sizes | None:
    """Steps by which elements are read in their order under other sizes; None where there are none.

    >>> restrided((2, 3, 4), (0, 4, 1), (2, 12)), restrided((2, 3, 4), (0, 4, 1), (6, 4))
    ((0, 1), None)
    """
    if math.prod(sizes) != math.prod(wanted):
        return None
    # Runs of dimensions that are one: each as its extent and its last step.
    runs: list[tuple[int, int]] = []
    for n, s in zip(sizes, strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    found: list[int] = []
    extent, step = runs.pop() if runs else (1, 1)
    for n in reversed(wanted):
        if n == 1:
            found.append(0)
            continue
        if extent == 1 and runs:
            extent, step = runs.pop()
        if extent % n:
            return None
        found.append(step)
        extent, step = extent // n, step * n
    return tuple(reversed(found))


def refined(a: Sequence[int], b: Sequence[int]) -> Sizes | None:
    """The coarsest sizes of which both are made by joining neighbours; None where there are none.

    >>> refined((9, 384), (9, 12, 32)), refined((2, 3), (3, 2)), refined((1, 6), (6,))
    ((9, 12, 32), None, (6,))
    """
    if math.prod(a) != math.prod(b):
        return None
    left, right = [n for n in a if n != 1], [n for n in b if n != 1]
    found: list[int] = []
    while left:
        n, m = left.pop(), right.pop()
        if n % m == 0:
            found.append(m)
            if n != m:
                left.append(n // m)
        elif m % n == 0:
            found.append(n)
            right.append(m // n)
        else:
            return None
    return tuple(reversed(found)) or (1,)
