"""Products with matrices of an algebra, done in its left ideals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import hypatia_core
from hypatia_core.clifford import Algebra
from hypatia_core.ideals import in_ideals
from hypatia_core.signed_sums import SIGNED_SUMS, Sums


@pytest.fixture(autouse=True)
def _sizes_are_known() -> None:
    """Code that Dynamo has seen with other sizes is captured with symbols for them."""
    torch._dynamo.reset()


OPTIONS: dict[str, Any] = {"measure": False, "cache": False, "executor": "aten"}


class Layer(torch.nn.Module):
    """A matrix of signed blocks of weights, as CliffordLayers lays it together, and one product."""

    def __init__(
        self, algebra: Algebra, outs: int, ins: int, *, form: str = "one tensor", bias: bool = True
    ) -> None:
        super().__init__()
        self.form, self.n, self.outs = form, len(algebra), outs
        self.blocks = {
            (k, j): (i, sign)
            for i, row in enumerate(algebra.native.cayley("geometric"))
            for j, (k, sign) in enumerate(row)
            if sign
        }
        shape = (ins, outs) if form == "columns" else (outs, ins)
        weights = torch.randn(self.n, *shape) / (self.n * ins) ** 0.5
        if form == "a tensor each":
            self.weight: Any = torch.nn.ParameterList([torch.nn.Parameter(w.clone()) for w in weights])
        else:
            self.weight = torch.nn.Parameter(weights)
        self.bias = torch.nn.Parameter(torch.randn(self.n * outs)) if bias else None

    def block(self, k: int, j: int) -> Tensor:
        i, sign = self.blocks.get((k, j), (0, 0))
        weight = self.weight[i]
        weight = weight.t() if self.form == "columns" else weight
        return sign * weight if sign else torch.zeros_like(weight)

    def matrix(self) -> Tensor:
        rows = [[self.block(k, j) for j in range(self.n)] for k in range(self.n)]
        if self.form == "channels first":
            stacked = torch.stack([torch.stack(row, -1) for row in rows], 1)
            return stacked.reshape(self.outs * self.n, -1)
        return torch.cat([torch.cat(row, 1) for row in rows])

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "channels first":
            out = torch.nn.functional.linear(x.flatten(1), self.matrix(), self.bias)
            return out.view(-1, self.outs, self.n)
        flat = x.permute(0, 2, 1).reshape(x.shape[0], -1)
        out = torch.nn.functional.linear(flat, self.matrix(), self.bias)
        return out.view(x.shape[0], self.n, -1).permute(0, 2, 1)


FORMS = ["one tensor", "a tensor each", "columns", "channels first"]


def rows_of(report: str) -> int:
    """How many products the report says are done in ideals."""
    lines = [line for line in report.splitlines() if "in left ideals" in line]
    return sum(int(line.split("×")[0]) for line in lines)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signature", [(2, 0, 0), (3, 0, 0), (3, 1, 0), (3, 0, 1)])
def test_the_products_are_the_same(signature: tuple[int, int, int], form: str) -> None:
    torch.manual_seed(0)
    algebra = Algebra(*signature)
    outs, ins = 512 // len(algebra), 768 // len(algebra)
    layer, x = Layer(algebra, outs, ins, form=form), torch.randn(256, ins, len(algebra))
    compiled = torch.compile(layer, backend="hypatia", options=OPTIONS)
    with torch.no_grad():
        wanted = layer.double()(x.double())
        torch.testing.assert_close(compiled(x.double()), wanted, rtol=1e-12, atol=1e-12)
    assert rows_of(str(hypatia_core.report(compiled))) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("of_input", [False, True])
def test_the_gradients_are_the_same(form: str, of_input: bool) -> None:
    torch.manual_seed(0)
    layer = Layer(Algebra(3), 64, 96, form=form).double()
    x = torch.randn(256, 96, 8, dtype=torch.float64, requires_grad=of_input)
    compiled = torch.compile(layer, backend="hypatia", options=OPTIONS)
    wanted_of = [*layer.parameters(), *([x] if of_input else [])]

    def gradients(model: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad((model(x) ** 3).mean(), wanted_of)

    for given, wanted in zip(gradients(compiled), gradients(layer), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-11, atol=1e-13)
    # The product, its gradient of x, and of weights that lie as the blocks do.
    found, wanted_rows = rows_of(str(hypatia_core.report(compiled))), 2 + of_input
    assert found == wanted_rows if form in FORMS[:2] else found >= wanted_rows - 1


def counted(function: Callable[..., Any], *given: Tensor) -> int:
    found = in_ideals(make_fx(function, tracing_mode="fake")(*given), {})
    return 0 if found is None else found[1]


def laid_together(signs: list[list[tuple[int, int]]], weight: Tensor) -> Tensor:
    return torch.cat([torch.cat([s * weight[i] for i, s in row], 1) for row in signs])


#: y = (w₀ + w₁ e₁ + w₂ e₂ + w₁₂ e₁₂) x in Cl(2, 0).
PLANE = [
    [(0, 1), (1, 1), (2, 1), (3, -1)],
    [(1, 1), (0, 1), (3, 1), (2, -1)],
    [(2, 1), (3, -1), (0, 1), (1, 1)],
    [(3, 1), (2, -1), (1, 1), (0, 1)],
]


def product_by(signs: list[list[tuple[int, int]]]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, weight: x @ laid_together(signs, weight).T


def test_what_is_no_algebra_or_too_small_stays() -> None:
    x, weight = torch.randn(512, 512), torch.randn(4, 128, 128)
    assert counted(product_by(PLANE), x, weight) == 1
    # One sign changed; quaternions; one weight somewhere else; blocks that all are different.
    for row, column, block in ((1, 1, (0, -1)), (2, 3, (2, 1))):
        changed = [list(line) for line in PLANE]
        changed[row][column] = block
        assert counted(product_by(changed), x, weight) == 0
    quaternions = [
        [(0, 1), (1, -1), (2, -1), (3, -1)],
        [(1, 1), (0, 1), (3, -1), (2, 1)],
        [(2, 1), (3, 1), (0, 1), (1, -1)],
        [(3, 1), (2, -1), (1, 1), (0, 1)],
    ]
    assert counted(product_by(quaternions), x, weight) == 0
    twice = [[(0, 1), (1, 1)], [(2, 1), (3, 1)]]
    assert counted(product_by(twice), torch.randn(512, 256), weight) == 0
    # Few rows, and few channels.
    assert counted(product_by(PLANE), x[:8], weight) == 0
    assert counted(product_by(PLANE), x[:, :32].contiguous(), weight[:, :8, :8].contiguous()) == 0


def test_a_gradient_that_something_else_is_made_of_stays() -> None:
    x, weight, g = torch.randn(512, 512), torch.randn(4, 128, 128), torch.randn(512, 512)

    def both(x: Tensor, weight: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        matrix = laid_together(PLANE, weight)
        whole = g.T @ x
        parts = [whole[k * 128 : k * 128 + 128, j * 128 : j * 128 + 128] for k in range(4) for j in range(4)]
        sums = [
            sum(s * parts[4 * k + j] for k in range(4) for j, (i, s) in enumerate(PLANE[k]) if i == n)
            for n in range(4)
        ]
        return x @ matrix.T, torch.stack(sums)  # type: ignore[arg-type]

    assert counted(both, x, weight, g) == 2
    # What also goes somewhere else, and what is no gradient of this matrix.
    assert counted(lambda *a: (*both(*a), (a[2].T @ a[0]).abs()), x, weight, g) == 2
    assert (
        counted(lambda x, w, g: (both(x, w, g)[0], (g.T @ x)[:128].reshape(4, 128, 128)), x, weight, g) == 1
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [False, True])
def test_signed_sums(dtype: torch.dtype, constant: bool) -> None:
    sums = Sums(3, 2, 0.5, ((0, 0, 1), (1, 0, -1), (2, 0, 1), (2, 1, -1)))
    matrix = torch.tensor([[0.5, -0.5, 0.5], [0.0, 0.0, -0.5]], dtype=torch.float64)
    line = torch.randn(2, 50, dtype=dtype) if constant else None
    for x in (
        torch.randn(7, 3, 50, dtype=dtype),
        torch.randn(7, 50, 3, dtype=dtype).mT,
        torch.randn(50, 3, 7, dtype=dtype).permute(2, 1, 0),
    ):
        wanted = matrix @ x.double() + (0 if line is None else line.double())
        given = SIGNED_SUMS(x, line, sums.text())
        assert given.dtype is dtype
        torch.testing.assert_close(given.double(), wanted, rtol=0, atol=16 * torch.finfo(dtype).eps)


def test_signed_sums_are_an_operation_of_torch() -> None:
    text = Sums(3, 2, 0.5, ((0, 0, 1), (1, 0, -1), (2, 1, -1))).text()
    x, line = torch.randn(5, 3, 4), torch.randn(2, 4)
    torch.library.opcheck(SIGNED_SUMS, (x, line, text))
    torch.library.opcheck(SIGNED_SUMS, (x, None, text))
    exact = [value.double().requires_grad_() for value in (x, line)]
    assert torch.autograd.gradcheck(lambda x, c: SIGNED_SUMS(x, c, text), exact)
    assert torch.autograd.gradgradcheck(lambda x, c: SIGNED_SUMS(x, c, text), exact)
    many = torch.stack([x, 2 * x])
    lines = torch.stack([line, -line])
    given = torch.vmap(lambda x, c: SIGNED_SUMS(x, c, text))(many, lines)
    pairs = zip(many, lines, strict=True)
    torch.testing.assert_close(given, torch.stack([SIGNED_SUMS(a, c, text) for a, c in pairs]))
    given = torch.vmap(lambda c: SIGNED_SUMS(x, c, text))(lines)
    torch.testing.assert_close(given, torch.stack([SIGNED_SUMS(x, c, text) for c in lines]))
    with pytest.raises(ValueError, match=r"signed_sums: x of shape \(5, 2, 4\)"):
        SIGNED_SUMS(x[:, 1:], None, text)
    with pytest.raises(ValueError, match="signed_sums: a constant"):
        SIGNED_SUMS(x, line[1:], text)
