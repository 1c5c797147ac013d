"""Whether a candidate may stand for the original: both are held against a run in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import GraphModule

#: A candidate may err at most so many times what the original errs.
ERROR_MULTIPLE = 4.0
#: Errors below so many units in the last place of the output's scale are no errors.
FREE_ULPS = 16.0

_WIDER = {torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64}
_WIDER |= {torch.complex64: torch.complex128}


class Reference(fx.Interpreter):
    """Runs a graph in float64: every float tensor is widened, every request for a narrower float too.

    Random operations run in their own precision, so that they draw the same numbers. Values are freed at their last
    use: the memory needed is the widest moment of the graph, twice.
    """

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)

    def run_on(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs in float64."""
        with torch.no_grad():
            result = self.run(*(_widen(x) for x in inputs))
        return tuple(result) if isinstance(result, (list, tuple)) else (result,)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A constant of the graph, widened."""
        return _widen(super().get_attr(target, args, kwargs))

    def run_node(self, n: fx.Node) -> Any:
        """Random operations as they are, the rest widened."""
        random = isinstance(n.target, torch._ops.OpOverload) and (
            torch.Tag.nondeterministic_seeded in n.target.tags
        )
        if n.op != "call_function" or not random:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        originals = iter([a.meta.get("val") for a in _flat_nodes(n)])

        def narrow(value: Any) -> Any:
            like = next(originals, None)
            if isinstance(value, torch.Tensor) and isinstance(like, torch.Tensor):
                return value.to(like.dtype)
            return value

        args, kwargs = _map_like_nodes(n, args, kwargs, narrow)
        result = n.target(*args, **kwargs)  # type: ignore[operator]
        return torch.utils._pytree.tree_map(_widen, result)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The operation, asked for float64 where it was asked for less."""
        args, kwargs = torch.utils._pytree.tree_map(_widen_dtype, (args, kwargs))
        return torch.utils._pytree.tree_map(_widen, super().call_function(target, args, kwargs))


def _flat_nodes(node: fx.Node) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), found.append)
    return found


def _map_like_nodes(node: fx.Node, args: Any, kwargs: Any, change: Any) -> tuple[Any, Any]:
    """Applies a change to the values that stand where nodes stood, in order."""
    values = iter(_values_at_nodes((node.args, node.kwargs), (args, kwargs)))
    changed: tuple[Any, Any] = fx.node.map_arg((node.args, node.kwargs), lambda _: change(next(values)))
    return changed


def _values_at_nodes(pattern: Any, value: Any) -> list[Any]:
    if isinstance(pattern, fx.Node):
        return [value]
    if isinstance(pattern, dict):
        return [v for key in pattern for v in _values_at_nodes(pattern[key], value[key])]
    if isinstance(pattern, (list, tuple)):
        return [v for p, x in zip(pattern, value) for v in _values_at_nodes(p, x)]
    return []


def _widen(value: Any) -> Any:
    return value.to(_WIDER[value.dtype]) if isinstance(value, torch.Tensor) and value.dtype in _WIDER else value


def _widen_dtype(value: Any) -> Any:
    return _WIDER.get(value, value) if isinstance(value, torch.dtype) else value


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    Errors are the largest over the outputs of |y − r| / max|r|, r being the float64 run.
    """

    accepted: bool
    reason: str
    error: float
    original_error: float


def judge(candidate: Sequence[Any], original: Sequence[Any], reference: Sequence[Any] | None, exact: bool) -> Verdict:
    """Compares a candidate's outputs with the original's and the float64 run's.

    Args:
        candidate, original, reference: outputs in order; no reference means that the original stands for it.
        exact: whether every output must equal the original's (`torch.equal`).
    """
    worst = original_worst = 0.0
    for i, (ours, theirs) in enumerate(zip(candidate, original, strict=True)):
        if not isinstance(theirs, torch.Tensor):
            if ours != theirs:
                return Verdict(False, f"output {i} is {ours!r}, the original's {theirs!r}", math.inf, 0.0)
            continue
        if (ours.shape, ours.dtype, ours.device) != (theirs.shape, theirs.dtype, theirs.device):
            return Verdict(False, f"output {i} has another type than the original's", math.inf, 0.0)
        if ours.numel() == 0 or _equal(ours, theirs):
            continue
        if exact or not (theirs.is_floating_point() or theirs.is_complex()):
            return Verdict(False, f"output {i} is not equal to the original's", math.inf, 0.0)
        truth = theirs.to(torch.complex128 if theirs.is_complex() else torch.float64)
        if reference is not None and isinstance(reference[i], torch.Tensor):
            truth = reference[i]
        error, original_error = _error(ours, truth), _error(theirs, truth)
        worst, original_worst = max(worst, error), max(original_worst, original_error)
        allowed = max(ERROR_MULTIPLE * original_error, FREE_ULPS * torch.finfo(theirs.dtype).eps)
        if not error <= allowed:
            return Verdict(
                False,
                f"output {i} errs {error:.1e} where the original errs {original_error:.1e}",
                error,
                original_error,
            )
    return Verdict(True, "", worst, original_worst)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout is not torch.strided or b.layout is not torch.strided:
        return bool(torch.equal(a.to_dense(), b.to_dense()))
    return bool(torch.equal(a, b)) or bool(((a == b) | ((a != a) & (b != b))).all())


def _error(value: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest deviation by the scale of the truth; infinite where one is finite and the other is not."""
    value = value.to(truth.dtype)
    finite = torch.isfinite(truth)
    if not bool((torch.isfinite(value) == finite).all()):
        return math.inf
    if not bool(finite.all()):
        special = ~finite
        a, b = value[special], truth[special]
        if not bool(((a == b) | ((a != a) & (b != b))).all()):
            return math.inf
        value, truth = value[finite], truth[finite]
        if truth.numel() == 0:
            return 0.0
    scale = float(truth.abs().max())
    deviation = float((value - truth).abs().max())
    return deviation / scale if scale > 0 else deviation
