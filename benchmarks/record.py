"""Results of a benchmark with the facts of the machine: a table as text and the same as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

from hypatia_core import machine

RESULTS = Path(__file__).parent / "results"


def facts(versions: dict[str, str]) -> str:
    """One line about the machine and what was compared."""
    found = machine.machine()
    parts = [str(found[key]) for key in ("processor", "cores") if key in found]
    return ", ".join([*parts, *(f"{name} {version}" for name, version in versions.items())])


def record(name: str, lines: list[str], data: dict[str, Any], versions: dict[str, str]) -> None:
    """Writes `results/NAME.txt` and `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    head = facts(versions)
    whole = {
        "machine": machine.machine(),
        "versions": {**machine.versions(), **versions},
        "arguments": sys.argv[1:],
        **data,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.txt").write_text("\n".join([head, "", *lines]) + "\n", encoding="utf-8")
