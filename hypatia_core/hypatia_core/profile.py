"""What this machine was measured to take: seconds by implementation, shape class, dtype and thread count.

One JSON file a machine and torch version, in the user's cache folder. It is written atomically; one that is
corrupt or of another machine is ignored with a warning, and the next :meth:`Profile.save` replaces it. Equal
profiles give equal programs: nothing else that is measured goes into a cost.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hypatia_core import cache_folder, machine
from hypatia_core.log import HypatiaWarning

#: The version of the file's form; a file of any other is ignored.
VERSION = 1
#: Names a group of measurements that are comparable: implementation, element type, thread count.
Series = tuple[str, str, int]


def machine_facts() -> dict[str, str]:
    """What a measurement depends on besides the thread count: processor, cores, instruction sets, torch."""
    named = ("system", "architecture", "processor", "capability", "register_bits", "cores")
    found = machine.machine()
    return {**{name: str(found[name]) for name in named}, "torch": str(torch.__version__)}


@dataclass
class Profile:
    """Measured seconds, and the peaks that stand in where nothing was measured.

    A shape class is a tuple of extents, as the engine names them: (elements,) of an elementwise operation,
    (batches, rows, inner, columns) of a matrix product, (outer, reduced, inner) of a reduction. Element types
    have the engine's names ("f32", "f64", …).

    >>> profile = Profile({})
    >>> profile.record("matmul", (1, 64, 64, 64), "f32", 1, 2.5e-5)
    >>> profile.lookup("matmul", (1, 64, 64, 64), "f32", 1)
    2.5e-05
    >>> profile.lookup("matmul", (1, 64, 64, 65), "f32", 1) is None
    True
    """

    facts: dict[str, str]
    #: Peaks by thread count: names and values as in the engine's roofline.
    rooflines: dict[int, dict[str, float]] = field(default_factory=dict)
    seconds: dict[Series, dict[tuple[int, ...], float]] = field(default_factory=dict)

    def lookup(
        self, implementation: str, shape: Sequence[int], dtype: str, threads: int | None = None
    ) -> float | None:
        """Measured seconds of one call, or None where that was not measured.

        Args:
            implementation: an operation of the engine, or the name of an implementation of one.
            shape: the shape class.
            dtype: the element type by the engine's name.
            threads: torch's threads within an operation; now as many as torch has.
        """
        series = (implementation, dtype, torch.get_num_threads() if threads is None else threads)
        return self.seconds.get(series, {}).get(tuple(shape))

    def record(
        self, implementation: str, shape: Sequence[int], dtype: str, threads: int | None, seconds: float
    ) -> None:
        """Keeps a measurement in place of an earlier one; :meth:`save` writes it to disk.

        Raises:
            ValueError: `seconds` is not a positive finite number.
        """
        if not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(
                f"{implementation} {tuple(shape)} took {seconds} seconds; a positive time is kept"
            )
        series = (implementation, dtype, torch.get_num_threads() if threads is None else threads)
        self.seconds.setdefault(series, {})[tuple(shape)] = float(seconds)

    def machine(self, threads: int | None = None) -> dict[str, Any] | None:
        """The engine's setting `machine`, for a thread count; None where nothing was measured for it."""
        threads = torch.get_num_threads() if threads is None else threads
        measured = [
            {
                "implementation": name,
                "dtype": dtype,
                "points": [[list(s), t] for s, t in sorted(points.items())],
            }
            for (name, dtype, count), points in sorted(self.seconds.items())
            if count == threads
        ]
        roofline = self.rooflines.get(threads)
        if not measured and roofline is None:
            return None
        return {"measured": measured, **({"roofline": roofline} if roofline else {})}

    def digest(self) -> str:
        """A name for the profile's content: equal digests, equal costs."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(
            {
                "version": VERSION,
                "facts": self.facts,
                "rooflines": {str(n): self.rooflines[n] for n in sorted(self.rooflines)},
                "seconds": [
                    {
                        "implementation": name,
                        "dtype": dtype,
                        "threads": threads,
                        "points": [[list(s), t] for s, t in sorted(points.items())],
                    }
                    for (name, dtype, threads), points in sorted(self.seconds.items())
                ],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """The profile that a file holds.

        Raises:
            ValueError: it is no profile of this version; the message says what is wrong.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise ValueError(f"not a profile of version {VERSION}")
        try:
            profile = cls(
                {str(k): str(v) for k, v in content["facts"].items()},
                {
                    int(n): {str(k): _positive(v) for k, v in peaks.items()}
                    for n, peaks in content["rooflines"].items()
                },
            )
            for series in content["seconds"]:
                name, dtype, threads = (
                    str(series["implementation"]),
                    str(series["dtype"]),
                    int(series["threads"]),
                )
                for shape, seconds in series["points"]:
                    profile.record(
                        name, [int(extent) for extent in shape], dtype, threads, _positive(seconds)
                    )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the form of a profile: {type(error).__name__} {error}") from None
        return profile

    def name(self) -> str:
        """What the file is called in the cache folder."""
        digest = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()[:16]
        return f"profile-{digest}.json"

    def path(self) -> Path | None:
        """Where the profile is kept; None where there is no cache folder."""
        folder = cache_folder.cache_folder()
        return None if folder is None else folder / self.name()

    def save(self) -> Path | None:
        """Writes the profile, over what other processes wrote meanwhile; the file is whole at every moment.

        Returns:
            The file; None where there is no cache folder, or, after a warning, where it cannot be written.
        """
        path = self.path()
        if path is None:
            return None
        merged = _read(path, self.facts)
        for series, points in self.seconds.items():
            merged.seconds.setdefault(series, {}).update(points)
        merged.rooflines.update(self.rooflines)
        try:
            cache_folder.replace(path, merged.to_json().encode())
        except OSError as error:
            _warn(f"the cost profile could not be written to {path}: {error}")
            return None
        return path


def current() -> Profile:
    """The profile of this machine and torch as it is on disk; empty where nothing was measured yet.

    The same object is returned until the file changes, so that what is recorded in it is seen at once.
    """
    facts = machine_facts()
    path = Profile(facts).path()
    if path is None:
        return Profile(facts)
    state = _state(path)
    held = _held.get(path)
    if held is None or held[0] != state:
        held = _held[path] = (state, _read(path, facts))
    return held[1]


#: What was read last, by path: a cache of the disk, nothing more.
_held: dict[Path, tuple[Any, Profile]] = {}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read(path: Path, facts: dict[str, str]) -> Profile:
    try:
        profile = Profile.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Profile(facts)
    except (OSError, ValueError) as error:
        _warn(f"the cost profile {path} is ignored: {error}. hypatia_core.calibrate() makes a new one")
        return Profile(facts)
    if profile.facts != facts:
        differing = ", ".join(sorted(k for k in facts if profile.facts.get(k) != facts[k]))
        _warn(f"the cost profile {path} is ignored: it is of another machine ({differing} differ)")
        return Profile(facts)
    return profile


def _positive(value: Any) -> float:
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{value!r} where a positive number is expected")
    return number


def _warn(message: str) -> None:
    warnings.warn(f"Hypatia: {message}", HypatiaWarning, stacklevel=3)
