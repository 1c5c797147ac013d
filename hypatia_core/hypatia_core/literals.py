"""Small constant tensors that code captures: their values as facts for the search, and what guards them.

A multiplication table that a module keeps as a buffer, or code as a global, reaches the graph as an input.
The search may read its values; the program that rests on them runs only while they hold, asked at each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Runnable

aten = torch.ops.aten

#: Tensors of more elements are not looked into.
LARGEST = 2**15
#: The element types that the engine knows literals of.
READABLE = (torch.float32, torch.float64)
#: Of two axes, tables have no longer ones: a larger matrix is served well by a library's product.
LONGEST_OF_TWO = 32


def _is_small(value: Any) -> bool:
    """Whether a tensor is a small plain one on the processor, which is not trained."""
    return (
        type(value) in (torch.Tensor, torch.nn.Buffer)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.requires_grad
        and 0 < value.numel() <= LARGEST
    )


def is_readable(value: Any) -> bool:
    """Whether a tensor is such a one, of finite floats."""
    return _is_small(value) and value.dtype in READABLE and bool(torch.isfinite(value).all())


def is_indices(value: Any) -> bool:
    """Whether it is such a one, of whole numbers that may be indices."""
    return _is_small(value) and value.dtype is torch.int64 and value.dim() > 0


def is_table(value: torch.Tensor) -> bool:
    """Whether it looks like a table that is not trained: small whole numbers, mostly zero, on several axes.

    A wrong guess costs time alone: what rests on it is guarded.
    """
    if value.dim() < 2 or (value.dim() == 2 and max(value.shape) > LONGEST_OF_TWO):
        return False
    few = 2 * int(torch.count_nonzero(value)) <= value.numel()
    return few and bool((value == value.round()).all()) and bool((value.abs() <= 16).all())


PRODUCTS = frozenset({aten.mm.default, aten.bmm.default})
#: What brings a table to the form that a product takes, and a product to its next operand.
VIEWS = frozenset(
    {
        aten.view.default,
        aten._unsafe_view.default,
        aten.reshape.default,
        aten.permute.default,
        aten.transpose.int,
        aten.t.default,
        aten.unsqueeze.default,
        aten.squeeze.dim,
        aten.expand.default,
        aten.clone.default,
    }
)


@dataclass(frozen=True)
class Tables:
    """The tables among a Dynamo graph's inputs that its code captures, not those that its caller gives."""

    #: Copies, by position.
    values: dict[int, torch.Tensor]
    #: How many inputs there are.
    inputs: int
    #: Copies of small captured tensors of whole numbers, which may be indices.
    indices: dict[int, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def captured(cls, gm: GraphModule, inputs: Sequence[Any]) -> Tables:
        """The tables of a graph and its real inputs."""
        captured = compat.captured_inputs(gm)
        values = {
            position: value.detach().clone()
            for position, value in enumerate(inputs)
            if position in captured and is_readable(value) and is_table(value)
        }
        indices = {
            position: value.detach().clone()
            for position, value in enumerate(inputs)
            if position in captured and is_indices(value)
        }
        return cls(values, len(inputs), indices)

    def among(self, graph: fx.Graph) -> dict[int, torch.Tensor]:
        """Those among the inputs of AOTAutograd's graph, by name or count; a guard tells the rest."""
        return self._among(graph, self.values)

    def indices_among(self, graph: fx.Graph) -> dict[int, torch.Tensor]:
        """The same of what may be indices."""
        return self._among(graph, self.indices)

    def _among(self, graph: fx.Graph, known: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        found = [
            self._known(node, known, n if len(inputs) == self.inputs else -1) for n, node in enumerate(inputs)
        ]
        return {position: value for position, value in enumerate(found) if value is not None}

    def _known(
        self, node: fx.Node, known: Mapping[int, torch.Tensor], otherwise: int = -1
    ) -> torch.Tensor | None:
        """The one that a placeholder stands for: training graphs number the inputs of Dynamo's from one."""
        name = str(node.target)
        number = name.removeprefix("primals_")
        named = number != name and number.isdecimal()
        table = known.get(int(number) - 1 if named else otherwise)
        value = node.meta.get("val")
        if table is None or not isinstance(value, torch.Tensor):
            return None
        same = (value.shape, value.dtype, value.device) == (table.shape, table.dtype, table.device)
        return table if same else None

    def separate(self, joint: fx.Graph) -> None:
        """Lets the backward part compute anew what the forward part expands by a table, and not keep it.

        The product of an operand with a table is several times larger than the operand. Kept, it could not be
        rewritten away; computed anew, it is part of a sparse map on either side.
        """
        end = compat.end_of_forward(joint)
        if end is None:
            return
        inputs = [node for node in joint.nodes if node.op == "placeholder"]
        constant = {node for node in inputs if self._known(node, self.values) is not None}
        forward = set(inputs)
        expanded: dict[fx.Node, None] = {}  # in order
        for node in joint.nodes:
            forward.add(node)
            operands = set(node.all_input_nodes)
            if node.target in PRODUCTS and operands & constant and not operands <= constant:
                expanded[node] = None
            elif node.target in VIEWS and operands <= constant:
                constant.add(node)
                expanded[node] = None
            elif node.target in VIEWS and operands <= expanded.keys():
                expanded[node] = None
            if node is end:
                break
        for node in reversed(expanded):
            later = [user for user in node.users if user not in forward and user.op != "output"]
            if later:
                with joint.inserting_after(end):
                    copied = joint.node_copy(node)
                compat.belongs_to(copied, backward=True)
                for user in later:
                    user.replace_input_with(node, copied)


def while_they_hold(run: Runnable, otherwise: Runnable, assumed: Mapping[int, torch.Tensor]) -> Runnable:
    """Runs one program where inputs have these values, the other elsewhere."""
    facts = list(assumed.items())

    def call(inputs: list[Any]) -> Any:
        if all(torch.equal(inputs[position], value) for position, value in facts):
            return run(inputs)
        return otherwise(inputs)

    return compat.boxed(call)
