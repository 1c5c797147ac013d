"""What importing the package brings with it, and what it leaves as it was."""

import hypatia_core
from conftest import Run

# Beyond `import torch, torch._dynamo` there are only modules of the package, so importing it takes as long as
# reading these. `python hypatia_core/tests/debug_backend.py` prints the time.
IMPORTED = """
import sys, torch, torch._dynamo
before = set(sys.modules)
import hypatia_core
print(*sorted(name for name in set(sys.modules) - before))
"""

SETTINGS = """
import logging, os, random, signal, sys, threading, warnings
import torch, torch._dynamo, torch._functorch.config, torch._inductor.config

def settings():
    configs = [torch._dynamo.config, torch._functorch.config, torch._inductor.config]
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), threading.active_count()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        "precision": (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()),
        "backends": (torch.backends.mkldnn.enabled, torch.backends.cuda.matmul.allow_tf32),
        "random": (torch.random.get_rng_state().tolist(), random.getstate()),
        "configs": [repr(config.get_config_copy()) for config in configs],
        "warnings": (list(warnings.filters), warnings.showwarning),
        "logging": (logging.root.level, list(logging.root.handlers), logging.raiseExceptions),
        "process": (dict(os.environ), list(sys.path), sys.excepthook, signal.getsignal(signal.SIGINT)),
        "hooks": (list(sys.meta_path), sys.displayhook, sys.getrecursionlimit()),
    }

before = settings()
import hypatia_core
after = settings()
assert before.keys() == after.keys()
changed = [name for name in before if before[name] != after[name]]
assert not changed, changed
"""


def test_nothing_but_the_package_is_imported_beyond_dynamo(fresh_python: Run) -> None:
    names = fresh_python(IMPORTED).stdout.split()
    foreign = [name for name in names if name.split(".")[0] not in {"hypatia_core", "_hypatia_core"}]
    assert "hypatia_core.registration" in names
    assert foreign == []


def test_no_setting_is_changed(fresh_python: Run) -> None:
    fresh_python(SETTINGS)


def test_all_public_names_exist() -> None:
    missing = [name for name in hypatia_core.__all__ if not hasattr(hypatia_core, name)]
    assert missing == []
