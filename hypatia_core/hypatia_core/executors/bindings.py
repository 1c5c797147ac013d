"""Torch's direct bindings, which a flat program calls in place of operations looked up in the registry.

A call of `torch.ops.aten.X.overload` converts its arguments by the schema at run time; the binding of the
same operation was generated for its argument types, and reaches the same kernel a microsecond sooner
(`benchmarks/overhead.py`). A row here says that both send the same overload with the same arguments to the
dispatcher. Operations that make a tensor out of nothing have no row: `torch.set_default_device` would change
what their bindings do.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from hypatia_core import (
    bilinear,
    channel_map,
    compat,
    inner_product,
    normal_product,
    packed_attention,
    packed_convolution,
    packed_linear,
    packed_recurrence,
    signed_sums,
)

aten = torch.ops.aten


@dataclass(frozen=True)
class Binding:
    """A builtin function or a method of tensors, positional arguments in the overload's order."""

    call: Callable[..., Any]
    #: Keywords of the overload that it takes too.
    keywords: frozenset[str] = frozenset()

    @property
    def method(self) -> str | None:
        """Its name where it is a method of the first argument."""
        return self.call.__name__ if isinstance(self.call, types.MethodDescriptorType) else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The operation's result."""
        return self.call(*args, **kwargs)


def _taking(call: Callable[..., Any], *keywords: str) -> Binding:
    return Binding(call, frozenset(keywords))


#: One row an overload.
BINDINGS: dict[Any, Binding] = {
    # Products.
    aten.mm.default: Binding(torch.mm),
    aten.bmm.default: Binding(torch.bmm),
    aten.mv.default: Binding(torch.mv),
    aten.dot.default: Binding(torch.dot),
    aten.addmm.default: _taking(torch.addmm, "beta", "alpha"),
    aten.baddbmm.default: _taking(torch.baddbmm, "beta", "alpha"),
    aten.convolution.default: Binding(torch.convolution),
    # Elementwise, of two operands.
    aten.add.Tensor: _taking(torch.add, "alpha"),
    aten.sub.Tensor: _taking(torch.sub, "alpha"),
    aten.mul.Tensor: Binding(torch.mul),
    aten.div.Tensor: Binding(torch.div),
    aten.pow.Tensor_Scalar: Binding(torch.pow),
    aten.pow.Tensor_Tensor: Binding(torch.pow),
    aten.maximum.default: Binding(torch.maximum),
    aten.minimum.default: Binding(torch.minimum),
    aten.eq.Tensor: Binding(torch.eq),
    aten.eq.Scalar: Binding(torch.eq),
    aten.ne.Tensor: Binding(torch.ne),
    aten.ne.Scalar: Binding(torch.ne),
    aten.lt.Tensor: Binding(torch.lt),
    aten.lt.Scalar: Binding(torch.lt),
    aten.le.Tensor: Binding(torch.le),
    aten.le.Scalar: Binding(torch.le),
    aten.gt.Tensor: Binding(torch.gt),
    aten.gt.Scalar: Binding(torch.gt),
    aten.ge.Tensor: Binding(torch.ge),
    aten.ge.Scalar: Binding(torch.ge),
    aten.where.self: Binding(torch.where),
    # Elementwise, of one.
    aten.relu.default: Binding(torch.relu),
    aten.sigmoid.default: Binding(torch.sigmoid),
    aten.tanh.default: Binding(torch.tanh),
    aten.gelu.default: _taking(functional.gelu, "approximate"),
    aten.exp.default: Binding(torch.exp),
    aten.expm1.default: Binding(torch.expm1),
    aten.log.default: Binding(torch.log),
    aten.log1p.default: Binding(torch.log1p),
    aten.sqrt.default: Binding(torch.sqrt),
    aten.rsqrt.default: Binding(torch.rsqrt),
    aten.reciprocal.default: Binding(torch.reciprocal),
    aten.neg.default: Binding(torch.neg),
    aten.abs.default: Binding(torch.abs),
    aten.sin.default: Binding(torch.sin),
    aten.cos.default: Binding(torch.cos),
    aten.erf.default: Binding(torch.erf),
    aten.clamp.default: Binding(torch.clamp),
    # The same over their operand.
    aten.add_.Tensor: _taking(torch.Tensor.add_, "alpha"),
    aten.sub_.Tensor: _taking(torch.Tensor.sub_, "alpha"),
    aten.mul_.Tensor: Binding(torch.Tensor.mul_),
    aten.div_.Tensor: Binding(torch.Tensor.div_),
    aten.relu_.default: Binding(torch.Tensor.relu_),
    aten.sigmoid_.default: Binding(torch.Tensor.sigmoid_),
    aten.tanh_.default: Binding(torch.Tensor.tanh_),
    aten.exp_.default: Binding(torch.Tensor.exp_),
    aten.neg_.default: Binding(torch.Tensor.neg_),
    aten.clamp_.default: Binding(torch.Tensor.clamp_),
    # Views.
    aten.view.default: Binding(torch.Tensor.view),
    aten.expand.default: Binding(torch.Tensor.expand),
    aten.t.default: Binding(torch.Tensor.t),
    aten.transpose.int: Binding(torch.Tensor.transpose),
    aten.permute.default: Binding(torch.Tensor.permute),
    aten.unsqueeze.default: Binding(torch.Tensor.unsqueeze),
    aten.squeeze.dim: Binding(torch.Tensor.squeeze),
    aten.select.int: Binding(torch.Tensor.select),
    # Reductions, normalization, gathering.
    aten.sum.default: _taking(torch.sum, "dtype"),
    aten.sum.dim_IntList: _taking(torch.sum, "dtype"),
    aten.mean.default: _taking(torch.mean, "dtype"),
    aten.mean.dim: _taking(torch.mean, "dtype"),
    aten.amax.default: Binding(torch.amax),
    aten.amin.default: Binding(torch.amin),
    aten.native_layer_norm.default: Binding(torch.native_layer_norm),
    aten.embedding.default: Binding(torch.embedding),
    aten.index_select.default: Binding(torch.index_select),
    aten.cat.default: Binding(torch.cat),
    aten.stack.default: Binding(torch.stack),
    aten.clone.default: _taking(torch.clone, "memory_format"),
}

BINDINGS |= {
    getattr(aten, name).default: Binding(call) for name, call in compat.activation_bindings().items()
}


#: What transposes a matrix.
_TRANSPOSES = {aten.t.default: (), aten.permute.default: ([1, 0],), aten.transpose.int: (0, 1)}


def join(graph: fx.Graph) -> None:
    """Makes `x Wᵀ + b`, of a matrix and a weight that is transposed for it alone, one call.

    `torch.nn.functional.linear` of a matrix sends the same two overloads to the dispatcher.

    >>> aten = torch.ops.aten
    >>> graph = fx.symbolic_trace(lambda x, w, b: aten.addmm.default(b, x, aten.t.default(w))).graph
    >>> for node in graph.nodes: node.meta["val"] = torch.ones(2) if node.name == "b" else torch.ones(2, 2)
    >>> join(graph)
    >>> [node.target.__name__ for node in graph.nodes if node.op == "call_function"]
    ['linear']
    """
    for node in list(graph.nodes):
        if node.target is aten.addmm.default and len(node.args) == 3 and not node.kwargs:
            bias, x, factor = node.args
            # A bias of another shape is broadcast by `addmm` and refused by some kernels of `linear`.
            if bias.meta["val"].dim() != 1 or node.meta["val"].dtype is not bias.meta["val"].dtype:
                continue
        elif node.target is aten.mm.default:
            (x, factor), bias = node.args, None
        else:
            continue
        turned = _TRANSPOSES.get(factor.target)
        alone = len(factor.users) == 1 and factor is not x and factor is not bias
        if turned is None or not alone or tuple(factor.args[1:]) != turned:
            continue
        if not all(isinstance(part.meta.get("val"), torch.Tensor) for part in (x, factor.args[0])):
            continue
        node.target, node.args = functional.linear, (x, factor.args[0], bias)
        graph.erase_node(factor)


#: Operations of our own, and what the dispatcher would call for them: no gradient is recorded here.
OWN: dict[Any, Callable[..., Any]] = {
    torch.ops.hypatia.bilinear.default: bilinear.on_rows,
    torch.ops.hypatia.weighted_bilinear.default: bilinear.weighted_on_rows,
    torch.ops.hypatia.bilinear_weight_gradient.default: bilinear.weight_gradient_on_rows,
    torch.ops.hypatia.rows_by_matrix.default: bilinear.many_rows_by_matrix,
    torch.ops.hypatia.rows_by_matrix_and_squares.default: bilinear.rows_and_squares,
    inner_product.INNER_PRODUCT: inner_product.of_vectors,
    normal_product.NORMAL_PRODUCT: normal_product.of_matrices,
    torch.ops.hypatia.channel_map.default: channel_map.mixed,
    torch.ops.hypatia.channel_map_weight_gradient.default: channel_map.weight_gradient,
    signed_sums.SIGNED_SUMS: signed_sums.summed,
    packed_linear.LINEAR_ON_PANELS: packed_linear.on_panels,
    packed_attention.ATTENTION: packed_attention.attention,
    packed_recurrence.RECURRENCE: packed_recurrence.recurrence,
    packed_convolution.PIXELS_ON_PANELS: packed_convolution.pixels_on_panels,
    packed_convolution.CONVOLUTION_ON_PANELS: packed_convolution.of_windows,
    packed_convolution.WINOGRAD_CONVOLUTION: packed_convolution.of_tiles,
    packed_convolution.DEPTHWISE_CONVOLUTION: packed_convolution.depthwise,
}


def bind(graph: fx.Graph) -> None:
    """Calls direct bindings wherever a node has one that takes its arguments; changes the graph.

    >>> graph = fx.symbolic_trace(lambda x: torch.ops.aten.relu.default(x)).graph
    >>> next(iter(graph.nodes)).meta["val"] = torch.ones(2)
    >>> bind(graph)
    >>> [node.target.__name__ for node in graph.nodes if node.op == "call_function"]
    ['relu']
    """
    for node in graph.nodes:
        if node.op == "call_function" and node.target in OWN:
            node.target = OWN[node.target]
            continue
        binding = BINDINGS.get(node.target) if node.op == "call_function" else None
        if binding is None or not node.args or not binding.keywords.issuperset(node.kwargs):
            continue
        # Only tensors have methods; a number in a tensor's place is the overload's to convert.
        first = node.args[0]
        if isinstance(first, fx.Node) and not isinstance(first.meta.get("val"), torch.Tensor):
            continue
        if not isinstance(first, (fx.Node, list, tuple)):
            continue
        if binding.method is None:
            node.target = binding.call
        else:
            node.op, node.target = "call_method", binding.method
