"""Runs a graph of convolutions through oneDNN's own graph compiler, which torch carries in TorchScript.

A kernel that torch calls one by one describes its operation to oneDNN on every call, which takes longer than
a small convolution. The graph compiler describes a whole partition once: layouts are its own from one
operation to the next, what is elementwise is fused, and a call runs what was prepared.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.base import HoldingExecutor, Runnable

aten = torch.ops.aten

#: Compiling switches a setting of torch for a moment: one at a time.
_ONE = threading.Lock()
#: Runs after which TorchScript has profiled, optimized and settled.
_WARM_UP = 3


class OneDnnGraph(HoldingExecutor):
    """Partitions that oneDNN compiles, weights held as constants. Needs no C++ compiler."""

    name = "onednn"

    def claims(self, graph: GraphModule) -> bool:
        """Graphs with convolutions."""
        return any(node.target is aten.convolution.default for node in graph.graph.nodes)

    def refusal(self, graph: GraphModule) -> str | None:
        """It takes graphs of known sizes, in float32 on the CPU."""
        if not compat.has_onednn_graph():
            return "this torch has no graph compiler of oneDNN"
        nodes = list(graph.graph.nodes)
        values = [node.meta.get("val") for node in nodes]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        if any(isinstance(value, torch.SymInt) for value in values) or not all(
            type(n) is int for value in tensors for n in (*value.shape, *value.stride())
        ):
            return "sizes are symbols"
        if any(t.device.type != "cpu" or t.dtype in (torch.float64, *_NARROW) for t in tensors):
            return "not in float32 on the CPU"
        if any(compat.draws(node) for node in nodes):
            return "it draws random numbers"
        gelus = [node for node in nodes if node.target is aten.gelu.default]
        if any(node.kwargs.get("approximate", "none") != "none" for node in gelus):
            return "oneDNN's compiler knows gelu by erf only"
        if not all(isinstance(x, fx.Node) and x.op == "call_function" for x in _returned(graph)):
            return "it returns what it was given"
        return None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """The graph with its weights as inputs like any other."""
        return self.over(graph, fake_inputs, [])

    def over(self, graph: GraphModule, fake_inputs: Sequence[Any], constants: Sequence[Any]) -> Runnable:
        """The graph with its last inputs held as constants.

        Raises:
            HypatiaError: what it returns depends on constants alone.
        """
        _check_outputs(graph, len(fake_inputs))
        module = GraphModule(graph, _as_torch_writes(graph.graph))
        held = [_as_constant(value) for value in constants]
        layouts = [value.stride() for value in _outputs(graph)]

        examples = [_example(value) for value in fake_inputs]
        with _ONE, torch.no_grad():
            script = compat.through_onednn_graph(
                module, held, [_channels_last(x) for x in examples], _WARM_UP
            )

        def call(arguments: list[Any]) -> Any:
            given = [_channels_last(x) for x in arguments]
            arguments.clear()
            results = script(*given)
            return [_laid_out(x, layout) for x, layout in zip(results, layouts, strict=True)]

        return compat.boxed(call)


_NARROW = (torch.float16, torch.bfloat16, torch.complex64, torch.complex128)


def _outputs(graph: GraphModule) -> list[torch.Tensor]:
    return [node.meta["val"] for node in _returned(graph)]


def _returned(graph: GraphModule) -> list[fx.Node]:
    output = next(node for node in graph.graph.nodes if node.op == "output")
    (values,) = output.args
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _check_outputs(graph: GraphModule, inputs: int) -> None:
    varying: set[fx.Node] = set()
    count = 0
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            count += 1
            if count <= inputs:
                varying.add(node)
        elif any(argument in varying for argument in node.all_input_nodes):
            varying.add(node)
    for node in _returned(graph):
        if node not in varying:  # TorchScript would return the same tensor on every call
            raise HypatiaError("it returns what depends on weights alone")


def _as_torch_writes(graph: fx.Graph) -> fx.Graph:
    """The graph with convolutions spelled as oneDNN's compiler knows them, one tuple as its output."""
    written = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op == "output":
            (values,) = node.args
            values = values if isinstance(values, (list, tuple)) else [values]
            written.output(tuple(copies[value] for value in values))
        elif node.target is aten.convolution.default and not node.args[6] and _is_image(node):
            x, weight, bias, stride, padding, dilation, _, _, groups = fx.node.map_arg(
                node.args, copies.__getitem__
            )
            call = (x, weight, bias, stride, padding, dilation, groups)
            copies[node] = written.call_function(torch.conv2d, call)
        elif node.target is aten.addmm.default and not node.kwargs and _is_row(node.args[0]):
            bias, x, columns = (copies[argument] for argument in node.args)
            rows = written.call_function(torch.t, (columns,))
            copies[node] = written.call_function(torch.nn.functional.linear, (x, rows, bias))
        else:
            copies[node] = written.node_copy(node, copies.__getitem__)
            if node.target in _POOLINGS and not (len(node.args) > 2 and node.args[2]):
                # It takes no pooling whose stride is left to be the window's size.
                x, window, *_ = copies[node].args
                copies[node].args = (x, window, window, *copies[node].args[3:])
    return written


_POOLINGS = (aten.max_pool2d_with_indices.default, aten.avg_pool2d.default)


def _is_row(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.meta["val"].dim() == 1


def _is_image(node: fx.Node) -> bool:
    return len(node.meta["val"].shape) == 4


def _as_constant(value: Any) -> Any:
    return _channels_last(value.detach()) if isinstance(value, torch.Tensor) else value


def _channels_last(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dim() == 4 and value.dtype is torch.float32:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _example(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.zeros(value.shape, dtype=value.dtype)


def _laid_out(value: torch.Tensor, strides: tuple[int, ...]) -> torch.Tensor:
    """A result with the strides that the graph's has."""
    if value.stride() == strides:
        return value
    return torch.empty_strided(value.shape, strides, dtype=value.dtype).copy_(value)
