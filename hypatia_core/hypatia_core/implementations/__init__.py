"""Ways to run an operation beside torch's own, by measured time."""

from __future__ import annotations

from hypatia_core.implementations import linear as _linear
from hypatia_core.implementations.base import Implementation, Unit, is_packed

#: Every implementation; a new one is a row here, in the module of its operation.
TABLE: list[Implementation] = [*_linear.IMPLEMENTATIONS]

#: Finds the operation that a node is, given the nodes that depend on weights alone.
FINDERS = [_linear.linear]

__all__ = ["FINDERS", "TABLE", "Implementation", "Unit", "is_packed"]
