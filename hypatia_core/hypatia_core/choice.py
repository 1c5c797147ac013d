"""Which candidate is installed: those that are right, and of these the fastest on the real inputs."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.check import FREE_ULPS, Reference, Terms, judge
from hypatia_core.executors.base import Runnable
from hypatia_core.regions import RegionByRegion
from hypatia_core.report import GraphReport, brief
from hypatia_core.timing import are_settled

#: A candidate must be faster than the original by this part before it is installed.
LEAST_GAIN = 0.02
#: Rounds of measurement, how many there are at least, and the seconds after which no further one is begun.
ROUNDS = 7
LEAST_ROUNDS = 3
ENOUGH_SECONDS = 1.0
#: So many times as much of both, where the machine is disturbed.
PATIENCE = 3
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
    ) -> None:
        self._original = original
        self._candidates = candidates
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
        self._run: Runnable | None = None
        #: Seconds of the run that verified each.
        self.seconds: dict[str, float] = {}
        #: Whether the machine was quiet enough, as far as times can tell, for the choice to be made again.
        self.settled = True
        self._accuracy_first = accuracy_first
        #: By name: whether a candidate errs much less than the original.
        self._more_accurate: dict[str, bool] = {}

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
            return self._accepted(inputs) if self._verify else self._running(inputs)

    def decide(self, inputs: list[Any]) -> Runnable:
        """What runs from now on; the original while that is being found out on these inputs."""
        with self._lock:
            if self._deciding:
                return self._original.run
            if self._run is None:
                chosen = self._original
                if self._candidates or self._profile is not None:
                    self._deciding = True
                    try:
                        with torch.no_grad(), self._random_state_kept():
                            chosen = self._chosen(inputs)
                    finally:
                        self._deciding = False
                self._report.executor = chosen.executor
                self._report.rewritten = chosen.rewritten
                self._report.installed = chosen.name
                if not chosen.rewritten:
                    self._report.nodes_after = self._report.nodes_before
                self._run = chosen.run
                if self._when_decided is not None:
                    self._when_decided(chosen, self.settled)
                self._candidates, self._graph, self._by_region, self._profile = [], None, None, None
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
        accepted = self.tried(inputs)
        if not accepted:
            return self._original
        if not self._measure:
            return accepted[0]
        better = [c for c in accepted if c.rewritten and self._more_accurate.get(c.name)]
        if self._accuracy_first and better:
            return self._fastest(better, inputs, anyway=True)
        return self._fastest(accepted, inputs)

    def _accepted(self, inputs: list[Any]) -> list[Candidate]:
        begun = time.perf_counter()
        assert self._graph is not None
        wanted = self._outputs(self._original, inputs)
        if self._recalled and self._all_are_near(inputs, wanted):
            self._report.stages["verify"] = time.perf_counter() - begun
            return self._candidates
        reference: tuple[Any, ...] | None = None
        free_ulps = self._free_ulps
        candidates = self._candidates
        try:
            with self._random_state_kept():
                if self._by_region is None:
                    reference = Reference(self._graph).run_on(inputs)
                    self._report.verified = "the whole graph against float64"
                else:
                    candidates = self._tried_by_region(self._by_region, inputs)
                    # Rounding errors of so many operations in a row, as a random walk.
                    free_ulps *= math.sqrt(len(self._graph.graph.nodes))
        except (
            Exception
        ) as error:  # an operation without a float64 form: the original itself is the reference
            self._report.verified = "against the original"
            self._refused(f"no float64 run ({brief(error)}): candidates were compared with the original")
        accepted = []
        for candidate in candidates:
            outputs = self._tried(candidate, inputs)
            if outputs is None:
                continue
            verdict = judge(outputs, wanted, reference, self._exact, free_ulps)
            if not verdict.accepted and reference is not None and not self._exact:
                with self._random_state_kept():
                    terms = Terms(self._graph).terms_on(inputs)
                verdict = judge(outputs, wanted, reference, self._exact, free_ulps, terms)
            if verdict.accepted:
                accepted.append(candidate)
                self._more_accurate[candidate.name] = verdict.error < MORE_ACCURATE * verdict.original_error
                self._report.error, self._report.original_error = verdict.error, verdict.original_error
            else:
                self._refused(f"{candidate.name}: {verdict.reason}")
        self._report.stages["verify"] = time.perf_counter() - begun
        return accepted

    def _all_are_near(self, inputs: list[Any], wanted: tuple[Any, ...]) -> bool:
        """Whether what was chosen on other values is, on these, within the free error of the original.

        Then no float64 run could tell more than that it errs so much more than the original at most.
        """
        return all(
            (outputs := self._tried(candidate, inputs)) is not None
            and judge(outputs, wanted, None, self._exact, self._free_ulps).accepted
            for candidate in self._candidates
        )

    def _tried_by_region(self, by_region: RegionByRegion, inputs: list[Any]) -> list[Candidate]:
        """The candidates whose rewritten regions hold against float64."""
        verdict = by_region.try_on(inputs)
        count = len(by_region.verdicts)
        self._report.verified = f"{count} rewritten regions against float64, the whole against the original"
        if verdict.accepted:
            return self._candidates
        self._refused(f"a rewritten region: {verdict.reason}")
        return [candidate for candidate in self._candidates if not candidate.rewritten]

    def _running(self, inputs: list[Any]) -> list[Candidate]:
        """The candidates that run at all; where one does not, the user's own error comes first."""
        running = []
        for candidate in self._candidates:
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
        # The runs that verified do not count: a first run allocates, packs and warms up.
        for done in range(1, PATIENCE * ROUNDS + 1):
            for entrant in entrants:
                arguments = list(inputs)
                start = time.perf_counter()
                entrant.run(arguments)
                times[entrant.name].append(time.perf_counter() - start)
            self.settled = are_settled(times)
            patience = 1 if self.settled else PATIENCE
            late = time.perf_counter() - begun > patience * ENOUGH_SECONDS
            if done >= patience * ROUNDS or (done >= LEAST_ROUNDS and late):
                break
        best = {name: min(seconds) for name, seconds in times.items()}
        self._report.measured = best
        self._report.stages["measure"] = time.perf_counter() - begun
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
