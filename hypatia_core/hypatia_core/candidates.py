"""What may run a captured graph in place of the original: its forms, by the executors that claim them.

Where weights are known to stay, each form runs on what was computed of them once, with the implementations
that are fastest at these shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat, decisions, executors
from hypatia_core.choice import ORIGINAL, Candidate, Deferred, Form
from hypatia_core.diagnostics import Diagnostics
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.fusion import CONVOLVED, Shares, shares
from hypatia_core.lowering import Lowered, lower
from hypatia_core.options import Options
from hypatia_core.packed_call import compiled_over, held_over
from hypatia_core.report import GraphReport, brief, work_of
from hypatia_core.sizes import Unsupported, is_symbolic
from hypatia_core.weights import Division, Memo, dependent_on, divide, positions

#: Of graphs of so few nodes generated code is made in any case: it takes little longer than to ask.
SMALL = 16
#: Of graphs of so few it takes a second or two, and what their nodes take one by one may be the price of
#: calls: so many seconds a node may be less than is predicted.
MODERATE, CALL = 100, 5e-6


class Candidates:
    """The candidates of one compilation, and what was computed of weights for them."""

    def __init__(
        self,
        report: GraphReport,
        options: Options,
        runners: list[Executor],
        *,
        original: Candidate,
        static: list[int],
        record: decisions.Record,
        guarded: Callable[[Candidate], Candidate],
        diagnostics: Diagnostics,
    ) -> None:
        """`static` are the positions of weights among the inputs as captured; `guarded` lets a candidate run
        only where what it takes for granted holds."""
        self._stage = report.stage
        self._report = report
        self._options = options
        self._runners = runners
        self._original = original
        self._static = static
        self._record = record
        self._guarded = guarded
        self._diagnostics = diagnostics
        #: What may be compiled at the first call.
        self.deferred: list[Deferred] = []
        #: What was computed of weights alone; None where that is nothing. And the candidates that run on it.
        self.divided: Memo | None = None
        #: The same where our own kernels are preferred; None where that is no other program.
        self._own: Memo | None = None
        self._own_lowered: Lowered | None = None
        self._on_divided: dict[str, Memo] = {}
        #: The graph with other implementations; None where none was chosen. What the report counts beside.
        self.lowered: GraphModule | None = None
        self._counted: dict[str, int] = {}
        #: Seconds of the convolutions by their fastest implementations; 0 where they were not measured.
        self._convolutions = 0.0

    def of(self, graph: GraphModule, best: GraphModule, fake_inputs: Sequence[Any]) -> list[Candidate]:
        """The candidates that are there before the first call.

        Args:
            graph: the original.
            best: what the search made of it; the original where that is nothing.
            fake_inputs: what both take.
        """
        divided = self._divide(best, positions(self._static, best))
        return self._made_now(self._forms(graph, best, divided is not None), divided, fake_inputs)

    @property
    def installed_memo(self) -> Memo | None:
        """What the chosen candidate runs on of what was computed of weights alone."""
        return self._on_divided.get(self._report.installed)

    @property
    def installed_lowered(self) -> GraphModule | None:
        """The graph with other implementations that the chosen candidate runs, or would run."""
        if self._own_lowered is not None and self.installed_memo is self._own:
            return self._own_lowered.graph
        return self.lowered

    def settle(self) -> None:
        """Lets go of what was computed of weights for the candidates that lost."""
        installed = self.installed_memo
        if installed is None or self._own is None:
            return
        for memo in (self.divided, self._own):
            if memo is not None and memo is not installed:
                memo.drop()
        if installed is self._own and self._own_lowered is not None:
            self._report.implementations = {**self._counted, **self._own_lowered.implementations}
        installed.tell()

    def _divide(self, best: GraphModule, static: list[int]) -> Memo | None:
        """Chooses implementations and takes out what depends on weights alone. None where that is nothing."""
        if self._options.weights == "off" or not static:
            return None
        if all(isinstance(runner, executors.HoldingExecutor) for runner in self._runners):
            return None
        try:
            with self._diagnostics.timed("implementations"):
                timings, precision = decisions.KeptTimings(self._record), self._precision()
                reals = self._options.numerics == "reals"
                found = lower(best, static, timings, precision, reals=reals) if self._may_lower() else None
                self.lowered, self._counted = None, dict(self._report.implementations)
                if found is not None:
                    self._report.implementations |= found.implementations
                    self.lowered, self._convolutions = found.graph, found.convolutions
                division = divide(self.lowered or best, static)
                if self._may_lower() and any(runner.prefers_own for runner in self._runners):
                    own = lower(best, static, timings, precision, own=True, reals=reals)
                    if own is not None and (found is None or own.implementations != found.implementations):
                        self._own_lowered = own
                        alone = divide(own.graph, static)
                        self._own = None if alone is None else self._memo(alone)
        except Exception as error:  # a fault of ours must not be the user's
            self._diagnostics.fall_back(f"weights were not folded: {brief(error)}", error)
            return None
        self.divided = None if division is None else self._memo(division)
        return self.divided

    def _memo(self, division: Division) -> Memo:
        strict, cap = self._options.weights == "strict", self._options.weights_cap * 1_000_000
        return Memo(division, self._original.run, strict, cap, self._diagnostics.refuse, self._report)

    def _precision(self) -> str:
        """What products may run in; says so where the processor cannot do what was asked for."""
        if self._options.precision == "bfloat16" and not compat.has_bfloat16():
            self._diagnostics.refuse("precision='bfloat16': this processor has no arithmetic of it")
            return "float32"
        return self._options.precision

    def _may_lower(self) -> bool:
        return self._options.measure and self._options.numerics != "exact"

    def _made_now(
        self, forms: list[Form], shared: Memo | None, fake_inputs: Sequence[Any]
    ) -> list[Candidate]:
        """The candidates that are compiled now; what waits for the first call goes to `deferred`."""
        candidates: list[Candidate] = []
        self.deferred = []
        for form in forms:
            runner, graph = form.runner, form.graph
            divided = self._own if runner.prefers_own and self._own is not None else shared
            if self._record.chosen not in (None, form.name):
                continue
            seen = graph if divided is None or form.as_it_came else divided.division.rest
            if len(self._runners) > 1 and not self._is_worth_a_try(runner, seen if runner.packs else graph):
                continue
            reason = runner.refusal(seen if runner.packs else graph)
            if reason is not None:
                if not form.as_it_came:  # said once
                    self._diagnostics.refuse(f"{runner.name}: {reason}")
                continue
            try:
                make = self._maker(form, divided, fake_inputs)
            except Exception as error:  # the next executor may do better
                self._not_made(form, error)
                continue
            if self._waits(form, fake_inputs):
                self.deferred.append(self._later(form, make, divided, fake_inputs))
            elif (candidate := self._made(form, make, divided)) is not None:
                candidates.append(candidate)
        return candidates

    def _forms(self, original: GraphModule, best: GraphModule, divided: bool) -> list[Form]:
        """Which graph may be run by what, the preferred form first."""
        forms = []
        rewritten = best is not original
        suffix = ", rewritten" if rewritten else ""
        for runner in self._runners:
            if runner.name != "aten" or rewritten or divided:
                forms.append(Form(f"{runner.name}{suffix}", runner, best, rewritten))
            # A compiler may make more of operations as they came than of fewer ones that it has to call.
            if runner.generates and (rewritten or divided) and self._options.measure:
                forms.append(Form(f"{runner.name}, original", runner, original, False, as_it_came=True))
        return forms

    def _maker(self, form: Form, divided: Memo | None, fake_inputs: Sequence[Any]) -> Callable[[], Runnable]:
        """What compiles it. Raises whatever is known without compiling to be in the way."""
        if not form.as_it_came:
            held = self._held(form.runner, form.graph)
            if held is not None:
                return lambda: held
            if divided is not None:
                self._on_divided[form.name] = divided
                return lambda: compiled_over(divided, form.runner)
        return form.runner.later(form.graph, fake_inputs)

    def _not_made(self, form: Form, error: Exception) -> None:
        if isinstance(error, Unsupported):
            self._diagnostics.refuse(f"{form.name}: {error}")
        elif form.as_it_came:  # one more chance, which is gone
            self._diagnostics.refuse(f"{form.name}: {brief(error)}")
        else:
            self._diagnostics.fall_back(f"{form.runner.name} failed: {brief(error)}", error)

    def _made(self, form: Form, make: Callable[[], Runnable], divided: Memo | None) -> Candidate | None:
        """A candidate; None where it cannot be compiled, which is told."""
        try:
            with self._diagnostics.timed(f"compile {form.runner.name}"):
                run = make()
        except Exception as error:  # the next executor may do better
            self._not_made(form, error)
            return None
        graph = form.graph if divided is None or form.as_it_came else divided.division.rest
        self._report.programs = form.runner.account(graph) or self._report.programs
        optional = len(self._runners) > 1 and isinstance(form.runner, executors.HoldingExecutor)
        return self._guarded(Candidate(form.name, form.runner.name, form.rewritten, run, optional))

    def _waits(self, form: Form, fake_inputs: Sequence[Any]) -> bool:
        """Whether a form is compiled at the first call only, and then only where it may win."""
        if (
            not form.runner.generates
            or not self._options.measure
            or self._options.candidates == "all"
            or self._options.numerics == "accurate"
            or self._record.chosen is not None
            or work_of(form.graph) <= SMALL
        ):
            return False
        # What a compiler asks of sizes that are symbols has to be known while the graph is captured; what
        # comes later may ask nothing new.
        return form.as_it_came or not any(map(is_symbolic, fake_inputs))

    def _later(
        self, form: Form, make: Callable[[], Runnable], divided: Memo | None, fake_inputs: Sequence[Any]
    ) -> Deferred:
        timed, once = form.graph, set[fx.Node]()
        op_by_op = "aten, rewritten" if form.rewritten else "aten"
        if form.as_it_came or (divided is None and not form.rewritten):
            op_by_op = ORIGINAL
        if divided is not None and not form.as_it_came:
            timed = self.lowered or form.graph
            once, _, _ = dependent_on(timed, positions(self._static, timed))

        def compiled() -> Candidate | None:
            mode = compat.fake_mode([x for x in fake_inputs if x is not None])
            with compat.as_while_compiling(mode):
                return self._made(form, make, divided)

        def shared(inputs: list[Any]) -> Shares:
            found = shares(timed, inputs, once)
            if timed is self.lowered:
                return found.with_convolutions(found.convolutions)
            known = min(self._convolutions, found.convolutions)
            return found.with_convolutions(known) if known > CONVOLVED * found.convolutions else found

        nodes = work_of(form.graph)
        calls = CALL * nodes if nodes <= MODERATE else 0.0
        fused_by = "" if form.as_it_came else form.name.replace(form.runner.name, "native", 1)
        return Deferred(form.name, compiled, shared, op_by_op, calls, fused_by)

    def _is_worth_a_try(self, runner: Executor, graph: GraphModule) -> bool:
        holds = isinstance(runner, executors.HoldingExecutor)
        # Another compiler's semantics are taken on trust only where they are verified.
        trusted = self._options.verify and self._may_lower()
        may_hold = self._stage == "inference" and self._options.weights != "off" and trusted
        return runner.claims(graph) and (may_hold or not holds)

    def _held(self, runner: Executor, best: GraphModule) -> Runnable | None:
        """The graph by an executor that holds weights; None where it does not, or they are not to be held."""
        if not isinstance(runner, executors.HoldingExecutor):
            return None
        if self._stage != "inference" or self._options.weights == "off":
            return None
        division = divide(best, positions(self._static, best), whole=True)
        if division is None:
            return None
        return held_over(self._memo(division), runner)
