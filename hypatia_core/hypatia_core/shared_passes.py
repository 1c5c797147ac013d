"""Operations that read the same long tensor, done in one pass over it.

A thin product `X V` and the sum of the squares of X each wait for memory; together they take little longer
than the product. The search finds such pairs where squared residuals of low rank were (docs/rules.md).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.bilinear import ROWS_BY_MATRIX, ROWS_BY_MATRIX_AND_SQUARES
from hypatia_core.inner_product import INNER_PRODUCT
from hypatia_core.native.aliases import SAME_ORDER, args_of
from hypatia_core.weights import dependent_on
from hypatia_core.written_graph import copied

aten = torch.ops.aten

#: Elements in another order.
_TURNED = (aten.permute.default, aten.t.default, aten.transpose.int)


def joined(graph: GraphModule, weights: Iterable[int] = ()) -> tuple[GraphModule, int] | None:
    """The graph with a product and the sum of squares of a matrix as one operation; how many; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        weights: positions of inputs; what depends on these alone is computed once, and not on each call.
    """
    pairs = _pairs(graph.graph)
    if not pairs:
        return None
    once = dependent_on(graph, weights)[0]
    pairs = [(p, s) for p, s in pairs if p.args[0] not in once or p.args[1] in once]
    written = copied(graph.graph)
    here = {node.name: node for node in written.nodes}
    count = sum(_join(written, here[product.name], here[squares.name]) for product, squares in pairs)
    if count == 0:
        return None
    written.eliminate_dead_code()
    written.lint()
    return compat.graph_module(graph, written), count


def _pairs(graph: fx.Graph) -> list[tuple[fx.Node, fx.Node]]:
    """Products, and the sum of the squares of the left factor of each."""
    squares: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.target is INNER_PRODUCT and _is_same(*args_of(node)):
            squares.setdefault(_elements(args_of(node)[0]), node)
    products = [node for node in graph.nodes if node.target is ROWS_BY_MATRIX]
    found = [(node, squares.pop(_elements(args_of(node)[0]), None)) for node in products if squares]
    return [(product, node) for product, node in found if node is not None]


def _is_same(left: fx.Node, right: fx.Node) -> bool:
    """Whether two vectors are known to have the same elements in the same order."""
    left, right = _in_order(left), _in_order(right)
    while left is not right:
        if left.target not in _TURNED or (left.target, left.args[1:]) != (right.target, right.args[1:]):
            return False
        left, right = args_of(left)[0], args_of(right)[0]
        if left.meta["val"].shape != right.meta["val"].shape:
            return False
        left, right = _in_order(left), _in_order(right)
    return True


def _in_order(node: fx.Node) -> fx.Node:
    """The first tensor that has these elements in this order."""
    while node.target in SAME_ORDER:
        node = args_of(node)[0]
    return node


def _elements(node: fx.Node) -> fx.Node:
    """The first tensor that has these elements, in whatever order."""
    while node.target in SAME_ORDER or node.target in _TURNED:
        node = args_of(node)[0]
    return node


def _join(graph: fx.Graph, product: fx.Node, squares: fx.Node) -> bool:
    """Puts one operation before the first that reads either; False where that cannot be."""
    x, matrix = args_of(product)
    place = {node: number for number, node in enumerate(graph.nodes)}
    first = min((*product.users, *squares.users), key=place.__getitem__, default=product)
    late = _made_of(matrix, lambda node: place[node] >= place[first])
    # Random numbers are drawn in their order; and what waits for the squares cannot come before them.
    if not late.isdisjoint(squares.users) or any(map(compat.draws, late)):
        return False
    for node in sorted(late, key=place.__getitem__):
        first.prepend(node)
    with graph.inserting_before(first):
        both = graph.call_function(ROWS_BY_MATRIX_AND_SQUARES, (x, matrix))
        both.meta["val"] = product.meta["val"], squares.meta["val"]
        for item, node in enumerate((product, squares)):
            found = graph.call_function(operator.getitem, (both, item))
            found.meta["val"] = node.meta["val"]
            node.replace_all_uses_with(found)
            graph.erase_node(node)
    return True


def _made_of(node: fx.Node, which: Callable[[fx.Node], bool]) -> set[fx.Node]:
    """A node and what it is made of, as far as these are such."""
    found: set[fx.Node] = set()
    work = [node]
    while work:
        here = work.pop()
        if here not in found and which(here):
            found.add(here)
            work += here.all_input_nodes
    return found
