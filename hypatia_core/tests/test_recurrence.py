"""Recurrent layers by our kernel: the operation, its step in programs, and torch's modules that become it."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import hypatia_core
from hypatia_core import lowering, native
from hypatia_core._hypatia_core import NativeProgram
from hypatia_core.executors.native import Native
from hypatia_core.implementations.recurrence import NAME
from hypatia_core.packed_recurrence import GATES, columns_of
from hypatia_core.timing import Timings
from native_reference import Reference

pytestmark = pytest.mark.usefixtures("one_thread")

ours = torch.ops.hypatia
#: A module of torch for each cell.
MODULES: dict[str, Any] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *sizes, **given: nn.RNN(*sizes, nonlinearity="relu", **given),
}


class Whole(nn.Module):
    """A recurrent layer, all that it gives, and what it begins with where that is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, *before: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = before if len(before) > 1 else before[0] if before else None
        states, last = self.layer(x, given)
        return (states, *last) if isinstance(last, tuple) else (states, last)


def lowered(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> lowering.Lowered | None:
    """A graph that is one call of the layer, by whatever implementation is fastest here."""
    layer: Any = model.layer
    x, *before = inputs
    if not before:
        ways = 2 if layer.bidirectional else 1
        batch = x.shape[0 if layer.batch_first else 1]
        count = 2 if isinstance(layer, nn.LSTM) else 1
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)
        before = [x.new_zeros(layer.num_layers * ways, batch, widths[i]) for i in range(count)]
    graph, mode = fx.Graph(), FakeTensorMode()
    state = [p.detach() for p in layer._flat_weights]
    nodes = [graph.placeholder(f"given_{i}") for i in range(len(state) + 1 + len(before))]
    for node, value in zip(nodes, (*state, x, *before), strict=True):
        node.meta["val"] = mode.from_tensor(value)
    weights, given, begun = nodes[: len(state)], nodes[len(state)], nodes[len(state) + 1 :]
    target = getattr(torch.ops.aten, layer.mode.lower()).input
    arguments = (given, begun if len(begun) > 1 else begun[0], weights, layer.bias, layer.num_layers)
    node = graph.call_function(target, (*arguments, 0.0, False, layer.bidirectional, layer.batch_first))
    with mode:
        node.meta["val"] = target(*fx.node.map_arg(node.args, lambda n: n.meta["val"]))
    results = []
    for i, value in enumerate(node.meta["val"]):
        results.append(graph.call_function(operator.getitem, (node, i)))
        results[-1].meta["val"] = value
    graph.output(tuple(results))
    found = lowering.lower(fx.GraphModule({}, graph), range(len(state)), Timings())
    if found is not None:
        expected = found.graph(*state, x, *before)
        for node_, one in zip(results, expected, strict=True):
            assert node_.meta["val"].shape == one.shape
    return found


def assert_as_exact(model: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
    """Serves the model; its results against float64. Gives what serves."""
    model.eval().requires_grad_(False)
    served = hypatia_core.compile(model, inputs, options=options)
    found, exact = served(*inputs), model.double()(*(x.double() for x in inputs))
    plain = model.float()(*inputs)
    assert len(found) == len(exact)
    for one, other, eager in zip(found, exact, plain, strict=True):
        assert one.shape == other.shape and one.stride() == eager.stride()
        assert float((one - other).abs().max()) < 2e-6 * max(1.0, float(other.abs().max()))
    return served


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(GATES)),
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 50), st.integers(1, 40)),
    *(st.booleans() for _ in range(4)),
    st.integers(0, 2**31),
)
def test_layers_are_as_torchs_in_float64(
    cell: str,
    sizes: tuple[int, int, int, int],
    biased: bool,
    both_ways: bool,
    batch_first: bool,
    begun: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    steps, batch, units, width = sizes
    layer = MODULES[cell](
        width, units, num_layers=2, bias=biased, bidirectional=both_ways, batch_first=batch_first
    )
    model = Whole(layer).eval().requires_grad_(False)
    x = torch.randn(*((batch, steps) if batch_first else (steps, batch)), width)
    before = [torch.randn(4 if both_ways else 2, batch, units) for _ in range(2 if cell == "lstm" else 1)]
    inputs = (x, *(before if begun else ()))
    with torch.no_grad():
        found = lowered(model, inputs)
        assert found is not None and found.implementations[NAME] == 1
        targets = [n.target for n in found.graph.graph.nodes if n.target is ours.recurrence.default]
        assert len(targets) == (4 if both_ways else 2)
        state = [p.detach() for p in layer._flat_weights]
        zeros = [torch.zeros_like(one) for one in before]
        results = found.graph(*state, x, *(before if begun else zeros))
        exact = model.double()(*(value.double() for value in inputs))
    for one, other in zip(results, exact, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 2e-6 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("cell", list(GATES))
@pytest.mark.parametrize("executor", ["aten", "native"])
def test_models_are_served(cell: str, executor: str) -> None:
    torch.manual_seed(3)
    layer = MODULES[cell](24, 40, num_layers=2, batch_first=True)
    assert_as_exact(Whole(layer), (torch.randn(3, 6, 24),), executor=executor)


def test_a_weight_that_changes_is_seen() -> None:
    torch.manual_seed(4)
    model = Whole(nn.LSTM(24, 40)).eval().requires_grad_(False)
    x = torch.randn(6, 3, 24)
    served = hypatia_core.compile(model, (x,))
    before = served(x)[0]
    model.layer.weight_hh_l0.mul_(2.0)  # type: ignore[operator]
    after = served(x)[0]
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, model(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [Reference, NativeProgram])
@pytest.mark.parametrize(("cell", "reverse"), [(cell, way) for cell in GATES for way in (False, True)])
def test_a_layer_is_a_step(cell: str, reverse: bool, make: Any) -> None:
    """Between operations of elements, its states however they lie."""
    torch.manual_seed(5)
    steps, batch, units = 4, 3, 20
    columns = columns_of(cell, units)
    panels = ours.panels_of_weight(torch.randn(columns, units) / units**0.5)
    given = [torch.randn(batch, steps, columns), torch.randn(columns), torch.randn(units, batch)]
    given += [torch.randn(batch, units)] if cell == "lstm" else []

    def function(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        panels, bias, state, *memory = rest
        kept = memory[0] * 0.5 if memory else None
        x = (x + 1).transpose(0, 1)
        states: torch.Tensor = ours.recurrence(x, panels, bias, state.t(), kept, cell, units, reverse)
        return states[:steps] * 2

    x, *rest = given
    inputs = [x, panels, *rest]
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    (written,) = native.phases(graph.graph)[1]
    assert "recurrence" in {step["step"] for step in json.loads(written.text)["steps"]}
    fakes = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    found = Native(make).compile(graph, fakes)(list(inputs))
    torch.testing.assert_close(found, function(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(nn.LSTM(8, 12, proj_size=4), id="projection"),
        pytest.param(nn.LSTM(8, 12).double(), id="float64"),
    ],
)
def test_what_it_does_not_know_stays_torchs(layer: nn.Module) -> None:
    dtype = next(layer.parameters()).dtype
    with torch.no_grad():
        found = lowered(Whole(layer).requires_grad_(False), (torch.randn(5, 2, 8, dtype=dtype),))
    assert found is None or NAME not in found.implementations


def test_operands_that_do_not_fit_are_refused() -> None:
    panels = ours.panels_of_weight(torch.randn(64, 16))
    x, state = torch.randn(2, 3, 64), torch.randn(3, 16)
    fine = (x, panels, None, state, state, "lstm", 16, False)
    assert ours.recurrence(*fine).shape == (3, 3, 16)
    wrong: dict[int, Any] = {0: x[..., :48], 1: panels[:3], 2: torch.zeros(16), 3: state[:2], 4: None, 6: 15}
    for place, value in wrong.items():
        with pytest.raises(ValueError, match="operands of"):
            ours.recurrence(*fine[:place], value, *fine[place + 1 :])
    with pytest.raises(ValueError, match="there is no cell 'elman'; there are lstm"):
        ours.recurrence(*fine[:5], "elman", 16, False)
    with pytest.raises(ValueError, match="takes float32"):
        ours.recurrence(x.double(), *fine[1:])
