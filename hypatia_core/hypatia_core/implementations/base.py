"""What an implementation is: one way to run an operation, beside the one that torch would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.written_graph import copied

_Weighted = TypeVar("_Weighted", bound="WeightedUnit")

#: Kernels over packed weights that torch has here, by name.
KERNELS = compat.packed_kernels()


def has_kernels(*names: str) -> bool:
    """Whether torch has all of these kernels here."""
    return all(name in KERNELS for name in names)


class Unit(Protocol):
    """An operation that may be run in several ways: nodes of a graph, and what its time depends on."""

    @property
    def operation(self) -> str:
        """The operation's name, as implementations claim it."""

    @property
    def node(self) -> fx.Node:
        """The node whose value it makes."""

    @property
    def activations(self) -> tuple[fx.Node, ...]:
        """The nodes that it takes anew on each call."""

    @property
    def weights(self) -> tuple[fx.Node | None, ...]:
        """The nodes that it takes of what depends on weights alone."""

    @property
    def covered(self) -> tuple[fx.Node, ...]:
        """The nodes that it stands for, its own among them; the others have no further use."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What its time depends on: shapes, element type, parameters."""

    def on(self, activations: list[fx.Node], weights: list[fx.Node | None]) -> Unit:
        """The same operation on other nodes, in another graph."""


@dataclass(frozen=True)
class WeightedUnit:
    """What operations of one activation, a weight and a bias share."""

    node: fx.Node
    x: fx.Node
    weight: fx.Node
    bias: fx.Node | None

    @property
    def activations(self) -> tuple[fx.Node, ...]:
        """What meets the weight."""
        return (self.x,)

    @property
    def weights(self) -> tuple[fx.Node | None, ...]:
        """The weight and the bias."""
        return (self.weight, self.bias)

    def on(self: _Weighted, activations: list[fx.Node], weights: list[fx.Node | None]) -> _Weighted:
        """The same on other nodes."""
        weight, bias = weights
        assert weight is not None
        return replace(self, x=activations[0], weight=weight, bias=bias)


@dataclass
class Emitter:
    """Adds calls to a graph, each with the fake value that it will have."""

    graph: fx.Graph
    mode: Any

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Adds a call and computes its fake value."""
        node = self.graph.call_function(target, args, kwargs)
        fake_args, fake_kwargs = fx.node.map_arg((args, kwargs), lambda n: n.meta["val"])
        with self.mode:
            node.meta["val"] = target(*fake_args, **fake_kwargs)
        return node

    def call_like(self, value: fx.Node, target: Any, *args: Any) -> fx.Node:
        """Adds a call that torch has no fake form of, and whose value is of the type of another."""
        node = self.graph.call_function(target, args)
        node.meta["val"] = value.meta["val"]
        return node

    def pack(self, target: Any, weight: fx.Node, *args: Any) -> fx.Node:
        """Adds a call that packs a weight; its fake value is the weight's: torch has none for packed ones."""
        node = self.graph.call_function(target, (weight, *args))
        node.meta.update(val=weight.meta["val"], packed=True)
        return node


def rewritable(graph: GraphModule, weights: set[fx.Node]) -> tuple[GraphModule, set[fx.Node], Emitter]:
    """A copy of a graph to be changed, its nodes that depend on weights alone, and what adds calls to it."""
    written = compat.graph_module(graph, copied(graph.graph))
    known = {node.name for node in weights}
    constant = {node for node in written.graph.nodes if node.name in known}
    values = [n.meta.get("val") for n in written.graph.nodes if n.op == "placeholder"]
    return written, constant, Emitter(written.graph, compat.fake_mode(values))


@dataclass(frozen=True)
class Implementation:
    """One way to run an operation.

    A row of the table of implementations; with `write` it is all that there is to add.
    """

    #: By which the report and the profile call it.
    name: str
    #: The operation that it runs.
    operation: str
    #: Whether it can run this one here.
    takes: Callable[[Any], bool]
    #: Adds it to a graph and gives the node of its value.
    write: Callable[[Emitter, Any], fx.Node]
    #: What it computes in.
    precision: str = "float32"
    #: Whether programs of our own kernels have it as a step.
    is_step: bool = False
    #: Whether it is the same of the reals alone: what is no number goes where it would not.
    reals: bool = False
    #: A packed copy may take so many times the memory of its weights; some libraries pad without measure.
    memory: float = 2.0

    @property
    def as_step(self) -> str:
        """What its time as a step of a program is called."""
        return f"{self.name}, as a step"

    @property
    def timed(self) -> tuple[str, ...]:
        """What its times are called: by itself and, where programs have it, as a step of one."""
        return (self.name, self.as_step) if self.is_step else (self.name,)


def is_packed(node: fx.Node) -> bool:
    """Whether a node's value is a weight in a library's own layout, which no other operation can read."""
    return bool(node.meta.get("packed"))


def on_cpu_in_float32(*nodes: fx.Node | None) -> bool:
    """Whether all are dense float32 tensors in the processor's memory."""
    values = [node.meta.get("val") for node in nodes if node is not None]
    return all(
        isinstance(v, torch.Tensor)
        and v.dtype is torch.float32
        and v.device.type == "cpu"
        and v.layout is torch.strided
        for v in values
    )


def only_user(node: fx.Node) -> fx.Node | None:
    """The one node that takes this node's value, where there is just one."""
    return next(iter(node.users)) if len(node.users) == 1 else None
