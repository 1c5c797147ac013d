"""A plan applied to tensors, in the form that costs least.

Forms of a product: `matrix`, where one operand has no batch of its own: its matrix once, then one matrix
product over the other's batch; `sparse`, the engine's operation (`bilinear.py`), on the processor; `outer`,
the products of all pairs times the structure constants, which is few launches for small batches; `unrolled`,
one multiply-add per term, made of torch's operations alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from hypatia_core import channel_map, compat
from hypatia_core.clifford import plan as plans
from hypatia_core.clifford.plan import Plan, SandwichPlan

# What one eager kernel launch costs, in elements read or written in the same time.
LAUNCH = 4000


def _plain(*tensors: Tensor) -> bool:
    """Whether cached constants may be used: eager floating tensors that are not a tracer's."""
    if torch.compiler.is_compiling():
        return False
    known = (Tensor, torch.nn.Parameter)
    return all(type(t) in known and (t.is_floating_point() or t.is_complex()) for t in tensors)


def _sparse(terms: int, count: int, *tensors: Tensor) -> bool:
    """Whether the engine's operation takes these and is worth its call, in eager code and compiled."""
    dtype = tensors[0].dtype
    if dtype not in (torch.float32, torch.float64) or any(t.dtype != dtype for t in tensors):
        return False
    if any(t.device.type != "cpu" for t in tensors):
        return False
    if torch.compiler.is_compiling():
        return bool(count * terms >= LAUNCH)
    # It has gradients, but no forward-mode ones and no rule for `vmap`.
    return count * terms >= LAUNCH and not compat.is_transformed(*tensors)


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The common shape of batches."""
    return tuple(torch.broadcast_shapes(*shapes))


def repacked(runs: tuple[plans.Run, ...], *operands: Tensor) -> Tensor:
    """Coefficients laid together of runs of the operands' own; a view where they are one run of one."""
    if len(operands) > 1:
        dtype = torch.promote_types(operands[0].dtype, operands[1].dtype)
        batch = broadcast(operands[0].shape[:-1], operands[1].shape[:-1])
        operands = tuple(values.to(dtype).expand(*batch, values.shape[-1]) for values in operands)
    first = operands[0]
    parts = [
        first.new_zeros((*first.shape[:-1], count))
        if operand is None
        else operands[operand].narrow(-1, start, count)
        for operand, start, count in runs
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _batch(left: torch.Size, right: torch.Size) -> int:
    return math.prod(broadcast(left[:-1], right[:-1]))


def bilinear(plan: Plan, left: Tensor, right: Tensor) -> Tensor:
    """The product of `(..., l)` and `(..., r)` as `(..., plan.size)`, batches broadcast."""
    dtype = torch.promote_types(left.dtype, right.dtype)
    left, right = left.to(dtype), right.to(dtype)
    if not plan.terms:
        shape = broadcast(left.shape[:-1], right.shape[:-1])
        return left.new_zeros((*shape, plan.size))
    if _plain(left, right):
        table = plans.product_tensor(plan, left.shape[-1], right.shape[-1], dtype, left.device)
        count, (lefts, rights) = _batch(left.shape, right.shape), table.shape[:2]
        if left.dim() == 1 and count > 1:
            return right @ (left @ table.flatten(1)).view(rights, plan.size)
        if right.dim() == 1 and count > 1:
            return left @ torch.einsum("lrs,r->ls", table, right)
        if _sparse(len(plan.terms), count, left, right):
            return cast(Tensor, torch.ops.hypatia.bilinear(left, right, plan.text))
        dense = count * lefts * rights * 3 + 3 * LAUNCH
        if dense < len(plan.terms) * (3 * count + LAUNCH):
            pairs = (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2)
            return pairs @ table.flatten(0, 1)
    elif _sparse(len(plan.terms), _batch(left.shape, right.shape), left, right):
        return cast(Tensor, torch.ops.hypatia.bilinear(left, right, plan.text))
    return unrolled(plan, left, right)


def unrolled(plan: Plan, left: Tensor, right: Tensor) -> Tensor:
    """The product term by term."""
    lefts, rights = left.unbind(-1), right.unbind(-1)
    sums: list[Tensor | None] = [None] * plan.size
    for result, i, j, factor in plan.terms:
        so_far = sums[result]
        if so_far is None:
            one = lefts[i] * rights[j]
            sums[result] = one if factor == 1 else one * factor
        else:
            sums[result] = torch.addcmul(so_far, lefts[i], rights[j], value=factor)
    missing = torch.zeros_like(next(s for s in sums if s is not None))
    return torch.stack([missing if s is None else s for s in sums], -1)


def weighted(
    plan: Plan, path: tuple[int, ...], text: str, weight: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    """The product of `(..., channels, l)` and `(..., channels, r)`, each term times its path's weight.

    The weights have shape `(channels, paths)`; the text is the plan's with its paths.
    """
    if _sparse(len(plan.terms), _batch(left.shape, right.shape), left, right, weight):
        return cast(Tensor, torch.ops.hypatia.weighted_bilinear(left, right, weight, text))
    if _plain(weight, left, right) and weight.dtype == left.dtype == right.dtype:
        (channels, paths), i, j = weight.shape, left.shape[-1], right.shape[-1]
        table = plans.path_tensor(plan, path, paths, i, j, weight.dtype, weight.device)
        constants = (weight @ table).reshape(channels, i, j * plan.size)
        matrices = torch.einsum("...ci,cim->...cm", left, constants)
        matrices = matrices.reshape(*left.shape[:-1], j, plan.size)
        # Not a batched matrix product: many tiny ones cost far more than one pass over the memory.
        return (right.unsqueeze(-1) * matrices).sum(-2)
    lefts, rights, weights = left.unbind(-1), right.unbind(-1), weight.unbind(-1)
    sums: list[Tensor | None] = [None] * plan.size
    # Terms of one path and result share its weight: sum them first.
    for result in range(plan.size):
        by_path: dict[int, Tensor] = {}
        for (k, i, j, factor), p in zip(plan.terms, path, strict=True):
            if k == result:
                one = lefts[i] * rights[j]
                so_far = by_path.get(p)
                signed = one if factor == 1 else -one
                by_path[p] = signed if so_far is None else so_far + signed
        for p, part in by_path.items():
            so_far = sums[result]
            sums[result] = weights[p] * part if so_far is None else torch.addcmul(so_far, weights[p], part)
    missing = torch.zeros_like(next(s for s in sums if s is not None))
    return torch.stack([missing if s is None else s for s in sums], -1)


def mixed(weight_of_each: tuple[int, ...], x: Tensor, weight: Tensor) -> Tensor:
    """Channels mixed: `(..., in, places)` by `(out, in, weights)`, each place by the weight of its number."""
    outs, ins, weights = weight.shape
    few = max(outs, ins) <= channel_map.MOST_CHANNELS
    if few and _sparse(len(weight_of_each) * ins * outs, x[..., 0, 0].numel(), x, weight):
        return cast(Tensor, torch.ops.hypatia.channel_map(x, weight, _graded(weight_of_each, weights)))
    by_place = torch.stack([weight[..., a] for a in weight_of_each], -1)
    return torch.einsum("...ik,oik->...ok", x, by_place)


@plans.constant
def _graded(weight_of_each: tuple[int, ...], weights: int) -> str:
    return channel_map.graded(weight_of_each, weights)


def sandwich_matrix(plan: SandwichPlan, versor: Tensor) -> Tensor:
    """The matrix `(..., inputs, size)` of x -> a x ~a, to be multiplied by x from the left."""
    if _plain(versor):
        first, second, sums = plans.sandwich_tensors(plan, versor.dtype, versor.device)
        pairs = versor.index_select(-1, first) * versor.index_select(-1, second)
        return (pairs @ sums).reshape(*versor.shape[:-1], plan.inputs, plan.size)
    parts = versor.unbind(-1)
    zero = torch.zeros_like(parts[0])
    entries: list[Tensor] = [zero] * (plan.inputs * plan.size)
    for result, x, i, j, factor in plan.terms:
        k = x * plan.size + result
        entries[k] = entries[k] + parts[i] * parts[j] * factor
    return torch.stack(entries, -1).reshape(*versor.shape[:-1], plan.inputs, plan.size)


def matrix_is_cheaper(plan: SandwichPlan, stages: tuple[Plan, Plan], versor: Tensor, x: Tensor) -> bool:
    """Whether the matrix once and then a product costs fewer multiplications than two staged products."""
    count, versors = _batch(versor.shape, x.shape), math.prod(versor.shape[:-1])
    matrix = 2 * len(plan.terms) * versors + plan.inputs * plan.size * count
    staged = sum(len(stage.terms) for stage in stages) * count
    return matrix < staged


def apply_matrix(matrix: Tensor, x: Tensor) -> Tensor:
    """x times matrices `(..., inputs, size)`, batches broadcast; one matrix product where it can be."""
    if matrix.dim() == x.dim() + 1 and matrix.shape[-3] == 1 and matrix.dim() == 3:
        matrix = matrix.squeeze(-3)
    if matrix.dim() == 2:
        if _sparse(matrix.numel(), x[..., 0].numel(), x, matrix):
            return cast(Tensor, torch.ops.hypatia.rows_by_matrix(x, matrix))
        return x @ matrix
    if matrix.dim() == x.dim() + 1 and matrix.shape[-3] == 1:
        return x @ matrix.squeeze(-3)
    return (x.unsqueeze(-1) * matrix).sum(-2)
