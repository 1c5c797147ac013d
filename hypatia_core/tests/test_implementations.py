"""Every implementation of every operation against torch in float64, plain and hidden from a compiler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

import hypatia_core
from agreement import hypatia
from hypatia_core import activation, compat, implementations, lowering, packed_call, weights
from hypatia_core.implementations import base
from hypatia_core.timing import Timings

pytestmark = pytest.mark.usefixtures("one_thread")


class Preferring(Timings):
    """Says of one implementation that it is the fastest."""

    def __init__(self, name: str) -> None:
        self.name = name

    def of(
        self, unit: implementations.Unit, competing: list[implementations.Implementation]
    ) -> dict[str, float]:
        return {row.name: 1.0 if row.name == self.name else 2.0 for row in competing}


def captured(model: nn.Module, x: torch.Tensor) -> tuple[GraphModule, list[torch.Tensor], range]:
    """A model's graph over its weights and one input, the inputs, and the positions of the weights."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    names = list(state)

    def run(*inputs: torch.Tensor) -> Any:
        return torch.func.functional_call(model, dict(zip(names, inputs[1:], strict=True)), (inputs[0],))

    inputs = [x, *(value.detach() for value in state.values())]
    return make_fx(run, tracing_mode="fake")(*inputs), inputs, range(1, len(inputs))


def names(operation: str) -> list[str]:
    rows = [row for row in implementations.TABLE if row.operation == operation]
    return [row.name for row in rows if row.precision == "float32"]


def wide(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = model.double()(x.double())
    model.float()
    return result


def assert_as_good(
    model: nn.Module, x: torch.Tensor, row: str, hidden: bool, least: float = 16.0
) -> dict[str, int]:
    """Runs a model by one implementation where it can; gives what was chosen.

    It errs four times what torch does at most, or so many units in the last place of the result's scale.
    """
    model.eval()
    with torch.no_grad():
        graph, inputs, positions = captured(model, x)
        found = lowering.lower(graph, positions, Preferring(row), reals=True)
        if found is None:
            return {}
        lowered, chosen = found.graph, found.implementations
        division = weights.divide(lowered, positions)
        (expected, result) = (graph(*inputs), None)
        if division is None:
            result = lowered(*inputs)
        else:
            values = list(division.weights_only(*(inputs[i] for i in division.sources)))
            kept = [inputs[i] for i in division.kept]
            if hidden:
                apart = packed_call.hide(division.rest, len(kept))
                dense, kernels = apart.prepare(values)
                run: Callable[[list[Any]], Any] = lambda given: apart.graph(*given)  # noqa: E731
                result = packed_call.with_kernels(run, kept + dense, kernels)
            else:
                result = division.rest(*kept, *values)
        assert result.stride() == expected.stride()
        truth = wide(model, x)
        scale = truth.abs().max()
        error = (result.double() - truth).abs().max() / scale
        own = (expected.double() - truth).abs().max() / scale
        assert error <= max(4 * own, least * torch.finfo(torch.float32).eps)
    return chosen


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("row", names("linear"))
def test_products(row: str, bias: bool, hidden: bool) -> None:
    chosen = assert_as_good(nn.Linear(24, 40, bias=bias), torch.randn(5, 24), row, hidden)
    assert set(chosen) <= {f"linear: {row}"}


@pytest.mark.parametrize("row", names("linear"))
def test_products_with_a_weight_stored_as_columns(row: str) -> None:
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(24, 40)), nn.Parameter(torch.randn(40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addmm(self.bias, x, self.weight)

    assert_as_good(Columns(), torch.randn(5, 24), row, hidden=False)


@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
@pytest.mark.parametrize("act", ["relu", "silu", "tanh", "gelu", "gelu by tanh"])
@pytest.mark.parametrize("row", names("linear"))
def test_products_with_an_activation(row: str, act: str, shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Linear(24, 40), ACTIVATIONS[act](), nn.Linear(40, 8))
    chosen = assert_as_good(model, 3 * torch.randn(shape), row, hidden=True)
    if "logistic" in row:
        assert chosen == ({f"linear: {row}": 1} if act == "gelu by tanh" else {})


def test_the_logistic_form_of_the_gelu_at_its_ends() -> None:
    x = torch.tensor([[0.0, -0.0, 30.0, -30.0, 1e18, -1e18, 1e30, -1e30, math.nan, 1e-30]])
    form = activation.Activation(
        torch.ops.aten.gelu.default, (), "gelu", (), "tanh", (("approximate", "tanh"),)
    )
    graph = torch.fx.Graph()
    node = graph.placeholder("x")
    mode = compat.new_fake_mode()
    node.meta["val"] = mode.from_tensor(x)
    graph.output(form.by_logistic(base.Emitter(graph, mode), node))
    found = GraphModule({}, graph)(x)
    torch.testing.assert_close(found, nn.functional.gelu(x, approximate="tanh"), equal_nan=True)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "3×3": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "1×1": {"kernel_size": 1},
    "1×1, strided": {"kernel_size": 1, "stride": 2},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 4},
    "oblong": {"kernel_size": (1, 3), "padding": (0, 1)},
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "gelu by tanh": lambda: nn.GELU(approximate="tanh"),
}


def lively(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A norm that does something."""
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if value is not None:
                value.uniform_(0.5, 1.5)
    return norm


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("row", names("convolution"))
def test_convolutions(row: str, geometry: str, hidden: bool) -> None:
    model = nn.Sequential(
        nn.Conv2d(8, 16, **GEOMETRIES[geometry], bias=hidden), lively(nn.BatchNorm2d(16)), nn.ReLU()
    )
    chosen = assert_as_good(model, torch.randn(2, 8, 9, 7), row, hidden)
    if row.startswith("oneDNN") and torch.backends.mkldnn.is_available():
        assert chosen == {f"convolution: {row}": 1}


PATCHES: dict[str, dict[str, Any]] = {
    "2×2": {"kernel_size": 2, "stride": 2},
    "oblong": {"kernel_size": (1, 3), "stride": (1, 3)},
    "without bias": {"kernel_size": 3, "stride": 3, "bias": False},
}
#: Patches that meet, or leave gaps.
NO_PATCHES: dict[str, dict[str, Any]] = {
    "meeting": {"kernel_size": 3, "stride": 2},
    "padded": {"kernel_size": 2, "stride": 2, "padding": 1},
    "with gaps": {"kernel_size": 2, "stride": 3},
    "beyond": {"kernel_size": 2, "stride": 2, "output_padding": 1},
    "grouped": {"kernel_size": 2, "stride": 2, "groups": 2},
    "dilated": {"kernel_size": 2, "stride": 2, "dilation": 2},
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("geometry", [*PATCHES, *NO_PATCHES])
def test_transposed_convolutions(geometry: str, hidden: bool) -> None:
    (row,) = (name for name in names("transposed convolution") if name != "torch")
    model = nn.ConvTranspose2d(8, 6, **(PATCHES | NO_PATCHES)[geometry])
    x = torch.randn(2, 8, 5, 7)
    image = x.contiguous(memory_format=torch.channels_last)
    chosen = assert_as_good(model, image, row, hidden)
    assert chosen == ({f"transposed convolution: {row}": 1} if geometry in PATCHES else {})
    assert assert_as_good(model, x, row, hidden) == {}, "its channels lie apart"


ALONG: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"padding": (3, 0)},
    "dilated": {"dilation": (2, 1), "padding": (2, 0)},
    "strided": {"stride": (3, 1)},
    "without bias": {"bias": False},
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("along", ALONG)
@pytest.mark.parametrize("row", ["product of the windows", "products of the taps"])
def test_convolutions_along_one_axis(row: str, along: str, hidden: bool) -> None:
    def filters() -> nn.Module:
        return nn.Conv2d(8, 12, (5, 1), **ALONG[along])

    x = torch.randn(3, 8, 21, 1)
    late = nn.Sequential(filters(), nn.ReLU(), lively(nn.BatchNorm2d(12)), nn.MaxPool2d((2, 1)))
    runs = along != "strided" or "windows" in row
    assert assert_as_good(late, x, row, hidden) == ({f"convolution: {row}": 1} if runs else {})
    assert_as_good(late, torch.randn(3, 21, 1, 8).permute(0, 3, 1, 2), row, hidden)
    assert_as_good(nn.Sequential(filters(), lively(nn.BatchNorm2d(12)), nn.ReLU()), x, row, hidden)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("row", names("convolution")[1:])
def test_convolutions_with_an_activation(row: str, act: str) -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 1), ACTIVATIONS[act]())
    assert_as_good(model, 3 * torch.randn(2, 8, 6, 6), row, hidden=False)


class Residual(nn.Module):
    """Two branches that meet in a sum, of which either could claim it."""

    def __init__(self, affine: bool = True) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            lively(nn.BatchNorm2d(8, affine=affine)),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            lively(nn.BatchNorm2d(16, affine=affine)),
        )
        self.side = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2), lively(nn.BatchNorm2d(16, affine=affine)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.main(x) + self.side(x)).mean((2, 3))


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_a_residual_block(affine: bool, hidden: bool) -> None:
    row = "oneDNN, packed weight, channels last, fused"
    chosen = assert_as_good(Residual(affine), torch.randn(2, 8, 10, 10), row, hidden)
    if torch.backends.mkldnn.is_available():
        assert chosen == {f"convolution: {row}": 3}


class Shifted(nn.Module):
    """What the search leaves of a convolution and its batch norm: weight scaled, a shift of each channel."""

    def __init__(self, shape: tuple[int, ...], bias: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(8, 16, 1, bias=bias)
        self.shift = nn.Parameter(torch.randn(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(self.shift + self.convolution(x))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("row", names("convolution"))
def test_a_shift_of_each_channel_is_a_bias(row: str, bias: bool) -> None:
    model, x = Shifted((1, 16, 1, 1), bias), torch.randn(2, 8, 6, 6)
    chosen = assert_as_good(model, x, row, hidden=True)
    if chosen:
        graph, _, positions = captured(model, x)
        found = lowering.lower(graph, positions, Preferring(row), reals=True)
        assert found is not None
        division = weights.divide(found.graph, positions)
        rest = found.graph if division is None else division.rest
        sums = [node for node in rest.graph.nodes if node.target is torch.ops.aten.add.Tensor]
        assert not sums


def test_a_shift_of_each_pixel_is_none() -> None:
    row = "oneDNN, packed weight, channels last, fused"
    assert_as_good(Shifted((1, 16, 6, 6), True), torch.randn(2, 8, 6, 6), row, hidden=False)
    assert_as_good(Shifted((6,), True), torch.randn(2, 8, 6, 6), row, hidden=False)


def test_a_view_that_follows_sees_the_layout_it_expects() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16 * 4 * 4, 3))
    assert_as_good(
        model, torch.randn(2, 8, 6, 6), "oneDNN, packed weight, channels last, fused", hidden=False
    )


def test_a_value_used_twice_is_not_fused_away() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            product: torch.Tensor = torch.relu(y) * y
            return product

    assert_as_good(
        Twice(), torch.randn(2, 8, 6, 6), "oneDNN, packed weight, channels last, fused", hidden=True
    )


@pytest.mark.parametrize("row", names("linear"))
def test_a_batch_of_matrices_times_one_weight(row: str) -> None:
    # As the exporter writes it; torch's own capture has taken `matmul` apart already.
    class Batched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(24, 40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.gelu(torch.matmul(x, self.weight), approximate="tanh")

    model, x = Batched().eval(), torch.randn(2, 3, 24)
    graph, inputs, positions = captured(model, x)
    batched = torch.fx.Graph()
    value, weight = (batched.placeholder(name) for name in ("x", "weight"))
    product = batched.call_function(torch.ops.aten.matmul.default, (value, weight))
    last = batched.call_function(torch.ops.aten.gelu.default, (product,), {"approximate": "tanh"})
    batched.output(last)
    fakes = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    with fakes[0].fake_mode:
        value.meta["val"], weight.meta["val"] = fakes
        product.meta["val"] = fakes[0] @ fakes[1]
        last.meta["val"] = functional.gelu(product.meta["val"], approximate="tanh")
    module = GraphModule({}, batched)
    found = lowering.lower(module, positions, Preferring(row))
    assert [node.target for node in module.graph.nodes if node.op == "call_function"] == [
        torch.ops.aten.matmul.default,
        torch.ops.aten.gelu.default,
    ], "the graph stays as it was"
    if row != "torch":
        assert found is not None or row.startswith("weight stored")
    if found is not None:
        with torch.no_grad():
            result = found.graph(*inputs)
            torch.testing.assert_close(result, wide(model, x).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_stack_of_one_matrix_is_a_weight(batch: int) -> None:
    row = "own kernel, weight in panels, fused"

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(40, 24))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # Torch makes this of a linear layer on what does not lie row by row.
            weight = self.weight.t().expand(x.shape[0], 24, 40)
            return functional.relu(torch.bmm(x.transpose(1, 2), weight))

    chosen = assert_as_good(Turned(), torch.randn(batch, 24, 5), row, hidden=True)
    assert chosen == {f"linear: {row}": 1}

    class Stacked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 24, 40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.bmm(x, self.weight)

    assert assert_as_good(Stacked(), torch.randn(3, 5, 24), row, hidden=True) == {}


class ByLayout(Timings):
    """Times of convolutions by whether the image lies channels last: those of torch, and of all others."""

    def __init__(self, outside: tuple[float, float], inside: tuple[float, float]) -> None:
        self.outside, self.inside = outside, inside

    def of(
        self, unit: implementations.Unit, competing: list[implementations.Implementation]
    ) -> dict[str, float]:
        image = unit.activations[0].meta["val"]
        is_inside = image.is_contiguous(memory_format=torch.channels_last)
        own, others = self.inside if is_inside else self.outside
        return {row.name: own if row is competing[0] else others for row in competing}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN")
@pytest.mark.parametrize(("entry", "goes"), [(1.1, True), (9.0, False)])
def test_a_network_goes_channels_last_where_that_pays_as_a_whole(entry: float, goes: bool) -> None:
    # No convolution alone gains by leaving the layout; those behind it gain by its having left.
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))).eval()
    graph, inputs, positions = captured(model, torch.randn(1, 8, 6, 6))
    found = lowering.lower(graph, positions, ByLayout(outside=(1.0, entry), inside=(1.0, 0.5)))
    assert (found is not None) == goes
    if found is not None:
        assert sum(found.implementations.values()) == 4
        with torch.no_grad():
            result, expected = found.graph(*inputs), graph(*inputs)
        torch.testing.assert_close(result, expected)
        assert result.stride() == expected.stride()


def test_measured_times_are_kept() -> None:
    graph, _, positions = captured(nn.Linear(8, 8), torch.randn(4, 8))
    timings = Timings()
    lowering.lower(graph, positions, timings)
    (known,) = timings._seconds.values()
    steps = [row for row in implementations.TABLE if row.operation == "linear" and row.is_step]
    assert {row.as_step for row in steps} <= set(known) <= {*names("linear"), *(r.as_step for r in steps)}
    assert all(seconds > 0 for seconds in known.values())


class AsStep(Timings):
    """Times of our own kernels by themselves and as a step; all others take a millisecond."""

    def __init__(self, alone: float, step: float) -> None:
        self.alone, self.step = alone, step

    def of(
        self, unit: implementations.Unit, competing: list[implementations.Implementation]
    ) -> dict[str, float]:
        times = {row.name: self.alone if row.is_step else 1e-3 for row in competing}
        return times | {row.as_step: self.step for row in competing if row.is_step}


@pytest.mark.parametrize(("alone", "step", "own"), [(9e-3, 5e-4, True), (9e-4, 9e-3, False)])
def test_what_programs_take_hangs_on_times_as_a_step(alone: float, step: float, own: bool) -> None:
    graph, _, positions = captured(nn.Linear(8, 8), torch.randn(4, 8))
    timings = AsStep(alone, step)
    found = lowering.lower(graph, positions, timings, own=True)
    assert (found is not None) == own
    # What runs op by op hangs on its time by itself.
    assert (lowering.lower(graph, positions, timings) is not None) != own


def test_bfloat16_is_taken_where_it_is_asked_for() -> None:
    model, x = nn.Sequential(nn.Linear(24, 40), nn.ReLU()).eval(), torch.randn(5, 24)
    graph, inputs, positions = captured(model, x)
    row = Preferring("product in bfloat16")
    found = lowering.lower(graph, positions, row)
    assert found is None or "linear: product in bfloat16" not in found.implementations
    found = lowering.lower(graph, positions, row, "bfloat16")
    assert found is not None and found.implementations == {"linear: product in bfloat16": 1}
    with torch.no_grad():
        result, expected = found.graph(*inputs), model(x)
    assert result.dtype is torch.float32
    error = (result - expected).abs().max() / expected.abs().max()
    assert 0 < error < 2**-7


def test_a_processor_without_bfloat16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "has_bfloat16", lambda: False)
    model, x = nn.Linear(24, 40).eval(), torch.randn(5, 24)
    compiled = hypatia(model, precision="bfloat16", executor="aten")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
    (graph,) = hypatia_core.report(compiled).graphs
    assert any("bfloat16" in reason for reason in graph.refusals)


@pytest.mark.parametrize("shape", [(1, 24), (6, 24), (130, 700)])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_our_own_product_at_a_few_rows_and_at_many(act: str, shape: tuple[int, int]) -> None:
    row = "own kernel, weight in panels, fused"
    model = nn.Sequential(nn.Linear(shape[1], 35), ACTIVATIONS[act]())
    assert assert_as_good(model, 3 * torch.randn(shape), row, hidden=True) == {f"linear: {row}": 1}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_our_own_convolution_of_each_channel(act: str, stride: int) -> None:
    row = "own kernel, a filter for each channel, channels last, fused"
    filters = nn.Conv2d(43, 43, (3, 5), padding=(1, 2), stride=stride, groups=43, bias=stride == 1)
    model = nn.Sequential(filters, lively(nn.BatchNorm2d(43)), ACTIVATIONS[act]())
    assert assert_as_good(model, torch.randn(2, 43, 9, 8), row, hidden=True) == {f"convolution: {row}": 1}


SEQUENCES: dict[str, dict[str, Any]] = {
    "padded": {"padding": 3},
    "strided": {"stride": 2, "bias": False},
    "dilated": {"dilation": 3, "padding": 1},
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("act", ["relu", "silu", "tanh", "gelu"])
def test_our_own_convolution_of_each_channel_along_a_sequence(act: str, sequence: str) -> None:
    row = "own kernel, a filter for each channel, channels last, fused"
    model = nn.Sequential(nn.Conv1d(43, 43, 4, groups=43, **SEQUENCES[sequence]), ACTIVATIONS[act]())
    for x in (torch.randn(2, 43, 21), torch.randn(2, 21, 43).transpose(1, 2)):
        chosen = assert_as_good(model, x, row, hidden=True)
        assert chosen == {f"convolution along one axis: {row}": 1}
    other = nn.Sequential(nn.Conv1d(8, 4, 3, groups=4), nn.ReLU())
    assert assert_as_good(other, torch.randn(2, 8, 21), row, hidden=True) == {}


@pytest.mark.parametrize(("taps", "packed"), [(8, 1), (64, 0)])
def test_long_sums_are_not_left_to_onednn(taps: int, packed: int) -> None:
    row = "oneDNN, packed weight, channels last, fused"
    model = nn.Sequential(nn.Conv2d(128, 4, (taps, 1)), nn.ReLU())
    chosen = assert_as_good(model, torch.randn(1, 128, 70, 1), row, hidden=True)
    assert chosen.get(f"convolution: {row}", 0) == packed


WINOGRAD = {
    side: f"own kernel over tiles of {side}×{side} (Winograd), channels last, fused" for side in (2, 4)
}
#: Images, filters, padding.
TILED: dict[str, tuple[tuple[int, ...], int, Any]] = {
    "odd sizes": ((3, 37, 9, 7), 19, 1),
    "one row": ((1, 8, 1, 13), 16, 1),
    "one pixel": ((2, 5, 1, 1), 3, 1),
    "no padding": ((1, 16, 6, 5), 33, 0),
    "wide padding": ((1, 16, 5, 6), 16, (2, 3)),
    "many channels": ((1, 300, 8, 8), 130, 1),
}


@pytest.mark.parametrize("side", WINOGRAD)
@pytest.mark.parametrize("tiled", TILED)
@pytest.mark.parametrize("act", ["none", "relu", "gelu", "tanh"])
def test_convolutions_in_tiles(act: str, tiled: str, side: int) -> None:
    class Block(nn.Module):
        def __init__(self, channels: int, filters: int, padding: Any) -> None:
            super().__init__()
            self.main = nn.Conv2d(channels, filters, 3, padding=padding)
            self.side = nn.Conv2d(channels, filters, 3, padding=padding, bias=False)
            self.act = ACTIVATIONS[act]()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.act(self.main(x) + self.side(x))
            return result

    sizes, filters, padding = TILED[tiled]
    x = torch.randn(sizes).contiguous(memory_format=torch.channels_last)
    chosen = assert_as_good(
        Block(sizes[1], filters, padding), x, WINOGRAD[side], hidden=False, least=16 * side
    )
    assert chosen == {f"convolution: {WINOGRAD[side]}": 2}


@pytest.mark.parametrize("side", WINOGRAD)
@pytest.mark.parametrize("geometry", [name for name in GEOMETRIES if name != "3×3"])
def test_other_convolutions_have_no_tiles(geometry: str, side: int) -> None:
    model = nn.Conv2d(8, 16, **GEOMETRIES[geometry])
    assert assert_as_good(model, torch.randn(1, 8, 9, 7), WINOGRAD[side], hidden=False) == {}


def test_tiles_are_of_the_reals_alone() -> None:
    model, x = nn.Conv2d(8, 16, 3, padding=1).eval(), torch.randn(1, 8, 9, 9)
    x = x.contiguous(memory_format=torch.channels_last)
    graph, _, positions = captured(model, x)
    for side, row in WINOGRAD.items():
        found = lowering.lower(graph, positions, Preferring(row), reals=True)
        assert found is not None and list(found.implementations) == [f"convolution: {row}"], side
        found = lowering.lower(graph, positions, Preferring(row))
        assert found is None or f"convolution: {row}" not in found.implementations


@pytest.mark.parametrize("numerics", ["reassociate", "reals"])
def test_tiles_are_admitted_by_the_option(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tiles(Preferring):
        def __init__(self, *_: Any) -> None:
            super().__init__(WINOGRAD[2])

        def of(self, unit: Any, competing: Any) -> dict[str, float]:
            times = super().of(unit, competing)
            return times | {row.as_step: times[row.name] for row in competing if row.is_step}

    monkeypatch.setattr("hypatia_core.decisions.KeptTimings", Tiles)
    convolution = nn.Conv2d(16, 16, 3, padding=1)
    model = nn.Sequential(convolution, nn.ReLU()).eval().requires_grad_(False)
    x = torch.randn(1, 16, 12, 12).contiguous(memory_format=torch.channels_last)
    options = {"numerics": numerics, "executor": "aten", "cache": False, "on_error": "raise"}
    served = hypatia_core.compile(model, (x,), options=options)
    torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-5)
    (report,) = hypatia_core.report(served).graphs
    tiled = [name for name in report.implementations if "Winograd" in name]
    assert len(tiled) == (numerics == "reals")
    with torch.no_grad():
        convolution.weight.mul_(-2)
    torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 8])
def test_our_own_convolutions_add_before_they_activate(groups: int) -> None:
    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(8, 8, 1, groups=groups)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.relu6(x + self.convolution(x))

    kind = "over pixels, weight in panels" if groups == 1 else "a filter for each channel"
    row = f"own kernel {kind}, channels last, fused".replace("kernel a", "kernel, a")
    chosen = assert_as_good(Added(), torch.randn(2, 8, 5, 6), row, hidden=True)
    assert chosen == {f"convolution: {row}": 1}


class Heads(nn.Module):
    """Attention over heads that projections leave side by side, under a mask that its inputs do not say."""

    mask: torch.Tensor | None

    def __init__(self, mask: torch.Tensor | None, causal: bool, scale: float | None) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(24, 72), nn.Linear(24, 24)
        self.register_buffer("mask", mask)
        self.causal, self.scale = causal, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, tokens, width = x.shape
        q, k, v = self.inward(x).view(rows, tokens, 3, 3, 8).permute(2, 0, 3, 1, 4)
        mask = None if self.mask is None else self.mask.to(x.dtype)
        y = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal, scale=self.scale)
        projected: torch.Tensor = self.outward(y.transpose(1, 2).reshape(rows, tokens, width))
        return projected


MASKS: dict[str, torch.Tensor | None] = {
    "none": None,
    "rows": torch.where(torch.arange(19) < 11, 0.0, -math.inf).expand(19, 19),
    "heads": torch.linspace(-2, 2, 3 * 19 * 19).view(1, 3, 19, 19),
    "keys": torch.linspace(-1, 1, 2 * 19).view(2, 1, 1, 19),
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("mask", [*MASKS, "causal"])
@pytest.mark.parametrize("row", names("attention"))
def test_attention(row: str, mask: str, scale: float | None, hidden: bool) -> None:
    model = Heads(MASKS.get(mask), mask == "causal", scale)
    chosen = assert_as_good(model, torch.randn(2, 19, 24), row, hidden)
    assert chosen == ({} if row == "torch" else {f"attention: {row}": 1})


def test_a_query_that_sees_no_key_gets_what_torch_gives_it() -> None:
    q, k, v = torch.randn(3, 1, 2, 7, 16)
    mask = torch.zeros(7, 7)
    mask[3] = -math.inf
    found = torch.ops.hypatia.attention(q, k, v, mask, False, 0.25)
    expected = functional.scaled_dot_product_attention(q, k, v, mask, scale=0.25)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_no_number_is_seen_in_attention() -> None:
    q, k, v = torch.randn(3, 1, 1, 9, 16)
    q[0, 0, 4, 2] = math.nan
    found = torch.ops.hypatia.attention(q, k, v, None, False, 0.25)
    assert found[0, 0, 4].isnan().all() and not found[0, 0, 5].isnan().any()


def test_our_kernels_refuse_what_is_not_float32_or_does_not_fit() -> None:
    ours = torch.ops.hypatia
    x, weight = torch.randn(3, 8), torch.randn(5, 8)
    panels = ours.panels_of_weight(weight)
    none: tuple[str, list[float], str] = ("none", [], "")
    assert ours.linear_on_panels(x, panels, None, None, 5, *none).shape == (3, 5)
    for wrong in (x.double(), x.half()):
        with pytest.raises(ValueError, match="takes float32"):
            ours.linear_on_panels(wrong, panels, None, None, 5, *none)
    for bias, other in ((torch.zeros(4), None), (None, torch.zeros(3, 4))):
        with pytest.raises(ValueError, match="on panels: operands"):
            ours.linear_on_panels(x, panels, bias, other, 5, *none)
    with pytest.raises(ValueError, match="on panels: operands"):
        ours.linear_on_panels(x, panels, None, None, 40, *none)
    image = torch.randn(1, 8, 4, 4)
    with pytest.raises(ValueError, match="takes float32"):
        ours.pixels_on_panels(image.double(), panels, None, None, 5, *none)
    filters, once = torch.randn(3, 3, 8), ([1, 1], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="takes float32"):
        ours.depthwise_convolution(image.half(), filters, None, *once, *none)
    with pytest.raises(ValueError, match="bias of another size"):
        ours.depthwise_convolution(image, filters, torch.zeros(7), *once, *none)
    heads = torch.randn(1, 2, 4, 8)
    with pytest.raises(ValueError, match="takes float32"):
        ours.attention(heads, heads, heads, torch.zeros(4, 4).half(), False, 1.0)
