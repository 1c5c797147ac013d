"""Which graph generated code is made of, and when: counted, on times that the test gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import assert_agrees, hypatia
from hypatia_core import candidates, choice, compat
from hypatia_core.choice import Candidate, Choice, Deferred
from hypatia_core.executors.aten import Aten
from hypatia_core.executors.inductor import Inductor
from hypatia_core.fusion import Left, Shares, shares
from hypatia_core.report import GraphReport

pytestmark = pytest.mark.usefixtures("one_thread")

Made = Candidate | None


class Race:
    """A choice whose candidates take the times that are given; counts what was compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.compiled: list[str] = []
        self.report = GraphReport("inference", 1, 1)
        self.refusals: list[str] = []

        def fastest(this: Choice, accepted: list[Candidate], inputs: Any, anyway: bool = False) -> Candidate:
            named = {c.name: c for c in [original(), *accepted]}
            self.report.measured |= {name: seconds[name] for name in named}
            return named[min(named, key=lambda name: seconds[name])]

        monkeypatch.setattr(Choice, "_fastest", fastest)

    def decide(self, now: list[str], later: dict[str, tuple[Any, str]], calls: float = 0.0) -> str:
        """What is installed, of candidates that are there and of others that may be compiled."""
        Choice(
            original(),
            [candidate(name) for name in now],
            torch.fx.symbolic_trace(lambda x: x + 1),
            by_region=None,
            verify=False,
            measure=True,
            exact=False,
            repeatable=True,
            profile=None,
            report=self.report,
            refused=self.refusals.append,
            failed=lambda reason, error: self.refusals.append(reason),
            deferred=[
                Deferred(
                    name,
                    self._compiler(name),
                    _shares(found),
                    beside,
                    calls,
                    fused_by=NATIVE if name == REWRITTEN else "",
                )
                for name, (found, beside) in later.items()
            ],
        ).decide([torch.ones(1)])
        return self.report.installed

    def _compiler(self, name: str) -> Callable[[], Made]:
        def compile_it() -> Made:
            self.compiled.append(name)
            return candidate(name) if name in self.seconds else None

        return compile_it


def _shares(found: Any) -> Callable[[list[Any]], Shares]:
    def run(inputs: list[Any]) -> Shares:
        if isinstance(found, Exception):
            raise found
        return Shares(*found)

    return run


def candidate(name: str) -> Candidate:
    return Candidate(name, name.partition(",")[0], "rewritten" in name, compat.boxed(lambda xs: (xs[0] + 1,)))


def original() -> Candidate:
    return candidate("original")


REWRITTEN, ORIGINAL, ATEN = "inductor, rewritten", "inductor, original", "aten, rewritten"
NATIVE = "native, rewritten"
#: What runs a graph op by op where that was not timed.
UNTIMED = "untimed"


def test_what_cannot_win_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    # The rewriting saved six of ten seconds of products: no fusion of the original makes up for that.
    race = Race(monkeypatch, {"original": 10, ATEN: 4, REWRITTEN: 3.1, ORIGINAL: 1})
    later = {REWRITTEN: ((3, 0, 1), ATEN), ORIGINAL: ((9, 0, 1), "original")}
    assert race.decide([ATEN], later) == REWRITTEN
    assert race.compiled == [REWRITTEN]
    assert any(ORIGINAL in reason and "not compiled" in reason for reason in race.refusals)


def test_the_original_goes_first_where_more_of_it_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    # One kernel of ours in the place of many pointwise operations, which a compiler may make into one too.
    race = Race(monkeypatch, {"original": 10, ATEN: 5, REWRITTEN: 5, ORIGINAL: 2.5})
    later = {REWRITTEN: ((5, 0, 0), ATEN), ORIGINAL: ((1, 0, 9), "original")}
    assert race.decide([ATEN], later) == ORIGINAL
    assert race.compiled == [ORIGINAL]


def test_what_fusion_left_of_the_first_is_expected_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    later = {REWRITTEN: ((4, 0, 2), ATEN), ORIGINAL: ((4.5, 0, 3), "original")}
    poor = Race(monkeypatch, {"original": 7.5, ATEN: 6, REWRITTEN: 5.8, ORIGINAL: 7})
    assert poor.decide([ATEN], later) == REWRITTEN
    assert poor.compiled == [REWRITTEN], "0.9 of the rest was left: 7.2 s of the original"
    rich = Race(monkeypatch, {"original": 7.5, ATEN: 6, REWRITTEN: 5.1, ORIGINAL: 4.5})
    assert rich.decide([ATEN], {**later, ORIGINAL: ((4.35, 0, 0.3), UNTIMED)}) == ORIGINAL
    assert rich.compiled == [REWRITTEN, ORIGINAL], "0.55 of the rest was left: 4.52 s of this original"


def test_a_second_graph_is_compiled_for_more_than_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(monkeypatch, {"original": 7.5, ATEN: 6, REWRITTEN: 5, ORIGINAL: 4.6})
    later = {REWRITTEN: ((4, 0, 2), ATEN), ORIGINAL: ((4.3, 0, 0.9), UNTIMED)}
    assert race.decide([ATEN], later) == REWRITTEN
    assert race.compiled == [REWRITTEN], "4.75 s are predicted, 5 % less: not worth as long again"


def test_times_of_calls_tell_nothing_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    later = {REWRITTEN: ((9, 0, 0), ATEN), ORIGINAL: ((10, 0, 0), "original")}
    seconds = {"original": 10, ATEN: 9, NATIVE: 2, REWRITTEN: 1.5, ORIGINAL: 1}
    long = Race(monkeypatch, seconds)
    assert long.decide([ATEN, NATIVE], later, calls=0.1) == NATIVE
    assert long.compiled == [], "9 s are predicted, and two are twice the price of calls ten times over"
    short = Race(monkeypatch, seconds)
    assert short.decide([ATEN, NATIVE], later, calls=0.25) == REWRITTEN
    assert short.compiled == [REWRITTEN], "of the second the first tells"


def test_where_the_first_lost_the_second_has_its_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(monkeypatch, {"original": 10, ATEN: 9, REWRITTEN: 12, ORIGINAL: 8})
    later = {REWRITTEN: ((2, 0, 7), ATEN), ORIGINAL: ((7, 0, 1), UNTIMED)}
    assert race.decide([ATEN], later) == ORIGINAL
    assert race.compiled == [REWRITTEN, ORIGINAL]


def test_what_our_programs_left_bounds_what_generated_code_may(monkeypatch: pytest.MonkeyPatch) -> None:
    later = {REWRITTEN: ((8, 0, 2), ATEN)}
    alone = Race(monkeypatch, {"original": 12, ATEN: 10, REWRITTEN: 8.5})
    assert alone.decide([ATEN], later) == REWRITTEN, "8.4 s are predicted"
    beside = Race(monkeypatch, {"original": 12, ATEN: 10, NATIVE: 8.5, REWRITTEN: 8.5})
    assert beside.decide([ATEN, NATIVE], later) == NATIVE
    assert beside.compiled == [], "8.4 s are predicted, and that is no gain worth the compiling"
    slow = Race(monkeypatch, {"original": 12, ATEN: 10, NATIVE: 9.5, REWRITTEN: 8.5})
    assert slow.decide([ATEN, NATIVE], {REWRITTEN: ((7.5, 0, 2.5), ATEN)}) == REWRITTEN
    poor = Race(monkeypatch, {"original": 12, ATEN: 10, NATIVE: 9.8, REWRITTEN: 9.0})
    assert poor.decide([ATEN, NATIVE], {REWRITTEN: ((8.0, 0, 2.0), ATEN)}) == REWRITTEN
    assert poor.compiled == [REWRITTEN], "0.63 of the rest may be left: 9.26 s"
    little = Race(monkeypatch, {"original": 12, ATEN: 10, NATIVE: 9.8, REWRITTEN: 9.0})
    assert little.decide([ATEN, NATIVE], {REWRITTEN: ((8.4, 0, 1.6), ATEN)}) == NATIVE
    assert little.compiled == [], "9.38 s are predicted, 4 % less than ours take: less than can be told"


def test_nothing_is_compiled_where_libraries_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(monkeypatch, {"original": 10, "onednn": 4})
    later = {"inductor": ((1, 2 * 4, 1), "original"), ORIGINAL: ((10, 0, 0), "original")}
    assert race.decide(["onednn"], later) == "onednn"
    assert race.compiled == []


def test_times_are_those_of_flat_code(monkeypatch: pytest.MonkeyPatch) -> None:
    # Node by node it took twice as long as the candidate that runs the same graph.
    race = Race(monkeypatch, {"original": 10, ATEN: 4, REWRITTEN: 3.5})
    assert race.decide([ATEN], {REWRITTEN: ((7, 0, 1), ATEN)}) == REWRITTEN
    # Each at its best the nodes take less than all of them ever took.
    race = Race(monkeypatch, {"original": 10, ATEN: 9, REWRITTEN: 3.5})
    assert race.decide([ATEN], {REWRITTEN: ((8.5, 0, 0.1), ATEN)}) == ATEN
    assert race.compiled == []


@pytest.mark.parametrize(("spread", "rounds"), [(0.0, choice.SETTLED_ROUNDS), (1.0, choice.LEAST_ROUNDS)])
def test_long_rounds_end_once_times_repeat(
    spread: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    ran: dict[str, int] = defaultdict(int)

    def entrant(name: str, seconds: float) -> Candidate:
        def run(inputs: list[Tensor]) -> tuple[Tensor]:
            nonlocal now
            ran[name] += 1
            # Each time a little less, where it spreads.
            now += seconds * (1 + spread / ran[name])
            return (inputs[0],)

        return Candidate(name, "aten", name != "original", run)

    monkeypatch.setattr("hypatia_core.choice.time.perf_counter", lambda: now)
    report = GraphReport("inference", 1, 1)
    Choice(
        entrant("original", 0.5),
        [entrant(ATEN, 0.45)],
        torch.fx.symbolic_trace(lambda x: x),
        by_region=None,
        verify=False,
        measure=True,
        exact=False,
        repeatable=True,
        profile=None,
        report=report,
        refused=lambda reason: None,
        failed=lambda reason, error: None,
    ).decide([torch.ones(1)])
    assert report.installed == ATEN
    assert ran["original"] == rounds


@pytest.mark.parametrize("fault", ["compiling", "predicting"])
def test_a_fault_leaves_the_others(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"original": 10.0, ATEN: 5.0, ORIGINAL: 4.0}
    race = Race(monkeypatch, seconds if fault == "compiling" else {**seconds, REWRITTEN: 3.0})
    found = (1, 0, 1) if fault == "compiling" else RuntimeError("deliberately broken")
    installed = race.decide([ATEN], {REWRITTEN: (found, ATEN), ORIGINAL: ((1, 0, 2), "original")})
    assert race.compiled[0] == REWRITTEN
    assert installed == (ORIGINAL if fault == "compiling" else REWRITTEN)


def test_what_convolutions_took_is_learnt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # The original was slower than its parts op by op: no layout of images has saved anything.
    race = Race(monkeypatch, {"original": 17, ATEN: 18, "onednn": 9, ORIGINAL: 22, REWRITTEN: 1})
    later = {REWRITTEN: ((0, 16, 2), ATEN), ORIGINAL: ((0, 10, 7), "original")}
    assert race.decide([ATEN, "onednn"], later) == "onednn"
    assert race.compiled == [ORIGINAL]


def test_predictions() -> None:
    found = Shares(2.0, 1.0, 4.0)
    for seconds in (3.5, 9.0):
        assert found.of(seconds).total == pytest.approx(seconds)
    assert found.of(None) is found and Shares(0.0, 0.0, 0.0).of(1.0).total == 0
    priced = Shares(9.0, 0.0, 3.0, nodes=(1, 0, 9), price=0.25)
    less = priced.of(11.0)
    assert (less.library, less.fused, less.price) == pytest.approx((8.9, 2.1, 0.15)), "each the same less"
    assert priced.of(4.75).library == pytest.approx(8.75 / 2), "what is no price of a call, in proportion"
    for fused in (0.0, 0.3, 1.0):
        assert found.learnt(found.predicted(Left(fused=fused)), Left()).fused == pytest.approx(fused)
    assert found.learnt(100.0, Left()) == Left(1.0, 1.0), "never more than op by op"


def test_what_a_compiler_fuses() -> None:
    def function(x: Tensor, w: Tensor, kernel: Tensor) -> Tensor:
        y = torch.nn.functional.conv2d(x, kernel).flatten(1)
        return torch.softmax((y @ w).relu(), -1)

    given = torch.randn(2, 3, 8, 8), torch.randn(4 * 36, 16), torch.randn(4, 3, 3, 3)
    graph = torch.fx.experimental.proxy_tensor.make_fx(function)(*given)
    found = shares(graph, given)
    assert found.library > 0 and found.convolutions > 0 and found.fused > 0
    assert found.nodes[:2] == (1, 1) and 0 < found.price <= min(found.library, found.convolutions)
    everything = shares(graph, given, set(graph.graph.nodes))
    assert everything.total == 0


class Counted:
    """Inductor's place taken by flat code; notes each graph."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: list[Any] = []

        def compile_it(this: Any, graph: Any, fake_inputs: Any) -> Any:
            self.graphs.append(graph)
            return Aten().compile(graph, fake_inputs)

        monkeypatch.setattr(Inductor, "refusal", lambda *_: None)
        monkeypatch.setattr(Inductor, "compile", compile_it)


def chain(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return ((a @ b) @ v).relu()


def given() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1)


def test_of_a_small_graph_both_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    compiled = hypatia(chain, executor="auto", cache=False)
    assert_agrees(chain, *given(), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert set(graph.measured) == {"original", NATIVE, ATEN, REWRITTEN, ORIGINAL}
    assert len(counted.graphs) == 2


@pytest.mark.parametrize("which", ["likely", "all"])
def test_of_a_large_graph_what_may_win(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    monkeypatch.setattr(candidates, "SMALL", 0)
    monkeypatch.setattr(candidates, "MODERATE", 0)  # nor are its calls in doubt
    monkeypatch.setattr(choice, "UNKNOWN", Left(fused=1e9))  # nothing is expected of it
    compiled = hypatia(chain, executor="auto", cache=False, candidates=which)
    assert_agrees(chain, *given(), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert len(counted.graphs) == (2 if which == "all" else 0)
    refused = [reason for reason in graph.refusals if "not compiled" in reason]
    assert len(refused) == (0 if which == "all" else 2)


def test_a_deferred_candidate_is_verified_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    monkeypatch.setattr(candidates, "SMALL", 0)
    monkeypatch.setattr(choice, "UNKNOWN", Left(fused=0.0))
    compiled = hypatia(chain, executor="inductor", cache=False)
    assert_agrees(chain, *given(), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert len(counted.graphs) == len({REWRITTEN, ORIGINAL} & set(graph.measured)) > 0
    assert graph.stages["compile inductor"] > 0


def test_without_measuring_the_rewritten_graph_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    compiled = hypatia(chain, executor="inductor", measure=False, cache=False)
    assert_agrees(chain, *given(), compiled=compiled)
    assert len(counted.graphs) == 1


@pytest.mark.parametrize("small", [16, 0])
def test_training_has_the_same_candidates(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    monkeypatch.setattr(candidates, "SMALL", small)
    monkeypatch.setattr(choice, "UNKNOWN", Left(fused=0.0))
    a, b, v = given()
    a.requires_grad_(True)
    compiled = hypatia(chain, executor="auto", cache=False)
    compiled(a, b, v).sum().backward()
    ours, a.grad = a.grad, None
    chain(a, b, v).sum().backward()
    torch.testing.assert_close(ours, a.grad, atol=1e-3, rtol=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.stage == "joint" and graph.rewritten
    if small:
        assert set(graph.measured) - {NATIVE} == {"original", ATEN, REWRITTEN, ORIGINAL}
        assert len(counted.graphs) == 4, "two halves of each"
    for _ in range(2):  # whatever was chosen goes on
        a.grad = None
        compiled(a, b, v).sum().backward()
        torch.testing.assert_close(ours, a.grad)


def test_what_asks_something_new_of_a_size_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    monkeypatch.setattr(candidates, "SMALL", 0)
    monkeypatch.setattr(choice, "UNKNOWN", Left(fused=0.0))
    in_time = Inductor.compile

    def curious(this: Any, graph: Any, fake_inputs: Any) -> Any:
        if any(node.name == "mm_1" and node.meta["val"].shape[-1] == 1 for node in graph.graph.nodes):
            sizes = [x for x in fake_inputs if isinstance(x, torch.SymInt)]
            assert sizes[0] % 2 == 0
        return in_time(this, graph, fake_inputs)

    def function(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        return (a @ b) @ v

    monkeypatch.setattr(Inductor, "compile", curious)
    compiled = hypatia(function, executor="auto", dynamic=True, cache=False)
    for n in (64, 65):
        a, v = torch.randn(n, n), torch.randn(n, 1)
        assert_agrees(function, a, a.t().contiguous(), v, compiled=compiled)
    assert counted.graphs


def test_weights_that_are_packed_compete_with_the_graph_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    scale = nn.Parameter(torch.rand(32))

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale.exp().softmax(-1)

    model = Scaled().eval()
    compiled = hypatia(model, executor="auto", cache=False)
    with torch.no_grad():
        assert_agrees(model, torch.randn(8, 32), compiled=compiled)
    (graph,) = hypatia_core.report(compiled).graphs
    assert {"inductor", ORIGINAL} <= set(graph.measured) and len(counted.graphs) == 2
