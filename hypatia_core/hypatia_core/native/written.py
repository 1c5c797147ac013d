"""What a program is once it is written, and what keeps a node out of one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from hypatia_core.native.views import Sizes


class UnlowerableError(Exception):
    """A node that has to stay outside after all."""

    def __init__(self, node: fx.Node, reason: str) -> None:
        super().__init__(f"{node.name}: {reason}")
        self.node = node


@dataclass(frozen=True)
class Result:
    """A tensor that a call makes."""

    sizes: Sizes
    strides: Sizes
    dtype: torch.dtype


@dataclass
class Written:
    """A program as text, and what it takes and gives."""

    text: str
    #: Nodes whose tensors it takes, in order.
    arguments: list[fx.Node]
    #: Nodes that it gives, and the tensors that have to be there for them.
    nodes: list[fx.Node]
    results: list[Result]
    steps: int
