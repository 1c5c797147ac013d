"""`verify_setup.py`: the guide's expected output where all is right, the remedy where it is not."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CRATE, ROOT, Run

SCRIPT = CRATE / "verify_setup.py"
EXPECTED = [
    "✅ Hypatia backend registered successfully",
    "   Usage: torch.compile(model, backend='hypatia')",
    "   ✓ Backend confirmed in: ['hypatia']",
]


def test_the_guides_output_is_on_stdout() -> None:
    done = subprocess.run(
        [sys.executable, "hypatia_core/verify_setup.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == EXPECTED
    assert "'hypatia' in backends: True" in lines
    assert lines[-1] == "✅ Setup verified"
    assert done.stderr == ""


def run_in(checkout: Path, fresh_python: Run, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script of a checkout as `python hypatia_core/verify_setup.py` does, after some code."""
    here = f"import runpy, sys; sys.path.insert(0, {str(checkout)!r})"
    script = f"runpy.run_path({str(checkout / SCRIPT.name)!r}, run_name='__main__')"
    done: subprocess.CompletedProcess[str] = fresh_python(f"{here}\n{before}\n{script}", check=False)
    return done


def test_a_missing_native_module_names_its_remedy(checkout: Path, fresh_python: Run) -> None:
    done = run_in(checkout, fresh_python)
    assert done.returncode == 1
    assert done.stdout.startswith("❌ ImportError: the native module _hypatia_core is not built")
    assert "maturin develop --release" in done.stdout


@pytest.mark.parametrize(
    ("module", "remedy"), [("torch", "pip install torch"), ("hypatia_core", "pip install -e .")]
)
def test_a_missing_module_names_its_remedy(
    module: str, remedy: str, checkout: Path, fresh_python: Run
) -> None:
    # None in sys.modules makes an import fail as if the module were not there.
    done = run_in(checkout, fresh_python, f"sys.modules[{module!r}] = None")
    assert done.returncode == 1
    assert done.stdout.startswith("❌ ModuleNotFoundError")
    assert remedy in done.stdout


def test_a_package_that_pip_does_not_know_names_its_remedy(checkout: Path, fresh_python: Run) -> None:
    code = """
import hypatia_core, importlib.metadata
def unknown(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = unknown
"""
    installed = "del sys.path[0]\n" + code  # the installed package, since this checkout has no native build
    done = run_in(checkout, fresh_python, installed)
    assert done.returncode == 1
    assert "pip install -e ." in done.stdout


def test_a_wrong_answer_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(SCRIPT))
    main = names["main"]
    main.__globals__["trial"] = lambda: float("nan")
    assert main() == 1
    assert "off by nan" in capsys.readouterr().out
