"""Each way of installing that the setup guide names, a wheel and an sdist, in environments of their own.

Run by `make test-install`. The builds are made in a copy of the clone that git would have cloned; the
environments share the torch of the one that runs the tests, and nothing of Hypatia in it.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hypatia_core
from hypatia_core import _native

pytestmark = pytest.mark.install

CHECK = f"""
import sys
if sys.argv[1] == "bare":
    import _hypatia_core
import hypatia_core, _hypatia_core, torch
assert _hypatia_core is hypatia_core._hypatia_core
assert hypatia_core.__version__ == {hypatia_core.__version__!r}
assert torch._dynamo.list_backends().count("hypatia") == 1
double = torch.compile(lambda x: x + x, backend="hypatia")
assert torch.equal(double(torch.ones(3)), torch.full((3,), 2.0))
print(hypatia_core._hypatia_core.__file__)
"""

BY_NAME = """
import torch
assert "hypatia" in torch._dynamo.list_backends()
assert torch.equal(torch.compile(lambda x: x + x, backend="hypatia")(torch.ones(3)), torch.full((3,), 2.0))
"""


class Environment:
    """A virtual environment that shares torch with the one that runs the tests."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        site = self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        Path(site, "shared.pth").write_text(f"{shared}\n", encoding="utf-8")

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What the command prints; it has to succeed."""
        env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        env["VIRTUAL_ENV"] = str(self.folder)
        env["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def works_from(self, *folders: Path) -> set[Path]:
        """Check an installation from each folder, under each name; return the native files in use."""
        files = set()
        for folder in folders:
            for way in ("package", "bare"):
                files.add(Path(self.run("python", "-c", CHECK, way, cwd=folder).strip()))
            self.run("python", "-c", BY_NAME, cwd=folder)
        assert "hypatia-core" in self.run("pip", "list")
        return files


@pytest.fixture
def environment(tmp_path: Path, shared: Path) -> Environment:
    return Environment(tmp_path / "venv", shared)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def forget_builds(root: Path) -> None:
    """Take the native builds of an earlier route out of the package."""
    for path in _native.builds(root / "hypatia_core" / "hypatia_core"):
        path.unlink()


def folders(root: Path, elsewhere: Path) -> tuple[Path, Path, Path]:
    return root, root / "hypatia_core", elsewhere


def test_pip_install_editable_from_the_root(clone: Path, environment: Environment, elsewhere: Path) -> None:
    forget_builds(clone)
    environment.run("pip", "install", "-e", ".", cwd=clone)
    [file] = environment.works_from(*folders(clone, elsewhere))
    assert file == clone / "hypatia_core" / "hypatia_core" / "_hypatia_core.abi3.so"


def test_maturin_develop_from_the_crate(clone: Path, environment: Environment, elsewhere: Path) -> None:
    forget_builds(clone)
    environment.run("pip", "install", "maturin")
    environment.run("maturin", "develop", "--release", cwd=clone / "hypatia_core")
    [file] = environment.works_from(*folders(clone, elsewhere))
    assert file == clone / "hypatia_core" / "hypatia_core" / "_hypatia_core.abi3.so"


def test_cargo_build_and_copy(clone: Path, environment: Environment, elsewhere: Path) -> None:
    forget_builds(clone)
    crate = clone / "hypatia_core"
    environment.run("cargo", "build", "--release", cwd=crate)
    environment.run("cp", "target/release/lib_hypatia_core.so", "hypatia_core/_hypatia_core.so", cwd=crate)
    environment.run("pip", "install", "-e", ".", cwd=clone)
    environment.works_from(*folders(clone, elsewhere))

    # The trap: code built and copied after maturin's build has to be the code that runs.
    source = crate / "src" / "python" / "logging.rs"
    text = source.read_text(encoding="utf-8")
    assert text.count("log level is {name}") == 1
    source.write_text(text.replace("log level is {name}", "the new code says {name}"), encoding="utf-8")
    environment.run("cargo", "build", "--release", cwd=crate)
    environment.run("cp", "target/release/lib_hypatia_core.so", "hypatia_core/_hypatia_core.so", cwd=crate)
    source.write_text(text, encoding="utf-8")
    [file] = environment.works_from(*folders(clone, elsewhere))
    assert file == crate / "hypatia_core" / "_hypatia_core.so"
    code = "import logging, sys; logging.basicConfig(stream=sys.stdout); import hypatia_core; "
    assert "the new code says DEBUG" in environment.run(
        "python", "-c", f"{code} hypatia_core.set_log_level('DEBUG')", cwd=elsewhere
    )


def test_a_wheel_and_an_sdist_installed_elsewhere(
    clone: Path, environment: Environment, elsewhere: Path, tmp_path: Path, shared: Path
) -> None:
    # A copied build left in the package must not travel.
    left_over = clone / "hypatia_core" / "hypatia_core" / "_hypatia_core.so"
    left_over.write_bytes(b"left over")
    environment.run("pip", "install", "maturin")
    dist = tmp_path / "dist"
    environment.run("maturin", "sdist", "--out", str(dist), cwd=clone)
    environment.run("maturin", "build", "--out", str(dist), cwd=clone)
    left_over.unlink()
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")

    assert "-cp310-abi3-" in wheel.name
    packed = set(zipfile.ZipFile(wheel).namelist())
    info = f"hypatia_core-{hypatia_core.__version__}.dist-info"
    needed = {
        *("_hypatia_core.py", "hypatia_core/py.typed", "hypatia_core/_hypatia_core.pyi"),
        *("hypatia_core/__init__.py", "hypatia_core/_hypatia_core.abi3.so"),
        *(f"{info}/licenses/LICENSE-MIT", f"{info}/licenses/LICENSE-APACHE", f"{info}/entry_points.txt"),
    }
    assert needed <= packed
    assert "hypatia_core/_hypatia_core.so" not in packed

    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "README.md",
        "pyproject.toml",
        "hypatia_core/Cargo.lock",
    } <= sources
    assert {"hypatia_core/_hypatia_core.py", "hypatia_core/hypatia_core/py.typed"} <= sources
    assert not any(name.endswith(".so") for name in sources)

    environment.run("pip", "install", str(wheel))
    [file] = environment.works_from(elsewhere)
    assert environment.folder in file.parents

    another = Environment(tmp_path / "from-sdist", shared)
    another.run("pip", "install", str(sdist))
    [file] = another.works_from(elsewhere)
    assert another.folder in file.parents
