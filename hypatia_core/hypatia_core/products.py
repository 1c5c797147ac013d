"""How matrix products are read from ATen and written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core.bilinear import ROWS_BY_MATRIX
from hypatia_core.inner_product import INNER_PRODUCT
from hypatia_core.sizes import is_dense

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten


def read_matmul(reader: Reader, node: fx.Node) -> int | None:
    """Of matrices or stacks of them."""
    return reader.known("matmul", [reader.tensor(a) for a in node.args], [], node)


def read_mv(reader: Reader, node: fx.Node) -> int | None:
    """A matrix or a vector times a vector, as products of matrices with one row or column."""
    if reader.exact:  # another kernel adds up in another order
        return None
    a, b = (argument.meta["val"] for argument in node.args)  # type: ignore[union-attr]
    inner = b.shape[0]
    if reader.sizes.dimension(a.shape[-1]) != reader.sizes.dimension(inner):
        return None  # two symbols that torch knows to be equal, and the engine does not
    column = reader.computed(
        "reshape",
        [reader.tensor(node.args[1])],
        [reader.shape_attribute([inner, 1])],
        reader.type_of(node, [inner, 1]),
    )
    left, rows = reader.tensor(node.args[0]), a.shape[0]
    if a.dim() == 1:
        rows = 1
        row = reader.shape_attribute([1, inner])
        left = reader.computed("reshape", [left], [row], reader.type_of(node, [1, inner]))
    product = reader.computed("matmul", [left, column], [], reader.type_of(node, [rows, 1]))
    return reader.known("reshape", [product], [reader.shape(node)], node)


def write_matmul(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """By the operation of torch for these ranks, or by a kernel of ours."""
    a, b = operands[0].meta["val"], operands[1].meta["val"]
    if a.dim() == 2 and b.dim() == 2:
        target = ROWS_BY_MATRIX if _is_thin(writer, a, b) else aten.mm.default
        return _inner_product(writer, *operands) or writer.call(target, *operands)
    if a.dim() == 3 and b.dim() == 3 and writer.same_size(a.shape[0], b.shape[0]):
        return writer.call(aten.bmm.default, *operands)
    return writer.call(aten.matmul.default, *operands)


#: A factor of at least so many elements meets one of few columns on our own kernel: a library copies the
#: long factor before it multiplies.
_LONG, _COLUMNS = 2**19, 16


def _is_thin(writer: Writer, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether a dense matrix of long rows meets one of few columns."""
    if writer.imported.exact or not all(type(size) is int for size in (*a.shape, *b.shape)):
        return False
    plain = a.device.type == "cpu" and a.dtype == b.dtype and a.dtype in (torch.float32, torch.float64)
    long = a.shape[0] > 1 and a.shape[1] >= 64 and a.numel() >= _LONG
    return plain and long and is_dense(a) and 1 < b.shape[1] <= _COLUMNS


def _inner_product(writer: Writer, left: fx.Node, right: fx.Node) -> fx.Node | None:
    """A row by a column: as a product of matrices it takes many times as long, and loses digits."""
    a, b = left.meta["val"], right.meta["val"]
    one = all(writer.same_size(size, 1) for size in (a.shape[0], b.shape[1]))
    if writer.imported.exact or not one or not isinstance(a.shape[1], int):
        return None
    if a.dtype not in (torch.float32, torch.float64):
        return None
    vectors = (writer.call(aten.reshape.default, operand, [a.shape[1]]) for operand in (left, right))
    return writer.call(aten.view.default, writer.call(INNER_PRODUCT, *vectors), [1, 1])


def read_addmm(reader: Reader, node: fx.Node) -> int | None:
    """With factors as the sum that it is."""
    if node.kwargs.get("beta", 1) != 1 or node.kwargs.get("alpha", 1) != 1:
        return read_baddbmm(reader, node)
    return reader.known("addmm", [reader.tensor(a) for a in node.args], [], node)


def read_baddbmm(reader: Reader, node: fx.Node) -> int | None:
    """As the sum that it is; what is added zero times is not looked at."""
    beta, alpha = node.kwargs.get("beta", 1), node.kwargs.get("alpha", 1)
    if reader.exact or not node.meta["val"].dtype.is_floating_point:
        return None
    summand, left, right = node.args
    factors = [reader.tensor(left), reader.tensor(right)]
    if (alpha, beta) == (1, 0):
        return reader.known("matmul", factors, [], node)
    product: int | None = reader.computed("matmul", factors, [], reader.type_of(node))
    product = product if alpha == 1 else scaled(reader, alpha, product, node)
    if beta == 0:
        return product
    added: int | None = reader.tensor(summand)
    added = added if beta == 1 else scaled(reader, beta, added, summand)
    return None if added is None or product is None else reader.known("add", [added, product], [], node)


def scaled(reader: Reader, factor: Any, place: int | None, node: Any) -> int | None:
    """A value of a node's type times a number; None where the engine does not know it."""
    number = reader.operand(factor, node)
    if number is None or place is None:
        return None
    return reader.computed("mul", [number, place], [], reader.type_of(node))


def write_addmm(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """The summand stands first."""
    product = _inner_product(writer, operands[1], operands[2])
    if product is not None:
        return writer.call(aten.add.Tensor, operands[0], product)
    return writer.call(aten.addmm.default, *map(writer.node, operands))
