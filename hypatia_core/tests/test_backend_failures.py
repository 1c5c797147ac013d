"""What goes wrong: never a wrong answer, one warning with the reason, a counter, an error where asked for."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import hypatia_core
from agreement import Function, hypatia
from hypatia_core import HypatiaError, HypatiaWarning, backend, compat, executors, fx_export
from hypatia_core.executors import aten, inductor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def no_counts() -> None:
    counters["hypatia"].clear()


def chain(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a @ b) @ v


def inputs() -> list[Tensor]:
    return [torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1)]


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("deliberately broken\nsecond line")


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def quiet(function: Any, **options: Any) -> Any:
    return hypatia(function, **{"on_error": "warn", **options})


@pytest.mark.parametrize("stage", ["search", "write"])
def test_a_stage_that_raises(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, stage, broken)
    given = inputs()
    compiled = quiet(chain)
    with pytest.warns(HypatiaWarning, match="not rewritten: RuntimeError: deliberately broken;") as caught:
        assert torch.equal(compiled(*given), chain(*given))
    assert len(caught) == 1
    assert counters["hypatia"]["fallbacks"] == 1
    (graph,) = hypatia_core.report(compiled).graphs
    assert any("deliberately broken" in reason for reason in graph.refusals) and not graph.rewritten


def test_a_stage_that_raises_is_an_error_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "search", broken)
    with pytest.raises(Exception, match="not rewritten: RuntimeError: deliberately broken") as caught:
        hypatia(chain)(*inputs())
    assert isinstance(caught.value.__cause__ or getattr(caught.value, "inner_exception", None), HypatiaError)


def test_the_joint_graph_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(4, 4)
    monkeypatch.setattr(backend, "search", broken)
    compiled = quiet(model)
    with pytest.warns(HypatiaWarning, match="deliberately broken"):
        compiled(torch.ones(2, 4)).sum().backward()
    assert torch.equal(gradient(model.bias), torch.full((4,), 2.0))
    forward, backward = hypatia_core.report(compiled).graphs
    assert "optimised apart" in forward.refusals[0] and "deliberately broken" in backward.refusals[0]


def test_the_backward_graph_falls_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "joint_refusal", lambda *_: "to see the halves apart")
    model = nn.Linear(4, 4)
    loss = quiet(model)(torch.ones(2, 4)).sum()
    monkeypatch.setattr(backend, "search", broken)
    with pytest.warns(HypatiaWarning, match="deliberately broken"):
        loss.backward()
    assert torch.equal(gradient(model.bias), torch.full((4,), 2.0))


def test_a_capture_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "aot_autograd", lambda **_: broken)
    given = inputs()
    compiled = quiet(chain)
    with pytest.warns(HypatiaWarning, match="could not be captured"):
        assert torch.equal(compiled(*given), chain(*given))
    assert hypatia_core.report(compiled).graphs[0].executor == "eager"


def test_an_executor_that_fails_to_compile_leaves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductor.Inductor, "refusal", lambda *_: None)
    monkeypatch.setattr(inductor.Inductor, "compile", broken)
    given = inputs()
    compiled = quiet(chain, executor="auto", measure=False)
    with pytest.warns(HypatiaWarning, match="inductor failed: RuntimeError: deliberately broken"):
        torch.testing.assert_close(compiled(*given), chain(*given), atol=1e-3, rtol=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor == "native" and graph.rewritten


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("measure", [True, False])
def test_a_candidate_that_raises_when_run(
    verify: bool, measure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_compile = aten.Aten.compile

    def compile_badly(self: Any, graph: Any, fake: Any) -> Any:
        good = true_compile(self, graph, fake)
        rewritten = any(
            n.target is torch.ops.aten.mm.default and "mm_default" in n.name for n in graph.graph.nodes
        )
        return compat.boxed(broken) if rewritten else good

    monkeypatch.setattr(aten.Aten, "compile", compile_badly)
    given = inputs()
    compiled = quiet(chain, verify=verify, measure=measure)
    with pytest.warns(HypatiaWarning, match="deliberately broken"):
        assert torch.equal(compiled(*given), chain(*given))
    assert torch.equal(compiled(*given), chain(*given))
    assert not hypatia_core.report(compiled).graphs[0].rewritten


@pytest.mark.parametrize("numerics", ["reassociate", "exact"])
def test_a_wrong_candidate_is_refused(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true_write = fx_export.write

    def write_wrongly(*arguments: Any) -> Any:
        graph, places = true_write(*arguments)
        output = next(n for n in graph.graph.nodes if n.op == "output")
        with graph.graph.inserting_before(output):
            worse = graph.graph.call_function(torch.ops.aten.mul.Tensor, (output.args[0][0], 1.001))
        output.args = ((worse,),)
        graph.recompile()
        return graph, places

    monkeypatch.setattr(backend, "write", write_wrongly)
    function = (lambda a: a.neg().neg()) if numerics == "exact" else chain
    given = inputs()[:1] if numerics == "exact" else inputs()
    compiled = quiet(function, numerics=numerics)
    assert torch.equal(compiled(*given), function(*given))
    (graph,) = hypatia_core.report(compiled).graphs
    assert any(reason.startswith("aten, rewritten: output 0") for reason in graph.refusals)
    assert counters["hypatia"]["refused"] == 1 and not graph.rewritten


def test_the_users_error_is_not_ours() -> None:
    compiled = quiet(lambda x, i: (x * 1 + 0)[i], verify=False)
    with pytest.raises(IndexError):
        compiled(torch.ones(2), torch.tensor([5]))
    assert not counters["hypatia"]["fallbacks"]


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(compat, "cpp_compiler", lambda: None)
    compiled = quiet(chain, executor="auto", measure=False)
    given = inputs()
    torch.testing.assert_close(compiled(*given), chain(*given), atol=1e-3, rtol=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor in ("native", "aten")
    assert any("C++ compiler" in reason and "apt-get install g++" in reason for reason in graph.refusals)


@pytest.mark.skipif(os.name == "nt", reason="a script of POSIX")
def test_a_compiler_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor import config

    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\nexec sleep 600\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(inductor, "PATIENCE", 0.2)
    with config.patch({"cpp.cxx": (None, str(compiler))}):
        compiled = quiet(chain, executor="auto", measure=False)
        given = inputs()
        torch.testing.assert_close(compiled(*given), chain(*given), atol=1e-3, rtol=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor in ("native", "aten")
    assert any(str(compiler) in reason and "0.2 s" in reason for reason in graph.refusals)


@pytest.mark.parametrize("compiler", ["/nowhere/g++", "false"])
def test_a_broken_compiler(compiler: str) -> None:
    from torch._inductor import config, cpp_builder

    function: Function = lambda x: (x + 1).relu() * 2.125  # noqa: E731
    x = torch.randn(4)
    cpp_builder.cpp_compiler_search.cache_clear()
    with config.patch({"cpp.cxx": (None, compiler), "force_disable_caches": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore", HypatiaWarning)
        compiled = quiet(function, executor="auto")
        assert torch.equal(compiled(x), function(x))
    cpp_builder.cpp_compiler_search.cache_clear()
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor in ("native", "aten") and any("inductor" in reason for reason in graph.refusals)


def test_bad_options_name_what_is_accepted() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"executor": "inducto"}, "did you mean 'inductor'"),
        ({"executor": "hypatia"}, "would run itself"),
        ({"numerics": "loose"}, "'exact', 'accurate', 'reassociate', 'reals'"),
        ({"verfy": True}, "did you mean 'verify'"),
    )
    for options, words in wrong:
        with pytest.raises(Exception, match=words) as caught:
            torch.compile(chain, backend="hypatia", options=options)(*inputs())
        torch._dynamo.reset()
        assert "HypatiaError" in str(type(caught.value)) or "HypatiaError" in str(caught.value)


def test_executors_are_found_by_name() -> None:
    assert [e.name for e in executors.named("auto")] == ["inductor", "native", "aten", "onednn"]
    assert [e.name for e in executors.named("auto", exact=True)] == ["aten"]
    assert [e.name for e in executors.named("aot_eager")] == ["aot_eager"]
