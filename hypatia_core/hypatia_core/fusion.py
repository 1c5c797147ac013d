"""What generated code can make of a graph, told from times of its nodes on the real inputs.

A compiler that fuses calls the same libraries as eager for products, attention and custom operations, lays
out images anew for convolutions, and makes few passes over memory of all the rest. So the time that its code
takes can be bounded before it is made, which takes seconds: what the libraries take, a part of what
convolutions take, a part of what the rest takes op by op. Once one graph was compiled, the last part is no
guess any more: it is what the compiler left of the rest there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core.node_times import node_seconds

#: Of the time that is fused, op by op, so much is left at best, as long as nothing was compiled: a guess …
FUSED = 0.2
#: … and of the time of convolutions, which another layout of images may save.
CONVOLVED = 0.5
#: What is left is learnt only where so much of a graph's time is fused.
LEAST_SHARE = 0.1
#: Runs of a graph whose nodes are timed.
RUNS = 2

#: Operations that compilers leave to libraries; with them all `linalg_*` and `_fft_*`.
_LIBRARY = frozenset(
    (
        *("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "addbmm", "addr"),
        *("linear", "matmul", "_int_mm", "_scaled_mm", "mkldnn_rnn_layer", "sort", "topk", "cumsum"),
        *("cumprod", "nonzero", "unique_dim", "_unique2", "cholesky", "triangular_solve", "histc"),
        *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable"),
        *("_scaled_dot_product_flash_attention_for_cpu_backward", "scaled_dot_product_attention"),
        *("_weight_int8pack_mm", "_weight_int4pack_mm_for_cpu", "_embedding_bag"),
    )
)
_CONVOLUTIONS = frozenset(("convolution", "convolution_backward", "_convolution"))


@dataclass(frozen=True)
class Left:
    """Which part of its time op by op generated code leaves of a share."""

    convolutions: float = CONVOLVED
    fused: float = FUSED


@dataclass(frozen=True)
class Shares:
    """Seconds of a graph that is run op by op, by what a compiler does with it."""

    #: Left to libraries.
    library: float
    #: Convolutions, which go to a library too, in a layout of the compiler's choice.
    convolutions: float
    #: Fused.
    fused: float
    #: How many nodes there are of each share …
    nodes: tuple[int, int, int] = (0, 0, 0)
    #: … and what each may cost, run by itself, beyond what it computes: the least that any node takes.
    price: float = 0.0

    @property
    def total(self) -> float:
        """All three."""
        return self.library + self.convolutions + self.fused

    def of(self, seconds: float | None) -> Shares:
        """The same shares of another total: that of flat code, where each node costs less than by itself.

        First each node costs the same less, up to the price of running it by itself; what is still too much
        is taken from all shares in proportion, and so is added what is too little, for each node was timed at
        its best. In proportion alone, a few long products would be told to take less because of many short
        nodes, and code that fuses these to win what nothing can.

        >>> Shares(8.0, 0.0, 4.0, nodes=(2, 0, 6), price=0.25).of(11.0)
        Shares(library=7.75, convolutions=0.0, fused=3.25, nodes=(2, 0, 6), price=0.125)
        >>> Shares(8.0, 0.0, 4.0).of(6.0).library
        4.0
        """
        if seconds is None or not seconds > 0 or not self.total > 0:
            return self
        price = min(self.price, max(0.0, self.total - seconds) / max(1, sum(self.nodes)))
        whole = (self.library, self.convolutions, self.fused)
        library, convolutions, fused = (
            max(0.0, share - price * count) for share, count in zip(whole, self.nodes, strict=True)
        )
        part = seconds / (library + convolutions + fused)
        return Shares(part * library, part * convolutions, part * fused, self.nodes, self.price - price)

    def with_convolutions(self, seconds: float) -> Shares:
        """The same where it is known what convolutions take in the layout that suits them best.

        >>> Shares(2.0, 1.0, 4.0).with_convolutions(0.75).predicted(Left(0.5, 0.25))
        3.75
        """
        library, convolutions, fused = self.nodes
        return replace(
            self,
            library=self.library + seconds,
            convolutions=0.0,
            nodes=(library + convolutions, 0, fused),
        )

    def predicted(self, left: Left) -> float:
        """Seconds of generated code that leaves these parts.

        >>> Shares(2.0, 1.0, 4.0).predicted(Left(0.5, 0.25))
        3.5
        """
        return self.library + left.convolutions * self.convolutions + left.fused * self.fused

    def learnt(self, seconds: float, known: Left) -> Left:
        """What generated code left that took so long: of what is fused first, then of convolutions.

        A share that is small tells nothing. No part is taken to be more than the whole, since libraries may
        have been slower too.

        >>> Shares(2.0, 0.0, 4.0).learnt(3.0, Left()).fused
        0.25
        >>> Shares(4.0, 0.0, 0.1).learnt(3.0, Left()) == Left()
        True
        """
        fused, convolutions = known.fused, known.convolutions
        rest = seconds - self.library
        if self.fused > LEAST_SHARE * self.total:
            fused = min(1.0, max(0.0, rest - convolutions * self.convolutions) / self.fused)
        if self.convolutions > LEAST_SHARE * self.total:
            convolutions = min(1.0, max(convolutions, (rest - fused * self.fused) / self.convolutions))
        return Left(convolutions, fused)


def shares(graph: GraphModule, inputs: Sequence[Any], computed_once: Collection[fx.Node] = ()) -> Shares:
    """What a graph's nodes take on these inputs.

    Args:
        graph: a functional ATen graph.
        inputs: what it takes.
        computed_once: nodes that no call computes: what depends on weights alone.
    """
    seconds = {"library": 0.0, "convolutions": 0.0, "fused": 0.0}
    nodes = dict.fromkeys(seconds, 0)
    timed = {n: s for n, s in node_seconds(graph, inputs, RUNS).items() if n not in computed_once}
    for node, spent in timed.items():
        seconds[share := _share(node)] += spent
        nodes[share] += 1
    library, convolutions, fused = nodes.values()
    return Shares(**seconds, nodes=(library, convolutions, fused), price=min(timed.values(), default=0.0))


def _share(node: fx.Node) -> str:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return "fused"  # what takes a result out of several, or reckons with sizes
    name = target.overloadpacket.__name__
    if name in _CONVOLUTIONS:
        return "convolutions"
    apart = name in _LIBRARY or name.startswith(("linalg_", "_linalg_", "_fft_"))
    return "library" if apart or target.namespace not in ("aten", "prims") else "fused"
