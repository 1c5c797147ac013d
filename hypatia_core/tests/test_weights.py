"""What is folded from weights, and that every way of changing a weight is seen on the next call."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

import hypatia_core
from agreement import hypatia
from hypatia_core import weights

pytestmark = pytest.mark.usefixtures("one_thread")


class Scaled(nn.Module):
    """A product whose weight is scaled on each call: the scaling depends on weights alone."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.rand(width) + 0.5)
        self.shift = nn.Buffer(torch.rand(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ (self.linear.weight * self.gain).T + self.linear.bias * self.shift)


def folding(model: nn.Module, **options: object) -> nn.Module:
    # Unmeasured, so that the folding program is installed however small the model is.
    compiled: nn.Module = hypatia(model, executor="aten", measure=False, **options)
    return compiled


def assert_folded(compiled: nn.Module) -> None:
    assert all(graph.weights_kept > 0 for graph in hypatia_core.report(compiled).graphs)


def step(model: Scaled) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with torch.enable_grad():
        model(torch.ones(3, 16)).square().sum().backward()
    optimizer.step()


def load(model: Scaled) -> None:
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def set_data(model: Scaled) -> None:
    model.linear.weight.data = torch.randn(16, 16)


def assign(model: Scaled) -> None:
    model.gain = nn.Parameter(torch.rand(16) + 2)


CHANGES: dict[str, Callable[[Scaled], object]] = {
    "optimizer step": step,
    "in place": lambda model: model.linear.weight.mul_(2),
    "a buffer in place": lambda model: model.shift.add_(1),
    "one element in place": lambda model: model.linear.weight[3, 5].add_(7),
    "load_state_dict": load,
    "p.data = …": set_data,
    "p.data.mul_()": lambda model: model.linear.weight.data.mul_(1.5),
    "through numpy": lambda model: model.gain.detach().numpy().__imul__(3),
    "a new parameter": assign,
    "swapped": lambda model: torch.utils.swap_tensors(model.gain, nn.Parameter(torch.rand(16))),
}


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_a_change_is_seen_on_the_next_call(change: str) -> None:
    model = Scaled()
    compiled, x = folding(model), torch.randn(4, 16)
    torch.testing.assert_close(compiled(x), model(x))
    assert_folded(compiled)
    for _ in range(2):
        before = model(x)
        CHANGES[change](model)
        assert not torch.equal(model(x), before)
        torch.testing.assert_close(compiled(x), model(x))


@torch.no_grad()
def test_one_graph_serves_many_layers() -> None:
    layers = [Scaled() for _ in range(3)]
    compiled = [folding(layer) for layer in layers]
    x = torch.randn(4, 16)
    for _ in range(2):
        for layer, fast in zip(layers, compiled, strict=True):
            torch.testing.assert_close(fast(x), layer(x))
        layers[1].gain.data.mul_(1.5)


@torch.no_grad()
def test_folded_values_go_with_their_weights() -> None:
    x = torch.randn(4, 16)
    kept = []
    for _ in range(3):
        layer = Scaled()
        compiled = folding(layer)
        torch.testing.assert_close(compiled(x), layer(x))
        kept.append(hypatia_core.report(compiled).graphs[0].weights_kept)
    assert kept[0] > 0
    # The one before may wait for a collection.
    assert kept[2] <= 2 * kept[0]


@torch.no_grad()
def test_tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(8, 8), nn.Linear(8, 8)
            self.outer.weight = self.inner.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ (2 * self.inner.weight).T @ (3 * self.outer.weight)

    model, x = Tied(), torch.randn(4, 8)
    compiled = folding(model)
    for _ in range(3):
        torch.testing.assert_close(compiled(x), model(x))
        model.inner.weight.data.mul_(1.5)


@torch.no_grad()
def test_strict_sees_one_element_written_without_a_trace() -> None:
    model, x = Scaled(64), torch.randn(4, 64)
    compiled = folding(model, weights="strict")
    compiled(x)
    assert_folded(compiled)
    model.linear.weight.data[17, 3] = 100.0
    torch.testing.assert_close(compiled(x), model(x))


@torch.no_grad()
def test_invalidate_makes_folded_values_again() -> None:
    model, x = Scaled(64), torch.randn(4, 64)
    compiled = folding(model)
    compiled(x)
    model.linear.weight.data[17, 3] = 100.0
    hypatia_core.invalidate(model)
    torch.testing.assert_close(compiled(x), model(x))


@torch.no_grad()
def test_weights_that_change_on_every_call_are_left_alone() -> None:
    model, x = Scaled(), torch.randn(4, 16)
    compiled = folding(model)
    for _ in range(3 * weights.RESTLESS):
        model.gain.mul_(1.1)
        torch.testing.assert_close(compiled(x), model(x))
    (graph,) = hypatia_core.report(compiled).graphs
    assert any("change between calls" in reason for reason in graph.refusals)


@torch.no_grad()
def test_over_the_cap_nothing_is_kept() -> None:
    model, x = Scaled(1024), torch.randn(4, 1024)
    compiled = folding(model, weights_cap=1)
    torch.testing.assert_close(compiled(x), model(x))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.weights_kept == 0
    assert any("over the cap" in reason for reason in graph.refusals)


def test_switched_off_nothing_is_folded() -> None:
    model, x = Scaled(), torch.randn(4, 16)
    compiled = folding(model, weights="off")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
    assert hypatia_core.report(compiled).graphs[0].weights_kept == 0


@torch.no_grad()
def test_an_output_made_of_weights_is_the_callers_own() -> None:
    class Handed(Scaled):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            scaled = self.linear.weight * self.gain
            return x @ scaled, scaled.T

    model, x = Handed(), torch.randn(4, 16)
    compiled = folding(model)
    compiled(x)[1].zero_()
    for ours, theirs in zip(compiled(x), model(x), strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_threads_call_while_one_writes() -> None:
    model, x = Scaled(), torch.randn(4, 16)
    compiled = folding(model)
    compiled(x)
    failures: list[BaseException] = []

    def call() -> None:
        try:
            with torch.no_grad():
                for _ in range(50):
                    assert bool(torch.isfinite(compiled(x)).all())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        model.gain.mul_(1.01)
    for thread in threads:
        thread.join()
    assert failures == []
    torch.testing.assert_close(compiled(x), model(x))


@torch.no_grad()
def test_a_copy_of_the_model_has_weights_of_its_own() -> None:
    model, x = Scaled(), torch.randn(4, 16)
    compiled = folding(model)
    compiled(x)
    twin = copy.deepcopy(model)
    twin.gain.mul_(2)
    other = folding(twin)
    torch.testing.assert_close(other(x), twin(x))
    torch.testing.assert_close(compiled(x), model(x))


def test_a_quantised_weight_is_not_folded_into_a_wider_one() -> None:
    class Quantised(nn.Module):
        codes: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("codes", torch.randint(-127, 127, (64, 64), dtype=torch.int8))
            self.register_buffer("scale", torch.rand(64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ self.codes.to(x.dtype)) * self.scale.exp()

    model, x = Quantised().eval(), torch.randn(8, 64)
    compiled = hypatia(model, executor="aten", measure=False)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.weights_kept == 64 * 4, "the scale alone"
