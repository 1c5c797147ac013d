"""Verify an installation: `python hypatia_core/verify_setup.py`.

Prints what the setup guide's section 3 expects, runs a small model through the backend, and exits with 0
where all of it is right. Where something is not, it says what, and what to do about it, and exits with 1.
"""

import importlib.metadata
import logging
import sys
import traceback

INSTALL = "Install the package from the root of the checkout:\n\n    pip install -e ."
BUG_REPORT = "Run this and report what it prints:\n\n    python hypatia_core/tests/debug_backend.py"
REGISTER = (
    "Register it by hand and look again:\n\n    import hypatia_core\n    hypatia_core.register_backend()"
)
# What to do about a module that is not found.
REMEDIES = {
    "torch": "Install PyTorch into this environment:\n\n    pip install torch",
    "hypatia_core": f"{INSTALL}\n\nand see that PYTHONPATH names no other copy of it.",
}


def main() -> int:
    """Check step by step; the exit status."""
    # The log's lines go to stdout here: this script's output is its purpose.
    log = logging.getLogger("hypatia_core")
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stdout))
    try:
        import torch

        import hypatia_core
    except ModuleNotFoundError as error:
        return failed(f"{type(error).__name__}: {error}", REMEDIES.get(str(error.name), BUG_REPORT))
    except ImportError as error:
        reason, _, remedy = str(error).partition("\n")
        return failed(f"ImportError: {reason}", remedy or BUG_REPORT)

    print("hypatia_core module:", hypatia_core.__file__)
    print("native module:", hypatia_core._hypatia_core.__file__)
    print("versions: hypatia_core", hypatia_core.__version__, "· torch", torch.__version__)
    try:
        importlib.metadata.version("hypatia-core")
    except importlib.metadata.PackageNotFoundError:
        return failed("pip does not know of hypatia-core in this environment", INSTALL)
    backends = torch._dynamo.list_backends()
    print("Backends:", backends)
    print("'hypatia' in backends:", "hypatia" in backends)
    if "hypatia" not in backends:
        return failed("Invalid backend: 'hypatia' is not registered", REGISTER)
    try:
        difference = trial()
    except Exception as failure:
        traceback.print_exc()
        return failed(f"a trial model did not run: {failure}", BUG_REPORT)
    if not difference < 1e-5:
        return failed(f"a trial model is off by {difference:.1e}", BUG_REPORT)
    print(f"trial model: runs, off by {difference:.1e} from eager")
    print("✅ Setup verified")
    return 0


def trial() -> float:
    """The greatest difference, relative to the greatest output, between a small model eager and compiled."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()
    x = torch.randn(8, 16)
    # Without a compiler too: that is not what is verified here.
    compiled = torch.compile(model, backend="hypatia", options={"executor": "aten", "on_error": "raise"})
    with torch.no_grad():
        expected, result = model(x), compiled(x)
    return float((result - expected).abs().max() / expected.abs().max())


def failed(reason: str, remedy: str) -> int:
    """Say what is wrong and what to do; the exit status."""
    print(f"❌ {reason}\n\n{remedy.rstrip()}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
