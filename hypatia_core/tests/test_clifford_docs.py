"""The examples of docs/geometric.md."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "geometric.md"


def test_the_examples_of_the_page_run() -> None:
    pytest.importorskip("sympy")
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 30
