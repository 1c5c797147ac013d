"""The engine's graph, written as an FX graph of ATen operations that is called like the original."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from hypatia_core import compat
from hypatia_core.fx_import import WIRE_VERSION, Imported
from hypatia_core.ops import DTYPES_BACK, WRITES, Number
from hypatia_core.sizes import SizeWriter, Unsupported, expression, is_dense
from hypatia_core.written_graph import WrittenGraph

aten = torch.ops.aten
_CONTIGUOUS = torch.contiguous_format


@dataclass(frozen=True, slots=True)
class _Writing:
    """What writing an entry added, to be added again for an entry that is like it."""

    #: Each node as it was written, and what of its arguments stands for what: operands by their position,
    #: nodes that stand here counted from -1 backwards.
    nodes: tuple[fx.Node, ...]
    counted: dict[fx.Node, int]
    #: The value, in the same way.
    result: int

    def again(self, writer: Writer, operands: list[Any]) -> fx.Node:
        """Adds the nodes for these operands; gives the value."""
        added: list[fx.Node] = []
        counted = self.counted

        def place(argument: fx.Node) -> fx.Node:
            found = counted[argument]
            there: fx.Node = operands[found] if found >= 0 else added[-1 - found]
            return there

        for like in self.nodes:
            added.append(writer.copy_of_call(like, place))
        return operands[self.result] if self.result >= 0 else added[-1 - self.result]


@dataclass
class Writer:
    """Writes nodes into a new graph, each with the fake value that it will have."""

    imported: Imported
    original: fx.GraphModule
    #: From this output on, outputs that shared memory need not: nobody sees that gradients do.
    apart_from: int | None = None
    graph: fx.Graph = field(default_factory=WrittenGraph)

    def __post_init__(self) -> None:
        self._inputs: list[fx.Node] = []
        for node in self.original.graph.nodes:
            if node.op == "placeholder":
                self._inputs.append(self.graph.node_copy(node))
        values = [node.meta.get("val") for node in self._inputs]
        self._mode = compat.fake_mode([v for v in values if v is not None])
        self._sizes = SizeWriter(self.graph, self._inputs)
        self._device = torch.device("cpu")
        self.places: list[Any] = []
        self._literals: dict[str, torch.Tensor] = {}
        #: Types of strided tensors by number; the number of each node's, without and with its place.
        self._numbers: dict[Any, int] = {}
        self._types: dict[fx.Node, int | None] = {}
        self._placed: dict[fx.Node, int | None] = {}
        self._results: dict[Any, tuple[Any, int | None, int | None]] = {}
        #: How entries were written, by what that follows from; and the calls added for the one at hand.
        self._writings: dict[Any, _Writing | None] = {}
        self._added: list[fx.Node] = []

    def write(self, wire: dict[str, Any]) -> fx.GraphModule:
        """Writes a whole graph.

        Raises:
            Unsupported: something in it cannot be written; the message says what.
        """
        if wire["version"] != WIRE_VERSION:
            raise Unsupported(f"the engine writes graphs of version {wire['version']}")
        places: list[Any] = []
        for node in wire["nodes"]:
            operands = [places[o] for o in node.get("operands", [])]
            places.append(self._write_again(node, operands))
        self.places = places
        outputs = self._settle([self.node(places[o]) for o in wire["outputs"]])
        returned: list[Any] = []
        for kind, value in self.imported.returns:
            returned.append(outputs[value] if kind == "tensor" else self._argument(value))
        original_output = next(n for n in self.original.graph.nodes if n.op == "output")
        written = self.graph.output(tuple(returned))
        written.meta = dict(original_output.meta)
        self.graph.lint()
        if not self._literals:
            return compat.graph_module(self.original, self.graph)
        held = {str(n.target): self._held(str(n.target)) for n in self.graph.nodes if n.op == "get_attr"}
        return compat.graph_module(held, self.graph)

    def _held(self, name: str) -> Any:
        """What the new graph holds by this name."""
        return self._literals[name] if name in self._literals else operator.attrgetter(name)(self.original)

    def _write_again(self, entry: dict[str, Any], operands: list[Any]) -> Any:
        """The value of an entry, written as one before that is like it."""
        likeness = self._likeness(entry, operands)
        if likeness is None:
            return self._write_node(entry, operands)
        known = self._writings.get(likeness)
        if known is not None:
            return known.again(self, operands)
        before = len(self.graph.nodes)
        self._added = []
        value = self._write_node(entry, operands)
        # Nothing but calls whose types follow from their operands' was added, and all of it stands on these.
        added = self._added
        if len(self.graph.nodes) == before + len(added) and all(
            self._types.get(n) is not None for n in added
        ):
            counted = {node: -1 - i for i, node in enumerate(added)}
            for position, operand in reversed(list(enumerate(operands))):
                if isinstance(operand, fx.Node):
                    counted[operand] = position
            if value in counted and all(a in counted for node in added for a in node.all_input_nodes):
                self._writings[likeness] = _Writing(tuple(added), counted, counted[value])
        return value

    def _likeness(self, entry: dict[str, Any], operands: list[Any]) -> Any:
        """What follows from nothing but this is written alike; None where there may be more to it."""
        ty = entry.get("type")
        if ty is None or not operands:
            return None
        told: list[Any] = [entry["op"], str(entry.get("attributes")), ty["device"]]
        for operand in operands:
            if isinstance(operand, fx.Node):
                kind = self._placed.get(operand)
                if kind is None:
                    return None
                told += operands.index(operand), kind
            else:
                told += repr(operand.value), operand.dtype
        return tuple(told)

    def copy_of_call(self, like: fx.Node, place: Callable[[fx.Node], fx.Node]) -> fx.Node:
        """Adds a call of other operands, of the same types, and so with the same value."""
        kwargs = fx.node.map_arg(like.kwargs, place) if like.kwargs else {}
        node = self.graph.create_node("call_function", like.target, fx.node.map_arg(like.args, place), kwargs)
        node.meta.update(like.meta)
        self._types[node], self._placed[node] = self._types[like], self._placed[like]
        return node

    def _write_node(self, node: dict[str, Any], operands: list[Any]) -> Any:
        attributes, ty = node.get("attributes", []), node.get("type")
        match node["op"]:
            case "input":
                return self._inputs[attributes[0]["int"]]
            case "item":
                return self._getitem(operands[0], attributes[0]["int"])
            case "opaque":
                return self._copy(self.imported.opaque[attributes[0]["word"]], operands)
            case op:
                if ty is None:
                    raise Unsupported(f"the engine gives no type to {op}")
                self._device = self.imported.devices[ty["device"]]
                return WRITES[op](self, operands, [self._attribute(a) for a in attributes])

    def _attribute(self, attribute: dict[str, Any]) -> Any:
        ((kind, value),) = attribute.items()
        match kind:
            case "shape":
                sizes = self.imported.sizes
                return [
                    d if isinstance(d, int) else self._sizes.write(sizes.expression(d["symbol"]))
                    for d in value
                ]
            case "float":
                return float(value)
            case "dtype":
                return DTYPES_BACK[value]
            case _:
                return value

    def _copy(self, node: fx.Node, operands: list[Any]) -> fx.Node:
        if node.op == "get_attr":
            return self.graph.node_copy(node)
        remaining = iter(operands)
        known = self._tensor_arguments(node)

        def replace(argument: fx.Node) -> Any:
            return self.node(next(remaining)) if argument in known else self._argument(argument)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), replace)
        # What gives tokens or numbers has no fake value that could be computed again.
        if node.target is torch.ops.higher_order.with_effects or node in self.imported.numbers:
            copy = self.graph.create_node("call_function", node.target, args, kwargs)
            copy.meta = dict(node.meta)
            return copy
        if node.target in (aten.view.default, aten._unsafe_view.default):  # its operand may lie otherwise now
            view: fx.Node = WRITES["reshape"](self, [args[0]], [args[1]])
            return view
        if not _any_layout(node.target):
            args, kwargs = self._with_layout_of(node, args, kwargs)
        return self.call(node.target, *args, **kwargs)

    def _tensor_arguments(self, node: fx.Node) -> set[fx.Node]:
        return {
            argument
            for argument in node.all_input_nodes
            if (
                argument in self.imported.numbers
                or not isinstance(argument.meta.get("val"), (torch.SymInt, int))
            )
            and (argument.op != "get_attr" or isinstance(argument.meta.get("val"), torch.Tensor))
            and (argument.op != "placeholder" or isinstance(argument.meta.get("val"), torch.Tensor))
        }

    def _with_layout_of(self, node: fx.Node, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Gives an operation that may read strides its operands in the strides of the original."""
        before: list[fx.Node] = []
        fx.node.map_arg((node.args, node.kwargs), before.append)
        originals = iter(before)

        def restride(argument: fx.Node) -> fx.Node:
            original = next(originals).meta.get("val")
            return self._restride(argument, original) if isinstance(original, torch.Tensor) else argument

        changed: tuple[Any, Any] = fx.node.map_arg((args, kwargs), restride)
        return changed

    def _argument(self, argument: Any) -> Any:
        """A size, or an argument that is no tensor, in the new graph."""
        if not isinstance(argument, fx.Node):
            return argument
        if argument.op == "placeholder":
            names = [n.name for n in self.original.graph.nodes if n.op == "placeholder"]
            return self._inputs[names.index(argument.name)]
        if argument.op == "get_attr":
            return self.graph.node_copy(argument)
        value = argument.meta.get("val")
        if isinstance(value, (torch.SymInt, int)) and not isinstance(value, bool):
            return self._sizes.write(expression(value))
        raise Unsupported(f"an argument that is no tensor: {argument.format_node()}")

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Adds a call and computes its fake value.

        Raises:
            Unsupported: an argument has no fake value to compute with.
        """
        args = tuple(a.value if isinstance(a, Number) else a for a in args)
        node = self.graph.create_node("call_function", target, args, kwargs)
        self._added.append(node)
        key = self._asked(target, args, kwargs)
        known = self._results.get(key) if key is not None else None
        if known is not None:
            node.meta["val"], self._types[node], self._placed[node] = known
            return node
        for argument in node.all_input_nodes:
            if "val" not in argument.meta:
                raise Unsupported(f"{target} takes what is no tensor: {argument.format_node()}")
        fake_args, fake_kwargs = fx.node.map_arg((args, kwargs), lambda n: n.meta["val"])
        if isinstance(target, torch._ops.OpOverload):
            with self._mode:
                value = target(*fake_args, **fake_kwargs)
        else:
            value = target(*fake_args, **fake_kwargs)
        node.meta["val"] = value
        if key is not None:
            types = self._note_type(node, value)
            several = isinstance(value, (list, tuple)) and all(_type_of(part) is not None for part in value)
            if several or types[0] is not None:
                self._results[key] = value, *types
        return node

    def _asked(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What the type of a result follows from, as a key; None where there is more to it than that.

        Calls with one key share one fake value, which describes both: layers are alike, and a graph of
        thousands of nodes has few such keys. Whose memory a value is, nobody reads off fake values here.
        """
        which = _asks(target)
        if which is None:
            return None
        asked: list[Any] = [target]
        types = self._types if which == "type" else self._placed
        try:
            self._ask(args, asked, types)
            for name, argument in kwargs.items():
                asked.append(name)
                self._ask((argument,), asked, types)
            key = tuple(asked)
            hash(key)
        except (TypeError, LookupError):  # an argument that is unlike others, or a size that is a symbol
            return None
        return key

    def _ask(self, arguments: Any, asked: list[Any], types: dict[fx.Node, int | None]) -> None:
        """Adds what tells arguments from others; equal numbers of unequal types are not the same."""
        for argument in arguments:
            kind = type(argument)
            asked.append(kind)
            if kind is fx.Node:
                if argument not in types:
                    self._note_type(argument, argument.meta.get("val"))
                ty = types[argument]
                if ty is None:
                    raise LookupError(argument.name)
                asked.append(ty)
            elif isinstance(argument, (list, tuple)):
                asked.append(len(argument))
                self._ask(argument, asked, types)
            else:
                asked.append(argument)

    def _note_type(self, node: fx.Node, value: Any) -> tuple[int | None, int | None]:
        """Numbers a node's type and strides, without and with its place; None where there is more to it."""
        ty, numbers = _type_of(value), self._numbers
        without = None if ty is None else numbers.setdefault(ty, len(numbers))
        whole = None if ty is None else numbers.setdefault((ty, value.storage_offset()), len(numbers))
        self._types[node], self._placed[node] = without, whole
        return without, whole

    def first(self, target: Any, *args: Any) -> fx.Node:
        """The first of an operation's results."""
        return self.item(self.call(target, *args), 0)

    def item(self, source: fx.Node, index: int) -> fx.Node:
        """One of the results of a call."""
        return self._getitem(source, index)

    def _getitem(self, source: fx.Node, index: int) -> fx.Node:
        return self.call(operator.getitem, source, index)

    def node(self, operand: Any) -> Any:
        """An operand as a tensor: a constant is made one, of its own element type."""
        if isinstance(operand, fx.Node):
            return operand
        return self.constant(operand, [])

    def literal(self, shape: list[int], values: list[float], dtype: torch.dtype) -> fx.Node:
        """A tensor of these elements, held by the graph."""
        name = f"_hypatia_literal{len(self._literals)}"
        with compat.without_fake_mode():
            self._literals[name] = torch.tensor(values, dtype=dtype, device=self._device).reshape(shape)
        node = self.graph.create_node("get_attr", name)
        node.meta["val"] = self._mode.from_tensor(self._literals[name], static_shapes=True)
        return node

    def constant(self, number: Number, shape: list[Any]) -> fx.Node:
        """A tensor filled with a number."""
        return self.call(
            aten.full.default, shape, number.value, dtype=number.dtype, device=self._device, pin_memory=False
        )

    def ones(self, shape: list[Any], dtype: torch.dtype) -> fx.Node:
        """A tensor filled with ones."""
        return self.call(aten.ones.default, shape, dtype=dtype, device=self._device, pin_memory=False)

    def size(self, operand: Any) -> int:
        """How many elements an operand has, for ordering; by hint where that is symbolic."""
        if not isinstance(operand, fx.Node):
            return 0
        total: Any = 1
        for size in operand.meta["val"].shape:
            total *= size.node.hint if isinstance(size, torch.SymInt) else size
        return int(total)

    @staticmethod
    def same_size(a: Any, b: Any) -> bool:
        """Whether two sizes are surely equal, without adding a guard."""
        if type(a) is int and type(b) is int:
            return a == b
        return bool(expression(a) == expression(b))

    def _settle(self, outputs: list[fx.Node]) -> list[fx.Node]:
        """Gives each output the strides of the original, and memory of its own where the original's was."""
        returned = zip(_returned(self.original.graph), self.imported.returns, strict=True)
        before = [node for node, (kind, _) in returned if kind == "tensor"]
        bases_before = [base_of(n) for n in before]
        settled: list[fx.Node] = []
        bases: list[fx.Node] = []
        for i, (node, original) in enumerate(zip(outputs, before, strict=True)):
            node = self._restride(node, original.meta["val"])
            base = base_of(node)
            shared = [j for j in range(i) if bases[j] is base]
            apart = [j for j in range(i) if bases_before[j] is bases_before[i] and bases[j] is not base]
            seen = self.apart_from is None or i < self.apart_from
            if apart and seen and bases_before[i].op == "call_function":
                raise Unsupported(f"outputs {apart[0]} and {i} share memory, and would no more")
            fresh_alias = any(bases_before[j] is not bases_before[i] for j in shared)
            is_input = base.op in ("placeholder", "get_attr")
            was_input = (
                bases_before[i].op in ("placeholder", "get_attr") and bases_before[i].name == base.name
            )
            if fresh_alias or (is_input and not was_input):
                node = self._copy_like(node, original.meta["val"])
                base = base_of(node)
            settled.append(node)
            bases.append(base)
        return settled

    def _restride(self, node: fx.Node, like: torch.Tensor) -> fx.Node:
        value = node.meta["val"]
        if like.layout is not torch.strided:
            return node
        same = len(value.shape) == len(like.shape) and all(
            self.same_size(s, t) or self.same_size(size, 1)
            for s, t, size in zip(value.stride(), like.stride(), like.shape, strict=True)
        )
        return node if same else self._copy_like(node, like)

    def _copy_like(self, node: fx.Node, like: torch.Tensor) -> fx.Node:
        """A copy in other strides; gaps between elements are left as they fall."""
        repeated = [axis for axis, step in enumerate(like.stride()) if expression(step) == 0]
        once = like
        for axis in repeated:
            node = self.call(aten.slice.Tensor, node, axis, 0, 1, 1)
            once = aten.slice.Tensor(once, axis, 0, 1, 1)
        order = self._dense_order(once)
        if order is not None:
            # Without a write, so that passes over the graph need not know of memory.
            dense = self.call(aten.clone.default, self._permuted(node, order), memory_format=_CONTIGUOUS)
            copy = self._permuted(dense, [order.index(axis) for axis in range(len(order))])
        else:
            strides = [self._size_node(step) for step in like.stride()]
            value = node.meta["val"]
            room = self.call(
                aten.empty_strided.default,
                [self._size_node(size) for size in value.shape],
                # Along an axis of one element any step will do, but none of zero.
                [1 if axis in repeated else step for axis, step in enumerate(strides)],
                dtype=value.dtype,
                device=value.device,
            )
            copy = self.call(aten.copy_.default, room, node)
        if not repeated:
            return copy
        return self.call(aten.expand.default, copy, [self._size_node(size) for size in like.shape])

    def _permuted(self, node: fx.Node, order: list[int]) -> fx.Node:
        return node if order == sorted(order) else self.call(aten.permute.default, node, order)

    def _dense_order(self, like: torch.Tensor) -> list[int] | None:
        """The axes from the widest step to the narrowest, if in that order it is surely contiguous."""
        steps = [compat.hint(step) for step in like.stride()]
        order = sorted(range(like.dim()), key=lambda axis: (-steps[axis], axis))
        return order if is_dense(like.permute(order)) else None

    def _size_node(self, size: Any) -> fx.Node | int:
        return self._sizes.write(expression(size))


@functools.cache
def _asks(target: Any) -> str | None:
    """What the type of a call's result follows from: the types of its operands, or their places too; None
    where there is more to it."""
    if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable:
        return None
    # Where in memory an operand of a pointwise operation begins, its result does not tell.
    return "type" if torch.Tag.pointwise in target.tags else "place"


def _type_of(value: Any) -> tuple[Any, ...] | None:
    """What operations on a strided tensor of known sizes ask of it, its place in memory apart; None where
    there is more to it."""
    if type(value).__name__ != "FakeTensor" or value.layout is not torch.strided:
        return None
    if value.is_conj() or value.is_neg() or value.is_quantized:
        return None
    shape, strides, offset = tuple(value.shape), value.stride(), value.storage_offset()
    if not all(type(number) is int for number in (*shape, *strides, offset)):
        return None
    return value.dtype, value.device, shape, strides, value.requires_grad


def _returned(graph: fx.Graph) -> list[Any]:
    returned: Any = next(n for n in graph.nodes if n.op == "output").args[0]
    return list(returned) if isinstance(returned, (list, tuple)) else [returned]


def base_of(node: fx.Node) -> fx.Node:
    """The node whose memory this one looks at, by the aliasing that operations declare."""
    while node.op == "call_function":
        target = node.target
        if isinstance(target, torch._ops.OpOverload):
            if not any(r.alias_info is not None for r in target._schema.returns):
                return node
        elif target is not operator.getitem:
            return node
        node = node.all_input_nodes[0]
    return node


def _any_layout(target: Any) -> bool:
    known = isinstance(target, torch._ops.OpOverload) and target.namespace in ("aten", "prims", "hypatia")
    return known and target not in (aten.view_as_complex.default, aten._reshape_alias.default)


def write(
    text: str, imported: Imported, original: fx.GraphModule, apart_from: int | None = None
) -> tuple[fx.GraphModule, list[Any]]:
    """The engine's JSON as a graph module called like the original, and the node of each wire position.

    A position without a node is a constant. From the output `apart_from` on, outputs that shared memory in
    the original need not.

    Raises:
        Unsupported: something cannot be written; the message says what.
    """
    writer = Writer(imported, original, apart_from)
    return writer.write(json.loads(text)), writer.places
