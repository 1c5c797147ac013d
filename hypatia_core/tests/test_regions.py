"""Large graphs are verified region by region."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import hypatia_core
from hypatia_core import backend, fx_export


class Layers(nn.Module):
    """Layers that each hold a sum of products worth factoring, with an opaque operation between."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = nn.ParameterList(torch.randn(96, 96) / 10 for _ in range(count))
        self.right = nn.ParameterList(torch.randn(96, 96) / 10 for _ in range(count))
        self.norms = nn.ModuleList(nn.LayerNorm(96) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for left, right, norm in zip(self.left, self.right, self.norms, strict=True):
            y = norm(x)
            y = y @ left + y @ right
            for _ in range(12):
                y = torch.sin(y) * 0.5
            x = x + y
        return x


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LARGE", 1)
    torch._dynamo.reset()


def compiled_report(model: nn.Module, x: torch.Tensor) -> hypatia_core.GraphReport:
    options: dict[str, Any] = {"executor": "aten", "on_error": "raise"}
    compiled = torch.compile(model, backend="hypatia", options=options)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)
    return hypatia_core.report(compiled).graphs[0]


@pytest.mark.usefixtures("small_is_large")
def test_equal_regions_are_tried_once_and_the_report_says_how() -> None:
    torch.manual_seed(0)
    graph = compiled_report(Layers(6).eval(), torch.randn(256, 96))
    assert graph.verified.endswith("rewritten regions against float64, the whole against the original")
    tried = int(graph.verified.split()[0])
    assert 1 <= tried == graph.search["different islands"] < graph.search["islands"]
    assert not graph.refusals


@pytest.mark.usefixtures("small_is_large")
def test_a_wrong_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fx_export.write

    def wrong(*arguments: Any) -> Any:
        graph, places = right(*arguments)
        for node in graph.graph.nodes:
            if node.target is torch.ops.aten.sin.default:
                node.target = torch.ops.aten.cos.default
                break
        graph.recompile()
        return graph, places

    monkeypatch.setattr(backend, "write", wrong)
    torch.manual_seed(0)
    graph = compiled_report(Layers(2).eval(), torch.randn(256, 96))
    assert any(reason.startswith("a rewritten region: output") for reason in graph.refusals)
    assert not graph.rewritten
