"""Modules that torchao quantised: their values, their memory and their kernels stay."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import hypatia_core
from agreement import hypatia
from hypatia_core import HypatiaError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # torchao's own, of what torch has renamed since.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(params=["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
def quantised(request: pytest.FixtureRequest) -> Any:
    quantization = pytest.importorskip(
        "torchao.quantization", reason="pip install hypatia-core[quantization]"
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 64)).eval()
    quantization.quantize_(model, getattr(quantization, request.param)())
    return model


@pytest.mark.parametrize("executor", ["aten", "inductor"])
def test_values_memory_and_kernels_stay(quantised: Any, executor: str) -> None:
    x = torch.randn(32, 256)
    compiled = hypatia(quantised, executor=executor, cache=False)
    with torch.no_grad():
        wanted = quantised(x)
        for _ in range(2):
            torch.testing.assert_close(compiled(x), wanted, rtol=1e-4, atol=1e-5)
    (graph,) = hypatia_core.report(compiled).graphs
    # Scales may be folded; a quantised weight is a hundred times as large.
    assert graph.weights_kept < 64 * 512, "no weight is kept in a wider type"


def test_other_quantised_weights_are_seen(quantised: Any) -> None:
    x = torch.randn(4, 256)
    compiled = hypatia(quantised, executor="aten", cache=False)
    with torch.no_grad():
        compiled(x)
        other = copy.deepcopy(quantised)
        other[0].bias.add_(1)
        quantised.load_state_dict(other.state_dict())
        torch.testing.assert_close(compiled(x), other(x), rtol=1e-4, atol=1e-5)


def test_serving_says_that_it_does_not_take_them(quantised: Any) -> None:
    with pytest.raises(HypatiaError, match=r"tensor subclass .* torch.compile"):
        hypatia_core.compile(quantised, torch.randn(4, 256))
