"""A model that is called without Dynamo: what `hypatia_core.compile` and `hypatia_core.load` return."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.base import Runnable
from hypatia_core.report import GraphReport
from hypatia_core.serving.call import FastCall
from hypatia_core.serving.live import Live
from hypatia_core.serving.released import release
from hypatia_core.serving.signature import Signature, TensorRow
from hypatia_core.weights import Memo

OnMismatch = Literal["raise", "compile"]


class MismatchError(HypatiaError):
    """A call that does not fit what was compiled; the message says which input, and what is accepted."""


@dataclass(frozen=True)
class Programs:
    """The graphs that a program runs as: as captured, and as rewritten where that is another."""

    original: GraphModule
    rewritten: GraphModule | None
    #: The last of these with other implementations of its operations; None where there are none.
    lowered: GraphModule | None
    #: How weights are watched: the options `weights` and `weights_cap`.
    watch: str
    cap: int


class Served(nn.Module):
    """A compiled program, called like the model it came from, whose weights it reads at every call.

    No gradient is computed. A call that does not fit raises :class:`HypatiaError`, or goes to `torch.compile`
    where that was asked for.
    """

    model: nn.Module

    def __init__(
        self,
        model: nn.Module,
        signature: Signature,
        constants: dict[str, Any],
        run: Runnable,
        graphs: list[GraphReport],
        *,
        programs: Programs,
        autocast: bool,
        otherwise: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self._signature = signature
        self._constants = constants
        self._run = run
        self._otherwise = otherwise
        self._programs = programs
        self._hypatia_graphs = graphs
        self._live = Live.of(model, signature)
        self._autocast = autocast
        self._fast = FastCall(signature, self._live, constants, run, self._slow)
        self._call = self._fast.function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result.

        Raises:
            HypatiaError: the call does not fit what was compiled.
        """
        return self._call(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The same as calling it."""
        return self._call(*args, **kwargs)

    def train(self, mode: bool = True) -> Served:
        """Changes the model's mode; calls fit only in the mode that was compiled."""
        self.model.train(mode)
        return self

    def _release(self, memo: Memo | None, inputs: list[Any]) -> None:
        """Gives back the memory of the weights that were folded or packed; the report says how much."""
        report = self._hypatia_graphs[-1]
        if memo is None:
            report.refusals.append("no original was released: the program that was chosen reads them all")
            return
        signature, gone, report.weights_released = release(self._signature, self._live, memo, inputs)
        if not gone:
            report.refusals.append("no original was released: the program reads them all on each call")
            return
        self._signature, self._constants = signature, {**self._constants, **gone}
        self._live = Live.of(self.model, signature)
        self._fast = FastCall(signature, self._live, self._constants, self._run, self._slow)
        self._call = self._fast.function

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program with the weights as they are now; see docs/serving-format.md.

        Raises:
            HypatiaError: something in it cannot be saved, or the file cannot be written.
        """
        from hypatia_core.serving.saved import save

        if self._hypatia_graphs[-1].weights_released:
            raise HypatiaError(
                "the program was compiled with release_originals=True, and a file holds the original "
                "weights: compile without it, save, and then compile with it or load the file"
            )
        save(self, path)

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Find out what does not fit, or run after all."""
        try:
            leaves = self._fitting(args, kwargs)
        except MismatchError:
            if self._otherwise is None:
                raise
            return self._otherwise(*args, **kwargs)
        given = pytree.tree_leaves(self._arranged(args, kwargs))
        returned = []
        with torch.no_grad():
            for result, out in zip(self._signature.results, self._run(self._values(leaves)), strict=True):
                match result.kind:
                    case "returned":
                        returned.append(out)
                    case "mutates weight":
                        weight = self._live.weight(result.name)
                        assert weight is not None
                        weight.copy_(out)
                    case _:
                        given[result.position].copy_(out)
        return pytree.tree_unflatten(returned, self._signature.returns)

    def _values(self, leaves: list[Any]) -> list[Any]:
        """The program's inputs for the leaves of a call's arguments."""
        values: list[Any] = []
        for source in self._signature.sources:
            match source.kind:
                case "weight":
                    values.append(self._live.weight(source.name))
                case "constant":
                    values.append(self._constants[source.name])
                case _:
                    values.append(leaves[source.position])
        return values

    def _fitting(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The leaves of a call's arguments, laid out as the program takes them.

        Raises:
            MismatchError: they do not fit, or the model does not.
        """
        signature = self._signature
        leaves, structure = pytree.tree_flatten(self._arranged(args, kwargs))
        if structure != signature.takes:
            raise MismatchError(
                f"the arguments are {_outline(structure)}; accepted: {_outline(signature.takes)}"
            )
        symbols: dict[str, int] = {}
        for row, leaf, name in zip(signature.inputs, leaves, signature.input_names, strict=True):
            reason = row.refusal(leaf, symbols)
            if reason is None and isinstance(leaf, torch.Tensor):
                reason = self._kind_refusal(leaf)
            if reason is not None:
                raise MismatchError(f"input {name!r} {reason}")
        for row, leaf, name in zip(signature.inputs, leaves, signature.input_names, strict=True):
            if isinstance(row, TensorRow) and (reason := row.misfit(leaf, symbols)) is not None:
                raise MismatchError(f"input {name!r} {reason}")
        reason = signature.relation_refusal(symbols) or self._live.refusal(signature)
        if reason is None and compat.any_autocast() != self._autocast:
            now = "off" if self._autocast else "on"
            reason = f"autocast is {now}, and was not when the program was compiled"
        if reason is not None:
            raise MismatchError(reason)
        laid_out = [
            row.laid_out(leaf, symbols) if isinstance(row, TensorRow) else leaf
            for row, leaf in zip(signature.inputs, leaves, strict=True)
        ]
        self._fast.accept(laid_out)
        return laid_out

    @staticmethod
    def _kind_refusal(leaf: torch.Tensor) -> str | None:
        if type(leaf) not in (torch.Tensor, nn.Parameter):
            return f"is of type {type(leaf).__name__}; a torch.Tensor is accepted"
        if leaf.requires_grad and torch.is_grad_enabled():
            return (
                "requires a gradient, and none is computed: call under torch.no_grad() or use torch.compile"
            )
        if leaf.is_conj() or leaf.is_neg():
            return "is a lazy conjugate or negation: resolve it first (torch.Tensor.resolve_conj)"
        return None

    def _arranged(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments, each given by position or by name as it was when the program was compiled."""
        takes = self._signature.takes.unflatten([None] * self._signature.takes.num_leaves)
        if len(args) == len(takes[0]) and list(kwargs) == list(takes[1]):
            return args, kwargs
        if self._signature.parameters is None:
            return args, kwargs
        try:
            bound = self._signature.parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise MismatchError(f"the arguments do not fit: {error}") from None
        named = dict(bound.arguments)
        names = list(named)
        if any(
            p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            for name, p in bound.signature.parameters.items()
            if name in named
        ):
            return args, kwargs
        positional = tuple(named.pop(name) for name in names[: len(takes[0])])
        return positional, {key: named.pop(key) for key in takes[1] if key in named} | named

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)


def _outline(structure: Any) -> str:
    args, kwargs = structure.unflatten(["…"] * structure.num_leaves)
    parts = [*(_shape_of(a) for a in args), *(f"{key}={_shape_of(value)}" for key, value in kwargs.items())]
    return f"({', '.join(parts)})"


def _shape_of(value: Any) -> str:
    return "…" if isinstance(value, str) else str(value).replace("'…'", "…")
