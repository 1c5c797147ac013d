"""The examples of `docs/symbolic.md` and of the package run."""

import doctest
from pathlib import Path

from hypatia_core.symbolic import arrays, callables, sympy_bridge


def test_the_page_runs() -> None:
    page = Path(__file__).parents[2] / "docs" / "symbolic.md"
    failures, count = doctest.testfile(str(page), module_relative=False)
    assert count > 15 and failures == 0


def test_the_docstrings_run() -> None:
    for module in (arrays, callables, sympy_bridge):
        failures, count = doctest.testmod(module)
        assert count > 0 and failures == 0
