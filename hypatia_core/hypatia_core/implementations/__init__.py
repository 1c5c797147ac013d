"""Ways to run an operation beside torch's own, by measured time."""

from __future__ import annotations

from hypatia_core.implementations import attention as _attention
from hypatia_core.implementations import convolution as _convolution
from hypatia_core.implementations import linear as _linear
from hypatia_core.implementations import recurrence as _recurrence
from hypatia_core.implementations import sequence as _sequence
from hypatia_core.implementations import transposed as _transposed
from hypatia_core.implementations.base import Implementation, Unit, is_packed

#: Every implementation; a new one is a row of its operation's module, whose first row is torch's own.
TABLE: list[Implementation] = [
    *_linear.IMPLEMENTATIONS,
    *_convolution.IMPLEMENTATIONS,
    *_sequence.IMPLEMENTATIONS,
    *_transposed.IMPLEMENTATIONS,
    *_attention.IMPLEMENTATIONS,
]

#: Finds the operation that a node begins, given the nodes that depend on weights alone, and those that belong
#: to another already.
FINDERS = [_linear.linear, _convolution.convolution, _transposed.transposed_convolution, _attention.attention]

#: Make of a graph one in which finders find more, of the same meaning.
products_of_rows = _linear.products_of_rows
recurrent_layers = _recurrence.recurrent_layers
RECURRENT_LAYER = _recurrence.NAME

__all__ = [
    "FINDERS",
    "RECURRENT_LAYER",
    "TABLE",
    "Implementation",
    "Unit",
    "is_packed",
    "products_of_rows",
    "recurrent_layers",
]
