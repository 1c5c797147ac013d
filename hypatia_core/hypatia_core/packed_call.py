"""Kernels over packed weights, as one operation that any compiler can leave alone.

A packed weight is in a library's own layout, which no compiler's graph can hold as an input. Where a graph
goes to another compiler, each such kernel becomes `hypatia_core::packed(tensors, slot, …)`; the packed weight
stays here, under the number of its slot, and is put in place around each call.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, HoldingExecutor, Runnable
from hypatia_core.implementations import is_packed
from hypatia_core.report import brief
from hypatia_core.weights import Memo

#: So many times in a row an executor that holds weights compiles anew for what then served fewer calls than …
MOST_HASTY = 8
#: … these.
ENOUGH_CALLS = 100

_LIBRARY = torch.library.Library("hypatia_core", "FRAGMENT")
_LIBRARY.define("packed(Tensor[] tensors, int slot, SymInt[] size, SymInt[] stride) -> Tensor")

_ACTIVE = threading.local()


def _packed(tensors: list[torch.Tensor], slot: int, size: list[int], stride: list[int]) -> torch.Tensor:
    result: torch.Tensor = _ACTIVE.kernels[slot](tensors)
    return result


def _packed_type(tensors: list[torch.Tensor], slot: int, size: list[int], stride: list[int]) -> torch.Tensor:
    return tensors[0].new_empty_strided(size, stride)


_LIBRARY.impl("packed", _packed, "CompositeExplicitAutograd")
torch.library.register_fake("hypatia_core::packed", _packed_type, lib=_LIBRARY)


@dataclass(frozen=True)
class Kernel:
    """A call of which one argument is packed: the position of each tensor among its arguments."""

    target: Callable[..., Any]
    arguments: tuple[Any, ...]
    #: Positions, among the arguments, of the tensors in their order, and of the packed weight.
    tensors: tuple[int, ...]
    packed: int

    def on(self, weight: Any) -> Callable[[Sequence[Any]], Any]:
        """The call as a function of the tensors alone."""
        arguments = list(self.arguments)
        arguments[self.packed] = weight

        def call(tensors: Sequence[Any]) -> Any:
            given = arguments.copy()
            for position, tensor in zip(self.tensors, tensors, strict=True):
                given[position] = tensor
            return self.target(*given)

        return call


@dataclass(frozen=True)
class Hidden:
    """A graph whose packed weights are out of sight."""

    graph: GraphModule
    #: How many of its inputs come before the folded values.
    inputs: int
    #: Positions of packed values among the folded ones, in the order of the kernels, and those of the others.
    packed: list[int]
    dense: list[int]
    kernels: list[Kernel]

    def fake_inputs(self) -> list[Any]:
        """The fake values that the graph takes."""
        return [node.meta.get("val") for node in self.graph.graph.nodes if node.op == "placeholder"]

    def prepare(self, values: list[Any]) -> tuple[list[Any], list[Callable[..., Any]]]:
        """Folded values as what the graph takes of them, and the kernels with their packed weights."""
        kernels = [kernel.on(values[i]) for kernel, i in zip(self.kernels, self.packed, strict=True)]
        return [values[i] for i in self.dense], kernels


def hide(rest: GraphModule, inputs: int) -> Hidden:
    """Hides the packed weights of a graph whose first `inputs` inputs are plain, the others folded values."""
    hidden = GraphModule(rest, copy.deepcopy(rest.graph))
    graph = hidden.graph
    folded = [node for node in graph.nodes if node.op == "placeholder"][inputs:]
    place = {node: i for i, node in enumerate(folded)}
    kernels: list[Kernel] = []
    positions: list[int] = []
    for node in list(graph.nodes):
        weights = [a for a in node.all_input_nodes if a in place and is_packed(a)]
        if node.op != "call_function" or not weights:
            continue
        (weight,) = weights
        tensors = tuple(i for i, a in enumerate(node.args) if isinstance(a, fx.Node) and a is not weight)
        fixed = tuple(None if isinstance(a, fx.Node) else a for a in node.args)
        kernels.append(Kernel(node.target, fixed, tensors, node.args.index(weight)))
        positions.append(place[weight])
        value = node.meta["val"]
        with graph.inserting_before(node):
            call = graph.call_function(
                torch.ops.hypatia_core.packed.default,
                (
                    [node.args[i] for i in tensors],
                    len(kernels) - 1,
                    list(value.shape),
                    list(value.stride()),
                ),
            )
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.erase_node(node)
    dense = []
    for node in folded:
        if is_packed(node):
            graph.erase_node(node)
        else:
            dense.append(place[node])
    graph.lint()
    hidden.recompile()
    return Hidden(hidden, inputs, positions, dense, kernels)


def compiled_over(memo: Memo, runner: Executor) -> Runnable:
    """The rest of a divided graph, compiled by an executor and run on folded values that are fresh."""
    division = memo.division
    if runner.packs:
        over = runner.over_folded(division.rest, division.fake_inputs(), len(division.kept))
        if over is not None:
            return memo.around(lambda arguments, held: held(arguments), over)
        run = runner.compile(division.rest, division.fake_inputs())
        return memo.around(lambda arguments, values: run(arguments + values), list)
    hidden = hide(division.rest, len(division.kept))
    compiled = runner.compile(hidden.graph, hidden.fake_inputs())

    def rest(arguments: list[Any], prepared: tuple[list[Any], list[Callable[..., Any]]]) -> Any:
        values, kernels = prepared
        arguments += values
        return with_kernels(compiled, arguments, kernels) if kernels else compiled(arguments)

    return memo.around(rest, hidden.prepare)


def held_over(memo: Memo, runner: HoldingExecutor, *, decided: bool = False) -> Runnable:
    """The rest of a divided graph, compiled anew over each set of folded values, which the executor holds.

    Where it fails for other weights than the first ones, or for any where it was decided on before, or where
    weights go on changing after few calls, the rest runs op by op.
    """
    division = memo.division
    fakes = division.fake_inputs()[: len(division.kept)]
    hasty, calls, compiled = 0, ENOUGH_CALLS, decided

    def prepare(values: list[Any]) -> Runnable:
        nonlocal hasty, calls, compiled
        hasty = hasty + 1 if calls < ENOUGH_CALLS else 0
        calls = 0
        reason = f"weights changed {MOST_HASTY} times after fewer than {ENOUGH_CALLS} calls"
        if hasty < MOST_HASTY:
            try:
                made = runner.over(division.rest, fakes, values)
                compiled = True
                return made
            except Exception as error:  # it ran before: the user's call must not fail now
                if not compiled:
                    raise
                reason = f"it failed for these weights: {brief(error)}"
        memo.refuse(f"{runner.name}: {reason}; these weights run op by op")
        rest = compat.boxed_forward(division.rest)
        return lambda arguments: rest(arguments + values)

    def run(arguments: list[Any], held: Runnable) -> Any:
        nonlocal calls
        calls += 1
        return held(arguments)

    return memo.around(run, prepare)


def with_kernels(run: Runnable, arguments: list[Any], kernels: list[Callable[..., Any]]) -> Any:
    """Runs a graph with these kernels in the slots of this thread."""
    outer = getattr(_ACTIVE, "kernels", None)
    _ACTIVE.kernels = kernels
    try:
        return run(arguments)
    finally:
        _ACTIVE.kernels = outer
