"""Channels mixed by weights and places by a table, as operations of torch: linear maps of Clifford networks.

`torch.ops.hypatia.channel_map(x, weight, terms)` is r[…, o, i] = Σ c·w[o, c, a]·x[…, c, j] over the channels
of x, `(…, channels, places)`, and over the terms of a table that is written as text: how many weights (o, c)
has, the places of x and of the result, and whether the table's zeros are factors too, so that what is not
finite reaches every place; then `a j i c` for each term, all apart by commas.

`torch.ops.hypatia.channel_map_weight_gradient(x, gradient, terms)` is the gradient of the weight,
Σ c·g[…, o, i]·x[…, c, j]. Both have gradients of any order, which are such maps themselves.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hypatia_core._hypatia_core import ChannelMap
from hypatia_core.bilinear import is_ours

_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
for _signature in (
    "channel_map(Tensor x, Tensor weight, str terms) -> Tensor",
    "channel_map_weight_gradient(Tensor x, Tensor gradient, str terms) -> Tensor",
):
    _LIBRARY.define(_signature, tags=(torch.Tag.pt2_compliant_tag,))

#: With more channels, a library's matrix products outweigh the copies that bring their operands in order.
MOST_CHANNELS = 256


class Mixing(NamedTuple):
    """A table of terms (a, j, i, c), with how many weights and places there are."""

    weights: int
    places: int
    results: int
    zeros_count: bool
    terms: tuple[tuple[int, int, int, float], ...]

    def text(self) -> str:
        """As the operations take it.

        >>> Mixing(1, 2, 2, False, ((0, 0, 0, 1.0), (0, 1, 1, 1.0))).text()
        '1 2 2 0,0 0 0 1.0,0 1 1 1.0'
        """
        head = f"{self.weights} {self.places} {self.results} {int(self.zeros_count)}"
        return ",".join([head, *(" ".join(map(repr, term)) for term in self.terms)])


def identity(places: int) -> str:
    """Channels alone are mixed: r[…, o, i] = Σ w[o, c, 0]·x[…, c, i].

    >>> identity(1)
    '1 1 1 0,0 0 0 1.0'
    """
    return graded([0] * places, 1)


def graded(weight_of_each: Sequence[int], weights: int) -> str:
    """Each place stays where it is, and has the weight of this number."""
    terms = tuple((a, i, i, 1.0) for i, a in enumerate(weight_of_each))
    return Mixing(weights, len(weight_of_each), len(weight_of_each), False, terms).text()


def of_table(table: Tensor) -> str:
    """The map of a dense table (weights, places, results), whose zeros are factors as any other number."""
    weights, places, results = table.shape
    entries: Iterable[tuple[int, int, int]] = (
        (int(a), int(j), int(i)) for a, j, i in table.nonzero().tolist()
    )
    terms = tuple((a, j, i, float(table[a, j, i])) for a, j, i in entries)
    zeros_count = len(terms) < table.numel()
    return Mixing(weights, places, results, zeros_count, terms).text()


@functools.lru_cache(maxsize=1024)
def parsed(text: str) -> Mixing:
    """The table that a text says.

    >>> parsed("1 2 1 0,0 1 0 -1.0").terms
    ((0, 1, 0, -1.0),)
    """
    head, *rows = text.split(",")
    weights, places, results, zeros_count = map(int, head.split())
    split = [row.split() for row in rows]
    terms = tuple((int(a), int(j), int(i), float(c)) for a, j, i, c in split)
    return Mixing(weights, places, results, bool(zeros_count), terms)


@functools.lru_cache(maxsize=1024)
def _map(text: str) -> tuple[ChannelMap, int, int, int]:
    weights, places, results, zeros_count, terms = parsed(text)
    return ChannelMap((weights, places, results), terms, zeros_count), weights, places, results


@functools.lru_cache(maxsize=1024)
def adjoint(text: str) -> str:
    """The map that gives the gradient of x, of the result's gradient and the weight with channels swapped.

    >>> adjoint("1 2 1 0,0 1 0 -1.0")
    '1 1 2 0,0 0 1 -1.0'
    """
    weights, places, results, zeros_count, terms = parsed(text)
    return Mixing(weights, results, places, zeros_count, tuple((a, i, j, c) for a, j, i, c in terms)).text()


@functools.lru_cache(maxsize=256)
def _dense(text: str) -> Tensor:
    weights, places, results, _, terms = parsed(text)
    table = torch.zeros(weights, places, results, dtype=torch.float64)
    for a, j, i, c in terms:
        table[a, j, i] += c
    return table


def _check(x: Sequence[int], other: Sequence[int], wanted: tuple[int, ...], name: str) -> None:
    fits = len(x) >= 2 and len(other) == len(wanted)
    if not fits or any(n not in (-1, m) for n, m in zip(wanted, other, strict=True)):
        raise ValueError(f"{name}: operands of shapes {tuple(x)} and {tuple(other)}, wanted {wanted}")


def mixed(x: Tensor, weight: Tensor, terms: str) -> Tensor:
    """`torch.ops.hypatia.channel_map` past the dispatcher: the engine's code on the memory of rows."""
    if not is_ours(x, weight):
        return _by_einsum(x, weight, terms)
    compiled, weights, places, results = _map(terms)
    _check(x.shape, weight.shape, (-1, x.shape[-2] if x.dim() > 1 else -1, weights), "channel_map")
    if x.shape[-1] != places:
        raise ValueError(f"channel_map: {x.shape[-1]} places where the table has {places}")
    x = x.contiguous()
    *batch, ins, _ = x.shape
    outs = weight.shape[0]
    along_o, along_c, along_a = weight.stride()
    result = x.new_empty((*batch, outs, results))
    compiled.run(
        x.dtype is torch.float64,
        x.data_ptr(),
        weight.data_ptr(),
        (outs, ins),
        (along_o, along_c, along_a),
        result.data_ptr(),
        math.prod(batch),
        torch.get_num_threads(),
    )
    return result


def weight_gradient(x: Tensor, gradient: Tensor, terms: str) -> Tensor:
    """`torch.ops.hypatia.channel_map_weight_gradient` past the dispatcher."""
    if not is_ours(x, gradient):
        return _weight_gradient_by_einsum(x, gradient, terms)
    compiled, weights, places, results = _map(terms)
    wanted = (*x.shape[:-2], -1, results)
    _check(x.shape, gradient.shape, wanted, "channel_map_weight_gradient")
    if x.shape[-1] != places:
        raise ValueError(f"channel_map_weight_gradient: {x.shape[-1]} places where the table has {places}")
    x, gradient = x.contiguous(), gradient.contiguous()
    *batch, ins, _ = x.shape
    outs = gradient.shape[-2]
    result = x.new_empty((outs, ins, weights))
    compiled.weight_gradient(
        x.dtype is torch.float64,
        x.data_ptr(),
        gradient.data_ptr(),
        (outs, ins),
        result.data_ptr(),
        math.prod(batch),
        torch.get_num_threads(),
    )
    return result


def _by_einsum(x: Tensor, weight: Tensor, terms: str) -> Tensor:
    return torch.einsum("oca,aji,...cj->...oi", weight, _dense(terms).to(weight), x)


def _weight_gradient_by_einsum(x: Tensor, gradient: Tensor, terms: str) -> Tensor:
    return torch.einsum("bcj,aji,boi->oca", x.flatten(0, -3), _dense(terms).to(x), gradient.flatten(0, -3))


def _shape_of(x: Tensor, weight: Tensor, terms: str) -> Any:
    return x.new_empty((*x.shape[:-2], weight.shape[0], parsed(terms).results))


def _shape_of_weight(x: Tensor, gradient: Tensor, terms: str) -> Any:
    return x.new_empty((gradient.shape[-2], x.shape[-2], parsed(terms).weights))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.terms = inputs
    ctx.save_for_backward(*tensors)


def _gradients(context: Any, g: Tensor) -> tuple[Any, ...]:
    x, weight = context.saved_tensors
    needs, ops = context.needs_input_grad, torch.ops.hypatia
    dx = ops.channel_map(g, weight.transpose(0, 1), adjoint(context.terms)) if needs[0] else None
    dw = ops.channel_map_weight_gradient(x, g, context.terms) if needs[1] else None
    return dx, dw, None


def _gradients_of_weight_gradient(context: Any, h: Tensor) -> tuple[Any, ...]:
    # It is linear in x and in g, with h in the weight's place.
    x, g = context.saved_tensors
    needs, channel_map = context.needs_input_grad, torch.ops.hypatia.channel_map
    dx = channel_map(g, h.transpose(0, 1), adjoint(context.terms)) if needs[0] else None
    dg = channel_map(x, h, context.terms) if needs[1] else None
    return dx, dg, None


def _many(info: Any, in_dims: tuple[int | None, ...], x: Any, weight: Any, terms: str) -> tuple[Any, int]:
    if in_dims[1] is None:
        return torch.ops.hypatia.channel_map(x.movedim(in_dims[0], 0), weight, terms), 0
    return _one_by_one(torch.ops.hypatia.channel_map, info.batch_size, in_dims, (x, weight, terms)), 0


def _many_weight_gradients(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[Any, int]:
    operation = torch.ops.hypatia.channel_map_weight_gradient
    return _one_by_one(operation, info.batch_size, in_dims, values), 0


def _one_by_one(operation: Any, size: int, in_dims: tuple[int | None, ...], values: tuple[Any, ...]) -> Any:
    pairs = list(zip(values, in_dims, strict=True))
    calls = ([value if dim is None else value.select(dim, n) for value, dim in pairs] for n in range(size))
    return torch.stack([operation(*call) for call in calls])


def _register() -> None:
    rows: dict[str, tuple[Any, ...]] = {
        "channel_map": (mixed, _by_einsum, _shape_of, _gradients, _many),
        "channel_map_weight_gradient": (
            weight_gradient,
            _weight_gradient_by_einsum,
            _shape_of_weight,
            _gradients_of_weight_gradient,
            _many_weight_gradients,
        ),
    }
    for name, (ours, by_einsum, shape, gradients, many) in rows.items():
        _LIBRARY.impl(name, ours, "CPU")
        _LIBRARY.impl(name, by_einsum, "CUDA")
        operation = f"hypatia::{name}"
        torch.library.register_fake(operation, shape, lib=_LIBRARY)
        torch.library.register_vmap(operation, many, lib=_LIBRARY)
        torch.library.register_autograd(operation, gradients, setup_context=_keep, lib=_LIBRARY)


_register()
