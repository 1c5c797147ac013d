"""`hypatia info`: what a bug report needs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

from hypatia_core.cli.console import DONE, Console, add_json

EXAMPLES = """\
examples:
  hypatia info                 what a bug report needs
  hypatia info --json > info.json
"""
#: Packages that Hypatia works with where they are installed.
EXTRAS = ("rich", "numpy", "scipy", "sympy", "openvino", "onnxruntime")
#: Variables of the environment that change what happens begin so.
PREFIXES = ("HYPATIA_", "TORCH", "OMP_", "MKL_", "KMP_", "PYTHONPATH", "VIRTUAL_ENV", "CXX", "CC")


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "info",
        help="what a bug report needs: versions, machine, options",
        description="Prints versions, the machine, the build and the options in force.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(_: argparse.Namespace, console: Console) -> int:
    """Prints the facts."""
    facts = gathered()
    lines = []
    for section, rows in facts.items():
        lines.append(console.bold(section))
        width = max(map(len, rows), default=0)
        lines += [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    console.result(facts, "\n".join(lines))
    return DONE


def gathered() -> dict[str, dict[str, Any]]:
    """What there is to know, by section."""
    import torch

    import hypatia_core
    from hypatia_core import _native, compat

    native = hypatia_core._hypatia_core
    return {
        "hypatia": {
            "version": hypatia_core.__version__,
            "package": str(Path(hypatia_core.__file__).parent),
            "native module": native.__file__,
            "builds": ", ".join(path.name for path in _native.builds(_native.FOLDER)),
            "backend registered": "hypatia" in torch._dynamo.list_backends(),
        },
        "torch": {
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpu capability": torch.backends.cpu.get_cpu_capability(),
            "register bits": native.register_bits(),
            "MKL": torch.backends.mkl.is_available(),
            "oneDNN": torch.backends.mkldnn.is_available(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            "C++ compiler": compat.cpp_compiler() or "none",
        },
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "python": f"{platform.python_version()} at {sys.executable}",
        },
        "packages": {name: _version(name) for name in EXTRAS},
        "options": dataclasses.asdict(hypatia_core.config.current()),
        "environment": {k: os.environ[k] for k in sorted(os.environ) if k.startswith(PREFIXES)},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
