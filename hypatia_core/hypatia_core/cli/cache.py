"""`hypatia cache`: what is kept on disk between processes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hypatia_core import cache_folder
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.cli.console import DONE, FAILED, Console, add_json

EXAMPLES = """\
examples:
  hypatia cache show            the folder, and what lies in it
  hypatia cache clear           delete it; everything is measured anew when it is needed

The folder is HYPATIA_CACHE_DIR, or "hypatia" in the user's cache folder.
"""


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "cache",
        help="show or clear what is kept on disk",
        description="Shows or clears the measurements and decisions that are kept between processes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["show", "clear"])
    add_json(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace, console: Console) -> int:
    """Shows or clears the folder."""
    folder = cache_folder.cache_folder()
    if folder is None:
        console.say(
            f"hypatia cache: there is none: {cache_folder.VARIABLE} is set and empty, or no home is known"
        )
        return FAILED
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    kinds: dict[str, dict[str, int]] = {}
    for path in files:
        kind = kinds.setdefault(path.relative_to(folder).parts[0], {"files": 0, "bytes": 0})
        kind["files"] += 1
        kind["bytes"] += path.stat().st_size
    data: dict[str, Any] = {"folder": str(folder), "kinds": kinds}
    lines = [f"{console.bold(str(folder))}"]
    lines += [
        f"  {name:<24} {k['files']:6d} files  {k['bytes'] / 1024:10.1f} KiB" for name, k in kinds.items()
    ]
    if chosen.action == "clear":
        _clear(folder, files)
        data["cleared"] = len(files)
        lines = [f"{len(files)} files deleted from {folder}"]
    elif not files:
        lines.append("  empty")
    console.result(data, "\n".join(lines))
    return DONE


def _clear(folder: Path, files: list[Path]) -> None:
    """Deletes the files, then the folders that are left empty; nothing outside is touched."""
    try:
        for path in files:
            path.unlink(missing_ok=True)
        for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            if not any(path.iterdir()):
                path.rmdir()
    except OSError as error:
        raise HypatiaError(f"the cache cannot be cleared: {error}") from error
