"""Activations that a kernel may apply to its result before it writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """A function of one element, and the name and numbers that oneDNN knows it by."""

    target: Any
    arguments: tuple[Any, ...]
    name: str
    scalars: tuple[float, ...] = ()
    algorithm: str = ""


def activation(node: fx.Node) -> Activation | None:
    """The activation that a node is, if it is one that can be fused."""
    rest = tuple(node.args[1:])
    if node.kwargs and node.target is not aten.gelu.default:
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
        case aten.hardtanh.default:
            low, high = rest if len(rest) == 2 else (*rest, *(-1.0, 1.0)[len(rest) :])
            return Activation(node.target, (low, high), "hardtanh", (low, high))  # type: ignore[arg-type]
        case aten.gelu.default if not node.kwargs:
            return Activation(node.target, rest, "gelu", (), "none")
    return None


def post_operation(fused: Activation | None) -> tuple[str, list[float], str]:
    """Name, numbers and algorithm as oneDNN's kernels take them."""
    return ("none", [], "") if fused is None else (fused.name, list(fused.scalars), fused.algorithm)
