"""The guide's `compile_fx_graph`: the pipeline on a graph that is at hand, without Dynamo."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.backend import hypatia_backend
from hypatia_core.report import graphs_of


class OptimizedGraph(torch.nn.Module):
    """Runs what the pipeline made of a graph; called like the original, whose parameters it shares."""

    def __init__(self, original: GraphModule, run: Callable[..., Any], structure: pytree.TreeSpec) -> None:
        super().__init__()
        self.original = original
        self._run = run
        self._structure = structure
        self._hypatia_graphs = graphs_of(run)

    @property
    def graph(self) -> torch.fx.Graph:
        """The original's graph."""
        return self.original.graph

    def forward(self, *args: Any) -> Any:
        """The outputs of the graph, in the original's structure."""
        return pytree.tree_unflatten(list(self._run(*args)), self._structure)


def compile_fx_graph(
    gm: GraphModule,
    example_inputs: Sequence[Any],
    module_info_map: Mapping[str, Any] | None = None,
) -> OptimizedGraph:
    """Optimise an FX graph directly: one of `torch.fx.symbolic_trace`, or what Dynamo hands to a backend.

    Args:
        gm: the graph module.
        example_inputs: inputs of the shapes and dtypes that it will be called with, in order.
        module_info_map: what a caller knows of the modules, by name; may be empty. The graph itself says all
            that is needed, so that nothing is read from it.

    Returns:
        A module that is called like `gm` and shares its parameters.

    Raises:
        HypatiaError: `gm` is no graph module, or the inputs are not as many as it takes.

    >>> import torch, hypatia_core
    >>> class Chain(torch.nn.Module):
    ...     def forward(self, a, b, v):
    ...         return (a @ b) @ v
    >>> inputs = [torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1)]
    >>> fast = hypatia_core.compile_fx_graph(torch.fx.symbolic_trace(Chain()), inputs, {})
    >>> torch.allclose(fast(*inputs), Chain()(*inputs), atol=1e-3)
    True
    """
    if not isinstance(gm, GraphModule):
        raise HypatiaError(f"compile_fx_graph takes a torch.fx.GraphModule, not {type(gm).__name__}")
    takes = sum(1 for node in gm.graph.nodes if node.op == "placeholder")
    if len(example_inputs) != takes:
        raise HypatiaError(f"the graph takes {takes} inputs; {len(example_inputs)} example inputs were given")
    flat, structure = _with_flat_output(gm)
    return OptimizedGraph(gm, hypatia_backend(flat, list(example_inputs)), structure)


def _with_flat_output(gm: GraphModule) -> tuple[GraphModule, pytree.TreeSpec]:
    """The same graph with a tuple as its output, and the structure that the tuple had."""
    graph = copy.deepcopy(gm.graph)
    output = next(node for node in graph.nodes if node.op == "output")
    leaves, structure = pytree.tree_flatten(output.args[0])
    output.args = (tuple(leaves),)
    return GraphModule(gm, graph), structure
