"""The rule base as Python sees it."""

from pathlib import Path

import pytest

from conftest import CRATE
from hypatia_core import _hypatia_core

ROWS = _hypatia_core.rules()
NUMERICS = {"bit-exact": "exact", "accurate": "accurate", "reassociates": "reassociate", "reals-only": "reals"}


def test_names_are_unique_facts() -> None:
    names = [row["name"] for row in ROWS]
    assert len(set(names)) == len(names) > 0
    assert all(name == name.lower() and " " not in name for name in names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_each_row_says_what_it_is(row: dict[str, object]) -> None:
    assert row["left"] != row["right"]
    assert NUMERICS[str(row["soundness"])] == row["numerics"]
    assert isinstance(row["both_ways"], bool)
    assert row["why"] and row["example"] and row["family"]
    conditions = row["conditions"]
    assert isinstance(conditions, list)
    assert all(text and means for text, means in conditions)


def test_the_documentation_has_each_rule() -> None:
    page = Path(CRATE.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    assert [row["name"] for row in ROWS if f"### {row['name']}\n" not in page] == []
