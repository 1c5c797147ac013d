"""All that a bug report needs: `python hypatia_core/tests/debug_backend.py`."""

import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path


def main() -> int:
    """Print everything; the exit status is 0 where the trial compile gives the right answer."""
    section("system")
    show("platform", platform.platform())
    show("python", f"{platform.python_version()} at {sys.executable}")
    show("cores", f"{os.cpu_count()}, of which {len(os.sched_getaffinity(0))} may be used")
    show("cpu", cpu())
    show("folder", os.getcwd())
    for name in sorted(os.environ):
        if name.startswith(("HYPATIA_", "TORCH", "OMP_", "MKL_", "PYTHONPATH", "VIRTUAL_ENV", "CXX", "CC")):
            show(name, os.environ[name])

    section("torch")
    begun = time.perf_counter()
    import torch
    import torch._dynamo

    show("torch", f"{torch.__version__} at {Path(torch.__file__).parent}")
    show("imported in", f"{time.perf_counter() - begun:.2f} s, with Dynamo")
    show("threads", f"{torch.get_num_threads()} within an op, {torch.get_num_interop_threads()} between ops")
    show("cpu capability", torch.backends.cpu.get_cpu_capability())
    show("MKL", torch.backends.mkl.is_available())
    show("oneDNN", torch.backends.mkldnn.is_available())
    show("cuda", torch.cuda.get_device_name() if torch.cuda.is_available() else "none")
    show("C++ compiler", compiler())

    section("hypatia_core")
    begun = time.perf_counter()
    try:
        import hypatia_core
        from hypatia_core import _native
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    show("imported in", f"{1e3 * (time.perf_counter() - begun):.1f} ms beyond torch and Dynamo")
    native = hypatia_core._hypatia_core
    show("version", hypatia_core.__version__)
    show("package", hypatia_core.__file__)
    show("native module", native.__file__)
    show("register bits", native.register_bits())
    for path in _native.builds(_native.FOLDER):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        show("build", f"{path.name}, {path.stat().st_size / 2**20:.1f} MiB, of {when}")
    show("sources", sources(Path(str(native.__file__))))
    show("backends", torch._dynamo.list_backends())
    ours = torch._dynamo.lookup_backend("hypatia") is hypatia_core.hypatia_backend
    show("'hypatia' is ours", ours)
    show("options", hypatia_core.config.current())

    section("trial compile")
    try:
        right = trial()
    except Exception:
        traceback.print_exc(file=sys.stdout)
        right = False
    print("\n✅ the trial compile is right" if ours and right else "\n❌ something is wrong: see above")
    return 0 if ours and right else 1


def trial() -> bool:
    """Compile a small model and compare it with eager."""
    import torch

    import hypatia_core

    torch._dynamo.reset()
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 8)).eval()
    x = torch.randn(16, 64)
    compiled = torch.compile(model, backend="hypatia", options={"on_error": "raise"})
    begun = time.perf_counter()
    with torch.no_grad():
        result, expected = compiled(x), model(x)
    show("compiled in", f"{time.perf_counter() - begun:.2f} s")
    difference = float((result - expected).abs().max())
    show("difference", f"{difference:.1e} from eager")
    print(hypatia_core.report(compiled))
    return difference < 1e-4


def section(title: str) -> None:
    print(f"\n== {title}")


def show(name: str, value: object) -> None:
    print(f"{name:>18}  {value}")


def cpu() -> str:
    """The processor's name and those of its features that torch's kernels ask for."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(line.partition(":")[::2] for line in text.split("\n\n")[0].splitlines())
    found = {name.strip(): value.strip() for name, value in fields.items()}
    asked = (
        "sse4_2",
        "avx",
        "avx2",
        "fma",
        "avx512f",
        "avx512_bf16",
        "avx512_vnni",
        "amx_tile",
        "asimd",
        "sve",
    )
    flags = found.get("flags", found.get("Features", "")).split()
    return f"{found.get('model name', 'unknown')}: {' '.join(flag for flag in asked if flag in flags)}"


def compiler() -> str:
    """The C++ compiler that Inductor would run."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")):
        if shutil.which(name):
            done = subprocess.run([name, "--version"], capture_output=True, text=True)
            return done.stdout.splitlines()[0] if done.stdout else f"{name}, which does not say its version"
    return "none: Inductor is left out (on Debian and Ubuntu: sudo apt-get install g++)"


def sources(native: Path) -> str:
    """Whether the Rust sources of the checkout are newer than the build."""
    folder = native.parents[1] / "src"
    newest = max((path.stat().st_mtime for path in folder.rglob("*.rs")), default=None)
    if newest is None:
        return "not a checkout"
    return (
        "newer than the build: build again"
        if newest > native.stat().st_mtime
        else "as old as the build or older"
    )


def test_it_prints_and_succeeds(capsys: "pytest.CaptureFixture[str]") -> None:
    assert main() == 0
    printed = capsys.readouterr().out
    for expected in ("native module", "backends", "cpu capability", "the trial compile is right"):
        assert expected in printed


if __name__ == "__main__":
    sys.exit(main())

import pytest  # noqa: E402  below, so that the script runs where pytest is not installed
