"""A joint graph, forward and backward together, divided into its two halves.

Torch's partitioners divide; what they may keep between the halves is decided here. A half may keep no input
and no output that the original does not keep, since the caller may write to it before the backward runs, and
no more bytes than a stated multiple of what the original keeps.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from hypatia_core import compat
from hypatia_core.sizes import Unsupported
from hypatia_core.weights import ancestors, mutates

#: What is alive between the halves (inputs apart from weights, outputs, what is kept) may take so many times
#: the bytes that it takes in the original: the same part as the engine grants an island.
MEMORY_FACTOR = 1.25
#: … and this part of the weights' bytes more, so that a vector may be kept where the original keeps nothing.
WEIGHTS_PART = 0.01

aten = torch.ops.aten


@dataclass(frozen=True)
class Split:
    """The two halves of a joint graph.

    The forward returns the outputs, then what is kept: tensors, then sizes. The backward takes the kept
    sizes, the kept tensors, and the gradients that come in.
    """

    forward: GraphModule
    backward: GraphModule
    #: How many of the forward's results are outputs.
    outputs: int

    @property
    def kept(self) -> list[fx.Node]:
        """The nodes of the forward whose values are kept for the backward."""
        return returned(self.forward)[self.outputs :]

    @property
    def kept_tensors(self) -> list[fx.Node]:
        """Those that are tensors."""
        return [node for node in self.kept if not _is_size(node)]

    @property
    def kept_sizes(self) -> list[fx.Node]:
        """Those that are sizes; they come last."""
        return [node for node in self.kept if _is_size(node)]

    def kept_inputs(self) -> dict[int, int]:
        """The kept tensors that are inputs: their place among the kept, and the input's position."""
        positions = {node: i for i, node in enumerate(inputs_of(self.forward))}
        return {place: positions[node] for place, node in enumerate(self.kept_tensors) if node in positions}

    def bases_kept(self) -> tuple[set[str], set[int]]:
        """The inputs whose memory is kept, by name, and the outputs, by position."""
        bases = {_owner(node) for node in self.kept_tensors}
        results = returned(self.forward)[: self.outputs]
        return (
            {node.name for node in bases if node.op == "placeholder"},
            {i for i, node in enumerate(results) if isinstance(node, fx.Node) and _owner(node) in bases},
        )

    def bytes_kept(self) -> int:
        """The bytes that are kept besides inputs."""
        bases = {_owner(node) for node in self.kept_tensors}
        return sum(_bytes(node) for node in bases if node.op != "placeholder")

    def bytes_between(self, weights: frozenset[int]) -> int:
        """The bytes that are alive between the halves, weights apart."""
        results = [node for node in returned(self.forward) if isinstance(node, fx.Node)]
        given = [node for i, node in enumerate(inputs_of(self.forward)) if i not in weights]
        owned = {node.name for node in inputs_of(self.forward)} - {node.name for node in given}
        alive = {_owner(node) for node in [*given, *results] if not _is_size(node)}
        return sum(_bytes(node) for node in alive if node.name not in owned)


def inputs_of(graph: GraphModule) -> list[fx.Node]:
    """A graph's inputs, in order."""
    return list(graph.graph.find_nodes(op="placeholder"))


def returned(graph: GraphModule) -> list[Any]:
    """What a graph returns, in order."""
    (output,) = graph.graph.find_nodes(op="output")
    results: list[Any] = pytree.arg_tree_leaves(*output.args)
    return results


def _owner(node: fx.Node) -> fx.Node:
    """The node whose memory a value lies in, by the aliasing that operations declare."""
    while node.op == "call_function":
        source = node.all_input_nodes[0] if node.all_input_nodes else node
        target = source.target if node.target is operator.getitem else node.target
        if not isinstance(target, torch._ops.OpOverload):
            return node
        if not any(r.alias_info is not None and not r.alias_info.is_write for r in target._schema.returns):
            return node
        node = source
    return node


def _readers(node: fx.Node) -> set[fx.Node]:
    """What reads a value or a view of it; views of it, which read nothing, are left out."""
    readers: set[fx.Node] = set()
    for user in node.users:
        if user.op == "call_function" and _owner(user) is not user:
            readers |= _readers(user)
        elif user.op != "output":
            readers.add(user)
    return readers


def _is_size(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (torch.SymInt, int))


def _bytes(node: fx.Node) -> int:
    total = 0
    for value in pytree.tree_leaves(node.meta.get("val")):
        if isinstance(value, torch.Tensor):
            size = value.element_size()
            for extent in value.shape:
                size *= compat.hint(extent)
            total += size
    return total


def copied(graph: GraphModule) -> GraphModule:
    """A copy whose nodes may be changed, taking its inputs one by one and returning one flat tuple."""
    owned = GraphModule(graph, copy.deepcopy(graph.graph))
    owned.graph.set_codegen(fx.graph.CodeGen())
    (output,) = owned.graph.find_nodes(op="output")
    output.args = (tuple(pytree.arg_tree_leaves(*output.args)),)
    owned.recompile()
    return owned


def _draws(graph: GraphModule) -> int:
    return sum(map(compat.draws, graph.graph.nodes))


class Divider:
    """Divides programs that stand for one joint graph, each so that it may serve in the original's place."""

    def __init__(self, joint: GraphModule, inputs: Any, outputs: int, weights: Sequence[int]) -> None:
        """`joint` is left as it is; `outputs` are the forward's, `weights` positions of inputs.

        Raises:
            Unsupported: nothing may stand in the original's place.
        """
        self._inputs = inputs
        self.outputs = outputs
        self.weights = frozenset(weights)
        self.changed = {node.name for node in compat.mutated_inputs(joint)}
        self.original = self._split(compat.default_partition, copied(joint))
        if any(not isinstance(node, fx.Node) for node in self.original.kept):
            raise Unsupported("the forward keeps what is no tensor")
        if _draws(self.original.backward):
            raise Unsupported("the backward draws random numbers")
        self._inputs_kept, self._outputs_kept = self.original.bases_kept()
        self._inputs_kept -= self.changed
        self._bytes = self.original.bytes_between(self.weights)
        given = inputs_of(self.original.forward)
        self._weights_bytes = sum(_bytes(given[i]) for i in self.weights)

    def _split(self, partition: Callable[..., Any], joint: GraphModule) -> Split:
        forward, backward = partition(joint, self._inputs, self.outputs, sorted(self.weights))
        return Split(forward, backward, self.outputs)

    def divided(self, joint: GraphModule, recompute: bool) -> Split:
        """The halves of a program that computes what the original does.

        Args:
            joint: the program; it is left as it is.
            recompute: whether what is cheap is rather computed again than kept; where the preferred way will
                not do, the other one is taken.

        Raises:
            Unsupported: neither will do; the message says why.
        """
        reasons = []
        tried = [(partition, copies) for copies in (False, True) for partition in self._ways(recompute)]
        for partition, copies in tried:
            try:
                split = self._split(partition, self._prepared(joint, copies))
                self._check(split)
            except Unsupported as reason:
                reasons.append(str(reason))
            except (AssertionError, RuntimeError, ValueError, KeyError) as error:
                # Torch's partitioners say by any of these that there is no division.
                lines = str(error).strip().splitlines()
                reasons.append(f"torch finds no division ({lines[0] if lines else type(error).__name__})")
            else:
                return split
        raise Unsupported("; ".join(dict.fromkeys(reasons)))

    @staticmethod
    def _ways(recompute: bool) -> Iterator[Callable[..., Any]]:
        ways = [compat.default_partition, compat.min_cut_partition]
        yield from reversed(ways) if recompute else ways

    def _prepared(self, joint: GraphModule, copies: bool) -> GraphModule:
        """A copy in which what belongs to the forward comes first and what must not be kept is marked.

        With copies, inputs that the backward would need and may not keep are copied.
        """
        owned = copied(joint)
        graph = owned.graph
        for node in graph.nodes:
            if node.op == "call_function" and mutates(node):
                raise Unsupported("a copy in strides with gaps is made by a write")
        self._keep_from_being_overwritten(owned, copies)
        results = [node for node in returned(owned)[: self.outputs] if isinstance(node, fx.Node)]
        first = ancestors([*results, *filter(compat.draws, graph.nodes)])
        if any(compat.is_tangent(node) for node in first):
            raise Unsupported("an output would wait for the backward")
        self._put_first(graph, first)
        for node in inputs_of(owned):
            is_tensor = isinstance(node.meta.get("val"), torch.Tensor) and not compat.is_tangent(node)
            if is_tensor and node.name not in self._inputs_kept:
                compat.must_not_be_kept(node)
        for i, node in enumerate(returned(owned)[: self.outputs]):
            if isinstance(node, fx.Node) and i not in self._outputs_kept:
                for one in {node, _owner(node)}:
                    if one.op == "call_function":
                        compat.must_not_be_kept(one)
        owned.recompile()
        return owned

    def _keep_from_being_overwritten(self, joint: GraphModule, copies: bool) -> None:
        """Uses copies of inputs that are written to after the forward, as torch's own capture does."""
        given = inputs_of(joint)
        results = [node for node in returned(joint)[: self.outputs] if isinstance(node, fx.Node)]
        forward = ancestors(results) if copies else set()
        for node in given:
            users = [user for user in node.users if user.op != "output"]
            readers = _readers(node)
            between = any(user in forward for user in readers) and any(
                user not in forward for user in readers
            )
            unkept = between and node.name not in self._inputs_kept and not compat.is_tangent(node)
            overwritten = node.name in self.changed or unkept
            if overwritten and users and isinstance(node.meta.get("val"), torch.Tensor):
                with joint.graph.inserting_after(given[-1]):
                    clone = joint.graph.call_function(aten.clone.default, (node,))
                clone.meta["val"] = aten.clone.default(node.meta["val"])
                for user in users:
                    user.replace_input_with(node, clone)

    @staticmethod
    def _put_first(graph: fx.Graph, first: set[fx.Node]) -> None:
        """Moves the forward's nodes before the others, the order among each kept."""
        nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        (output,) = graph.find_nodes(op="output")
        for node in [n for n in nodes if n in first] + [n for n in nodes if n not in first]:
            compat.belongs_to(node, node not in first)
            output.prepend(node)
        graph.lint()

    def _check(self, split: Split) -> None:
        if any(not isinstance(node, fx.Node) for node in split.kept):
            raise Unsupported("the forward would keep what is no tensor")
        inputs, outputs = split.bases_kept()
        if inputs - self._inputs_kept:
            raise Unsupported(f"the input {min(inputs - self._inputs_kept)} would have to be kept")
        if outputs - self._outputs_kept:
            raise Unsupported(f"output {min(outputs - self._outputs_kept)} would have to be kept")
        if _draws(split.forward) != _draws(self.original.forward) or _draws(split.backward):
            raise Unsupported("random numbers would be drawn elsewhere")
        between = split.bytes_between(self.weights)
        if between > MEMORY_FACTOR * self._bytes + WEIGHTS_PART * self._weights_bytes:
            raise Unsupported(
                f"{between / 1e6:.1f} MB would be alive between forward and backward, "
                f"more than {MEMORY_FACTOR} times the original's {self._bytes / 1e6:.1f}"
            )
