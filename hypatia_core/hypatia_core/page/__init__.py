"""The report as one HTML page that needs nothing else: style, script and data stand in it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypatia_core.report import Report

_FOLDER = Path(__file__).parent
#: In the order in which they stand in the page.
_SCRIPTS = ("data.js", "layout.js", "graph.js", "steps.js", "time.js", "report.js")


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def render(report: Report) -> str:
    """The page of a report."""
    from hypatia_core._hypatia_core import __version__

    # Inside a script element, "</" would end it and "<!--" would comment the rest out.
    data = json.dumps(report.to_dict(), default=str).replace("<", "\\u003c")
    title = f"{report.title or 'report'} · Hypatia"
    page = _part("template.html")
    # The data last: whatever the model's names are, they are not taken for one of the marks.
    for mark, text in (
        ("title", html.escape(title)),
        ("version", html.escape(str(__version__))),
        ("style", _part("style.css")),
        ("script", "\n".join(map(_part, _SCRIPTS))),
        ("data", data),
    ):
        page = page.replace(f"{{{{{mark}}}}}", text)
    return page


def framed(report: Report) -> str:
    """The page in a frame of its own, so that a notebook's styles and the page's leave one another alone."""
    return (
        f'<iframe srcdoc="{html.escape(render(report))}" style="width: 100%; height: 48em; border: 0" '
        'sandbox="allow-scripts" title="Hypatia report"></iframe>'
    )
