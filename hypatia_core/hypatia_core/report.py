"""What was done to a compiled callable, and why."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypatia_core import compat

_GRAPHS = "_hypatia_graphs"


@dataclass
class GraphReport:
    """One graph: what came in, what was found, what was measured, what was refused.

    Times are in seconds, errors relative to the largest value of an output.
    """

    #: "inference", "forward" or "backward".
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
    #: How many operations each implementation runs, where it is not torch's own.
    implementations: dict[str, int] = field(default_factory=dict)
    #: Bytes of weights that folded values came from, and of folded values, as last computed.
    weights_read: int = 0
    weights_kept: int = 0
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
    #: Why the result equals the original: for each step its rule, place, substitution and conditions.
    steps: list[dict[str, Any]] = field(default_factory=list)
    #: Steps that were replayed from the original to the result; None where that was not asked for.
    steps_replayed: int | None = None
    #: Size of the search: e-graph nodes and classes, rounds, why it stopped; whether extraction was exact,
    #: and by which part some program in the e-graph could be cheaper at most.
    search: dict[str, Any] = field(default_factory=dict)

    @property
    def own_seconds(self) -> float:
        """Time of our own stages: without torch's tracing, the executors, verification and measurement."""
        foreign = ("verify", "measure")
        return sum(
            s for name, s in self.stages.items() if name not in foreign and not name.startswith("compile ")
        )

    def __str__(self) -> str:
        lines = [
            f"{self.stage} graph, {self.nodes_before} nodes → {self.nodes_after}, runs by {self.executor}"
        ]
        if self.measured:
            times = " · ".join(f"{name} {1e3 * s:.3f} ms" for name, s in self.measured.items())
            lines.append(f"  measured   {times}")
        if self.cost_before is not None and self.cost_after is not None:
            lines.append(f"  estimated  {1e3 * self.cost_before:.3f} → {1e3 * self.cost_after:.3f} ms")
        if self.error is not None and self.original_error is not None:
            lines.append(
                f"  error      {self.error:.1e} (original {self.original_error:.1e}), {self.verified}"
            )
        lines += [f"  {count:4d}×  {rule}" for rule, count in self.rules.items()]
        lines += [f"  {count:4d}×  {name}" for name, count in self.implementations.items()]
        if self.weights_read:
            lines.append(
                f"  weights    {self.weights_kept / 1e6:.1f} MB computed once, "
                f"from {self.weights_read / 1e6:.1f} MB"
            )
        lines += [f"  refused    {reason}" for reason in self.refusals]
        if self.stages:
            stages = ", ".join(f"{name} {1e3 * s:.0f}" for name, s in self.stages.items())
            lines.append(f"  stages     {stages} ms; our own {1e3 * self.own_seconds:.0f} ms")
        return "\n".join(lines)


@dataclass
class Report:
    """All graphs compiled for one callable, in the order of their compilation.

    Printable, comparable, and plain data by `to_dict`.
    """

    graphs: list[GraphReport] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        count = len(self.graphs)
        if count == 0:
            return "Hypatia: no graph was compiled yet; call the compiled function first"
        return "\n".join([f"Hypatia: {count} graph{'s' if count > 1 else ''}", *map(str, self.graphs)])


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


def report(compiled: Any) -> Report:
    """What Hypatia did for a callable that `torch.compile(..., backend="hypatia")` returned.

    Args:
        compiled: the compiled module or function, called at least once.

    Returns:
        A report with one entry a graph; empty where none was compiled yet. Equal `torch.compile` calls of the
        same code share what Dynamo keeps for it, and so the report.

    Raises:
        TypeError: the argument does not come from `torch.compile`.

    >>> import torch, hypatia_core
    >>> double = torch.compile(lambda x: -(-x), backend="hypatia")
    >>> _ = double(torch.ones(3))
    >>> hypatia_core.report(double).graphs[0].stage
    'inference'
    """
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
    return Report(list(graphs))


def brief(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
