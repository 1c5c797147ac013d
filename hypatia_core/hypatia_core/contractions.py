"""Products with small tables and over channels, found in a graph whatever permutations lie between them.

`torch.einsum` takes its operands two by two and turns each pair to a batched matrix product: axes are
permuted, copied in order and merged. Here each product is read back as a sum over named axes, by following
the views to the tensors that they look at. Some of those sums have operations of our own, which read these
tensors as they lie in memory:

- a bilinear map by a constant table, Σ e[i, j, k]·x[b, i]·y[b, j];
- channels mixed by weights, Σ e[a, j, i]·w[o, c, a]·x[b, c, j], with or without a table, or with weights of
  each place, Σ w[o, c, i]·x[b, c, i], and its gradient;
- the same with weights of each channel, Σ e[i, j, k]·w[c, i, j, k]·x[b, c, i]·y[b, c, j], and its gradient.

The zeros of a table stay factors: what is not finite reaches the places that it reached.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from hypatia_core import compat
from hypatia_core.bilinear import Table, Term
from hypatia_core.channel_map import MOST_CHANNELS, graded, identity, of_table
from hypatia_core.fx_export import base_of
from hypatia_core.implementations.base import Emitter

aten = torch.ops.aten

_PRODUCTS = (aten.mm.default, aten.bmm.default)
RESHAPES = (aten.view.default, aten._unsafe_view.default, aten.reshape.default)
SAME = (aten.clone.default, aten.alias.default)
#: More places of a channel are a matrix that a library's product serves well.
MOST_PLACES = 64
#: Tables of so many elements at most are looked into.
LARGEST_TABLE = 2**15


class _Axes:
    """Axes by number, each with its extent; where one is split or made equal to another, all see it."""

    def __init__(self) -> None:
        self._extents: list[int] = []
        self._stands_for: dict[int, list[int]] = {}

    def fresh(self, extent: int) -> list[int]:
        """A new axis; none where there is but one place."""
        if extent == 1:
            return []
        self._extents.append(extent)
        return [len(self._extents) - 1]

    def of(self, axes: Sequence[int]) -> list[int]:
        """These axes as they are now."""
        found: list[int] = []
        for axis in axes:
            inner = self._stands_for.get(axis)
            found += [axis] if inner is None else self.of(inner)
        return found

    def extent(self, axes: Sequence[int]) -> int:
        """How many places these axes have together."""
        return math.prod(self._extents[axis] for axis in axes)

    def extents(self, axes: Sequence[int]) -> list[int]:
        """How many places each has."""
        return [self._extents[axis] for axis in axes]

    def split(self, axis: int, outer: int) -> bool:
        """Splits an axis in two, the first of so many places; whether that is possible."""
        extent = self._extents[axis]
        if extent % outer:
            return False
        self._stands_for[axis] = self.fresh(outer) + self.fresh(extent // outer)
        return True

    def same(self, left: Sequence[int], right: Sequence[int]) -> bool:
        """Makes two runs of axes one; whether that is possible."""
        while True:
            a, b = self.of(left), self.of(right)
            if a == b:
                return True
            if self.extent(a) != self.extent(b):
                return False
            x, y = next((x, y) for x, y in zip(a, b, strict=False) if x != y)
            m, n = self._extents[x], self._extents[y]
            if m == n:
                if x in self.of([y]) or y in self.of([x]):
                    return False
                self._stands_for[y] = [x]
            elif not (self.split(x, n) if m > n else self.split(y, m)):
                return False

    def grouped(self, axes: Sequence[int], shape: Sequence[int]) -> list[list[int]] | None:
        """Axes in the groups of a shape, split where it splits them; None where they do not fit it."""
        groups: list[list[int]] = []
        rest = self.of(axes)
        for extent in shape:
            group: list[int] = []
            while self.extent(group) < extent:
                if not rest:
                    return None
                axis, missing = rest[0], extent // self.extent(group)
                if self._extents[axis] > missing:
                    if not self.split(axis, missing):
                        return None
                    rest = self.of(rest)
                group.append(rest.pop(0))
            if self.extent(group) != extent:
                return None
            groups.append(group)
        return None if rest else groups


@dataclass
class _Factor:
    """A tensor, and the axes of its dimensions."""

    node: fx.Node
    dimensions: list[list[int]]

    def flat(self, axes: _Axes) -> list[int]:
        return axes.of([axis for group in self.dimensions for axis in group])


@dataclass
class _Sum:
    """The sum of the products of factors over the axes that the result has not."""

    factors: list[_Factor]
    result: list[list[int]]


@dataclass
class _Found:
    """What computes a sum: an operation, its operands as tensors by axes, and the axes of its result."""

    target: Any
    #: Each operand's tensor, its axes in the order wanted, and how many of them make each dimension.
    operands: list[tuple[_Factor, list[list[int]]]]
    text: str
    result: list[int]
    axes: _Axes
    #: The axes of the node whose value it is, in order.
    wanted: list[int]


def _shape(node: fx.Node) -> list[int] | None:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not all(isinstance(n, int) for n in value.shape):
        return None
    return list(value.shape)


def _traced(node: fx.Node, axes: _Axes) -> tuple[_Factor, list[list[int]]] | None:
    """The tensor that a chain of views looks at, and the axes of the view's dimensions."""
    shape = _shape(node)
    if shape is None:
        return None
    source = node.args[0] if node.op == "call_function" and node.args else None
    if isinstance(source, fx.Node) and _shape(source) is not None and _is_view(node):
        below = _traced(source, axes)
        if below is not None:
            groups = _viewed(node, below[1], shape, axes)
            if groups is not None:
                return below[0], groups
    own = [axes.fresh(extent) for extent in shape]
    return _Factor(node, own), own


def _is_view(node: fx.Node) -> bool:
    return node.target in (
        *RESHAPES,
        *SAME,
        aten.permute.default,
        aten.transpose.int,
        aten.t.default,
        aten.unsqueeze.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.squeeze.default,
    )


def _viewed(node: fx.Node, groups: list[list[int]], shape: list[int], axes: _Axes) -> list[list[int]] | None:
    rank = len(groups)
    if node.target in SAME:
        return groups
    if node.target is aten.permute.default:
        order: Any = node.args[1]
        return [groups[d % rank] for d in order]
    if node.target is aten.transpose.int or node.target is aten.t.default:
        first, second = node.args[1:] if node.target is aten.transpose.int else (0, rank - 1)
        if rank < 2:
            return groups
        swapped = list(groups)
        a, b = int(first) % rank, int(second) % rank  # type: ignore[arg-type]
        swapped[a], swapped[b] = swapped[b], swapped[a]
        return swapped
    # The others keep the order of what has more than one place.
    return axes.grouped([axis for group in groups for axis in group], shape)


def _sum(node: fx.Node, axes: _Axes) -> _Sum | None:
    """A matrix product as a sum over named axes."""
    left, right = (_traced(argument, axes) for argument in node.args)  # type: ignore[arg-type]
    if left is None or right is None:
        return None
    *batch, rows, inner = left[1]
    *other_batch, also_inner, columns = right[1]
    pairs = [*zip(batch, other_batch, strict=True), (inner, also_inner)]
    if not all(axes.same(a, b) for a, b in pairs):
        return None
    return _Sum([left[0], right[0]], [*batch, rows, columns])


def _sums(node: fx.Node) -> Iterator[tuple[_Sum, _Axes]]:
    """The ways to read a product: with one factor that is a product too taken apart, or with none."""
    for position in (0, 1, None):
        axes = _Axes()
        found = _sum(node, axes)
        if found is None:
            continue
        if position is None:
            yield found, axes
            continue
        factor = found.factors[position]
        if factor.node.target not in _PRODUCTS:
            continue
        inner = _sum(factor.node, axes)
        if inner is None:
            continue
        if all(axes.same(a, b) for a, b in zip(inner.result, factor.dimensions, strict=True)):
            yield _Sum([*inner.factors, found.factors[1 - position]], found.result), axes


@dataclass
class _Finder:
    """Finds what computes a sum; `tables` are the values of nodes that are constants."""

    tables: Mapping[fx.Node, torch.Tensor]

    def found(self, node: fx.Node) -> _Found | None:
        """An operation of ours for a product, and perhaps the one before it."""
        for total, axes in _sums(node):
            if len(total.factors) == 3:
                for factor in total.factors:
                    answer = self._weighted(total, axes, factor)
                    if answer is not None:
                        return answer
            constant = [factor for factor in total.factors if factor.node in self.tables]
            others = [factor for factor in total.factors if factor.node not in self.tables]
            result = axes.of([axis for group in total.result for axis in group])
            if len(others) != 2 or len(constant) > 1 or len(set(result)) != len(result):
                continue
            table = constant[0] if constant else None
            for a, b in (others, others[::-1]):
                for way in (self._bilinear, self._mixing, self._gradient):
                    answer = way(_Roles(axes, a, b, table, result))
                    if answer is not None:
                        return answer
        return None

    def _elements(self, roles: _Roles, order: list[list[int]]) -> torch.Tensor | None:
        """The table as an array of these groups of axes, where that is worth it; ones where there is none."""
        assert roles.table is not None
        axes, flat = roles.axes, roles.table.flat(roles.axes)
        if sorted(flat) != sorted(axis for group in order for axis in group):
            return None
        with compat.without_fake_mode():
            value = self.tables[roles.table.node].reshape(axes.extents(flat))
            turned = value.permute([flat.index(axis) for group in order for axis in group])
            elements = turned.reshape([axes.extent(group) for group in order]).to(torch.float64)
            # As many terms as the table of an algebra of this size, at most.
            few = int(torch.count_nonzero(elements)) ** 3 <= elements.numel() ** 2
        return elements if few else None

    def _masked(self, node: fx.Node) -> tuple[torch.Tensor, fx.Node] | None:
        """A product with a constant table, elementwise: the table's values and the other operand."""
        if node.op != "call_function" or node.target is not aten.mul.Tensor:
            return None
        for table, other in (node.args, node.args[::-1]):
            if isinstance(other, fx.Node) and table in self.tables and _shape(other) == _shape(node):
                with compat.without_fake_mode():
                    return self.tables[table].to(torch.float64), other  # type: ignore[index]
        return None

    def _weighted(self, total: _Sum, axes: _Axes, weight: _Factor) -> _Found | None:
        """Two factors by a weight that a constant table is multiplied into, channel by channel."""
        masked = self._masked(weight.node)
        if masked is None:
            return None
        first, second = (factor for factor in total.factors if factor is not weight)
        result = axes.of([axis for group in total.result for axis in group])
        terms = self._weighted_terms(axes, first, second, weight.dimensions, result, masked[0])
        if terms is None:
            return None
        batch, c, i, j, k, text = terms
        of_weight = _Factor(masked[1], weight.dimensions)
        rest = [axis for axis in of_weight.flat(axes) if axis not in c]
        operands = [(first, [batch, c, i]), (second, [batch, c, j]), (of_weight, [c, rest])]
        target = torch.ops.hypatia.weighted_bilinear.default
        return _Found(target, operands, text, batch + c + k, axes, result)

    def _weighted_terms(
        self,
        axes: _Axes,
        first: _Factor,
        second: _Factor,
        weight: list[list[int]],
        result: list[int],
        table: torch.Tensor,
    ) -> tuple[list[int], list[int], list[int], list[int], list[int], str] | None:
        """Rows, channels, places of both factors and of the result, and the table's terms by these."""
        x, y, w = first.flat(axes), second.flat(axes), axes.of([a for group in weight for a in group])
        c = [axis for axis in w if axis in x and axis in y and axis in result]
        i, j, k = ([a for a in w if a in own and a not in c] for own in (x, y, result))
        batch = [axis for axis in x if axis not in w]
        fits = (
            bool(batch and c and i and j and k)
            and x == batch + c + i
            and y == batch + c + j
            and sorted(result) == sorted(batch + c + k)
            and sorted(w) == sorted(c + i + j + k)
        )
        if not fits:
            return None
        with compat.without_fake_mode():
            spread = table.expand([axes.extent(group) for group in weight]).reshape(axes.extents(w))
            turned = spread.permute([w.index(axis) for axis in (*c, *i, *j, *k)])
            of_channels = turned.reshape([axes.extent(group) for group in (c, i, j, k)])
            elements = of_channels[0]
            few = int(torch.count_nonzero(elements)) ** 3 <= elements.numel() ** 2
            if not few or not bool((of_channels == elements).all()):
                return None
            # By number, where the weight's elements lie that meet i, j and k.
            rest = [axis for axis in w if axis not in c]
            number = torch.arange(elements.numel()).reshape(axes.extents(rest))
            number = number.permute([rest.index(axis) for axis in (*i, *j, *k)]).reshape(elements.shape)
            places = itertools.product(*map(range, elements.shape))
            each = zip(places, elements.flatten().tolist(), number.flatten().tolist(), strict=True)
            terms = tuple(Term(at[0], at[1], at[2], coefficient, n) for at, coefficient, n in each)
        widths = elements.shape[0], elements.shape[1], elements.shape[2]
        return batch, c, i, j, k, Table(widths, elements.numel(), terms).text()

    def of_product(self, node: fx.Node) -> _Found | None:
        """The gradient of such a weight: a constant table multiplied into a sum over rows."""
        masked = self._masked(node)
        axes = _Axes()
        traced = _traced(masked[1], axes) if masked is not None else None
        if masked is None or traced is None or traced[0].node.target not in _PRODUCTS:
            return None
        for total, own in _sums(traced[0].node):
            # The same axes in both readings: those of the view are laid over those of the sum.
            view = _traced(masked[1], own)
            if view is None or len(total.factors) != 3:
                continue
            pairs = zip(total.result, view[0].dimensions, strict=True)
            if not all(own.same(a, b) for a, b in pairs):
                continue
            wanted = view[1]
            result = own.of([axis for group in total.result for axis in group])
            for n, g in enumerate(total.factors):
                x, y = (factor for m, factor in enumerate(total.factors) if m != n)
                of_gradient = g.flat(own)
                terms = self._weighted_terms(own, x, y, wanted, of_gradient, masked[0])
                if terms is None or of_gradient != terms[0] + terms[1] + terms[4]:
                    continue
                batch, c, i, j, k, text = terms
                operands = [(x, [batch, c, i]), (y, [batch, c, j]), (g, [batch, c, k])]
                flat = own.of([axis for group in wanted for axis in group])
                rest = [axis for axis in flat if axis not in c]
                if sorted(result) != sorted(flat):
                    continue
                target = torch.ops.hypatia.bilinear_weight_gradient.default
                return _Found(target, operands, text, c + rest, own, flat)
        return None

    def _bilinear(self, roles: _Roles) -> _Found | None:
        x, y, table, result = roles.x, roles.y, roles.of_table, roles.result
        if roles.table is None:
            return None
        i = [axis for axis in x if axis in table]
        j = [axis for axis in y if axis in table]
        batch = [axis for axis in x if axis not in table]
        k = [axis for axis in result if axis in table]
        fits = (
            x == batch + i
            and y == batch + j
            and not {*i, *j} & set(result)
            and not set(i) & set(j)
            and sorted(result) == sorted(batch + k)
        )
        elements = self._elements(roles, [i, j, k]) if fits else None
        if elements is None:
            return None
        operands = [(roles.first, [batch, i]), (roles.second, [batch, j])]
        with compat.without_fake_mode():
            text = with_zeros(elements)
        target = torch.ops.hypatia.bilinear.default
        return _Found(target, operands, text, batch + k, roles.axes, result)

    def _mixing(self, roles: _Roles) -> _Found | None:
        """The first factor as the weight, the second as the rows."""
        axes, w, x, table, result = roles.axes, roles.x, roles.y, roles.of_table, roles.result
        c = [axis for axis in x if axis in w and axis not in result]
        o = [axis for axis in w if axis in result]
        a = [axis for axis in w if axis in table]
        if roles.table is None:
            if not c or c != x[(at := x.index(c[0])) : at + len(c)]:
                return None
            batch, j = x[:at], x[at + len(c) :]
            i = j
            if set(j) <= set(o):  # each place has weights of its own
                a, o = j, [axis for axis in o if axis not in j]
                if axes.extent(o) > axes.extent(batch):
                    return None  # then either factor may be the weight: the one of fewer elements is
        else:
            j = [axis for axis in x if axis in table]
            i = [axis for axis in result if axis in table]
            batch = [axis for axis in x if axis in result]
        fits = (
            x == batch + c + j
            and sorted(w) == sorted(o + c + a)
            and sorted(result) == sorted(batch + o + i)
            and (roles.table is None or not {*a, *j} & set(result))
        )
        text = self._text(roles, a, j, i) if fits and _is_narrow(axes, batch, o, c, j) else None
        if text is None:
            return None
        operands = [(roles.second, [batch, c, j]), (roles.first, [o, c, a])]
        target = torch.ops.hypatia.channel_map.default
        return _Found(target, operands, text, batch + o + i, axes, result)

    def _gradient(self, roles: _Roles) -> _Found | None:
        """The gradient of such a weight: the first factor as the rows, the second as their gradient."""
        axes, x, g, table, result = roles.axes, roles.x, roles.y, roles.of_table, roles.result
        c, o = [axis for axis in x if axis in result], [axis for axis in g if axis in result]
        a = [axis for axis in result if axis in table]
        if roles.table is None:
            a = [axis for axis in c if axis in o]  # each place has weights of its own
            c, o = ([axis for axis in own if axis not in a] for own in (c, o))
            if not c or not o or c != x[(at := x.index(c[0])) : at + len(c)]:
                return None
            batch, j = x[:at], x[at + len(c) :]
            i = j
            a = j if sorted(a) == sorted(j) else a
        else:
            j = [axis for axis in x if axis in table]
            i = [axis for axis in g if axis in table]
            batch = [axis for axis in x if axis in g]
        fits = (
            x == batch + c + j
            and g == batch + o + i
            and sorted(result) == sorted(o + c + a)
            and (roles.table is None or not {*i, *j} & set(result))
        )
        text = self._text(roles, a, j, i) if fits and _is_narrow(axes, batch, o, c, j) else None
        if text is None:
            return None
        operands = [(roles.first, [batch, c, j]), (roles.second, [batch, o, i])]
        target = torch.ops.hypatia.channel_map_weight_gradient.default
        return _Found(target, operands, text, o + c + a, axes, result)

    def _text(self, roles: _Roles, a: list[int], j: list[int], i: list[int]) -> str | None:
        if roles.table is None:
            places = roles.axes.extent(j)
            if not a:
                return identity(places)
            return graded(range(places), places) if a == j else None
        elements = self._elements(roles, [a, j, i])
        if elements is None:
            return None
        with compat.without_fake_mode():
            return of_table(elements)


@dataclass
class _Roles:
    """A sum of two factors and perhaps a table, by the axes of each as they are now."""

    axes: _Axes
    first: _Factor
    second: _Factor
    table: _Factor | None
    result: list[int]
    x: list[int] = field(init=False)
    y: list[int] = field(init=False)
    of_table: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.x, self.y = self.first.flat(self.axes), self.second.flat(self.axes)
        self.of_table = [] if self.table is None else self.table.flat(self.axes)


def _is_narrow(axes: _Axes, batch: list[int], o: list[int], c: list[int], j: list[int]) -> bool:
    """Whether rows are so narrow, and channels so few, that copying in order costs more than multiplying."""
    channels = max(axes.extent(o), axes.extent(c))
    return bool(batch) and bool(j) and axes.extent(j) <= MOST_PLACES and channels <= MOST_CHANNELS


def with_zeros(elements: torch.Tensor) -> str:
    """A dense table (i, j, k) as `torch.ops.hypatia.bilinear` takes it, with the zeros that may be seen.

    A place of the result that no term joins to some place of an operand has a term of zero with it, so that
    what is not finite makes it NaN, as the dense product does.

    >>> with_zeros(torch.tensor([[[1.0]], [[0.0]]]))
    '2 1 1,0 0 0 1.0,1 0 0 0.0'
    """
    n, m, p = elements.shape
    terms = [Term(i, j, k, float(elements[i, j, k])) for i, j, k in elements.nonzero().tolist()]
    for k in range(p):
        lefts = [i for i in range(n) if not elements[i, :, k].any()]
        rights = [j for j in range(m) if not elements[:, j, k].any()]
        for at in range(max(len(lefts), len(rights))):
            i = lefts[at] if at < len(lefts) else 0
            j = rights[at] if at < len(rights) else 0
            terms.append(Term(i, j, k, 0.0))
    return Table((n, m, p), 0, tuple(terms)).text()


def contracted(
    graph: GraphModule, values: Mapping[int, torch.Tensor]
) -> tuple[GraphModule, dict[str, int]] | None:
    """The graph with such sums computed by operations of our own, and how many by which; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        values: inputs that are known constants, by position.
    """
    if any(is_symbolic(node.meta.get("val")) for node in graph.graph.find_nodes(op="placeholder")):
        return None
    tables = tables_of(graph, values)
    looked = _Finder(tables)
    # In most graphs there is nothing, and a copy takes longer than a look.
    if all(_found(looked, node) is None for node in graph.graph.nodes):
        return None
    written, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    returned = written.graph_copy(graph.graph, copies)
    (output,) = graph.graph.find_nodes(op="output")
    written.output(returned).meta = dict(output.meta)
    finder = _Finder({copies[node]: table for node, table in tables.items()})
    inputs = [node.meta.get("val") for node in written.find_nodes(op="placeholder")]
    emitter = Emitter(written, compat.fake_mode([value for value in inputs if value is not None]))
    counts: dict[str, int] = {}
    lies_otherwise: set[fx.Node] = set()
    for node in list(written.nodes):
        found = _found(finder, node)
        if found is not None:
            lies_otherwise.add(_put(emitter, node, found))
            name = found.target.overloadpacket.__name__
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    for node in written.nodes:
        if node.op == "call_function" and node.target in RESHAPES:
            # What it looks at may lie otherwise now.
            node.target = aten.reshape.default
    _compute_types(written, emitter.mode, lies_otherwise)
    _straighten(written)
    if not _settle(emitter, graph.graph):
        return None
    written.eliminate_dead_code()
    written.lint()
    return compat.graph_module(graph, written), counts


def _found(finder: _Finder, node: fx.Node) -> _Found | None:
    """What computes a node's value by an operation of our own, if there is one."""
    is_product = node.target in _PRODUCTS
    if not is_product and node.target is not aten.mul.Tensor:
        return None
    if node.op != "call_function" or not node.users or not is_plain(node):
        return None
    return finder.found(node) if is_product else finder.of_product(node)


def is_symbolic(value: Any) -> bool:
    sizes = value.shape if isinstance(value, torch.Tensor) else [value]
    return any(isinstance(size, (torch.SymInt, torch.SymFloat, torch.SymBool)) for size in sizes)


def is_plain(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return (
        isinstance(value, torch.Tensor)
        and value.device.type == "cpu"
        and value.dtype in (torch.float32, torch.float64)
        and all(isinstance(n, int) and n > 0 for n in value.shape)
    )


def tables_of(graph: GraphModule, values: Mapping[int, torch.Tensor]) -> dict[fx.Node, torch.Tensor]:
    tables: dict[fx.Node, torch.Tensor] = {}
    for position, node in enumerate(graph.graph.find_nodes(op="placeholder")):
        if position in values:
            tables[node] = values[position]
    for node in graph.graph.find_nodes(op="get_attr"):
        if str(node.target).startswith("_hypatia_literal"):
            value = getattr(graph, str(node.target))
            if isinstance(value, torch.Tensor) and value.numel() <= LARGEST_TABLE:
                tables[node] = value
    return tables


def _put(emitter: Emitter, node: fx.Node, found: _Found) -> fx.Node:
    """Computes a node's value by what was found, and turns it to the node's axes; gives what stands there."""
    axes = found.axes

    def turned(value: fx.Node, now: list[int], groups: list[list[int]], shape: list[int]) -> fx.Node:
        order = [now.index(axis) for group in groups for axis in group]
        if order != sorted(order):
            value = _reshaped(emitter, value, axes.extents(now))
            value = emitter.call(aten.permute.default, value, order)
        return _reshaped(emitter, value, shape)

    with emitter.graph.inserting_before(node):
        operands = [
            turned(factor.node, factor.flat(axes), groups, [axes.extent(group) for group in groups])
            for factor, groups in found.operands
        ]
        value = emitter.call(found.target, *operands, found.text)
        value = turned(value, found.result, [found.wanted], list(node.meta["val"].shape))
    node.replace_all_uses_with(value)
    emitter.graph.erase_node(node)
    return value


def _reshaped(emitter: Emitter, value: fx.Node, shape: list[int]) -> fx.Node:
    return value if _shape(value) == shape else emitter.call(aten.reshape.default, value, shape)


def _compute_types(graph: fx.Graph, mode: Any, lies_otherwise: set[fx.Node]) -> None:
    """Gives what follows from nodes that lie otherwise than before the fake values that it has now."""
    for node in graph.nodes:
        if node.op == "call_function" and lies_otherwise.intersection(node.all_input_nodes):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
            if isinstance(node.target, torch._ops.OpOverload):
                with mode:
                    node.meta["val"] = node.target(*args, **kwargs)
            else:
                node.meta["val"] = node.target(*args, **kwargs)
            lies_otherwise.add(node)


def _straighten(graph: fx.Graph) -> None:
    """Looks at what our operations give at once, where views undo one another."""
    for node in list(graph.nodes):
        if node.op != "call_function" or not _is_view(node) or node.target in SAME:
            continue
        axes, source = _Axes(), node
        while _is_view(source) and source.target not in SAME:
            source = source.args[0]
        if source is node.args[0] or getattr(source.target, "namespace", "") != "hypatia":
            continue
        traced, value = _traced(node, axes), node.meta["val"]
        if traced is None or traced[0].node is not source or not value.is_contiguous():
            continue
        if axes.of([axis for group in traced[1] for axis in group]) == traced[0].flat(axes):
            with graph.inserting_before(node):
                straight = graph.call_function(aten.reshape.default, (source, list(value.shape)))
            straight.meta["val"] = value
            node.replace_all_uses_with(straight)
            graph.erase_node(node)


def _settle(emitter: Emitter, original: fx.Graph) -> bool:
    """Gives each output the strides that it had; whether that is possible, and none shares memory anew."""
    ends = [next(iter(g.find_nodes(op="output"))) for g in (emitter.graph, original)]
    results, wanted = (list(pytree.arg_tree_leaves(*end.args)) for end in ends)
    changed: dict[fx.Node, fx.Node] = {}
    for node, like in zip(results, wanted, strict=True):
        if not isinstance(node, fx.Node) or not isinstance(like.meta.get("val"), torch.Tensor):
            continue
        if node.meta["val"].stride() == like.meta["val"].stride():
            continue
        value = like.meta["val"]
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        if not value.permute(order).is_contiguous():
            return False
        back = [order.index(axis) for axis in range(len(order))]
        with emitter.graph.inserting_before(ends[0]):
            turned = emitter.call(aten.permute.default, node, order)
            dense = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
            copy = emitter.call(aten.permute.default, dense, back)
        changed[node] = copy
    ends[0].args = fx.node.map_arg(ends[0].args, lambda n: changed.get(n, n))
    results = list(pytree.arg_tree_leaves(*ends[0].args))
    pairs = [(a, b) for a, b in zip(results, wanted, strict=True) if isinstance(a, fx.Node)]
    return all(
        base_of(a) is not base_of(b) or base_of(like_a) is base_of(like_b)
        for n, (a, like_a) in enumerate(pairs)
        for b, like_b in pairs[:n]
    )
