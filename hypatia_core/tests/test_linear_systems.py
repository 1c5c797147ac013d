"""Inverses that are only multiplied by: solved instead, with the same errors for singular matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core
from agreement import assert_agrees, hypatia

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
LEFT, RIGHT = "inverse-times-matrix-is-a-solution", "matrix-times-inverse-is-a-solution"
N = 48
SINGULAR = torch.linalg.LinAlgError  # type: ignore[attr-defined]

#: By name: batch extents, the program of a matrix and a right side, the rule.
SPELLINGS: dict[str, tuple[tuple[int, ...], Callable[..., Any], str]] = {
    "linalg.inv @": ((), lambda a, b: torch.linalg.inv(a) @ b, LEFT),
    "inverse, mm": ((), lambda a, b: torch.mm(torch.inverse(a), b), LEFT),
    "method, matmul": ((), lambda a, b: a.inverse().matmul(b), LEFT),
    "einsum": ((), lambda a, b: torch.einsum("ij,jk->ik", torch.linalg.inv(a), b), LEFT),
    "vector": ((), lambda a, b: torch.linalg.inv(a) @ b[:, 0], LEFT),
    "stacks": ((3,), lambda a, b: torch.linalg.inv(a) @ b, LEFT),
    "bmm": ((3,), lambda a, b: torch.bmm(torch.linalg.inv(a), b), LEFT),
    "from the right": ((), lambda a, b: b.T @ torch.linalg.inv(a), RIGHT),
    "from the right, stacks": ((3,), lambda a, b: b.mT @ a.inverse(), RIGHT),
    "inv_ex": ((), lambda a, b: torch.linalg.inv_ex(a).inverse @ b, LEFT),
    "of a transpose": ((), lambda a, b: torch.linalg.inv(a.T) @ b, LEFT),
    "in a chain": ((), lambda a, b: torch.linalg.inv(a) @ a @ b, LEFT),
}


def matrices(batch: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.randn(*batch, N, N, dtype=dtype) + N * torch.eye(N, dtype=dtype)
    return a, torch.randn(*batch, N, 3, dtype=dtype)


def rules_of(compiled: Any) -> set[str]:
    (graph,) = hypatia_core.report(compiled).graphs
    return set(graph.rules)


@DTYPES
@pytest.mark.parametrize("name", SPELLINGS)
def test_an_inverse_that_is_multiplied_by_is_solved(name: str, dtype: torch.dtype) -> None:
    batch, program, rule = SPELLINGS[name]
    compiled = assert_agrees(program, *matrices(batch, dtype), measure=False)
    assert rule in rules_of(compiled), hypatia_core.report(compiled)


def test_a_singular_matrix_is_the_same_error() -> None:
    def program(a: Any, b: Any) -> Any:
        return torch.linalg.inv(a) @ b

    a, b = matrices((), torch.float32)
    compiled = assert_agrees(program, a, b, measure=False)
    assert LEFT in rules_of(compiled)
    a[5] = 0
    with pytest.raises(SINGULAR) as wanted:
        program(a, b)
    with pytest.raises(SINGULAR) as given:
        compiled(a, b)
    assert str(given.value) == str(wanted.value)


def test_a_singular_matrix_at_the_first_call_is_the_same_error() -> None:
    a, b = torch.zeros(4, 4), torch.ones(4, 1)
    with pytest.raises(SINGULAR, match="singular"):
        hypatia(lambda a, b: torch.linalg.inv(a) @ b, measure=False)(a, b)


def test_a_weight_is_factored_once() -> None:
    class Whitened(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Parameter(torch.randn(N, N) + N * torch.eye(N))

        def forward(self, b: Any) -> Any:
            return torch.linalg.inv(self.a) @ b

    model, (_, b) = Whitened(), matrices((), torch.float32)
    with torch.no_grad():
        compiled = assert_agrees(model, b, measure=False)
        model.a.add_(torch.eye(N))
        torch.testing.assert_close(compiled(b), model(b), rtol=1e-4, atol=1e-5)


@DTYPES
@pytest.mark.parametrize("columns", [1, 3, None], ids=["column", "columns", "vector"])
def test_solutions_agree(columns: int | None, dtype: torch.dtype) -> None:
    a, b = matrices((), dtype)
    right = b[:, 0] if columns is None else b[:, :columns]
    assert_agrees(lambda a, b: torch.linalg.solve(a, b) + 1, a, right, measure=False)


def test_an_inverse_that_is_needed_stays_one() -> None:
    a, b = matrices((), torch.float32)
    compiled = assert_agrees(lambda a, b: (torch.linalg.inv(a), torch.linalg.inv(a) @ b), a, b, measure=False)
    assert LEFT not in rules_of(compiled)


def test_an_inverse_in_training_agrees() -> None:
    a, b = matrices((), torch.float64)
    a.requires_grad_()
    compiled = hypatia(lambda a, b: (torch.linalg.inv(a) @ b).square().sum(), measure=False)
    compiled(a, b).backward()
    ours, a.grad = a.grad, None
    (torch.linalg.inv(a) @ b).square().sum().backward()
    torch.testing.assert_close(ours, a.grad)
