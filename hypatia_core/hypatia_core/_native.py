"""The native module's loader: which build is taken, and that it fits the package.

Several builds may lie in this folder: `_hypatia_core.abi3.so` from maturin, `_hypatia_core.so` copied by
hand after `cargo build`. Python would always take the first, and so run old code in silence after a copy.
This loader takes the newest, refuses one whose version is not the package's, and keeps one copy in the
process under both of its names, `hypatia_core._hypatia_core` and the bare `_hypatia_core`.
"""

import importlib.metadata
import importlib.util
import logging
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from types import ModuleType

BARE_NAME = "_hypatia_core"
NAME = f"{__package__}.{BARE_NAME}"
DISTRIBUTION = "hypatia-core"
FOLDER = Path(__file__).parent

# The setup guide's section 4, problem 3; tests/test_guide.py holds the two together.
REMEDY = """\
Build it from the root of the checkout:

    cd hypatia_core
    maturin develop --release

or by hand:

    cargo build --release
    cp target/release/lib_hypatia_core.so hypatia_core/_hypatia_core.so
"""


def builds(folder: Path) -> list[Path]:
    """The native builds in `folder`, newest first; of equally old ones first the one Python would take."""
    named = (folder / f"{BARE_NAME}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return sorted((path for path in named if path.is_file()), key=_modified, reverse=True)


def package_version(folder: Path) -> str | None:
    """The package's version: that of the checkout `folder` lies in, or else of the distribution."""
    manifest = folder.parent / "Cargo.toml"
    if manifest.is_file():
        text = manifest.read_text(encoding="utf-8")
        found = re.search(r'^\[package\][^\[]*?^version *= *"([^"]+)"', text, re.MULTILINE)
        return found.group(1) if found else None
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


def load() -> ModuleType:
    """Load the newest native build, once a process, and return it.

    Raises:
        ImportError: no build is there, it cannot be loaded, its version is not the package's, or another
            build is already in use in this process. The message has the remedy.
    """
    loaded = sys.modules.get(NAME)
    if loaded is not None:
        return loaded
    found = builds(FOLDER)
    if not found:
        raise _refusal(f"the native module {BARE_NAME} is not built: there is none in {FOLDER}.")
    newest = found[0]
    module = _already_imported(newest) or _imported(newest)
    version, wanted = module.__version__, package_version(FOLDER)
    if wanted is not None and version != wanted:
        raise _refusal(f"{newest} is of version {version}, but the package is of version {wanted}.", newest)
    sys.modules[NAME] = sys.modules[BARE_NAME] = module
    setattr(sys.modules[str(__package__)], BARE_NAME, module)
    return module


def log_choice(module: ModuleType) -> None:
    """Say at DEBUG which file was loaded, and which older builds were passed over."""
    log = logging.getLogger(__name__)
    log.debug("native module %s, version %s", module.__file__, module.__version__)
    for older in builds(FOLDER)[1:]:
        log.debug("passed over the older build %s", older)


def outdated(error: ImportError) -> ImportError:
    """What to raise when the native module, though of the right version, lacks a name: it is an older build."""
    return _refusal(f"{error.path} was built from older sources: {error.msg}.", Path(str(error.path)))


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


def _already_imported(newest: Path) -> ModuleType | None:
    """The native module if someone imported its file directly, by the bare name, before the package."""
    module = sys.modules.get(BARE_NAME)
    if module is None or not isinstance(module.__loader__, ExtensionFileLoader):
        return None
    if not newest.samefile(module.__loader__.path):
        raise _refusal(
            f"{module.__loader__.path} is already in use, but {newest} is the newest build.", newest
        )
    return module


def _imported(path: Path) -> ModuleType:
    loader = ExtensionFileLoader(NAME, str(path))
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    if spec is None:
        raise _refusal(f"{path} is not a native module.", path)
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError as error:
        raise _refusal(f"{path} cannot be loaded: {error}.", path) from error
    return module


def _refusal(reason: str, path: Path | None = None) -> ImportError:
    return ImportError(f"{reason}\n{REMEDY}", name=BARE_NAME, path=None if path is None else str(path))
