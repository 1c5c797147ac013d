"""Meet and join of batches of blades as subspaces.

Directions are told apart as the engine's `subspace.rs` does, by lengths and angles of the coefficients
whatever the metric is. Which grade a join has depends on how much the blades share: it is read off the values
where they are known, or given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import check, kernel, plan

if TYPE_CHECKING:
    from hypatia_core.clifford.multivector import Multivector


def _grade(a: Multivector) -> int:
    if len(a.grades) != 1:
        raise HypatiaError(f"meet and join take blades of one grade, but grades {list(a.grades)} are stored")
    return a.grades[0]


def _projector(a: Multivector) -> Tensor:
    """The matrices `(..., n, n)` that project vectors on the subspaces of blades.

    x ^ a is as long as the part of x across a, times the length of a.
    """
    n, size = a.algebra.dimension, a.values.square().sum(-1)[..., None, None]
    basis = torch.eye(n, dtype=a.dtype, device=a.device)
    form = plan.product(a.algebra.signature, "outer", (1,), a.grades)
    across = kernel.bilinear(form, basis, a.values.unsqueeze(-2)) if form.terms else basis.new_zeros(n, 1)
    projector = basis - across @ across.mT / size
    error = (projector @ projector - projector).abs().amax((-2, -1))
    check.refuse_if(
        ~(error <= torch.finfo(a.dtype).eps ** 0.5), "meet and join take blades, and not all of these are"
    )
    return projector


def _shared(a: Multivector, b: Multivector, across: Tensor) -> int:
    """How many directions all pairs share, by the sines of the angles between them."""
    most = min(_grade(b), a.algebra.dimension - _grade(a))
    if not check.are_known(across):
        return _grade(b) - most
    # As in `subspace.rs` where the coefficients are as exact as there.
    independent = max(1e-9, torch.finfo(across.dtype).eps ** 0.6)
    ranks = (torch.linalg.svdvals(across.detach()) > independent).sum(-1).unique().tolist()
    if len(ranks) > 1:
        grades = [_grade(a) + int(rank) for rank in ranks]
        raise HypatiaError(f"the batch has joins of grades {grades}: say which by `grade`, or divide it")
    return _grade(b) - int(ranks[0]) if ranks else _grade(b) - most


def join(a: Multivector, b: Multivector, grade: int | None) -> Multivector:
    """See `Multivector.join`."""
    n, dtype = a.algebra.dimension, torch.promote_types(a.dtype, b.dtype)
    a, b = a.to(dtype), b.to(dtype)
    least, most = max(_grade(a), _grade(b)), min(_grade(a) + _grade(b), n)
    if grade is not None and not least <= grade <= most:
        raise HypatiaError(
            f"blades of grades {_grade(a)} and {_grade(b)} of {a.algebra!r} have joins of grades "
            f"{least} to {most}, not {grade}"
        )
    second = _projector(b)
    across = second - _projector(a) @ second
    shared = _shared(a, b, across) if grade is None else _grade(a) + _grade(b) - grade
    if shared == 0:
        return a ^ b
    found = a.map(lambda values: torch.nn.functional.normalize(values, dim=-1))
    for _ in range(_grade(b) - shared):
        # Gram and Schmidt's, the longest of what is left first.
        lengths = across.square().sum(-2)
        longest = lengths.argmax(-1)[..., None, None].expand(*lengths.shape[:-1], n, 1)
        direction = torch.nn.functional.normalize(across.gather(-1, longest).squeeze(-1), dim=-1)
        found = found ^ a.algebra.multivector(direction, (1,))
        column = direction.unsqueeze(-1)
        across = across - column @ (column.mT @ across)
    batch = kernel.broadcast(a.shape, b.shape)
    return found.map(lambda values: values.expand(*batch, values.shape[-1]))


def meet(a: Multivector, b: Multivector, grade: int | None) -> Multivector:
    """See `Multivector.meet`."""
    return join(a.dual(), b.dual(), None if grade is None else a.algebra.dimension - grade).undual()
