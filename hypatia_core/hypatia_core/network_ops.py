"""How attention, normalization and convolution are read from ATen and written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten


def _alike(node: fx.Node, *operands: Any) -> bool:
    """Whether all are tensors of the result's floating type."""
    result = node.meta["val"]
    return isinstance(result, torch.Tensor) and all(
        isinstance(o, fx.Node)
        and isinstance(o.meta.get("val"), torch.Tensor)
        and o.meta["val"].dtype == result.dtype
        and o.meta["val"].device == result.device
        and result.dtype.is_floating_point
        for o in operands
    )


def read_layer_norm(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The first result of `native_layer_norm`, along the last axis alone."""
    x, shape, gain, bias, epsilon = source.args
    parts = [p for p in (gain, bias) if p is not None]
    if len(shape) != 1 or not _alike(node, x, *parts) or len(parts) == 1:  # type: ignore[arg-type]
        return None
    operands = [reader.tensor(p) for p in (x, *parts)]
    attributes = [{"float": repr(float(epsilon))}]  # type: ignore[arg-type]
    return reader.known("layer_norm" if parts else "standardize", operands, attributes, node)


def read_batch_norm(reader: Reader, node: fx.Node, source: fx.Node) -> int | None:
    """The first result of batch normalization with statistics that stay as they are."""
    x, gain, bias, mean, variance, _, epsilon = source.args
    parts = (x, gain, bias, mean, variance)
    if not _alike(node, *parts):
        return None
    attributes = [{"float": repr(float(epsilon))}]  # type: ignore[arg-type]
    return reader.known("batch_norm", [reader.tensor(p) for p in parts], attributes, node)


def read_convolution(reader: Reader, node: fx.Node) -> int | None:
    """A convolution that is not transposed, of known spatial extents."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = node.args
    parts = (x, weight) if bias is None else (bias, x, weight)
    if transposed or not _alike(node, *parts):
        return None
    value, filters = x.meta["val"], weight.meta["val"]  # type: ignore[union-attr]
    lists: list[Any] = [stride, padding, dilation]
    spatial = value.dim() - 2
    sizes = [*value.shape[1:], *filters.shape, *(n for numbers in lists for n in numbers)]
    if spatial < 1 or not all(isinstance(size, int) and size >= 0 for size in sizes):
        return None
    spread: list[Any] = [list(n) * spatial if len(n) == 1 else list(n) for n in lists]
    attributes: list[Any] = [*({"axes": n} for n in spread), {"int": groups}]
    operands = [reader.tensor(p) for p in parts]
    return reader.known("convolution" if bias is None else "biased_convolution", operands, attributes, node)


def write_convolution(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Without a bias."""
    x, weight = map(writer.node, operands)
    return _written(writer, x, weight, None, attributes)


def write_biased_convolution(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """The bias stands first."""
    bias, x, weight = map(writer.node, operands)
    return _written(writer, x, weight, bias, attributes)


def _written(writer: Writer, x: Any, weight: Any, bias: Any, attributes: list[Any]) -> Any:
    stride, padding, dilation, groups = attributes
    still = [0] * len(stride)
    return writer.call(
        aten.convolution.default, x, weight, bias, stride, padding, dilation, False, still, groups
    )


def write_attention(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Queries, transposed keys, values."""
    return _attention(writer, None, operands, attributes[0])


def write_masked_attention(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """The summand of the scores stands first."""
    return _attention(writer, writer.node(operands[0]), operands[1:], attributes[0])


def write_boolean_attention(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """What says which scores count stands first.

    torch gives zeros to a row of which no score counts; by the softmax of the original it is not a number.
    """
    mask = writer.node(operands[0])
    result = _attention(writer, mask, operands[1:], attributes[0])
    if mask.meta["val"].dim() == 0:
        mask = writer.call(aten.unsqueeze.default, mask, 0)
    counted = writer.call(aten.any.dim, mask, -1, True)
    none = writer.call(aten.logical_not.default, counted)
    return writer.call(aten.masked_fill.Scalar, result, none, float("nan"))


def write_causal_attention(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Each query sees the keys up to its own place."""
    return _attention(writer, None, operands, attributes[0], causal=True)


def _attention(writer: Writer, mask: Any, operands: list[Any], scale: float, causal: bool = False) -> Any:
    q, k, v = map(writer.node, operands)
    k = writer.call(aten.transpose.int, k, -2, -1)
    while mask is not None and mask.meta["val"].dim() in (0, 1):
        mask = writer.call(aten.unsqueeze.default, mask, 0)
    rank = max(n.meta["val"].dim() for n in (q, k, v))
    added = max(4 - rank, 0)  # the kernel wants batch and heads
    for _ in range(added):
        q, k, v = (writer.call(aten.unsqueeze.default, n, n.meta["val"].dim() - 2) for n in (q, k, v))
        if mask is not None and mask.meta["val"].dim() > 2:
            mask = writer.call(aten.unsqueeze.default, mask, mask.meta["val"].dim() - 2)
    result = writer.call(aten.scaled_dot_product_attention.default, q, k, v, mask, 0.0, causal, scale=scale)
    for _ in range(added):
        result = writer.call(aten.squeeze.dim, result, result.meta["val"].dim() - 3)
    return result


def write_standardize(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Layer normalization without gain and bias."""
    return _layer_norm(writer, writer.node(operands[0]), None, None, attributes[0])


def write_rms_standardize(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Rows over the root of their mean square; the norm is taken without holding the squares."""
    x = writer.node(operands[0])
    width = x.meta["val"].shape[-1]
    if isinstance(width, int) and x.meta["val"].dtype in (torch.float32, torch.float64):
        norm = writer.call(aten.linalg_vector_norm.default, x, 2, [-1], True)
        square = writer.call(aten.div.Tensor, writer.call(aten.mul.Tensor, norm, norm), width)
    else:  # the square of a norm overflows long before the mean of squares
        square = writer.call(aten.mean.dim, writer.call(aten.mul.Tensor, x, x), [-1], True)
    moved = writer.call(aten.add.Tensor, square, attributes[0])
    return writer.call(aten.mul.Tensor, x, writer.call(aten.rsqrt.default, moved))


def write_layer_norm(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """With both."""
    x, gain, bias = map(writer.node, operands)
    return _layer_norm(writer, x, gain, bias, attributes[0])


def _layer_norm(writer: Writer, x: Any, gain: Any, bias: Any, epsilon: float) -> Any:
    width = [x.meta["val"].shape[-1]]
    return writer.first(aten.native_layer_norm.default, x, width, gain, bias, epsilon)


def write_batch_norm(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """With the statistics given."""
    parts = map(writer.node, operands)
    return writer.first(aten._native_batch_norm_legit_no_training.default, *parts, 0.1, attributes[0])


def write_batch_scale(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """w / √(v + ε)."""
    gain, variance = map(writer.node, operands)
    moved = writer.call(aten.add.Tensor, variance, attributes[0])
    return writer.call(aten.mul.Tensor, gain, writer.call(aten.rsqrt.default, moved))
