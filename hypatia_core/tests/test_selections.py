"""Rows that a list selects, and values whose range is known: found as users spell them, and right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hypatia_core

PLACES = torch.tensor([5, 0, -1, 5])
ROWS = "selected-rows-of-matmul-need-just-those-rows"


def compiled(run: Callable[..., Any], *inputs: Any, numerics: str = "reassociate") -> tuple[Any, Any]:
    """The rewritten program's value, and its graph's report."""
    torch._dynamo.reset()
    options: dict[str, Any] = {
        "executor": "aten",
        "measure": False,
        "on_error": "raise",
        "numerics": numerics,
    }
    program = torch.compile(run, backend="hypatia", options={**options, "check_proof": True})
    with torch.no_grad():
        value = program(*inputs)
    (graph,) = hypatia_core.report(program).graphs
    return value, graph


@pytest.mark.parametrize(
    "run",
    [
        lambda a, b, i: (a @ b)[i],
        lambda a, b, i: (a @ b)[i.abs()[None]],
        lambda a, b, i: (a @ b).index_select(0, i.abs()),
        lambda a, b, i: torch.nn.functional.embedding(i.abs(), a @ b),
        lambda a, b, i: (a @ b).gather(0, i.abs()[:, None].expand(-1, b.shape[1])),
        lambda a, b, i: torch.relu(a @ b + b[0])[i],
        lambda a, b, i: torch.layer_norm(a @ b + b[0], (b.shape[1],), b[1], b[2])[i],
        lambda a, b, i: (b.T @ a.T)[:, i],
        lambda a, b, i: (a @ b).unsqueeze(0)[:, i],
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_selected_before_the_product(run: Callable[..., Any], dtype: torch.dtype) -> None:
    a, b = torch.randn(256, 192, dtype=dtype), torch.randn(192, 128, dtype=dtype)
    value, graph = compiled(run, a, b, PLACES)
    torch.testing.assert_close(value, run(a, b, PLACES), rtol=1e-4, atol=1e-4)
    assert any(name.startswith("selected-") for name in graph.rules), graph.rules
    products = [n for n in graph.after.nodes if n.op in ("mm", "addmm", "bmm")]
    assert products and all(n.flops < 2 * 256 * 192 * 128 for n in products)


def test_rows_of_an_input_are_nothing_to_spare() -> None:
    a, b = torch.randn(64, 32), torch.randn(32, 32)
    value, graph = compiled(lambda a, b, i: a[i] @ b, a, b, PLACES)
    torch.testing.assert_close(value, a[PLACES] @ b)
    assert not any(name.startswith("selected-") for name in graph.rules)


def test_a_place_out_of_reach_is_an_error_as_before() -> None:
    a, b = torch.randn(64, 32), torch.randn(32, 32)
    with pytest.raises(Exception, match=r"index|range|bounds"):
        compiled(lambda a, b, i: (a @ b)[i], a, b, torch.tensor([64]))


@pytest.mark.parametrize(
    ("run", "rule"),
    [
        (lambda x: torch.sigmoid(x).clamp(0, 1), "clamp-within-its-bounds-is-nothing"),
        (lambda x: torch.softmax(x, -1).clamp(min=0), "clamp-within-its-bounds-is-nothing"),
        (lambda x: x.exp().abs(), "magnitude-of-what-is-not-negative"),
        (lambda x: x.exp().neg().abs(), "magnitude-of-what-is-not-positive"),
        (lambda x: torch.relu(x * x + 1), "relu-of-what-is-not-negative"),
        (lambda x: torch.maximum(x.sigmoid(), torch.zeros_like(x)), "the-larger-is-known"),
        (lambda x: (x * x).sqrt(), "root-of-a-square-is-the-magnitude"),
        (lambda x: x.sigmoid().log().exp(), "exp-of-log-is-nothing"),
    ],
)
def test_what_a_range_decides_is_left_out(run: Callable[..., Any], rule: str) -> None:
    x = torch.randn(64, 256)
    x[0, :4] = torch.tensor([float("nan"), 0.0, -0.0, 1e-30])
    value, graph = compiled(run, x)
    torch.testing.assert_close(value, run(x), equal_nan=True)
    assert rule in graph.rules, graph.rules


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.sin().clamp(-1, 1).abs(),
        lambda x: torch.relu(x.tanh()),
        lambda x: x.clamp(min=0.5).log().exp(),
        lambda x: (x - x) * 0,
    ],
)
def test_what_is_not_known_stays(run: Callable[..., Any]) -> None:
    x = torch.randn(32, 32)
    x[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    value, _ = compiled(run, x)
    torch.testing.assert_close(value, run(x), equal_nan=True)
