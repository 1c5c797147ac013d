"""A tiered start: "aten" serves, and generated code comes later, by the rules of every choice."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hypatia_core
from agreement import hypatia
from conftest import Run
from hypatia_core import compat
from hypatia_core.choice import Candidate
from hypatia_core.executors import apart
from hypatia_core.executors.apart import Apart
from hypatia_core.report import GraphReport
from hypatia_core.tiered import TURNS, Promotion, _copy

pytestmark = pytest.mark.usefixtures("one_thread")
needs_compiler = pytest.mark.skipif(compat.cpp_compiler() is None, reason="no C++ compiler")


def called_until(done: Callable[[], bool], call: Callable[[], None], seconds: float = 120) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, "it never came to an end"
        call()
        time.sleep(0.002)


def graph_of(compiled: Any) -> GraphReport:
    (graph,) = hypatia_core.report(compiled).graphs
    return graph


def test_short_turns_are_this_threads_own_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = sys.getswitchinterval()
    breaks: list[float] = []
    monkeypatch.setattr(apart, "SHORT_TURN", 0.0)
    monkeypatch.setattr(time, "sleep", breaks.append)
    elsewhere: list[Any] = []

    def work() -> None:
        with apart.short_turns():
            elsewhere.append(sys.getprofile())
            len([])
        elsewhere.append(sys.getprofile())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert breaks and elsewhere[0] is not None and elsewhere[1] is None
    assert sys.getprofile() is None and sys.getswitchinterval() == usual


def test_a_profiled_thread_keeps_its_profiler() -> None:
    def own(frame: Any, event: str, argument: Any) -> None:
        pass

    sys.setprofile(own)
    try:
        with apart.short_turns():
            assert sys.getprofile() is own
        assert sys.getprofile() is own
    finally:
        sys.setprofile(None)


@needs_compiler
def test_generated_code_takes_over_and_sees_new_weights() -> None:
    first = nn.Linear(16, 32)
    model = nn.Sequential(first, nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)).eval()
    compiled = hypatia(model, executor="auto", tiered=True, measure=False)
    x = torch.randn(8, 16)

    def call() -> None:
        torch.testing.assert_close(compiled(x), model(x))

    with torch.no_grad():
        call()
        assert graph_of(compiled).executor in ("native", "aten")
        called_until(lambda: graph_of(compiled).executor == "inductor", call)
        assert "float64" in graph_of(compiled).verified and graph_of(compiled).error is not None
        call()
        first.weight.mul_(2)
        call()


@needs_compiler
def test_a_process_that_fails_leaves_aten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", "raise SystemExit('no such thing')")
    refused_with(hypatia(lambda x: x.sin() + 1, executor="auto", tiered=True), "no such thing")


@needs_compiler
def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(apart, "_PROGRAM", program)
    monkeypatch.setattr(apart, "PATIENCE", 1.0)
    refused_with(hypatia(lambda x: x.cos() + 1, executor="auto", tiered=True), "more than 1 s")
    assert pid.exists() and not Path("/proc", pid.read_text()).exists()


def refused_with(compiled: Any, reason: str) -> None:
    x = torch.randn(4)
    with torch.no_grad():
        wanted = compiled(x)
        called_until(lambda: any("tiered" in r for r in graph_of(compiled).refusals), lambda: compiled(x))
        assert torch.equal(compiled(x), wanted)
    assert any(reason in r for r in graph_of(compiled).refusals)
    assert graph_of(compiled).executor in ("native", "aten")


def test_what_cannot_be_tiered_says_so() -> None:
    compiled = hypatia(lambda x: torch.nn.functional.dropout(x, 0.5, True), tiered=True, executor="inductor")
    with torch.no_grad():
        compiled(torch.ones(8))
    assert any(r.startswith("tiered: ") for r in graph_of(compiled).refusals)


@needs_compiler
def test_no_process_outlives_this_one(new_python: Run, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = new_python(f"""
import os, time, torch, hypatia_core
from hypatia_core.executors import apart
apart._PROGRAM = "import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
options = {{"tiered": True, "executor": "inductor"}}
compiled = torch.compile(lambda x: x.sin() + 1, backend="hypatia", options=options)
with torch.no_grad():
    compiled(torch.ones(4))
while not os.path.exists({str(pid)!r}) or not os.path.getsize({str(pid)!r}):
    time.sleep(0.01)
""")
    assert done.returncode == 0
    assert not Path("/proc", pid.read_text()).exists()


@needs_compiler
def test_a_compiling_process_ends_with_one_that_is_killed(tmp_path: Path) -> None:
    import subprocess
    import sys

    root = str(Path(apart.__file__).parents[2])
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys, time; sys.path.insert(0, {root!r})\n"
            "from hypatia_core.executors import apart\n"
            "import threading; threading.Thread(target=apart._end_with_the_parent).start()\n"
            "time.sleep(600)",
        ],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(60) == -9


def promotion(
    first: Callable[[list[Any]], Any], second: Callable[[list[Any]], Any], accepted: bool = True
) -> tuple[Callable[[list[Any]], Any], GraphReport, list[Candidate | None]]:
    report, outcome = GraphReport("inference", 1, 1), list[Candidate | None]()
    candidate = Candidate("second", "inductor", False, second)

    class Judged:
        def __init__(self) -> None:
            self.seconds = {"original": 0.0, "second": 0.0}

        def tried(self, inputs: list[Any]) -> list[Candidate]:
            return [candidate] if accepted else []

    judged: Any = lambda candidate, account: Judged()  # noqa: E731
    run = Promotion(
        first,
        lambda: candidate,
        judged,
        weights=[],
        report=report,
        measure=True,
        refused=report.refusals.append,
        decided=outcome.append,
    ).started()
    return run, report, outcome


def test_each_call_is_one_run_and_the_faster_one_stays() -> None:
    runs: list[str] = []

    def slow(inputs: list[Any]) -> Any:
        time.sleep(0.01)
        runs.append("first")

    run, report, outcome = promotion(slow, lambda inputs: runs.append("second"))
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        run([torch.ones(2)])

    called_until(lambda: bool(outcome), call)
    assert len(runs) == calls and runs.count("second") == TURNS
    assert report.installed == "second" and set(report.measured) == {"original", "second"}
    run([torch.ones(2)])
    assert runs[-1] == "second"


def sleeping(inputs: list[Any]) -> int:
    time.sleep(0.01)
    return 1


def test_the_slower_one_goes() -> None:
    run, report, outcome = promotion(lambda inputs: 1, sleeping)
    called_until(lambda: bool(outcome), lambda: run([torch.ones(2)]))
    assert outcome == [None] and report.installed == "original"


def test_one_that_is_wrong_never_serves() -> None:
    run, report, outcome = promotion(lambda inputs: 1, lambda inputs: 2, accepted=False)
    served: list[int] = []
    called_until(lambda: bool(outcome), lambda: served.append(run([torch.ones(2)])))
    assert set(served) == {1} and report.installed == "original"


def test_one_that_fails_in_a_call_is_left() -> None:
    def fails(inputs: list[Any]) -> Any:
        inputs.clear()
        raise RuntimeError("not here")

    run, report, outcome = promotion(lambda inputs: len(inputs), fails)
    served: list[int] = []
    called_until(lambda: bool(outcome), lambda: served.append(run([torch.ones(2)])))
    assert set(served) == {1} and "not here" in report.refusals[0]


def test_a_graph_that_cannot_cross_is_refused() -> None:
    graph = torch.fx.symbolic_trace(lambda x: x.relu())
    with pytest.raises(hypatia_core.HypatiaError, match="it cannot be saved"):
        Apart().compile(graph, [torch.ones(2)])


@pytest.mark.parametrize("x", [torch.ones(3).expand(4, 3), torch.rand(4, 6).t()[1:, ::2], torch.ones(0, 2)])
def test_inputs_are_copied_in_their_strides(x: torch.Tensor) -> None:
    copied = _copy(x)
    assert torch.equal(copied, x) and copied.stride() == x.stride()
    assert not x.numel() or copied.data_ptr() != x.data_ptr()
