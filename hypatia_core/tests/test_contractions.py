"""Sums over channels and small tables, found in graphs of matrix products."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from hypatia_core.clifford import Algebra
from hypatia_core.contractions import contracted, with_zeros


def table_of(algebra: Algebra) -> Tensor:
    """e[i, j, k]: the coefficient of blade k in the product of blades i and j."""
    return algebra.cayley().contiguous()


def by_grade(algebra: Algebra) -> Tensor:
    """The maps that keep one grade each."""
    basis = torch.zeros(algebra.dimension + 1, len(algebra), len(algebra))
    for k, grade in enumerate(algebra.native.grades):
        basis[grade, k, k] = 1.0
    return basis


def rewritten(function: Callable[..., Any], *given: Tensor, constants: int) -> tuple[Any, dict[str, int]]:
    """What is found in a function's graph, whose last arguments are constants."""
    graph = make_fx(function, tracing_mode="fake")(*given)
    values = dict(list(enumerate(given))[len(given) - constants :])
    found = contracted(graph, values)
    return (graph, {}) if found is None else found


def mixing(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("oc,bci->boi", weight, x)


def mixing_of_each_place(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("oci,bci->boi", weight, x)


def mixing_of_points(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("nmci,co->nmoi", x, weight)


def by_table(x: Tensor, y: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("bci,ijk,bcj->bck", x, table, y)


def by_table_first(x: Tensor, y: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("ijk,...i,...j->...k", table, x, y)


def by_basis(x: Tensor, weight: Tensor, basis: Tensor) -> Tensor:
    return torch.einsum("oca,aij,...cj->...oi", weight, basis, x)


def by_weighted_table(x: Tensor, y: Tensor, weight: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("bci,cijk,bcj->bck", x, table * weight, y)


def by_weighted_table_in_other_order(x: Tensor, y: Tensor, weight: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("kcji,nmci,nmcj->nmck", weight * table, x, y)


def weighted_gradients(x: Tensor, y: Tensor, weight: Tensor, table: Tensor) -> list[Tensor]:
    x, y, weight = (value.detach().requires_grad_() for value in (x, y, weight))
    out = by_weighted_table(x, y, weight, table)
    return list(torch.autograd.grad((out * out.detach().cos()).sum(), [x, y, weight]))


def gradients(function: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    def step(x: Tensor, y: Tensor, *constants: Tensor) -> list[Tensor]:
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        out = function(x, y, *constants)
        return list(torch.autograd.grad((out * out.detach().cos()).sum(), [x, y]))

    return step


SPACE, PROJECTIVE = Algebra(3), Algebra(3, 0, 1)
CASES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...], int, dict[str, int]]] = {
    "channels": (mixing, (torch.randn(20, 4, 8), torch.randn(5, 4)), 0, {"channel_map": 1}),
    "channels of two axes of rows": (
        mixing_of_points,
        (torch.randn(3, 7, 4, 8), torch.randn(4, 5)),
        0,
        {"channel_map": 1},
    ),
    "channels with weights of each place": (
        mixing_of_each_place,
        (torch.randn(20, 4, 8), torch.randn(5, 4, 8)),
        0,
        {"channel_map": 1},
    ),
    "gradients of channels with weights of each place": (
        gradients(mixing_of_each_place),
        (torch.randn(20, 4, 8), torch.randn(5, 4, 8)),
        0,
        {"channel_map": 2, "channel_map_weight_gradient": 1},
    ),
    "a table": (
        by_table,
        (torch.randn(20, 4, 8), torch.randn(20, 4, 8), table_of(SPACE)),
        1,
        {"bilinear": 1},
    ),
    "a degenerate table": (
        by_table_first,
        (torch.randn(20, 4, 16), torch.randn(20, 4, 16), table_of(PROJECTIVE)),
        1,
        {"bilinear": 1},
    ),
    "a basis": (
        by_basis,
        (torch.randn(20, 4, 16), torch.randn(3, 4, 5), by_grade(PROJECTIVE)),
        1,
        {"channel_map": 1},
    ),
    "a table with weights of each channel": (
        by_weighted_table,
        (torch.randn(20, 4, 8), torch.randn(20, 4, 8), torch.randn(4, 8, 8, 8), table_of(SPACE)),
        1,
        {"weighted_bilinear": 1},
    ),
    "the same, laid out otherwise, over two axes of rows": (
        by_weighted_table_in_other_order,
        (
            torch.randn(3, 5, 4, 8),
            torch.randn(3, 5, 4, 8),
            torch.randn(8, 4, 8, 8),
            table_of(SPACE).permute(2, 1, 0).unsqueeze(1).contiguous(),
        ),
        1,
        {"weighted_bilinear": 1},
    ),
    "gradients of a table with weights": (
        weighted_gradients,
        (torch.randn(20, 4, 8), torch.randn(20, 4, 8), torch.randn(4, 8, 8, 8), table_of(SPACE)),
        1,
        {"weighted_bilinear": 3, "bilinear_weight_gradient": 1},
    ),
    "gradients of channels": (
        gradients(mixing),
        (torch.randn(20, 4, 8), torch.randn(5, 4)),
        0,
        {"channel_map": 2, "channel_map_weight_gradient": 1},
    ),
    "gradients of a table": (
        gradients(by_table_first),
        (torch.randn(20, 4, 16), torch.randn(20, 4, 16), table_of(PROJECTIVE)),
        1,
        {"bilinear": 3},
    ),
    "gradients of a basis": (
        gradients(by_basis),
        (torch.randn(20, 4, 16), torch.randn(3, 4, 5), by_grade(PROJECTIVE)),
        1,
        {"channel_map": 2, "channel_map_weight_gradient": 1},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_sums_are_found_and_are_the_same(case: Any) -> None:
    function, given, constants, wanted = case
    graph, counts = rewritten(function, *given, constants=constants)
    assert counts == wanted
    assert not graph.graph.find_nodes(op="call_function", target=torch.ops.aten.bmm.default)
    torch.testing.assert_close(graph(*given), function(*given), rtol=1e-4, atol=1e-4)


LETTERS = "bcdijk"


@pytest.mark.parametrize("seed", range(40))
def test_any_product_of_two_or_three_is_the_same(seed: int) -> None:
    """Random einsums, some factors constant: found or not, the value stays."""
    draw = random.Random(seed)
    extent = {letter: draw.choice([2, 3, 4, 5]) for letter in LETTERS}
    count = draw.choice([2, 3])
    factors = ["".join(draw.sample(LETTERS, draw.randint(2, 4))) for _ in range(count)]
    known = sorted({letter for factor in factors for letter in factor})
    result = "".join(draw.sample(known, draw.randint(1, len(known))))
    generator = torch.Generator().manual_seed(seed)
    given = [
        torch.randint(-1, 2, [extent[letter] for letter in factor], generator=generator).double()
        for factor in factors
    ]
    spelling = f"{','.join(factors)}->{result}"

    def function(*tensors: Tensor) -> Tensor:
        return torch.einsum(spelling, *tensors)

    for constants in (0, 1):
        graph, _ = rewritten(function, *given, constants=constants)
        torch.testing.assert_close(graph(*given), function(*given))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_zeros_of_a_table_hide_nothing_that_is_not_finite(value: float) -> None:
    table = table_of(PROJECTIVE)
    text, of_gradient = with_zeros(table.double()), with_zeros(table.movedim(1, 2).double())
    for position in range(len(PROJECTIVE)):
        x, y, g = torch.randn(3, 16), torch.randn(3, 16), torch.randn(3, 16)
        x[1, position] = value
        given, wanted = torch.ops.hypatia.bilinear(x, y, text), by_table_first(x, y, table)
        assert torch.equal(given.isfinite(), wanted.isfinite())
        slope = torch.ops.hypatia.bilinear(x, g, of_gradient)
        wanted = torch.einsum("ijk,...i,...k->...j", table, x, g)
        assert torch.equal(slope.isfinite(), wanted.isfinite())


def test_what_is_not_sparse_or_not_narrow_stays() -> None:
    dense = torch.randn(4, 4, 4)
    _, counts = rewritten(by_table_first, torch.randn(9, 4), torch.randn(9, 4), dense, constants=1)
    assert counts == {}
    _, counts = rewritten(mixing, torch.randn(2, 4, 100), torch.randn(4, 4), constants=0)
    assert counts == {}
    _, counts = rewritten(torch.mm, torch.randn(9, 4), torch.randn(4, 3), constants=0)
    assert counts == {}


class Layer(torch.nn.Module):
    """GATr's form: a basis, then a product by its table."""

    basis: Tensor
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", by_grade(PROJECTIVE))
        self.register_buffer("table", table_of(PROJECTIVE))
        self.weight = torch.nn.Parameter(torch.randn(6, 6, 5) / 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("yxa,aij,...xj->...yi", self.weight, self.basis, x)
        return torch.einsum("ijk,...i,...j->...k", self.table, x, y)


def test_a_layer_trains_by_them_and_keeps_its_tables_watched() -> None:
    torch.manual_seed(0)
    layer, x = Layer(), torch.randn(40, 6, 16)
    compiled = torch.compile(
        layer, backend="hypatia", options={"measure": False, "cache": False, "executor": "aten"}
    )

    def gradient(model: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.autograd.grad(model(x).square().mean(), layer.weight)[0]

    torch.testing.assert_close(gradient(compiled), gradient(layer), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x), rtol=1e-4, atol=1e-4)
        layer.basis[2] *= 3.0
        layer.table[0] *= 2.0
        torch.testing.assert_close(compiled(x), layer(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient(compiled), gradient(layer), rtol=1e-4, atol=1e-5)
    import hypatia_core

    text = str(hypatia_core.report(compiled))
    assert "channel_map: the engine's" in text and "channel_map_weight_gradient: the engine's" in text
