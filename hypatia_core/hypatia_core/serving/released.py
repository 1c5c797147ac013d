"""Weights of which a served program alone holds what it needs: their memory is given back.

What was folded or packed of a weight replaces it. In the model a stand-in takes its place, which tells sizes
and types, and says what became of the weight to whatever would read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.serving.live import Live
from hypatia_core.serving.signature import Signature, Source
from hypatia_core.weights import Memo

#: What a stand-in answers: it is about the type alone.
_ANSWERED = frozenset(
    getattr(torch.Tensor, name).__get__
    for name in ("shape", "dtype", "device", "layout", "ndim", "itemsize", "requires_grad", "is_leaf", "grad")
) | {
    *(torch.Tensor.size, torch.Tensor.dim, torch.Tensor.numel, torch.Tensor.stride, torch.Tensor.__len__),
    *(torch.Tensor.is_floating_point, torch.Tensor.is_complex, torch.Tensor.element_size),
}


class Released(torch.Tensor):
    """What stands in a model for a weight that was released; it is on the device "meta"."""

    weight_name: str

    @staticmethod
    def of(name: str, weight: torch.Tensor) -> Released:
        """The stand-in for a weight of this name."""
        empty = torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device="meta")
        stand_in = empty.as_subclass(Released)
        stand_in.weight_name = name
        return stand_in

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _ANSWERED:
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        leaves = pytree.tree_leaves((args, kwargs or {}))
        names = [leaf.__dict__.get("weight_name", "?") for leaf in leaves if isinstance(leaf, Released)]
        raise HypatiaError(
            f"the weight {names[0] if names else '?'!r} was released when the model was compiled with "
            "release_originals=True: the served program holds what it needs of it, in another layout. "
            "Load the model anew for whatever needs the weight itself"
        )

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Released({self.__dict__.get('weight_name', '?')!r})"


def releasable(signature: Signature, live: Live, memo: Memo) -> dict[str, int]:
    """The weights that the program needs no more, each with its position among the program's inputs.

    One that goes by several names counts where no other of its names is needed.
    """
    positions = memo.releasable()
    found = {
        source.name: i
        for i, source in enumerate(signature.sources)
        if i in positions and source.kind == "weight"
    }
    needed = {result.name for result in signature.results if result.kind == "mutates weight"}
    needed |= {s.name for s in signature.sources if s.kind == "weight" and s.name not in found}
    for group in live.tied:
        if needed.intersection(group):
            needed.update(group)
    return {name: i for name, i in found.items() if name not in needed}


def release(
    signature: Signature, live: Live, memo: Memo, inputs: Sequence[Any]
) -> tuple[Signature, dict[str, None], int]:
    """Gives back the memory of what the program needs no more; `inputs` are those that it last ran on.

    Returns:
        The signature without these weights, a constant None for each of them, and their bytes.
    """
    freed = releasable(signature, live, memo)
    weights = {name: live.weight(name) for name in freed}
    size = sum(w.numel() * w.itemsize for w in {id(w): w for w in weights.values() if w is not None}.values())
    names = {name: {name} for name in freed}
    for group in live.tied:
        for name in names.keys() & set(group):
            names[name].update(group)
    memo.release(freed.values(), inputs)
    stand_ins: dict[int, Released] = {}
    for name, weight in weights.items():
        assert weight is not None
        stand_in = stand_ins.setdefault(id(weight), Released.of(name, weight))
        for other in names[name]:
            holder, key = live.places[other]
            holder[key] = stand_in
    return (
        _without(signature, {name for group in names.values() for name in group}),
        dict.fromkeys(freed),
        size,
    )


def _without(signature: Signature, gone: set[str]) -> Signature:
    return replace(
        signature,
        sources=[
            Source("constant", source.name) if source.kind == "weight" and source.name in gone else source
            for source in signature.sources
        ],
        weights={name: row for name, row in signature.weights.items() if name not in gone},
        tied=[group for group in signature.tied if not gone & set(group)],
    )
