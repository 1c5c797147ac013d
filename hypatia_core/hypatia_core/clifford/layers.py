"""Layers over multivector channels: `(..., channels)` batches of multivectors in, the same out.

A layer takes a `Multivector`, or a tensor `(..., channels, 2^n)` of all blades, and returns what it was
given. All but `CliffordLinear(weights="multivectors")` commute with every versor of the algebra (rotations,
reflections, motors, Lorentz transformations); `equivariance_error` measures it. After Ruhe, Brandstetter and
Forré, "Clifford Group Equivariant Neural Networks" (2023), and Brandstetter et al., "Clifford Neural Layers
for PDE Modeling" (2023).
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.clifford import kernel, plan
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.multivector import Multivector

X = TypeVar("X", Multivector, Tensor)


class _Layer(nn.Module):
    """What the layers share: the algebra, and both kinds of input."""

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise HypatiaError(f"a layer needs at least one channel, not {channels}")
        self.algebra = algebra
        self.channels = channels

    def _multivector(self, x: Multivector | Tensor) -> Multivector:
        value = x if isinstance(x, Multivector) else Multivector(self.algebra, x)
        if value.algebra.signature != self.algebra.signature:
            raise HypatiaError(
                f"{type(self).__name__} of {self.algebra!r} got multivectors of {value.algebra!r}"
            )
        if not value.shape or value.shape[-1] != self.channels:
            raise HypatiaError(
                f"{type(self).__name__} expects {self.channels} channels in the last extent before the "
                f"blades, but the batch has shape {tuple(value.shape)}"
            )
        return value

    def _like(self, x: X, out: Multivector) -> X:
        return out if isinstance(x, Multivector) else out.full()

    def extra_repr(self) -> str:
        return f"{self.algebra!r}, channels={self.channels}"


class CliffordLinear(_Layer):
    """Mixes channels linearly.

    With `weights="grades"`, one real weight for each pair of channels and grade, and a bias on the scalars:
    the most general linear map that commutes with all versors. With `weights="multivectors"`, one multivector
    for each pair of channels, multiplied from the left, and a multivector as bias: more weights, not
    equivariant.

    Args:
        algebra: The algebra.
        in_channels: Channels in.
        out_channels: Channels out.
        bias: Whether to add a bias.
        weights: What a weight is, `"grades"` or `"multivectors"`.

    Shape:
        `(..., in_channels)` multivectors to `(..., out_channels)`.

    Example:
        >>> from hypatia_core.clifford import Algebra, CliffordLinear
        >>> layer = CliffordLinear(Algebra(3), 2, 4)
        >>> layer(torch.randn(10, 2, 8)).shape
        torch.Size([10, 4, 8])
    """

    def __init__(
        self,
        algebra: Algebra,
        in_channels: int,
        out_channels: int,
        bias: bool = True,
        weights: Literal["grades", "multivectors"] = "grades",
    ) -> None:
        super().__init__(algebra, in_channels)
        if weights not in ("grades", "multivectors"):
            raise HypatiaError(f"unknown weights {weights!r}. Accepted: 'grades', 'multivectors'.")
        if out_channels < 1:
            raise HypatiaError(f"a layer needs at least one channel, not {out_channels}")
        self.out_channels = out_channels
        self.weights = weights
        count = algebra.dimension + 1 if weights == "grades" else len(algebra)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, count))
        size = 1 if weights == "grades" else len(algebra)
        self.bias = nn.Parameter(torch.empty(out_channels, size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: uniform, with the variance of the input kept; the bias zero."""
        terms = 1 if self.weights == "grades" else len(self.algebra)
        bound = math.sqrt(3 / (self.channels * terms))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: X) -> X:
        """Mixes the channels."""
        value = self._multivector(x)
        out = self._by_grade(value) if self.weights == "grades" else self._by_product(value)
        if self.bias is not None:
            grades = (0,) if self.weights == "grades" else self.algebra.all_grades
            out = out + Multivector(self.algebra, self.bias, grades)
        return self._like(x, out)

    def _by_grade(self, x: Multivector) -> Multivector:
        grade = plan.grade_of_each(self.algebra.signature, x.grades)
        out = kernel.mixed(grade, x.values, self.weight)
        return Multivector(self.algebra, out, x.grades)

    def _by_product(self, x: Multivector) -> Multivector:
        # The weights do not depend on the batch: their matrix once, then one matrix product.
        form = plan.product(self.algebra.signature, "geometric", self.algebra.all_grades, x.grades)
        blades = torch.eye(x.values.shape[-1], dtype=x.dtype, device=x.device)
        matrix = kernel.bilinear(form, self.weight.unsqueeze(-2), blades)
        flat = matrix.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
        out = (x.values.flatten(-2) @ flat).reshape(*x.shape[:-1], self.out_channels, form.size)
        return Multivector(self.algebra, out, form.grades)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{super().extra_repr()}, out_channels={self.out_channels}, weights={self.weights!r}"


class GeometricProduct(_Layer):
    """The geometric product of two inputs, channel by channel, each part of it with a weight of its own.

    The part of grade t of the product of grades r and s is a path r, s -> t; every channel has one weight for
    each path, so the layer commutes with all versors. Unweighted it is the geometric product.

    Args:
        algebra: The algebra.
        channels: Channels of both inputs.
        weighted: Whether paths have weights.

    Shape:
        Twice `(..., channels)` to `(..., channels)`.

    Example:
        >>> from hypatia_core.clifford import Algebra, GeometricProduct
        >>> layer = GeometricProduct(Algebra(2), 3)
        >>> x = torch.randn(5, 3, 4)
        >>> layer(x, x).shape
        torch.Size([5, 3, 4])
    """

    def __init__(self, algebra: Algebra, channels: int, weighted: bool = True) -> None:
        super().__init__(algebra, channels)
        paths = plan.paths(algebra.signature)
        self.weight = nn.Parameter(torch.empty(channels, len(paths))) if weighted else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights, normal, with variance 1 over the number of terms of a result."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=1 / math.sqrt(len(self.algebra)))

    def forward(self, x: X, y: X) -> X:
        """The weighted product."""
        left, right = self._multivector(x), self._multivector(y)
        form = plan.product(self.algebra.signature, "geometric", left.grades, right.grades)
        if self.weight is None:
            return self._like(x, left * right)
        path = plan.path_of_each(self.algebra.signature, left.grades, right.grades)
        text = plan.weighted_text(self.algebra.signature, left.grades, right.grades)
        out = kernel.weighted(form, path, text, self.weight, left.values, right.values)
        return self._like(x, Multivector(self.algebra, out, form.grades))


class MVLayerNorm(_Layer):
    """Divides by the root of the mean squared size over the channels, then scales every channel by a weight.

    The squared size of a multivector is the sum over its grades of |<a_g ~a_g>|, which versors keep.

    Args:
        algebra: The algebra.
        channels: Channels.
        eps: Added to the mean squared size.

    Shape:
        `(..., channels)` to `(..., channels)`.

    Example:
        >>> from hypatia_core.clifford import Algebra, MVLayerNorm
        >>> MVLayerNorm(Algebra(2), 1)(torch.tensor([[3.0, 0.0, 4.0, 0.0]]))
        tensor([[0.6000, 0.0000, 0.8000, 0.0000]], grad_fn=<MulBackward0>)
    """

    def __init__(self, algebra: Algebra, channels: int, eps: float = 1e-6) -> None:
        super().__init__(algebra, channels)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: X) -> X:
        """Normalises."""
        value = self._multivector(x)
        size = sum(squared.abs() for squared in grade_squares(value))
        scale = torch.rsqrt(torch.as_tensor(size).mean(-1, keepdim=True) + self.eps)
        return self._like(x, value * (scale * self.weight))


class MVActivation(_Layer):
    """Gates every grade by a sigmoid of its own invariant: the scalar itself, elsewhere <a_g ~a_g>.

    On scalars with unit weights this is SiLU.

    Args:
        algebra: The algebra.
        channels: Channels.

    Shape:
        `(..., channels)` to `(..., channels)`.

    Example:
        >>> from hypatia_core.clifford import Algebra, MVActivation
        >>> MVActivation(Algebra(2), 3)(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__(algebra, channels)
        self.weight = nn.Parameter(torch.ones(channels, algebra.dimension + 1))
        self.bias = nn.Parameter(torch.zeros(channels, algebra.dimension + 1))

    def forward(self, x: X) -> X:
        """Gates."""
        value = self._multivector(x)
        values, grades, signature = value.values, value.grades, self.algebra.signature
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if grades != self.algebra.all_grades:
            weight, bias = weight[:, list(grades)], bias[:, list(grades)]
        if torch.compiler.is_compiling():
            # Sums of a few terms, which a compiler fuses with all that follows.
            gates = torch.sigmoid(weight * torch.stack(_invariants(value), -1) + bias).unbind(-1)
            number = {g: n for n, g in enumerate(grades)}
            each = [gates[number[g]] for g in plan.grade_of_each(signature, grades)]
            return self._like(x, Multivector(self.algebra, values * torch.stack(each, -1), grades))
        sums, index = plan.invariant_tensors(signature, grades, values.dtype, values.device)
        invariants = kernel.apply_matrix(sums, values * values)
        if 0 in grades:
            invariants = torch.cat([values[..., :1], invariants[..., 1:]], -1)
        gate = torch.sigmoid(torch.addcmul(bias, weight, invariants)).index_select(-1, index)
        return self._like(x, Multivector(self.algebra, values * gate, grades))


def _invariants(x: Multivector) -> list[Tensor]:
    """What each grade is gated by, from sums of its coefficients' squares."""
    signature, parts = x.algebra.signature, x.values.unbind(-1)
    sums: dict[int, Tensor] = {g: torch.zeros_like(parts[0]) for g in x.grades}
    of_each = plan.grade_of_each(signature, x.grades), plan.square_of_each(signature, x.grades)
    for part, g, square in zip(parts, *of_each, strict=True):
        sums[g] = part if g == 0 else sums[g] + square * part * part
    return [sums[g] for g in x.grades]


def grade_squares(x: Multivector) -> list[Tensor]:
    """<a_g ~a_g> for every stored grade, in order."""
    return [x.grade(g).norm_squared() for g in x.grades]
