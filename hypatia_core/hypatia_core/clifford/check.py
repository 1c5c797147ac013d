"""Refusing wrong values where values are known."""

from __future__ import annotations

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError


def are_known(values: Tensor) -> bool:
    """Whether the elements can be read: not in a compiled graph, under `vmap` or a fake mode."""
    if torch.compiler.is_compiling():
        return False
    try:
        bool(values.any())
    except RuntimeError:
        return False
    return True


def refuse_if(wrong: Tensor, message: str) -> None:
    """Raises where any is wrong. In a compiled graph or `vmap` no value is known: there the result is NaN.

    Raises:
        HypatiaError: With the message.
    """
    if are_known(wrong) and bool(wrong.any()):
        raise HypatiaError(message)
