"""Which candidate is installed: those that are right, and of these the fastest on the real inputs."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.check import FREE_ULPS, Reference, Terms, Verdict, judge
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.fusion import Left, Shares
from hypatia_core.regions import RegionByRegion
from hypatia_core.report import GraphReport, brief
from hypatia_core.timing import are_settled, is_out

#: What the original is called, and what runs op by op is held against.
ORIGINAL = "original"
#: A candidate must be faster than the original by this part before it is installed.
LEAST_GAIN = 0.02
#: A graph is given to a compiler, which takes seconds, where so much more is predicted, since times of nodes
#: tell no better; and a second graph only for twice that.
FIRST_GAIN, SECOND_GAIN = 0.05, 0.1
#: Up to so many times the price of its calls nothing is predicted of a graph from times of its nodes.
BLURRED = 10.0
#: Rounds of measurement, how many there are at least where times repeat and where they do not, and after how
#: many seconds no further one is begun.
ROUNDS = 7
SETTLED_ROUNDS, LEAST_ROUNDS = 2, 3
ENOUGH_SECONDS = 1.0
#: So many times as much of both, where the machine is disturbed.
PATIENCE = 3
#: What generated code is expected to leave before any was made.
UNKNOWN = Left()
#: Of what programs of our own left it leaves so much at best: a guess.
OF_OURS = 0.7
#: Where accuracy comes first, a rewritten candidate that errs so much less needs not be faster.
MORE_ACCURATE = 0.5


@dataclass(frozen=True)
class Candidate:
    """Something that may run in place of the original."""

    name: str
    executor: str
    rewritten: bool
    run: Runnable
    #: Whether it is no fault where it fails: others are there that do not.
    optional: bool = False


@dataclass(frozen=True)
class Form:
    """A graph and what may run it: one candidate, if it can be made."""

    name: str
    runner: Executor
    graph: GraphModule
    rewritten: bool
    #: Whether it stays as it came where the others are divided from what depends on weights alone.
    as_it_came: bool = False


@dataclass(frozen=True)
class Deferred:
    """A candidate that takes seconds to compile: it is, where measured times say that it may win."""

    name: str
    #: Makes it; None where that failed, which was told then.
    compile: Callable[[], Candidate | None]
    #: What the nodes of its graph take on these inputs, and which candidate runs the same graph op by op.
    shares: Callable[[list[Any]], Shares]
    beside: str
    #: So many seconds of what is predicted may be the price of calls.
    calls: float = 0.0
    #: Which candidate runs the same graph by programs of our own, which fuse too.
    fused_by: str = ""


@dataclass(frozen=True)
class _Standard:
    """What candidates are held against, on the inputs of the call that decides."""

    wanted: tuple[Any, ...]
    reference: tuple[Any, ...] | None
    free_ulps: float
    #: Whether each rewritten region held against float64, where the graph is verified so.
    regions_hold: bool = True


class Choice:
    """A choice still to be made: the first call verifies and measures the candidates on its real inputs."""

    def __init__(
        self,
        original: Candidate,
        candidates: list[Candidate],
        graph: GraphModule,
        *,
        by_region: RegionByRegion | None,
        verify: bool,
        measure: bool,
        exact: bool,
        free_ulps: float = FREE_ULPS,
        recalled: bool = False,
        repeatable: bool,
        draws: bool = True,
        profile: Callable[[list[Any]], None] | None,
        report: GraphReport,
        refused: Callable[[str], None],
        failed: Callable[[str, Exception], None],
        decided: Callable[[Candidate, bool], None] | None = None,
        accuracy_first: bool = False,
        deferred: Sequence[Deferred] = (),
    ) -> None:
        """`deferred` are compiled at the first call, if at all; only where candidates are measured."""
        self._original = original
        self._candidates = candidates
        self._deferred = list(deferred) if measure else []
        self._graph: GraphModule | None = graph
        self._by_region = by_region
        self._verify = verify
        self._measure = measure
        self._exact = exact
        self._free_ulps = free_ulps
        #: Whether an earlier process chose, on other values of weights and inputs.
        self._recalled = recalled
        self._repeatable = repeatable
        #: Where nothing draws random numbers, their state is another thread's to change.
        self._random_state_kept = _RandomStateKept if draws else contextlib.nullcontext
        self._profile = profile
        self._report = report
        self._refused = refused
        self._failed = failed
        self._when_decided = decided
        # Reentrant: a graph may come back to itself through a custom operation.
        self._lock = threading.RLock()
        self._deciding = False
        self._standard: _Standard | None = None
        self._run: Runnable | None = None
        #: Seconds of the run that verified each.
        self.seconds: dict[str, float] = {}
        #: Whether the machine was quiet enough, as far as times can tell, for the choice to be made again.
        self.settled = True
        self._accuracy_first = accuracy_first
        #: By name: whether a candidate errs much less than the original; its error and the original's.
        self._more_accurate: dict[str, bool] = {}
        self._errors: dict[str, tuple[float, float]] = {}

    def installed(self) -> Runnable:
        """The callable that runs what is chosen."""

        # A plain function: torch copies the mark of a boxed one, but not that of an object.
        def call(inputs: list[Any]) -> Any:
            return (self._run or self.decide(inputs))(inputs)

        return compat.boxed(call)

    @property
    def decided(self) -> bool:
        """Whether it is known what runs."""
        return self._run is not None

    def tried(self, inputs: list[Any]) -> list[Candidate]:
        """The candidates that are right on these inputs, or that run, where they are not to be verified."""
        with torch.no_grad():
            return self._right(self._candidates, inputs)

    def decide(self, inputs: list[Any]) -> Runnable:
        """What runs from now on; the original while that is being found out on these inputs."""
        with self._lock:
            if self._deciding:
                return self._original.run
            if self._run is None:
                chosen = self._original
                if self._candidates or self._deferred or self._profile is not None:
                    self._deciding = True
                    try:
                        with torch.no_grad(), self._random_state_kept():
                            chosen = self._chosen(inputs)
                    finally:
                        self._deciding, self._standard = False, None
                self._report.executor = chosen.executor
                self._report.rewritten = chosen.rewritten
                self._report.installed = chosen.name
                errors = self._errors.get(chosen.name)
                if errors is not None:
                    self._report.error, self._report.original_error = errors
                if not chosen.rewritten:
                    self._report.nodes_after = self._report.nodes_before
                self._run = chosen.run
                if self._when_decided is not None:
                    self._when_decided(chosen, self.settled)
                self._candidates, self._deferred = [], []
                self._graph, self._by_region, self._profile = None, None, None
            return self._run

    def _chosen(self, inputs: list[Any]) -> Candidate:
        try:
            return self._choose(inputs)
        except HypatiaError:
            raise  # asked for by `on_error="raise"`
        except Exception as error:
            self._outputs(self._original, inputs)  # an error of the user's own comes first
            self._failed(f"nothing was chosen: {brief(error)}", error)
            return self._original

    def _choose(self, inputs: list[Any]) -> Candidate:
        if not self._repeatable:
            return self._original
        if self._profile is not None:
            self._profile(list(inputs))
        accepted = self._right(self._candidates, inputs)
        if not self._measure:
            return accepted[0] if accepted else self._original
        better = [c for c in accepted if c.rewritten and self._more_accurate.get(c.name)]
        if self._accuracy_first and better:
            return self._fastest(better, inputs, anyway=True)
        chosen = self._fastest(accepted, inputs) if accepted or self._deferred else self._original
        return self._beside_deferred(chosen, inputs) if self._deferred else chosen

    def _beside_deferred(self, chosen: Candidate, inputs: list[Any]) -> Candidate:
        """The chosen one, or a deferred candidate that beat it; those that cannot are not compiled."""
        begun = time.perf_counter()
        measured = self._report.measured
        waiting = {d: self._shares(d, inputs).of(measured.get(d.beside)) for d in self._deferred}
        self._report.stages["predict"] = time.perf_counter() - begun
        left = UNKNOWN
        for deferred, shares in waiting.items():
            if deferred.fused_by in measured:
                ours = shares.learnt(measured[deferred.fused_by], UNKNOWN)
                left = Left(left.convolutions, max(left.fused, OF_OURS * ours.fused))
        compiled = False
        while waiting:
            deferred = min(waiting, key=lambda d: waiting[d].predicted(left))
            shares = waiting.pop(deferred)
            least = measured[chosen.name]
            predicted = shares.predicted(left)
            wanted = SECOND_GAIN if compiled else FIRST_GAIN
            # What may be the price of calls alone tells nothing of its parts: then compiling tells, once.
            tells = compiled or least > BLURRED * deferred.calls
            if tells and predicted - deferred.calls > (1 - wanted) * least:
                self._refused(
                    f"{deferred.name}: not compiled, for {1e3 * predicted:.3f} ms are predicted of it, "
                    f"and {chosen.name} takes {1e3 * least:.3f} ms"
                )
                continue
            candidate = deferred.compile()
            compiled = compiled or candidate is not None
            if candidate is None or not self._right([candidate], inputs):
                continue
            rivals = [candidate] if chosen is self._original else [chosen, candidate]
            chosen = self._fastest(rivals, inputs)
            left = shares.learnt(measured[candidate.name], left)
        return chosen

    def _shares(self, deferred: Deferred, inputs: list[Any]) -> Shares:
        try:
            with self._random_state_kept():
                return deferred.shares(list(inputs))
        except Exception as error:  # then it is compiled
            self._refused(f"{deferred.name}: nothing was predicted ({brief(error)})")
            return Shares(0.0, 0.0, 0.0)

    def _right(self, candidates: list[Candidate], inputs: list[Any]) -> list[Candidate]:
        if not candidates:
            return []
        return self._accepted(candidates, inputs) if self._verify else self._running(candidates, inputs)

    def _accepted(self, candidates: list[Candidate], inputs: list[Any]) -> list[Candidate]:
        begun = time.perf_counter()
        if self._standard is None:
            wanted = self._outputs(self._original, inputs)
            if self._recalled and self._all_are_near(inputs, wanted):
                self._report.stages["verify"] = time.perf_counter() - begun
                return candidates
            self._standard = self._standard_of(wanted, inputs)
        standard = self._standard
        accepted = []
        for candidate in candidates:
            if candidate.rewritten and not standard.regions_hold:
                continue
            outputs = self._tried(candidate, inputs)
            if outputs is None:
                continue
            verdict = self._verdict(outputs, standard, inputs)
            if verdict.accepted:
                accepted.append(candidate)
                self._more_accurate[candidate.name] = verdict.error < MORE_ACCURATE * verdict.original_error
                self._errors[candidate.name] = verdict.error, verdict.original_error
                self._report.error, self._report.original_error = verdict.error, verdict.original_error
            else:
                self._refused(f"{candidate.name}: {verdict.reason}")
        stages = self._report.stages
        stages["verify"] = stages.get("verify", 0.0) + time.perf_counter() - begun
        return accepted

    def _standard_of(self, wanted: tuple[Any, ...], inputs: list[Any]) -> _Standard:
        assert self._graph is not None
        try:
            with self._random_state_kept():
                if self._by_region is None:
                    reference = Reference(self._graph).run_on(inputs)
                    self._report.verified = "the whole graph against float64"
                    return _Standard(wanted, reference, self._free_ulps)
                verdict = self._by_region.try_on(inputs)
        except (
            Exception
        ) as error:  # an operation without a float64 form: the original itself is the reference
            self._report.verified = "against the original"
            self._refused(f"no float64 run ({brief(error)}): candidates were compared with the original")
            return _Standard(wanted, None, self._free_ulps)
        count = len(self._by_region.verdicts)
        self._report.verified = f"{count} rewritten regions against float64, the whole against the original"
        if not verdict.accepted:
            self._refused(f"a rewritten region: {verdict.reason}")
        # Rounding errors of so many operations in a row, as a random walk.
        free_ulps = self._free_ulps * math.sqrt(len(self._graph.graph.nodes))
        return _Standard(wanted, None, free_ulps, verdict.accepted)

    def _verdict(self, outputs: tuple[Any, ...], standard: _Standard, inputs: list[Any]) -> Verdict:
        verdict = judge(outputs, standard.wanted, standard.reference, self._exact, standard.free_ulps)
        if verdict.accepted or standard.reference is None or self._exact:
            return verdict
        assert self._graph is not None
        with self._random_state_kept():
            terms = Terms(self._graph).terms_on(inputs)
        return judge(outputs, standard.wanted, standard.reference, self._exact, standard.free_ulps, terms)

    def _all_are_near(self, inputs: list[Any], wanted: tuple[Any, ...]) -> bool:
        """Whether what was chosen on other values is, on these, within the free error of the original.

        Then no float64 run could tell more than that it errs so much more than the original at most.
        """
        return all(
            (outputs := self._tried(candidate, inputs)) is not None
            and judge(outputs, wanted, None, self._exact, self._free_ulps).accepted
            for candidate in self._candidates
        )

    def _running(self, candidates: list[Candidate], inputs: list[Any]) -> list[Candidate]:
        """The candidates that run at all; where one does not, the user's own error comes first."""
        running = []
        for candidate in candidates:
            if self._tried(candidate, inputs, original_first=False) is not None:
                running.append(candidate)
        return running

    def _tried(
        self, candidate: Candidate, inputs: list[Any], original_first: bool = True
    ) -> tuple[Any, ...] | None:
        try:
            return self._outputs(candidate, inputs)
        except (
            Exception
        ) as error:  # whatever a candidate raises where the original does not, it is the one that goes
            if not original_first:
                self._outputs(self._original, inputs)
            reason = f"{candidate.name} failed when run: {brief(error)}"
            if candidate.optional:
                self._refused(reason)
            else:
                self._failed(reason, error)
            return None

    def _fastest(self, accepted: list[Candidate], inputs: list[Any], anyway: bool = False) -> Candidate:
        """The fastest; the original where it is not beaten, unless one of the others is wanted anyway."""
        begun = time.perf_counter()
        entrants = [self._original, *accepted]
        times: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
        running = entrants
        # The runs that verified do not count: a first run allocates, packs and warms up.
        for done in range(1, PATIENCE * ROUNDS + 1):
            for entrant in running:
                arguments = list(inputs)
                start = time.perf_counter()
                entrant.run(arguments)
                times[entrant.name].append(time.perf_counter() - start)
            least = min(map(min, times.values()))
            running = [e for e in running if not is_out(times[e.name], least)]
            settled = are_settled(times)
            patience = 1 if settled else PATIENCE
            late = time.perf_counter() - begun > patience * ENOUGH_SECONDS
            enough = SETTLED_ROUNDS if settled else LEAST_ROUNDS
            if done >= patience * ROUNDS or (late and done >= enough):
                break
        self.settled = self.settled and settled
        best = {name: min(seconds) for name, seconds in times.items()}
        self._report.measured.update(best)
        stages = self._report.stages
        stages["measure"] = stages.get("measure", 0.0) + time.perf_counter() - begun
        if not accepted:
            return self._original
        fastest = min(accepted, key=lambda candidate: best[candidate.name])
        beaten = best[fastest.name] < best[self._original.name] * (1 - LEAST_GAIN)
        return fastest if beaten or anyway else self._original

    def _outputs(self, candidate: Candidate, inputs: list[Any]) -> tuple[Any, ...]:
        arguments = list(inputs)
        with self._random_state_kept():
            begun = time.perf_counter()
            result = candidate.run(arguments)
            self.seconds[candidate.name] = time.perf_counter() - begun
        return tuple(result) if isinstance(result, (list, tuple)) else (result,)


class _RandomStateKept:
    """Leaves the random state of each device as it was."""

    def __enter__(self) -> None:
        self._fork = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
        self._fork.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)
