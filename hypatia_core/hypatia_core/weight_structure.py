"""Structure that a weight has by its values: zero, identity, diagonal, triangular, symmetric.

A graph at inference is read with what its weights are when it is compiled: a triangular weight as its own
triangle, so that rules may leave its zeros out. The program that rests on this runs only while it holds. That
is asked on every call as for folded weights (`weights.py`): version, address, strides, samples of memory. A
weight that has changed is looked at again, and without its structure the original runs.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from hypatia_core import compat, weights
from hypatia_core._hypatia_core import Snapshot
from hypatia_core.executors.base import Runnable

if TYPE_CHECKING:
    from hypatia_core.fx_import import Reader


class Structure(enum.Enum):
    """What a matrix is, from what says most to what says least.

    >>> Structure.of(torch.eye(3)).value
    'identity'
    >>> Structure.of(torch.rand(3, 3).tril()).value
    'lower triangle'
    """

    ZERO = "zero"
    IDENTITY = "identity"
    DIAGONAL = "diagonal"
    LOWER = "lower triangle"
    UPPER = "upper triangle"
    SYMMETRIC = "symmetric"

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Structure | None:
        """The structure of a matrix; None where it has none of these."""
        rows, columns = matrix.shape
        if min(rows, columns) < 2:
            return None
        # Two corners and two neighbours of the diagonal tell nearly every matrix without structure.
        far, near, left, right = (matrix[at].item() for at in ((0, -1), (-1, 0), (1, 0), (0, 1)))
        if far != 0 and near != 0 and (far != near or left != right):
            return None
        return next((structure for structure in cls if structure.holds(matrix)), None)

    def holds(self, matrix: torch.Tensor) -> bool:
        """Whether a matrix has it, by all of its values; what is not a number has none."""
        if self is Structure.ZERO:
            return not bool(matrix.any())
        if matrix.shape[0] != matrix.shape[1]:
            return False
        like: Callable[[torch.Tensor], torch.Tensor] = _LIKE[self]
        return bool(torch.equal(matrix, like(matrix)))

    @property
    def is_symmetric(self) -> bool:
        """Whether the transpose is the matrix itself, which is all that is known of it."""
        return self is Structure.SYMMETRIC

    def read(self, reader: Reader, node: fx.Node, place: int) -> int:
        """An input that has it, as the engine has it."""
        shape, matrix = node.meta["val"].shape, reader.type_of(node)
        match self:
            case Structure.ZERO:
                return reader.computed("expand", [reader.constant(0.0, node)], [reader.shape(node)], matrix)
            case Structure.LOWER:
                return reader.computed("tril", [place], [{"int": 0}], matrix)
            case Structure.UPPER:
                return reader.computed("triu", [place], [{"int": 0}], matrix)
            case Structure.SYMMETRIC:
                return place
        side = reader.type_of(node, [shape[0]])
        if self is Structure.IDENTITY:
            attributes = [reader.shape_attribute([shape[0]])]
            diagonal = reader.computed("expand", [reader.constant(1.0, node)], attributes, side)
        else:
            diagonal = reader.computed("diagonal", [place], [], side)
        return reader.computed("diag_embed", [diagonal], [], matrix)


_LIKE: dict[Structure, Callable[[torch.Tensor], torch.Tensor]] = {
    Structure.IDENTITY: lambda m: torch.eye(m.shape[0], dtype=m.dtype),
    Structure.DIAGONAL: lambda m: m.diagonal().diag(),
    Structure.LOWER: torch.tril,
    Structure.UPPER: torch.triu,
    Structure.SYMMETRIC: lambda m: m.T,
}


@dataclass(frozen=True)
class Structures:
    """The structures among a Dynamo graph's inputs that modules hold."""

    #: By position, with the shape and type that the input had.
    known: Mapping[int, tuple[Structure, torch.Size, torch.dtype]]
    #: How many inputs there are.
    inputs: int

    @classmethod
    def captured(cls, gm: fx.GraphModule, inputs: Sequence[Any]) -> Structures:
        """The structures of a graph's real inputs."""
        held = compat.captured_inputs(gm)
        known = {}
        with torch.no_grad():
            for position, value in enumerate(inputs):
                if position in held and _is_matrix(value):
                    structure = Structure.of(value.detach())
                    if structure is not None:
                        known[position] = (structure, value.shape, value.dtype)
        return cls(known, len(inputs))

    def among(self, graph: fx.Graph, static: frozenset[int]) -> dict[int, Structure]:
        """Those among the weights of AOTAutograd's graph, by count; a guard tells whether they are."""
        nodes = [node for node in graph.nodes if node.op == "placeholder"]
        if len(nodes) != self.inputs:
            return {}
        found = {}
        for position, (structure, shape, dtype) in self.known.items():
            value = nodes[position].meta.get("val")
            fits = isinstance(value, torch.Tensor) and value.shape == shape and value.dtype == dtype
            if fits and position in static:
                found[position] = structure
        return found


def _is_matrix(value: Any) -> bool:
    return (
        type(value) in (torch.Tensor, torch.nn.Buffer, torch.nn.Parameter)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.dtype in (torch.float32, torch.float64)
        and value.dim() == 2
    )


class Watch:
    """Whether weights still have the structures that a program rests on.

    Args:
        structures: by position among the inputs.
        strict: whether every byte of the weights is compared on each call, and not samples only.
        refused: told once where the weights change too often to be looked at each time.
    """

    def __init__(
        self, structures: Mapping[int, Structure], strict: bool, refused: Callable[[str], None]
    ) -> None:
        self._positions = sorted(structures)
        self._structures = [structures[position] for position in self._positions]
        self._strict = strict
        self._refused = refused
        self._lock = threading.Lock()
        #: How the weights were when they were last looked at, what was found, and their storages: held, so
        #: that no other tensor comes to lie at their addresses.
        self._seen: tuple[Snapshot, bool, list[Any]] | None = None
        self._uses = 0
        self._restless = 0
        weights.drop_with_others(self)

    def holds(self, inputs: Sequence[Any]) -> bool:
        """Whether each of them has its structure, among these inputs of the graph."""
        matrices = [inputs[position] for position in self._positions]
        seen = self._seen
        try:
            if seen is not None and seen[0].changed(matrices) is None:
                self._uses += 1
                return seen[1]
            return self._looked_at(matrices)
        except RuntimeError:  # tensors of inference mode have no version: nothing is known of them
            return False

    def drop(self, addresses: set[int] | None = None) -> None:
        """Looks again at the next call."""
        self._seen = None

    def _looked_at(self, matrices: list[Any]) -> bool:
        with self._lock:
            if self._restless >= weights.RESTLESS:
                return False
            self._restless = 0 if self._seen is None or self._uses > 1 else self._restless + 1
            if self._restless >= weights.RESTLESS:
                self._refused("weights of known structure change between calls: the original runs")
            self._uses = 0
            # The snapshot comes first: what changes meanwhile is noticed on the next call.
            snapshot = weights.snapshot_of(matrices, self._strict)
            with torch.no_grad():
                pairs = zip(self._structures, matrices, strict=True)
                held = all(structure.holds(matrix.detach()) for structure, matrix in pairs)
            self._seen = snapshot, held, [matrix.untyped_storage() for matrix in matrices]
            return held


def while_it_holds(run: Runnable, otherwise: Runnable, watch: Watch) -> Runnable:
    """Runs one program while weights have their structure, the other elsewhere."""

    def call(inputs: list[Any]) -> Any:
        return run(inputs) if watch.holds(inputs) else otherwise(inputs)

    return compat.boxed(call)
