"""What the tests share: fresh Python processes, since imports and logs happen once a process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fresh_process import SECONDS, FreshProcesses

CRATE = Path(__file__).parents[1]
ROOT = CRATE.parent
# Of the environment the tests run in, what would change what they see.
UNSET: dict[str, str | None] = {
    **{name: None for name in os.environ if name.startswith("HYPATIA_")},
    "PYTHONPATH": None,
}
# What a fresh process compiles matters to none of its tests, so it may be quick.
QUICK = {"HYPATIA_EXECUTOR": "aten"}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def fresh_processes() -> Iterator[FreshProcesses]:
    """A server of processes that have imported torch and Dynamo only."""
    processes = FreshProcesses()
    yield processes
    processes.close()


@pytest.fixture
def fresh_python(fresh_processes: FreshProcesses, tmp_path: Path) -> Run:
    """Run a program in a fresh process, from an unrelated folder, and return what it did.

    `env` adds to the environment. Torch and Dynamo are imported before the program starts.
    """

    def run(
        code: str, *, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = fresh_processes.run(code, env={**UNSET, **QUICK, **(env or {})}, cwd=tmp_path)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def new_python(tmp_path: Path) -> Run:
    """Run a program in a new interpreter, with nothing imported; as a file, so that it may spawn."""

    def run(code: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(code, encoding="utf-8")
        env = {**{name: value for name, value in os.environ.items() if name not in UNSET}, **QUICK}
        done = subprocess.run(
            [sys.executable, str(path)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run
