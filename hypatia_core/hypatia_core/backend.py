"""The Dynamo backend: its own table of contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import cache_folder, compat, decisions, executors
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.candidates import Candidates
from hypatia_core.check import BFLOAT16_ULPS, FREE_ULPS
from hypatia_core.choice import ORIGINAL, Candidate, Choice
from hypatia_core.constant_indices import with_constant_indices
from hypatia_core.contractions import contracted
from hypatia_core.diagnostics import Diagnostics, fall_back
from hypatia_core.executors.apart import Apart
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.explanation import explain_later, input_names, profile
from hypatia_core.fx_export import write
from hypatia_core.fx_import import Imported, Reader, is_repeatable
from hypatia_core.ideals import in_ideals
from hypatia_core.literals import Tables, while_they_hold
from hypatia_core.log import announce, logger
from hypatia_core.options import Options
from hypatia_core.packed_call import compiled_over
from hypatia_core.regions import LARGE, Region, RegionByRegion, regions
from hypatia_core.report import GraphReport, brief, graphs_of, labelled, work_of
from hypatia_core.search import Found, search
from hypatia_core.shared_passes import joined
from hypatia_core.sizes import Unsupported, is_symbolic
from hypatia_core.tiered import Promotion
from hypatia_core.training import Training
from hypatia_core.weight_structure import Structures, Watch, while_it_holds
from hypatia_core.weights import Memo, positions


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
    tables = Tables.captured(gm, example_inputs)
    structures = None
    if chosen.numerics == "reals" and chosen.weights != "off":
        structures = Structures.captured(gm, example_inputs)

    def joint(**settings: Any) -> Compilation:
        return Compilation("joint", chosen, reports=reports, dynamo_graph=gm, tables=tables, **settings)

    def failed(reason: str, error: Exception) -> None:
        fall_back(reason, error, chosen, GraphReport("joint", 0, 0))

    training = Training(joint, runners, executors.named("aten")[0], reports, failed, tables.separate)

    def compiler(stage: str) -> Callable[[GraphModule, Sequence[Any]], Runnable]:
        def compile_graph(graph: GraphModule, inputs: Sequence[Any]) -> Runnable:
            half = training.served(stage, graph)
            if half is not None:
                return half
            compilation = Compilation(
                stage, chosen, runners, reports, gm, tables=tables, structures=structures
            )
            run = compilation.compile(graph, inputs)
            if stage == "forward" and training.refusal is not None:
                compilation.report.refusals.insert(0, training.refusal)
            if stage == "inference" and compat.needs_no_wrapper(inputs, example_inputs):
                direct.append(run)
            return run

        return compile_graph

    direct: list[Runnable] = []
    try:
        run: Callable[..., Any] = compat.aot_autograd(
            fw_compiler=compiler("forward"),
            bw_compiler=compiler("backward"),
            inference_compiler=compiler("inference"),
            partition_fn=training.partition,
        )(gm, example_inputs)
    except Exception as error:
        if isinstance(error, (HypatiaError, *compat.dynamos_own())):
            raise  # asked for by `on_error="raise"`, or Dynamo's to deal with
        # Capture is torch's own work: what it cannot trace still runs as Dynamo handed it over.
        report = GraphReport("inference", len(gm.graph.nodes), len(gm.graph.nodes), executor="eager")
        reports.append(report)
        fall_back(f"the graph could not be captured: {brief(error)}", error, chosen, report)
        run = gm.forward
    else:
        if len(direct) == 1:
            (inner,) = direct
            run = lambda *arguments: inner(list(arguments))  # noqa: E731 - what Dynamo calls
    return labelled(run, reports)


class Compilation:
    """The way of one captured graph to a callable."""

    def __init__(
        self,
        stage: str,
        options: Options,
        runners: list[Executor],
        reports: list[GraphReport],
        dynamo_graph: GraphModule | None = None,
        weights: frozenset[int] | None = None,
        tables: Tables | None = None,
        structures: Structures | None = None,
        names: Mapping[str, str] | None = None,
        plain: Executor | None = None,
        guard: Callable[[Runnable, Runnable, Mapping[int, torch.Tensor]], Runnable] = while_they_hold,
        outputs: int | None = None,
    ) -> None:
        """`weights` are the positions of parameters and buffers among the inputs; None where torch knows.

        `names` are what the model calls them, by placeholder; None where the Dynamo graph says so. `plain`
        runs the original, `guard` lets a program run only where inputs read as constants hold, and of a joint
        graph `outputs` are the forward's; then what cannot be searched raises `Unsupported`.
        """
        self.stage = stage
        # Ranks that time by themselves may choose differently: what is replicated would drift apart.
        self.alike = options.measure and compat.among_ranks()
        self.options = replace(options, measure=False) if self.alike else options
        self.runners = runners
        self.reports = reports
        self.weights = weights
        self._record = decisions.Record()
        self._key: str | None = None
        #: Whether the report knows how to show the programs.
        self._explained = False
        #: Products that are done in left ideals.
        self._halved = 0
        #: What the search made of the graph, once it is compiled; None where that is the original.
        self.rewritten: GraphModule | None = None
        #: The same before contractions were read off it.
        self.searched: GraphModule | None = None
        self.dynamo_graph = dynamo_graph
        self.tables = Tables({}, 0) if tables is None else tables
        self.structures = Structures({}, 0) if structures is None else structures
        self.names = names
        self.plain = executors.named("aten")[0] if plain is None else plain
        self.guard = guard
        self.outputs = outputs
        #: Which candidate runs, to be decided at the first call.
        self.choice: Choice | None = None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Captured graph in, callable out; whatever fails on the way, the original runs."""
        work = work_of(graph)
        self.report = GraphReport(self.stage, work, work)
        self.reports.append(self.report)
        self._diagnostics = Diagnostics(self.options, self.report)
        if self.alike:
            self._diagnostics.refuse("not measured: the ranks of a process group have to decide alike")
        broken = None if self.dynamo_graph is None else compat.graph_break(self.dynamo_graph)
        if broken is not None:
            self.report.graph_break = {"reason": broken[0], "where": broken[1]}
        static = sorted(self._static()) if self.stage == "inference" else []
        original = Candidate(ORIGINAL, "aten", False, self.plain.compile(graph, fake_inputs))
        imported: Imported | None = None
        rewritten: GraphModule | None = None
        parts: list[Region] | None = []
        try:
            source = self._in_ideals(graph, {}) or graph
            imported = self._import(source)
            rewritten, parts = self._optimize(imported, source)
            if source is not graph:
                rewritten, parts = rewritten or source, None
            rewritten = self._contracted(rewritten, imported, graph, static)
            self.rewritten = rewritten
        except Unsupported as reason:
            if self.stage == "joint":
                raise
            self._diagnostics.refuse(f"not rewritten: {reason}")
        except Exception as error:  # a fault of ours must not be the user's
            self._diagnostics.fall_back(f"not rewritten: {brief(error)}", error)
            if self.stage == "joint":
                raise Unsupported(brief(error)) from error
        if not self._explained:
            self._explain(graph)
        best = graph if rewritten is None else rewritten
        tiered = self._is_tiered(imported, best, fake_inputs)
        if tiered:
            self.runners = [r for r in self.runners if r.name != "inductor"] or executors.named("aten")
        watch: Watch | None = None
        if imported is not None and imported.structures:
            watch = Watch(imported.structures, self.options.weights == "strict", self._diagnostics.refuse)

        def guarded(candidate: Candidate) -> Candidate:
            if imported is None or not candidate.rewritten:
                return candidate
            run = candidate.run
            if imported.assumed:
                run = self.guard(run, original.run, imported.assumed)
            if watch is not None:
                run = while_it_holds(run, original.run, watch)
            return replace(candidate, run=run)

        self._candidates = Candidates(
            self.report,
            self.options,
            self.runners,
            original=original,
            static=static,
            record=self._record,
            guarded=guarded,
            diagnostics=self._diagnostics,
        )
        repeatable = is_repeatable(graph.graph) if imported is None else not imported.observable
        # What cannot be run twice is neither verified nor timed: nothing can take its place.
        candidates = self._decided(graph, best, fake_inputs) if repeatable else []
        decided = self._record.chosen
        settings: dict[str, Any] = {
            "by_region": None,
            "verify": self.options.verify,
            "recalled": decided is not None,
            "measure": self.options.measure and decided is None,
            "exact": self.options.numerics == "exact",
            "free_ulps": BFLOAT16_ULPS if self.options.precision == "bfloat16" else FREE_ULPS,
            "accuracy_first": self.options.numerics == "accurate",
            "repeatable": repeatable,
            "profile": (lambda inputs: profile(self.report, graph, rewritten, inputs))
            if self.options.profile
            else None,
            "report": self.report,
            "refused": self._diagnostics.refuse,
            "failed": self._diagnostics.fall_back,
            "decided": None if tiered else self._settle if decided is not None else self._settle_and_keep,
        }

        def choice(candidates: list[Candidate], **others: Any) -> Choice:
            # It is used up by one trial.
            if work > LARGE and parts is not None and imported is not None and not imported.random:
                exact = self.options.numerics == "exact"
                others["by_region"] = RegionByRegion(graph, self.searched or graph, parts, exact)
            return Choice(original, candidates, graph, **(settings | others))

        self.choice = choice(candidates, deferred=self._candidates.deferred)
        first = self.choice.installed()
        if not tiered:
            return first

        def second() -> Candidate:
            apart, divided = Apart(), self._candidates.divided
            run = apart.compile(best, fake_inputs) if divided is None else compiled_over(divided, apart)
            name = f"{apart.name}, rewritten" if rewritten is not None else apart.name
            return guarded(Candidate(name, apart.name, rewritten is not None, run))

        return Promotion(
            first,
            second,
            lambda candidate, account: choice(
                [candidate],
                draws=False,
                profile=None,
                report=account,
                decided=None,
                failed=lambda reason, _: self._diagnostics.refuse(reason),
            ),
            weights=sorted(self._static()),
            report=self.report,
            measure=self.options.measure,
            refused=self._diagnostics.refuse,
            decided=lambda _: self._keep_installed(),
        ).started()

    def _is_tiered(self, imported: Imported | None, best: GraphModule, fake_inputs: Sequence[Any]) -> bool:
        """Whether generated code comes later; says why, where it was asked for and does not."""
        if not self.options.tiered or not any(runner.name == "inductor" for runner in self.runners):
            return False
        if self.stage != "inference":
            reason: str | None = "the graph is a training one"
        elif self.options.numerics == "accurate":
            reason = "numerics='accurate' weighs errors, not time alone"
        elif imported is None or imported.observable or imported.random:
            reason = "the graph draws random numbers or has effects, or could not be read"
        elif any(map(is_symbolic, fake_inputs)):
            reason = "sizes are symbols"
        elif self._record.chosen is not None:
            return False  # an earlier process has decided, and its code is on disk
        else:
            reason = Apart().refusal(best)
        if reason is not None:
            self._diagnostics.refuse(f"tiered: {reason}")
        return reason is None

    @property
    def installed_memo(self) -> Memo | None:
        """What the chosen candidate runs on of what was computed of weights alone."""
        return self._candidates.installed_memo

    @property
    def lowered(self) -> GraphModule | None:
        """The rewritten graph or the original with other implementations; None where none was chosen."""
        return self._candidates.lowered

    @property
    def installed_lowered(self) -> GraphModule | None:
        """The same as the chosen candidate runs it, or would run it."""
        return self._candidates.installed_lowered

    def _settle(self, chosen: Candidate, settled: bool = True) -> None:
        self._candidates.settle()

    def _settle_and_keep(self, chosen: Candidate, settled: bool = True) -> None:
        self._candidates.settle()
        self._keep(chosen, settled)

    def _keep_installed(self) -> None:
        chosen = self.report
        self._keep(Candidate(chosen.installed, chosen.executor, chosen.rewritten, lambda _: None))

    def _import(self, graph: GraphModule) -> Imported:
        with self._diagnostics.timed("import"):
            known = self.tables.among(graph.graph)
            exact = self.options.numerics == "exact"
            weights = frozenset(positions(self._static(), graph))
            structured = self.structures.among(graph.graph, weights) if self.stage == "inference" else {}
            masks = self.options.numerics == "reals"
            return Reader(weights, exact, known, structured, masks).read(graph.graph)

    def _static(self) -> frozenset[int]:
        if self.weights is not None:
            return self.weights
        # Torch counts the forward's inputs, also while the backward is compiled.
        return frozenset() if self.stage == "backward" else compat.static_inputs()

    def _optimize(
        self, imported: Imported, graph: GraphModule
    ) -> tuple[GraphModule | None, list[Region] | None]:
        if imported.observable:
            raise Unsupported("it has effects, so that it cannot be run twice to be verified")
        if self._recall(imported, graph) and self._record.found is not None:
            try:
                return self._export(self._record.found, imported, graph)
            except Exception as error:  # a record is a help, and no more
                cache_folder.warn_once(f"a record in the cache folder is damaged ({brief(error)})")
                self._record = decisions.Record()
        with self._diagnostics.timed("search"):
            folds = self.stage == "inference" and self.options.weights != "off"
            found = search(imported, self.options, self.report, folds=folds)
        self._record.note_search(found, self.report)
        return self._export(found, imported, graph)

    def _export(
        self, found: Found, imported: Imported, graph: GraphModule
    ) -> tuple[GraphModule | None, list[Region] | None]:
        if found.text is None:
            self._explain(graph, imported, found)
            return None, []
        with self._diagnostics.timed("export"):
            rewritten, places = write(found.text, imported, graph, self.outputs)
        self._explain(graph, imported, found, rewritten.graph, places)
        self.report.nodes_after = work_of(rewritten)
        return rewritten, regions(found.regions, imported, places)

    def _in_ideals(self, graph: GraphModule, constants: Mapping[int, torch.Tensor]) -> GraphModule | None:
        """The graph with products by matrices of an algebra done in its left ideals; None for none."""
        if self.options.numerics == "exact":
            return None
        try:
            with self._diagnostics.timed("ideals"):
                found = in_ideals(graph, constants)
        except Exception as error:  # a fault of ours must not be the user's
            self._diagnostics.fall_back(f"left ideals were not looked for: {brief(error)}", error)
            return None
        if found is None:
            return None
        self._halved += found[1]
        self.report.implementations = {"product: in left ideals of its algebra": self._halved}
        return found[0]

    def _contracted(
        self, rewritten: GraphModule | None, imported: Imported, graph: GraphModule, static: list[int]
    ) -> GraphModule | None:
        """The graph with sums over channels and small tables, and what shares a pass, by our operations."""
        self.searched = rewritten
        if self.options.numerics == "exact":
            return rewritten
        # What is a table's only here: signs that the code captures.
        rewritten = self._in_ideals(rewritten or graph, imported.assumed) or rewritten
        try:
            with self._diagnostics.timed("contractions"):
                found = contracted(rewritten or graph, imported.assumed)
                shared = joined(found[0] if found else rewritten or graph, static)
        except Exception as error:  # a fault of ours must not be the user's
            self._diagnostics.fall_back(f"contractions were not looked for: {brief(error)}", error)
            return rewritten
        written, counts = (rewritten, {}) if found is None else found
        if shared is not None:
            written, counts = shared[0], counts | shared[1]
        self.report.implementations |= {f"{name}: the engine's": n for name, n in counts.items()}
        written = self._with_constant_indices(written, imported, graph)
        if written is not None:
            self.report.nodes_after = work_of(written)
        return written

    def _with_constant_indices(
        self, rewritten: GraphModule | None, imported: Imported, graph: GraphModule
    ) -> GraphModule | None:
        """The graph with gathers by indices that the code captures; it rests on their values from now on."""
        known = self.tables.indices_among(graph.graph)
        try:
            found = with_constant_indices(rewritten or graph, known)
        except Exception as error:  # a fault of ours must not be the user's
            self._diagnostics.fall_back(f"constant indices were not looked for: {brief(error)}", error)
            return rewritten
        if found is None:
            return rewritten
        imported.assumed.update({position: known[position] for position in found[1]})
        return found[0]

    def _recall(self, imported: Imported, graph: GraphModule) -> bool:
        """Whether an earlier process has searched this graph: then its record is taken."""
        if not self.options.cache or cache_folder.cache_folder() is None:
            return False
        with self._diagnostics.timed("recall"):
            inputs = [n.meta.get("val") for n in graph.graph.nodes if n.op == "placeholder"]
            strides = [str(tuple(v.stride())) if isinstance(v, torch.Tensor) else "" for v in inputs]
            able = [
                runner.name
                for runner in self.runners
                if runner.claims(graph) and runner.refusal(graph) is None
            ]
            self._key = decisions.key(imported, strides, self.stage, able, self.options)
            record = decisions.find(self._key)
            if record is None or not record.searched:
                return False
            self._record = record
            record.tell(self.report)
        return True

    def _keep(self, chosen: Candidate, settled: bool = True) -> None:
        """What was decided goes on disk, unless a fault had its part in it, or other work on the machine."""
        if self._key is None or not self._diagnostics.faultless:
            return
        if not settled:
            logger.debug("the choice is not kept: the machine was disturbed while candidates were timed")
        elif self.options.verify and self.options.measure:
            self._record.note_choice(chosen.name, self.report)
        decisions.keep(self._key, self._record)

    def _decided(self, graph: GraphModule, best: GraphModule, fake_inputs: Sequence[Any]) -> list[Candidate]:
        """The candidates; where an earlier process has chosen one, that one."""
        chosen = self._record.chosen
        if chosen == ORIGINAL:
            return []
        candidates = self._candidates.of(graph, best, fake_inputs)
        if chosen is not None and not candidates:
            # What was chosen cannot be had now: all is open again.
            self._record.chosen = None
            return self._candidates.of(graph, best, fake_inputs)
        if chosen is not None:
            self._record.tell(self.report)
        return candidates

    def _explain(self, graph: GraphModule, *found: Any) -> None:
        """Has the report show both programs, once it is read."""
        self._explained = True
        with self._diagnostics.timed("explain"):
            names = self.names or {}
            if self.dynamo_graph is not None:
                try:
                    names = input_names(self.dynamo_graph, graph.graph)
                except Exception as error:  # costs the report only
                    self._diagnostics.refuse(f"the report does not know the model's names: {brief(error)}")
            explain_later(self.report, graph.graph, names, self._static(), *found)
