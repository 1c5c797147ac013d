"""Races between implementations, on a clock that says what the test wants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from hypatia_core import decisions, implementations, lowering, timing
from hypatia_core.implementations.linear import linear
from hypatia_core.weights import dependent_on
from test_implementations import captured

pytestmark = pytest.mark.usefixtures("one_thread")

Clock = dict[str, Callable[[int], float]]


def race(names: Iterable[str]) -> dict[str, list[float]]:
    """A race between functions that say what they are called."""
    return timing.race({name: partial(str, name) for name in names})


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock], dict[str, list[float]]]:
    """Runs a race in which the n-th time of each is given; the first one only says how often to repeat."""

    def run(clock: Clock) -> dict[str, list[float]]:
        seen: dict[str, int] = defaultdict(int)

        def seconds(run: Callable[[], Any], repeats: int) -> float:
            name = run()
            seen[name] += 1
            return clock[name](seen[name] - 2) if seen[name] > 1 else 1e-3

        monkeypatch.setattr(timing, "_seconds", seconds)
        monkeypatch.setattr(timing, "ENOUGH_SECONDS", 1e9)
        return race(clock)

    return run


def test_a_quiet_race_has_its_rounds(raced: Callable[[Clock], dict[str, list[float]]]) -> None:
    times = raced({"a": lambda n: 1.0, "b": lambda n: 1.2})
    assert [len(found) for found in times.values()] == [timing.ROUNDS, timing.ROUNDS]
    assert timing.are_settled(times)


def test_what_cannot_win_is_out_after_two_rounds(raced: Callable[[Clock], dict[str, list[float]]]) -> None:
    times = raced({"a": lambda n: 1.0, "b": lambda n: 1.1, "c": lambda n: 2.0})
    assert len(times["c"]) == 2 and len(times["b"]) == timing.ROUNDS
    assert len(raced({"a": lambda n: 1.0, "b": lambda n: 4.0})["a"]) == 2


def test_a_disturbed_race_goes_on_until_it_is_settled(
    raced: Callable[[Clock], dict[str, list[float]]],
) -> None:
    # The least time comes once, and once more in the eighth round.
    times = raced({"a": lambda n: 1.0 if n in (0, 7) else 1.4, "b": lambda n: 1.2})
    assert len(times["a"]) == 8 and timing.are_settled(times)


def test_a_race_that_never_settles_ends_and_says_so(
    raced: Callable[[Clock], dict[str, list[float]]],
) -> None:
    times = raced({"a": lambda n: 1.4 - 0.4 * (n == 3), "b": lambda n: 1.2})
    assert len(times["a"]) == timing.MOST_ROUNDS and not timing.are_settled(times)


def test_a_disturbance_leaves_one_in_the_race(monkeypatch: pytest.MonkeyPatch) -> None:
    # "a" is lost after its first run, and then "b" is disturbed in all of its own.
    clock = {"a": iter([0.02]), "b": iter([0.005, *[0.1] * 50])}
    monkeypatch.setattr(timing, "_seconds", lambda run, repeats: next(clock[run()]))
    times = race(clock)
    assert times["a"] == [0.02] and len(times["b"]) >= 2


def test_the_first_run_of_what_is_very_long_is_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"a": iter([0.3] * 9), "b": iter([0.31] * 9), "c": iter([0.5] * 9)}
    monkeypatch.setattr(timing, "_seconds", lambda run, repeats: next(clock[run()]))
    monkeypatch.setattr(timing, "ENOUGH_SECONDS", 0.0)
    times = race(clock)
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("settled", [True, False])
def test_only_settled_times_go_on_disk(settled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "are_settled", lambda times: settled)
    timings = timing.Timings()
    monkeypatch.setattr(decisions, "TIMINGS", timings)
    graph, _, positions = captured(nn.Linear(9, 11), torch.randn(3, 9))
    record = decisions.Record()
    lowering.lower(graph, positions, decisions.KeptTimings(record))
    assert bool(record.timings) == settled
    assert timings._seconds, "this process knows them"


def test_a_step_writes_where_it_wrote_before() -> None:
    graph, inputs, positions = captured(nn.Sequential(nn.Linear(9, 11), nn.ReLU()), torch.randn(3, 9))
    weights = dependent_on(graph, positions)[0]
    node = next(node for node in graph.graph.nodes if node.target is torch.ops.aten.addmm.default)
    unit = linear(node, weights, set())
    assert unit is not None
    (row,) = (row for row in implementations.TABLE if row.operation == "linear" and row.is_step)
    given = dict(zip((n for n in graph.graph.nodes if n.op == "placeholder"), inputs, strict=True))
    real = [None if n is None else given[n] for n in (*unit.activations, *unit.weights)]
    ways = timing._alone(unit, row, real)
    assert list(ways) == [row.as_step, row.name]
    with torch.no_grad():
        (first,), (again,) = ways[row.as_step](), ways[row.as_step]()
        (apart,), (other,) = ways[row.name](), ways[row.name]()
        (expected,) = (graph(*inputs),)
    assert again is first and other is not apart
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(apart, expected)
