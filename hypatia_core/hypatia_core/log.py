"""The package's log: `logging.getLogger("hypatia_core")`, the engine's messages included.

By default it shows INFO and above on stderr. `set_log_level` and the variable `HYPATIA_LOG_LEVEL` choose
another level. An application that configures `logging` itself gets the records through its own handlers and
nothing from ours, whether it does so before the import or after.
"""

import logging
import multiprocessing
import os
import sys
from pathlib import Path

from hypatia_core._hypatia_core import set_log_level

VARIABLE = "HYPATIA_LOG_LEVEL"

logger = logging.getLogger(__package__)


class HypatiaWarning(UserWarning):
    """Something was left as it came, and why."""


def configure() -> None:
    """Give the package's logger its console, and its level where nobody has chosen one.

    Raises:
        ValueError: `HYPATIA_LOG_LEVEL` is not one of the levels of `set_log_level`.
    """
    chosen_elsewhere = logger.level != logging.NOTSET or logger.hasHandlers()
    if not any(isinstance(handler, Console) for handler in logger.handlers):
        logger.addHandler(Console())
    level = os.environ.get(VARIABLE)
    if level:
        try:
            set_log_level(level)
        except ValueError as error:
            raise ValueError(f"{VARIABLE}: {error}") from None
    elif not chosen_elsewhere:
        logger.setLevel(logging.INFO)


def announce(message: str, *values: object) -> None:
    """Log one of the setup guide's lines: at INFO, or at DEBUG in a worker and in the command line."""
    quiet = in_worker_process() or in_command_line()
    logger.log(logging.DEBUG if quiet else logging.INFO, message, *values)


def in_command_line() -> bool:
    """Whether this process is the command `hypatia`, whose output is its own."""
    first = sys.orig_argv[1] if len(sys.orig_argv) > 1 else ""
    as_module = "-m" in sys.orig_argv and sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == [__package__]
    return as_module or Path(first).name in ("hypatia", "hypatia.exe")


def in_worker_process() -> bool:
    """Whether this process works for another: a child of `multiprocessing` or a worker of Inductor."""
    process = multiprocessing.current_process()
    # While a spawned child imports its parent's main module, it is renamed or marked but has no parent yet.
    importing = process.name != "MainProcess" or getattr(process, "_inheriting", False)
    return multiprocessing.parent_process() is not None or importing or _is_compile_worker()


def _is_compile_worker() -> bool:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return script is not None and Path(script).parts[-3:] == ("_inductor", "compile_worker", "__main__.py")


class Console(logging.Handler):
    """Writes to what is `sys.stderr` at the time, unless a handler of the application's hears the record too.

    In worker processes only warnings and errors are written.
    """

    def emit(self, record: logging.LogRecord) -> None:
        quiet = record.levelno < logging.WARNING and in_worker_process()
        if quiet or sys.stderr is None or self._heard_elsewhere(record):
            return
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """INFO as it stands, since those are lines for the user; other levels with their source."""
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"[{record.name}] {record.levelname}: {text}"

    def _heard_elsewhere(self, record: logging.LogRecord) -> bool:
        at: logging.Logger | None = logging.getLogger(record.name)
        while at is not None:
            if any(handler is not self for handler in at.handlers):
                return True
            at = at.parent if at.propagate else None
        return False
