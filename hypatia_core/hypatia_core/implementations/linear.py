"""Products with a weight: y = x Wᵀ + b."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from hypatia_core import compat
from hypatia_core.implementations.base import Emitter, Implementation, on_cpu_in_float32

aten = torch.ops.aten

_TRANSPOSES = {aten.permute.default: ([1, 0], (1, 0)), aten.t.default: None}


@dataclass(frozen=True)
class Linear:
    """A product of a matrix with a weight (n, k), and a bias; the weight may be stored as (k, n)."""

    node: fx.Node
    x: fx.Node
    weight: fx.Node
    bias: fx.Node | None
    #: Whether the weight is stored as (k, n).
    stored_transposed: bool
    operation: str = "linear"

    @property
    def activations(self) -> tuple[fx.Node, ...]:
        """The matrix."""
        return (self.x,)

    @property
    def weights(self) -> tuple[fx.Node | None, ...]:
        """The weight and the bias."""
        return (self.weight, self.bias)

    @property
    def covered(self) -> tuple[fx.Node, ...]:
        """The product alone."""
        return (self.node,)

    def on(self, activations: list[fx.Node], weights: list[fx.Node | None]) -> Linear:
        """The same on other nodes."""
        weight, bias = weights
        assert weight is not None
        return replace(self, x=activations[0], weight=weight, bias=bias)

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
    return Linear(node, x, weight, bias, not turned)  # type: ignore[arg-type]


def _turns(node: fx.Node) -> bool:
    accepted = _TRANSPOSES[node.target]  # type: ignore[index]
    return accepted is None or tuple(node.args[1]) == (1, 0)  # type: ignore[arg-type]


_KERNELS = compat.packed_kernels()


def _fixed_rows(unit: Linear) -> bool:
    return isinstance(unit.rows, int) and unit.rows > 0


def _mkl_packed(emitter: Emitter, unit: Linear) -> fx.Node:
    weight = unit.rows_of_weight(emitter)
    packed = emitter.pack(_KERNELS["_mkl_reorder_linear_weight"], weight, unit.rows)
    return emitter.call(_KERNELS["_mkl_linear"], unit.x, packed, weight, unit.bias, unit.rows)


def _onednn_packed(emitter: Emitter, unit: Linear) -> fx.Node:
    weight = unit.rows_of_weight(emitter)
    packed = emitter.pack(_KERNELS["_reorder_linear_weight"], weight, compat.hint(unit.rows))
    return emitter.call(_KERNELS["_linear_pointwise"], unit.x, packed, unit.bias, "none", [], "")


def _columns_in_order(emitter: Emitter, unit: Linear) -> fx.Node:
    turned = emitter.call(aten.permute.default, unit.weight, [1, 0])
    columns = emitter.call(aten.clone.default, turned, memory_format=torch.contiguous_format)
    return _as_torch_does(emitter, replace(unit, weight=columns, stored_transposed=True))


def _as_torch_does(emitter: Emitter, unit: Linear) -> fx.Node:
    factor = unit.weight
    if not unit.stored_transposed:
        factor = emitter.call(aten.permute.default, unit.weight, [1, 0])
    if unit.bias is None:
        return emitter.call(aten.mm.default, unit.x, factor)
    return emitter.call(aten.addmm.default, unit.bias, unit.x, factor)


def _has(*names: str) -> bool:
    return all(name in _KERNELS for name in names)


IMPLEMENTATIONS = [
    Implementation("torch", "linear", lambda unit: True, _as_torch_does),
    Implementation(
        "MKL, packed weight",
        "linear",
        lambda unit: _fixed_rows(unit) and _has("_mkl_linear", "_mkl_reorder_linear_weight"),
        _mkl_packed,
    ),
    Implementation(
        "oneDNN, packed weight",
        "linear",
        lambda unit: _has("_linear_pointwise", "_reorder_linear_weight"),
        _onednn_packed,
    ),
    Implementation(
        "weight stored as columns",
        "linear",
        lambda unit: not unit.stored_transposed,
        _columns_in_order,
    ),
]
