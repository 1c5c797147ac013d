"""How long an implementation takes at one shape on this machine: measured once."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from hypatia_core import _hypatia_core, compat, native
from hypatia_core.executors.aten import flatten
from hypatia_core.implementations import Implementation, Unit
from hypatia_core.implementations.base import Emitter
from hypatia_core.weights import memory

#: Rounds in which the implementations take turns, and how many there are at most where they are disturbed.
ROUNDS = 5
MOST_ROUNDS = 12
#: Seconds after which no further round is begun, once there were two: what is long needs fewer.
ENOUGH_SECONDS = 0.1
#: After two rounds what takes so many times the least is out of the race …
HOPELESS = 1.5
#: … and before the first, where that took these seconds and so many times the least: no start costs as much.
LONG, LOST = 0.01, 3.0
#: What takes so many seconds is as long at its first run as at any other, as far as choices go.
VERY_LONG = 0.1
#: The least time is settled once another round came so close to it.
SETTLED = 1.1
#: Weights take turns until so many bytes lie between two uses, as in a model, where caches hold none of them…
BETWEEN_USES = 64_000_000
#: … or so many copies.
MOST_COPIES = 8
#: A round repeats what takes less than this, in seconds.
LONG_ENOUGH = 0.5e-3


class Timings:
    """Seconds by implementation and unit, each measured when it is first asked for."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Any, ...], dict[str, float]] = {}
        self._unsettled: set[tuple[Any, ...]] = set()

    def of(self, unit: Unit, competing: list[Implementation]) -> dict[str, float]:
        """The times of each implementation, by what they are called; infinite where it does not run so."""
        key = (torch.get_num_threads(), *unit.key)
        known = self._seconds.setdefault(key, {})
        names = names_of(competing)
        if any(name not in known for name in names):
            with compat.without_fake_mode(), torch.no_grad():
                seconds, settled = _measured(unit, competing)
            known.update(seconds)
            if not settled:
                self._unsettled.add(key)
        return {name: known[name] for name in names if name in known}

    def settled(self, unit: Unit) -> bool:
        """Whether the machine was quiet enough, as far as the times themselves can tell."""
        return (torch.get_num_threads(), *unit.key) not in self._unsettled


#: What was measured in this process.
TIMINGS = Timings()


def names_of(competing: Iterable[Implementation]) -> list[str]:
    """What the times of implementations are called."""
    return [name for row in competing for name in row.timed]


def _measured(unit: Unit, competing: list[Implementation]) -> tuple[dict[str, float], bool]:
    generator = torch.Generator().manual_seed(0)
    real = [
        None if node is None else _random(node.meta["val"], generator)
        for node in (*unit.activations, *unit.weights)
    ]
    runs = {name: run for row in competing for name, run in _alone(unit, row, real).items()}
    # What takes too much memory is never the fastest, nor what cannot be run so.
    beyond = {name: math.inf for name in names_of(competing) if name not in runs}
    times = race(runs)
    best = {name: min(seconds) for name, seconds in times.items()}
    return beyond | best, are_settled(times)


def race(runs: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Times of each in rounds in which they take turns, until the fastest can be told.

    Args:
        runs: what is timed, by name.
    """
    begun = time.perf_counter()
    first = {name: _seconds(run, 1) for name, run in runs.items()}
    repeats = {name: max(1, int(LONG_ENOUGH / max(seconds, 1e-7))) for name, seconds in first.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    running = {name: run for name, run in runs.items() if not is_lost(first[name], min(first.values()))}
    for name, seconds in first.items():
        if name not in running or seconds > VERY_LONG:
            times[name].append(seconds)
    for done in range(1, MOST_ROUNDS + 1):
        for name, run in running.items():
            times[name].append(_seconds(run, repeats[name]))
        # Of those that run: one that was lost would put out all of them on a disturbed machine.
        least = min(min(times[name]) for name in running)
        running = {name: run for name, run in running.items() if not is_out(times[name], least)}
        if min(len(times[name]) for name in running) == 1:
            continue
        late = time.perf_counter() - begun > ENOUGH_SECONDS
        if len(running) == 1 or ((late or done >= ROUNDS) and are_settled({n: times[n] for n in running})):
            break
        if late and done >= ROUNDS:
            break
    return times


def is_lost(seconds: float, least: float) -> bool:
    """Whether one run says enough: it was long, and much longer than another's.

    >>> is_lost(0.5, 0.1), is_lost(5e-4, 1e-4)
    (True, False)
    """
    return seconds > LONG and seconds > LOST * least


def is_out(times: Sequence[float], least: float) -> bool:
    """Whether these times are out of a race whose least time is known: two of them, or a single long one.

    >>> is_out([2.0, 1.6], 1.0), is_out([2.0], 1.0), is_out([3.5], 1.0)
    (True, False, True)
    """
    return is_lost(min(times), least) or (len(times) > 1 and min(times) >= HOPELESS * least)


def are_settled(times: Mapping[str, Iterable[float]]) -> bool:
    """Whether a second race would very likely be won by the same, as far as times can tell.

    The least time of the fastest two is then one that they reach again and again, or they lie far apart.

    >>> are_settled({"a": [1.0, 1.02, 5.0], "b": [1.2, 1.21]})
    True
    >>> are_settled({"a": [1.0, 1.5], "b": [1.2, 1.9]})
    False
    >>> are_settled({"a": [1.0, 1.5], "b": [3.0, 3.9]})
    True
    """
    first, *others = sorted((sorted(seconds) for seconds in times.values()), key=lambda seconds: seconds[0])
    if not others or len(first) < 2:
        return True
    second = others[0]
    return (first[1] < second[0] and second[0] > HOPELESS * first[0]) or all(
        len(seconds) > 1 and seconds[1] <= SETTLED * seconds[0] for seconds in (first, second)
    )


def _seconds(run: Callable[[], Any], repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begun) / repeats


@dataclass
class _Worker(Emitter):
    """Makes each call that it adds, at once and on real tensors."""

    #: What each node made; of a packed weight, its fake value is the weight.
    made: dict[fx.Node, Any] = field(default_factory=dict)

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Adds a call and makes it."""
        node = self.graph.call_function(target, args, kwargs)
        self.made[node] = node.meta["val"] = self.make(node)
        return node

    def call_like(self, value: fx.Node, target: Any, *args: Any) -> fx.Node:
        """Adds a call and makes it."""
        return self.call(target, *args)

    def pack(self, target: Any, weight: fx.Node, *args: Any) -> fx.Node:
        """Adds a call that packs a weight and makes it."""
        node = self.call(target, weight, *args)
        node.meta.update(val=weight.meta["val"], packed=True)
        return node

    def make(self, node: fx.Node, where: Mapping[fx.Node, Any] | None = None) -> Any:
        """What a node's call makes of these values."""
        values = self.made if where is None else where
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        return node.target(*args, **kwargs)  # type: ignore[operator]


def _alone(unit: Unit, row: Implementation, real: list[torch.Tensor | None]) -> dict[str, Callable[[], Any]]:
    """An implementation as functions of no arguments, by what their times are called, its weights packed.

    None at all where these take too much memory.
    """
    worker = _Worker(fx.Graph(), None)
    nodes: list[fx.Node | None] = []
    for i, tensor in enumerate(real):
        node = None
        if tensor is not None:
            node = worker.graph.placeholder(f"operand_{i}")
            worker.made[node] = node.meta["val"] = tensor
        nodes.append(node)
    count = len(unit.activations)
    activations = [node for node in nodes[:count] if node is not None]
    weights = [node for node in nodes[count:] if node is not None]
    last = row.write(worker, unit.on(activations, nodes[count:]))

    varying = set(activations)
    calls = [node for node in worker.graph.nodes if node.op == "call_function"]
    for node in calls:
        if varying.intersection(node.all_input_nodes):
            varying.add(node)
    folded = [n for n in worker.graph.nodes if n not in varying and varying.intersection(n.users)]
    size = sum(memory(worker.made[node]) for node in weights)
    if sum(memory(worker.made[node]) for node in folded if node.op != "placeholder") > row.memory * size:
        return {}

    rest = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in (*activations, *folded):
        copies[node] = rest.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node in calls:
        if node in varying:
            copies[node] = rest.node_copy(node, copies.__getitem__)
    rest.output((copies[last],))
    ways = {row.as_step: _as_step(rest)} if row.is_step else {}
    flatten(rest)
    ways[row.name] = compat.boxed_function({}, rest)
    sets = _copies(worker, calls, varying, activations, weights, folded, size)
    return {name: _in_turns(run, sets) for name, run in ways.items() if run is not None}


def _in_turns(run: Callable[[list[Any]], Any], sets: Iterable[list[Any]]) -> Callable[[], Any]:
    turns = itertools.cycle(sets)
    return lambda: run(next(turns).copy())


def _as_step(graph: fx.Graph) -> Callable[[list[Any]], Any] | None:
    """A graph as a program, which writes where it wrote before; None where that is not all of it.

    The memory of a program's steps stays from one call to the next. A new result's may have to come from the
    system first, page by page, which can take longer than the kernel.
    """
    found, programs = native.phases(graph)
    if not len(found.parts) == len(programs) == 1:
        return None
    (written,) = programs
    places = [node for node in graph.nodes if node.op == "placeholder"]
    positions = [places.index(node) for node in written.arguments]
    program = _hypatia_core.NativeProgram(written.text)
    results = [torch.empty_strided(r.sizes, r.strides, dtype=r.dtype) for r in written.results]

    def run(given: list[Any]) -> list[torch.Tensor]:
        tensors = [*(given[i] for i in positions), *results]
        program.run([tensor.data_ptr() for tensor in tensors], torch.get_num_threads())
        return results

    return run


def _copies(
    worker: _Worker,
    calls: list[fx.Node],
    varying: set[fx.Node],
    activations: list[fx.Node],
    weights: list[fx.Node],
    folded: list[fx.Node],
    size: int,
) -> list[list[Any]]:
    """What an implementation takes, of so many sets of weights that caches hold none when its turn comes."""
    given = [worker.made[node] for node in activations]
    found = [[*given, *(worker.made[node] for node in folded)]]
    for _ in range(1, max(1, min(MOST_COPIES, BETWEEN_USES // max(size, 1)))):
        values = {node: worker.made[node].clone() for node in weights}
        for node in calls:
            if node not in varying:
                values[node] = worker.make(node, values)
        found.append([*given, *(values[node] for node in folded)])
    return found


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    sizes, steps = ([compat.hint(n) for n in numbers] for numbers in (like.shape, like.stride()))
    # What is broadcast in memory stays so.
    own = [1 if step == 0 else size for size, step in zip(sizes, steps, strict=True)]
    tensor = torch.empty_strided(own, steps, dtype=like.dtype, device=like.device)
    # Positive, as some weights have to be: variances, for one.
    return tensor.copy_(torch.rand(own, generator=generator, dtype=like.dtype) + 0.5).expand(sizes)
