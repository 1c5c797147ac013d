"""Gathers from the last axis by indices that are constants: `weight[:, paths]`, `gates[..., grade]`.

Layers over algebras have a weight for each grade, and spread it to the blades by a tensor of whole numbers
that a module keeps. Where those are known, weights of our operations are numbered as they were before they
were spread, their gradients are summed where they are made, and what is left is written with the indices as
constants of the graph, so that programs of our own kernels read places of a row by number. What rests on
the values of indices is guarded as tables are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import bilinear, channel_map, compat
from hypatia_core.contractions import RESHAPES, is_symbolic
from hypatia_core.implementations.base import Emitter
from hypatia_core.native.places import is_zero
from hypatia_core.written_graph import copied

aten, hypatia = torch.ops.aten, torch.ops.hypatia

#: What a constant of the graph that this module writes is called.
PREFIX = "_hypatia_constant"
#: Constants of so many elements at most are computed while the graph is compiled.
LARGEST_CONSTANT = 2**10


@dataclass(frozen=True)
class Gather:
    """Elements of the last axis of a tensor, by indices of any shape."""

    source: fx.Node
    #: Places along that axis, one after the other, and the shape of the indices.
    places: list[int]
    shape: tuple[int, ...]
    #: The input that the indices are.
    indices: fx.Node


def _weighted(text: str, places: list[int], weights: int) -> str:
    """A bilinear map's table whose weight n is weight places[n] of so many."""
    table = bilinear.parsed(text)
    terms = tuple(term._replace(w=places[term.w]) for term in table.terms)
    return table._replace(weights=weights, terms=terms).text()


def _mixing(text: str, places: list[int], weights: int) -> str:
    """The same of a channel map."""
    table = channel_map.parsed(text)
    terms = tuple((places[a], j, i, c) for a, j, i, c in table.terms)
    return table._replace(weights=weights, terms=terms).text()


#: Which operand of an operation are weights along their last axis, and how its text is numbered anew.
WEIGHTS: dict[Any, tuple[int, Callable[[str, list[int], int], str]]] = {
    hypatia.weighted_bilinear.default: (2, _weighted),
    hypatia.channel_map.default: (1, _mixing),
}
#: Of what results are such weights' gradients.
GRADIENTS: dict[Any, Callable[[str, list[int], int], str]] = {
    hypatia.bilinear_weight_gradient.default: _weighted,
    hypatia.channel_map_weight_gradient.default: _mixing,
}


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


class _Pass:
    """One graph, rewritten in place."""

    def __init__(self, graph: GraphModule, known: Mapping[int, torch.Tensor]) -> None:
        self.module = graph
        self.graph = graph.graph
        inputs = self.graph.find_nodes(op="placeholder")
        self.positions = {node: n for n, node in enumerate(inputs)}
        self.known = {node: known[n] for node, n in self.positions.items() if n in known}
        fakes = [node.meta.get("val") for node in inputs]
        self.emitter = Emitter(self.graph, compat.fake_mode([value for value in fakes if value is not None]))
        self.used: set[int] = set()
        self.held: dict[fx.Node, fx.Node] = {}

    def run(self) -> None:
        for node in list(self.graph.nodes):
            if node.op != "call_function":
                continue
            if node.target in WEIGHTS:
                self._weights(node)
            elif node.target is aten.index_put.default:
                self._gradient(node)
        for node in list(self.graph.nodes):
            if node.op == "call_function" and node.users:
                self._hold(node)
        self.graph.eliminate_dead_code()

    def gather(self, node: fx.Node) -> Gather | None:
        """What a node takes from a last axis by known indices; None if not."""
        if node.target is not aten.index.Tensor:
            return None
        source, given = node.args
        return self._gather(source, given)

    def _gather(self, source: Any, given: Any) -> Gather | None:
        *before, indices = given
        rank = len(_shape(source))
        if indices not in self.known or len(given) != rank or any(one is not None for one in before):
            return None
        extent, shape = _shape(source)[-1], tuple(self.known[indices].shape)
        with compat.without_fake_mode():
            places = self.known[indices].flatten().tolist()
        if any(not -extent <= place < extent for place in places):
            return None
        return Gather(source, [place % extent for place in places], shape, indices)

    def _weights(self, node: fx.Node) -> None:
        """Numbers weights as they were before they were spread."""
        position, renumbered = WEIGHTS[node.target]
        weight, text = node.args[position], node.args[-1]
        assert isinstance(weight, fx.Node) and isinstance(text, str)
        base = weight
        while base.target in (*RESHAPES, aten.permute.default):
            base = base.all_input_nodes[0]
        found = self.gather(base)
        if found is None:
            return
        chain = _below(weight, base, found.shape)
        if chain is None or _shape(weight)[-1] != len(found.places):
            return
        extent = _shape(found.source)[-1]
        with self.graph.inserting_before(node):
            args = list(node.args)
            args[position] = self._again(found.source, chain[:-1], extent)
            args[-1] = renumbered(text, found.places, extent)
            self._replace(node, self.emitter.call(node.target, *args))
        self._use(found)

    def _gradient(self, node: fx.Node) -> None:
        """Sums gradients of weights that were spread where they are made."""
        zero, given, values, accumulate = (*node.args, False)[:4]
        found = self._gather(zero, given) if accumulate is True and is_zero(zero) else None
        if found is None or not isinstance(values, fx.Node):
            return
        made, trailing = values, found.shape
        while made.target in (*RESHAPES, aten.permute.default):
            made = made.all_input_nodes[0]
        if made.target not in GRADIENTS or _shape(made)[-1] != len(found.places):
            return
        chain = _below(values, made, trailing)
        whole = _shape(values) == (*_shape(node)[:-1], *trailing)
        if chain is None or not whole or any(len(one.users) != 1 for one in chain):
            return
        extent, text = _shape(node)[-1], made.args[-1]
        assert isinstance(text, str)
        args = (*made.args[:-1], GRADIENTS[made.target](text, found.places, extent))
        with self.graph.inserting_before(node):
            value = self._again(self.emitter.call(made.target, *args), chain[:-1], extent, len(trailing))
            if value.meta["val"].stride() == node.meta["val"].stride():
                self._replace(node, value)
                self._use(found)

    def _again(self, value: fx.Node, chain: Sequence[fx.Node], extent: int, first: int = 1) -> fx.Node:
        """The same views of a tensor whose last axis has another extent; the first's axis may be several."""
        for n, view in reversed(list(enumerate(chain))):
            if view.target is aten.permute.default:
                value = self.emitter.call(aten.permute.default, value, view.args[1])
                continue
            shape = (*_shape(view)[: -first if n == 0 else -1], extent)
            if shape != _shape(value):
                value = self.emitter.call(aten.reshape.default, value, list(shape))
        return value

    def _hold(self, node: fx.Node) -> None:
        """Writes constants into the graph: indices of one axis, and what is computed of constants alone."""
        if node.target is aten.index.Tensor or node.target is aten.index_put.default:
            found = self._gather(node.args[0], node.args[1])
            if found is not None and len(found.shape) == 1:
                given = [None] * (len(_shape(found.source)) - 1)
                with self.graph.inserting_before(node):
                    indices = self._constant(self.known[found.indices], found.indices)
                node.update_arg(1, [*given, indices])
                self._use(found)
            return
        operands = node.all_input_nodes
        if not operands or not all(one.op == "get_attr" for one in operands) or not _is_computed(node):
            return
        with compat.without_fake_mode(), torch.no_grad():
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._value)
            value = node.target(*args, **kwargs)  # type: ignore[operator]
        with self.graph.inserting_before(node):
            self._replace(node, self._constant(value, node))

    def _value(self, node: fx.Node) -> Any:
        return getattr(self.module, str(node.target))

    def _constant(self, value: torch.Tensor, key: fx.Node) -> fx.Node:
        if key not in self.held:
            name = f"{PREFIX}{sum(str(one).startswith(PREFIX) for one in dir(self.module))}"
            with compat.without_fake_mode():
                value = value.contiguous()
                setattr(self.module, name, value)
            first = next(node for node in self.graph.nodes if node.op != "placeholder")
            with self.graph.inserting_before(first):
                node = self.graph.create_node("get_attr", name)
            node.meta["val"] = self.emitter.mode.from_tensor(value, static_shapes=True)
            self.held[key] = node
        return self.held[key]

    def _replace(self, node: fx.Node, value: fx.Node) -> None:
        node.replace_all_uses_with(value)
        self.graph.erase_node(node)

    def _use(self, found: Gather) -> None:
        self.used.add(self.positions[found.indices])


def _is_computed(node: fx.Node) -> bool:
    """Whether a node's value may be computed of constants while the graph is compiled."""
    value, target = node.meta.get("val"), node.target
    return (
        isinstance(value, torch.Tensor)
        and isinstance(target, torch._ops.OpOverload)
        and target.namespace == "aten"
        and not target._schema.is_mutable
        and torch.Tag.nondeterministic_seeded not in target.tags
        and value.device.type == "cpu"
        and value.numel() <= LARGEST_CONSTANT
    )


def _below(node: fx.Node, base: fx.Node, trailing: tuple[int, ...]) -> list[fx.Node] | None:
    """From a node down to another that it is views of, which keep what stands along the last axis.

    At either end the axis may be several, `trailing`; None where a view does anything else.
    """
    chain, extent = [node], math.prod(trailing)
    while (here := chain[-1]) is not base:
        (source,) = here.all_input_nodes
        shape = _shape(here)
        if here.target is aten.permute.default:
            order: Any = here.args[1]
            if shape[-1] != extent or order[-1] % len(shape) != len(shape) - 1:
                return None
        chain.append(source)
    if any(_shape(one)[-1] != extent for one in chain[1:-1]):
        return None
    ends = (_shape(one) for one in (node, base))
    return chain if all(s[-1] == extent or s[-len(trailing) :] == trailing for s in ends) else None


def with_constant_indices(
    graph: GraphModule, known: Mapping[int, torch.Tensor]
) -> tuple[GraphModule, set[int]] | None:
    """The graph with gathers by known indices as above, and which inputs it takes for known; None for none.

    Args:
        graph: a functional ATen graph; it stays as it is.
        known: inputs that may be indices, by position, with their values.
    """
    inputs = graph.graph.find_nodes(op="placeholder")
    if not known or any(is_symbolic(node.meta.get("val")) for node in inputs):
        return None
    given = {node for n, node in enumerate(inputs) if n in known}
    targets = (aten.index.Tensor, aten.index_put.default)
    if not any(user.target in targets for node in given for user in node.users):
        return None
    module = compat.graph_module(graph, copied(graph.graph))
    one = _Pass(module, known)
    one.run()
    if not one.used:
        return None
    module.graph.lint()
    module.recompile()
    return module, one.used
