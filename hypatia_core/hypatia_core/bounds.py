"""How values that are cut off at numbers are read from ATen and written back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core.activation import bounds_of

if TYPE_CHECKING:
    from hypatia_core.fx_export import Writer
    from hypatia_core.fx_import import Reader

aten = torch.ops.aten


def read_clamp(reader: Reader, node: fx.Node) -> int | None:
    """Between numbers; infinite where there is none."""
    if node.kwargs or not node.meta["val"].dtype.is_floating_point:
        return None
    bounds = bounds_of(node)
    if bounds is None or not bounds[0] <= bounds[1]:
        return None
    attributes = [{"float": repr(bound)} for bound in bounds]
    return reader.known("clamp", [reader.tensor(node.args[0])], attributes, node)


def write_clamp(writer: Writer, operands: list[Any], attributes: list[Any]) -> Any:
    """Without a bound that every number keeps."""
    least, most = attributes
    least, most = None if least == -math.inf else least, None if most == math.inf else most
    if least is None and most is None:
        return writer.node(operands[0])
    return writer.call(aten.clamp.default, writer.node(operands[0]), least, most)
