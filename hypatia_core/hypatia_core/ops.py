"""Which ATen operations the engine knows, and how each is read and written: one row an operation."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core import bounds, compat, masks, panels, products, selections
from hypatia_core import linear_systems as systems
from hypatia_core import network_ops as network
from hypatia_core.bilinear import terms_text
from hypatia_core.sizes import is_dense

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten

#: How the engine calls torch's element types.
DTYPES: dict[torch.dtype, str] = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.complex64: "c64",
    torch.complex128: "c128",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "bool",
}
DTYPES_BACK = {name: dtype for dtype, name in DTYPES.items()}

#: Reads a node as an operation that the engine knows; None leaves it opaque.
ReadFunction = Callable[["Reader", fx.Node], "int | None"]
#: Writes an operation over nodes of the new graph, with its attributes as Python values.
WriteFunction = Callable[["Writer", list[Any], list[Any]], Any]


@dataclass(frozen=True)
class Number:
    """A constant without dimensions: a number where an operation takes one, else a tensor of its type."""

    value: float | int
    dtype: torch.dtype


@dataclass(frozen=True)
class Op:
    """One operation of the engine: its name there, the ATen overloads read as it, and how it is written."""

    name: str
    reads: dict[Any, ReadFunction]
    write: WriteFunction


def _default(target: Any, arguments: Sequence[Any], position: int, fallback: Any) -> Any:
    return arguments[position] if len(arguments) > position else fallback


def _float_result(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype.is_floating_point


def _pointwise(name: str) -> ReadFunction:
    def read(reader: Reader, node: fx.Node) -> int | None:
        alpha = node.kwargs.get("alpha", 1)
        # With a factor torch may round once where a product and a sum round twice.
        if (alpha != 1 and reader.exact) or len(node.args) > 2 or set(node.kwargs) - {"alpha"}:
            return None
        dtypes = {a.meta["val"].dtype for a in node.args if isinstance(a, fx.Node) and not reader.is_size(a)}
        if dtypes != {node.meta["val"].dtype} or torch.bool in dtypes:  # promoted, or a logical operation
            return None
        operands = [reader.operand(argument, node) for argument in node.args]
        if alpha != 1 and isinstance(node.args[1], fx.Node):
            operands[1] = products.scaled(reader, alpha, operands[1], node.args[1])
        elif alpha != 1:
            return None
        if any(operand is None for operand in operands):
            return None
        return reader.known(name, operands, [], node)

    return read


def _unary(name: str) -> ReadFunction:
    def read(reader: Reader, node: fx.Node) -> int | None:
        if len(node.args) != 1 or node.kwargs or not isinstance(node.args[0], fx.Node):
            return None
        return reader.known(name, [reader.tensor(node.args[0])], [], node)

    return read


def _write_call(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(target, *map(writer.node, operands))


def _write_item(target: Any) -> WriteFunction:
    """The first of several results."""
    return lambda writer, operands, attributes: writer.first(target, *map(writer.node, operands))


def _unary_op(name: str, target: Any) -> Op:
    return Op(name, {target: _unary(name)}, _write_call(target))


def _write_commutative(target: Any) -> WriteFunction:
    def write(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
        # Small ones first, so that what broadcasts is combined before it meets a large operand.
        ordered = sorted(operands, key=writer.size)
        if not isinstance(ordered[0], fx.Node) and len(ordered) > 1 and isinstance(ordered[1], fx.Node):
            ordered[0], ordered[1] = ordered[1], ordered[0]
        total = ordered[0]
        for operand in ordered[1:]:
            total = writer.call(target, writer.node(total), operand)
        return total

    return write


def _write_binary(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(target, writer.node(operands[0]), operands[1])


def _write_two_tensors(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(
        target, writer.node(operands[0]), writer.node(operands[1])
    )


def _axis(node: fx.Node, argument: Any, axis: int) -> int:
    rank: int = argument.meta["val"].dim()
    return axis % max(rank, 1)


def _read_permute(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    rank = source.meta["val"].dim()
    axes = list(range(rank))
    if node.target is aten.permute.default:
        axes = [_axis(node, source, a) for a in node.args[1]]  # type: ignore[union-attr, arg-type]
    elif node.target is aten.transpose.int:
        i, j = (_axis(node, source, a) for a in node.args[1:3])  # type: ignore[arg-type]
        axes[i], axes[j] = axes[j], axes[i]
    elif rank == 2:
        axes = [1, 0]
    if axes == [1, 0] and reader.is_symmetric(source):
        return reader.tensor(source)
    return reader.known("permute", [reader.tensor(source)], [{"axes": axes}], node)


def _write_permute(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    if attributes[0] == [1, 0]:
        return writer.call(aten.t.default, operands[0])
    return writer.call(aten.permute.default, operands[0], attributes[0])


def _read_reshape(reader: Reader, node: fx.Node) -> int | None:
    return reader.known("reshape", [reader.tensor(node.args[0])], [reader.shape(node)], node)


def _write_reshape(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    source, shape = writer.node(operands[0]), attributes[0]
    if not any(isinstance(size, fx.Node) for size in shape):
        return writer.call(aten.reshape.default, source, shape)
    # Whether symbolic strides allow a view would be asked by guards: a dense tensor always does.
    if not is_dense(source.meta["val"]):
        source = writer.call(aten.clone.default, source, memory_format=torch.contiguous_format)
    return writer.call(aten.view.default, source, shape)


def _read_expand(reader: Reader, node: fx.Node) -> int | None:
    return reader.known("expand", [reader.tensor(node.args[0])], [reader.shape(node)], node)


def _write_expand(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    if not isinstance(operands[0], fx.Node):
        return writer.constant(operands[0], attributes[0])
    return writer.call(aten.expand.default, operands[0], attributes[0])


def _clip(position: Any, extent: int) -> int | None:
    if not isinstance(position, int):
        return None
    return min(max(position + extent if position < 0 else position, 0), extent)


def _read_slice(reader: Reader, node: fx.Node) -> int | None:
    arguments, source = node.args, node.args[0]
    axis = _axis(node, source, _default(node.target, arguments, 1, 0))
    extent = source.meta["val"].shape[axis]  # type: ignore[union-attr]
    if not isinstance(extent, int):
        return None
    start = _clip(_default(node.target, arguments, 2, None) or 0, extent)
    end = _default(node.target, arguments, 3, None)
    end = _clip(extent if end is None else end, extent)
    step = _default(node.target, arguments, 4, 1)
    if start is None or end is None or not isinstance(step, int):
        return None
    attributes = [{"int": axis}, {"int": start}, {"int": max(start, end)}, {"int": step}]
    return reader.known("slice", [reader.tensor(source)], attributes, node)


def _read_select(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    axis, index = _axis(node, source, node.args[1]), node.args[2]  # type: ignore[arg-type]
    value = source.meta["val"]
    extent = value.shape[axis]
    if not isinstance(extent, int) or not isinstance(index, int):
        return None
    index %= extent
    kept = [*value.shape[:axis], 1, *value.shape[axis + 1 :]]
    attributes = [{"int": axis}, {"int": index}, {"int": index + 1}, {"int": 1}]
    row = reader.computed("slice", [reader.tensor(source)], attributes, reader.type_of(node, kept))
    return reader.known("reshape", [row], [reader.shape(node)], node)


def _write_slice(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    axis, start, end, step = attributes
    return writer.call(aten.slice.Tensor, writer.node(operands[0]), axis, start, end, step)


def _read_diagonal(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    offset, first, second = (_default(node.target, node.args, i, d) for i, d in ((1, 0), (2, 0), (3, 1)))
    rank = source.meta["val"].dim()
    if offset != 0 or node.kwargs or (first % rank, second % rank) != (rank - 2, rank - 1):
        return None
    return reader.known("diagonal", [reader.tensor(source)], [], node)


def _read_trace(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    rows, columns = source.meta["val"].shape
    if reader.exact or not isinstance(rows, int) or not isinstance(columns, int) or not _float_result(node):
        return None
    side = min(rows, columns)
    diagonal = reader.computed("diagonal", [reader.tensor(source)], [], reader.type_of(node, [side]))
    total = reader.computed("sum", [diagonal], [{"axes": [0]}, {"bool": True}], reader.type_of(node, [1]))
    return reader.known("reshape", [total], [reader.shape(node)], node)


def _write_diagonal(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    return writer.call(aten.diagonal.default, writer.node(operands[0]), 0, -2, -1)


def _read_diag_embed(reader: Reader, node: fx.Node) -> int | None:
    if len(node.args) > 1 or node.kwargs or not _float_result(node):
        return None
    return reader.known("diag_embed", [reader.tensor(node.args[0])], [], node)


def _read_eye(reader: Reader, node: fx.Node) -> int | None:
    """Ones on the diagonal."""
    rows, columns = node.meta["val"].shape
    if not isinstance(rows, int) or rows != columns or not _float_result(node):
        return None
    one = reader.constant(1.0, node)
    ones = reader.computed("expand", [one], [reader.shape_attribute([rows])], reader.type_of(node, [rows]))
    return reader.known("diag_embed", [ones], [], node)


def _read_cat(reader: Reader, node: fx.Node) -> int | None:
    sources: Any = node.args[0]
    axis = _axis(node, node, _default(node.target, node.args, 1, 0))
    # Empty one-dimensional tensors are let through by torch whatever the others' rank.
    return reader.known("cat", [reader.tensor(s) for s in sources], [{"int": axis}], node)


def _write_cat(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    return writer.call(aten.cat.default, [writer.node(o) for o in operands], attributes[0])


def _reduction(name: str) -> ReadFunction:
    def read(reader: Reader, node: fx.Node) -> int | None:
        source: Any = node.args[0]
        value = source.meta["val"]
        if (
            node.kwargs.get("dtype") not in (None, value.dtype)
            or len(node.args) > 3
            or not _float_result(node)
        ):
            return None
        axes: Any = _default(node.target, node.args, 1, None)
        keep = bool(_default(node.target, node.args, 2, False))
        axes = list(range(value.dim())) if axes is None or axes == [] else axes
        axes = sorted({_axis(node, source, a) for a in ([axes] if isinstance(axes, int) else axes)})
        if value.dim() == 0:
            return None
        return _reduced(reader, node, name, axes, keep)

    return read


def _reduced(
    reader: Reader, node: fx.Node, name: str, axes: list[int], keep: bool, source: Any = None
) -> int | None:
    """A reduction that keeps its axes, and a reshape where the node's drops them."""
    source = node.args[0] if source is None else source
    kept = [1 if i in axes else size for i, size in enumerate(source.meta["val"].shape)]
    attributes = [{"axes": axes}, {"bool": True}]
    if keep:
        return reader.known(name, [reader.tensor(source)], attributes, node)
    total = reader.computed(name, [reader.tensor(source)], attributes, reader.type_of(node, kept))
    return reader.known("reshape", [total], [reader.shape(node)], node)


def _write_reduction(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(target, writer.node(operands[0]), *attributes)


def _read_variance(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    axes: Any = _default(node.target, node.args, 1, None)
    if node.target is aten.var.dim:
        biased = _default(node.target, node.args, 2, True) is False
        keep = bool(_default(node.target, node.args, 3, False))
    else:
        correction: Any = node.kwargs.get("correction", 1)
        biased = bool(correction == 0)
        keep = bool(node.kwargs.get("keepdim", False))
    rank = source.meta["val"].dim()
    if not biased or rank == 0 or not _float_result(node):
        return None
    axes = sorted({a % rank for a in axes} if axes else range(rank))
    return _reduced(reader, node, "variance", axes, keep)


def _read_one_of_var_mean(name: str) -> Callable[[Reader, fx.Node, fx.Node], int | None]:
    def read(reader: Reader, node: fx.Node, both: fx.Node) -> int | None:
        tensor: Any = both.args[0]
        axes: Any = _default(both.target, both.args, 1, None)
        rank, exact = tensor.meta["val"].dim(), reader.exact  # by themselves they are summed in another order
        if exact or rank == 0 or both.kwargs.get("correction", 1) != 0 or not _float_result(node):
            return None
        axes = sorted({a % rank for a in axes} if axes else range(rank))
        return _reduced(reader, node, name, axes, bool(both.kwargs.get("keepdim", False)), tensor)

    return read


def _write_variance(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    axes, keep = attributes
    return writer.call(aten.var.correction, writer.node(operands[0]), axes, correction=0, keepdim=keep)


def _along_axis(name: str) -> ReadFunction:
    def read(reader: Reader, node: fx.Node) -> int | None:
        source: Any = node.args[0]
        if node.args[2] or source.meta["val"].dim() == 0:
            return None
        axis = _axis(node, source, node.args[1])  # type: ignore[arg-type]
        return reader.known(name, [reader.tensor(source)], [{"int": axis}], node)

    return read


def _write_along_axis(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(
        target, writer.node(operands[0]), attributes[0], False
    )


def _read_gelu(reader: Reader, node: fx.Node) -> int | None:
    form = node.kwargs.get("approximate", "none")
    return reader.known("gelu", [reader.tensor(node.args[0])], [{"word": form}], node)


def _write_gelu(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    return writer.call(aten.gelu.default, writer.node(operands[0]), approximate=attributes[0])


def _read_pow(reader: Reader, node: fx.Node) -> int | None:
    base, exponent = node.args
    if not isinstance(exponent, (int, float)) or not _float_result(node):
        return None
    source = reader.tensor(base)
    if exponent == 1 and isinstance(base, fx.Node) and base.meta["val"].dtype is node.meta["val"].dtype:
        return source
    if exponent == 2:
        return reader.known("mul", [source, source], [], node)
    if exponent in (0.5, -0.5) and not reader.exact:
        return reader.known("sqrt" if exponent > 0 else "rsqrt", [source], [], node)
    return reader.known("pow_scalar", [source], [{"float": repr(float(exponent))}], node)


def _write_pow(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    return writer.call(aten.pow.Tensor_Scalar, writer.node(operands[0]), attributes[0])


def _read_cast(reader: Reader, node: fx.Node) -> int | None:
    source: Any = node.args[0]
    before, after = source.meta["val"], node.meta["val"]
    if before.device != after.device or node.kwargs.get("layout") not in (None, torch.strided):
        return None
    if before.dtype == after.dtype:
        return reader.tensor(source)
    if after.dtype not in DTYPES:
        return None
    return reader.known("cast", [reader.tensor(source)], [{"dtype": DTYPES[after.dtype]}], node)


def _write_cast(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    return writer.call(aten._to_copy.default, writer.node(operands[0]), dtype=attributes[0])


def _same_value(reader: Reader, node: fx.Node) -> int | None:
    return reader.tensor(node.args[0])


def _write_constant(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    value, dtype, _ = attributes
    return Number(value if dtype.is_floating_point else int(value), dtype)


def _write_literal(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    elements, dtype, _ = attributes
    return writer.literal(elements["shape"], [float(v) for v in elements["values"]], dtype)


def _write_bilinear(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    elements = attributes[0]
    text = terms_text(elements["shape"], [float(v) for v in elements["values"]])
    return writer.call(torch.ops.hypatia.bilinear.default, *map(writer.node, operands), text)


def _triangle(name: str) -> ReadFunction:
    def read(reader: Reader, node: fx.Node) -> int | None:
        if not _float_result(node):
            return None
        offset = _default(node.target, node.args, 1, 0)
        return reader.known(name, [reader.tensor(node.args[0])], [{"int": offset}], node)

    return read


def _write_triangle(target: Any) -> WriteFunction:
    return lambda writer, operands, attributes: writer.call(target, writer.node(operands[0]), attributes[0])


def _read_scalar(reader: Reader, node: fx.Node) -> int | None:
    value: Any = node.args[0]
    exact = type(value) in (int, float) and _is_exact(value, node.meta["val"].dtype)
    return reader.constant(float(value), node) if _float_result(node) and exact else None


@functools.lru_cache(maxsize=4096, typed=True)
def _is_exact(value: Any, dtype: torch.dtype) -> bool:
    """Whether an element of this type can be this number."""
    with compat.without_fake_mode():
        held = torch.tensor(value, dtype=dtype).item()
    return bool(held == value)


def _read_full(reader: Reader, node: fx.Node) -> int | None:
    return _filled(reader, node, node.args[1])


def _read_zeros(reader: Reader, node: fx.Node) -> int | None:
    return _filled(reader, node, 0)


def _read_ones(reader: Reader, node: fx.Node) -> int | None:
    return _filled(reader, node, 1)


def _filled(reader: Reader, node: fx.Node, value: Any) -> int | None:
    result = node.meta["val"]
    if type(value) not in (int, float) or result.dtype not in DTYPES:
        return None
    if result.dtype is torch.bool or result.dtype.is_complex:
        return None
    if not result.dtype.is_floating_point and abs(value) >= 2**53:
        return None
    if not math.isfinite(value) and value != -math.inf:  # what masks
        return None
    with compat.without_fake_mode():  # as the tensor would hold it: 0.1 in bfloat16 is another number
        rounded = torch.tensor(value, dtype=result.dtype).item()
    constant = reader.constant(float(rounded), node)
    return reader.known("expand", [constant], [reader.shape(node)], node)


def _with_scalar_forms(name: str, packet: Any) -> dict[Any, ReadFunction]:
    return {getattr(packet, form): _pointwise(name) for form in ("Tensor", "Scalar") if hasattr(packet, form)}


_RESHAPES = (
    aten.view.default,
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
)

TABLE: tuple[Op, ...] = (
    Op(
        "const",
        dict.fromkeys((aten.full.default, aten.full_like.default), _read_full)
        | dict.fromkeys((aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default), _read_zeros)
        | dict.fromkeys((aten.ones.default, aten.ones_like.default), _read_ones)
        | {aten.scalar_tensor.default: _read_scalar},
        _write_constant,
    ),
    Op("literal", {}, _write_literal),
    Op(
        "add",
        _with_scalar_forms("add", aten.add) | {aten.baddbmm.default: products.read_baddbmm},
        _write_commutative(aten.add.Tensor),
    ),
    Op("mul", _with_scalar_forms("mul", aten.mul), _write_commutative(aten.mul.Tensor)),
    Op("sub", _with_scalar_forms("sub", aten.sub), _write_binary(aten.sub.Tensor)),
    Op("div", _with_scalar_forms("div", aten.div), _write_binary(aten.div.Tensor)),
    Op("maximum", {aten.maximum.default: _pointwise("maximum")}, _write_two_tensors(aten.maximum.default)),
    Op("minimum", {aten.minimum.default: _pointwise("minimum")}, _write_two_tensors(aten.minimum.default)),
    _unary_op("neg", aten.neg.default),
    _unary_op("abs", aten.abs.default),
    _unary_op("relu", aten.relu.default),
    Op(
        "clamp",
        dict.fromkeys(
            (aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default, aten.hardtanh.default),
            bounds.read_clamp,
        ),
        bounds.write_clamp,
    ),
    _unary_op("exp", aten.exp.default),
    _unary_op("expm1", aten.expm1.default),
    _unary_op("log", aten.log.default),
    _unary_op("log1p", aten.log1p.default),
    _unary_op("sqrt", aten.sqrt.default),
    _unary_op("rsqrt", aten.rsqrt.default),
    _unary_op("reciprocal", aten.reciprocal.default),
    _unary_op("sin", aten.sin.default),
    _unary_op("cos", aten.cos.default),
    _unary_op("tanh", aten.tanh.default),
    _unary_op("sigmoid", aten.sigmoid.default),
    _unary_op("silu", aten.silu.default),
    _unary_op("erf", aten.erf.default),
    # Where this threshold is passed, exp −x is below the last place of x in float64 too.
    Op("softplus", {}, lambda w, o, a: w.call(aten.softplus.default, w.node(o[0]), 1, 40)),
    Op("log_sigmoid", {}, _write_item(aten.log_sigmoid_forward.default)),
    Op("hypot", {aten.hypot.default: _pointwise("hypot")}, _write_two_tensors(aten.hypot.default)),
    Op("gelu", {aten.gelu.default: _read_gelu}, _write_gelu),
    Op("pow_scalar", {aten.pow.Tensor_Scalar: _read_pow}, _write_pow),
    Op("cast", {aten._to_copy.default: _read_cast}, _write_cast),
    Op(
        "matmul",
        {
            aten.mm.default: products.read_matmul,
            aten.bmm.default: products.read_matmul,
            aten.mv.default: products.read_mv,
            aten.dot.default: products.read_mv,
        },
        products.write_matmul,
    ),
    Op("addmm", {aten.addmm.default: products.read_addmm}, products.write_addmm),
    Op("attention", {}, network.write_attention),
    Op("masked_attention", {}, network.write_masked_attention),
    Op("boolean_attention", {}, network.write_boolean_attention),
    Op("causal_attention", {}, network.write_causal_attention),
    Op("inverting", {}, systems.write_inverting),
    Op("inverse", {}, systems.write_item(0)),
    Op("inverse_info", {}, systems.write_item(1)),
    Op("factored", {}, systems.write_factored),
    Op("lu_solve", {}, systems.write_lu_solve(left=True)),
    Op("lu_solve_right", {}, systems.write_lu_solve(left=False)),
    Op("lu_info", {}, systems.write_item(2)),
    Op(
        "where",
        {
            aten.where.self: masks.read_where,
            aten.masked_fill.Scalar: masks.read_masked_fill,
            aten.masked_fill.Tensor: masks.read_masked_fill_tensor,
        },
        masks.write_where,
    ),
    Op(
        "not",
        dict.fromkeys((aten.logical_not.default, aten.bitwise_not.default), masks.read_not),
        _write_call(aten.logical_not.default),
    ),
    Op("band", {}, masks.write_band),
    Op(
        "convolution",
        {aten.convolution.default: network.read_convolution},
        network.write_convolution,
    ),
    Op("biased_convolution", {}, network.write_biased_convolution),
    Op(
        "diag_embed",
        {aten.diag_embed.default: _read_diag_embed, aten.eye.default: _read_eye, aten.eye.m: _read_eye},
        _write_call(aten.diag_embed.default),
    ),
    Op("bilinear", {}, _write_bilinear),
    Op("tril", {aten.tril.default: _triangle("tril")}, _write_triangle(aten.tril.default)),
    Op("triu", {aten.triu.default: _triangle("triu")}, _write_triangle(aten.triu.default)),
    Op("gram", {}, _write_call(panels.GRAM)),
    Op("lower_product", {}, _write_call(panels.LOWER_PRODUCT)),
    Op("upper_product", {}, _write_call(panels.UPPER_PRODUCT)),
    Op("banded_product", {}, lambda w, o, a: w.call(panels.BANDED_PRODUCT, w.node(o[0]), w.node(o[1]), *a)),
    Op(
        "permute",
        dict.fromkeys((aten.t.default, aten.transpose.int, aten.permute.default), _read_permute),
        _write_permute,
    ),
    Op("reshape", dict.fromkeys(_RESHAPES, _read_reshape), _write_reshape),
    Op("expand", {aten.expand.default: _read_expand}, _write_expand),
    Op(
        "select_rows",
        {
            aten.index_select.default: selections.read_index_select,
            aten.index.Tensor: selections.read_index,
            aten.embedding.default: selections.read_embedding,
            aten.gather.default: selections.read_gather,
        },
        selections.write_selection,
    ),
    Op("slice", {aten.slice.Tensor: _read_slice, aten.select.int: _read_select}, _write_slice),
    Op(
        "diagonal",
        {aten.diagonal.default: _read_diagonal, aten.trace.default: _read_trace},
        _write_diagonal,
    ),
    Op("cat", {aten.cat.default: _read_cat}, _write_cat),
    Op(
        "sum",
        {t: _reduction("sum") for t in (aten.sum.default, aten.sum.dim_IntList)},
        _write_reduction(aten.sum.dim_IntList),
    ),
    Op(
        "mean",
        {t: _reduction("mean") for t in (aten.mean.default, aten.mean.dim)},
        _write_reduction(aten.mean.dim),
    ),
    Op("amax", {aten.amax.default: _reduction("amax")}, _write_reduction(aten.amax.default)),
    Op(
        "logsumexp",
        {aten.logsumexp.default: _reduction("logsumexp")},
        _write_reduction(aten.logsumexp.default),
    ),
    Op(
        "variance",
        {aten.var.correction: _read_variance, aten.var.dim: _read_variance},
        _write_variance,
    ),
    Op("standardize", {}, network.write_standardize),
    Op("rms_standardize", {}, network.write_rms_standardize),
    Op("layer_norm", {}, network.write_layer_norm),
    Op("batch_norm", {}, network.write_batch_norm),
    Op("batch_scale", {}, network.write_batch_scale),
    Op("softmax", {aten._softmax.default: _along_axis("softmax")}, _write_along_axis(aten._softmax.default)),
    Op(
        "log_softmax",
        {aten._log_softmax.default: _along_axis("log_softmax")},
        _write_along_axis(aten._log_softmax.default),
    ),
)


def _read_as_strided(reader: Reader, node: fx.Node) -> int | None:
    """As its operand, where each element stays where it is: at most the strides of single elements differ."""
    before, after = node.args[0].meta["val"], node.meta["val"]  # type: ignore[union-attr]
    if any(isinstance(size, torch.SymInt) for value in (before, after) for size in value.shape):
        return None
    seen = [
        [(size, step) for size, step in zip(value.shape, value.stride(), strict=True) if size != 1]
        for value in (before, after)
    ]
    if before.shape != after.shape or seen[0] != seen[1] or before.storage_offset() != after.storage_offset():
        return None
    return reader.tensor(node.args[0])


#: Operations whose result is their operand: only its place in memory may differ.
SAME_VALUE: dict[Any, ReadFunction] = dict.fromkeys(
    (
        aten.clone.default,
        aten.alias.default,
        aten.detach.default,
        aten.lift_fresh_copy.default,
        aten.contiguous.default,
    ),
    _same_value,
)

#: Reads one of several results, by the operation and the result's number: given the item and its source.
ITEM_READS: dict[tuple[Any, int], Callable[[Reader, fx.Node, fx.Node], int | None]] = {
    (aten.native_layer_norm.default, 0): network.read_layer_norm,
    (aten._native_batch_norm_legit_no_training.default, 0): network.read_batch_norm,
}
#: The same for operations all of whose used results are read so: none of them keeps the operation running.
SHARED_ITEM_READS: dict[tuple[Any, int], Callable[[Reader, fx.Node, fx.Node], int | None]] = {
    (aten.linalg_inv_ex.default, 0): systems.read_inverse,
    (aten.linalg_inv_ex.default, 1): systems.read_inverse_info,
    (aten._linalg_solve_ex.default, 0): systems.read_solution,
    (aten._linalg_solve_ex.default, 3): systems.read_solve_info,
    (aten.var_mean.correction, 0): _read_one_of_var_mean("variance"),
    (aten.var_mean.correction, 1): _read_one_of_var_mean("mean"),
}

READS: dict[Any, ReadFunction] = {
    **{target: read for op in TABLE for target, read in op.reads.items()},
    **SAME_VALUE,
    aten.as_strided.default: _read_as_strided,
}
WRITES: dict[str, WriteFunction] = {op.name: op.write for op in TABLE}
#: What is read by more than the types of its operands and its other arguments.
LOOKS_FURTHER = frozenset(
    {operator.getitem, aten.as_strided.default}
    | {target for op in TABLE if op.name == "select_rows" for target in op.reads}
)
