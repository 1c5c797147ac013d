"""Torch's private interfaces, all of them, each with the version it was read in and what happens when it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.fx import GraphModule


def aot_autograd(**compilers: Any) -> Callable[[GraphModule, Sequence[Any]], Callable[..., Any]]:
    """Capture as functional ATen. Read in 2.15 (`torch._dynamo.backends.common`); without it nothing is compiled."""
    from torch._dynamo.backends.common import aot_autograd as capture

    return capture(**compilers)


def boxed(function: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """Marks a callable that takes one list and may empty it. Read in 2.15 (`torch._functorch.aot_autograd`)."""
    function._boxed_call = True  # type: ignore[attr-defined]
    return function


def static_inputs() -> frozenset[int]:
    """Positions of parameters and buffers among a captured graph's inputs; empty where torch does not say.

    Read in 2.15 (`torch._guards.TracingContext.fw_metadata`).
    """
    from torch._guards import TracingContext

    context = TracingContext.try_get()
    metadata = getattr(context, "fw_metadata", None)
    return frozenset(getattr(metadata, "static_input_indices", None) or ())


def fake_mode(values: Sequence[Any]) -> Any:
    """The fake tensor mode that these values were made under, or None. Read in 2.15 (`torch._guards`)."""
    from torch._guards import detect_fake_mode

    return detect_fake_mode(values)


@contextlib.contextmanager
def without_fake_mode() -> Iterator[None]:
    """Real tensors inside a compiler function. Read in 2.15 (`torch.fx.experimental.proxy_tensor`)."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        yield


@contextlib.contextmanager
def fresh_tracing_context(mode: Any) -> Iterator[None]:
    """A tracing context of its own for a nested compiler, so that the outer one's metadata stays. Read in 2.15."""
    from torch._guards import TracingContext, tracing

    outer = TracingContext.try_get()
    inner = TracingContext(mode)
    environment = getattr(mode, "shape_env", None)
    with tracing(inner):
        # Leaving a context cleans the shape environment, which belongs to the outer one.
        try:
            yield
        finally:
            if outer is not None and environment is not None:
                inner.fake_mode = None


def inductor(graph: GraphModule, example_inputs: Sequence[Any], patches: dict[str, Any]) -> Callable[..., Any]:
    """Generated code for a functional graph, as a callable of its inputs. Read in 2.15 (`compile_fx.compile_fx`)."""
    from torch._inductor.compile_fx import compile_fx

    compiled: Callable[..., Any] = compile_fx(graph, list(example_inputs), config_patches=patches)  # type: ignore[assignment]
    return compiled


def cpp_compiler() -> str | None:
    """The C++ compiler that Inductor would use, or None where there is none. Read in 2.15 (`cpp_builder`)."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        return str(get_cpp_compiler())
    except Exception:  # each torch version raises another type here: none of them has a compiler
        return None


def dynamo_backend(name: str) -> Callable[..., Any]:
    """The registered backend of this name. Read in 2.15 (`torch._dynamo.backends.registry`)."""
    from torch._dynamo.backends.registry import lookup_backend

    return lookup_backend(name)


def backend_names() -> list[str]:
    """Names of every registered backend, also those that torch hides from its list."""
    return list(torch._dynamo.list_backends(exclude_tags=()))  # type: ignore[arg-type]


def compiling_backend() -> Any:
    """The object that stands for the `torch.compile` call in whose name Dynamo compiles now; None where unknown.

    Read in 2.15 (`InstructionTranslator.current_tx().output.compiler_fn`).
    """
    try:
        from torch._dynamo.symbolic_convert import InstructionTranslator

        return _innermost(InstructionTranslator.current_tx().output.compiler_fn)
    except (ImportError, AttributeError):
        return None


def backend_of(compiled: Any) -> Any:
    """The same object, found from what `torch.compile` returned; None where unknown. Read in 2.15 (`eval_frame`)."""
    context = getattr(compiled, "dynamo_ctx", None)
    callback = getattr(context, "callback", None)
    if callback is None and callable(compiled):
        variables = getattr(getattr(compiled, "__code__", None), "co_freevars", ())
        cells = getattr(compiled, "__closure__", None) or ()
        callback = {name: cell.cell_contents for name, cell in zip(variables, cells)}.get("callback")
    return _innermost(callback) if callback is not None else None


def _innermost(backend: Any) -> Any:
    while hasattr(backend, "_torchdynamo_orig_backend"):
        backend = backend._torchdynamo_orig_backend
    return backend


def count(event: str) -> None:
    """Counts an event among Dynamo's counters, under "hypatia". Read in 2.15 (`torch._dynamo.utils.counters`)."""
    from torch._dynamo.utils import counters

    counters["hypatia"][event] += 1


def disable_dynamo(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps Dynamo from tracing a callable of ours."""
    return torch.compiler.disable(function)  # type: ignore[no-any-return]


def register_pytree_node(cls: type, flatten: Callable[..., Any], unflatten: Callable[..., Any]) -> None:
    """Lets `torch.func` walk into a class. Read in 2.15 (`torch.utils._pytree`)."""
    from torch.utils._pytree import register_pytree_node as register

    register(cls, flatten, unflatten)
