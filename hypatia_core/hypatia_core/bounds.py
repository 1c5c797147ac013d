"""How values that are cut off at numbers are read from ATen and written back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten

#: Where an operation has no bound, or none that is given.
_FREE = (-math.inf, math.inf)


def read_clamp(reader: Reader, node: fx.Node) -> int | None:
    """Between numbers; infinite where there is none."""
    given: list[Any] = list(node.args[1:])
    if node.target is aten.clamp_max.default:
        given = [None, *given]
    without = (-1.0, 1.0) if node.target is aten.hardtanh.default else _FREE
    bounds = [without[i] if i >= len(given) else _FREE[i] if given[i] is None else given[i] for i in (0, 1)]
    if node.kwargs or not node.meta["val"].dtype.is_floating_point:
        return None
    if not all(isinstance(bound, (int, float)) for bound in bounds) or not bounds[0] <= bounds[1]:
        return None
    attributes = [{"float": repr(float(bound))} for bound in bounds]
    return reader.known("clamp", [reader.tensor(node.args[0])], attributes, node)


def write_clamp(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Without the bounds that are infinite."""
    least, most = (None if math.isinf(bound) else bound for bound in attributes)
    if least is None and most is None:
        return writer.node(operands[0])
    return writer.call(aten.clamp.default, writer.node(operands[0]), least, most)
