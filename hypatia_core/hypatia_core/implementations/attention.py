"""Attention: softmax(q kᵀ·scale + mask) v."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from hypatia_core import compat, packed_attention
from hypatia_core.implementations.base import Emitter, Implementation, on_cpu_in_float32

aten = torch.ops.aten

_WHOLE = aten.scaled_dot_product_attention.default
#: What the whole becomes where it is taken apart for the processor; its second result is for gradients.
_IN_PARTS = aten._scaled_dot_product_flash_attention_for_cpu.default


@dataclass(frozen=True)
class Attention:
    """An attention whose heads are as many in queries, keys and values."""

    node: fx.Node
    q: fx.Node
    k: fx.Node
    v: fx.Node
    mask: fx.Node | None
    causal: bool
    scale: float | None
    target: Any
    covered: tuple[fx.Node, ...]
    operation: str = "attention"

    @property
    def activations(self) -> tuple[fx.Node, ...]:
        """Queries, keys, values, and the mask where there is one."""
        return (self.q, self.k, self.v) if self.mask is None else (self.q, self.k, self.v, self.mask)

    @property
    def weights(self) -> tuple[fx.Node | None, ...]:
        """None."""
        return ()

    def on(self, activations: list[fx.Node], weights: list[fx.Node | None]) -> Attention:
        """The same on other nodes."""
        q, k, v, *mask = activations
        return replace(self, q=q, k=k, v=v, mask=mask[0] if mask else None)

    @property
    def key(self) -> tuple[Any, ...]:
        """Shapes, how they lie, and what is masked."""
        values = [node.meta["val"] for node in self.activations]
        sizes = (compat.hint(n) for value in values for n in (*value.shape, *value.stride()))
        return (self.operation, *sizes, self.mask is not None, self.causal, self.scale is not None)


def attention(node: fx.Node, weights: set[fx.Node], taken: set[fx.Node]) -> Attention | None:
    """The attention that a node is, if it is one."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    if node.target is _IN_PARTS:
        names = ("query", "key", "value", "dropout_p", "is_causal", "attn_mask")
    elif node.target is not _WHOLE:
        return None
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    q, k, v, mask = (given.get(name) for name in ("query", "key", "value", "attn_mask"))
    if given.get("dropout_p") or given.get("enable_gqa"):
        return None
    nodes = [x for x in (q, k, v, mask) if isinstance(x, fx.Node)]
    if len(nodes) != 3 + (mask is not None) or not on_cpu_in_float32(*nodes):
        return None
    if not _are_heads(*nodes[:3]) or any(node.meta["val"].dim() not in (2, 4) for node in nodes[3:]):
        return None
    last, covered = node, [node]
    if node.target is _IN_PARTS:
        results = {user.args[1]: user for user in node.users if user.target is operator.getitem}
        if len(results) != len(node.users) or any(i != 0 and user.users for i, user in results.items()):
            return None
        if 0 not in results:
            return None
        last, covered = results[0], [node, *results.values()]
    causal, scale = bool(given.get("is_causal")), given.get("scale")
    return Attention(last, q, k, v, mask, causal, scale, node.target, tuple(covered))  # type: ignore[arg-type]


def _are_heads(*nodes: fx.Node) -> bool:
    q, k, v = (tuple(node.meta["val"].shape) for node in nodes)
    return (
        len(q) == 4
        and all(isinstance(size, int) and size > 0 for shape in (q, k, v) for size in shape)
        and k == v
        and (q[0], q[1], q[3]) == (k[0], k[1], k[3])
    )


def _as_torch_does(emitter: Emitter, unit: Attention) -> fx.Node:
    if unit.target is _WHOLE:
        call = (unit.target, unit.q, unit.k, unit.v, unit.mask, 0.0, unit.causal)
        return emitter.call(*call, scale=unit.scale)
    taken = (unit.q, unit.k, unit.v, 0.0, unit.causal)
    both = emitter.call(unit.target, *taken, attn_mask=unit.mask, scale=unit.scale)
    return emitter.call(operator.getitem, both, 0)


def _own(emitter: Emitter, unit: Attention) -> fx.Node:
    scale = 1 / math.sqrt(unit.q.meta["val"].shape[3]) if unit.scale is None else unit.scale
    call = (packed_attention.ATTENTION, unit.q, unit.k, unit.v, unit.mask, unit.causal, scale)
    return emitter.call(*call)


IMPLEMENTATIONS: list[Implementation] = [
    Implementation("torch", "attention", lambda unit: True, _as_torch_does),
    Implementation("own kernel, heads in panels", "attention", lambda unit: True, _own, is_step=True),
]
