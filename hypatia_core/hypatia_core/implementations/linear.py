"""Products with a weight, and the activation that follows: y = act(x Wᵀ + b)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat, packed_linear
from hypatia_core.activation import Activation, activation, post_operation
from hypatia_core.implementations.base import (
    KERNELS,
    Emitter,
    Implementation,
    WeightedUnit,
    has_kernels,
    on_cpu_in_float32,
    only_user,
    rewritable,
)

aten = torch.ops.aten

_TRANSPOSES = {aten.permute.default: ([1, 0], (1, 0)), aten.t.default: None}
#: Of rows that a product has just made, all of these are views.
_VIEWS = (aten.view.default, aten._unsafe_view.default, aten.reshape.default)


@dataclass(frozen=True)
class Linear(WeightedUnit):
    """A product of a matrix with a weight (n, k), a bias and an activation."""

    #: Whether the weight is stored as (k, n).
    stored_transposed: bool
    activation: Activation | None = None
    #: The shape that the rows have when the activation follows; None where they stay rows.
    shape: tuple[int, ...] | None = None
    covered: tuple[fx.Node, ...] = ()
    operation: str = "linear"

    @property
    def rows(self) -> Any:
        """m, which may be symbolic."""
        return self.x.meta["val"].shape[0]

    @property
    def key(self) -> tuple[Any, ...]:
        """Sizes and how the weight lies."""
        value, weight = self.x.meta["val"], self.weight.meta["val"]
        return (
            self.operation,
            *(compat.hint(size) for size in (*value.shape, *value.stride(), *weight.shape, *weight.stride())),
            self.bias is not None,
            self.stored_transposed,
            None if self.activation is None else post_operation(self.activation)[::2],
        )

    def rows_of_weight(self, emitter: Emitter) -> fx.Node:
        """The weight as (n, k), contiguous."""
        if not self.stored_transposed:
            if self.weight.meta["val"].is_contiguous():
                return self.weight
            return emitter.call(aten.clone.default, self.weight, memory_format=torch.contiguous_format)
        turned = emitter.call(aten.permute.default, self.weight, [1, 0])
        return emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)


def linear(node: fx.Node, weights: set[fx.Node], taken: set[fx.Node]) -> Linear | None:
    """The product with a weight that a node is, if it is one."""
    if node.target is aten.mm.default:
        (x, factor), bias = node.args, None
    elif node.target is aten.addmm.default and not node.kwargs:
        bias, x, factor = node.args[:3]
    else:
        return None
    if not isinstance(factor, fx.Node) or not isinstance(x, fx.Node) or factor not in weights or x in weights:
        return None
    if bias is not None and (
        bias not in weights or bias.meta["val"].shape != (factor.meta["val"].shape[1],)  # type: ignore[union-attr]
    ):
        return None
    if not on_cpu_in_float32(x, factor, bias):  # type: ignore[arg-type]
        return None
    turned = factor.target in _TRANSPOSES and _turns(factor)
    weight = factor.args[0] if turned else factor
    assert isinstance(weight, fx.Node)
    unit = Linear(node, x, weight, bias, not turned, covered=(node,))  # type: ignore[arg-type]
    return _with_activation(unit, taken)


def products_of_rows(graph: GraphModule, weights: set[fx.Node]) -> GraphModule | None:
    """The graph with each product of a batch of matrices with one weight as that of all their rows; or None.

    So torch runs it too; here it becomes an operation that implementations take. The graph stays as it is.
    """
    if not any(_is_batched(node, weights) for node in graph.graph.nodes):
        return None
    written, constant, emitter = rewritable(graph, weights)
    for node in list(written.graph.nodes):
        if _is_batched(node, constant):
            x, weight = node.args
            *batch, rows, _ = node.meta["val"].shape
            with written.graph.inserting_before(node):
                if weight.meta["val"].dim() == 3:
                    weight = emitter.call(aten.select.int, weight, 0, 0)
                flat = emitter.call(aten.reshape.default, x, [-1, weight.meta["val"].shape[0]])
                product = emitter.call(aten.mm.default, flat, weight)
                shaped = emitter.call(aten.reshape.default, product, [*batch, rows, -1])
            node.replace_all_uses_with(shaped)
            written.graph.erase_node(node)
    return written


def _is_batched(node: fx.Node, weights: set[fx.Node]) -> bool:
    if node.target not in (aten.matmul.default, aten.bmm.default):
        return False
    x, factor = node.args
    if not isinstance(x, fx.Node) or not isinstance(factor, fx.Node) or factor not in weights or x in weights:
        return False
    sizes = (*x.meta["val"].shape, *factor.meta["val"].shape)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return False
    if node.target is aten.bmm.default:
        # One matrix, once or repeated: so torch takes a product apart whose rows do not lie together.
        stack = factor.meta["val"]
        return bool(stack.shape[0] == 1 or stack.stride(0) == 0)
    return bool(x.meta["val"].dim() > 2 and factor.meta["val"].dim() == 2)


def _with_activation(unit: Linear, taken: set[fx.Node]) -> Linear:
    """With the activation that follows, at once or on the rows in another shape."""
    covered, shape = list(unit.covered), None
    following = only_user(unit.node)
    if following is not None and following.target in _VIEWS:
        sizes = following.meta["val"].shape
        if not all(isinstance(size, int) for size in sizes):
            return unit
        covered.append(following)
        shape = tuple(sizes)
        following = only_user(following)
    fused = None if following is None else activation(following)
    if fused is None or following is None or taken.intersection((*covered, following)):
        return unit
    return replace(unit, node=following, activation=fused, shape=shape, covered=(*covered, following))


def _turns(node: fx.Node) -> bool:
    accepted = _TRANSPOSES[node.target]  # type: ignore[index]
    return accepted is None or tuple(node.args[1]) == (1, 0)  # type: ignore[arg-type]


def _fixed_rows(unit: Linear) -> bool:
    return isinstance(unit.rows, int) and unit.rows > 0


def _activated(emitter: Emitter, unit: Linear, rows: fx.Node) -> fx.Node:
    """The product's rows in the shape of the whole, with the activation by operations of its own."""
    if unit.shape is not None:
        rows = emitter.call(aten.view.default, rows, list(unit.shape))
    if unit.activation is None:
        return rows
    return unit.activation.by_logistic(emitter, rows)


def _mkl_packed(emitter: Emitter, unit: Linear) -> fx.Node:
    weight = unit.rows_of_weight(emitter)
    packed = emitter.pack(KERNELS["_mkl_reorder_linear_weight"], weight, unit.rows)
    rows = emitter.call(KERNELS["_mkl_linear"], unit.x, packed, weight, unit.bias, unit.rows)
    return _activated(emitter, unit, rows)


def _onednn_packed(emitter: Emitter, unit: Linear) -> fx.Node:
    weight = unit.rows_of_weight(emitter)
    packed = emitter.pack(KERNELS["_reorder_linear_weight"], weight, compat.hint(unit.rows))
    rows = emitter.call(KERNELS["_linear_pointwise"], unit.x, packed, unit.bias, "none", [], "")
    return _activated(emitter, unit, rows)


def _as_convolution(emitter: Emitter, unit: Linear) -> fx.Node:
    """The rows as pixels of an image, channels last: oneDNN's convolutions tile better than its products."""
    rows, channels = unit.x.meta["val"].shape
    x = unit.x
    if not x.meta["val"].is_contiguous():
        x = emitter.call(aten.clone.default, x, memory_format=torch.contiguous_format)
    pixels = emitter.call(aten.view.default, x, [1, 1, rows, channels])
    image = emitter.call(aten.permute.default, pixels, [0, 3, 1, 2])
    filters = emitter.call(aten.view.default, unit.rows_of_weight(emitter), [-1, channels, 1, 1])
    geometry = ([0, 0], [1, 1], [1, 1], 1)
    packed = emitter.pack(
        *(KERNELS["_reorder_convolution_weight"], filters, *geometry, [1, channels, 1, rows])
    )
    mixed = emitter.call(
        *(KERNELS["_convolution_pointwise"], image, packed, unit.bias, *geometry),
        *post_operation(unit.activation),
    )
    last = emitter.call(aten.permute.default, mixed, [0, 2, 3, 1])
    return emitter.call(aten.view.default, last, list(unit.shape or (rows, -1)))


def _on_panels(emitter: Emitter, unit: Linear) -> fx.Node:
    panels = emitter.call(packed_linear.PANELS_OF_WEIGHT, unit.rows_of_weight(emitter))
    columns = unit.node.meta["val"].shape[-1]
    name, numbers, algorithm = post_operation(unit.activation)
    known = (name, algorithm) in packed_linear.ACTIVATIONS
    applied = (name, numbers, algorithm) if known else ("none", [], "")
    call = (packed_linear.LINEAR_ON_PANELS, unit.x, panels, unit.bias, None, columns, *applied)
    return _activated(emitter, replace(unit, activation=None) if known else unit, emitter.call(*call))


def _columns_in_order(emitter: Emitter, unit: Linear) -> fx.Node:
    turned = emitter.call(aten.permute.default, unit.weight, [1, 0])
    columns = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    return _product(emitter, replace(unit, weight=columns, stored_transposed=True))


def _as_torch_does(emitter: Emitter, unit: Linear) -> fx.Node:
    if unit.activation is None:
        return _product(emitter, unit)
    return unit.activation.after(emitter, _product(emitter, replace(unit, activation=None)))


def _product(emitter: Emitter, unit: Linear) -> fx.Node:
    factor = unit.weight
    if not unit.stored_transposed:
        factor = emitter.call(aten.permute.default, unit.weight, [1, 0])
    if unit.bias is None:
        rows = emitter.call(aten.mm.default, unit.x, factor)
    else:
        rows = emitter.call(aten.addmm.default, unit.bias, unit.x, factor)
    return _activated(emitter, unit, rows)


def _has_logistic_form(unit: Linear) -> bool:
    return unit.activation is not None and unit.activation.has_logistic_form


def _as_convolution_then_logistic(emitter: Emitter, unit: Linear) -> fx.Node:
    assert unit.activation is not None
    return unit.activation.by_logistic(emitter, _as_convolution(emitter, replace(unit, activation=None)))


def _in_bfloat16(emitter: Emitter, unit: Linear) -> fx.Node:
    def narrow(node: fx.Node) -> fx.Node:
        return emitter.call(aten._to_copy.default, node, dtype=torch.bfloat16)

    columns = emitter.call(aten.permute.default, narrow(unit.rows_of_weight(emitter)), [1, 0])
    if unit.bias is None:
        rows = emitter.call(aten.mm.default, narrow(unit.x), columns)
    else:
        rows = emitter.call(aten.addmm.default, narrow(unit.bias), narrow(unit.x), columns)
    return _activated(emitter, unit, emitter.call(aten._to_copy.default, rows, dtype=torch.float32))


IMPLEMENTATIONS: list[Implementation] = [
    Implementation("torch", "linear", lambda unit: True, _as_torch_does),
    Implementation(
        "MKL, packed weight",
        "linear",
        lambda unit: _fixed_rows(unit) and has_kernels("_mkl_linear", "_mkl_reorder_linear_weight"),
        _mkl_packed,
    ),
    Implementation(
        "oneDNN, packed weight",
        "linear",
        lambda unit: has_kernels("_linear_pointwise", "_reorder_linear_weight"),
        _onednn_packed,
    ),
    Implementation(
        "oneDNN convolution, packed weight, fused",
        "linear",
        lambda unit: (
            _fixed_rows(unit) and has_kernels("_convolution_pointwise", "_reorder_convolution_weight")
        ),
        _as_convolution,
    ),
    Implementation(
        "oneDNN convolution, packed weight, gelu by the logistic function",
        "linear",
        lambda unit: (
            _has_logistic_form(unit)
            and _fixed_rows(unit)
            and has_kernels("_convolution_pointwise", "_reorder_convolution_weight")
        ),
        _as_convolution_then_logistic,
    ),
    Implementation(
        "own kernel, weight in panels, fused", "linear", lambda unit: True, _on_panels, is_step=True
    ),
    Implementation("gelu by the logistic function", "linear", _has_logistic_form, _product),
    Implementation("product in bfloat16", "linear", lambda unit: True, _in_bfloat16, precision="bfloat16"),
    Implementation(
        "weight stored as columns",
        "linear",
        lambda unit: not unit.stored_transposed,
        _columns_in_order,
    ),
]
