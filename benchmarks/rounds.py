"""Alternating rounds in one process, and what disturbed them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from systems import busy

#: A round calls each system for at least so long, or so often.
BLOCK, CALLS = 0.02, 1000


def alternate(
    calls: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Seconds of each call, in rounds that take them in turn, each round beginning with another one.

    Returns:
        The medians, and the rounds.
    """
    names = list(calls)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for done in range(rounds):
        turn = done % len(names)
        for name in names[turn:] + names[:turn]:
            call, number, spent = calls[name], 0, 0.0
            if samples[name] and samples[name][-1] < BLOCK:
                call()  # else a short call would pay for caches that a long one before it has filled
            while number < 1 or (spent < BLOCK and number < CALLS):
                begun = time.perf_counter()
                call()
                spent += time.perf_counter() - begun
                number += 1
            samples[name].append(spent / number)
    return {name: statistics.median(times) for name, times in samples.items()}, samples


class Quiet:
    """How many cores other processes took while a run lasted: what a reader has to know of its figures."""

    def __init__(self) -> None:
        self._before, self._begun = busy(), time.perf_counter()

    def others(self) -> float:
        """Cores taken by others since this was made; 0 where the system does not say."""
        (all_before, own_before), (all_now, own_now) = self._before, busy()
        return max(0.0, (all_now - all_before) - (own_now - own_before)) / (time.perf_counter() - self._begun)


#: Other processes may take this part of a core while a row is measured.
QUIET = 0.25


def disturbance(row: Mapping[str, Any]) -> str:
    """What a table says of a row that was measured beside other work; nothing of the others."""
    others: float = row["others"]
    return f"  (disturbed: {others:.1f} cores were busy elsewhere)" if others > QUIET else ""


def geometric(values: list[float]) -> float:
    """The geometric mean of what is known."""
    known = [value for value in values if not math.isnan(value)]
    return math.exp(statistics.fmean(map(math.log, known))) if known else math.nan
