"""What was decided for a graph, kept on disk: the rewritten program, the times measured, what was chosen.

A second process that compiles the same graph on the same machine, with the same versions and options, neither
searches nor measures again, and chooses the same. A record is data; one that is damaged is as good as none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from hypatia_core import cache_folder, machine, profile, user_rules
from hypatia_core.fx_import import Imported
from hypatia_core.implementations import Implementation, Unit
from hypatia_core.options import Options
from hypatia_core.report import GraphReport
from hypatia_core.search import Found
from hypatia_core.timing import TIMINGS, Timings, names_of

FORMAT = 1
FOLDER = "decisions"
#: So many records are kept; of more, the oldest go.
MOST = 2000
#: Options that change nothing about what is found and chosen.
_INDIFFERENT = frozenset({"cache", "on_error", "tiered"})
#: What of a report the search fills in.
_SEARCHED = ("rules", "cost_before", "cost_after", "search", "steps_replayed")
#: What of a report the choice fills in.
_CHOSEN = ("measured", "error", "original_error", "verified")


@dataclass
class Record:
    """What is known of one graph."""

    #: Whether the search is done, and what it found.
    searched: bool = False
    found: Found | None = None
    #: The name of the candidate that was chosen; None while that is open.
    chosen: str | None = None
    #: Of the report, what the search and the choice filled in.
    account: dict[str, Any] = field(default_factory=dict)
    #: Seconds of each implementation, by what they depend on.
    timings: dict[str, dict[str, float]] = field(default_factory=dict)

    def tell(self, report: GraphReport) -> None:
        """Fill a report with what an earlier process found."""
        for name, value in self.account.items():
            setattr(report, name, value)

    def note_search(self, found: Found, report: GraphReport) -> None:
        """Keep what the search found."""
        self.searched, self.found = True, found
        self.account |= {name: getattr(report, name) for name in _SEARCHED}

    def note_choice(self, chosen: str, report: GraphReport) -> None:
        """Keep what was chosen."""
        self.chosen = chosen
        self.account |= {name: getattr(report, name) for name in _CHOSEN}


class KeptTimings(Timings):
    """Times of implementations that are taken from a record, and put there when they are measured.

    Times of a disturbed machine serve this process, and are not put there.
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def of(self, unit: Unit, competing: list[Implementation]) -> dict[str, float]:
        """The times of each implementation, by what they are called."""
        key, names = repr(unit.key), names_of(competing)
        known = self._record.timings.get(key, {})
        if not all(name in known for name in names):
            known = {**known, **TIMINGS.of(unit, competing)}
            if TIMINGS.settled(unit):
                self._record.timings[key] = known
        return {name: known[name] for name in names if name in known}


def key(imported: Imported, strides: list[str], stage: str, executors: list[str], options: Options) -> str:
    """What a record is kept under: everything that a decision depends on, in one digest."""
    chosen = {k: v for k, v in dataclasses.asdict(options).items() if k not in _INDIFFERENT}
    everything = {
        "format": FORMAT,
        "graph": imported.text,
        "returns": [str(value) if kind == "as is" else kind for kind, value in imported.returns],
        "devices": [str(device) for device in imported.devices],
        "strides": strides,
        "stage": stage,
        "executors": executors,
        "options": chosen,
        "machine": machine.machine(),
        "versions": machine.versions(),
        "profile": profile.current().digest(),
        "rules": [repr(rule) for rule in user_rules.defined()],
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def find(name: str) -> Record | None:
    """The record that is kept under a key; None where there is none, or a damaged one."""
    data = cache_folder.read(_path(name))
    if data is None:
        return None
    try:
        digest, _, text = data.decode().partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ValueError("its checksum does not fit")
        record = json.loads(text)
        found = record["found"]
        return Record(
            bool(record["searched"]),
            None if found is None else Found(found["text"], list(found["regions"]), dict(found["account"])),
            record["chosen"],
            {name: record["account"][name] for name in (*_SEARCHED, *_CHOSEN) if name in record["account"]},
            {unit: dict(seconds) for unit, seconds in record["timings"].items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        cache_folder.warn_once(f"a record in the cache folder is damaged ({error})")
        return None


def keep(name: str, record: Record) -> None:
    """Put a record on disk; where that fails, one warning says so."""
    text = json.dumps(dataclasses.asdict(record))
    data = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode()
    if cache_folder.write(_path(name), data):
        _drop_the_oldest()


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.json"


def _drop_the_oldest() -> None:
    folder = cache_folder.cache_folder()
    assert folder is not None
    # Another process may do the same at the same time: what is gone already is no fault.
    with contextlib.suppress(OSError):
        with os.scandir(folder / FOLDER) as entries:
            records = [(entry.stat().st_mtime, entry.path) for entry in entries]
        if len(records) > MOST:
            for _, path in sorted(records)[: len(records) - MOST + MOST // 10]:
                with contextlib.suppress(OSError):
                    os.unlink(path)
