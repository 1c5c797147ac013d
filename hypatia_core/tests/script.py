"""Runs a module's pytest tests as a script, for the guide's `python hypatia_core/tests/NAME.py`."""

import inspect
import itertools
import sys
import traceback
from typing import Any

import pytest


def run(module_name: str) -> int:
    """Run each test of the module, print how it went, and return the exit status: 0 where none failed."""
    module = sys.modules[module_name]
    print(str(module.__doc__).splitlines()[0], end="\n\n")
    outcomes = [
        outcome(name, call) for name, test in vars(module).items() for name, call in calls(name, test)
    ]
    counted = {kind: outcomes.count(kind) for kind in ("passed", "skipped", "failed")}
    print("\n" + ", ".join(f"{count} {kind}" for kind, count in counted.items() if count))
    return int(counted["failed"] > 0 or counted["passed"] == 0)


def calls(name: str, test: Any) -> list[tuple[str, Any]]:
    """A test's calls, one for each combination of its parameters."""
    if not name.startswith("test_") or not inspect.isfunction(test):
        return []
    axes = [mark.args for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    combinations = itertools.product(*([(names, value) for value in values] for names, values in axes))
    return [call_with(name, test, dict(combination)) for combination in combinations]


def call_with(name: str, test: Any, arguments: dict[str, Any]) -> tuple[str, Any]:
    shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return f"{name}({shown})" if shown else name, lambda: test(**arguments)


def outcome(name: str, call: Any) -> str:
    title = name.removeprefix("test_").replace("_", " ")
    print(f"• {title}")
    try:
        call()
    except pytest.skip.Exception as skipped:
        print(f"  skipped: {skipped}")
        return "skipped"
    except Exception:
        print("  ❌ failed\n" + traceback.format_exc())
        return "failed"
    print("  ✅ passed")
    return "passed"
