"""The native module's loader: the newest build, one copy, the right version, a remedy when there is none."""

import os
import shutil
import subprocess
import textwrap
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import hypatia_core
from conftest import Run
from hypatia_core import _native

BUILD = Path(str(hypatia_core._hypatia_core.__file__))
DAY = 24 * 60 * 60


def build(checkout: Path, name: str, *, days_old: float) -> Path:
    """A native build in `checkout`."""
    path = checkout / "hypatia_core" / name
    shutil.copy(BUILD, path)
    when = path.stat().st_mtime - days_old * DAY
    os.utime(path, (when, when))
    return path


@pytest.fixture
def imports(checkout: Path, fresh_python: Run) -> Run:
    """Run code where `hypatia_core` is the package of `checkout`."""

    def run(code: str, *, fails: bool = False) -> subprocess.CompletedProcess[str]:
        here = f"import sys; sys.path.insert(0, {str(checkout)!r})\n"
        done = fresh_python(here + textwrap.dedent(code), check=not fails)
        assert done.returncode == fails, done.stdout
        return done

    return run


WHICH = "import hypatia_core; print(hypatia_core._hypatia_core.__file__)"


def test_a_copied_build_newer_than_the_one_of_maturin_is_taken(checkout: Path, imports: Run) -> None:
    old = build(checkout, "_hypatia_core.abi3.so", days_old=1)
    new = build(checkout, "_hypatia_core.so", days_old=0)
    python_takes = PathFinder.find_spec("_hypatia_core", [str(checkout / "hypatia_core")])
    assert python_takes is not None
    assert python_takes.origin == str(old), "the trap that the loader is there for"
    assert imports(WHICH).stdout.strip() == str(new)


def test_a_build_of_maturin_newer_than_the_copied_one_is_taken(checkout: Path, imports: Run) -> None:
    build(checkout, "_hypatia_core.so", days_old=1)
    new = build(checkout, "_hypatia_core.abi3.so", days_old=0)
    assert imports(WHICH).stdout.strip() == str(new)


def test_of_two_equally_old_builds_the_one_python_prefers_comes_first(checkout: Path) -> None:
    paths = [build(checkout, name, days_old=0) for name in ("_hypatia_core.so", "_hypatia_core.abi3.so")]
    for path in paths:
        os.utime(path, ns=(1, 1))
    assert _native.builds(checkout / "hypatia_core") == paths[::-1]


def test_the_file_and_the_older_builds_are_named_at_debug(checkout: Path, imports: Run) -> None:
    old = build(checkout, "_hypatia_core.abi3.so", days_old=1)
    new = build(checkout, "_hypatia_core.so", days_old=0)
    done = imports("import os; os.environ['HYPATIA_LOG_LEVEL'] = 'DEBUG'; import hypatia_core")
    assert f"native module {new}, version {hypatia_core.__version__}" in done.stderr
    assert f"passed over the older build {old}" in done.stderr


def test_a_missing_build_is_an_import_error_with_the_remedy(checkout: Path, imports: Run) -> None:
    for statement in ("import hypatia_core", "import _hypatia_core"):
        done = imports(statement, fails=True)
        assert "ImportError: the native module _hypatia_core is not built" in done.stderr
        assert "maturin develop --release" in done.stderr
        assert "cp target/release/lib_hypatia_core.so hypatia_core/_hypatia_core.so" in done.stderr


def test_a_build_that_cannot_be_loaded_is_named_and_no_older_one_is_taken(
    checkout: Path, imports: Run
) -> None:
    build(checkout, "_hypatia_core.abi3.so", days_old=1)
    broken = checkout / "hypatia_core" / "_hypatia_core.so"
    broken.write_bytes(b"not a library")
    done = imports("import hypatia_core", fails=True)
    assert f"ImportError: {broken} cannot be loaded" in done.stderr
    assert "maturin develop --release" in done.stderr


def test_a_build_of_another_version_is_refused(checkout: Path, imports: Run) -> None:
    path = build(checkout, "_hypatia_core.abi3.so", days_old=0)
    manifest = checkout / "Cargo.toml"
    ours = f'version = "{hypatia_core.__version__}"'
    text = manifest.read_text(encoding="utf-8")
    assert text.count(ours) == 1
    manifest.write_text(text.replace(ours, 'version = "99.0.0"'), encoding="utf-8")
    done = imports("import hypatia_core", fails=True)
    refusal = f"{path} is of version {hypatia_core.__version__}, but the package is of version 99.0.0"
    assert f"ImportError: {refusal}" in done.stderr
    assert "maturin develop --release" in done.stderr


def test_a_build_of_older_sources_is_refused_with_the_remedy(checkout: Path, imports: Run) -> None:
    path = build(checkout, "_hypatia_core.abi3.so", days_old=0)
    front = checkout / "hypatia_core" / "__init__.py"
    text = front.read_text(encoding="utf-8")
    assert text.count("        HypatiaError,\n") == 1
    front.write_text(text.replace("HypatiaError,\n", "HypatiaError, of_tomorrow,\n", 1), encoding="utf-8")
    done = imports("import hypatia_core", fails=True)
    assert (
        f"ImportError: {path} was built from older sources: cannot import name 'of_tomorrow'" in done.stderr
    )
    assert "maturin develop --release" in done.stderr


@pytest.mark.parametrize(
    "order",
    [
        "import hypatia_core, _hypatia_core",
        "import _hypatia_core, hypatia_core",
        "from _hypatia_core import HypatiaError; import hypatia_core, _hypatia_core",
        "import hypatia_core._hypatia_core, _hypatia_core",
    ],
)
def test_there_is_one_copy_under_both_names(order: str, fresh_python: Run) -> None:
    code = """
    import hypatia_core, _hypatia_core, sys
    from _hypatia_core import HypatiaError, set_log_level
    assert _hypatia_core is hypatia_core._hypatia_core is sys.modules["hypatia_core._hypatia_core"]
    assert HypatiaError is hypatia_core.HypatiaError and set_log_level is hypatia_core.set_log_level
    mapped = {line.split()[-1] for line in open("/proc/self/maps") if "_hypatia_core" in line}
    assert len(mapped) == 1, mapped
    """
    fresh_python(f"{order}\n{textwrap.dedent(code)}")


def test_a_build_imported_directly_is_adopted_if_it_is_the_newest(checkout: Path, imports: Run) -> None:
    build(checkout, "_hypatia_core.abi3.so", days_old=0)
    code = f"""
    import sys
    sys.path.insert(0, {str(checkout / "hypatia_core")!r})
    import _hypatia_core as direct
    del sys.path[0]
    import hypatia_core
    assert hypatia_core._hypatia_core is direct
    """
    imports(code)


def test_a_build_imported_directly_is_refused_if_a_newer_one_is_there(checkout: Path, imports: Run) -> None:
    build(checkout, "_hypatia_core.abi3.so", days_old=1)
    new = build(checkout, "_hypatia_core.so", days_old=0)
    code = f"""
    import sys
    sys.path.insert(0, {str(checkout / "hypatia_core")!r})
    import _hypatia_core
    del sys.path[0]
    import hypatia_core
    """
    done = imports(code, fails=True)
    assert f"already in use, but {new} is the newest build" in done.stderr


def test_the_version_is_the_installed_distributions_outside_a_checkout(tmp_path: Path) -> None:
    assert _native.package_version(tmp_path / "hypatia_core") == hypatia_core.__version__
