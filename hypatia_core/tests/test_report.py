"""The report: whose graphs it holds, and what it says of them."""

from __future__ import annotations

import copy
import gc
import io
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import hypatia
from hypatia_core import GraphReport, Report, compat, explanation, report
from hypatia_core.program import describe
from hypatia_core.schema import schema

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
    foreign = {"verify", "measure", "compile aten"}
    ours = [seconds for stage, seconds in graph.stages.items() if stage not in foreign]
    assert graph.own_seconds == pytest.approx(sum(ours))
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


def test_the_programs_and_the_steps_between_them() -> None:
    (graph,) = report(compiled_chain(measure=False)).graphs
    assert graph.before is not None and graph.after is not None
    assert [(n.name, n.op, n.type) for n in graph.before.nodes[:2]] == [
        ("a", "input", "f32[32, 32]"),
        ("b", "input", "f32[32, 32]"),
    ]
    products = [n for n in graph.before.nodes if n.op == "mm"]
    assert [n.flops for n in products] == [2 * 32**3, 2 * 32**2]
    assert all(n.source is not None and n.source.startswith("tests/test_report.py:") for n in products)
    assert [n.code for n in products] == ["return (a @ b) @ v"] * 2
    assert [n.fate for n in products] == ["removed"] * 2
    assert [n.fate for n in graph.after.nodes if n.op == "mm"] == ["new"] * 2
    (step,) = graph.steps
    assert (step.rule, step.left["text"], step.right["text"]) == ("matmul-associates", "(a b) v", "a (b v)")
    assert step.seconds_left > step.seconds_right and step.at == [graph.before.nodes.index(products[1])]
    assert step.soundness == "reassociates" and step.pattern["text"] == "(a b) c = a (b c)" and step.why


def test_the_programs_are_worked_out_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        return describe(*arguments)

    monkeypatch.setattr(explanation, "describe", counted)
    model = nn.Sequential(nn.Linear(32, 32, bias=False), nn.Linear(32, 1, bias=False))
    weight = weakref.ref(model[0].weight)
    compiled = hypatia(model, measure=False)
    with torch.no_grad():
        compiled(torch.randn(8, 32))
    found = report(compiled)
    assert str(found) and not made
    del model, compiled
    torch._dynamo.reset()
    gc.collect()
    assert weight() is None
    (graph,) = found.graphs
    assert graph.before is not None and [n.name for n in graph.before.nodes if n.op == "weight"] == [
        "fn.0.weight",
        "fn.1.weight",
    ]
    assert graph.after is not None and graph.steps and len(made) == 2
    assert copy.deepcopy(graph) == graph and len(made) == 2


def test_what_a_rewrite_leaves_alone_is_kept() -> None:
    def with_norm(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        return torch.tanh(nn.functional.layer_norm((a @ b) @ v, (4,)))

    compiled = hypatia(with_norm, measure=False)
    compiled(torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 4))
    (graph,) = report(compiled).graphs
    assert graph.before is not None and graph.after is not None
    for program in (graph.before, graph.after):
        fates = {n.op: n.fate for n in program.nodes}
        assert fates["tanh"] == fates["native_layer_norm"] == "kept" != fates["mm"]


def test_nodes_are_measured_when_asked() -> None:
    (graph,) = report(compiled_chain(measure=False, profile=True)).graphs
    assert graph.before is not None and graph.after is not None
    for program in (graph.before, graph.after):
        assert all((n.measured is not None) == (n.op == "mm") for n in program.nodes if n.op != "t")


def test_beside_eager() -> None:
    compiled = compiled_chain(measure=False)
    inputs = (torch.randn(32, 32), torch.randn(32, 32), torch.randn(32, 1))
    comparison = report(compiled, inputs=inputs).comparison
    assert comparison is not None and comparison.threads > 0 and comparison.eager_seconds > 0
    assert comparison.compiled_error is not None and comparison.compiled_error < 1e-5
    assert "× eager" in str(report(compiled, inputs=inputs))


def test_its_json_is_what_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    written = json.loads((Path(hypatia_core.__file__).parent / "report.schema.json").read_text("utf-8"))
    assert written == schema(), "write it again: see the docstring of hypatia_core.schema"
    model = nn.Linear(4, 4)
    trained = hypatia(model)
    trained(torch.ones(2, 4)).sum().backward()
    for made in (report(compiled_chain(profile=True)), report(trained), Report()):
        jsonschema.validate(json.loads(made.to_json()), written)


@pytest.mark.parametrize("ending", [".html", ".json", ".txt"])
def test_it_is_saved_by_the_ending(ending: str, tmp_path: Path) -> None:
    path = report(compiled_chain(measure=False)).save(tmp_path / f"report{ending}")
    assert "matmul-associates" in path.read_text("utf-8") and list(tmp_path.iterdir()) == [path]


def test_another_ending_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.html, \.json, \.txt, not '\.pdf'"):
        Report().save(tmp_path / "report.pdf")


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    shown = report(compiled_chain(measure=False))._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "matmul-associates" in shown


def test_in_a_terminal() -> None:
    console = pytest.importorskip("rich.console").Console(width=120, file=io.StringIO(), color_system=None)
    console.print(report(compiled_chain()))
    text = console.file.getvalue()
    for words in (
        "inference graph",
        "matmul-associates",
        "(a b) v  →  a (b v)",
        "estimated",
        "proved cheapest",
    ):
        assert words in text


def test_a_graph_break_is_told() -> None:
    def broken(x: Tensor) -> Tensor:
        y = x + 1
        torch._dynamo.graph_break()
        return y * 2

    compiled = hypatia(broken)
    compiled(torch.ones(3))
    first, second = report(compiled).graphs
    assert "graph_break" in str(first.graph_break["reason"]) and second.graph_break == {}
    assert str(first.graph_break["where"]).split(":")[0].endswith("test_report.py")
    assert "broken off" in str(first)


def test_refusals_come_with_a_remedy() -> None:
    compiled = hypatia(lambda x: x.as_strided((2,), (2,)) + 1)
    compiled(torch.ones(4))
    made = report(compiled)
    (remedy,) = made.to_dict()["graphs"][0]["remedies"]
    assert "reshape" in remedy and f"remedy: {remedy}" in str(made)


def test_a_served_program_has_one_too() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), torch.randn(3, 4)
    served = hypatia_core.compile(model, (x,), options={"executor": "aten"})
    made = report(served, inputs=(x,))
    (graph,) = made.graphs
    assert graph.before is not None and made.comparison is not None and made.title == "Sequential"
    named = {node.name: node.op for node in graph.before.nodes}
    assert named["0.weight"] == named["0.bias"] == "weight" and named["input"] == "input"
    assert made.comparison.compiled_error is not None and made.comparison.compiled_error < 1e-5


def test_before_the_first_call_it_is_empty() -> None:
    compiled = hypatia(nn.Linear(2, 2))
    assert report(compiled).graphs == [] and "no graph was compiled yet" in str(report(compiled))


def test_forward_and_backward_are_one_graph() -> None:
    model = nn.Linear(4, 4)
    compiled = hypatia(model)
    compiled(torch.ones(2, 4)).sum().backward()
    assert [graph.stage for graph in report(compiled).graphs] == ["joint"]


def test_halves_that_are_optimised_apart_belong_to_one_callable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "joint_refusal", lambda *_: "to see the halves apart")
    model = nn.Linear(4, 4)
    compiled = hypatia(model)
    compiled(torch.ones(2, 4)).sum().backward()
    forward, backward = report(compiled).graphs
    assert (forward.stage, backward.stage) == ("forward", "backward")
    assert forward.refusals[0] == "forward and backward are optimised apart: to see the halves apart"


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
