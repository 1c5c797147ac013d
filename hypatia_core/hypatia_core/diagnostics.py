"""What a compilation says of itself: what was refused and why, what failed, how long its stages took."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.log import HypatiaWarning, logger
from hypatia_core.options import Options
from hypatia_core.report import GraphReport


class Diagnostics:
    """Writes into one graph's report."""

    def __init__(self, options: Options, report: GraphReport) -> None:
        self._options = options
        self._report = report
        #: Whether nothing failed that should not.
        self.faultless = True

    def refuse(self, reason: str) -> None:
        """Notes what was not done, and why."""
        self._report.refusals.append(reason)
        compat.count("refused")
        logger.debug("%s graph: %s", self._report.stage, reason)

    def fall_back(self, reason: str, error: Exception) -> None:
        """Notes what failed: the graph runs without it.

        Raises:
            HypatiaError: with `on_error="raise"`.
        """
        self.faultless = False
        fall_back(reason, error, self._options, self._report)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds what runs inside to the seconds of a stage."""
        begun, stages = time.perf_counter(), self._report.stages
        try:
            yield
        finally:
            stages[stage] = stages.get(stage, 0.0) + time.perf_counter() - begun
            spent = 1e3 * stages[stage]
            logger.debug("%s graph: %s took %.1f ms", self._report.stage, stage, spent)


def fall_back(reason: str, error: Exception, options: Options, report: GraphReport) -> None:
    """Says that something runs as it came: one warning with the reason, a counter, a line in the report.

    Raises:
        HypatiaError: with `on_error="raise"`.
    """
    report.refusals.append(reason)
    compat.count("fallbacks")
    if options.on_error == "raise":
        raise HypatiaError(reason) from error
    logger.debug("%s\n%s", reason, "".join(traceback.format_exception(error)))
    warnings.warn(f"Hypatia: {reason}; the graph runs as it came", HypatiaWarning, stacklevel=2)
