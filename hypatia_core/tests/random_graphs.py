"""Random programs over tensors: well typed, with views, broadcasting, shared values, weights and mutation.

A program is data, a list of steps, so that it can be printed, kept and shrunk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

Shape = tuple[int, ...]
#: Extents that are drawn; repeats make it likely that shapes fit.
EXTENTS = (1, 2, 3, 4, 4, 5, 6, 8)

UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "relu": torch.relu,
    "exp": lambda x: torch.exp(x.clamp(max=4)),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "sin": torch.sin,
    "square": lambda x: x * x,
    "root": lambda x: (x.abs() + 0.5).sqrt(),
    "log1p": lambda x: torch.log1p(x.abs()),
    "twice": lambda x: x * 2,
    "plus zero": lambda x: x + 0,
    "times one": lambda x: x * 1,
    "double negative": lambda x: x.neg().neg(),
    "cut off": lambda x: x.clamp(-0.5, 2.0),
    "clone": torch.clone,
    "opaque": lambda x: torch.cumsum(x, 0) if x.dim() else x,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": torch.add,
    "mul": torch.mul,
    "sub": torch.sub,
    "div": lambda x, y: x / (y.abs() + 1),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
#: Of a tensor of at least one dimension and an axis.
ALONG: dict[str, Callable[[Any, int], Any]] = {
    "sum": lambda x, axis: x.sum(axis),
    "sum kept": lambda x, axis: x.sum(axis, keepdim=True),
    "mean": lambda x, axis: x.mean(axis),
    "amax": lambda x, axis: x.amax(axis),
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "log_softmax": lambda x, axis: torch.log_softmax(x, axis),
    "last": lambda x, axis: x.select(axis, -1),
    "first": lambda x, axis: x.narrow(axis, 0, 1),
    "every second": lambda x, axis: x[(slice(None),) * axis + (slice(None, None, 2),)],
    "to the front": lambda x, axis: x.movedim(axis, 0),
    "selected": lambda x, axis: x.index_select(axis, torch.arange(0, x.shape[axis], 2)),
    "unsqueeze": lambda x, axis: x.unsqueeze(axis),
    "flip ends": lambda x, axis: torch.cat([x, x], axis),
}
WHOLE: dict[str, Callable[[Any], Any]] = {
    "total": torch.sum,
    "flat": lambda x: x.reshape(-1),
    "pairs": lambda x: x.reshape(2, -1) if x.numel() % 2 == 0 else x.reshape(1, -1),
}
MATRIX: dict[str, Callable[[Any], Any]] = {
    "transpose": lambda x: x.transpose(-1, -2),
    "diagonal": lambda x: x.diagonal(dim1=-2, dim2=-1),
}
#: Writes into a copy, as models do: the graph that is captured is functional again.
MUTATIONS: dict[str, Callable[[Any], Any]] = {
    "add in place": lambda x: x.clone().add_(1),
    "fill a row": lambda x: _filled(x),
    "scale a view": lambda x: _scaled_view(x),
}


def _filled(x: Any) -> Any:
    y = x.clone()
    if y.dim():
        y[0] = 0.5
    return y


def _scaled_view(x: Any) -> Any:
    y = x.clone()
    y.reshape(-1)[:1].mul_(3)
    return y


@dataclass(frozen=True)
class Step:
    """One operation: its name, the values it takes, an axis where it needs one."""

    name: str
    operands: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Program:
    """Inputs, steps, and which values are returned; values are numbered, inputs first."""

    inputs: tuple[Shape, ...]
    weights: frozenset[int]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def run(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The outputs on these inputs.

        Raises:
            RuntimeError, IndexError: the program is ill typed.
        """
        values = list(inputs)
        for step in self.steps:
            values.append(apply(step, [values[o] for o in step.operands]))
        return tuple(values[o] for o in self.outputs)

    def module(
        self, seed: int, special: bool, dtype: torch.dtype
    ) -> tuple[torch.nn.Module, list[torch.Tensor]]:
        """The program with its weights, and its inputs."""
        drawn = [_tensor(shape, seed + i, special, dtype) for i, shape in enumerate(self.inputs)]
        return _Module(self, drawn), [x for i, x in enumerate(drawn) if i not in self.weights]


class _Module(torch.nn.Module):
    def __init__(self, program: Program, drawn: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.program = program
        for i in sorted(program.weights):
            self.register_parameter(f"w{i}", torch.nn.Parameter(drawn[i], requires_grad=False))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        remaining = iter(inputs)
        count = len(self.program.inputs)
        values = [
            getattr(self, f"w{i}") if i in self.program.weights else next(remaining) for i in range(count)
        ]
        return self.program.run(values)


def _tensor(shape: Shape, seed: int, special: bool, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    if special and x.numel():
        values = torch.tensor([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 1e-40])
        where = torch.rand(shape, generator=generator) < 0.15
        picks = values[torch.randint(len(values), shape, generator=generator)].to(torch.float64)
        x = torch.where(where, picks, x)
    return x.to(dtype)


def apply(step: Step, operands: list[Any]) -> Any:
    """One step on its operands."""
    name = step.name
    if name in UNARY:
        return UNARY[name](operands[0])
    if name in BINARY:
        return BINARY[name](*operands)
    if name in ALONG:
        return ALONG[name](operands[0], step.axis)
    if name in WHOLE:
        return WHOLE[name](operands[0])
    if name in MATRIX:
        return MATRIX[name](operands[0])
    if name in MUTATIONS:
        return MUTATIONS[name](operands[0])
    if name == "matmul":
        return operands[0] @ operands[1]
    return torch.addmm(operands[0], operands[1], operands[2])


def _fits(step: Step, shapes: Sequence[Shape]) -> Shape | None:
    """The shape of a step's result, or None where it is ill typed or too large."""
    operands = [torch.empty(shapes[o], device="meta") for o in step.operands]
    try:
        shape: Shape = tuple(apply(step, operands).shape)
    except (RuntimeError, IndexError, ValueError):
        return None
    return shape if len(shape) <= 4 and torch.Size(shape).numel() <= 4096 else None


def draw(seed: int) -> Program:
    """A program that follows from the seed."""
    rng = random.Random(seed)
    side = [rng.choice(EXTENTS) for _ in range(3)]

    def shape() -> Shape:
        rank = rng.choice((0, 1, 2, 2, 2, 2, 3))
        return tuple(rng.choice(side) if rng.random() < 0.9 else 1 for _ in range(rank))

    inputs = tuple(shape() for _ in range(rng.randint(1, 4)))
    weights = frozenset(i for i in range(1, len(inputs)) if rng.random() < 0.3)
    shapes, steps = list(inputs), []
    tables: list[list[str]] = [sorted(t) for t in (UNARY, BINARY, ALONG, WHOLE, MATRIX, MUTATIONS)]
    for _ in range(rng.randint(2, 14)):
        for _ in range(20):
            if rng.random() < 0.3:
                name = rng.choice(("matmul", "matmul", "addmm"))
            else:
                name = rng.choice(rng.choices(tables, (5, 6, 5, 1, 3, 1))[0])
            count = 3 if name == "addmm" else 2 if name in BINARY or name == "matmul" else 1
            # Late values more often than early ones; the same one twice now and then.
            operands = tuple(int(len(shapes) * rng.random() ** 0.7) for _ in range(count))
            rank = len(shapes[operands[0]])
            if name in ALONG and rank == 0:
                continue
            step = Step(name, operands, rng.randrange(rank) if rank else 0)
            result = _fits(step, shapes)
            if result is not None:
                steps.append(step)
                shapes.append(result)
                break
    made = range(len(inputs), len(shapes))
    outputs = tuple(sorted({len(shapes) - 1, *(i for i in made if rng.random() < 0.15)}))
    return Program(inputs, weights, tuple(steps), outputs)


def smaller(program: Program) -> Iterator[Program]:
    """Programs with one step, output or special case less, the smallest first."""
    count = len(program.inputs)
    for output in program.outputs:
        if len(program.outputs) > 1:
            yield replace(program, outputs=(output,))
    for at in reversed(range(len(program.steps))):
        gone = count + at
        for stand_in in (*program.steps[at].operands,):

            def name(value: int, gone: int = gone, stand_in: int = stand_in) -> int:
                return stand_in if value == gone else value - (value > gone)

            kept = program.steps[:at] + program.steps[at + 1 :]
            steps = tuple(replace(s, operands=tuple(map(name, s.operands))) for s in kept)
            outputs = tuple(sorted(set(map(name, program.outputs))))
            yield replace(program, steps=steps, outputs=outputs)
    if program.weights:
        yield replace(program, weights=frozenset())


def shrink(program: Program, fails: Callable[[Program], bool], tries: int = 200) -> Program:
    """A small program that fails too."""
    while tries > 0:
        for candidate in smaller(program):
            tries -= 1
            if _is_typed(candidate) and fails(candidate):
                program = candidate
                break
            if tries <= 0:
                return program
        else:
            return program
    return program


def _is_typed(program: Program) -> bool:
    shapes = list(program.inputs)
    for step in program.steps:
        result = _fits(step, shapes)
        if result is None:
            return False
        shapes.append(result)
    return bool(program.steps)
