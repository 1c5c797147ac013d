"""Convolutions by oneDNN's graph compiler: eager's values, fresh weights, and what it leaves to others."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hypatia_core
from agreement import hypatia
from hypatia_core import compat, executors, packed_call
from hypatia_core.executors.onednn import OneDnnGraph
from hypatia_core.report import GraphReport
from test_implementations import ACTIVATIONS, GEOMETRIES, Residual, lively

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not compat.has_onednn_graph(), reason="no graph compiler of oneDNN in this torch"),
]


def graph_of(compiled: Any) -> GraphReport:
    (graph,) = hypatia_core.report(compiled).graphs
    return graph


def assert_runs(model: nn.Module, x: Tensor, **options: Any) -> Any:
    """Compiles a model for it alone, and holds it against eager; gives the compiled model."""
    model.eval()
    compiled = hypatia(model, executor="onednn", measure=False, dynamic=False, **options)
    with torch.no_grad():
        for _ in range(2):
            result, expected = compiled(x), model(x)
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)
            assert result.stride() == expected.stride()
    assert graph_of(compiled).executor == "onednn", graph_of(compiled).refusals
    return compiled


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolutions(geometry: str) -> None:
    first = nn.Conv2d(8, 16, **GEOMETRIES[geometry], bias=False)
    assert_runs(nn.Sequential(first, lively(nn.BatchNorm2d(16)), nn.ReLU()), torch.randn(2, 8, 9, 7))


@pytest.mark.parametrize("act", sorted(set(ACTIVATIONS) - {"gelu by tanh"}))
def test_activations(act: str) -> None:
    assert_runs(nn.Sequential(nn.Conv2d(8, 16, 1), ACTIVATIONS[act]()), 3 * torch.randn(2, 8, 6, 6))


def test_a_residual_network_with_its_classifier() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Residual(), nn.Linear(16, 5))
    assert_runs(model, torch.randn(2, 3, 12, 12))
    torch._dynamo.reset()
    assert_runs(model, torch.randn(2, 3, 12, 12).contiguous(memory_format=torch.channels_last))


def test_new_weights_are_seen() -> None:
    first = nn.Conv2d(8, 16, 3)
    model, x = nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, 4, 1)), torch.randn(1, 8, 6, 6)
    compiled = assert_runs(model, x)
    changes: list[Callable[[], Any]] = [
        lambda: first.weight.mul_(2),
        lambda: first.weight.data.mul_(2),
        lambda: setattr(first, "bias", nn.Parameter(torch.ones(16))),
        lambda: model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()}),
    ]
    with torch.no_grad():
        for change in changes:
            change()
            torch.testing.assert_close(compiled(x), model(x), atol=1e-3, rtol=1e-4)


def test_weights_that_go_on_changing_run_op_by_op() -> None:
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()), torch.randn(1, 8, 6, 6)
    compiled = assert_runs(model, x)
    with torch.no_grad():
        for _ in range(packed_call.MOST_HASTY):
            next(model.parameters()).mul_(1.1)
            for _ in range(2):
                torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=1e-4)
    assert sum("op by op" in reason for reason in graph_of(compiled).refusals) == 1


def test_other_weights_on_which_it_fails_run_op_by_op(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()), torch.randn(1, 8, 6, 6)
    compiled = assert_runs(model, x)

    def broken(*_: Any) -> Any:
        raise RuntimeError("deliberately broken")

    monkeypatch.setattr(OneDnnGraph, "over", broken)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
        torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=1e-4)
    assert any("deliberately broken" in reason for reason in graph_of(compiled).refusals)


def test_where_it_fails_at_first_the_others_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("deliberately broken")

    monkeypatch.setattr(OneDnnGraph, "over", broken)
    monkeypatch.setattr(compat, "cpp_compiler", lambda: None)
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()).eval(), torch.randn(1, 8, 6, 6)
    compiled = hypatia(model, executor="auto", on_error="raise")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", hypatia_core.HypatiaWarning)
        torch.testing.assert_close(compiled(x), model(x))
    assert any("deliberately broken" in reason for reason in graph_of(compiled).refusals)


def test_torchs_own_setting_stays() -> None:
    before = torch._C._jit_llga_enabled()
    assert_runs(nn.Conv2d(3, 4, 1), torch.randn(1, 3, 5, 5))
    assert torch._C._jit_llga_enabled() == before


def test_what_depends_on_weights_alone_is_the_callers_to_change() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.conv(x), self.scale * 2

    model, x = Table().eval(), torch.randn(1, 3, 5, 5)
    compiled = hypatia(model, executor="onednn", measure=False)
    with torch.no_grad():
        compiled(x)[1].zero_()
        assert torch.equal(compiled(x)[1], model(x)[1])


@pytest.mark.parametrize(
    ("model", "x", "reason"),
    [
        (nn.Conv2d(3, 4, 1).double(), torch.randn(1, 3, 5, 5).double(), "float32"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU("tanh")), torch.randn(1, 3, 5, 5), "gelu"),
        (nn.Conv2d(3, 4, 1).bfloat16(), torch.randn(1, 3, 5, 5).bfloat16(), "float32"),
    ],
)
def test_what_it_does_not_take(model: nn.Module, x: Tensor, reason: str) -> None:
    compiled = hypatia(model.eval(), executor="onednn", measure=False)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
    assert any(reason in refusal for refusal in graph_of(compiled).refusals)


def test_only_convolutions_are_tried_beside_others() -> None:
    compiled = hypatia(nn.Linear(4, 4).eval(), executor="auto", measure=False)
    with torch.no_grad():
        compiled(torch.randn(2, 4))
    assert not any("onednn" in refusal for refusal in graph_of(compiled).refusals)
    assert [e.name for e in executors.named("onednn")] == ["onednn"]


def test_many_threads() -> None:
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()), torch.randn(1, 8, 6, 6)
    compiled = assert_runs(model, x)
    wrong: list[str] = []

    def call() -> None:
        with torch.no_grad():
            for _ in range(20):
                if not torch.allclose(compiled(x), model(x), atol=1e-5):
                    wrong.append("another value")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_serving_path_under_inference_mode() -> None:
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()).eval(), torch.randn(1, 8, 6, 6)
    with torch.inference_mode():
        served = hypatia_core.compile(model, (x,), options={"executor": "onednn", "measure": False})
        torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
        torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", [functional.max_pool2d, functional.avg_pool2d])
def test_pooling_whose_stride_is_its_window(pool: Callable[..., Tensor]) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return pool(self.convolution(x).relu(), 2)

    assert_runs(Pooled(), torch.randn(1, 3, 12, 12))
