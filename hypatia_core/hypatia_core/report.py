"""What was done to a compiled callable, and why."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.comparison import Comparison, compare
from hypatia_core.program import Program
from hypatia_core.remedy import remedy

_GRAPHS = "_hypatia_graphs"


#: The version of the JSON form; it rises when a name goes or changes its meaning, not when one is added.
JSON_VERSION = 1


@dataclass
class Step:
    """One rewrite on the way from the original to the result: an instance of a rule, both sides equal."""

    #: The rule, and whether it was used from right to left.
    rule: str
    backwards: bool
    #: Both sides, as text, LaTeX and MathML; names are those of `before`'s nodes.
    left: dict[str, str]
    right: dict[str, str]
    #: The rule itself in the same notations, why it holds, its soundness class, its conditions in words.
    pattern: dict[str, str]
    why: str
    soundness: str
    conditions: list[str]
    #: At how many equal parts it was made, and the nodes of `before` that it starts from.
    times: int
    at: list[int]
    #: Estimated seconds of the operations that each side spells out.
    seconds_left: float
    seconds_right: float


@dataclass
class Explanation:
    """Both programs of a graph as data, and the rewrites between them."""

    before: Program | None = None
    after: Program | None = None
    steps: list[Step] = field(default_factory=list)


class _Explained:
    """A field of a graph's report that is worked out when it is first read: most reports never are."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, report: Any, owner: type | None = None) -> Any:
        if report is None:
            return self
        report.explain()
        return report.__dict__[self._name]

    def __set__(self, report: Any, value: Any) -> None:
        # Where none is given, the dataclass gives what its class has by this name.
        report.__dict__[self._name] = getattr(Explanation(), self._name) if value is self else value


def _explained() -> Any:
    return field(default=_Explained(), repr=False)


def work_of(graph: GraphModule) -> int:
    """How many nodes of a graph compute something."""
    return sum(1 for node in graph.graph.nodes if node.op not in ("placeholder", "output"))


@dataclass
class GraphReport:
    """One graph: what came in, what was found, what was measured, what was refused.

    Times are in seconds, errors relative to the largest value of an output.
    """

    #: "inference", "joint" (forward and backward as one), "forward" or "backward".
    stage: str
    #: Nodes that compute something, as captured and as installed.
    nodes_before: int
    nodes_after: int
    #: How often each rule was needed on the way from the original to the result.
    rules: dict[str, int] = field(default_factory=dict)
    #: Estimated seconds of one run.
    cost_before: float | None = None
    cost_after: float | None = None
    #: The name of what runs, and whether it runs the rewritten graph.
    executor: str = "aten"
    rewritten: bool = False
    #: The name of what is installed among the candidates; "original" where the graph runs as it came.
    installed: str = "original"
    #: How many operations each implementation runs, where it is not torch's own.
    implementations: dict[str, int] = field(default_factory=dict)
    #: How much of the graph programs of our own kernels run, and what is left outside; "" where none do.
    programs: str = ""
    #: Bytes of weights that folded values came from, and of folded values, as last computed.
    weights_read: int = 0
    weights_kept: int = 0
    #: Bytes of weights that were given back, the program holding what it needs of them (`release_originals`).
    weights_released: int = 0
    #: Bytes that the forward keeps for the backward besides inputs, in the original and as installed; of a
    #: joint graph.
    kept_before: int = 0
    kept_after: int = 0
    #: Measured seconds of each candidate, by name.
    measured: dict[str, float] = field(default_factory=dict)
    #: The installed program's error and the original's, against float64; None where they were not compared.
    error: float | None = None
    original_error: float | None = None
    #: How the candidates were verified.
    verified: str = "not verified"
    #: What was refused and what was fallen back from, with the reason.
    refusals: list[str] = field(default_factory=list)
    #: Wall seconds of each stage.
    stages: dict[str, float] = field(default_factory=dict)
    #: Steps that were replayed from the original to the result; None where that was not asked for.
    steps_replayed: int | None = None
    #: Size of the search: e-graph nodes and classes, rounds, why it stopped; whether extraction was exact,
    #: and by which part some program in the e-graph could be cheaper at most.
    search: dict[str, Any] = field(default_factory=dict)
    #: The graph as captured, and as rewritten; None where there is none.
    before: Program | None = _explained()
    after: Program | None = _explained()
    #: The rewrites from the one to the other, in the order in which they were found.
    steps: list[Step] = _explained()
    #: The speeds that the estimates assume: operations and bytes a second, seconds a call.
    machine: dict[str, float] = field(default_factory=dict)
    #: Why Dynamo ended the graph before the function did, and the user's line; empty where it did not.
    graph_break: dict[str, str | None] = field(default_factory=dict)

    def explain_by(self, work: Callable[[], Explanation]) -> None:
        """Has the programs and the steps worked out when one is read, or the report copied."""
        self.__dict__["_explain"] = work

    def explain(self) -> None:
        """Works out the programs and the steps, where that is still to be done."""
        work = self.__dict__.pop("_explain", None)
        if work is not None:
            found = work()
            self.before, self.after, self.steps = found.before, found.after, found.steps

    def __getstate__(self) -> dict[str, Any]:
        self.explain()
        return dict(self.__dict__)

    @property
    def own_seconds(self) -> float:
        """Time of our own stages: without torch's tracing, the executors, verification and measurement."""
        foreign = ("capture", "verify", "measure", "predict")
        return sum(
            s for name, s in self.stages.items() if name not in foreign and not name.startswith("compile ")
        )

    @property
    def extraction(self) -> str | None:
        """How the program was chosen in the e-graph, and how near to the cheapest it is proved to be.

        >>> GraphReport("inference", 1, 1, search={"extractions": {"exact": 2}, "proven gap": 0.0}).extraction
        'exact, proved cheapest by the costs'
        """
        counts: dict[str, int] = self.search.get("extractions") or {}
        if not counts:
            return None
        if set(counts) == {"exact"}:
            return "exact, proved cheapest by the costs"
        exact = f", of {counts['exact']} other parts exact" if "exact" in counts else ""
        gap = 100 * self.search["proven gap"]
        return f"greedy and improved{exact}: no program is cheaper than by {gap:.2g} % (proved)"

    @property
    def speedup(self) -> float | None:
        """Times that the installed program is faster than the original, as measured."""
        original, installed = self.measured.get("original"), self.measured.get(self.installed)
        return None if original is None or not installed else original / installed

    def __str__(self) -> str:
        lines = [
            f"{self.stage} graph, {self.nodes_before} nodes → {self.nodes_after}, runs by {self.executor}"
        ]
        if self.measured:
            times = " · ".join(f"{name} {1e3 * s:.3f} ms" for name, s in self.measured.items())
            lines.append(f"  measured   {times}")
        if self.cost_before is not None and self.cost_after is not None:
            lines.append(f"  estimated  {1e3 * self.cost_before:.3f} → {1e3 * self.cost_after:.3f} ms")
        if self.extraction is not None:
            lines.append(f"  extraction {self.extraction}")
        if self.error is not None and self.original_error is not None:
            lines.append(
                f"  error      {self.error:.1e} (original {self.original_error:.1e}), {self.verified}"
            )
        lines += [f"  {count:4d}×  {rule}" for rule, count in self.rules.items()]
        lines += [f"  {count:4d}×  {name}" for name, count in self.implementations.items()]
        if self.programs:
            lines.append(f"  programs   {self.programs}")
        if self.weights_read:
            lines.append(
                f"  weights    {self.weights_kept / 1e6:.1f} MB computed once, "
                f"from {self.weights_read / 1e6:.1f} MB"
                + (
                    f"; {self.weights_released / 1e6:.1f} MB of these released"
                    if self.weights_released
                    else ""
                )
            )
        if self.kept_before or self.kept_after:
            lines.append(
                f"  kept       {self.kept_before / 1e6:.1f} → {self.kept_after / 1e6:.1f} MB "
                "from forward to backward"
            )
        for reason in self.refusals:
            lines.append(f"  refused    {reason}")
            if (cure := remedy(reason)) is not None:
                lines.append(f"             remedy: {cure}")
        if self.graph_break:
            where = f" at {self.graph_break['where']}" if self.graph_break.get("where") else ""
            lines.append(f"  broken off {self.graph_break['reason']}{where}")
        if self.stages:
            stages = ", ".join(f"{name} {1e3 * s:.0f}" for name, s in self.stages.items())
            lines.append(f"  stages     {stages} ms; our own {1e3 * self.own_seconds:.0f} ms")
        return "\n".join(lines)


@dataclass(repr=False)
class Report:
    """All graphs compiled for one callable, in the order of their compilation.

    Printable, comparable, plain data by `to_dict`, JSON by `to_json`, one HTML page by `to_html` and `save`;
    a notebook shows the page.
    """

    graphs: list[GraphReport] = field(default_factory=list)
    #: The callable beside eager, where `report` was given inputs.
    comparison: Comparison | None = None
    #: What was compiled, by name.
    title: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data; see `to_json`."""
        data = {"schema": "hypatia-report", "version": JSON_VERSION, **dataclasses.asdict(self)}
        for graph, own in zip(data["graphs"], self.graphs, strict=True):
            graph["remedies"] = [remedy(reason) for reason in own.refusals]
            graph["speedup"] = own.speedup
        return data

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON.

        Its form is stated by the JSON schema in `hypatia_core/report.schema.json`, whose version stands in
        the field `version`; times are in seconds, sizes in bytes.

        >>> import json
        >>> json.loads(Report().to_json())["schema"]
        'hypatia-report'
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False, default=str)

    def to_html(self) -> str:
        """The report as one HTML page that needs nothing else: no network, no other file.

        >>> Report().to_html().startswith("<!doctype html>")
        True
        """
        from hypatia_core.page import render

        return render(self)

    def save(self, path: str | Path) -> Path:
        """Writes the report to a file: HTML, JSON or text by the name's ending.

        Args:
            path: ends in ".html", ".json" or ".txt".

        Returns:
            The path.

        Raises:
            ValueError: another ending.
        """
        target = Path(path)
        writers: dict[str, Callable[[], str]] = {
            ".html": self.to_html,
            ".json": lambda: self.to_json(indent=1) + "\n",
            ".txt": lambda: f"{self}\n",
        }
        if target.suffix not in writers:
            raise ValueError(
                f"a report is saved as {', '.join(writers)}, not {target.suffix or 'no ending'!r}"
            )
        text = writers[target.suffix]()
        # Beside it first, so that a broken-off write leaves no half of a report.
        draft = target.with_name(f".{target.name}.draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
        return target

    def show(self) -> None:
        """Prints the report: in colours by `rich` where that is installed and the output is a terminal."""
        if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
            from rich.console import Console

            Console().print(self)
        else:
            print(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from hypatia_core.page import framed

        return framed(self)

    def __rich__(self) -> Any:
        """What `rich.print` shows."""
        from hypatia_core.terminal import renderable

        return renderable(self)

    def __str__(self) -> str:
        count = len(self.graphs)
        if count == 0:
            return "Hypatia: no graph was compiled yet; call the compiled function first"
        title = f"{self.title}: " if self.title else ""
        lines = [f"Hypatia: {title}{count} graph{'s' if count > 1 else ''}"]
        if self.comparison is not None:
            lines.append(str(self.comparison))
        return "\n".join([*lines, *map(str, self.graphs)])


def graphs_of(backend: Any) -> list[GraphReport]:
    """The reports of the `torch.compile` call that this object stands for; a list of its own for None."""
    graphs: list[GraphReport] = [] if backend is None else backend.__dict__.setdefault(_GRAPHS, [])
    return graphs


def labelled(run: Callable[..., Any], graphs: list[GraphReport]) -> Callable[..., Any]:
    """A callable that `report` takes."""

    if inspect.ismethod(run):

        def call(*arguments: Any) -> Any:
            return run(*arguments)

        return labelled(call, graphs)
    setattr(run, _GRAPHS, graphs)
    return run


def report(compiled: Any, inputs: Sequence[Any] | None = None) -> Report:
    """What Hypatia did for a callable that `torch.compile(..., backend="hypatia")` returned.

    Args:
        compiled: the compiled module or function, called at least once.
        inputs: the arguments of a call; with them the callable is measured beside eager, in alternating
            rounds, and both are held against a run in float64.

    Returns:
        A report with one entry a graph; empty where none was compiled yet. Equal `torch.compile` calls of the
        same code share what Dynamo keeps for it, and so the report.

    Raises:
        TypeError: the argument does not come from `torch.compile`, or eager cannot be found in it.

    >>> import torch, hypatia_core
    >>> double = torch.compile(lambda x: -(-x), backend="hypatia")
    >>> _ = double(torch.ones(3))
    >>> hypatia_core.report(double).graphs[0].stage
    'inference'
    """
    comparison = None
    if inputs is not None:
        eager = _eager(compiled)
        if eager is None:
            raise TypeError(f"report() finds no eager callable behind {type(compiled).__name__}")
        comparison = compare(eager, compiled, inputs)
    graphs = getattr(compiled, _GRAPHS, None)
    if graphs is None:
        backend = compat.backend_of(compiled)
        if backend is None:
            raise TypeError(f"report() takes what torch.compile returned, not {type(compiled).__name__}")
        # Equal calls of torch.compile share what one of them compiled.
        sharing = [
            backend,
            *(b for b in compat.cached_backends(compiled) if b is not backend and b == backend),
        ]
        graphs = next((found for b in sharing if (found := getattr(b, _GRAPHS, []))), [])
    return Report(list(graphs), comparison, _title(compiled))


def _eager(compiled: Any) -> Any:
    """What was compiled; None where it cannot be told."""
    if hasattr(compiled, _GRAPHS):  # a served program, or an FX graph that was compiled directly
        return getattr(compiled, "model", None) or getattr(compiled, "original", None)
    return compat.eager_of(compiled)


def _title(compiled: Any) -> str:
    eager = _eager(compiled)
    if eager is None:
        return ""
    named = vars(eager).get("forward", eager) if hasattr(eager, "__dict__") else eager
    named = named if inspect.isroutine(named) else type(named)
    return str(getattr(named, "__qualname__", "")).replace("<lambda>", "a lambda")


def brief(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
