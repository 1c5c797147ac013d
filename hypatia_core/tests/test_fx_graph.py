"""`compile_fx_graph`: graphs at hand, of `symbolic_trace` and of Dynamo."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from hypatia_core import HypatiaError, compile_fx_graph

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def op_by_op() -> Any:
    with hypatia_core.config(executor="aten", on_error="raise"):
        yield


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        z = self.linear(x) + self.shift
        return {"sum": z + y, "pair": (z * 1, [y]), "number": 3}


def test_a_traced_graph_keeps_its_calling_convention_and_its_parameters() -> None:
    model = Model()
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    fast = compile_fx_graph(torch.fx.symbolic_trace(model), [x, y], {})
    for _ in range(2):
        with torch.no_grad():
            model.linear.weight.mul_(2)
        ours, theirs = fast(x, y), model(x, y)
        assert ours.keys() == theirs.keys() and ours["number"] == 3
        torch.testing.assert_close(ours["sum"], theirs["sum"])
        torch.testing.assert_close(ours["pair"][0], theirs["pair"][0])
        assert ours["pair"][1][0] is y
    fast(x, y)["sum"].sum().backward()
    assert model.linear.weight.grad is not None


def test_a_graph_of_dynamos() -> None:
    caught: list[tuple[Any, Sequence[Any]]] = []

    def catch(gm: Any, inputs: Sequence[Any]) -> Any:
        caught.append((gm, list(inputs)))
        return compile_fx_graph(gm, inputs, {})

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = torch.randn(3, 4)
    torch.testing.assert_close(torch.compile(model, backend=catch)(x), model(x))
    (gm, inputs) = caught[0]
    torch.testing.assert_close(compile_fx_graph(gm, inputs)(*inputs)[0], model(x))


def test_both_modules_have_it() -> None:
    assert importlib.import_module("_hypatia_core").compile_fx_graph is compile_fx_graph


def test_what_it_does_not_take() -> None:
    graph = torch.fx.symbolic_trace(lambda x: x + 1)
    with pytest.raises(HypatiaError, match=r"takes a torch\.fx\.GraphModule, not Linear"):
        compile_fx_graph(nn.Linear(2, 2), [], {})  # type: ignore[arg-type]
    with pytest.raises(HypatiaError, match="takes 1 inputs; 2 example inputs"):
        compile_fx_graph(graph, [torch.ones(1), torch.ones(1)], {})


@pytest.mark.parametrize("bounds", [{"min": torch.inf}, {"max": -torch.inf}, {"min": -torch.inf, "max": 1.0}])
def test_an_infinite_bound_that_numbers_meet_is_written(bounds: dict[str, float]) -> None:
    def run(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return (a @ b @ c).clamp(**bounds)

    torch._dynamo.reset()
    compiled = torch.compile(run, backend="hypatia", options={"verify": False, "measure": False})
    given = [torch.randn(shape, dtype=torch.float64) for shape in ((64, 64), (64, 64), (64, 1))]
    with torch.no_grad():
        torch.testing.assert_close(compiled(*given), run(*given))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and graph.rules
