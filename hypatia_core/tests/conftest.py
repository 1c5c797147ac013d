"""What the tests share: fresh Python processes, since imports and logs happen once a process."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
import torch._dynamo

from fresh_process import SECONDS, FreshProcesses

CRATE = Path(__file__).parents[1]
ROOT = CRATE.parent
# Of the environment the tests run in, what would change what they see.
UNSET: dict[str, str | None] = {
    **{name: None for name in os.environ if name.startswith("HYPATIA_")},
    "PYTHONPATH": None,
}
# What a fresh process compiles matters to none of its tests, so it may be quick.
QUICK = {"HYPATIA_EXECUTOR": "aten", "HYPATIA_CACHE_DIR": ""}
# Not to be seen in the environments that the tests make: Hypatia itself, and what each has its own of.
NOT_SHARED = (
    *("hypatia", "_hypatia", "maturin", "pip", "setuptools"),
    *("_distutils_hack", "distutils-precedence", "pkg_resources"),
)

# No test finds what another one, or the user, has left on disk.
os.environ["HYPATIA_CACHE_DIR"] = ""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def every_proof_is_checked() -> Iterator[None]:
    """Replays the steps of everything that is compiled here, and fails the test whose proof does not hold."""
    import hypatia_core

    with hypatia_core.config(check_proof=True):
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, with Dynamo's caches empty before and after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()
    torch.set_num_threads(threads)


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the crate's folder as the loader sees it, without a native build."""
    crate = tmp_path / "hypatia_core"
    package = CRATE / "hypatia_core"
    shutil.copytree(
        package, crate / "hypatia_core", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    for name in ("Cargo.toml", "_hypatia_core.py", "verify_setup.py"):
        shutil.copy(CRATE / name, crate)
    return crate


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that shows the installed distributions, without Hypatia."""
    folder = tmp_path_factory.mktemp("shared")
    # The environment that runs the tests may itself share another's: torch says where it lies.
    import torch

    sites = dict.fromkeys([Path(torch.__file__).parents[1], Path(sysconfig.get_path("purelib"))])
    for site in sites:
        for entry in site.iterdir():
            link = folder / entry.name
            if not entry.name.startswith(NOT_SHARED) and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)
    return folder


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would have: the files git knows, and those it would be told of."""
    root = tmp_path_factory.mktemp("clone") / "hypatia"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root
