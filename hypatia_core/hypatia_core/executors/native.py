"""Runs what our own machine knows of a graph as programs, and the rest op by op.

A program is a list of steps over memory that is planned once: row programs into which operations of elements
and reductions are fused, and kernels. It is interpreted, block by block, so that making one takes no compiler
and milliseconds, and no step has any Python before it.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import _hypatia_core, compat, native
from hypatia_core.executors.aten import flatten
from hypatia_core.executors.base import Executor, Runnable

#: What is told of operations that stay outside: so many names.
NAMED = 8


class Native(Executor):
    """Programs of our own kernels, with no Python between them."""

    name = "native"
    packs = True
    prefers_own = True

    def __init__(self, make: Callable[[str], Any] | None = None) -> None:
        """`make` makes what runs a program's text; None for the machine."""
        self._make = make

    def claims(self, graph: GraphModule) -> bool:
        """Graphs of which it knows a part worth a call."""
        return bool(native.divided(graph.graph).segments)

    def refusal(self, graph: GraphModule) -> str | None:
        """It takes functional graphs of known sizes, of which it knows a part worth a call."""
        nodes = graph.graph.nodes
        if any(isinstance(node.meta.get("val"), torch.SymInt) for node in nodes):
            return "sizes are symbols"
        if any(isinstance(n.target, torch._ops.OpOverload) and n.target._schema.is_mutable for n in nodes):
            return "the graph writes over its tensors"
        if not self.claims(graph):
            return "no operations of it that a program knows stand together"
        return None

    def account(self, graph: GraphModule) -> str:
        """How much of a graph its programs run, and what stays outside."""
        found = native.divided(graph.graph)
        inside = sum(len(segment.nodes) for segment in found.segments)
        outside = found.outside()
        names = [f"{name} ({n})" if n > 1 else name for name, n in outside.most_common(NAMED)]
        names += ["…"] if len(outside) > NAMED else []
        rest = f"; outside: {', '.join(names)}" if names else ""
        return f"{inside} operations in {len(found.segments)} programs{rest}"

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """The graph with a call in the place of each segment; where there is but one, that call alone."""
        found, programs = native.phases(graph.graph)
        make = self._make or _hypatia_core.NativeProgram
        made = [make(written.text) for written in programs]
        returns = _returns(graph, found, programs)
        if returns is not None:
            ((written,), (program,)) = programs, made
            return compat.boxed(
                native.called(written, program, _plain(graph, written), _placeholders(graph), returns)
            )
        return compat.boxed_function(graph, _written(graph, found, programs, made))

    def over_folded(
        self, graph: GraphModule, fake_inputs: Sequence[Any], given: int
    ) -> Callable[[list[Any]], Runnable] | None:
        """Of a graph that is one program, a call that knows where the folded values lie."""
        found, programs = native.phases(graph.graph)
        returns = _returns(graph, found, programs)
        if returns is None:
            return None
        (written,) = programs
        program = (self._make or _hypatia_core.NativeProgram)(written.text)
        plain, inputs = _plain(graph, written), _placeholders(graph)

        def over(values: list[Any]) -> Runnable:
            named = zip(inputs[given:], values, strict=True)
            held = {node: value for node, value in named if node in written.arguments}
            if all(native.fits(value, node.meta["val"]) for node, value in held.items()):
                return native.called(written, program, plain, inputs[:given], returns, held)
            whole = native.called(written, program, plain, inputs, returns)

            def with_values(arguments: list[Any]) -> Any:
                everything = [*arguments, *values]
                arguments.clear()
                return whole(everything)

            return with_values

        return over


def _placeholders(graph: GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


def _returns(graph: GraphModule, found: native.Phases, programs: list[native.Written]) -> type | None:
    """Of a graph that is one program, as what it returns its results; None where it is anything else."""
    if not len(found.parts) == len(programs) == 1:
        return None
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    returned = output.args[0]
    if not isinstance(returned, (list, tuple)) or list(returned) != programs[0].nodes:
        return None
    if not set(programs[0].arguments) <= set(_placeholders(graph)):
        return None
    return list if isinstance(returned, list) else tuple


def _written(
    graph: GraphModule, found: native.Phases, programs: list[native.Written], made: list[Any]
) -> fx.Graph:
    """The graph as it runs: flat, with a call for each program."""
    flat = fx.Graph()
    now: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            now[node] = flat.node_copy(node)

    def here(node: fx.Node) -> fx.Node:
        if node not in now:  # it belongs to no phase: who reads it has it
            now[node] = flat.node_copy(node, here)
        return now[node]

    pairs = iter(zip(programs, made, strict=True))
    for part in found.parts:
        if isinstance(part, list):
            for node in part:
                now[node] = flat.node_copy(node, here)
            continue
        written, program = next(pairs)
        call = native.called(written, program, _plain(graph, written))
        result = flat.call_function(call, tuple(here(node) for node in written.arguments))
        if len(written.nodes) == 1:
            result.meta["val"] = written.nodes[0].meta["val"]
            now[written.nodes[0]] = result
            continue
        result.meta["val"] = tuple(node.meta["val"] for node in written.nodes)
        for i, node in enumerate(written.nodes):
            item = now[node] = flat.call_function(operator.getitem, (result, i))
            item.meta["val"] = node.meta["val"]
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    flat.output(fx.node.map_arg(output.args[0], here))
    flatten(flat)
    return flat


def _plain(graph: GraphModule, written: native.Written) -> Callable[..., Any]:
    """A program's nodes by operations of torch, made when it is first asked for."""
    made: list[Callable[..., Any]] = []
    lock = threading.Lock()

    def call(*tensors: Any) -> Any:
        with lock:
            if not made:
                made.append(_by_operations(graph, written))
        return made[0](*tensors)

    return call


def _by_operations(graph: GraphModule, written: native.Written) -> Callable[..., Any]:
    own = fx.Graph()
    now = {node: own.placeholder(node.name) for node in written.arguments}
    for node, copy in now.items():
        copy.meta = dict(node.meta)
    needed: set[fx.Node] = set()
    work = list(written.nodes)
    while work:
        node = work.pop()
        if node not in needed and node not in now:
            needed.add(node)
            work.extend(node.all_input_nodes)
    for node in graph.graph.nodes:
        if node in needed:
            now[node] = own.node_copy(node, now.__getitem__)
    results = [now[node] for node in written.nodes]
    own.output(results[0] if len(results) == 1 else tuple(results))
    forward: Callable[..., Any] = GraphModule(graph, own).forward
    return forward
