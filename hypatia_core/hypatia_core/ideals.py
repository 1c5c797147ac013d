"""Products with matrices of an algebra, done in its left ideals: half the size, twice, with the same weights.

A layer over an algebra multiplies by a matrix Σᵢ Tᵢ ⊗ Rᵢ of weights Rᵢ and constant tables Tᵢ
(`block_codes`), of which each block of weights stands at several places. Multiplication from the other side
commutes with all of it, and where it has eigenspaces the engine finds them from the tables alone
(`left_ideals`, proved in integers): Tᵢ = C (Aᵢ ⊕ … ⊕ Aᵢ) Bᵀ / copies. So y = Σᵢ (Tᵢ ⊗ Rᵢ) x is

    u = Bᵀ x, additions alone;  v = A u for every copy, A = Σᵢ Aᵢ ⊗ Rᵢ / copies;  y = C v, additions alone,

with a fraction of the multiplications, and so are the gradients of x and of the weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import left_ideals
from hypatia_core.block_codes import Blocks, Origin, TooLargeError, blocks_of, gradients_of, is_laid_together
from hypatia_core.contractions import RESHAPES, SAME, is_plain, is_symbolic, tables_of
from hypatia_core.implementations.base import Emitter
from hypatia_core.signed_sums import SIGNED_SUMS, Sums

aten = torch.ops.aten

#: Multiplications that are saved for each number that additions bring in order, and in all: with fewer the
#: additions cost more. Measured on two cores with AVX-512.
SAVED_EACH, SAVED = 48, 1 << 22


@dataclass
class _Algebra:
    """A matrix of a graph, (outs, ins), and how its product is done in ideals."""

    blocks: Blocks
    copies: int
    #: The sums that u is of x, and y of v; and those that A is of the blocks.
    into: Sums
    out: Sums
    small: Sums
    #: The integers of the matrix, and where they come from.
    codes: Tensor
    origin: Origin
    matrix: fx.Node
    #: The blocks that tensors hold, one after another, where they hold nothing else.
    held: dict[fx.Node, list[int]]
    #: The matrix A, (copies fewer outs, ins), once it is in the graph.
    written: fx.Node | None = None

    @property
    def size(self) -> int:
        return self.blocks.places // self.copies


def _algebra(matrix: fx.Node, codes: Tensor, origin: Origin) -> _Algebra | None:
    for blocks in blocks_of(codes):
        found = left_ideals(blocks.places, blocks.tables)
        if found is None:
            continue
        copies, into, out, reduced = found
        n, size = blocks.places, blocks.places // found[0]
        small = tuple((i, k * size + m, s) for i, table in enumerate(reduced) for k, m, s in table)
        return _Algebra(
            blocks,
            copies,
            Sums(n, n, 1.0, tuple(into)),
            Sums(n, n, 1.0, tuple((m, k, s) for k, m, s in out)),
            Sums(len(reduced), size * size, 1.0 / copies, small),
            codes,
            origin,
            matrix,
            _held(blocks, origin),
        )
    return None


def _held(blocks: Blocks, origin: Origin) -> dict[fx.Node, list[int]]:
    width = blocks.outs * blocks.ins
    flat = [block.flatten() for block in blocks.codes]
    first = {int(block[0]): i for i, block in enumerate(flat)}
    found = {}
    for leaf, codes in origin.leaves.items():
        if codes.numel() % width:
            continue
        rows = codes.reshape(-1, width)
        order = [first.get(int(row[0]), -1) for row in rows]
        if all(i >= 0 and torch.equal(row, flat[i]) for i, row in zip(order, rows, strict=True)):
            found[leaf] = order
    return found


def in_ideals(graph: GraphModule, values: Mapping[int, Tensor]) -> tuple[GraphModule, int] | None:
    """The graph with such products done in ideals, and how many; None where that gains nothing.

    Args:
        graph: a functional ATen graph; it stays as it is.
        values: inputs that are known constants, by position.
    """
    if any(is_symbolic(node.meta.get("val")) for node in graph.graph.find_nodes(op="placeholder")):
        return None
    candidates = (
        node
        for target in (aten.mm.default, aten.addmm.default)
        for node in graph.graph.find_nodes(op="call_function", target=target, sort=False)
    )
    if not any(_matrix_of(node) is not None for node in candidates):
        return None
    tables = tables_of(graph, values)
    written, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    returned = written.graph_copy(graph.graph, copies)
    (output,) = graph.graph.find_nodes(op="output")
    written.output(returned).meta = dict(output.meta)
    inputs = [node.meta.get("val") for node in written.find_nodes(op="placeholder")]
    emitter = Emitter(written, compat.fake_mode([value for value in inputs if value is not None]))
    writer = _Writer(emitter, {copies[node]: table for node, table in tables.items()})
    products = [node for node in written.nodes if node.op == "call_function" and is_plain(node)]
    count = sum(writer.forward(node) for node in products)
    if count:
        count += sum(writer.gradient(node) for node in products if node.target is aten.mm.default)
    if not count:
        return None
    written.eliminate_dead_code()
    written.lint()
    return compat.graph_module(graph, written), count


def _matrix_of(node: fx.Node) -> tuple[fx.Node, fx.Node, fx.Node | None] | None:
    """The rows, the matrix (ins, outs) and the bias of a product with what is laid together of blocks."""
    if node.op != "call_function":
        return None
    if node.target is aten.addmm.default and not node.kwargs:
        bias, x, matrix = node.args
        if bias.meta["val"].shape != matrix.meta["val"].shape[1:]:  # type: ignore[union-attr]
            return None
    elif node.target is aten.mm.default:
        (x, matrix), bias = node.args, None
    else:
        return None
    if not is_laid_together(matrix) or not is_plain(node):  # type: ignore[arg-type]
        return None
    return x, matrix, bias  # type: ignore[return-value]


def _pays(rows: int, outs: int, ins: int, copies: int) -> bool:
    saved = outs * ins * (copies - 1) // copies
    return saved >= SAVED_EACH * (outs + ins) and saved * rows >= SAVED


@dataclass
class _Writer:
    """Writes products in ideals into a graph."""

    emitter: Emitter
    tables: Mapping[fx.Node, Tensor]
    algebras: list[_Algebra] = field(default_factory=list)
    _sums: dict[tuple[fx.Node, str], fx.Node] = field(default_factory=dict)

    def forward(self, node: fx.Node) -> bool:
        """Replaces a product with a matrix, if it is one of an algebra and it pays."""
        found = _matrix_of(node)
        if found is None:
            return False
        x, matrix, bias = found
        rows, (ins, outs) = x.meta["val"].shape[0], matrix.meta["val"].shape
        if not _pays(rows, outs, ins, 2):
            return False
        with compat.without_fake_mode():
            algebra, turned = self._algebra_of(matrix)
        if algebra is None:
            return False
        blocks, copies, size = algebra.blocks, algebra.copies, algebra.size
        into, out, channels = algebra.into, algebra.out, (blocks.ins, blocks.outs)
        if turned:
            into, out, channels = out.adjoint(), into.adjoint(), channels[::-1]
        with self.emitter.graph.inserting_before(node):
            small = self._small(algebra)
            u = self._rows(
                self._summed(x, into, channels[0], blocks.places_first), copies, size * channels[0]
            )
            if not turned:
                small = self.emitter.call(aten.t.default, small)
            v = self.emitter.call(aten.mm.default, u, small)
            v = self._reshaped(v, [rows, blocks.places, channels[1]])
            constant = None
            if bias is not None:
                constant = self._lines(bias, blocks.places, channels[1], blocks.places_first)
            y = self.emitter.call(SIGNED_SUMS, v, constant, out.text())
            if not blocks.places_first:
                y = self.emitter.call(aten.permute.default, y, [0, 2, 1])
            y = self._reshaped(y, [rows, outs])
        node.replace_all_uses_with(y)
        return True

    def gradient(self, node: fx.Node) -> bool:
        """Replaces a product of which nothing but the gradients of an algebra's weights is made."""
        left, right = node.args
        shape = list(node.meta["val"].shape)
        for algebra, turned in itertools.product(self.algebras, (False, True)):
            with compat.without_fake_mode():
                matrix = algebra.codes.T if turned else algebra.codes
                ends = gradients_of(node, algebra.origin, matrix) if list(matrix.shape) == shape else None
            # What follows is the gradient of whole tensors that hold blocks of weights.
            if ends and all(leaf in algebra.held and _is_contiguous(end) for end, leaf in ends.items()):
                g, x = (right, left) if turned else (left, right)
                self._write_gradient(algebra, g, x, turned, ends)  # type: ignore[arg-type]
                return True
        return False

    def _write_gradient(
        self, algebra: _Algebra, g: fx.Node, x: fx.Node, turned: bool, ends: dict[fx.Node, fx.Node]
    ) -> None:
        blocks, copies, size, call = algebra.blocks, algebra.copies, algebra.size, self.emitter.call
        first = min(ends, key=list(self.emitter.graph.nodes).index)
        with self.emitter.graph.inserting_before(first):
            g, x = (g, self._columns(x)) if turned else (self._columns(g), x)
            into, out = algebra.into, algebra.out.adjoint()
            u = self._rows(self._summed(x, into, blocks.ins, blocks.places_first), copies, size * blocks.ins)
            v = self._rows(self._summed(g, out, blocks.outs, blocks.places_first), copies, size * blocks.outs)
            small = call(aten.mm.default, call(aten.t.default, v), u)
            small = self._reshaped(small, [size, blocks.outs, size, blocks.ins])
            small = call(aten.permute.default, small, [0, 2, 1, 3])
            small = self._reshaped(small, [1, size * size, blocks.outs * blocks.ins])
            by_block = call(SIGNED_SUMS, small, None, algebra.small.adjoint().text())
            by_block = self._reshaped(by_block, [len(blocks.codes), blocks.outs * blocks.ins])
            for end, leaf in ends.items():
                order, value = algebra.held[leaf], by_block
                if order != list(range(len(blocks.codes))):
                    parts = [call(aten.slice.Tensor, by_block, 0, i, i + 1) for i in order]
                    value = call(aten.cat.default, parts) if len(parts) > 1 else parts[0]
                end.replace_all_uses_with(self._reshaped(value, list(leaf.meta["val"].shape)))

    def _algebra_of(self, matrix: fx.Node) -> tuple[_Algebra | None, bool]:
        """The algebra of a matrix (ins, outs), and whether it is known by the matrix (outs, ins)."""
        for known in self.algebras:
            if matrix.meta["val"].numel() != known.codes.numel():
                continue
            codes = known.origin.of(matrix)
            if torch.equal(codes, known.codes.T):
                return known, False
            if torch.equal(codes, known.codes):
                return known, True
        origin = Origin(self.tables)
        try:
            codes = origin.of(matrix).T.contiguous()
        except TooLargeError:
            return None, False
        # A few tensors whose elements stand there again and again.
        if 2 * sum(leaf.numel() for leaf in origin.leaves.values()) > codes.numel():
            return None, False
        algebra = _algebra(matrix, codes, origin)
        if algebra is not None:
            self.algebras.append(algebra)
        return algebra, False

    def _small(self, algebra: _Algebra) -> fx.Node:
        """A, of the blocks of weights."""
        if algebra.written is None:
            blocks, size = algebra.blocks, algebra.size
            shape = [1, len(blocks.codes), blocks.outs * blocks.ins]
            stacked = self._reshaped(self._stacked(algebra), shape)
            value = self.emitter.call(SIGNED_SUMS, stacked, None, algebra.small.text())
            value = self._reshaped(value, [size, size, blocks.outs, blocks.ins])
            value = self.emitter.call(aten.permute.default, value, [0, 2, 1, 3])
            algebra.written = self._reshaped(value, [size * blocks.outs, size * blocks.ins])
        return algebra.written

    def _stacked(self, algebra: _Algebra) -> fx.Node:
        """All blocks of weights, one after another."""
        blocks, call = algebra.blocks, self.emitter.call
        for leaf, order in algebra.held.items():
            if order == list(range(len(blocks.codes))):
                return leaf
        parts = []
        for table in blocks.tables:
            row, column, sign = table[0]
            part = self._by_place(algebra, row, column)
            part = call(aten.neg.default, part) if sign < 0 else part
            parts.append(self._reshaped(part, [1, blocks.outs * blocks.ins]))
        return call(aten.cat.default, parts)

    def _by_place(self, algebra: _Algebra, row: int, column: int) -> fx.Node:
        """One block of the matrix."""
        blocks, call = algebra.blocks, self.emitter.call
        n, outs, ins = blocks.places, blocks.outs, blocks.ins
        matrix = call(aten.t.default, algebra.matrix)
        if blocks.places_first:
            matrix = call(aten.slice.Tensor, matrix, 0, row * outs, (row + 1) * outs)
            return call(aten.slice.Tensor, matrix, 1, column * ins, (column + 1) * ins)
        matrix = call(aten.slice.Tensor, matrix, 0, row, n * outs, n)
        return call(aten.slice.Tensor, matrix, 1, column, n * ins, n)

    def _summed(self, x: fx.Node, sums: Sums, channels: int, places_first: bool) -> fx.Node:
        """Sums of the places of rows, once for all who ask."""
        key = (x, sums.text())
        if key not in self._sums:
            lines = self._lines_of_rows(x, sums.places, channels, places_first)
            self._sums[key] = self.emitter.call(SIGNED_SUMS, lines, None, sums.text())
        return self._sums[key]

    def _lines_of_rows(self, x: fx.Node, places: int, channels: int, places_first: bool) -> fx.Node:
        """Rows (places · channels) as (rows, places, channels); of what was laid out to rows, if it was."""
        rows = x.meta["val"].shape[0]
        split = [places, channels] if places_first else [channels, places]
        source = x
        while source.op == "call_function" and source.target in (*RESHAPES, *SAME):
            source = source.args[0]  # type: ignore[assignment]
        if list(source.meta["val"].shape[-2:]) != split or math.prod(source.meta["val"].shape[:-2]) != rows:
            source = x
        lines = self._reshaped(source, [rows, *split])
        return lines if places_first else self.emitter.call(aten.permute.default, lines, [0, 2, 1])

    def _lines(self, bias: fx.Node, places: int, channels: int, places_first: bool) -> fx.Node:
        if places_first:
            return self._reshaped(bias, [places, channels])
        return self.emitter.call(aten.t.default, self._reshaped(bias, [channels, places]))

    def _rows(self, sums: fx.Node, copies: int, width: int) -> fx.Node:
        return self._reshaped(sums, [sums.meta["val"].shape[0] * copies, width])

    def _columns(self, value: fx.Node) -> fx.Node:
        """The rows that were turned to columns."""
        if value.target is aten.t.default:
            return value.args[0]  # type: ignore[return-value]
        if value.target is aten.permute.default and list(value.args[1]) == [1, 0]:  # type: ignore[arg-type]
            return value.args[0]  # type: ignore[return-value]
        return self.emitter.call(aten.t.default, value)

    def _reshaped(self, value: fx.Node, shape: list[int]) -> fx.Node:
        if list(value.meta["val"].shape) == shape:
            return value
        return self.emitter.call(aten.reshape.default, value, shape)


def _is_contiguous(node: fx.Node) -> bool:
    value: Any = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_contiguous()
