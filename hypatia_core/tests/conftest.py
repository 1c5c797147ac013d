"""What the tests share: fresh Python processes, since imports and logs happen once a process."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

CRATE = Path(__file__).parents[1]
ROOT = CRATE.parent

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fresh_python(tmp_path: Path) -> Run:
    """Run a program in a new interpreter, from an unrelated folder, and return what it did.

    `env` adds to the environment; a value of None takes the variable away.
    """

    def run(
        code: str,
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path = tmp_path,
        check: bool = True,
        script: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        changes = {"HYPATIA_LOG_LEVEL": None, "PYTHONPATH": None, **(env or {})}
        merged = {**os.environ, **changes}
        command = ["-c", code]
        if script:  # workers that are spawned import the main module again, so it must be a file
            path = tmp_path / "program.py"
            path.write_text(code, encoding="utf-8")
            command = [str(path)]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=cwd,
            env={name: value for name, value in merged.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run
