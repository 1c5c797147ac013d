"""What a served program reads off its model at every call, so that no weight is ever stale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.serving.signature import Signature


@dataclass
class Live:
    """The dictionaries in which a model holds its weights, submodules and modes, and what was in them.

    They are the module's own, so that a parameter assigned anew is seen, and so is a submodule.
    """

    model: nn.Module
    #: For each weight's name, the dictionary that holds it and its key there.
    places: dict[str, tuple[dict[str, Any], str]]
    tied: list[list[str]]
    #: Each submodule with the dictionary that holds it, its key, and its name.
    submodules: list[tuple[dict[str, Any], str, nn.Module, str]] = field(default_factory=list)
    #: Each module's own dictionary with its mode of training, and its name.
    modes: list[tuple[dict[str, Any], bool, str]] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module, signature: Signature) -> Live:
        """What a signature needs of a model."""
        tied = [[name for name in group if _holder(model, name)] for group in signature.tied]
        needed = [*signature.weights, *(name for group in tied for name in group)]
        live = cls(model, {name: _place(model, name) for name in needed}, tied)
        for name, module in model.named_modules():
            live.modes.append((module.__dict__, module.training, name))
            for key, child in module._modules.items():
                if child is not None:
                    live.submodules.append((module._modules, key, child, f"{name}.{key}".lstrip(".")))
        return live

    def weight(self, name: str) -> torch.Tensor | None:
        """A weight as it is now; None where there is none any more."""
        holder, key = self.places[name]
        value: torch.Tensor | None = holder.get(key)
        return value

    def refusal(self, signature: Signature) -> str | None:
        """What of the model is no longer what the program was compiled for, or None."""
        for holder, key, module, name in self.submodules:
            if holder.get(key) is not module:
                return f"the submodule {name!r} was replaced"
        for own, training, name in self.modes:
            if own.get("training") is not training:
                where = f"the submodule {name!r}" if name else "the model"
                was, now = ("training", "evaluation") if training else ("evaluation", "training")
                return f"{where} is in {now} mode; the program was compiled in {was} mode"
        for group in self.tied:
            if any(self.weight(name) is not self.weight(group[0]) for name in group):
                return f"the weights {', '.join(map(repr, group))} were one and are no more"
        for name, row in signature.weights.items():
            reason = row.refusal(self.weight(name), {})
            if reason is not None:
                return f"the weight {name!r} {reason}"
        return None


def _holder(model: nn.Module, name: str) -> dict[str, Any] | None:
    *path, key = name.split(".")
    module: Any = model
    for step in path:
        module = module._modules.get(step)
        if module is None:
            return None
    return next((d for d in (module._parameters, module._buffers) if key in d), None)


def _place(model: nn.Module, name: str) -> tuple[dict[str, Any], str]:
    holder = _holder(model, name)
    if holder is None:
        raise HypatiaError(
            f"the model cannot be captured for serving: {name!r} is a part of a weight whose type is a "
            'tensor subclass (quantised, for one), which torch.compile(model, backend="hypatia") takes'
        )
    return holder, name.rpartition(".")[2]
