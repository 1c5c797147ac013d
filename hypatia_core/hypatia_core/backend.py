"""The Dynamo backend: its own table of contents."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch.fx import GraphModule

from hypatia_core import compat, executors
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.choice import Candidate, Choice
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.fx_export import write
from hypatia_core.fx_import import Imported, Reader
from hypatia_core.log import HypatiaWarning, announce, logger
from hypatia_core.lowering import lower
from hypatia_core.options import Options
from hypatia_core.packed_call import compiled_over
from hypatia_core.regions import LARGE, Region, RegionByRegion, regions
from hypatia_core.report import GraphReport, brief, graphs_of, labelled
from hypatia_core.search import search
from hypatia_core.sizes import Unsupported
from hypatia_core.timing import TIMINGS
from hypatia_core.weights import Memo, divide, positions


def hypatia_backend(
    gm: GraphModule,
    example_inputs: Sequence[Any],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Callable[..., Any]:
    """Compile one Dynamo graph: never slower than `gm`, never another answer; see docs/architecture.md.

    Args:
        gm: the graph as Dynamo captured it.
        example_inputs: its inputs.
        mode: one of torch's modes.
        options: names and values of :class:`hypatia_core.Options`.
        name: what the user calls this `torch.compile` call; for the log.

    Returns:
        A callable with the calling convention of `gm`.

    Raises:
        HypatiaError: an unknown mode or option; with `on_error="raise"` whatever could not be done.
    """
    chosen = Options.from_user(mode, options)
    runners = executors.named(chosen.executor, exact=chosen.numerics == "exact")
    announce("[Hypatia] Compiling graph with %d nodes", len(gm.graph.nodes))
    if name is not None:
        logger.debug("the graph belongs to %s", name)
    reports = graphs_of(compat.compiling_backend())

    def compiler(stage: str) -> Callable[[GraphModule, Sequence[Any]], Runnable]:
        return lambda graph, inputs: Compilation(stage, chosen, runners, reports).compile(graph, inputs)

    try:
        run: Callable[..., Any] = compat.aot_autograd(
            fw_compiler=compiler("forward"),
            bw_compiler=compiler("backward"),
            inference_compiler=compiler("inference"),
        )(gm, example_inputs)
    except Exception as error:
        if isinstance(error, (HypatiaError, *compat.dynamos_own())):
            raise  # asked for by `on_error="raise"`, or Dynamo's to deal with
        # Capture is torch's own work: what it cannot trace still runs as Dynamo handed it over.
        report = GraphReport("inference", len(gm.graph.nodes), len(gm.graph.nodes), executor="eager")
        reports.append(report)
        fall_back(f"the graph could not be captured: {brief(error)}", error, chosen, report)
        run = gm.forward
    return labelled(run, reports)


class Compilation:
    """The way of one captured graph to a callable."""

    def __init__(
        self, stage: str, options: Options, runners: list[Executor], reports: list[GraphReport]
    ) -> None:
        self.stage = stage
        self.options = options
        self.runners = runners
        self.reports = reports

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Captured graph in, callable out; whatever fails on the way, the original runs."""
        work = sum(1 for n in graph.graph.nodes if n.op not in ("placeholder", "output"))
        self.report = GraphReport(self.stage, work, work)
        self.reports.append(self.report)
        aten = executors.named("aten")[0]
        static = sorted(compat.static_inputs()) if self.stage == "inference" else []
        original = Candidate("original", "aten", False, aten.compile(graph, fake_inputs))
        imported: Imported | None = None
        rewritten: GraphModule | None = None
        parts: list[Region] | None = []
        try:
            imported = self._import(graph)
            rewritten, parts = self._optimize(imported, graph)
        except Unsupported as reason:
            self._refuse(f"not rewritten: {reason}")
        except Exception as error:  # a fault of ours must not be the user's
            fall_back(f"not rewritten: {brief(error)}", error, self.options, self.report)
        best = graph if rewritten is None else rewritten
        divided = self._divide(best, positions(static, best), original.run)
        candidates = self._candidates(best, rewritten is not None, divided, fake_inputs)
        return Choice(
            original,
            candidates,
            graph,
            by_region=RegionByRegion(graph, rewritten or graph, parts, self.options.numerics == "exact")
            if work > LARGE and parts is not None and imported is not None and not imported.random
            else None,
            verify=self.options.verify,
            measure=self.options.measure,
            exact=self.options.numerics == "exact",
            repeatable=imported is not None and not imported.observable,
            report=self.report,
            refused=self._refuse,
            failed=lambda reason, error: fall_back(reason, error, self.options, self.report),
        ).installed()

    def _import(self, graph: GraphModule) -> Imported:
        with self._timed("import"):
            return Reader(compat.static_inputs()).read(graph.graph)

    def _optimize(
        self, imported: Imported, graph: GraphModule
    ) -> tuple[GraphModule | None, list[Region] | None]:
        if imported.observable:
            raise Unsupported("it has effects, so that it cannot be run twice to be verified")
        with self._timed("search"):
            found = search(imported, self.options, self.report)
        if found is None:
            return None, []
        with self._timed("export"):
            rewritten, places = write(found.text, imported, graph)
        self.report.nodes_after = sum(
            1 for n in rewritten.graph.nodes if n.op not in ("placeholder", "output")
        )
        return rewritten, regions(found.regions, imported, places)

    def _divide(self, best: GraphModule, static: list[int], original: Runnable) -> Memo | None:
        """Chooses implementations and takes out what depends on weights alone. None where that is nothing."""
        if self.options.weights == "off" or not static:
            return None
        try:
            with self._timed("implementations"):
                found = lower(best, static, TIMINGS) if self._may_lower() else None
                lowered, self.report.implementations = found or (best, {})
                division = divide(lowered, static)
        except Exception as error:  # a fault of ours must not be the user's
            fall_back(f"weights were not folded: {brief(error)}", error, self.options, self.report)
            return None
        if division is None:
            return None
        strict, cap = self.options.weights == "strict", self.options.weights_cap * 1_000_000
        return Memo(division, original, strict, cap, self._refuse, self.report)

    def _may_lower(self) -> bool:
        return self.options.measure and self.options.numerics != "exact"

    def _candidates(
        self, best: GraphModule, rewritten: bool, divided: Memo | None, fake_inputs: Sequence[Any]
    ) -> list[Candidate]:
        candidates: list[Candidate] = []
        for runner in self.runners:
            if runner.name == "aten" and not rewritten and divided is None:
                continue
            reason = runner.refusal(best)
            if reason is not None:
                self._refuse(f"{runner.name}: {reason}")
                continue
            try:
                with self._timed(f"compile {runner.name}"):
                    run = (
                        runner.compile(best, fake_inputs)
                        if divided is None
                        else compiled_over(divided, runner)
                    )
            except Exception as error:  # the next executor may do better
                fall_back(f"{runner.name} failed: {brief(error)}", error, self.options, self.report)
                continue
            name = f"{runner.name}, rewritten" if rewritten else runner.name
            candidates.append(Candidate(name, runner.name, rewritten, run))
        return candidates

    def _refuse(self, reason: str) -> None:
        self.report.refusals.append(reason)
        compat.count("refused")
        logger.debug("%s graph: %s", self.stage, reason)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.report.stages[stage] = time.perf_counter() - begun
            logger.debug("%s graph: %s took %.1f ms", self.stage, stage, 1e3 * self.report.stages[stage])


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
