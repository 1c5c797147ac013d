"""Whether a candidate may stand for the original: both are held against a run in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

#: A candidate may err at most so many times what the original errs.
ERROR_MULTIPLE = 4.0
#: Errors below so many units in the last place of the output's scale are no errors.
FREE_ULPS = 16.0
#: Where products may run in bfloat16: 1/128 of the output's scale, two of its units in the last place.
BFLOAT16_ULPS = 2.0**-7 / torch.finfo(torch.float32).eps
#: In float64, so many times more: there is no wider run, so that the original seems to err nothing at all.
NO_WIDER = 32.0

_WIDER = {torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64}
_WIDER |= {torch.complex64: torch.complex128}


_aten = torch.ops.aten
#: Products of matrices, whose elements are sums.
_PRODUCTS = frozenset(
    (_aten.mm.default, _aten.bmm.default, _aten.mv.default, _aten.dot.default, _aten.matmul.default)
)
#: Operations that take elements of their first operand, and no more.
_SELECTIONS = frozenset(
    (
        *(_aten.select.int, _aten.slice.Tensor, _aten.diagonal.default, _aten.alias.default),
        *(_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default, _aten.unsqueeze.default),
        *(_aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims, _aten.clone.default),
        *(_aten.t.default, _aten.transpose.int, _aten.permute.default),
    )
)


class Reference(fx.Interpreter):
    """Runs a graph in float64: float tensors are widened where they are used, as are requests for them.

    What draws random numbers or reads bits runs in its own precision. Values are freed at their last use and
    inputs are widened one use at a time: the memory needed is that of the graph's widest moment, twice.
    """

    def run_on(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs in float64."""
        with torch.no_grad():
            result = self.run(*inputs)
        results = tuple(result) if isinstance(result, (list, tuple)) else (result,)
        return tuple(map(widen, results))

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[Any, Any]:
        """A node's arguments: in the original's precision for what depends on it, else widened."""
        own = _runs_in_own_precision(n.target)

        def fetch(argument: fx.Node) -> Any:
            if n.op == "output":
                return self.env[argument]
            value, like = self.env[argument], argument.meta.get("val")
            if own and isinstance(like, torch.Tensor) and isinstance(value, torch.Tensor):
                return value.to(like.dtype)
            return _map_tensors(widen, value)

        fetched: tuple[Any, Any] = fx.node.map_arg((n.args, n.kwargs), fetch)
        return fetched

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The operation, asked for float64 where it was asked for less."""
        if not _runs_in_own_precision(target):
            args, kwargs = torch.utils._pytree.tree_map(_widen_dtype, (args, kwargs))
        return _map_tensors(widen, super().call_function(target, args, kwargs))


class Terms(Reference):
    """Runs a graph in float64, and keeps how large the sums' terms are where an output is part of a product.

    An element of a product errs as its terms are large, however small it is itself: by root and sum of
    squares, as rounding errors add up. Of all elements the largest has that size too; of a few it need not.
    """

    def terms_on(self, inputs: Sequence[Any]) -> list[torch.Tensor | None]:
        """For each output the size of its terms; None where it is no part of a product."""
        self._sizes: dict[fx.Node, torch.Tensor] = {}
        self._chains: set[fx.Node] = set()
        returned: Any = next(n for n in self.module.graph.nodes if n.op == "output").args[0]
        returned = returned if isinstance(returned, (list, tuple)) else [returned]
        for output in returned:
            chain = [output]
            while isinstance(chain[-1], fx.Node) and chain[-1].target in _SELECTIONS:
                chain.append(chain[-1].args[0])
            if isinstance(chain[-1], fx.Node) and chain[-1].target in _PRODUCTS and len(chain) > 1:
                self._chains.update(chain)
        if self._chains:
            self.run_on(inputs)
        return [self._sizes.get(output) if isinstance(output, fx.Node) else None for output in returned]

    def run_node(self, n: fx.Node) -> Any:
        """A node's value; the size of its terms on the way from a product to an output."""
        if n in self._chains:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            if n.target in _SELECTIONS:
                self._sizes[n] = super().call_function(n.target, (self._sizes[n.args[0]], *args[1:]), kwargs)  # type: ignore[index]
            else:
                squares = tuple(arg.abs().square() for arg in args)
                self._sizes[n] = super().call_function(n.target, squares, kwargs).sqrt()
        return super().run_node(n)


def _runs_in_own_precision(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and (
        torch.Tag.nondeterministic_seeded in target.tags or target is torch.ops.aten.view.dtype
    )


def _map_tensors(change: Callable[[Any], Any], value: Any) -> Any:
    return torch.utils._pytree.tree_map(change, value)


def widen(value: Any) -> Any:
    """A tensor in float64 or its complex twin where it is of a narrower float; all else as it is."""
    return (
        value.to(_WIDER[value.dtype]) if isinstance(value, torch.Tensor) and value.dtype in _WIDER else value
    )


def _widen_dtype(value: Any) -> Any:
    return _WIDER.get(value, value) if isinstance(value, torch.dtype) else value


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    Errors are the largest over the outputs of |y − r| / max|r|, r being the float64 run, both where the
    original and r are finite; where an output is a part of a product, its terms may give the scale.
    Elsewhere the candidate must be what one of them is, or as near to r.
    """

    accepted: bool
    reason: str
    error: float
    original_error: float


def judge(
    candidate: Sequence[Any],
    original: Sequence[Any],
    reference: Sequence[Any] | None,
    exact: bool,
    free_ulps: float = FREE_ULPS,
    terms: Sequence[torch.Tensor | None] = (),
) -> Verdict:
    """Compares a candidate's outputs with the original's and the float64 run's.

    Args:
        candidate, original, reference: outputs in order; no reference means that the original stands for it.
        exact: whether every output must equal the original's (`torch.equal`).
        free_ulps: errors below so many units in the last place of an output's scale are let pass.
        terms: how large the terms of each output's sums are, where that is its scale; see :class:`Terms`.
    """
    worst = original_worst = 0.0
    for i, (ours, theirs) in enumerate(zip(candidate, original, strict=True)):
        if not isinstance(theirs, torch.Tensor):
            if ours != theirs:
                return Verdict(False, f"output {i} is {ours!r}, the original's {theirs!r}", math.inf, 0.0)
            continue
        if (ours.shape, ours.dtype, ours.device) != (theirs.shape, theirs.dtype, theirs.device):
            return Verdict(False, f"output {i} has another type than the original's", math.inf, 0.0)
        if _equal(ours, theirs):
            continue
        if exact or not (theirs.is_floating_point() or theirs.is_complex()):
            return Verdict(False, f"output {i} is not equal to the original's", math.inf, 0.0)
        truth = theirs.to(torch.complex128 if theirs.is_complex() else torch.float64)
        if reference is not None and isinstance(reference[i], torch.Tensor):
            truth = reference[i].to(truth.dtype)
        comparable = torch.isfinite(truth) & torch.isfinite(theirs)
        scale = _largest(truth[comparable]) or 1.0
        sizes = terms[i] if i < len(terms) else None
        if sizes is not None and bool(torch.isfinite(sizes).all()):
            scale = max(scale, _largest(sizes))
        error, original_error = (
            _largest((y.to(truth.dtype) - truth)[comparable]) / scale for y in (ours, theirs)
        )
        free = free_ulps * torch.finfo(theirs.dtype).eps * (1.0 if theirs.dtype in _WIDER else NO_WIDER)
        allowed = max(ERROR_MULTIPLE * original_error, free)
        if not bool(comparable.all()):
            error = max(error, _special_error(ours, theirs, truth, ~comparable, scale))
        worst, original_worst = max(worst, error), max(original_worst, original_error)
        if not error <= allowed:
            return Verdict(
                False,
                f"output {i} errs {error:.1e} where the original errs {original_error:.1e}",
                error,
                original_error,
            )
    return Verdict(True, "", worst, original_worst)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal element by element, NaN being equal to NaN."""
    if a.layout is not torch.strided or b.layout is not torch.strided:
        return bool(torch.equal(a.to_dense(), b.to_dense()))
    return bool(torch.equal(a, b)) or bool(((a == b) | ((a != a) & (b != b))).all())


def _special_error(
    ours: torch.Tensor, theirs: torch.Tensor, truth: torch.Tensor, where: torch.Tensor, scale: float
) -> float:
    """The error where the original or the truth is not finite: nothing where ours is as one of them."""
    a, b, t = ours[where], theirs[where], truth[where]
    narrow = t.to(a.dtype)
    same = (a == b) | ((a != a) & (b != b)) | (a == narrow) | ((a != a) & (narrow != narrow))
    left = (a.to(t.dtype) - t)[~same]
    return _largest(left) / scale if bool(torch.isfinite(left).all()) else math.inf


def _largest(values: torch.Tensor) -> float:
    """The largest magnitude; NaN where there is one, 0 of nothing."""
    return float(values.abs().max()) if values.numel() else 0.0
