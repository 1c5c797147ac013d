"""A report in a terminal, with colours and tables; needs `rich`, the extra of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypatia_core.remedy import remedy

if TYPE_CHECKING:
    from hypatia_core.report import GraphReport, Report

#: Steps that are shown in full; the page has all.
STEPS = 12


def renderable(report: Report) -> Any:
    """What `rich` prints for a report.

    Raises:
        ImportError: `rich` is not installed.
    """
    from rich.console import Group
    from rich.text import Text

    if not report.graphs:
        return Text(str(report))
    parts: list[Any] = []
    if report.title:
        parts.append(Text(report.title, style="bold"))
    if report.comparison is not None:
        parts.append(Text(str(report.comparison).strip()))
    return Group(*parts, *(part for graph in report.graphs for part in _graph(graph)))


def _graph(graph: GraphReport) -> list[Any]:
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    head = Text(f"{graph.stage} graph", style="bold")
    head.append(
        f"   {graph.nodes_before} → {graph.nodes_after} nodes, runs by {graph.executor}", style="default"
    )
    if graph.speedup is not None:
        style = "green" if graph.speedup >= 1.02 else "default"
        head.append(f"   {graph.speedup:.2f}× the original graph", style=style)
    parts: list[Any] = [Panel(head, expand=False)]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    for name, seconds in sorted(graph.measured.items(), key=lambda item: item[1]):
        facts.add_row("measured", f"{1e3 * seconds:10.3f} ms  {name}")
    if graph.cost_before is not None and graph.cost_after is not None:
        facts.add_row("estimated", f"{1e3 * graph.cost_before:10.3f} → {1e3 * graph.cost_after:.3f} ms")
    if graph.extraction is not None:
        facts.add_row("extraction", graph.extraction)
    if graph.error is not None and graph.original_error is not None:
        facts.add_row("error", f"{graph.error:.1e} (original {graph.original_error:.1e}), {graph.verified}")
    parts.append(Padding(facts, (0, 0, 0, 2)))
    if graph.steps:
        parts.append(Padding(_steps(graph), (1, 0, 0, 2)))
    for reason in graph.refusals:
        note = Text("  refused  ", style="yellow").append(reason, style="default")
        if (cure := remedy(reason)) is not None:
            note.append(f"\n           {cure}", style="dim")
        parts.append(note)
    if graph.graph_break:
        parts.append(Text(f"  broken off  {graph.graph_break['reason']}", style="yellow"))
    return parts


def _steps(graph: GraphReport) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", justify="right")
    table.add_column("rule", no_wrap=True)
    table.add_column("rewrite", overflow="fold")
    table.add_column("predicted", justify="right", no_wrap=True)
    for step in graph.steps[:STEPS]:
        gain = 1e6 * step.times * (step.seconds_left - step.seconds_right)
        rewrite = Text(step.left["text"], style="red").append("  →  ", style="dim")
        rewrite.append(step.right["text"], style="green")
        table.add_row(f"{step.times}×", step.rule, rewrite, f"{-gain:+.1f} µs")
    if len(graph.steps) > STEPS:
        table.add_row("", f"and {len(graph.steps) - STEPS} more", "", "")
    return table
