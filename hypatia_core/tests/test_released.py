"""`release_originals=True`: the memory of packed weights goes back, and whoever reads one is told so."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import assert_near, widened
from hypatia_core import HypatiaError, compat

pytestmark = pytest.mark.usefixtures("one_thread")

# The model decides, so that the folded program is installed whatever the machine does meanwhile.
QUICK = {"executor": "aten", "on_error": "raise", "measure": False, "cache": False}


class Folding(nn.Module):
    """One weight that is folded away, one that is read on each call, one that is both under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.folded = nn.Parameter(torch.randn(64, 64))
        self.alone = nn.Parameter(torch.randn(64, 64))
        self.read = nn.Parameter(torch.randn(64))
        self.both = nn.Parameter(torch.randn(64))

    def forward(self, x: Tensor) -> Tensor:
        y = x @ (self.folded.exp() + self.alone + self.both.exp())
        return y.sin() * self.both + self.read


def served_and_eager() -> tuple[Folding, hypatia_core.Served, Folding, Tensor]:
    model, x = Folding().eval(), torch.randn(8, 64)
    eager = copy.deepcopy(model)
    served = hypatia_core.compile(model, x, options=QUICK, release_originals=True)
    return model, served, eager, x


def test_memory_is_given_back_and_reported() -> None:
    model = Folding().eval()
    whole = [weakref.ref(model.folded), weakref.ref(model.alone)]
    eager, x = copy.deepcopy(model), torch.randn(8, 64)
    served = hypatia_core.compile(model, x, options=QUICK, release_originals=True)
    gc.collect()  # torch.export leaves cycles
    assert [ref() for ref in whole] == [None, None]
    (graph,) = hypatia_core.report(served).graphs
    assert graph.weights_released == 2 * 64 * 64 * 4 and "0.0 MB of these released" in str(graph)
    for _ in range(3):
        with torch.no_grad():
            assert_near([served(x)], [eager(x)], [widened(eager(x))])


READERS: dict[str, Callable[[Any], Any]] = {
    "the model itself": lambda model: model(torch.randn(8, 64)),
    "arithmetic": lambda model: model.folded + 1,
    "state_dict": lambda model: model.state_dict(),
    "deepcopy": copy.deepcopy,
    "to": lambda model: model.to(torch.float64),
    "item": lambda model: model.folded[0, 0].item(),
    "load_state_dict": lambda model: model.load_state_dict(Folding().state_dict()),
}


@pytest.mark.parametrize("how", READERS)
def test_whoever_reads_a_released_weight_is_told_its_name(how: str) -> None:
    model, served, eager, x = served_and_eager()
    with pytest.raises((HypatiaError, RuntimeError), match=r"the weight '(folded|alone)' was released"):
        READERS[how](model)
    with torch.no_grad():
        assert_near([served(x)], [eager(x)], [widened(eager(x))])


def test_a_stand_in_tells_its_type() -> None:
    model, *_ = served_and_eager()
    assert model.folded.shape == (64, 64) and model.folded.dtype is torch.float32
    assert model.folded.numel() == 4096 and "folded" in repr(model.folded)
    assert sum(p.numel() for p in model.parameters()) == 2 * 4096 + 2 * 64


def test_what_is_read_on_each_call_stays_live() -> None:
    model, served, eager, x = served_and_eager()
    with torch.no_grad():
        for each in (model, eager):
            each.read.add_(1)
        assert_near([served(x)], [eager(x)], [widened(eager(x))])


def test_a_change_of_what_was_folded_too_is_an_error() -> None:
    model, served, _, x = served_and_eager()
    hypatia_core.invalidate(model)
    hypatia_core.invalidate()
    served(x)
    with torch.no_grad():
        model.both.add_(1)
    for _ in range(2):
        with pytest.raises(HypatiaError, match="load the model anew and compile it"):
            served(x)


def test_tied_weights_go_together_or_stay() -> None:
    class Tied(nn.Module):
        def __init__(self, read: bool) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.randn(32, 32))
            self.second = self.first
            self.reads = read

        def forward(self, x: Tensor) -> Tensor:
            y = x @ self.first.exp() @ self.second.sin()
            return y + torch.maximum(y.sum(), self.second).sum(0) if self.reads else y

    for reads in (False, True):
        model, x = Tied(reads).eval(), torch.randn(4, 32)
        with torch.no_grad():
            wanted = model(x)
            wide = copy.deepcopy(model).double()(x.double())
        served = hypatia_core.compile(model, x, options=QUICK, release_originals=True)
        (graph,) = hypatia_core.report(served).graphs
        assert graph.weights_released == (0 if reads else 32 * 32 * 4)
        assert model.first is model.second
        assert_near([served(x)], [wanted], [wide])


def test_nothing_to_release_is_said() -> None:
    model = nn.Linear(4, 2).eval()
    served = hypatia_core.compile(model, torch.ones(3, 4), options=QUICK, release_originals=True)
    (graph,) = hypatia_core.report(served).graphs
    assert graph.weights_released == 0 and any("no original was released" in r for r in graph.refusals)
    assert torch.equal(served(torch.ones(3, 4)), model(torch.ones(3, 4)))


def test_what_needs_the_originals_is_refused(tmp_path: Path) -> None:
    _, served, _, _ = served_and_eager()
    with pytest.raises(HypatiaError, match="a file holds the original weights"):
        served.save(tmp_path / "program")
    with pytest.raises(HypatiaError, match="choose one of them"):
        hypatia_core.compile(nn.Linear(2, 2), torch.ones(1, 2), on_mismatch="compile", release_originals=True)


def test_inputs_that_do_not_fit_and_other_strides() -> None:
    _, served, eager, x = served_and_eager()
    with pytest.raises(HypatiaError, match="accepted: float32"):
        served(torch.randn(9, 64))
    with torch.no_grad():
        assert_near([served(x.t().contiguous().t())], [eager(x)], [widened(eager(x))])


def test_what_another_compiler_holds_is_not_released() -> None:
    if not compat.has_onednn_graph():
        pytest.skip("no graph compiler of oneDNN in this torch")
    model, x = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU()).eval(), torch.randn(1, 8, 6, 6)
    expected = model(x)
    options = {"executor": "onednn", "measure": False}
    served = hypatia_core.compile(model, x, options=options, release_originals=True)
    (graph,) = hypatia_core.report(served).graphs
    assert graph.executor == "onednn" and graph.weights_released == 0
    assert any("no original was released" in reason for reason in graph.refusals)
    for _ in range(2):
        torch.testing.assert_close(served(x), expected, atol=1e-5, rtol=1e-4)
