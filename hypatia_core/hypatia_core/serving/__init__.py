"""Serving: a model compiled once for calls without Dynamo."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import nn
from torch.utils import _pytree as pytree

from hypatia_core import compat, executors
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.backend import Compilation
from hypatia_core.options import Options
from hypatia_core.report import GraphReport
from hypatia_core.serving.capture import capture
from hypatia_core.serving.saved import load
from hypatia_core.serving.served import OnMismatch, Programs, Served

__all__ = ["Served", "compile", "load"]


def compile(  # noqa: A001 - the name that torch's users know
    model: Any,
    example_inputs: Sequence[Any] | torch.Tensor,
    dynamic_shapes: Any = None,
    options: Mapping[str, Any] | None = None,
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    mode: str | None = None,
    on_mismatch: OnMismatch = "raise",
    release_originals: bool = False,
) -> Served:
    """Compile a model for serving: a call checks its inputs natively and runs, with no Dynamo on the way.

    Args:
        model: a function, or a module in the mode (usually `eval()`), of the dtype and on the device that it
            is to run in.
        example_inputs: its positional arguments, or its one tensor; what is verified and measured on.
        dynamic_shapes: which sizes may differ from call to call, as `torch.export.export` takes it.
        options: names and values of :class:`hypatia_core.Options`.
        example_kwargs: its arguments by name.
        mode: one of torch's modes.
        on_mismatch: what becomes of a call that does not fit: "raise" (:class:`HypatiaError` says which
            input, what it is and what is accepted) or "compile" (it goes to `torch.compile`).
        release_originals: for a model that is to do nothing but serve: give back the memory of the weights
            that the program holds in another layout. They are gone from the model; reading one is an error
            that names it. The report says how much was released, or why nothing was.

    Returns:
        A module that is called like the model. It reads the model's parameters and buffers at every call (a
        tensor that is a mere attribute is the one that was there), and computes no gradients. An input in
        other strides than its example's is copied into these.

    Raises:
        HypatiaError: the model cannot be captured, or an option is unknown; the message says why.

    >>> import torch, hypatia_core
    >>> model = torch.nn.Linear(4, 2).eval()
    >>> served = hypatia_core.compile(model, torch.ones(3, 4), options={"executor": "aten"})
    >>> torch.equal(served(torch.ones(3, 4)), model(torch.ones(3, 4)))
    True
    >>> served(torch.ones(5, 4))
    Traceback (most recent call last):
    hypatia_core.serving.served.MismatchError: input 'input' is float32[5, 4] on cpu; accepted: float32[3,...
    """
    chosen = Options.from_user(mode, options)
    if on_mismatch not in get_args(OnMismatch):
        raise HypatiaError(f"on_mismatch is {on_mismatch!r}; accepted: 'raise', 'compile'")
    if release_originals and on_mismatch == "compile":
        raise HypatiaError(
            "release_originals=True leaves nothing for on_mismatch='compile' to run: choose one of them"
        )
    runners = executors.named(chosen.executor, exact=chosen.numerics == "exact")
    module = model if isinstance(model, nn.Module) else _FunctionModule(model)
    args = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs)
    begun = time.perf_counter()
    captured = capture(module, args, example_kwargs, dynamic_shapes)
    seconds = time.perf_counter() - begun
    signature = captured.signature
    weights = frozenset(
        i
        for i, source in enumerate(signature.sources)
        if source.kind != "input" and isinstance(captured.fake_inputs[i], torch.Tensor)
    )
    graphs: list[GraphReport] = []
    placeholders = (node.name for node in captured.graph.graph.nodes if node.op == "placeholder")
    names = {
        placeholder: signature.input_names[source.position] if source.kind == "input" else source.name
        for placeholder, source in zip(placeholders, signature.sources, strict=True)
    }
    compilation = Compilation("inference", chosen, runners, graphs, weights=weights, names=names)
    run = compilation.compile(captured.graph, captured.fake_inputs)
    graphs[-1].stages["capture"] = seconds
    served = Served(
        module,
        signature,
        captured.constants,
        run,
        graphs,
        programs=Programs(
            captured.graph,
            compilation.rewritten,
            compilation.lowered,
            chosen.weights,
            chosen.weights_cap,
        ),
        autocast=compat.any_autocast(),
        otherwise=torch.compile(
            model, backend="hypatia", mode=mode, options=dict(options) if options else None
        )
        if on_mismatch == "compile"
        else None,
    )
    inputs = _decide(served, args, dict(example_kwargs or {}))
    served._programs = replace(served._programs, lowered=compilation.installed_lowered)
    if release_originals:
        served._release(compilation.installed_memo, inputs)
    return served


def _decide(served: Served, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Verifies and measures on copies of the examples, and leaves what the model mutates as it is.

    Returns:
        The program's inputs.
    """
    args, kwargs = pytree.tree_map_only(torch.Tensor, torch.clone, (args, kwargs))
    with torch.no_grad():
        leaves = served._fitting(args, kwargs)
        values = served._values(leaves)
        served._run(list(values))
    return values


class _FunctionModule(nn.Module):
    """A function as a module, with the function's own parameters."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        if not callable(function):
            raise HypatiaError(f"compile takes a module or a function, not {type(function).__name__}")
        self.forward = function
