"""A compiled callable beside eager: time in alternating rounds, error of both against float64."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hypatia_core.check import widen

#: Rounds, and the seconds after which no further one is begun.
ROUNDS = 9
ENOUGH_SECONDS = 5.0
#: One turn of one side lasts at least so long, so that the clock's own steps do not count.
SECONDS_A_TURN = 0.01


@dataclass
class Comparison:
    """What a call costs and how far its results are from float64, eager and compiled.

    Times are medians in seconds; an error is the largest over the outputs of max|y − r| / max|r|, r being
    eager in float64, None where it cannot be run so.
    """

    eager_seconds: float
    compiled_seconds: float
    eager_error: float | None
    compiled_error: float | None
    threads: int

    @property
    def speedup(self) -> float:
        """Times that the compiled callable is faster than eager."""
        return self.eager_seconds / self.compiled_seconds

    def __str__(self) -> str:
        times = f"eager {1e3 * self.eager_seconds:.3f} ms · compiled {1e3 * self.compiled_seconds:.3f} ms"
        line = f"  {self.speedup:.2f}× eager: {times}, alternating rounds, {self.threads} threads"
        if self.compiled_error is None or self.eager_error is None:
            return f"{line}\n  error      not known: eager cannot be run in float64"
        return (
            f"{line}\n  error      {self.compiled_error:.1e} (eager {self.eager_error:.1e}), against float64"
        )


@dataclass
class Contest:
    """One contender's median seconds of a call, and its error against eager in float64; NaN if not known."""

    seconds: float
    error: float


def contest(contenders: Mapping[str, Callable[..., Any]], inputs: Sequence[Any]) -> dict[str, Contest]:
    """Calls several callables in turn, on the same inputs, without gradients; `Comparison` has the measures.

    Args:
        contenders: by name; the first is the one that runs in float64 as the reference.
        inputs: the arguments of a call.
    """
    calls = list(contenders.values())
    with torch.no_grad(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        results = [call(*inputs) for call in calls]
        reference = _in_float64(calls[0], inputs)
        times: list[list[float]] = [[] for _ in calls]
        begun = time.perf_counter()
        for turn in range(ROUNDS):
            if turn > 0 and time.perf_counter() - begun > ENOUGH_SECONDS:
                break
            first = turn % len(calls)
            for number in (*range(first, len(calls)), *range(first)):
                times[number].append(_seconds(calls[number], inputs))
    errors = [math.nan if reference is None else _error(result, reference) for result in results]
    medians = map(statistics.median, times)
    return {
        name: Contest(seconds, error)
        for name, seconds, error in zip(contenders, medians, errors, strict=True)
    }


def compare(eager: Callable[..., Any], compiled: Callable[..., Any], inputs: Sequence[Any]) -> Comparison:
    """A contest of two: the callable as it came, and the same, compiled."""
    found = contest({"eager": eager, "compiled": compiled}, inputs)
    before, after = found["eager"], found["compiled"]
    return Comparison(
        before.seconds,
        after.seconds,
        None if math.isnan(before.error) else before.error,
        None if math.isnan(after.error) else after.error,
        torch.get_num_threads(),
    )


def _seconds(call: Callable[..., Any], inputs: Sequence[Any]) -> float:
    calls, begun = 0, time.perf_counter()
    while True:
        call(*inputs)
        calls += 1
        spent = time.perf_counter() - begun
        if spent >= SECONDS_A_TURN:
            return spent / calls


def _in_float64(eager: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    try:
        wide = copy.deepcopy(eager).double() if isinstance(eager, torch.nn.Module) else eager
        return wide(*pytree.tree_map(widen, tuple(inputs)))
    except Exception:  # a cast inside it, or an operation without a float64 form: then the error is not known
        return None


def _error(result: Any, reference: Any) -> float:
    worst = 0.0
    pairs = zip(pytree.tree_leaves(result), pytree.tree_leaves(reference), strict=True)
    for ours, truth in pairs:
        if isinstance(ours, torch.Tensor) and isinstance(truth, torch.Tensor) and truth.is_floating_point():
            scale = float(truth.abs().max()) if truth.numel() else 0.0
            off = float((ours.to(truth.dtype) - truth).abs().max()) if truth.numel() else 0.0
            worst = max(worst, off / (scale or 1.0))
    return worst
