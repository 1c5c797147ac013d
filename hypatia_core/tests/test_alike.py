"""Nodes that are like others are read and written as these were, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from hypatia_core._hypatia_core import optimize_graph
from hypatia_core.fx_export import Writer, write
from hypatia_core.fx_import import Imported, Reader
from random_graphs import draw

Function = Callable[..., Any]


def layers(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Equal layers, apart from where their weights begin in memory."""
    for n in range(4):
        y = (x @ w[n] + b[n]).relu()
        y = torch.nn.functional.gelu(y) * 2.0
        y = torch.nn.functional.layer_norm(y, (8,))
        x = (x + y.reshape(2, 4, 8).transpose(1, 2).reshape(8, 8)).cumsum(0)
    return x


def shared_operands(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """The same operations on one value twice and on two."""
    p, q = x.exp(), y.exp()
    return p * p, p * q, q * p, q * q, p - p, p - q, q - p, p @ p, p @ q, torch.cat([p, q]), torch.cat([p, p])


def constants(x: Tensor) -> tuple[Tensor, ...]:
    """Numbers that compare equal and are not the same, and some that differ."""
    return x + 1, x + 1.0, x * 0.0, x * -0.0, x * 2, x * 3, x.clamp(0, 1), x.clamp(0, 2)


def conjugates(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Views whose elements are read otherwise, beside plain ones of the same type."""
    z, u = torch.complex(x, y), torch.complex(y, x)
    return z.reshape(-1), u.reshape(-1), (z + u).reshape(-1), z.conj().reshape(-1), u.conj().reshape(-1)


def strides(x: Tensor) -> tuple[Tensor, ...]:
    """The same sizes, laid in memory otherwise."""
    t, u = x.exp(), x.sin()
    return (
        *(t.reshape(-1).exp(), t.t().reshape(-1).exp(), u.reshape(-1).exp(), u.t().reshape(-1).exp()),
        *(t[:4, :4] @ u[:4, :4], t[4:, :4] @ u[:4, :4], t[:4, 4:] @ u[4:, :4]),
    )


def square(*lead: int) -> Tensor:
    return torch.randn(*lead, 8, 8)


CASES: dict[str, tuple[Function, Sequence[Tensor]]] = {
    "layers": (layers, [square(), square(4), square(4)]),
    "shared operands": (shared_operands, [square(), square()]),
    "constants": (constants, [square()]),
    "conjugates": (conjugates, [square(), square()]),
    "strides": (strides, [square()]),
}


def both(module: Function, inputs: Sequence[Tensor]) -> tuple[fx.GraphModule, Imported]:
    with torch.no_grad():
        graph = make_fx(lambda *tensors: module(*tensors), tracing_mode="fake")(*inputs)
    return graph, Reader().read(graph.graph)


def rewritten(graph: fx.GraphModule, imported: Imported) -> list[str]:
    """What is written of what the search finds, or of the graph as it came; each node with its type."""
    text, _ = optimize_graph(imported.text, json.dumps({"numerics": "reals"}), [])
    written, _ = write(text or imported.text, imported, graph)

    def described(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [described(part) for part in value]
        return value.dtype, tuple(value.shape), value.stride(), value.storage_offset()

    return [
        f"{node.format_node()} {described(node.meta['val']) if 'val' in node.meta else ''}"
        for node in written.graph.nodes
    ]


def agree(module: Function, inputs: Sequence[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, imported = both(module, inputs)
    assert imported.text == json.dumps(imported.wire)
    with monkeypatch.context() as each_by_itself:
        each_by_itself.setattr(Reader, "_likeness", lambda *_: None)
        assert imported.text == Reader().read(graph.graph).text
        each_by_itself.setattr(Writer, "_likeness", lambda *_: None)
        wanted = rewritten(graph, imported)
    assert rewritten(graph, imported) == wanted


@pytest.mark.parametrize("case", CASES)
def test_reading_and_writing_are_what_they_are_one_by_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(*CASES[case], monkeypatch)


@pytest.mark.parametrize("seed", range(40))
def test_of_drawn_graphs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program = draw(seed)
    agree(
        lambda *tensors: program.run(list(tensors)),
        [torch.randn(shape) for shape in program.inputs],
        monkeypatch,
    )


def test_equal_layers_are_read_and_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, written = list[str](), list[str]()
    of_reader, of_writer = Reader._read, Writer._write_node

    def reads(self: Reader, node: fx.Node) -> int | None:
        read.append(str(node.target))
        return of_reader(self, node)

    def writes(self: Writer, entry: dict[str, Any], operands: list[Any]) -> Any:
        written.append(entry["op"])
        return of_writer(self, entry, operands)

    monkeypatch.setattr(Reader, "_read", reads)
    monkeypatch.setattr(Writer, "_write_node", writes)
    rewritten(*both(*CASES["layers"]))
    # A type has to be known before what has it is noted, which is the second time at the latest.
    assert read.count("aten.relu.default") <= 2
    assert read.count("aten.cumsum.default") <= 2
    assert written.count("relu") + written.count("clamp") <= 1
    assert written.count("gelu") <= 1
