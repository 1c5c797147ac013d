"""What depends on weights alone: computed once, outside the graph, and never stale.

A graph at inference is divided into what depends on parameters and buffers only, and the rest. The first part
runs once for each set of weights that comes by; its results feed the rest. On every call the weights are
compared with what they were: their versions (which every in-place operation raises), addresses and strides
(which `p.data = …` and a new parameter change) and samples of their memory, for the one write that leaves no
other trace (`p.data.mul_()`).
"""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError, Snapshot
from hypatia_core.executors.base import Runnable
from hypatia_core.report import GraphReport, brief
from hypatia_core.written_graph import WrittenGraph

#: Weights that change so often in a row, each time before their results were used twice, are left alone…
RESTLESS = 4
#: … for so many calls.
PAUSE = 256

aten = torch.ops.aten

#: Operations that compute nothing: what only they make of a weight stays where it is.
_FREE = frozenset(
    overload
    for packet in (
        *(
            aten.view,
            aten._unsafe_view,
            aten.reshape,
            aten.permute,
            aten.t,
            aten.transpose,
            aten.expand,
            aten.unsqueeze,
        ),
        *(aten.squeeze, aten.slice, aten.select, aten.alias, aten.detach, aten.diagonal, aten.full),
        *(
            aten.arange,
            aten.scalar_tensor,
            aten.zeros,
            aten.ones,
            aten.empty,
            aten.split,
            aten.split_with_sizes,
        ),
    )
    for overload in (getattr(packet, name) for name in packet.overloads())
) | {operator.getitem}


@dataclass(frozen=True)
class Division:
    """A graph in two parts."""

    #: Makes the folded values from the sources.
    weights_only: GraphModule
    #: Positions, among the graph's inputs, of the weights that it takes.
    sources: list[int]
    #: Makes the outputs from the inputs that it still takes, followed by the folded values.
    rest: GraphModule
    #: Positions of those inputs.
    kept: list[int]

    def fake_inputs(self) -> list[Any]:
        """The fake values that the rest takes."""
        return [node.meta.get("val") for node in self.rest.graph.nodes if node.op == "placeholder"]


def dependent_on(
    graph: GraphModule, weights: Iterable[int]
) -> tuple[set[fx.Node], set[fx.Node], set[fx.Node]]:
    """The nodes that depend on no other inputs than weights; of these, those that need one at all; and those
    that compute something."""
    nodes = list(graph.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    written = {node.args[0] for node in nodes if mutates(node) and isinstance(node.args[0], fx.Node)}
    sources = {placeholders[i] for i in weights} - written
    constant, needs_weights = set(sources), set(sources)
    works: set[fx.Node] = set()
    for node in nodes:
        if node.op == "get_attr" and isinstance(node.meta.get("val"), torch.Tensor):
            constant.add(node)
        elif (
            node.op == "call_function" and constant.issuperset(node.all_input_nodes) and _is_pure(node.target)
        ):
            constant.add(node)
            if not needs_weights.isdisjoint(node.all_input_nodes):
                needs_weights.add(node)
            if node.target not in _FREE or not works.isdisjoint(node.all_input_nodes):
                works.add(node)
    return constant, needs_weights, works


def divide(graph: GraphModule, weights: Iterable[int], *, whole: bool = False) -> Division | None:
    """Divides a functional graph into what depends on weights alone and the rest; None where that is nothing.

    Args:
        graph: a functional ATen graph.
        weights: positions of its inputs that are parameters or buffers.
        whole: whether weights that nothing is computed of count too, so that the rest takes none.
    """
    constant, needs_weights, works = dependent_on(graph, weights)
    output = next(node for node in graph.graph.nodes if node.op == "output")
    # What is returned is the caller's to change: it is computed afresh on each call.
    frontier = [
        node
        for node in graph.graph.nodes
        if node in needs_weights
        and (whole or node in works)
        and isinstance(node.meta.get("val"), torch.Tensor)
        and any(user not in constant and user is not output for user in node.users)
    ]
    return _divided(graph, constant, frontier, output) if frontier else None


def mutates(node: fx.Node) -> bool:
    """Whether a node writes to what it takes."""
    return isinstance(node.target, torch._ops.OpOverload) and _writes(node.target)


@functools.cache
def _writes(target: torch._ops.OpOverload) -> bool:
    return bool(target._schema.is_mutable)


@functools.cache
def _is_pure(target: Any) -> bool:
    """Whether a call of this does no more than compute its result, the same one each time."""
    if target is operator.getitem:
        return True
    return (
        isinstance(target, torch._ops.OpOverload)
        and not _writes(target)
        and torch.Tag.nondeterministic_seeded not in target.tags
        and target.namespace in ("aten", "prims", "mkl", "mkldnn", "hypatia")
    )


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """These nodes and all that they are computed from."""
    found: set[fx.Node] = set()
    work = list(nodes)
    while work:
        node = work.pop()
        if node not in found:
            found.add(node)
            work.extend(node.all_input_nodes)
    return found


def _divided(
    graph: GraphModule, constant: set[fx.Node], frontier: list[fx.Node], output: fx.Node
) -> Division:
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    needed = ancestors(frontier)
    first, rest = WrittenGraph(), WrittenGraph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        if node in needed:
            copies[node] = first.node_copy(node, copies.__getitem__)
    first.output(tuple(copies[node] for node in frontier))

    live = _alive(graph.graph, constant, set(frontier))
    returned = output.all_input_nodes
    taken = {argument for node in live for argument in node.all_input_nodes}.difference(frontier)
    taken |= ancestors(node for node in returned if node in constant)
    kept = [i for i, node in enumerate(placeholders) if node in taken or node in returned]
    copies = {placeholders[i]: rest.node_copy(placeholders[i]) for i in kept}
    afresh = dict(copies)
    for i, node in enumerate(frontier):
        copies[node] = rest.placeholder(f"folded_{i}")
        copies[node].meta = dict(node.meta)
    for node in graph.graph.nodes:
        if node in live and node.op not in ("placeholder", "output"):
            copies[node] = rest.node_copy(node, copies.__getitem__)
            if node not in constant:
                afresh[node] = copies[node]
    rest.output(fx.node.map_arg(output.args[0], functools.partial(_computed, rest, afresh)))
    rest.lint()
    return Division(
        compat.graph_module(graph, first),
        [i for i, node in enumerate(placeholders) if node in needed],
        compat.graph_module(graph, rest),
        kept,
    )


def _alive(graph: fx.Graph, constant: set[fx.Node], folded: set[fx.Node]) -> set[fx.Node]:
    """What has to run beside folded values: what writes, and what is returned and not computed afresh."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output":
            live.update(n for n in node.all_input_nodes if n not in constant)
        elif node in live or mutates(node):
            live.add(node)
            live.update(n for n in node.all_input_nodes if n not in folded)
    return live


def _computed(rest: fx.Graph, copies: dict[fx.Node, fx.Node], node: fx.Node) -> fx.Node:
    """A value in the graph of the rest, computed there from its inputs."""
    if node not in copies:
        for argument in node.all_input_nodes:
            _computed(rest, copies, argument)
        copies[node] = rest.node_copy(node, lambda n: copies[n])
    return copies[node]


@dataclass
class Entry:
    """The folded values of one set of weights."""

    snapshot: Snapshot
    values: list[Any]
    bytes: int
    uses: int = 0
    #: Held, so that no other tensor comes to lie at the addresses that the snapshot knows.
    storages: list[Any] = field(default_factory=list)
    #: The values as an executor takes them, by what prepared them.
    prepared: dict[Callable[[list[Any]], Any], Any] = field(default_factory=dict)


class Memo:
    """The folded values of every set of weights that came by, each compared with its weights on each use.

    Args:
        division: how to make them.
        original: runs the whole graph, where they cannot be had.
        strict: whether every byte of the weights is compared, and not samples only.
        cap: bytes that folded values may take in all; above, nothing more is folded.
        refused: told why something was not folded.
        report: where the memory is written down.
    """

    def __init__(
        self,
        division: Division,
        original: Runnable,
        strict: bool,
        cap: int,
        refused: Callable[[str], None],
        report: GraphReport,
    ) -> None:
        self._fold = compat.boxed_forward(division.weights_only)
        self.division = division
        self._original = original
        self._strict = strict
        self._cap = cap
        self.refuse = refused
        self._report = report
        self._entries: list[Entry] = []
        self._last: Entry | None = None
        self._lock = threading.RLock()
        self._restless = 0
        self._pause = 0
        #: Positions of the weights that are compared on each call: all sources but those that were released.
        self._watched = division.sources
        self._released = False
        #: Bytes of the weights that were last folded.
        self._read = 0
        drop_with_others(self)

    def tell(self) -> None:
        """Writes the memory down in the report."""
        if self._read:
            self._report.weights_read, self._report.weights_kept = self._read, self.bytes

    @property
    def bytes(self) -> int:
        """Memory that the folded values take."""
        return sum(entry.bytes for entry in self._entries)

    def around(self, rest: Callable[[list[Any], Any], Any], prepare: Callable[[list[Any]], Any]) -> Runnable:
        """Runs the rest of the graph on folded values that are fresh, or the original where there are none.

        Args:
            rest: takes the inputs that the rest of the graph keeps, and what `prepare` made.
            prepare: makes of folded values what `rest` takes; once for each set of weights.
        """
        kept, original = self.division.kept, self._original

        def call(inputs: list[Any]) -> Any:
            entry = self._last
            weights = [inputs[i] for i in self._watched]
            if entry is None or entry.snapshot.changed(weights) is not None:
                entry = self._found(weights)
                if entry is None:
                    return original(inputs)
            entry.uses += 1
            prepared = entry.prepared.get(prepare)
            if prepared is None:
                prepared = entry.prepared[prepare] = prepare(entry.values)
            arguments = [inputs[i] for i in kept]
            inputs.clear()
            return rest(arguments, prepared)

        return compat.boxed(call)

    def releasable(self) -> set[int]:
        """Positions of the weights that are needed for nothing but what was folded of them."""
        if self._last is None:
            return set()
        return set(self.division.sources) - set(self.division.kept)

    def release(self, positions: Iterable[int], inputs: Sequence[Any]) -> None:
        """Lets go of the weights in these positions: what the last call folded is what there is from now on.

        A change of the others, of which it was folded too, is an error on the next call. `inputs` are the
        graph's, with all of its weights as they were on that call.
        """
        gone = set(positions)
        with self._lock:
            if not gone or self._last is None:
                return
            entry = self._last
            if entry.snapshot.changed([inputs[i] for i in self.division.sources]) is not None:
                raise HypatiaError("the weights changed while they were to be released")
            self._watched = [i for i in self.division.sources if i not in gone]
            weights = [inputs[i] for i in self._watched]
            snapshot = snapshot_of(weights, self._strict)
            storages = [weight.untyped_storage() for weight in weights]
            self._last = replace(entry, snapshot=snapshot, storages=storages)
            self._entries = [self._last]
            self._released = True

    def drop(self, addresses: set[int] | None = None) -> None:
        """Forgets what came from weights whose storage is at one of these addresses, or everything."""
        with self._lock:
            if self._released:  # there is nothing to compute it from
                return
            self._last = None
            self._entries = [
                entry
                for entry in self._entries
                if addresses is not None and not addresses & {s.data_ptr() for s in entry.storages}
            ]

    def _found(self, weights: list[Any]) -> Entry | None:
        with self._lock:
            if self._released:
                raise HypatiaError(
                    "a weight changed of which, with others, something was computed once, and these were "
                    "released (release_originals=True): load the model anew and compile it"
                )
            if self._pause > 0:
                self._pause -= 1
                return None
            # What nobody else holds will not come by again, nor what has changed since.
            self._entries = [entry for entry in self._entries if not _is_left(entry)]
            for entry in self._entries:
                if entry.snapshot.changed(weights) is None:
                    self._last = entry
                    return entry
            for entry in [entry for entry in self._entries if entry.snapshot.outdated(weights)]:
                self._entries.remove(entry)
                if self._too_restless(entry):
                    return None
            try:
                entry = self._folded(weights)
            except Exception as error:  # folding is ours alone: without it the original still runs
                self.refuse(f"weights were not folded: {brief(error)}")
                self._pause = PAUSE
                return None
            if self.bytes + entry.bytes > self._cap:
                self.refuse(
                    f"weights were not folded: {self.bytes + entry.bytes} bytes, over the cap of {self._cap}"
                )
                self._pause = PAUSE
                return None
            self._entries.append(entry)
            self._last = entry
            self._read = sum(map(memory, weights))
            self.tell()
            return entry

    def _too_restless(self, entry: Entry) -> bool:
        self._restless = 0 if entry.uses > 1 else self._restless + 1
        if self._restless < RESTLESS:
            return False
        self._restless, self._last, self._pause = 0, None, PAUSE
        self.refuse("the weights change between calls: for a while they are not folded")
        return True

    def _folded(self, weights: list[Any]) -> Entry:
        # The snapshot comes first: what changes meanwhile is noticed on the next call.
        snapshot = snapshot_of(weights, self._strict)
        with torch.no_grad():
            values = list(self._fold(list(weights)))
        storages = [weight.untyped_storage() for weight in weights]
        return Entry(snapshot, values, sum(map(memory, values)), storages=storages)


def _is_left(entry: Entry) -> bool:
    """Whether nobody but this entry holds one of its weights."""
    return any(compat.holders(storage) == 1 for storage in entry.storages)


class Droppable(Protocol):
    """Something that knows weights as they were."""

    def drop(self, addresses: set[int] | None = None) -> None:
        """Forgets what it knows of weights whose storage is at one of these addresses, or everything."""


_DROPPABLE: weakref.WeakSet[Droppable] = weakref.WeakSet()


def drop_with_others(knows: Droppable) -> None:
    """Has `invalidate` reach this too, as long as it lives."""
    _DROPPABLE.add(knows)


def invalidate(model: torch.nn.Module | torch.Tensor | None = None) -> None:
    """Makes every compiled program that folded weights of a model compute them again on its next call.

    Changes are noticed without it. It is for a write that leaves no trace and misses the samples: a few
    elements through `p.data[…] = …`, or memory shared with another process.
    `options={"weights": "strict"}` finds these by itself, at the price of reading every weight on every call.

    Args:
        model: the module or tensor that changed; None for all.

    >>> import torch, hypatia_core
    >>> hypatia_core.invalidate(torch.nn.Linear(2, 2))
    """
    addresses = None
    if model is not None:
        tensors = [model] if isinstance(model, torch.Tensor) else [*model.parameters(), *model.buffers()]
        addresses = {t.untyped_storage().data_ptr() for t in tensors if t.device.type != "meta"}
    for knows in list(_DROPPABLE):
        knows.drop(addresses)


def extent(tensor: torch.Tensor) -> int:
    """Elements from a tensor's first to its last in memory; of a tensor that has any."""
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def snapshot_of(tensors: Sequence[torch.Tensor], strict: bool) -> Snapshot:
    """Tensors as they are now; with `strict` every byte of them."""
    return Snapshot(tensors, [_readable(tensor) for tensor in tensors], strict)


def _readable(tensor: torch.Tensor) -> int:
    """Bytes that can be read from a tensor's address on; 0 where its memory is not the processor's."""
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.numel() == 0:
        return 0
    room = tensor.untyped_storage().nbytes() - tensor.storage_offset() * tensor.itemsize
    return int(max(0, min(extent(tensor) * tensor.itemsize, room)))


def memory(value: Any) -> int:
    """Bytes of a tensor's elements, of a packed weight those of its library's layout; 0 of anything else."""
    if not isinstance(value, torch.Tensor):
        return 0
    size: int = value.numel() * value.itemsize
    return size


#: Matrices of these are quantised: what is computed of them alone is the weight in a wider type again.
_QUANTISED = frozenset(
    getattr(torch, name)
    for name in ("int8", "uint8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if hasattr(torch, name)
)


def positions(weights: Iterable[int], graph: GraphModule) -> list[int]:
    """Those positions, in order, at which the graph takes a plain tensor that is worth folding.

    A quantised weight is not: folded, it would take the memory that it was quantised to save, and kernels
    of its own would be lost.
    """
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    values = {i: placeholders[i].meta.get("val") for i in sorted(weights)}
    return [
        i
        for i, value in values.items()
        if isinstance(value, torch.Tensor) and not (value.dtype in _QUANTISED and value.dim() > 1)
    ]
