"""Every way of running a graph, on one that is rewritten and one that is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hypatia_core
from agreement import Function, assert_agrees, hypatia
from hypatia_core import compat

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("executor", ["aten", "native", "eager", "aot_eager", "aot_eager_decomp_partition"])
@pytest.mark.parametrize("verify", [True, False])
def test_inference_and_training(executor: str, verify: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.ReLU()).eval()
    compiled = hypatia(model, executor=executor, verify=verify, measure=False)
    x = torch.randn(4, 8)
    with torch.no_grad():
        assert_agrees(model, x, compiled=compiled)
    compiled(x).sum().backward()
    ours, model[0].weight.grad = model[0].weight.grad, None
    model(x).sum().backward()
    torch.testing.assert_close(ours, model[0].weight.grad)
    assert {graph.executor for graph in hypatia_core.report(compiled).graphs} <= {executor, "aten"}


@pytest.mark.parametrize("executor", ["aten", "aot_eager"])
def test_dynamic_sizes(executor: str) -> None:
    function: Function = lambda x: (x @ x.t()) @ x * 1  # noqa: E731
    compiled = hypatia(function, executor=executor, dynamic=True, measure=False)
    for n in (3, 5):
        assert_agrees(function, torch.randn(n, 4), compiled=compiled)


def test_inductor() -> None:
    if compat.cpp_compiler() is None:
        pytest.skip("no C++ compiler")
    function: Function = lambda a, b, v: ((a @ b) @ v).relu() + v.sum(0)  # noqa: E731
    compiled = hypatia(function, executor="inductor", measure=False)
    assert_agrees(function, torch.randn(16, 16), torch.randn(16, 16), torch.randn(16, 1), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor == "inductor" and graph.rewritten and "compile inductor" in graph.stages


def test_inductor_trains_with_the_numbers_of_eager() -> None:
    if compat.cpp_compiler() is None:
        pytest.skip("no C++ compiler")
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    compiled = hypatia(model, executor="inductor", measure=False)
    x = torch.randn(3, 4)
    torch.manual_seed(5)
    ours = compiled(x)
    ours.sum().backward()
    gradient, model[0].weight.grad = model[0].weight.grad, None
    torch.manual_seed(5)
    theirs = model(x)
    theirs.sum().backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, model[0].weight.grad)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of its own use of torch
def test_openvino() -> None:
    pytest.importorskip("openvino")
    function: Function = lambda a, b, v: ((a @ b) @ v).relu()  # noqa: E731
    compiled = hypatia(function, executor="openvino", measure=False)
    assert_agrees(function, torch.randn(16, 16), torch.randn(16, 16), torch.randn(16, 1), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor == "openvino" and graph.rewritten


def test_the_modes_of_torch() -> None:
    function: Function = lambda a, b, v: (a @ b) @ v  # noqa: E731
    given = torch.randn(16, 16), torch.randn(16, 16), torch.randn(16, 1)
    torch._dynamo.reset()
    quick = torch.compile(function, backend="hypatia", mode="reduce-overhead")
    assert_agrees(function, *given, compiled=quick)
    (graph,) = hypatia_core.report(quick).graphs
    assert set(graph.measured) == {"original", "aten, rewritten"}, "nothing whose call costs more is tried"
    if compat.cpp_compiler() is not None:
        torch._dynamo.reset()
        thorough = torch.compile(function, backend="hypatia", mode="max-autotune")
        assert_agrees(function, *given, compiled=thorough)
        (graph,) = hypatia_core.report(thorough).graphs
        generated = {"inductor, rewritten", "inductor, original"}
        assert set(graph.measured) == {"original", "native, rewritten", "aten, rewritten"} | generated, (
            "all are tried"
        )
