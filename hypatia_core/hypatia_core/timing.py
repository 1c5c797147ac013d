"""How long an implementation takes at one shape on this machine: measured once."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.implementations import Implementation, Unit
from hypatia_core.implementations.base import Emitter
from hypatia_core.weights import divide, memory

#: Rounds in which the implementations take turns.
ROUNDS = 5
#: Weights take turns until so many bytes lie between two uses, as in a model, where caches hold none of them…
BETWEEN_USES = 64_000_000
#: … or so many copies.
MOST_COPIES = 8
#: A packed copy may take so many times the memory of its weights; some libraries pad without measure.
MOST_MEMORY = 2.0
#: A round repeats what takes less than this, in seconds.
LONG_ENOUGH = 0.5e-3


class Timings:
    """Seconds by implementation and unit, each measured when it is first asked for."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Any, ...], dict[str, float]] = {}

    def of(self, unit: Unit, competing: list[Implementation]) -> dict[str, float]:
        """The time of each implementation that runs, by name."""
        key = (torch.get_num_threads(), *unit.key)
        known = self._seconds.setdefault(key, {})
        if any(row.name not in known for row in competing):
            with compat.without_fake_mode(), torch.no_grad():
                known.update(_measured(unit, competing))
        return {row.name: known[row.name] for row in competing if row.name in known}


#: What was measured in this process.
TIMINGS = Timings()


def _measured(unit: Unit, competing: list[Implementation]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    real = [
        None if node is None else _random(node.meta["val"], generator)
        for node in (*unit.activations, *unit.weights)
    ]
    runs = {row.name: run for row in competing if (run := _alone(unit, row, real)) is not None}
    repeats = {name: _repeats(run) for name, run in runs.items()}
    # What takes too much memory is never the fastest.
    best = {row.name: math.inf for row in competing if row.name not in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            seconds = (time.perf_counter() - begun) / repeats[name]
            best[name] = min(best.get(name, seconds), seconds)
    return best


def _repeats(run: Callable[[], Any]) -> int:
    run()
    begun = time.perf_counter()
    run()
    return max(1, int(LONG_ENOUGH / max(time.perf_counter() - begun, 1e-7)))


def _alone(unit: Unit, row: Implementation, real: list[torch.Tensor | None]) -> Callable[[], Any] | None:
    """An implementation as a function of no arguments, its weights packed; None where they take too much."""
    graph, mode = fx.Graph(), compat.new_fake_mode()
    nodes: list[fx.Node | None] = []
    for i, tensor in enumerate(real):
        node = None
        if tensor is not None:
            node = graph.placeholder(f"operand_{i}")
            node.meta["val"] = mode.from_tensor(tensor)
        nodes.append(node)
    count = len(unit.activations)
    activations = [node for node in nodes[:count] if node is not None]
    graph.output((row.write(Emitter(graph, mode), unit.on(activations, nodes[count:])),))
    module = GraphModule({}, graph)
    given = [tensor for tensor in real[:count] if tensor is not None]
    weights = [tensor for tensor in real[count:] if tensor is not None]
    size = sum(map(memory, weights))
    copies = max(1, min(MOST_COPIES, BETWEEN_USES // max(size, 1)))
    division = divide(module, range(len(given), len(given) + len(weights)))
    arguments = []
    for _ in range(copies):
        inputs = [*given, *(tensor.clone() for tensor in weights)]
        if division is not None:
            folded = division.weights_only(*(inputs[i] for i in division.sources))
            if sum(map(memory, folded)) > MOST_MEMORY * size:
                return None
            inputs = [*(inputs[i] for i in division.kept), *folded]
        arguments.append(inputs)
    turns = itertools.cycle(arguments)
    run = module if division is None else division.rest
    return lambda: run(*next(turns))


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    sizes, steps = ([compat.hint(n) for n in numbers] for numbers in (like.shape, like.stride()))
    tensor = torch.empty_strided(sizes, steps, dtype=like.dtype, device=like.device)
    # Positive, as some weights have to be: variances, for one.
    return tensor.copy_(torch.rand(sizes, generator=generator, dtype=like.dtype) + 0.5)
