"""What is run: every operator and module of the tables that ship with torch, with their sample inputs."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.utils import _pytree as pytree

#: Sample inputs of one case that are run; the tables give up to hundreds.
SAMPLES = 2
SEED = 20
#: What these return was never written: there is nothing to compare.
UNINITIALIZED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")


@dataclass(frozen=True)
class Sample:
    """One call: a function of its inputs alone, and these inputs."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def copied(self) -> Sample:
        """The same call on tensors of its own, with the same strides; what requires gradients still does."""
        args, kwargs = pytree.tree_map_only(torch.Tensor, _fresh, (self.args, self.kwargs))
        function = (
            copy.deepcopy(self.function) if isinstance(self.function, torch.nn.Module) else self.function
        )
        return Sample(function, args, kwargs)

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor that the call sees: inputs first, then a module's parameters and buffers."""
        found = [x for x in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(x, torch.Tensor)]
        if isinstance(self.function, torch.nn.Module):
            found += [*self.function.parameters(), *self.function.buffers()]
        return found


def _fresh(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_(tensor.requires_grad)


@dataclass(frozen=True)
class Case:
    """An operator or a module, by its name in torch's table."""

    kind: str
    name: str
    samples: Callable[[bool], Iterator[Sample]]
    differentiable: bool


def cases(samples: int = SAMPLES) -> list[Case]:
    """Every case that works in float32 on the CPU, operators first, with at most so many samples."""
    return [*_operators(samples), *_modules(samples)]


def _operators(count: int) -> Iterator[Case]:
    for op in op_db:
        if torch.float32 in op.supported_dtypes("cpu") and op.name not in UNINITIALIZED:
            name = f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
            differentiable = op.supports_autograd and torch.float32 in op.supported_backward_dtypes("cpu")
            yield Case("operator", name, _operator_samples(op, count), differentiable)


def _operator_samples(op: Any, count: int) -> Callable[[bool], Iterator[Sample]]:
    def samples(requires_grad: bool) -> Iterator[Sample]:
        given = op.sample_inputs("cpu", torch.float32, requires_grad=requires_grad)
        for sample in itertools.islice(given, count):
            yield Sample(op.get_op(), (sample.input, *sample.args), sample.kwargs)

    return samples


def _modules(count: int) -> Iterator[Case]:
    for module in module_db:
        if torch.float32 in module.supported_dtypes("cpu"):
            yield Case("module", module.name, _module_samples(module, count), True)


def _module_samples(info: Any, count: int) -> Callable[[bool], Iterator[Sample]]:
    def samples(requires_grad: bool) -> Iterator[Sample]:
        given = info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=requires_grad, training=requires_grad
        )
        for sample in itertools.islice(given, count):
            module = info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs)
            module = module.to("cpu", torch.float32).train(requires_grad)
            call = sample.forward_input
            if call is not None:
                yield Sample(module, tuple(call.args), call.kwargs)

    return samples
