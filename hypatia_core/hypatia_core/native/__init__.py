"""Graphs as programs of our own kernels: what is known of a graph runs with no Python between its steps.

`segments.py` divides a graph, `lowering.py` writes a segment as a program by the rows of `table.py`
(`aliases.py`, `pointwise.py`, `reductions.py`, `kernels.py`), `units.py` fuses, `call.py` calls.
"""

from __future__ import annotations

from hypatia_core.native.call import called, fits, lies_alike
from hypatia_core.native.segments import Phases, Segment, base_of, divided, is_free, phases
from hypatia_core.native.written import Written

__all__ = [
    "Phases",
    "Segment",
    "Written",
    "base_of",
    "called",
    "divided",
    "fits",
    "is_free",
    "lies_alike",
    "phases",
]
