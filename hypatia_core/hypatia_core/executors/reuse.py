"""Results that go into the memory of an operand that dies with them, where that is safe.

A functional graph makes a new tensor at each operation. Where an elementwise operation is the last one to
take a value, and nobody has another view of that tensor, it may as well be overwritten: no memory to ask for,
half of it to touch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from hypatia_core import compat

aten = torch.ops.aten

#: In place of an elementwise operation: one that overwrites its first operand.
IN_PLACE: dict[Any, Any] = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.div.Tensor: aten.div_.Tensor,
    aten.relu.default: aten.relu_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.exp.default: aten.exp_.default,
    aten.neg.default: aten.neg_.default,
    aten.silu.default: aten.silu_.default,
    aten.hardtanh.default: aten.hardtanh_.default,
    aten.hardswish.default: aten.hardswish_.default,
    aten.clamp.default: aten.clamp_.default,
}

_OVERWRITING = frozenset(IN_PLACE.values())

#: Of which the operands may change places.
_SYMMETRIC = frozenset({aten.add.Tensor, aten.mul.Tensor})

#: Operations whose result is new memory of which nobody else knows.
FRESH = frozenset(
    {
        *IN_PLACE,
        *(aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default),
        *(aten.convolution.default, aten.gelu.default, aten.rsqrt.default, aten.pow.Tensor_Scalar),
        *(aten.sqrt.default, aten.log.default, aten.erf.default, aten.sin.default, aten.cos.default),
        *(aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.clone.default),
        *(
            call
            for name, call in compat.packed_kernels().items()
            if name.startswith(("_mkl_linear", "_linear_pointwise", "_convolution_pointwise"))
            and not call._schema.is_mutable
        ),
    }
)


def reuse(graph: fx.Graph) -> None:
    """Lets operations overwrite an operand that no other needs; changes the graph.

    >>> graph = fx.symbolic_trace(lambda x: torch.ops.aten.relu.default(torch.ops.aten.exp.default(x))).graph
    >>> for node in graph.nodes:
    ...     node.meta["val"] = torch.ones(2)
    >>> reuse(graph)
    >>> [str(node.target) for node in graph.nodes if node.op == "call_function"]
    ['aten.exp.default', 'aten.relu_.default']
    """
    fresh: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    for node in graph.nodes:
        seen.add(node)
        if node.op != "call_function":
            continue
        if node.target in FRESH:
            fresh.add(node)
        if node.target not in IN_PLACE:
            continue
        operand = next((a for a in _operands(node) if a in fresh and _may_hold(a, node, seen)), None)
        if operand is None:
            continue
        if operand is not node.args[0]:
            node.args = (operand, node.args[0])
        node.target = IN_PLACE[node.target]


def _operands(node: fx.Node) -> tuple[Any, ...]:
    """The operands that the operation may overwrite, the first one preferred."""
    if node.target in _SYMMETRIC and not node.kwargs and len(node.args) == 2:
        return tuple(a for a in node.args if isinstance(a, fx.Node))
    return (node.args[0],) if node.args and isinstance(node.args[0], fx.Node) else ()


def _may_hold(operand: fx.Node, node: fx.Node, seen: set[fx.Node]) -> bool:
    """Whether the operand's memory can take the result, and nobody reads it from here on."""
    others = [user for user in operand.users if user is not node]
    if not all(user in seen and _only_reads(user, operand) for user in others):
        return False
    if sum(a is operand for a in node.args) != 1:
        return False
    if operand.meta.get("unsized") or node.meta.get("unsized"):
        return False  # read from a file that does not say: only the element types are true
    old, new = operand.meta.get("val"), node.meta.get("val")
    return (
        isinstance(old, torch.Tensor)
        and isinstance(new, torch.Tensor)
        and all(type(n) is int for value in (old, new) for n in (*value.shape, *value.stride()))
        and (old.dtype, old.device, old.shape, old.stride())
        == (new.dtype, new.device, new.shape, new.stride())
    )


def _only_reads(user: fx.Node, operand: fx.Node) -> bool:
    """Whether a call's result has nothing of the operand's memory."""
    if user.target in _OVERWRITING:
        return user.args[0] is not operand
    return user.target in FRESH or user.target is aten.native_layer_norm.default
