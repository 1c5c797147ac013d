"""The one folder on disk where measurements and decisions are kept, and how a file gets there whole.

Nothing in it is needed: whatever cannot be read or written there costs one warning, and is measured again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import warnings
from pathlib import Path

#: Where the folder is; empty for no folder at all.
VARIABLE = "HYPATIA_CACHE_DIR"


class CacheWarning(UserWarning):
    """The cache folder could not be used, and why."""


def cache_folder() -> Path | None:
    """The folder: `HYPATIA_CACHE_DIR`, or `hypatia` in the user's cache folder of the platform.

    Returns:
        The path, which need not exist yet; None where the variable is set and empty, or no home is known.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    try:
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA")
            return (Path(local) if local else Path.home() / "AppData" / "Local") / "hypatia" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "hypatia"
        shared = os.environ.get("XDG_CACHE_HOME")
        # The specification of XDG: a relative path is to be ignored.
        base = Path(shared) if shared and os.path.isabs(shared) else Path.home() / ".cache"
        return base / "hypatia"
    except RuntimeError:  # no home folder is known
        return None


def read(name: str) -> bytes | None:
    """What the folder holds under a name of its own, such as "decisions/3f….json"; None where nothing."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        warn_once(f"the cache folder {folder} cannot be read ({error.strerror or error})")
        return None


def write(name: str, data: bytes) -> bool:
    """Puts a file into the folder, whole or not at all, whoever else writes it; whether it is there now."""
    folder = cache_folder()
    if folder is None:
        return False
    try:
        replace(folder / name, data)
    except OSError as error:
        warn_once(f"the cache folder {folder} cannot be written ({error.strerror or error})")
        return False
    return True


def replace(path: Path, data: bytes) -> None:
    """Writes a file so that readers see the old one or the new one, and nothing between.

    Raises:
        OSError: it cannot be written; the old one stands, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@functools.cache
def warn_once(reason: str) -> None:
    """One warning a reason and process."""
    warnings.warn(f"Hypatia: {reason}; it is measured anew", CacheWarning, stacklevel=3)
