"""Structure that weights have by their values: used while they have it, and not a call longer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import hypatia_core
from agreement import assert_agrees, hypatia
from hypatia_core.weight_structure import Structure

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
N = 512


def matrix(structure: Structure | None, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    drawn: torch.Tensor = torch.randn(N, N, dtype=dtype) / N**0.5
    made: dict[Structure | None, torch.Tensor] = {
        None: drawn,
        Structure.ZERO: torch.zeros(N, N, dtype=dtype),
        Structure.IDENTITY: torch.eye(N, dtype=dtype),
        Structure.DIAGONAL: drawn.diagonal().diag(),
        Structure.LOWER: drawn.tril(),
        Structure.UPPER: drawn.triu(),
        Structure.SYMMETRIC: drawn + drawn.T,
    }
    return made[structure]


class Product(nn.Module):
    """A weight from the left, from the right, or as a layer's."""

    def __init__(self, weight: torch.Tensor, form: str = "left") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.form = form

    def forward(self, x: Any) -> Any:
        match self.form:
            case "left":
                return self.weight @ x
            case "right":
                return x @ self.weight
            case "both":
                return x @ self.weight + x @ self.weight.T
        return F.linear(x, self.weight)


def graph_of(compiled: Any) -> Any:
    (graph,) = hypatia_core.report(compiled).graphs
    return graph


@pytest.mark.parametrize("structure", [None, *Structure])
@DTYPES
def test_a_matrix_is_known_by_its_values(structure: Structure | None, dtype: torch.dtype) -> None:
    given = matrix(structure, dtype)
    assert Structure.of(given) is structure
    if structure not in (None, Structure.ZERO):
        given[3, 7] = float("nan")
        assert Structure.of(given) is None
    if structure in (Structure.LOWER, Structure.DIAGONAL, Structure.IDENTITY):
        given = matrix(structure, dtype)
        given[N - 2, N - 1] = 1e-30
        assert Structure.of(given) not in (Structure.LOWER, Structure.DIAGONAL, Structure.IDENTITY)


def test_matrices_that_are_not_square() -> None:
    assert Structure.of(torch.zeros(3, 5)) is Structure.ZERO
    assert Structure.of(torch.ones(3, 5).tril()) is None
    assert Structure.of(torch.zeros(1, 5)) is None


@DTYPES
@pytest.mark.parametrize("form", ["left", "right", "layer"])
@pytest.mark.parametrize("structure", [s for s in Structure if s is not Structure.SYMMETRIC])
def test_structure_is_used(structure: Structure, form: str, dtype: torch.dtype) -> None:
    model = Product(matrix(structure, dtype), form)
    with torch.no_grad():
        compiled = assert_agrees(model, torch.randn(N, N, dtype=dtype), measure=False, numerics="reals")
        graph = graph_of(compiled)
        assert graph.rewritten, (graph.rules, graph.refusals)


def test_a_symmetric_weight_is_its_transpose() -> None:
    model = Product(matrix(Structure.SYMMETRIC), "both")
    with torch.no_grad():
        compiled = assert_agrees(model, torch.randn(N, N), measure=False, numerics="reals")
    assert graph_of(compiled).rewritten


def test_without_the_reals_nothing_is_read_from_values() -> None:
    with torch.no_grad():
        compiled = assert_agrees(Product(matrix(Structure.LOWER)), torch.randn(N, N), measure=False)
    assert not graph_of(compiled).rewritten


def test_in_training_nothing_is_read_from_values() -> None:
    model = Product(matrix(Structure.LOWER))
    compiled = hypatia(model, measure=False, numerics="reals")
    compiled(torch.randn(N, N)).sum().backward()
    assert model.weight.grad is not None and bool(model.weight.grad.triu(1).any())


@pytest.mark.parametrize("change", ["in place", "data", "replaced", "loaded", "one element"])
@pytest.mark.parametrize("structure", list(Structure))
def test_a_weight_that_loses_its_structure_is_noticed(structure: Structure, change: str) -> None:
    model = Product(matrix(structure), "both" if structure is Structure.SYMMETRIC else "left")
    x = torch.randn(N, N)
    compiled = hypatia(model, measure=False, numerics="reals")
    with torch.no_grad():
        compiled(x)
        assert graph_of(compiled).rewritten
        before = model.weight.detach().clone()
        match change:
            case "in place":
                model.weight.add_(torch.randn(N, N))
            case "data":
                model.weight.data = torch.randn(N, N)
            case "replaced":
                model.weight = nn.Parameter(torch.randn(N, N))
            case "loaded":
                model.load_state_dict({"weight": torch.randn(N, N)})
            case "one element":
                model.weight[5, 9] = 100.0
        for _ in range(2):
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-3)
        model.weight.copy_(before)  # and it may come back
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-3)


def test_a_write_without_a_trace_is_noticed_when_told_of() -> None:
    model, x = Product(matrix(Structure.LOWER)), torch.randn(N, N)
    compiled = hypatia(model, measure=False, numerics="reals")
    with torch.no_grad():
        compiled(x)
        model.weight.data[0, N - 1] = 100.0
        hypatia_core.invalidate(model)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-3)


def test_strictly_every_element_is_compared() -> None:
    model, x = Product(matrix(Structure.LOWER)), torch.randn(N, N)
    compiled = hypatia(model, measure=False, numerics="reals", weights="strict")
    with torch.no_grad():
        compiled(x)
        model.weight.data[0, N - 1] = 100.0
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-3)


def test_weights_that_change_all_the_time_are_left_alone() -> None:
    model, x = Product(matrix(Structure.LOWER)), torch.randn(N, N)
    compiled = hypatia(model, measure=False, numerics="reals", weights="off")
    with torch.no_grad():
        compiled(x)
    assert not graph_of(compiled).rewritten
    compiled = hypatia(model, measure=False, numerics="reals")
    with torch.no_grad():
        for step in range(8):
            model.weight.mul_(1.0 + step / 100)
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-3)
    assert any("change between calls" in reason for reason in graph_of(compiled).refusals)
