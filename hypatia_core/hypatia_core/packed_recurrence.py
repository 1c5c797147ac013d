"""Recurrent layers by code of our own, as an operation of torch.

`torch.ops.hypatia.recurrence(inputs, panels, bias, state, memory, cell, units, reverse)` gives the states of
one direction of one layer at all steps, (steps, batch, units), and for a cell "lstm" after them the memory
that is left. `inputs` is what the inputs give to the gates, (steps, batch, columns); `panels` is the weight
of the state. Columns lie in blocks of sixteen units: the first gate of each, then the second of each, and so
on. For inference: it has no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import recurrence as native
from hypatia_core.packed_linear import COLUMNS, require_float32

#: Gates of a unit, by cell, in torch's order; the cell "lstm" has a memory.
GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}

#: The operation's declaration; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
_LIBRARY.define(
    "recurrence(Tensor inputs, Tensor panels, Tensor? bias, Tensor state, Tensor? memory, str cell, "
    "int units, bool reverse) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def columns_of(cell: str, units: int) -> int:
    """How many columns the gates of so many units take."""
    return GATES[cell] * -(-units // COLUMNS) * COLUMNS


def recurrence(
    inputs: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    state: Tensor,
    memory: Tensor | None,
    cell: str,
    units: int,
    reverse: bool,
) -> Tensor:
    """`torch.ops.hypatia.recurrence` past the dispatcher.

    Raises:
        ValueError: there is no such cell, or operands are not of float32 on the CPU, or not of these sizes.
    """
    require_float32("a recurrent layer", inputs, panels, bias, state, memory)
    if cell not in GATES:
        raise ValueError(f"there is no cell {cell!r}; there are {', '.join(GATES)}")
    steps, batch, columns = inputs.shape
    fits = (
        columns == columns_of(cell, units)
        and panels.numel() == columns * units
        and (bias is None or bias.numel() == columns)
        and state.shape == (batch, units)
        and (memory is not None) == (cell == "lstm")
        and (memory is None or memory.shape == (batch, units))
    )
    if not fits:
        given = [None if t is None else tuple(t.shape) for t in (inputs, panels, bias, state, memory)]
        raise ValueError(f"a recurrent layer of {units} units {cell!r}: operands of {given}")
    result = _type_of_states(inputs, panels, bias, state, memory, cell, units, reverse)
    dense = [None if t is None else t.contiguous() for t in (inputs, panels, bias, state, memory)]
    x, weight, shift, before, kept = (0 if t is None else t.data_ptr() for t in dense)
    extents, threads = (steps, batch, units), torch.get_num_threads()
    native(x, weight, shift, before, kept, result.data_ptr(), extents, cell, reverse, threads)
    return result


def _type_of_states(
    inputs: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    state: Tensor,
    memory: Tensor | None,
    cell: str,
    units: int,
    reverse: bool,
) -> Tensor:
    steps, batch, _ = inputs.shape
    return inputs.new_empty((steps + (memory is not None), batch, units))


_LIBRARY.impl("recurrence", recurrence, "CPU")
torch.library.register_fake("hypatia::recurrence", _type_of_states, lib=_LIBRARY)

RECURRENCE: Any = torch.ops.hypatia.recurrence.default
