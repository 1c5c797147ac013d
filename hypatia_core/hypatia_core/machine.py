"""What a measurement holds for: this machine, these threads, these versions, this build of ours."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import torch

from hypatia_core import _hypatia_core


def machine() -> dict[str, Any]:
    """The processor, what it can do, and how many threads torch runs on, as plain data."""
    return {**_processor(), "threads": torch.get_num_threads()}


def versions() -> dict[str, str]:
    """Versions of what decides, and a digest of our own sources and native build (rules included)."""
    return {"hypatia": _hypatia_core.__version__, "torch": str(torch.__version__), "build": _build()}


@functools.cache
def _processor() -> dict[str, Any]:
    capability = torch.backends.cpu.get_cpu_capability()
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # there is none on macOS and Windows
        cores = os.cpu_count() or 1
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _model_name(),
        "capability": capability,
        "register_bits": _hypatia_core.register_bits(),
        "cores": cores,
        "devices": devices,
    }


def _model_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


@functools.cache
def _build() -> str:
    digest = hashlib.sha256()
    package = Path(__file__).parent
    native = Path(str(_hypatia_core.__file__))
    for path in sorted(package.rglob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    # A build without optimisation has a hundred megabytes: its time and size tell it from another.
    status = native.stat()
    digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
