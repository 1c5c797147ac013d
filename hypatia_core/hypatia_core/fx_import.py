"""A captured graph, read as the engine's graph."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from hypatia_core import compat
from hypatia_core.linear_systems import CHECKS
from hypatia_core.literals import is_readable
from hypatia_core.masks import Band, bands
from hypatia_core.ops import DTYPES, ITEM_READS, LOOKS_FURTHER, READS, SHARED_ITEM_READS
from hypatia_core.sizes import Sizes, Unsupported
from hypatia_core.weight_structure import Structure

WIRE_VERSION = 1

#: Operations that read the memory layout of their operand, so that no other program may stand for it.
LAYOUT_READERS = frozenset(
    getattr(packet, overload)
    for packet in (
        torch.ops.aten.as_strided,
        torch.ops.aten.as_strided_scatter,
        torch.ops.aten.as_strided_copy,
        torch.ops.aten.view,
    )
    for overload in packet.overloads()
    if not (packet is torch.ops.aten.view and overload == "default")
)


@dataclass
class Imported:
    """A graph in the engine's form, and what is needed to write one back."""

    #: The graph as the engine reads it.
    wire: dict[str, Any]
    #: The node that each opaque key stands for.
    opaque: dict[str, fx.Node]
    sizes: Sizes
    devices: list[torch.device]
    #: What is returned, in order: ("tensor", its position in the wire's outputs), or ("as is", the argument).
    returns: list[tuple[str, Any]]
    #: Whether running the graph does more than compute its outputs and draw random numbers.
    observable: bool
    #: Whether the graph draws random numbers.
    random: bool
    #: The node whose value each position of the wire has; a position may be between nodes and have none.
    nodes: dict[int, fx.Node]
    #: Whether results have to be equal bit by bit.
    exact: bool
    #: Inputs read as constants, by position: what the search finds holds while they have these values.
    assumed: dict[int, torch.Tensor]
    #: Nodes whose value is a number that is read off a tensor at run time.
    numbers: set[fx.Node]
    #: Weights read as matrices of a structure, by position: the same.
    structures: dict[int, Structure]

    @functools.cached_property
    def text(self) -> str:
        """The wire as JSON: what `json.dumps` gives, with what nodes share written once."""
        known: dict[tuple[int, int, int], str] = {}
        nodes: list[str] = []
        for node in self.wire["nodes"]:
            parts = id(node["attributes"]), id(node.get("type")), id(node.get("otherwise"))
            rest = known.get(parts)
            if rest is None:
                shared = {name: part for name, part in node.items() if name not in ("op", "operands")}
                rest = known[parts] = json.dumps(shared)[1:]
            nodes.append(f'{{"op": "{node["op"]}", "operands": {node["operands"]}, {rest}')
        around = json.dumps({**self.wire, "nodes": []})
        return around.replace('"nodes": []', f'"nodes": [{", ".join(nodes)}]', 1)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What reading a node added, to be added again for a node that is like it."""

    #: Entries without their operands; of these each one of the node's own tensors by its position among
    #: them, or an entry that stands here, counted from -1 backwards.
    entries: tuple[tuple[dict[str, Any], tuple[int, ...]], ...]
    #: The place of the value, in the same way.
    result: int

    @staticmethod
    def of(entries: list[dict[str, Any]], place: int, begin: int, operands: list[int]) -> _Reading | None:
        """The same of entries from the place `begin` on; None where one stands on something else."""
        counted = {place: -1 - i for i, place in enumerate(range(begin, begin + len(entries)))}
        for position, operand in reversed(list(enumerate(operands))):
            counted[operand] = position
        try:
            return _Reading(
                tuple((entry, tuple(counted[o] for o in entry["operands"])) for entry in entries),
                counted[place],
            )
        except KeyError:
            return None

    def again(self, nodes: list[dict[str, Any]], operands: list[int]) -> int:
        """Adds the entries for these operands; gives the place of the value."""
        begin = len(nodes)
        for entry, of in self.entries:
            added = entry.copy()
            added["operands"] = [operands[o] if o >= 0 else begin - 1 - o for o in of]
            nodes.append(added)
        return operands[self.result] if self.result >= 0 else begin - 1 - self.result


@dataclass
class Reader:
    """Reads nodes one after another; what it does not know stays opaque."""

    weights: frozenset[int] = frozenset()
    #: Whether results have to be equal bit by bit: no operation is then read as others that round otherwise.
    exact: bool = False
    #: Inputs whose values may be used, by position.
    values: Mapping[int, torch.Tensor] = field(default_factory=dict)
    #: Inputs whose structure may be used, by position.
    structures: Mapping[int, Structure] = field(default_factory=dict)
    #: Whether masks that the graph makes of numbers alone are computed.
    masks: bool = False
    sizes: Sizes = field(default_factory=Sizes)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    opaque_nodes: dict[str, fx.Node] = field(default_factory=dict)
    devices: list[torch.device] = field(default_factory=list)
    #: Element types that the engine has no name for.
    other_dtypes: list[torch.dtype] = field(default_factory=list)
    observable: bool = False
    random: bool = False
    #: Nodes whose value is a number that is read off a tensor at run time; they stay as they are.
    numbers: set[fx.Node] = field(default_factory=set)
    _places: dict[fx.Node, int] = field(default_factory=dict)
    _bands: Mapping[fx.Node, Band] = field(default_factory=dict)
    _symmetric: set[fx.Node] = field(default_factory=set)
    #: Types that were written before, by element type, extents and device, where all extents are numbers; and
    #: keys of opaque operations, by what they tell from others.
    _types: dict[Any, dict[str, Any]] = field(default_factory=dict)
    _keys: dict[Any, str] = field(default_factory=dict)
    #: How nodes were read, by what that follows from; and whether some value is no plain tensor, so that more
    #: may be to it.
    _readings: dict[Any, _Reading] = field(default_factory=dict)
    _unusual: bool = False

    def read(self, graph: fx.Graph) -> Imported:
        """Reads a whole graph.

        Raises:
            Unsupported: it holds something that must stay as it is; the message says what.
        """
        returned: Any = ()
        inputs, tables = 0, set[fx.Node]()
        if self.masks:
            self._bands = bands(graph)
        for node in graph.nodes:
            if node.op == "placeholder":
                self._notice(node.meta.get("val"))
                if inputs in self.values:
                    tables.add(node)
                    self._places[node] = self.literal(self.values[inputs], node)
                elif isinstance(node.meta.get("val"), torch.Tensor):
                    attributes = [{"int": inputs}, {"bool": inputs in self.weights}]
                    self._places[node] = given = self._add("input", [], attributes, self.type_of(node))
                    structure = self.structures.get(inputs)
                    if structure is not None:
                        self._places[node] = structure.read(self, node, given)
                    if structure is not None and structure.is_symmetric:
                        self._symmetric.add(node)
                inputs += 1
            elif node.op == "output":
                returned = node.args[0]
            elif node in self._bands:
                self._places[node] = self._bands[node].read(self, node)
            elif (place := self._read_again(node)) is not None:
                self._places[node] = place
        outputs: list[int] = []
        returns: list[tuple[str, Any]] = []
        for value in returned if isinstance(returned, (list, tuple)) else (returned,):
            # A table that a training graph keeps for its backward part is handed on, not written anew.
            if isinstance(value, fx.Node) and value in self._places and value not in tables | self.numbers:
                returns.append(("tensor", len(outputs)))
                outputs.append(self._places[value])
            else:
                returns.append(("as is", value))
        wire = {"version": WIRE_VERSION, "nodes": self.nodes, "outputs": outputs}
        nodes: dict[int, fx.Node] = {}
        for node, place in self._places.items():
            nodes.setdefault(place, node)
        return Imported(
            wire,
            self.opaque_nodes,
            self.sizes,
            self.devices,
            returns,
            self.observable,
            self.random,
            nodes,
            self.exact,
            dict(self.values),
            self.numbers,
            dict(self.structures),
        )

    def _read_again(self, node: fx.Node) -> int | None:
        """The place of a node's value, read as one before that is like it; None where it makes no tensor."""
        operands = list[int]()
        likeness = self._likeness(node, operands)
        if likeness is None:
            return self._read(node)
        known = self._readings.get(likeness)
        if known is not None:
            return known.again(self.nodes, operands)
        begin = len(self.nodes)
        place = self._read(node)
        if place is not None and not self._unusual:
            reading = _Reading.of(self.nodes[begin:], place, begin, operands)
            if reading is not None:
                self._readings[likeness] = reading
        return place

    def _likeness(self, node: fx.Node, operands: list[int]) -> Any:
        """What the reading of a node follows from, as a key: operation, types, other arguments, and which
        operands are the same. None where there may be more to it. Fills in the places of its operands."""
        value: Any = node.meta.get("val")
        further = self._unusual or self._symmetric or self.numbers or node.target in LOOKS_FURTHER
        if further or node.op != "call_function" or type(value).__name__ != "FakeTensor":
            return None
        told: list[Any] = [node.target]
        try:
            # Only of types that were written before: what a symbol is called hangs on who names it first.
            told.append(id(self._types[value.dtype, tuple(value.shape), value.device]))
            self._tell(node.args, told, operands)
            for name, argument in node.kwargs.items():
                told.append(name)
                self._tell((argument,), told, operands)
            for place in operands:
                told += operands.index(place), id(self.nodes[place]["type"])
        except (TypeError, LookupError):  # symbols, and what is unlike other arguments
            return None
        return tuple(told)

    def _read(self, node: fx.Node) -> int | None:
        if not self._is_tensor_work(node):
            return None
        self._notice(node.meta.get("val"))
        read = _read_attribute if node.op == "get_attr" else READS.get(node.target)
        place = read(self, node) if read is not None and self._is_plain(node) else None
        return self._opaque(node) if place is None else place

    def _is_tensor_work(self, node: fx.Node) -> bool:
        """Whether a node makes tensors or has an effect; sizes are read off the inputs again when written."""
        if node.op == "get_attr":
            return isinstance(node.meta.get("val"), torch.Tensor)
        if node.op != "call_function":
            raise Unsupported(f"a node of kind {node.op!r}")
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            return True
        if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) and (
            node.target is compat.reads_number()
            or any(argument in self.numbers for argument in node.all_input_nodes)
        ):
            self.numbers.add(node)
            return True
        if isinstance(value, (torch.SymInt, int)) and not isinstance(node.target, torch._ops.OpOverload):
            return False
        if node.target is torch.ops.aten.sym_size.int:
            return False
        if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            raise Unsupported(f"a number that is known only at run time: {node.target}")
        return True

    def _notice(self, value: Any) -> None:
        self._unusual = self._unusual or (isinstance(value, torch.Tensor) and not _is_usual(value))

    def _is_plain(self, node: fx.Node) -> bool:
        if not _is_usual(node.meta.get("val")):
            return False
        for argument in node.all_input_nodes:
            if (argument not in self._places or argument in self.numbers) and not self.is_size(argument):
                return False
        return True

    def is_size(self, node: fx.Node) -> bool:
        """Whether a node is a size and no tensor."""
        return isinstance(node.meta.get("val"), (torch.SymInt, int)) and node not in self.numbers

    def is_symmetric(self, node: fx.Node) -> bool:
        """Whether a node is a weight that is known to be its transpose."""
        return node in self._symmetric

    def tensor(self, node: Any) -> int:
        """The place of a tensor that was read before."""
        return self._places[node]

    def operand(self, argument: Any, node: fx.Node) -> int | None:
        """The place of a pointwise operation's operand; a number becomes a constant of the result's type."""
        if isinstance(argument, fx.Node):
            return None if self.is_size(argument) else self._places[argument]
        result = node.meta["val"].dtype
        if isinstance(argument, bool) or result is torch.bool or result.is_complex:
            return None
        if (isinstance(argument, float) and result.is_floating_point) or isinstance(argument, int):
            return (
                self.constant(float(argument), node)
                if abs(argument) < 2**53 or argument != argument
                else None
            )
        return None

    def constant(self, value: float, like: fx.Node) -> int:
        """A constant without dimensions, of a node's element type."""
        result = like.meta["val"]
        device = self._device(result.device)
        attributes = [{"float": repr(value)}, {"dtype": DTYPES[result.dtype]}, {"int": device}]
        return self._add(
            "const", [], attributes, {"dtype": DTYPES[result.dtype], "shape": [], "device": device}
        )

    def literal(self, value: torch.Tensor, node: fx.Node) -> int:
        """A small tensor whose values are known; without dimensions it is a constant."""
        with compat.without_fake_mode():
            numbers = value.double().flatten().tolist()
        if value.dim() == 0:
            return self.constant(numbers[0], node)
        ty = self.type_of(node, list(value.shape))
        elements = {"shape": list(value.shape), "values": [repr(number) for number in numbers]}
        attributes = [{"elements": elements}, {"dtype": ty["dtype"]}, {"int": ty["device"]}]
        return self._add("literal", [], attributes, ty)

    def known(self, op: str, operands: list[Any], attributes: list[Any], node: fx.Node) -> int | None:
        """An operation of the engine's for a node; opaque after all where the engine infers another type."""
        if node.meta["val"].dtype not in DTYPES:
            return None
        place = self._add(op, operands, attributes, self.type_of(node))
        key, arguments = self._key(node)
        if operands == arguments:
            self.nodes[place]["otherwise"] = key
            self.opaque_nodes.setdefault(key, node)
        return place

    def computed(self, op: str, operands: list[int], attributes: list[Any], ty: dict[str, Any]) -> int:
        """An operation that stands for no node of its own."""
        return self._add(op, operands, attributes, ty)

    def shape(self, node: fx.Node) -> dict[str, Any]:
        """The shape of a node's result, as an attribute."""
        return {"shape": self.type_of(node)["shape"]}

    def shape_attribute(self, sizes: Any) -> dict[str, Any]:
        """A shape as an attribute."""
        return {"shape": [self.sizes.dimension(size) for size in sizes]}

    def type_of(self, node: fx.Node, shape: list[Any] | None = None) -> dict[str, Any]:
        """The type of a node's result, or one of another shape; shared, so not to be changed."""
        value = node.meta["val"]
        dtype, device = value.dtype, value.device
        extents = tuple(value.shape if shape is None else shape)
        key = dtype, extents, device
        try:
            known = self._types.get(key)
        except TypeError:  # symbols have no hash
            known = None
        if known is None:
            name = DTYPES.get(dtype) or {"other": self._other(dtype)}
            sizes = [self.sizes.dimension(size) for size in extents]
            known = {"dtype": name, "shape": sizes, "device": self._device(device)}
            if all(type(size) is int for size in extents):
                self._types[key] = known
        return known

    def _other(self, dtype: torch.dtype) -> int:
        if dtype not in self.other_dtypes:
            self.other_dtypes.append(dtype)
        return self.other_dtypes.index(dtype)

    def _device(self, device: torch.device) -> int:
        if device not in self.devices:
            self.devices.append(device)
        return self.devices.index(device)

    def _add(self, op: str, operands: list[int], attributes: list[Any], ty: dict[str, Any] | None) -> int:
        entry: dict[str, Any] = {"op": op, "operands": operands, "attributes": attributes}
        if ty is not None:
            entry["type"] = ty
        self.nodes.append(entry)
        return len(self.nodes) - 1

    def _key(self, node: fx.Node) -> tuple[str, list[int]]:
        """The identity of an opaque operation, and the places of its tensor arguments, each as often as it
        stands there: equal keys and operands mean equal values."""
        operands = list[int]()
        value = node.meta.get("val")
        told: list[Any] = [node.target]
        try:
            if isinstance(value, torch.Tensor):
                told += value.dtype, tuple(value.shape)
                self._tell(node.args, told, operands)
                if node.kwargs:
                    for name, argument in node.kwargs.items():
                        told.append(name)
                        self._tell((argument,), told, operands)
                seen: Any = tuple(told)
                known = self._keys.get(seen)
                if known is not None:
                    return known, operands
            else:
                seen = None
        except (TypeError, LookupError):  # symbols, and what is unlike other arguments
            seen = None
        key, operands = self._spelled(node)
        # The type too: the engine keeps one for a key, and operands of other shapes give another.
        key = f"{key} → {_type_text(value)}"
        if seen is not None:
            self._keys[seen] = key
        return key, operands

    def _tell(self, arguments: Any, told: list[Any], operands: list[int]) -> None:
        """Adds what tells arguments from others, and the places of tensors among them.

        Raises:
            LookupError: an argument is of a kind that is not compared here.
        """
        for argument in arguments:
            kind = type(argument)
            told.append(kind)
            if kind is fx.Node:
                operands.append(self._places[argument])
            elif isinstance(argument, (list, tuple)):
                told.append(len(argument))
                self._tell(argument, told, operands)
            elif kind in _COMPARED or (kind is float and argument != 0):
                told.append(argument)
            else:
                raise LookupError(kind)

    def _spelled(self, node: fx.Node) -> tuple[str, list[int]]:
        """A call, each tensor that it takes as `%`, and their places."""
        places, operands = self._places, list[int]()

        def name(argument: fx.Node) -> str:
            place = places.get(argument)
            if place is not None:
                operands.append(place)
                return "%"
            value = argument.meta.get("val")
            return str(value.node.expr) if isinstance(value, torch.SymInt) else argument.name

        if node.op != "call_function":
            return f"{node.op} {node.target}", operands
        arguments = fx.node.map_arg((node.args, node.kwargs), name)
        return f"{_name_of(node.target)}{arguments}", operands

    def _opaque(self, node: fx.Node) -> int:
        value = node.meta.get("val")
        if node.target is operator.getitem and isinstance(node.args[0], fx.Node):
            index = node.args[1]
            if isinstance(value, torch.Tensor) and isinstance(index, int) and index >= 0:
                known = self._known_item(node, node.args[0], index)
                if known is not None:
                    return known
                source = self._places[node.args[0]]
                return self._add("item", [source], [{"int": index}], self.type_of(node))
        effect = self._effect(node)
        key, operands = self._key(node)
        self.opaque_nodes.setdefault(key, node)
        plain = isinstance(value, torch.Tensor)
        return self._add(
            "opaque",
            operands,
            [{"word": key}, {"bool": effect}],
            self.type_of(node) if plain else None,
        )

    def _known_item(self, node: fx.Node, source: fx.Node, index: int) -> int | None:
        """One of several results, where the engine knows it as an operation of its own."""
        shared = SHARED_ITEM_READS.get((source.target, index))
        read = shared or ITEM_READS.get((source.target, index))
        plain = type(node.meta["val"]).__name__ == "FakeTensor" and node.meta["val"].layout is torch.strided
        alone = (
            shared is not None or len(source.users) == 1
        )  # else the operation runs for its other results anyway
        return read(self, node, source) if read is not None and plain and alone else None

    def _effect(self, node: fx.Node) -> bool:
        """Whether a node keeps its order among those that have effects; notes what kind the graph has."""
        if node.op == "get_attr":
            return False
        target = node.target
        if target is operator.getitem:
            return False
        if node in self.numbers and not isinstance(target, torch._ops.OpOverload):
            return False  # arithmetic of Python
        if target in LAYOUT_READERS:
            raise Unsupported(f"{target} reads the layout of memory")
        if target is torch.ops.higher_order.with_effects and node.args[1] in CHECKS:
            return True
        if not isinstance(target, torch._ops.OpOverload):
            self.observable = True
            return True
        if target in CHECKS:
            return True
        if torch.Tag.nondeterministic_seeded in target.tags:
            self.random = True
            return True
        if target._schema.is_mutable or not target._schema.returns:
            self.observable = True
            return True
        if target.namespace not in ("aten", "prims", "hypatia"):
            self.observable = self.observable or target.namespace in (
                "_c10d_functional",
                "c10d_functional",
                "c10d",
            )
            return True
        return False


def _is_usual(value: Any) -> bool:
    """Whether a value is a dense tensor of which torch keeps nothing but type, sizes, strides and place."""
    return (
        type(value).__name__ == "FakeTensor"
        and value.layout is torch.strided
        and not (value.is_quantized or value.is_conj() or value.is_neg())
    )


def is_repeatable(graph: fx.Graph) -> bool:
    """Whether running a graph surely does no more than compute its outputs and draw random numbers."""
    return all(
        (
            isinstance(node.target, torch._ops.OpOverload)
            and not node.target._schema.is_mutable
            and bool(node.target._schema.returns)
            and node.target.namespace in ("aten", "prims", "hypatia")
        )
        or getattr(node.target, "__module__", None) in ("_operator", "builtins", "math")
        for node in graph.nodes
        if node.op == "call_function"
    )


#: Arguments of these types are the same where they are equal.
_COMPARED = frozenset(
    {int, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format}
)

#: Torch puts the name of an operation together anew each time that it is asked for.
_name_of = functools.lru_cache(maxsize=4096)(str)


def _read_attribute(reader: Reader, node: fx.Node) -> int | None:
    """A tensor that the graph holds itself: nothing else can change it."""
    owner: Any = node.graph.owning_module
    value: Any = getattr(owner, str(node.target), None)
    with compat.without_fake_mode():
        readable = is_readable(value)
    return reader.literal(value, node) if readable else None


def _type_text(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_type_text, value))})"
    return type(value).__name__
