"""What the README says of the package is so."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT, Run
from hypatia_core.options import option_names

READMES = ["README.md", "README.tr.md"]


@pytest.mark.parametrize("name", READMES)
def test_its_first_example_runs(name: str, fresh_python: Run) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert "1 graph" in fresh_python(example.group(1)).stdout


def test_its_other_examples_print_what_stands_beside_them(fresh_python: Run) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1:]
    assert len(examples) == 2
    for example in examples:
        wanted = re.findall(r"^print\(.*\)\s+# (.*)$", example, re.MULTILINE)
        assert wanted and fresh_python(example).stdout.splitlines() == wanted


@pytest.mark.parametrize("name", READMES)
def test_its_table_has_every_option_and_no_other(name: str) -> None:
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|.*\|.*\|$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(option for row in rows for option in re.findall(r"`(\w+)`", row)) == option_names()


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md"])
def test_the_files_it_points_to_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    targets += re.findall(r"`((?:hypatia_core|docs|examples)/[\w./-]+)`", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_tables_of_measurements_are_those_that_the_benchmarks_left() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done
