"""What is kept on disk between processes: the same choices without search or measurement, and no harm."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import hypatia_core
from agreement import hypatia
from conftest import Run
from hypatia_core import backend, cache_folder, choice, decisions, machine
from hypatia_core.cache_folder import CacheWarning
from hypatia_core.report import GraphReport
from hypatia_core.search import Found

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "cache"))
    cache_folder.warn_once.cache_clear()
    return tmp_path / "cache"


def chain(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a @ b) @ v


def compiled(**options: Any) -> tuple[GraphReport, Tensor]:
    """The report and the answer of a compilation that finds nothing in memory."""
    torch._dynamo.reset()
    torch.manual_seed(1)
    given = [torch.randn(n, m) for n, m in ((64, 64), (64, 64), (64, 1))]
    function = hypatia(chain, **options)
    answer: Tensor = function(*given)
    (graph,) = hypatia_core.report(function).graphs
    return graph, answer


def records(folder: Path) -> list[Path]:
    return sorted((folder / decisions.FOLDER).glob("*.json"))


def test_the_second_time_neither_searches_nor_measures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, answer = compiled()
    assert "measure" in first.stages and len(records(folder)) == 1
    monkeypatch.setattr(backend, "search", None)
    second, again = compiled()
    assert torch.equal(answer, again)
    assert "measure" not in second.stages
    for name in ("executor", "rewritten", "rules", "measured", "error", "verified", "cost_after", "search"):
        assert getattr(first, name) == getattr(second, name), name


def test_a_recalled_choice_is_held_against_the_original_on_the_values_of_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = compiled()
    assert first.rewritten
    # As many numbers as before, but the better order overflows where the original does not.
    given = [torch.full((n, m), value) for n, m, value in ((64, 64, 1e-30), (64, 64, 1e30), (64, 1, 1e10))]
    torch._dynamo.reset()
    function = hypatia(chain)
    assert torch.equal(function(*given), chain(*given)) and bool(torch.isfinite(chain(*given)).all())
    (graph,) = hypatia_core.report(function).graphs
    assert not graph.rewritten and graph.refusals
    # It says nothing about other values: the record stays.
    monkeypatch.setattr(choice, "Reference", None)
    again, _ = compiled()
    assert again.rewritten and "verify" in again.stages, "no float64 run where all is near"


@pytest.mark.parametrize("option", [{"numerics": "reals"}, {"max_nodes": 5000}, {"measure": False}])
def test_other_options_are_another_decision(option: dict[str, Any], folder: Path) -> None:
    compiled()
    graph, _ = compiled(**option)
    assert len(records(folder)) == 2 and "verify" in graph.stages


def test_another_machine_or_build_is_another_decision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    for function in ("machine", "versions"):
        there = {**getattr(machine, function)(), "more": "else"}
        monkeypatch.setattr(machine, function, lambda there=there: there)
        graph, _ = compiled()
        assert "measure" in graph.stages
    assert len(records(folder)) == 3


def test_without_measuring_only_the_search_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(measure=False)
    monkeypatch.setattr(backend, "search", None)
    graph, _ = compiled(measure=False)
    assert graph.rewritten and "verify" in graph.stages


def test_a_choice_on_a_disturbed_machine_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as disturbed:
        disturbed.setattr(choice, "are_settled", lambda times: False)
        compiled()
    monkeypatch.setattr(backend, "search", None)  # what was found is kept
    monkeypatch.setattr(choice, "are_settled", lambda times: True)
    again, _ = compiled()
    assert "measure" in again.stages
    third, _ = compiled()
    assert "measure" not in third.stages and third.executor == again.executor


def test_nothing_is_kept_where_nothing_is_wanted(folder: Path) -> None:
    compiled(cache=False)
    assert not folder.exists()


def test_what_a_fault_decided_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(backend, "write", broken)
    with pytest.warns(hypatia_core.HypatiaWarning):
        compiled(on_error="warn")
    assert records(folder) == []


DAMAGE = {
    "empty": b"",
    "half": None,
    "no JSON": b"not a record",
    "no text": bytes(range(256)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_costs_one_warning(damage: str, folder: Path) -> None:
    _, answer = compiled()
    (path,) = records(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if DAMAGE[damage] is None else DAMAGE[damage] or b"")
    with pytest.warns(CacheWarning, match="is damaged") as caught:
        graph, again = compiled()
    assert len(caught) == 1 and torch.equal(answer, again) and "measure" in graph.stages
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "measure" not in compiled()[0].stages, "it is whole again"


def test_a_record_that_makes_no_graph_is_as_good_as_none(folder: Path) -> None:
    first, answer = compiled()
    (path,) = records(folder)
    record = decisions.find(path.stem)
    assert record is not None and record.found is not None
    nonsense = decisions.Record(True, Found(json.dumps({"version": -1}), [], {}), "aten, rewritten", {})
    decisions.keep(path.stem, nonsense)
    with pytest.warns(CacheWarning, match="is damaged"):
        graph, again = compiled()
    assert torch.equal(answer, again) and graph.rules == first.rules and "measure" in graph.stages


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_folder_that_may_not_be_used_costs_one_warning(folder: Path) -> None:
    folder.write_text("a file in its place")
    with pytest.warns(CacheWarning) as caught:
        compiled()
    assert {str(w.message).split(" (")[0] for w in caught} == {
        f"Hypatia: the cache folder {folder} cannot be read",
        f"Hypatia: the cache folder {folder} cannot be written",
    }


def test_a_recalled_choice_of_the_original_is_no_refusal_of_a_joint_graph(folder: Path) -> None:
    """Generated code of the original is compiled alone then; what the search found is no program at all."""

    def step() -> GraphReport:
        torch._dynamo.reset()
        torch.manual_seed(1)
        given = [torch.randn(n, m, requires_grad=True) for n, m in ((64, 64), (64, 64), (64, 1))]
        function = hypatia(chain, executor="auto", candidates="all")
        function(*given).sum().backward()
        exact = [x.detach().clone().requires_grad_() for x in given]
        chain(*exact).sum().backward()
        for x, y in zip(given, exact, strict=True):
            assert x.grad is not None and y.grad is not None
            assert (x.grad - y.grad).norm() <= 1e-5 * y.grad.norm()
        (graph,) = hypatia_core.report(function).graphs
        return graph

    assert step().rewritten
    (path,) = records(folder)
    found = decisions.find(path.stem)
    assert found is not None
    decisions.keep(path.stem, dataclasses.replace(found, chosen="inductor, original"))
    again = step()
    assert (again.executor, again.rewritten, again.refusals) == ("inductor", False, [])


def keep_many(folder: str, n: int) -> None:
    os.environ[cache_folder.VARIABLE] = folder
    for i in range(50):
        decisions.keep("same", decisions.Record(True, None, f"{n} {i}", {"rules": {"r": n}}))


def test_many_processes_at_once(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    decisions.keep("same", decisions.Record(True, None, "first", {}))
    workers = [context.Process(target=keep_many, args=(str(folder), n)) for n in range(4)]
    for worker in workers:
        worker.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while any(worker.is_alive() for worker in workers):
            found = decisions.find("same")
            assert found is not None and found.chosen is not None
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [path.name for path in (folder / decisions.FOLDER).iterdir()] == ["same.json"]


def test_the_folder_does_not_grow_without_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MOST", 20)
    for i in range(40):
        decisions.keep(f"{i}", decisions.Record())
        os.utime(folder / decisions.FOLDER / f"{i}.json", (i, i))
    assert len(records(folder)) <= 21 and (folder / decisions.FOLDER / "39.json").exists()


def test_a_second_process_chooses_the_same(folder: Path, fresh_python: Run) -> None:
    code = """
import torch, hypatia_core
torch.set_num_threads(1)
torch.manual_seed(0)
given = [torch.randn(64, n) for n in (64, 64, 1)]
function = torch.compile(lambda a, b, v: (a @ b) @ v, backend="hypatia", options={"on_error": "raise"})
function(*given)
(graph,) = hypatia_core.report(function).graphs
print(graph.executor, graph.rewritten, sorted(graph.measured.items()), "measure" in graph.stages)
"""
    lines = [
        fresh_python(code, env={cache_folder.VARIABLE: str(folder)}).stdout.splitlines()[-1] for _ in range(2)
    ]
    assert lines[0].endswith(" True") and lines[1].endswith(" False")
    assert lines[0].rpartition(" ")[0] == lines[1].rpartition(" ")[0]
