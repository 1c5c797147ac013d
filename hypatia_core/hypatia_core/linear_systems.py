"""How inverses and solutions of linear systems are read from ATen and written back.

`torch.linalg.inv` factors a matrix, `torch.linalg.solve` its transpose where rows lie together in memory.
What is written here does as they do, so that a singular matrix is reported at the same place.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core.sizes import is_dense

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten

#: Checks that no value depends on: all that a program has to keep is that they raise, and in which order.
CHECKS = frozenset({aten._linalg_check_errors.default})


def _is_float(node: fx.Node) -> bool:
    value = node.meta["val"]
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float32, torch.float64)


def _uses_only(source: fx.Node, items: set[int]) -> bool:
    return all(user.target is operator.getitem and user.args[1] in items for user in source.users)


def _inverting(reader: Reader, matrix: fx.Node) -> int:
    return reader.computed("inverting", [reader.tensor(matrix)], [], reader.type_of(matrix))


def _factored(reader: Reader, matrix: Any) -> int:
    """A matrix as `torch.linalg.solve` factors it: the transpose, where rows lie together."""
    transposed = is_dense(matrix.meta["val"])
    return reader.computed(
        "factored", [reader.tensor(matrix)], [{"bool": transposed}], reader.type_of(matrix)
    )


def read_inverse(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The first result of `linalg_inv_ex`."""
    matrix: Any = source.args[0]
    if not _is_float(matrix) or len(source.args) > 1 or source.kwargs.get("check_errors", False):
        return None
    return reader.known("inverse", [_inverting(reader, matrix)], [], node)


def read_inverse_info(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The second one: whether the matrix was singular."""
    matrix: Any = source.args[0]
    if not _is_float(matrix) or len(source.args) > 1 or source.kwargs.get("check_errors", False):
        return None
    return reader.known("inverse_info", [_inverting(reader, matrix)], [], node)


def read_solution(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The first result of `_linalg_solve_ex`, for matrices or vectors on the right."""
    if not _is_plain_solve(source):
        return None
    matrix, right = source.args[:2]
    factored = _factored(reader, matrix)
    a, b = matrix.meta["val"], right.meta["val"]  # type: ignore[union-attr]
    if b.dim() == a.dim():
        return reader.known("lu_solve", [factored, reader.tensor(right)], [], node)
    if b.dim() != a.dim() - 1 or b.dim() != 1:
        return None
    shape = [*b.shape, 1]
    column = reader.computed(
        "reshape", [reader.tensor(right)], [reader.shape_attribute(shape)], reader.type_of(node, shape)
    )
    solution = reader.computed("lu_solve", [factored, column], [], reader.type_of(node, shape))
    return reader.known("reshape", [solution], [reader.shape(node)], node)


def read_solve_info(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The last one: whether the matrix was singular."""
    if not _is_plain_solve(source):
        return None
    return reader.known("lu_info", [_factored(reader, source.args[0])], [], node)


def _is_plain_solve(source: fx.Node) -> bool:
    matrix, right = source.args[:2]
    plain = len(source.args) == 2 and bool(source.kwargs.get("left", True))
    checked = source.kwargs.get("check_errors", False)
    return (
        plain
        and not checked
        and _is_float(matrix)  # type: ignore[arg-type]
        and _is_float(right)  # type: ignore[arg-type]
        and _uses_only(source, {0, 3})
    )


def write_inverting(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Both results of the inversion."""
    return writer.call(aten.linalg_inv_ex.default, writer.node(operands[0]))


def write_item(index: int) -> Any:
    """One of several results."""
    return lambda writer, operands, attributes: writer.item(operands[0], index)


def write_factored(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """The factors of the matrix or, as the attribute says, of its transpose."""
    matrix, (transposed,) = writer.node(operands[0]), attributes
    if transposed:
        matrix = writer.call(aten.transpose.int, matrix, -2, -1)
    factors = writer.call(aten.linalg_lu_factor_ex.default, matrix)
    factors.meta["transposed"] = transposed
    return factors


def write_lu_solve(left: bool) -> Any:
    """The solution with factors, from one side or the other."""

    def write(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
        factors, right = operands[0], writer.node(operands[1])
        parts = (writer.item(factors, 0), writer.item(factors, 1))
        transposed = factors.meta["transposed"]
        return writer.call(aten.linalg_lu_solve.default, *parts, right, left=left, adjoint=transposed)

    return write
