"""Results that are written over an operand which nobody reads any more."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from hypatia_core.packed_convolution import DEPTHWISE_CONVOLUTION, PIXELS_ON_PANELS
from hypatia_core.packed_linear import LINEAR_ON_PANELS
from hypatia_core.packed_recurrence import RECURRENCE

aten = torch.ops.aten

#: What writes its result over its first operand, in place of what makes a new tensor of it.
IN_PLACE: dict[Any, str] = {
    aten.add.Tensor: "add_",
    aten.sub.Tensor: "sub_",
    aten.mul.Tensor: "mul_",
    aten.div.Tensor: "div_",
    aten.relu.default: "relu_",
    aten.sigmoid.default: "sigmoid_",
    aten.tanh.default: "tanh_",
    aten.exp.default: "exp_",
    aten.sqrt.default: "sqrt_",
    aten.rsqrt.default: "rsqrt_",
    aten.neg.default: "neg_",
    aten.abs.default: "abs_",
    aten.clamp.default: "clamp_",
}
#: The same where tensors have no method of it.
IN_PLACE_CALLS: dict[Any, Any] = {
    aten.gelu.default: aten.gelu_.default,
    aten.silu.default: aten.silu_.default,
    aten.hardswish.default: aten.hardswish_.default,
    aten.hardtanh.default: aten.hardtanh_.default,
}
#: Of these either operand may be the one that is written over.
_COMMUTE = frozenset({aten.add.Tensor, aten.mul.Tensor})
#: Their result, or the first of their results, lies in memory that was theirs to take.
FRESH = frozenset(
    {
        *IN_PLACE,
        *IN_PLACE_CALLS,
        *(aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default),
        *(aten.convolution.default, aten.native_layer_norm.default, aten.embedding.default),
        *(aten.pow.Tensor_Scalar, aten.mean.dim, aten.sum.dim_IntList, aten.cat.default),
        *(aten.clone.default, aten._softmax.default, aten.amax.default),
        *(aten.log.default, aten.erf.default, aten.sin.default, aten.cos.default),
        *(LINEAR_ON_PANELS, PIXELS_ON_PANELS, DEPTHWISE_CONVOLUTION, RECURRENCE),
    }
)
#: Their kernels take new memory for each result.
_FRESH_NAMESPACES = ("mkl", "mkldnn")
_VIEWS = frozenset(
    {
        *(aten.view.default, aten._unsafe_view.default, aten.permute.default, aten.transpose.int),
        *(aten.t.default, aten.unsqueeze.default, aten.squeeze.dim, aten.reshape.default),
    }
)


def reuse(graph: fx.Graph) -> None:
    """Writes results over operands at their last use, wherever memory, type and strides stay the same.

    Bit by bit what it was: the same arithmetic, a tensor less to allocate and to bring into the caches. Only
    what the graph made for itself is written over, and only where no other node, and so no view, reads it
    later.

    >>> graph = fx.symbolic_trace(lambda x, y: aten.relu.default(aten.mm.default(x, y))).graph
    >>> for node in graph.nodes: node.meta["val"] = torch.ones(2, 2)
    >>> reuse(graph)
    >>> [node.target for node in graph.nodes if node.op == "call_method"]
    ['relu_']
    """
    seen: set[fx.Node] = set()
    for node in graph.nodes:
        seen.add(node)
        if node.op != "call_function" or node.target not in (*IN_PLACE, *IN_PLACE_CALLS):
            continue
        if _may_be_written(node.args[0], node, seen):
            pass
        elif (
            node.target in _COMMUTE
            and not node.kwargs
            and len(node.args) == 2
            and _may_be_written(node.args[1], node, seen)
        ):
            node.args = (node.args[1], node.args[0])
        else:
            continue
        if node.target in IN_PLACE:
            node.op, node.target = "call_method", IN_PLACE[node.target]
        else:
            node.target = IN_PLACE_CALLS[node.target]


def _may_be_written(operand: Any, result: fx.Node, seen: set[fx.Node]) -> bool:
    if not isinstance(operand, fx.Node):
        return False
    if not all(user in seen and _only_reads(user, operand) for user in operand.users if user is not result):
        return False
    if sum(1 for argument in result.args if argument is operand) != 1:
        return False
    if operand.meta.get("unsized") or result.meta.get("unsized"):
        return False  # read from a file that does not say: only the element types are true
    was, becomes = operand.meta.get("val"), result.meta.get("val")
    if not isinstance(was, torch.Tensor) or not isinstance(becomes, torch.Tensor):
        return False
    if was.dtype is not becomes.dtype or was.device != becomes.device:
        return False
    if not _same(was.shape, becomes.shape) or not _same(was.stride(), becomes.stride()):
        return False
    returned = any(user.op == "output" for user in result.users)
    return _is_fresh(operand, views=not returned)  # a caller must not get a view


def _is_fresh(node: fx.Node, views: bool) -> bool:
    """Whether a node's memory was made in the graph, for it alone; with `views` it may be a view of that."""
    while node.target in _VIEWS or _writes(node):
        is_view = node.target in _VIEWS
        node = node.all_input_nodes[0]
        if is_view and (not views or len(node.users) != 1):
            return False
    if node.target is operator.getitem:
        source, position = node.args
        assert isinstance(source, fx.Node)
        return bool(position == 0) and source.target is aten.native_layer_norm.default
    return _makes_new(node)


def _makes_new(node: fx.Node) -> bool:
    """Whether a node's one result lies in new memory."""
    if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace in _FRESH_NAMESPACES:
        return not node.target._schema.is_mutable
    return node.target in FRESH


def _only_reads(user: fx.Node, operand: fx.Node) -> bool:
    """Whether a node's results have nothing of the operand's memory."""
    if _writes(user):
        return user.args[0] is not operand
    return _makes_new(user) or user.target is aten.native_layer_norm.default


def _writes(node: fx.Node) -> bool:
    """Whether a node writes over its first operand already."""
    return node.target in (IN_PLACE if node.op == "call_method" else IN_PLACE_CALLS).values()


def _same(a: Any, b: Any) -> bool:
    """Whether sizes are known to be the same; symbols are, where they are one expression."""
    return len(a) == len(b) and all(
        x == y if type(x) is int and type(y) is int else str(x) == str(y) for x, y in zip(a, b, strict=True)
    )
