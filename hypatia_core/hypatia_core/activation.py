"""Activations that a kernel may apply to its result before it writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import fx

aten = torch.ops.aten

#: Where an operation has no bound, or none that is given.
_FREE = (-math.inf, math.inf)


class Emitter(Protocol):
    """What writes nodes."""

    def call(self, target: Any, /, *args: Any, **kwargs: Any) -> fx.Node:
        """A node that calls this overload."""


@dataclass(frozen=True)
class Activation:
    """A function of one element, and the name and numbers that oneDNN knows it by."""

    target: Any
    arguments: tuple[Any, ...]
    name: str
    scalars: tuple[float, ...] = ()
    algorithm: str = ""
    keywords: tuple[tuple[str, Any], ...] = ()

    def after(self, emitter: Emitter, node: fx.Node) -> fx.Node:
        """The function as an operation of its own, as torch has it."""
        return emitter.call(self.target, node, *self.arguments, **dict(self.keywords))

    @property
    def has_logistic_form(self) -> bool:
        """Whether it is the gelu by tanh."""
        return (self.name, self.algorithm) == ("gelu", "tanh")

    def by_logistic(self, emitter: Emitter, node: fx.Node) -> fx.Node:
        """The gelu by tanh as x·σ(2u), u = √(2/π)(x + 0.044715x³), since (1 + tanh u)/2 = σ(2u).

        Vectorised logistic functions take a fraction of the time of the hyperbolic tangent. Other activations
        are as torch has them.
        """
        if not self.has_logistic_form:
            return self.after(emitter, node)
        scale = 2 * math.sqrt(2 / math.pi)
        square = emitter.call(aten.mul.Tensor, node, node)
        cubic = emitter.call(aten.mul.Tensor, square, 0.044715 * scale)
        even = emitter.call(aten.add.Tensor, cubic, scale)
        part = emitter.call(aten.sigmoid.default, emitter.call(aten.mul.Tensor, even, node))
        return emitter.call(aten.mul.Tensor, part, node)


def activation(node: fx.Node) -> Activation | None:
    """The activation that a node is, if it is one that can be fused."""
    rest = tuple(node.args[1:])
    if node.kwargs and (node.target is not aten.gelu.default or set(node.kwargs) != {"approximate"}):
        return None
    match node.target:
        case aten.relu.default:
            return Activation(node.target, rest, "relu")
        case aten.sigmoid.default:
            return Activation(node.target, rest, "sigmoid")
        case aten.tanh.default:
            return Activation(node.target, rest, "tanh")
        case aten.silu.default:
            return Activation(node.target, rest, "swish")
        case aten.hardswish.default:
            return Activation(node.target, rest, "hardswish")
        case aten.hardtanh.default | aten.clamp.default | aten.clamp_min.default | aten.clamp_max.default:
            bounds = bounds_of(node)
            if bounds is None:
                return None
            if bounds == (0, math.inf):
                return Activation(node.target, rest, "relu")
            return Activation(node.target, rest, "hardtanh", bounds)
        case aten.gelu.default:
            algorithm = str(node.kwargs.get("approximate", "none"))
            return Activation(node.target, rest, "gelu", (), algorithm, tuple(node.kwargs.items()))
    return None


def bounds_of(node: fx.Node) -> tuple[float, float] | None:
    """What a clamp or hardtanh keeps values between, infinite where there is nothing; None for tensors."""
    given = list(node.args[1:])
    if node.target is aten.clamp_max.default:
        given = [None, *given]
    without = (-1.0, 1.0) if node.target is aten.hardtanh.default else _FREE
    found = [without[i] if i >= len(given) else _FREE[i] if given[i] is None else given[i] for i in (0, 1)]
    low, high = found
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return None
    return float(low), float(high)


def post_operation(fused: Activation | None) -> tuple[str, list[float], str]:
    """Name, numbers and algorithm as oneDNN's kernels take them."""
    return ("none", [], "") if fused is None else (fused.name, list(fused.scalars), fused.algorithm)
