"""Products of normal equations as one operation of torch: `aᵀ(α·a x + β·b)`, which reads the matrix once.

Each of its two products alone waits for memory, so that together they take half as long. Gradients of least
squares, steps of conjugate gradients and of iterative solvers are such products (Golub and Van Loan, Matrix
Computations, 4th edition, section 11.3.9).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hypatia_core._hypatia_core import NORMAL_PRODUCT_COLUMNS, normal_product
from hypatia_core.bilinear import is_ours

#: Columns of x at most: of more, a library's products no longer wait for memory.
MOST_COLUMNS = NORMAL_PRODUCT_COLUMNS

#: The operation's declaration; kept alive as long as the module.
_LIBRARY = torch.library.Library("hypatia", "FRAGMENT")
_LIBRARY.define(
    "normal_product(Tensor a, Tensor x, Tensor? b, float of_product, float of_b) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def of_matrices(a: Tensor, x: Tensor, b: Tensor | None, of_product: float, of_b: float) -> Tensor:
    """`torch.ops.hypatia.normal_product` past the dispatcher: a of m × n, x of n × k, b of m × k.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    m, n = a.shape if a.dim() == 2 else (-1, -1)
    k = x.shape[-1] if x.dim() == 2 else -1
    if x.shape != (n, k) or (b is not None and b.shape != (m, k)):
        shapes = ", ".join(str(tuple(t.shape)) for t in (a, x, b) if t is not None)
        raise ValueError(f"a normal product of shapes {shapes}: (m, n), (n, k) and (m, k) are accepted")
    given = (a, x) if b is None else (a, x, b)
    if not is_ours(*given) or k > MOST_COLUMNS:
        return _plain(a, x, b, of_product, of_b)
    a, x = a.contiguous(), x.contiguous()
    b = None if b is None else b.contiguous()
    result = x.new_empty((n, k))
    normal_product(
        x.dtype == torch.float64,
        a.data_ptr(),
        (m, n),
        x.data_ptr(),
        k,
        None if b is None else b.data_ptr(),
        (of_product, of_b),
        result.data_ptr(),
        torch.get_num_threads(),
    )
    return result


def _plain(a: Tensor, x: Tensor, b: Tensor | None, of_product: float, of_b: float) -> Tensor:
    return a.mT @ _between(a, x, b, of_product, of_b)


def _between(a: Tensor, x: Tensor, b: Tensor | None, of_product: float, of_b: float) -> Tensor:
    product = (a @ x) * of_product
    return product if b is None else product + b * of_b


def _shape_of(a: Tensor, x: Tensor, b: Tensor | None, of_product: float, of_b: float) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.of_product, ctx.of_b = inputs
    ctx.save_for_backward(*tensors)


def _gradients(context: Any, g: Tensor) -> tuple[Any, ...]:
    a, x, b = context.saved_tensors
    of_product, of_b, needs = context.of_product, context.of_b, context.needs_input_grad
    da = dx = db = None
    if needs[0]:
        da = _between(a, x, b, of_product, of_b) @ g.mT + (a @ g) @ (of_product * x).mT
    if needs[1]:
        dx = torch.ops.hypatia.normal_product(a, g, None, of_product, 0.0)
    if needs[2]:
        db = of_b * (a @ g)
    return da, dx, db, None, None


def _many(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[Tensor, int]:
    tensors = [v if dim is None else v.movedim(dim, 0) for v, dim in zip(values[:3], in_dims, strict=False)]
    return _plain(*tensors, *values[3:]), 0


_LIBRARY.impl("normal_product", of_matrices, "CPU")
_LIBRARY.impl("normal_product", _plain, "CUDA")
torch.library.register_fake("hypatia::normal_product", _shape_of, lib=_LIBRARY)
torch.library.register_vmap("hypatia::normal_product", _many, lib=_LIBRARY)
torch.library.register_autograd("hypatia::normal_product", _gradients, setup_context=_keep, lib=_LIBRARY)

NORMAL_PRODUCT: Any = torch.ops.hypatia.normal_product.default
