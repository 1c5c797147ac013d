"""Whether a compiled callable agrees with eager, by the backend's own criterion."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hypatia_core.check import judge

#: What is compiled.
Function = Callable[..., Any]


def hypatia(function: Callable[..., Any], **options: Any) -> Any:
    """A function or module compiled without a C++ compiler; what fails in the backend fails the test."""
    dynamic = options.pop("dynamic", None)
    chosen = {"executor": "aten", "on_error": "raise", **options}
    return torch.compile(function, backend="hypatia", dynamic=dynamic, options=chosen)


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor in a structure, in order."""
    return [x for x in pytree.tree_leaves(value) if isinstance(x, torch.Tensor)]


def widened(value: Any) -> Any:
    """The same structure in float64; a module is copied."""
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).double()
    return pytree.tree_map_only(torch.Tensor, _widened_tensor, value)


def _widened_tensor(x: torch.Tensor) -> torch.Tensor:
    return x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x


def assert_near(ours: Any, eager: Any, exact: Any) -> None:
    """Ours may err no more against the float64 run than a stated multiple of what eager errs."""
    ours, eager, exact = tensors(ours), tensors(eager), tensors(exact)
    assert [x.dtype for x in ours] == [x.dtype for x in eager]
    assert [x.stride() for x in ours] == [x.stride() for x in eager]
    verdict = judge(
        [x.detach() for x in ours], [x.detach() for x in eager], [x.detach() for x in exact], exact=False
    )
    assert verdict.accepted, verdict.reason


def assert_agrees(model: Callable[..., Any], *inputs: Any, compiled: Any = None, **options: Any) -> Any:
    """Compares one call of the compiled model with eager's. Returns the compiled model."""
    compiled = compiled if compiled is not None else hypatia(model, **options)
    ours = compiled(*inputs)
    exact = widened(model) if isinstance(model, torch.nn.Module) else model
    with torch.no_grad():
        assert_near(ours, model(*inputs), exact(*widened(inputs)))
    return compiled


def same(a: Any, b: Any) -> bool:
    """Bit by bit, NaN equal to NaN."""
    x, y = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(x) == len(y) and all(
        torch.equal(torch.nan_to_num(p, 0.5), torch.nan_to_num(q, 0.5)) and torch.equal(p.isnan(), q.isnan())
        if isinstance(p, torch.Tensor)
        else p == q
        for p, q in zip(x, y, strict=True)
    )
