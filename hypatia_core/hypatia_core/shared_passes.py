"""Operations that read the same long tensor, done in one pass over it.

A thin product `X V` and the sum of the squares of X each wait for memory; together they take little longer
than the product. The search finds such pairs where squared residuals of low rank were (docs/rules.md). So do
both products of normal equations, `Aᵀ(A x)` and `Aᵀ(A x − b)` with few columns, which take half as long.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.bilinear import ROWS_BY_MATRIX, ROWS_BY_MATRIX_AND_SQUARES
from hypatia_core.inner_product import INNER_PRODUCT
from hypatia_core.native.aliases import SAME_ORDER, alone, args_of
from hypatia_core.normal_product import MOST_COLUMNS, NORMAL_PRODUCT
from hypatia_core.weights import dependent_on
from hypatia_core.written_graph import copied

aten = torch.ops.aten

#: Elements in another order.
_TURNED = (aten.permute.default, aten.t.default, aten.transpose.int)
#: Bytes of a matrix that are worth reading once: smaller ones stay in a core's cache between two products.
_WORTH_A_PASS = 1 << 22
#: Bytes of a row of such a matrix at most: the row is to stay in a core's cache between two products.
_LONGEST_ROW = 1 << 18
#: Elements of a row at least: of shorter ones, what is done once a row takes longer than reading it.
_SHORTEST_ROW = 64


def joined(graph: GraphModule, weights: Iterable[int] = ()) -> tuple[GraphModule, dict[str, int]] | None:
    """The graph with what reads a matrix twice as one operation; how many of each; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        weights: positions of inputs; what depends on these alone is computed once, and not on each call.
    """
    pairs, normal = _pairs(graph.graph), list(_normal_products(graph.graph))
    if not pairs and not normal:
        return None
    once = dependent_on(graph, weights)[0]
    normal = [product for product in normal if product.shifted.inner not in once]
    outer = {product.outer for product in normal}
    pairs = [(p, s) for p, s in pairs if p not in outer and (p.args[0] not in once or p.args[1] in once)]
    written = copied(graph.graph)
    here = {node.name: node for node in written.nodes}
    for normal_product in normal:
        # What comes after reads the new node.
        here[normal_product.outer.name] = _write(written, normal_product, here)
    squared = sum(_join(written, here[product.name], here[squares.name]) for product, squares in pairs)
    counts = {"rows_by_matrix_and_squares": squared, "normal_product": len(normal)}
    if not any(counts.values()):
        return None
    written.eliminate_dead_code()
    written.lint()
    return compat.graph_module(graph, written), {name: n for name, n in counts.items() if n}


def _pairs(graph: fx.Graph) -> list[tuple[fx.Node, fx.Node]]:
    """Products, and the sum of the squares of the left factor of each."""
    squares: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.target is INNER_PRODUCT and _is_same(*args_of(node)):
            squares.setdefault(_elements(args_of(node)[0]), node)
    products = [node for node in graph.nodes if node.target is ROWS_BY_MATRIX]
    found = [(node, squares.pop(_elements(args_of(node)[0]), None)) for node in products if squares]
    return [(product, node) for product, node in found if node is not None]


class _Applied(NamedTuple):
    """A matrix, transposed or not, and the few columns that it is multiplied by."""

    matrix: fx.Node
    transposed: bool
    columns: fx.Node


class _Shifted(NamedTuple):
    """What `α·a x + β·b` is made of: the node of its product, that product, b if there is one, α and β."""

    inner: fx.Node
    product: _Applied
    b: fx.Node | None
    of_product: float
    of_b: float


class _NormalProduct(NamedTuple):
    """The node of `aᵀ(α·a x + β·b)`, and what stands between the parentheses."""

    outer: fx.Node
    shifted: _Shifted


def _normal_products(graph: fx.Graph) -> Iterator[_NormalProduct]:
    for outer in graph.nodes:
        applied = _applied(outer)
        if applied is None or not applied.transposed or not _is_worth_a_pass(applied.matrix):
            continue
        for shifted in _shifted(applied.columns):
            if shifted.product.matrix is applied.matrix and not shifted.product.transposed:
                yield _NormalProduct(outer, shifted)
                break


def _applied(node: fx.Node) -> _Applied | None:
    """A product as a matrix applied to few columns; None for other operations."""
    if node.target in (aten.mv.default, aten.mm.default, ROWS_BY_MATRIX):
        return _as_applied(*args_of(node))
    return None


def _as_applied(left: fx.Node, right: fx.Node) -> _Applied | None:
    if len(_shape(left)) != 2:
        return None
    if len(_shape(right)) == 1 or _is_few(_shape(right)[1]):
        return _Applied(*_matrix(left), right)
    rows = _shape(left)[0]
    if not isinstance(rows, int) or rows != 1:
        return None
    matrix, transposed = _matrix(right)
    return _Applied(matrix, not transposed, left)


def _shifted(node: fx.Node) -> Iterator[_Shifted]:
    """A product that a node is, alone or with what is added to it, where nothing else reads either."""
    between = alone(node)
    if between is None:
        return
    product = _applied(between)
    if product is not None:
        yield _Shifted(between, product, None, 1.0, 0.0)
    if between.kwargs or between.target not in (aten.addmm.default, aten.add.Tensor, aten.sub.Tensor):
        return
    left, right, *rest = args_of(between)
    if rest:
        product = _as_applied(right, *rest)
        if product is not None and _is_like(left, between):
            yield _Shifted(between, product, left, 1.0, 1.0)
        return
    sign = 1.0 if between.target is aten.add.Tensor else -1.0
    for factor, b, of_product, of_b in ((left, right, 1.0, sign), (right, left, sign, 1.0)):
        if not _is_like(factor, between) or not _is_like(b, between):
            return
        inner = alone(factor)
        product = None if inner is None else _applied(inner)
        if inner is not None and product is not None:
            yield _Shifted(inner, product, b, of_product, of_b)


def _is_like(operand: object, node: fx.Node) -> bool:
    """Whether an operand is a tensor of a node's shape and dtype."""
    if not isinstance(operand, fx.Node):
        return False
    return _shape(operand) == _shape(node) and operand.meta["val"].dtype is node.meta["val"].dtype


def _is_few(columns: object) -> bool:
    return isinstance(columns, int) and 0 < columns <= MOST_COLUMNS


def _matrix(node: fx.Node) -> tuple[fx.Node, bool]:
    """The matrix that a node looks at, and whether it looks at it transposed."""
    transposed = False
    while node.target in _TURNED and node.meta["val"].dim() == 2:
        node, transposed = args_of(node)[0], transposed != _swaps(node)
    return node, transposed


def _swaps(node: fx.Node) -> bool:
    """Whether what orders the axes of a matrix exchanges them."""
    _, *axes = args_of(node)
    if node.target is aten.permute.default:
        return bool(axes[0][0] % 2)
    return not axes or bool((axes[0] - axes[1]) % 2)


def _is_worth_a_pass(matrix: fx.Node) -> bool:
    """Whether a matrix is of a size that is read faster once than twice, row by row as it lies."""
    value = matrix.meta["val"]
    if value.dtype not in (torch.float32, torch.float64) or value.device.type != "cpu":
        return False
    if not all(isinstance(size, int) for size in value.shape) or not value.is_contiguous():
        return False
    row = value.shape[1] * value.element_size()
    fits = value.shape[1] >= _SHORTEST_ROW and row <= _LONGEST_ROW
    return bool(fits and value.shape[0] * row >= _WORTH_A_PASS)


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _write(graph: fx.Graph, normal_product: _NormalProduct, here: dict[str, fx.Node]) -> fx.Node:
    """Puts the operation in the outer product's place, and gives its node."""
    _, (matrix, _, columns), shift, of_product, of_b = normal_product.shifted
    outer, (m, n) = here[normal_product.outer.name], _shape(matrix)
    count = outer.meta["val"].numel() // n

    def shaped(node: fx.Node, shape: tuple[int, ...]) -> fx.Node:
        if _shape(node) == shape:
            return node
        given = graph.call_function(aten.reshape.default, (node, list(shape)))
        given.meta["val"] = node.meta["val"].reshape(shape)
        return given

    with graph.inserting_before(outer):
        x = shaped(here[columns.name], (n, count))
        b = None if shift is None else shaped(here[shift.name], (m, count))
        given = graph.call_function(NORMAL_PRODUCT, (here[matrix.name], x, b, of_product, of_b))
        given.meta["val"] = x.meta["val"].new_empty((n, count))
        result = shaped(given, _shape(outer))
    outer.replace_all_uses_with(result)
    return result


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
