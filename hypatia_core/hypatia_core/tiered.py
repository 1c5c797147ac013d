"""A tiered start: calls are served at once, while generated code is made elsewhere, and swapped between two.

In a thread beside the calls the candidate is made, then verified on copies of one call's inputs by the rules
of every choice. Then calls take turns between what runs and the candidate, each timed, none made twice; the
faster one stays. So no call does more than one run and, once, one copy of its inputs.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hypatia_core import compat
from hypatia_core.choice import LEAST_GAIN, ORIGINAL, Candidate, Choice
from hypatia_core.executors.apart import short_turns
from hypatia_core.executors.base import Runnable
from hypatia_core.report import GraphReport, brief
from hypatia_core.weights import extent

#: Calls that each of the two serves before they are compared.
TURNS = 9
#: Seconds by which no call may be longer than what runs would have made it.
LONGEST_PAUSE = 0.05
#: Bytes of inputs that are copied within one call.
MOST_COPIED = 64_000_000


class Promotion:
    """Serves calls by the first tier, until a candidate of the second has beaten it.

    Args:
        first: what serves.
        make: makes the candidate; called in a thread.
        judged: a choice of that candidate alone, which writes to the report that it is given.
        weights: positions of inputs that are not copied but watched.
        report: where the outcome is written.
        measure: whether the candidate has to be faster; otherwise being right is enough.
        refused: told why the first tier stays.
        decided: told what stays, once that is known.
    """

    def __init__(
        self,
        first: Runnable,
        make: Callable[[], Candidate],
        judged: Callable[[Candidate, GraphReport], Choice],
        *,
        weights: Sequence[int],
        report: GraphReport,
        measure: bool,
        refused: Callable[[str], None],
        decided: Callable[[Candidate | None], None],
    ) -> None:
        self._run = first
        self._make = make
        self._judged = judged
        self._weights = frozenset(weights)
        self._report = report
        self._measure = measure
        self._refused = refused
        self._decided = decided
        #: What a call does instead of running, while something is wanted of calls.
        self._wanted: Runnable | None = None
        self._lock = threading.Lock()
        self._sample: list[Any] | None = None
        self._sampled = threading.Event()

    def started(self) -> Runnable:
        """The callable that serves; the second tier is on its way."""
        compat.import_generated_code()
        threading.Thread(target=self._promote, name="hypatia tiered", daemon=True).start()

        def call(inputs: list[Any]) -> Any:
            return (self._wanted or self._run)(inputs)

        return compat.boxed(call)

    def _promote(self) -> None:
        try:
            begun = time.perf_counter()
            candidate = self._make()
            self._report.stages[f"compile {candidate.executor}"] = time.perf_counter() - begun
            account = dataclasses.replace(self._report, stages={})
            choice = self._judged(candidate, account)
            self._wanted = self._take_sample
            self._sampled.wait()
            sample, self._sample = self._sample, None
            if sample is None:
                return
            before = self._versions(sample)
            with short_turns():
                accepted = choice.tried(sample)
            if before != self._versions(sample):
                return self._refused("tiered: the weights changed while the generated code was verified")
            if not accepted:
                return self._decided(None)
            longer = choice.seconds[candidate.name] - choice.seconds[ORIGINAL] if self._measure else 0.0
            if longer > LONGEST_PAUSE:
                self._refused(f"tiered: {candidate.name} is {1e3 * longer:.0f} ms slower")
                return self._decided(None)
            if self._measure:
                self._wanted = _Race(self._run, candidate, account, self._won, self._refused).call
            else:
                self._won(candidate, account, {})
        except Exception as error:  # the first tier serves on
            self._refused(f"tiered: {brief(error)}")

    def _take_sample(self, inputs: list[Any]) -> Any:
        with self._lock:
            if self._wanted is not None and not self._sampled.is_set():
                self._wanted = None
                try:
                    self._sample = self._copied(inputs)
                except Exception as error:  # a layout without strides, or no memory: the call is served
                    self._refused(f"tiered: the inputs could not be copied: {brief(error)}")
                finally:
                    self._sampled.set()
        return self._run(inputs)

    def _copied(self, inputs: list[Any]) -> list[Any] | None:
        """Copies of what is no weight; None where that would take too long."""
        own = [i for i, x in enumerate(inputs) if i not in self._weights and isinstance(x, torch.Tensor)]
        if sum(extent(inputs[i]) * inputs[i].itemsize for i in own) > MOST_COPIED:
            self._refused(f"tiered: more than {MOST_COPIED} bytes of inputs to verify on")
            return None
        with torch.no_grad():
            return [_copy(x) if i in own else x for i, x in enumerate(inputs)]

    def _versions(self, sample: list[Any]) -> list[tuple[int, int]]:
        tensors = [sample[i] for i in sorted(self._weights) if isinstance(sample[i], torch.Tensor)]
        return [(-1 if t.is_inference() else t._version, t.data_ptr()) for t in tensors]

    def _won(self, candidate: Candidate | None, account: GraphReport, seconds: dict[str, float]) -> None:
        if candidate is not None:
            report = self._report
            report.executor, report.installed = candidate.executor, candidate.name
            report.rewritten = candidate.rewritten
            report.error, report.original_error = account.error, account.original_error
            report.verified = account.verified
            self._run = candidate.run
        self._report.measured = {**self._report.measured, **seconds}
        self._wanted = None
        self._decided(candidate)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with the strides of the original, which may overlap."""
    if not tensor.numel():
        return tensor.clone()
    memory = tensor.detach().as_strided((extent(tensor),), (1,), tensor.storage_offset()).clone()
    return memory.as_strided(tensor.shape, tensor.stride(), 0)


class _Race:
    """Calls in turns between two programs, each of which serves the call that it is timed by."""

    def __init__(
        self,
        first: Runnable,
        candidate: Candidate,
        account: GraphReport,
        won: Callable[[Candidate | None, GraphReport, dict[str, float]], None],
        refused: Callable[[str], None],
    ) -> None:
        self._first = first
        self._candidate = candidate
        self._account = account
        self._won = won
        self._refused = refused
        self._lock = threading.Lock()
        self._times: tuple[list[float], list[float]] = ([], [])
        self._over = False

    def call(self, inputs: list[Any]) -> Any:
        # A call beside another one is served, and not timed.
        if not self._lock.acquire(blocking=False):
            return self._first(inputs)
        try:
            if self._over:
                return self._first(inputs)
            firsts, seconds = self._times
            turn = len(seconds) < len(firsts)
            result = self._timed(inputs) if turn else self._run_first(inputs)
            if not self._over and len(seconds) == TURNS:
                self._finish()
            return result
        finally:
            self._lock.release()

    def _run_first(self, inputs: list[Any]) -> Any:
        begun = time.perf_counter()
        result = self._first(inputs)
        self._times[0].append(time.perf_counter() - begun)
        return result

    def _timed(self, inputs: list[Any]) -> Any:
        arguments = list(inputs)
        try:
            begun = time.perf_counter()
            result = self._candidate.run(arguments)
            self._times[1].append(time.perf_counter() - begun)
            return result
        except Exception as error:  # the first tier says whether the error is the user's
            result = self._first(inputs)
            self._over = True
            self._refused(f"tiered: {self._candidate.name} failed when run: {brief(error)}")
            self._won(None, self._account, {})
            return result

    def _finish(self) -> None:
        first, second = map(min, self._times)
        self._over = True
        seconds = {self._account.installed: first, self._candidate.name: second}
        self._won(self._candidate if second < first * (1 - LEAST_GAIN) else None, self._account, seconds)
