"""Sums and differences of places as one operation of torch: a change of basis whose matrix holds 1, −1 and 0.

`torch.ops.hypatia.signed_sums(x, constant, terms)` is r[b, k, l] = scale · Σ ±x[b, j, l] (+ constant[k, l])
for x of shape (rows, places, length), in any order in memory. The terms are written as text: places of x,
places of the result and the scale, then `j k ±1` for each term, all apart by commas. It has gradients of any
order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hypatia_core._hypatia_core import SignedSums
from hypatia_core.bilinear import is_ours

_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
_LIBRARY.define(
    "signed_sums(Tensor x, Tensor? constant, str terms) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,)
)


class Sums(NamedTuple):
    """Terms (place of x, place of the result, ±1) among so many places, and the factor of all."""

    places: int
    results: int
    scale: float
    terms: tuple[tuple[int, int, int], ...]

    def text(self) -> str:
        """As the operation takes it.

        >>> Sums(2, 1, 0.5, ((0, 0, 1), (1, 0, -1))).text()
        '2 1 0.5,0 0 1,1 0 -1'
        """
        head = f"{self.places} {self.results} {self.scale!r}"
        return ",".join([head, *(" ".join(map(str, term)) for term in self.terms)])

    def adjoint(self) -> Sums:
        """The sums that give the gradient of x, of the result's.

        >>> Sums(2, 1, 0.5, ((0, 0, 1), (1, 0, -1))).adjoint().text()
        '1 2 0.5,0 0 1,0 1 -1'
        """
        return Sums(self.results, self.places, self.scale, tuple((k, j, sign) for j, k, sign in self.terms))


@functools.lru_cache(maxsize=1024)
def parsed(text: str) -> Sums:
    """The sums that a text says.

    >>> parsed("2 1 0.5,0 0 1").scale
    0.5
    """
    head, *rows = text.split(",")
    places, results, scale = head.split()
    terms: Iterable[list[str]] = (row.split() for row in rows)
    found = tuple((int(j), int(k), int(sign)) for j, k, sign in terms)
    return Sums(int(places), int(results), float(scale), found)


@functools.lru_cache(maxsize=1024)
def _adjoint(text: str) -> str:
    return parsed(text).adjoint().text()


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> SignedSums:
    return SignedSums(*parsed(text))


@functools.lru_cache(maxsize=256)
def _dense(text: str) -> Tensor:
    places, results, scale, terms = parsed(text)
    matrix = torch.zeros(results, places, dtype=torch.float64)
    for j, k, sign in terms:
        matrix[k, j] += scale * sign
    return matrix


def _check(x: Tensor, constant: Tensor | None, terms: Sums) -> None:
    if x.dim() != 3 or x.shape[1] != terms.places:
        raise ValueError(
            f"signed_sums: x of shape {tuple(x.shape)} where (rows, {terms.places}, length) is wanted"
        )
    if constant is not None and constant.shape != (terms.results, x.shape[2]):
        raise ValueError(
            f"signed_sums: a constant of shape {tuple(constant.shape)} where "
            f"{(terms.results, x.shape[2])} is wanted"
        )


def summed(x: Tensor, constant: Tensor | None, terms: str) -> Tensor:
    """`torch.ops.hypatia.signed_sums` past the dispatcher: the engine's code on x as it lies in memory."""
    table = parsed(terms)
    _check(x, constant, table)
    if not is_ours(x) or not (constant is None or (is_ours(constant) and constant.dtype is x.dtype)):
        return _by_matrix(x, constant, terms)
    rows, places, length = x.shape
    result = x.new_empty((rows, table.results, length))
    constant = None if constant is None else constant.contiguous()
    _compiled(terms).run(
        x.dtype is torch.float64,
        x.data_ptr(),
        (rows, places, length),
        x.stride(),
        0 if constant is None else constant.data_ptr(),
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result


def _by_matrix(x: Tensor, constant: Tensor | None, terms: str) -> Tensor:
    _check(x, constant, parsed(terms))
    result = torch.matmul(_dense(terms).to(x), x)
    return result if constant is None else result + constant


def _shape_of(x: Tensor, constant: Tensor | None, terms: str) -> Any:
    _check(x, constant, parsed(terms))
    return x.new_empty((x.shape[0], parsed(terms).results, x.shape[2]))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.terms = inputs[2]


def _gradients(context: Any, g: Tensor) -> tuple[Any, ...]:
    needs = context.needs_input_grad
    dx = torch.ops.hypatia.signed_sums(g, None, _adjoint(context.terms)) if needs[0] else None
    return dx, g.sum(0) if needs[1] else None, None


def _many(info: Any, in_dims: tuple[int | None, ...], x: Any, constant: Any, terms: str) -> tuple[Any, int]:
    operation = torch.ops.hypatia.signed_sums
    x = x.unsqueeze(0).expand(info.batch_size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
    whole = operation(x.flatten(0, 1), None if in_dims[1] is not None else constant, terms)
    whole = whole.unflatten(0, x.shape[:2])
    if in_dims[1] is not None:
        whole = whole + constant.movedim(in_dims[1], 0).unsqueeze(1)
    return whole, 0


_LIBRARY.impl("signed_sums", summed, "CPU")
_LIBRARY.impl("signed_sums", _by_matrix, "CUDA")
torch.library.register_fake("hypatia::signed_sums", _shape_of, lib=_LIBRARY)
torch.library.register_vmap("hypatia::signed_sums", _many, lib=_LIBRARY)
torch.library.register_autograd("hypatia::signed_sums", _gradients, setup_context=_keep, lib=_LIBRARY)

SIGNED_SUMS: Any = torch.ops.hypatia.signed_sums.default
