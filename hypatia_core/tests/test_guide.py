"""The setup guide is the specification: its code blocks run as they stand.

`docs/hypatia-kurulum-rehberi.md` is a verbatim copy. The Python blocks of sections 3, 4, 6 and 7 run here;
the shell blocks of 3, 4 and 7, which install, run in `make test-install`.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import ROOT, Run
from hypatia_core import _native

GUIDE = ROOT / "docs" / "hypatia-kurulum-rehberi.md"
SECTIONS = (3, 4, 6, 7)

# The guide has a line for another system among those for Linux; bash knows no such command.
FOR_WINDOWS = [r".venv\Scripts\activate"]


class Block(NamedTuple):
    section: int
    language: str
    text: str


def blocks() -> list[Block]:
    """The guide's fenced blocks, in order; those within a list without the list's indent."""
    found = []
    section = 0
    lines = iter(GUIDE.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if heading := re.match(r"## (\d+)\.", line):
            section = int(heading.group(1))
        elif fence := re.match(r"( *)```(\w*)$", line):
            body = []
            for inner in lines:
                if inner == f"{fence.group(1)}```":
                    break
                body.append(inner)
            found.append(Block(section, fence.group(2), textwrap.dedent("\n".join(body))))
    return found


def of(section: int, language: str) -> list[str]:
    return [block.text for block in blocks() if (block.section, block.language) == (section, language)]


def test_the_guide_has_the_blocks_that_are_run() -> None:
    counts = {section: (len(of(section, "python")), len(of(section, "bash"))) for section in SECTIONS}
    assert counts == {3: (1, 5), 4: (3, 3), 6: (2, 0), 7: (1, 1)}


@pytest.mark.parametrize("section", SECTIONS)
def test_its_python_blocks_run_as_they_stand(section: int, fresh_python: Run) -> None:
    # The guide's placeholder for a model of the reader's own.
    given = "your_model = __import__('torch').nn.Linear(4, 2)\n" if section == 4 else ""
    done = fresh_python(given + "\n\n".join(of(section, "python")))
    [expected] = of(3, "")
    for line in expected.splitlines():
        assert re.search(
            re.escape(line).replace(re.escape("..., "), ".*").replace(re.escape(", ..."), ".*"), done.stderr
        )
    if section == 3:
        assert "'hypatia' in backends: True" in done.stdout


def test_its_remedy_for_a_missing_native_module_is_the_loaders() -> None:
    [remedy] = [text for text in of(4, "bash") if "maturin" in text]
    commands = [line for line in remedy.splitlines() if line and not line.startswith("#")]
    offered = [line.strip() for line in _native.REMEDY.splitlines() if line.startswith("    ")]
    assert offered == commands


@pytest.mark.install
def test_its_shell_blocks_run_as_they_stand(clone: Path, shared: Path) -> None:
    """One reader, from section 3 to section 7, in one shell."""
    script = "\n\n".join(text for section in (3, 4, 7) for text in of(section, "bash"))
    # `set -E` takes the trap into functions; the shell goes on after a failure, as a reader would.
    watched = f"set -E\ntrap 'echo \"FAILED $BASH_COMMAND\"' ERR\n{script}\n"
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONHOME"}}
    env["PYTHONPATH"] = str(shared)  # torch, which the reader's pip would otherwise download
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash"], input=watched, cwd=clone.parent, env=env, capture_output=True, text=True, timeout=3000
    )
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert failures == [f"FAILED {line}" for line in FOR_WINDOWS], done.stdout + done.stderr
    assert "✅ Setup verified" in done.stdout
    assert re.search(r"^hypatia-core +\d", done.stdout, re.MULTILINE)
    assert "✅ the trial compile is right" in done.stdout
