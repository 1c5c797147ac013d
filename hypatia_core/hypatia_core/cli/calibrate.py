"""`hypatia calibrate`: measures what this machine takes."""

from __future__ import annotations

import argparse
from typing import Any

from hypatia_core.cli.console import DONE, Console, add_json

EXAMPLES = """\
examples:
  hypatia calibrate            about a minute; later compilations estimate by it
  hypatia calibrate --quick    a coarse grid, in seconds

It holds for torch's present number of threads: OMP_NUM_THREADS=1 hypatia calibrate measures for one.
"""


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "calibrate",
        help="measure what this machine takes, for the cost model",
        description="Measures products and memory on this machine, and keeps them for the cost model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a coarse grid")
    add_json(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace, console: Console) -> int:
    """Measures and says where the profile is."""
    import torch

    import hypatia_core

    with console.progress("calibrate") as progress:
        measured = hypatia_core.calibrate(
            progress=lambda done, total, what: progress.step(what, done, total), quick=chosen.quick
        )
    where = measured.path()
    threads = torch.get_num_threads()
    console.result(
        {"profile": None if where is None else str(where), "threads": threads},
        f"measured with {threads} threads, kept in {where}" if where else "measured; nothing is kept on disk",
    )
    return DONE
