"""Where each element of a matrix comes from: the graph that lays it together is run on drawn integers.

Layers over an algebra write their matrix as blocks of weights, moved and negated: y = Σᵢ (Tᵢ ⊗ Rᵢ) x with a
block Rᵢ of weights and a table Tᵢ of zeros and signs that no weight changes. Each weight gets an integer of
its own, the graph runs on these integers, exactly, and the blocks of the result show which weight stands
where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from hypatia_core.contractions import RESHAPES

aten = torch.ops.aten

#: What moves elements, and no more.
_MOVES = {
    *RESHAPES,
    aten.clone.default,
    aten.alias.default,
    aten.permute.default,
    aten.transpose.int,
    aten.t.default,
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.slice.Tensor,
    aten.select.int,
    aten.cat.default,
    aten.stack.default,
    aten.neg.default,
}
#: What else is linear with whole coefficients: the gradients of moves are made of these.
_LINEAR = _MOVES | {
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.select_backward.default,
    aten.slice_backward.default,
}
_CONSTANT_ZEROS = (aten.zeros.default, aten.full.default, aten.new_zeros.default, aten.zeros_like.default)
#: Integers are drawn between these, apart by so much at most. A sum of two is none of them, and sums of
#: thousands are exact in float64.
_LEAST, _LARGEST, _STEP = 1 << 38, 1 << 39, 1 << 16
#: Numbers of places that an algebra may have here.
_PLACES = (2, 4, 8, 16, 32, 64)


class TooLargeError(Exception):
    """More elements than there are integers for."""


@dataclass
class Origin:
    """Integers for the elements of the tensors that a matrix is laid together from."""

    tables: Mapping[fx.Node, Tensor]
    #: The integers of each such tensor.
    leaves: dict[fx.Node, Tensor] = field(default_factory=dict)
    _codes: dict[fx.Node, Tensor] = field(default_factory=dict)
    _random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    _last: int = _LEAST

    def of(self, node: fx.Node) -> Tensor:
        """The integers where they come to lie, as float64."""
        known = self._codes.get(node)
        if known is None:
            known = self._codes[node] = self._made(node)
        return known

    def _made(self, node: fx.Node) -> Tensor:
        if _is_zero(node, self.tables):
            return torch.zeros(_shape(node), dtype=torch.float64)
        sign = _sign(node, self.tables)
        if sign is not None:
            return self.of(sign[0]) * sign[1]
        if node.op == "call_function" and node.target in _MOVES:
            return _run(node, self.of)
        # They ascend, so that blocks by their integers are in the order of what holds them.
        steps = torch.randint(1, _STEP, (math.prod(_shape(node)),), generator=self._random)
        drawn = (self._last + steps.cumsum(0)).double().reshape(_shape(node))
        self._last += int(steps.sum())
        if self._last >= _LARGEST:
            raise TooLargeError
        self.leaves[node] = drawn
        return drawn


@dataclass(frozen=True)
class Blocks:
    """A matrix (n·outs, n·ins, …) as Σᵢ Tᵢ ⊗ Rᵢ."""

    #: How many places there are.
    places: int
    outs: int
    ins: int
    #: Whether a row counts places first and then channels; else the other way round.
    places_first: bool
    #: The places (row, column, sign) of each Tᵢ.
    tables: tuple[tuple[tuple[int, int, int], ...], ...]
    #: The integers of each block Rᵢ, (outs, ins, …).
    codes: tuple[Tensor, ...]

    def by_place(self, matrix: Tensor) -> Tensor:
        """(n·outs, n·ins, …) as (n, n, outs, ins, …)."""
        return _by_place(matrix, self.places, self.places_first)


def blocks_of(codes: Tensor) -> Iterator[Blocks]:
    """The ways to read such integers as a table of blocks, of which some stand there more than once."""
    for places in _PLACES:
        if codes.shape[0] % places or codes.shape[1] % places:
            return
        for places_first in (True, False):
            blocks = _blocks(codes, places, places_first)
            if blocks is not None:
                yield blocks


def _by_place(matrix: Tensor, n: int, places_first: bool) -> Tensor:
    rows, columns, *rest = matrix.shape
    if places_first:
        split = matrix.reshape(n, rows // n, n, columns // n, *rest)
        return split.transpose(1, 2)
    split = matrix.reshape(rows // n, n, columns // n, n, *rest)
    return split.permute(1, 3, 0, 2, *range(4, split.dim()))


def _blocks(codes: Tensor, n: int, places_first: bool) -> Blocks | None:
    split = _by_place(codes, n, places_first)
    first = split.reshape(n, n, -1)[..., 0]
    signs, names = first.sign(), first.abs()
    distinct = [name for name in names.unique().tolist() if name]
    if not distinct or len(distinct) >= n * n:
        return None
    standing = torch.zeros_like(split)
    tables, blocks = [], []
    for name in distinct:
        at = [(int(k), int(j)) for k, j in (names == name).nonzero().tolist()]
        block = split[at[0]] * signs[at[0]]
        for place in at:
            standing[place] = signs[place] * block
        tables.append(tuple((k, j, int(signs[k, j])) for k, j in at))
        blocks.append(block)
    if not torch.equal(standing, split):
        return None
    return Blocks(n, split.shape[2], split.shape[3], places_first, tuple(tables), tuple(blocks))


def gradients_of(product: fx.Node, origin: Origin, matrix: Tensor) -> dict[fx.Node, fx.Node] | None:
    """Which nodes are the gradients of which leaves, where a product is the gradient of the matrix.

    What follows from the product by linear operations alone is run backwards from a leaf's integers: where
    these come to lie as they do in the matrix, the operations forwards are the gradient. None where something
    else is made of the product.
    """
    inside, ends = [product], []
    known = {product}
    for node in _after(product):
        if known.isdisjoint(node.all_input_nodes):
            continue
        sign = _sign(node, origin.tables)
        takes = [sign[0]] if sign is not None else node.all_input_nodes
        linear = node.op == "call_function" and (sign is not None or node.target in _LINEAR)
        if linear and known.issuperset(takes) and not node.kwargs.get("alpha"):
            inside.append(node)
            known.add(node)
    for node in inside:
        if any(user not in known for user in node.users):
            ends.append(node)
    if product in ends:
        return None
    found: dict[fx.Node, fx.Node] = {}
    with torch.enable_grad():
        start = torch.zeros(_shape(product), dtype=torch.float64, requires_grad=True)
        values: dict[fx.Node, Tensor] = {product: start}
        for node in inside[1:]:
            sign = _sign(node, origin.tables)
            if sign is not None:
                values[node] = values[sign[0]] * sign[1]
                continue
            values[node] = _run(node, values.__getitem__)
        for end in ends:
            leaf = next(
                (leaf for leaf in origin.leaves if _is_gradient(values[end], start, leaf, origin, matrix)),
                None,
            )
            if leaf is None:
                return None
            found[end] = leaf
    return found


def _is_gradient(end: Tensor, start: Tensor, leaf: fx.Node, origin: Origin, matrix: Tensor) -> bool:
    codes = origin.leaves[leaf]
    if codes.shape != end.shape or not end.requires_grad:
        return False
    (back,) = torch.autograd.grad(end, start, codes, retain_graph=True)
    own = torch.isin(matrix.abs(), codes)
    same: bool = torch.equal(back, torch.where(own, matrix, torch.zeros(())))
    return same


def _after(node: fx.Node) -> list[fx.Node]:
    """The nodes that follow in the graph, in order."""
    after = []
    following = node.next
    while following.op != "root":
        after.append(following)
        following = following.next
    return after


def _run(node: fx.Node, value_of: Callable[[fx.Node], Tensor]) -> Tensor:
    """The value of a node, in whatever order it comes to lie."""
    args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), value_of)
    kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
    target: Any = aten.reshape.default if node.target in RESHAPES else node.target
    value: Tensor = target(*args, **kwargs)
    return value


def _sign(node: fx.Node, tables: Mapping[fx.Node, Tensor]) -> tuple[fx.Node, float] | None:
    """What is multiplied by one or minus one, and by which."""
    if node.op != "call_function" or node.target is not aten.mul.Tensor:
        return None
    for value, factor in (node.args, node.args[::-1]):
        number: Any = factor
        if isinstance(factor, fx.Node):
            table = tables.get(factor)
            number = table.item() if table is not None and table.numel() == 1 else None
        if isinstance(value, fx.Node) and number in (1, -1) and _shape(value) == _shape(node):
            return value, float(number)
    return None


def _is_zero(node: fx.Node, tables: Mapping[fx.Node, Tensor]) -> bool:
    table = tables.get(node)
    if table is not None:
        return int(torch.count_nonzero(table)) == 0
    if node.op != "call_function" or node.target not in _CONSTANT_ZEROS:
        return False
    return node.target is not aten.full.default or bool(node.args[1] == 0)


def _shape(node: fx.Node) -> list[int]:
    return list(node.meta["val"].shape)


def is_laid_together(node: fx.Node) -> bool:
    """Whether something is concatenated on the way to a value that only moves elements; cheap to ask."""
    open_, seen = [node], set[fx.Node]()
    while open_:
        node = open_.pop()
        if node in seen or node.op != "call_function":
            continue
        seen.add(node)
        if node.target in (aten.cat.default, aten.stack.default):
            return True
        if node.target in _MOVES or node.target is aten.mul.Tensor:
            open_ += node.all_input_nodes
    return False
