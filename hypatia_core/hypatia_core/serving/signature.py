"""What a served program takes and returns: plain data that is checked, printed and saved."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from hypatia_core.serving.sizes import Size, evaluated, written


@dataclass(frozen=True)
class TensorRow:
    """A tensor that is accepted: its element type, device, sizes and steps."""

    dtype: torch.dtype
    device: torch.device
    shape: list[Size]
    strides: list[Size]

    def __str__(self) -> str:
        return f"{short(self.dtype)}[{', '.join(map(written, self.shape))}] on {self.device}"

    @property
    def dynamic(self) -> bool:
        """Whether a size is known at the call only."""
        return any(type(size) is not int for size in self.shape)

    def refusal(self, given: Any, symbols: dict[str, int]) -> str | None:
        """Why a value is not accepted, or None; symbols that it tells are added. Any strides will do."""
        if not isinstance(given, torch.Tensor):
            return f"is of type {type(given).__name__}; a tensor {self} is accepted"
        if (
            given.dtype is not self.dtype
            or given.device != self.device
            or given.dim() != len(self.shape)
            or given.layout is not torch.strided
        ):
            return f"is {described(given)}; accepted: {self}"
        for size, wanted in zip(given.shape, self.shape, strict=True):
            if isinstance(wanted, str):
                if symbols.setdefault(wanted, int(size)) != size:
                    return f"is {described(given)}; accepted: {self} with {wanted} = {symbols[wanted]}"
            elif type(wanted) is int and wanted != size:
                return f"is {described(given)}; accepted: {self}"
        return None

    def misfit(self, given: torch.Tensor, symbols: Mapping[str, int]) -> str | None:
        """The same for sizes that others decide, once every symbol is known."""
        for size, wanted in zip(given.shape, self.shape, strict=True):
            if isinstance(wanted, list) and evaluated(wanted, symbols) != size:
                known = ", ".join(f"{name} = {value}" for name, value in symbols.items())
                return f"is {described(given)}; accepted: {self} with {known}"
        return None

    def laid_out(self, given: torch.Tensor, symbols: Mapping[str, int]) -> torch.Tensor:
        """The tensor, or a copy in the strides that the program was compiled for."""
        steps = [evaluated(step, symbols) for step in self.strides]
        matter = zip(given.shape, given.stride(), steps, strict=True)
        if all(size == 1 or step == wanted for size, step, wanted in matter) or given.numel() == 0:
            return given
        room = torch.empty_strided(given.shape, steps, dtype=given.dtype, device=given.device)
        return room.copy_(given)


@dataclass(frozen=True)
class IntegerRow:
    """An integer that is known at the call only."""

    symbol: str

    def refusal(self, given: Any, symbols: dict[str, int]) -> str | None:
        """Why a value is not accepted, or None."""
        if type(given) is not int:
            return f"is {given!r}; an integer is accepted"
        if symbols.setdefault(self.symbol, given) != given:
            return f"is {given}; accepted: {symbols[self.symbol]}"
        return None


@dataclass(frozen=True)
class ValueRow:
    """A value that the program was compiled for, and no other."""

    value: Any

    def refusal(self, given: Any, symbols: dict[str, int]) -> str | None:
        """Why a value is not accepted, or None."""
        same = type(given) is type(self.value) and (given == self.value or given is self.value)
        return None if same else f"is {given!r}; the program was compiled for {self.value!r} alone"


InputRow = TensorRow | IntegerRow | ValueRow


@dataclass(frozen=True)
class Source:
    """Where a program's placeholder gets its value.

    "weight": a parameter or buffer, by its name in the model. "constant": a tensor that belongs to the
    program. "input": a leaf of the call's arguments, by position.
    """

    kind: Literal["weight", "constant", "input"]
    name: str = ""
    position: int = -1


@dataclass(frozen=True)
class Result:
    """What becomes of a program's output.

    "returned": a leaf of what the call returns. "mutates weight", "mutates input": what the named weight, or
    the leaf in this position, holds afterwards.
    """

    kind: Literal["returned", "mutates weight", "mutates input"]
    name: str = ""
    position: int = -1


@dataclass
class Signature:
    """How a program is called."""

    #: Leaves of the arguments, in order, with the names that messages call them by.
    inputs: list[InputRow]
    input_names: list[str]
    #: Where each placeholder gets its value, and what becomes of each output.
    sources: list[Source]
    results: list[Result]
    #: What each weight is, by name.
    weights: dict[str, TensorRow]
    #: Names of one and the same weight, each group in the order of the model.
    tied: list[list[str]]
    #: For each symbol its least and largest value; None for no bound.
    ranges: dict[str, tuple[int | None, int | None]]
    #: Further relations between symbols.
    relations: list[Size]
    #: Structures of arguments and result (`torch.utils._pytree.TreeSpec`).
    takes: Any = None
    returns: Any = None
    #: The parameters of the model's own `forward`; None where Python does not tell.
    parameters: inspect.Signature | None = None

    def relation_refusal(self, symbols: Mapping[str, int]) -> str | None:
        """Which bound or relation between the sizes does not hold, or None."""
        for name, value in symbols.items():
            least, most = self.ranges.get(name, (None, None))
            if (least is not None and value < least) or (most is not None and value > most):
                return f"the size {name} is {value}; accepted: {bounds(name, least, most)}"
        for relation in self.relations:
            if not evaluated(relation, symbols):
                known = ", ".join(f"{name} = {value}" for name, value in symbols.items())
                return f"the sizes are {known}; accepted: {written(relation)}"
        return None


def bounds(name: str, least: int | None, most: int | None) -> str:
    """A range, for people."""
    return f"{'' if least is None else f'{least} <= '}{name}{'' if most is None else f' <= {most}'}"


def short(dtype: torch.dtype) -> str:
    """An element type's name."""
    return str(dtype).removeprefix("torch.")


def described(value: Any) -> str:
    """What was given, for people."""
    if isinstance(value, torch.Tensor):
        kind = "" if value.layout is torch.strided else f" ({value.layout})"
        return f"{short(value.dtype)}[{', '.join(map(str, value.shape))}] on {value.device}{kind}"
    return repr(value)


def row_of(value: torch.Tensor, shape: list[Size], strides: list[Size]) -> TensorRow:
    """The row that accepts a tensor."""
    return TensorRow(value.dtype, value.device, shape, strides)
