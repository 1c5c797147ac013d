"""Pages of the documentation that are written from what they document: options, the command line.

python hypatia_core/tests/generated_pages.py        writes them again
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path

os.environ["COLUMNS"] = "100"

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def options() -> str:
    """The options, from the fields of `Options`."""
    from hypatia_core.options import MODES, Options

    lines = [
        "# Options",
        "",
        "This page is written from the fields of `hypatia_core.Options`, by",
        "`hypatia_core/tests/generated_pages.py`.",
        "",
        'For one call `torch.compile(model, backend="hypatia", options={...})`; for the process',
        "`HYPATIA_<NAME>` in the environment or `hypatia_core.config.<name> = …`; for a block",
        "`with hypatia_core.config(<name>=…):`.",
        "",
        "| option | default | environment | meaning |",
        "|---|---|---|---|",
    ]
    for field in dataclasses.fields(Options):
        meaning = str(field.metadata["meaning"]).replace("|", "\\|")
        variable = f"HYPATIA_{field.name.upper()}"
        lines.append(f"| `{field.name}` | `{field.default!r}` | `{variable}` | {meaning} |")
    lines += [
        "",
        "## Modes",
        "",
        "What torch users write as `mode=` chooses options:",
        "",
        "| mode | options |",
        "|---|---|",
    ]
    for mode, chosen in MODES.items():
        shown = ", ".join(f"`{name}={value!r}`" for name, value in chosen.items())
        lines.append(f"| `{mode!r}` | {shown or 'the defaults'} |")
    lines += ["", "A name or a value that does not exist is an error that lists those that do.", ""]
    return "\n".join(lines)


def command_line() -> str:
    """The command line, from its own help."""
    from hypatia_core.cli import parser

    top = parser()
    lines = [
        "# The command line",
        "",
        "This page is what `--help` prints, written by `hypatia_core/tests/generated_pages.py`.",
        "`python -m hypatia_core` is the same as `hypatia`. Results go to stdout, all else to stderr;",
        "colours and progress are for terminals only.",
        "",
        "```text",
        shown(top),
        "```",
    ]
    (commands,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        lines += ["", f"## hypatia {name}", "", "```text", shown(command), "```"]
    return "\n".join([*lines, ""])


def shown(command: argparse.ArgumentParser) -> str:
    """A parser's help, as a terminal of a fixed width shows it without colours."""
    if hasattr(command, "color"):
        command.color = False
    return re.sub(r"\x1b\[[\d;]*m", "", command.format_help()).rstrip()


PAGES = {"options.md": options, "command-line.md": command_line}


if __name__ == "__main__":
    for page, write in PAGES.items():
        (REFERENCE / page).write_text(write(), encoding="utf-8")
