"""The report: whose graphs it holds, and what it says of them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import hypatia
from hypatia_core import GraphReport, Report, report

pytestmark = pytest.mark.usefixtures("one_thread")


def chain(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a @ b) @ v


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def compiled_chain(**options: object) -> object:
    compiled = hypatia(chain, **options)
    compiled(torch.randn(32, 32), torch.randn(32, 32), torch.randn(32, 1))
    return compiled


def test_what_it_says_of_a_rewritten_graph() -> None:
    (graph,) = report(compiled_chain(measure=False)).graphs
    assert (graph.stage, graph.executor, graph.rewritten) == ("inference", "aten", True)
    assert graph.rules == {"matmul-associates": 1}
    assert (
        graph.cost_before is not None
        and graph.cost_after is not None
        and graph.cost_after < graph.cost_before
    )
    assert graph.error is not None and graph.original_error is not None and graph.error < 1e-5
    assert {"import", "search", "export", "verify", "compile aten"} <= set(graph.stages)
    assert graph.own_seconds == pytest.approx(sum(graph.stages[s] for s in ("import", "search", "export")))
    text = str(report(compiled_chain(measure=False)))
    for words in ("inference graph, 2 nodes → 2, runs by aten", "matmul-associates", "stages"):
        assert words in text


def test_measured_times_are_shown() -> None:
    (graph,) = report(compiled_chain()).graphs
    assert set(graph.measured) == {"original", "aten, rewritten"}


def test_plain_data_and_comparison() -> None:
    first = report(compiled_chain(measure=False))
    assert json.loads(json.dumps(first.to_dict())) == first.to_dict()
    assert first == copy.deepcopy(first) and first != Report([])
    assert GraphReport("forward", 1, 1) == GraphReport("forward", 1, 1) != GraphReport("backward", 1, 1)


def test_before_the_first_call_it_is_empty() -> None:
    compiled = hypatia(nn.Linear(2, 2))
    assert report(compiled).graphs == [] and "no graph was compiled yet" in str(report(compiled))


def test_forward_and_backward_belong_to_one_callable() -> None:
    model = nn.Linear(4, 4)
    compiled = hypatia(model)
    compiled(torch.ones(2, 4)).sum().backward()
    assert [graph.stage for graph in report(compiled).graphs] == ["forward", "backward"]


def test_two_callables_have_their_own() -> None:
    one, two = hypatia(lambda x: x + 1), hypatia(lambda x: x + 2, numerics="exact")
    one(torch.ones(2))
    assert len(report(one).graphs) == 1 and report(two).graphs == []
    two(torch.ones(2))
    assert len(report(one).graphs) == len(report(two).graphs) == 1


@pytest.mark.parametrize("what", ["module", "function"])
def test_calls_that_share_dynamos_cache_share_the_report(what: str) -> None:
    target = Doubled() if what == "module" else (lambda x: x * 2 + 1)
    one, two = hypatia(target), hypatia(target)
    x = torch.ones(2, 4)
    one(x)
    two(x)
    assert report(two) == report(one) and len(report(two).graphs) == 1


def test_modules_compiled_in_place() -> None:
    model = nn.Linear(4, 4)
    model.compile(backend="hypatia", options={"executor": "aten"})
    model(torch.ones(2, 4))
    assert len(report(model).graphs) == 1


def test_what_torch_did_not_compile_is_an_error() -> None:
    for thing in (nn.Linear(2, 2), lambda x: x, 3, None):
        with pytest.raises(TypeError, match=r"report\(\) takes what torch.compile returned"):
            report(thing)


def test_graphs_compiled_directly() -> None:
    graph = torch.fx.symbolic_trace(chain)
    inputs = [torch.randn(32, 32), torch.randn(32, 32), torch.randn(32, 1)]
    fast = hypatia_core.compile_fx_graph(graph, inputs)
    fast(*inputs)
    assert len(report(fast).graphs) == 1
