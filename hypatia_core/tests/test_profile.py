"""The cost profile: what is kept, what is refused, and that costs follow it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import hypatia_core
from hypatia_core import HypatiaWarning, cache_folder, profile
from hypatia_core.profile import Profile

# The package's attribute of this name is the function.
calibrate = importlib.import_module("hypatia_core.calibrate")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the profile."""
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_recorded_is_found_again_after_saving(folder: Path) -> None:
    found = profile.current()
    found.record("matmul", (1, 8, 8, 8), "f32", 2, 1e-6)
    path = found.save()
    assert path is not None and path.parent == folder
    again = profile.current()
    assert again.lookup("matmul", [1, 8, 8, 8], "f32", 2) == 1e-6
    assert again.lookup("matmul", (1, 8, 8, 8), "f32", 1) is None
    assert again.lookup("matmul", (1, 8, 8, 8), "f64", 2) is None
    assert again.digest() == Profile.from_json(again.to_json()).digest()
    assert list(folder.iterdir()) == [path]


def test_saving_keeps_what_another_process_measured(folder: Path) -> None:
    first, second = Profile(profile.machine_facts()), Profile(profile.machine_facts())
    first.record("exp", (16,), "f32", 1, 1e-6)
    second.record("log", (16,), "f32", 1, 2e-6)
    first.save()
    second.save()
    assert profile.current().lookup("exp", (16,), "f32", 1) == 1e-6
    assert profile.current().lookup("log", (16,), "f32", 1) == 2e-6


CORRUPT = {
    "empty": "",
    "cut off": '{"version": 1, "facts": {',
    "another version": '{"version": 99}',
    "no object": "[1]",
    "no facts": '{"version": 1}',
    "a time of zero": json.dumps(
        {
            "version": 1,
            "facts": {},
            "rooflines": {},
            "seconds": [{"implementation": "exp", "dtype": "f32", "threads": 1, "points": [[[1], 0.0]]}],
        }
    ),
    "another machine": json.dumps({"version": 1, "facts": {}, "rooflines": {}, "seconds": []}),
}


@pytest.mark.parametrize("text", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_or_foreign_file_is_ignored_with_a_warning_and_replaced(folder: Path, text: str) -> None:
    path = Profile(profile.machine_facts()).path()
    assert path is not None
    path.parent.mkdir()
    path.write_text(text)
    with pytest.warns(HypatiaWarning, match="cost profile .* is ignored"):
        found = profile.current()
    assert not found.seconds
    found.record("exp", (16,), "f32", 1, 1e-6)
    with pytest.warns(HypatiaWarning):
        found.save()
    assert profile.current().lookup("exp", (16,), "f32", 1) == 1e-6


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_folder.VARIABLE, "")
    found = profile.current()
    found.record("exp", (16,), "f32", 1, 1e-6)
    assert found.save() is None
    assert not profile.current().seconds


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "file" / "cache"))
    found = Profile(profile.machine_facts())
    with pytest.warns(HypatiaWarning, match="could not be written"):
        assert found.save() is None


def test_only_positive_times_are_recorded() -> None:
    with pytest.raises(ValueError, match="positive"):
        Profile({}).record("exp", (1,), "f32", 1, float("nan"))


def test_each_case_is_one_operation_and_every_operation_that_runs_has_one() -> None:
    smallest: dict[object, Any] = {}
    for case in calibrate.cases(quick=True):
        smallest.setdefault(case.function, case)
    named = {
        calibrate.shape_class_of(case.function, case.operands(torch.float32))["implementation"]
        for case in smallest.values()
    }
    assert {"add", "matmul", "addmm", "sum", "softmax", "permute", "gelu", "cat"} <= named
    assert len(named) == len(smallest) - 1  # products of matrices and of stacks are one operation


def test_a_function_of_two_operations_is_no_case() -> None:
    with pytest.raises(ValueError, match="not one operation"):
        calibrate.shape_class_of(lambda x: x.exp().log(), [torch.ones(3)])


def test_calibrating_measures_every_case_and_says_how_far_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [calibrate.Case(torch.exp, ((8,),)), calibrate.Case(torch.mm, ((8, 8), (8, 8)))]
    monkeypatch.setattr(calibrate, "cases", lambda quick: iter(few))
    monkeypatch.setattr(calibrate, "MORE_PASSES", 0)
    said: list[tuple[int, int, str]] = []
    found = hypatia_core.calibrate(progress=lambda *step: said.append(step), quick=True)
    assert found.lookup("exp", (8,), "f32") and found.lookup("matmul", (1, 8, 8, 8), "f64")
    total = 4 * calibrate.PASSES + 1
    assert [done for done, _, _ in said] == list(range(total + 1)) and {n for _, n, _ in said} == {total}
    machine = found.machine()
    assert machine is not None and machine["roofline"]["peak_f32"] > 1e9


def test_the_least_time_of_all_passes_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([*[1.0] * 6, 3.0, 7.0, 2.0, 9.0, 4.0, 8.0])  # peaks first, then float32 and float64 in turn
    monkeypatch.setattr(calibrate, "cases", lambda quick: iter([calibrate.Case(torch.exp, ((8,),))]))
    monkeypatch.setattr(calibrate, "seconds_of", lambda run: next(taken))
    monkeypatch.setattr(calibrate, "MORE_PASSES", 0)
    found = hypatia_core.calibrate()
    assert (found.lookup("exp", (8,), "f32"), found.lookup("exp", (8,), "f64")) == (2.0, 7.0)
    assert next(taken, None) is None


def test_what_was_measured_in_slow_seconds_is_measured_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, clock = iter([*[1.0] * 6, 5.0, 4.0, 2.5]), iter([2.0, 2.0, *[1.0] * 4])

    class Clock(calibrate.Yardstick):  # type: ignore[misc, name-defined]
        def seconds(self) -> float:
            now: float = next(clock)
            self.best: float = min(self.best, now)
            return now

    monkeypatch.setattr(calibrate, "cases", lambda quick: iter([calibrate.Case(torch.exp, ((8,),))]))
    monkeypatch.setattr(calibrate, "seconds_of", lambda run: next(taken))
    monkeypatch.setattr(calibrate, "Yardstick", Clock)
    monkeypatch.setattr(calibrate, "PASSES", 1)
    said: list[tuple[int, int, str]] = []
    found = hypatia_core.calibrate(progress=lambda *step: said.append(step))
    assert (found.lookup("exp", (8,), "f32"), found.lookup("exp", (8,), "f64")) == (2.5, 4.0)
    assert next(taken, None) is next(clock, None) is None
    assert said[-1][:2] == (4, 4)


def test_costs_follow_the_profile(folder: Path) -> None:
    torch._dynamo.reset()
    found = profile.current()
    found.record("matmul", (1, 64, 64, 64), "f32", None, 1.0)
    found.save()
    compiled = torch.compile(lambda x: x @ x, backend="hypatia", options={"executor": "aten"})
    compiled(torch.ones(64, 64))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.cost_before == pytest.approx(1.0, rel=1e-2)
