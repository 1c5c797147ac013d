"""One case under eager and under a backend: values, types, strides, changes of the inputs, then gradients."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from conformance.cases import SEED, Case, Sample

#: Makes a compiled function of a plain one.
Compile = Callable[[Callable[..., Any]], Callable[..., Any]]


class Outcome(enum.Enum):
    """How a case went."""

    PASSED = "passed"
    #: The yardstick fails on the same samples, so that the fault lies before us.
    ALLOWED = "fails under aot_eager too"
    FAILED = "failed"
    #: Eager has no result to compare with.
    SKIPPED = "skipped"


@dataclass
class Result:
    """How a case went, and the reasons."""

    case: Case
    outcome: Outcome = Outcome.SKIPPED
    samples: int = 0
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """What one call did: its tensors out, its tensors in afterwards, and the gradients of the latter."""

    outputs: list[Any]
    inputs: list[torch.Tensor]
    gradients: list[torch.Tensor | None]


def compile_with(backend: str, **options: Any) -> Compile:
    """A way to compile by this backend, once a function, for these shapes only."""
    return lambda function: torch.compile(
        function, backend=backend, dynamic=False, options=options or None, fullgraph=False
    )


def compare(case: Case, compiler: Compile, yardstick: Compile) -> Result:
    """Runs the case's samples, without and with gradients."""
    result = Result(case)
    allowed = failed = 0
    torch.manual_seed(SEED)
    for requires_grad in [False, True] if case.differentiable else [False]:
        try:
            samples = list(case.samples(requires_grad))
        except Exception as error:  # a sample that torch itself cannot make
            result.reasons.append(f"no samples: {error}")
            continue
        for sample in samples:
            try:
                expected = _run(sample, None, requires_grad)
                again = _run(sample, None, requires_grad)
            except Exception:  # eager refuses it
                continue
            if _difference(again, expected) is not None:  # not a function of its inputs: nothing to compare
                continue
            result.samples += 1
            reason = _reason(sample, compiler, requires_grad, expected)
            if reason is None:
                continue
            if _reason(sample, yardstick, requires_grad, expected) is not None:
                allowed += 1
            else:
                failed += 1
            mode = "with gradients" if requires_grad else "without gradients"
            if reason not in result.reasons:
                result.reasons.append(f"{mode}: {reason}")
    torch._dynamo.reset()
    if result.samples:
        result.outcome = Outcome.FAILED if failed else Outcome.ALLOWED if allowed else Outcome.PASSED
    return result


def _reason(sample: Sample, compiler: Compile, requires_grad: bool, expected: _Run) -> str | None:
    try:
        return _difference(_run(sample, compiler, requires_grad), expected)
    except Exception as error:
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


def _run(sample: Sample, compiler: Compile | None, requires_grad: bool) -> _Run:
    sample = sample.copied()
    torch.manual_seed(SEED)
    call = sample.function
    if compiler is not None:
        torch._dynamo.reset()
        function = sample.function
        call = compiler(lambda *args, **kwargs: function(*args, **kwargs))
    with warnings.catch_warnings(), torch.set_grad_enabled(requires_grad):
        warnings.filterwarnings("ignore", module="torch")
        # An operator that changes its input needs one that is no leaf.
        arguments = pytree.tree_map_only(torch.Tensor, lambda x: x, (sample.args, sample.kwargs))
        outputs = pytree.tree_leaves(call(*arguments[0], **arguments[1]))
        tensors = sample.tensors()
        return _Run(outputs, tensors, _gradients(outputs, tensors) if requires_grad else [])


def _gradients(outputs: list[Any], tensors: list[torch.Tensor]) -> list[torch.Tensor | None]:
    roots = [o for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad]
    leaves = [t for t in tensors if t.requires_grad and t.is_leaf]
    if not roots or not leaves:
        return []
    generator = torch.Generator().manual_seed(SEED)
    weights = [
        torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o.dtype)
        if not o.is_sparse
        else o.detach()
        for o in roots
    ]
    return list(torch.autograd.grad(roots, leaves, weights, allow_unused=True))


def _difference(actual: _Run, expected: _Run) -> str | None:
    for what in ("outputs", "inputs", "gradients"):
        ours, theirs = getattr(actual, what), getattr(expected, what)
        if len(ours) != len(theirs):
            return f"{len(ours)} {what}, eager has {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            found = _difference_of_values(a, b)
            if found is not None:
                return f"{what} {i}: {found}"
    return None


def _difference_of_values(a: Any, b: Any) -> str | None:
    if not isinstance(b, torch.Tensor):
        return None if type(a) is type(b) and (a == b or (a != a and b != b)) else f"{a!r}, eager has {b!r}"
    if not isinstance(a, torch.Tensor):
        return f"{type(a).__name__} in place of a tensor"
    if (a.shape, a.dtype, a.layout, a.requires_grad) != (b.shape, b.dtype, b.layout, b.requires_grad):
        return (
            f"{tuple(a.shape)} {a.dtype} {a.layout} requires_grad={a.requires_grad}, "
            f"eager has {tuple(b.shape)} {b.dtype} {b.layout} requires_grad={b.requires_grad}"
        )
    if b.layout is torch.strided and not b.is_nested:
        significant = [i for i in range(b.dim()) if b.shape[i] > 1] if b.numel() else []
        if [a.stride(i) for i in significant] != [b.stride(i) for i in significant]:
            return f"strides {a.stride()}, eager has {b.stride()} for {tuple(b.shape)}"
    try:
        torch.testing.assert_close(a, b, equal_nan=True)
    except AssertionError as error:
        return str(error).strip().splitlines()[0]
    return None
