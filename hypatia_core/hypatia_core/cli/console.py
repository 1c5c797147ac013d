"""What a command writes: results to stdout, all else to stderr; colours and progress for terminals only."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DONE, FAILED, USAGE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130

#: Progress is shown of what takes longer, in seconds.
PATIENCE = 1.0


class Console:
    """Writes text for people, or one JSON document for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def result(self, data: Any, text: str) -> None:
        """What the command was asked for, in the form that was asked for."""
        print(json.dumps(data, indent=2, ensure_ascii=False, default=str) if self.as_json else text)

    def say(self, text: str) -> None:
        """Something beside the result."""
        print(text, file=sys.stderr, flush=True)

    def styled(self, text: str, code: str) -> str:
        """Text in an ANSI style, where the output is a terminal."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured else text

    def bold(self, text: str) -> str:
        """Emphasised text."""
        return self.styled(text, "1")

    def dim(self, text: str) -> str:
        """Text that may be passed over."""
        return self.styled(text, "2")

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Says what is being done, once it has taken a while; on a terminal in one line that goes again."""
        shown = Progress(what)
        try:
            yield shown
        finally:
            shown.end()


class Progress:
    """The steps of something that takes long."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._live = sys.stderr.isatty()
        self._shown = False

    def step(self, text: str, done: int | None = None, of: int | None = None) -> None:
        """A step begins."""
        if time.monotonic() - self._begun < PATIENCE and self._live:
            return
        count = f" {done}/{of}" if done is not None and of is not None else ""
        line = f"{self._what}{count}: {text}"
        if self._live:
            print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        """Takes the line away."""
        if self._shown and self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def add_json(parser: Any) -> None:
    """The flag that all commands have."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
