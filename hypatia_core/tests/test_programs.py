"""The executor "native": what it writes means what the graph means, and the machine does what is written."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812 - its usual name

import hypatia_core
from agreement import assert_agrees, hypatia
from hypatia_core import native
from hypatia_core._hypatia_core import NativeProgram
from hypatia_core.executors.native import Native
from hypatia_core.native.pointwise import OF_BOOL, POINTWISE
from hypatia_core.native.reductions import REDUCTIONS
from hypatia_core.native.views import Buffer, View, contiguous, refined, restrided
from native_reference import Reference

pytestmark = pytest.mark.usefixtures("one_thread")

aten = torch.ops.aten
#: The machine, and the oracle in torch that the tests have.
MACHINES = [pytest.param(Reference, id="reference"), pytest.param(NativeProgram, id="machine")]
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-40, -1e-40, 3e38, 88.8, -104.0, 0.5, 2.5)

Make = Callable[[str], Any]


def captured(function: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> fx.GraphModule:
    """A function as a functional graph with fake values."""
    return make_fx(lambda *given: function(*given), tracing_mode="fake")(*inputs)


def programs(function: Callable[..., Any], *inputs: torch.Tensor) -> list[native.Written]:
    return native.phases(captured(function, inputs).graph)[1]


def steps(function: Callable[..., Any], *inputs: torch.Tensor) -> list[dict[str, Any]]:
    """The steps of a function that is one program."""
    (written,) = programs(function, *inputs)
    found: list[dict[str, Any]] = json.loads(written.text)["steps"]
    return found


def run(make: Make, function: Callable[..., Any], *inputs: torch.Tensor) -> tuple[Any, Any]:
    """What the executor gives, and what torch gives."""
    graph = captured(function, inputs)
    fakes = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    executor = Native(make)
    ours, theirs = executor.compile(graph, fakes)(list(inputs)), graph(*inputs)
    both = [list(x) if isinstance(x, (list, tuple)) else [x] for x in (ours, theirs)]
    return both[0], both[1]


def strides(tensor: torch.Tensor) -> list[int]:
    """Of axes with more than one element: in the others torch's fake tensors differ from torch itself."""
    return [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1]


def assert_same(
    make: Make, function: Callable[..., Any], *inputs: torch.Tensor, tolerance: float = 1e-5
) -> None:
    kept = [x.clone() for x in inputs]
    ours, theirs = run(make, function, *inputs)
    assert len(ours) == len(theirs)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if b.is_floating_point() and not bool(b.isfinite().all()):
            # Some of torch's own vector code overflows early: gelu of infinity is no number with AVX-512.
            # What torch has in float64 is as good.
            wide = function(*(x.double() if x.is_floating_point() else x for x in inputs))
            exact = (wide[i] if isinstance(wide, (list, tuple)) else wide).to(b.dtype)
            b = torch.where(~b.isfinite() & ((a == exact) | (a.isnan() & exact.isnan())), a, b)
        torch.testing.assert_close(a, b, equal_nan=True, rtol=tolerance, atol=tolerance)
        assert strides(a) == strides(theirs[i])
    for a, b in zip(kept, inputs, strict=True):
        assert torch.equal(a.nan_to_num(5), b.nan_to_num(5)), "an input was changed"


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


def special(*shape: int) -> torch.Tensor:
    x = torch.randn(shape) * 3
    values = torch.tensor(SPECIAL)
    return torch.where(torch.rand(shape) < 0.5, values[torch.randint(len(values), shape)], x)


#: What an overload's other arguments are, where it is not called with tensors alone.
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "aten::pow.Tensor_Scalar": [("t", n) for n in (2, 3, 0.5, -0.5, -1, -2, 1.7, 0, 1)],
    "aten::pow.Scalar": [(2.0, "t"), (0.5, "t")],
    "aten::clamp": [("t", -0.5, 0.5), ("t", None, 1.0), ("t", -math.inf)],
    "aten::clamp.Tensor": [("t", "t", "t"), ("t", None, "t"), ("t", "t")],
    "aten::clamp_min": [("t", 0.5)],
    "aten::clamp_max": [("t", 0.5)],
    "aten::hardtanh": [("t",), ("t", -2.0, 3.0)],
    "aten::elu": [("t",), ("t", 0.5, 2.0, 1.5)],
    "aten::leaky_relu": [("t",), ("t", 0.2)],
    "aten::softplus": [("t",), ("t", 2.0, 5.0)],
    "aten::where.self": [("b", "t", "t")],
    "aten::where.ScalarSelf": [("b", 1.5, "t")],
    "aten::where.ScalarOther": [("b", "t", -1.5)],
    "aten::where.Scalar": [],  # of two numbers torch makes float64
    "aten::masked_fill.Scalar": [("t", "b", -math.inf)],
    "aten::masked_fill.Tensor": [("t", "b", "0")],
    "aten::logical_and": [("b", "t"), ("b", "b")],
    "aten::logical_or": [("b", "t"), ("t", "t")],
    "aten::logical_not": [("b",), ("t",)],
    "aten::threshold_backward": [("t", "t", 0.5)],
    "aten::rsub.Scalar": [("t", 2.0), ("t", 2.0, 3.0)],
    "aten::add.Scalar": [("t", 2.0), ("t", 2.0, 3.0)],
    "aten::sub.Scalar": [("t", 2.0)],
    "aten::mul.Scalar": [("t", 2.0)],
    "aten::div.Scalar": [("t", 3.0)],
    **{f"aten::{name}.Scalar": [("t", 0.5)] for name in ("gt", "ge", "lt", "le", "eq", "ne")},
}
#: Where torch's own function is a good deal less exact than rounding, or cancels.
WIDE = {
    "aten::tanh_backward": 1e-4,
    "aten::gelu_backward": 1e-4,
    "aten::exp2": 1e-4,
    "aten::pow.Tensor_Tensor": 1e-4,
}
#: Rounded once here and twice there, or in another order, which shows where a product overflows.
CONTRACTED = {"aten::addcmul", "aten::hardswish"}


def arguments(target: Any) -> list[tuple[Any, ...]]:
    schema = target._schema
    name = schema.name + (f".{schema.overload_name}" if schema.overload_name else "")
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    tensors = [a for a in schema.arguments if str(a.type) == "Tensor"]
    return [("t",) * len(tensors)]


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("target", list(POINTWISE), ids=str)
def test_each_row_of_elements(target: Any, make: Make) -> None:
    name = target._schema.name
    tolerance = WIDE.get(
        name + (f".{target._schema.overload_name}" if target._overloadname != "default" else ""), 1e-5
    )
    for given_arguments in arguments(target):
        odd = drawn if name in CONTRACTED else special
        for shape, make_input in (((37,), drawn), ((3, 5, 17), odd), ((4, 1), drawn), ((), drawn)):
            tensors: list[torch.Tensor] = []
            places: list[Any] = []
            for argument in given_arguments:
                if argument in ("t", "b", "0") and isinstance(argument, str):
                    x = make_input(*(() if argument == "0" else shape))
                    tensors.append(x > 0 if argument == "b" else x)
                    places.append(len(tensors) - 1)
                else:
                    places.append((argument,))

            def function(*given: torch.Tensor, places: list[Any] = places) -> Any:
                taken = [given[p] if isinstance(p, int) else p[0] for p in places]
                # Two operations: one alone would not be worth a program.
                return target(*taken), target(*taken)

            assert_same(make, function, *tensors, tolerance=tolerance)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("target", list(OF_BOOL), ids=str)
def test_each_row_of_bool(target: Any, make: Make) -> None:
    a, b = torch.rand(5, 7) > 0.5, torch.rand(5, 1) > 0.5
    count = len([x for x in target._schema.arguments if str(x.type) == "Tensor"])
    assert_same(make, lambda a, b: (target(*(a, b)[:count]), target(*(b, a)[:count])), a, b)


REDUCED: dict[Any, list[tuple[Any, ...]]] = {
    **{t: [((1,),), ((0, 2), True), ((1, 2),), ((0,),)] for t in (aten.sum.dim_IntList, aten.mean.dim)},
    **{t: [((-1,),), ((0, 1), True)] for t in (aten.amax.default, aten.amin.default)},
    **{t: [()] for t in (aten.sum.default, aten.mean.default, aten.max.default, aten.min.default)},
    aten.prod.default: [()],
    aten.prod.dim_int: [(-1,), (0, True)],
    aten._softmax.default: [(-1, False)],
    aten._safe_softmax.default: [(2,)],
    aten._log_softmax.default: [(-1, False)],
    aten.linalg_vector_norm.default: [(2, [-1]), (2.0, [0, 1], True), (2,)],
    **{t: [(1,), (0, True)] for t in (aten.any.dim, aten.all.dim)},
    **{t: [([0, 1],)] for t in (aten.any.dims, aten.all.dims)},
    **{t: [()] for t in (aten.any.default, aten.all.default)},
}


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("target", list(REDUCED), ids=str)
def test_each_row_of_reductions(target: Any, make: Make) -> None:
    of_bool = target._schema.name in ("aten::any", "aten::all")
    for shape in ((3, 4, 5), (2, 1, 9), (1, 3, 130)):
        x = drawn(*shape)
        for rest in REDUCED[target]:
            assert_same(
                make, lambda x, rest=rest: (target(x, *rest), target(x, *rest)), x > 0 if of_bool else x
            )


@pytest.mark.parametrize("make", MACHINES)
def test_norms_and_gradients_over_rows(make: Make) -> None:
    x, w, b, g = drawn(2, 5, 24), drawn(24), drawn(24), drawn(2, 5, 24)
    assert_same(make, lambda x, w, b: aten.native_layer_norm(x, [24], w, b, 1e-5), x, w, b)
    assert_same(make, lambda x, w: aten.native_layer_norm(x, [24], w, None, 1e-5), x, w)
    assert_same(make, lambda x: aten.native_layer_norm(x, [5, 24], None, None, 1e-5), x)
    assert_same(make, lambda x, w: aten._fused_rms_norm(x, [24], w, 1e-6), x, w)
    assert_same(make, lambda x, y: aten._softmax_backward_data(x, y.softmax(-1), -1, torch.float32), g, x)
    assert_same(make, lambda x, y: aten._log_softmax_backward_data(x, y, -1, torch.float32) * 2, g, x)
    assert_same(
        make, lambda x: (aten.var.correction(x, [-1]), aten.var.correction(x, [1, 2], correction=0)), x
    )
    hidden = torch.full((2, 5, 24), -math.inf)
    assert_same(make, lambda x: (aten._safe_softmax(x, -1), x + 1), hidden)
    covered = {*REDUCED, aten.native_layer_norm.default, aten._fused_rms_norm.default, aten.var.correction}
    covered |= {aten._softmax_backward_data.default, aten._log_softmax_backward_data.default}
    assert covered == set(REDUCTIONS), "every row is tried"


def rotary(q: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = q.shape[-1] // 2
    return q * cos + torch.cat([-q[..., half:], q[..., :half]], -1) * sin


def scanned(step: torch.Tensor, x: torch.Tensor, decay: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """A recurrence along the second axis, unrolled."""
    kept, added = (step.unsqueeze(-1) * decay).exp(), (step * x).unsqueeze(-1) * read.unsqueeze(2)
    state = torch.zeros(*x.shape[::2], read.shape[-1])
    states = []
    for t in range(step.shape[1]):
        state = kept[:, t] * state + added[:, t]
        states.append((state * read[:, t].unsqueeze(1)).sum(-1))
    return torch.stack(states, 1)


#: A function, its inputs, and how many steps of which kinds it becomes.
CASES: dict[str, tuple[Callable[..., Any], Callable[[], tuple[torch.Tensor, ...]], list[str]]] = {
    "elements": (lambda x, y: (x + y).relu() * 2, lambda: (drawn(3, 4), drawn(4)), ["rows"]),
    "norm of a sum": (
        lambda x, y, w, b: F.layer_norm(x + y, [8], w, b),
        lambda: (drawn(2, 5, 8), drawn(2, 5, 8), drawn(8), drawn(8)),
        ["rows"],
    ),
    "masked scores": (
        lambda x, m: torch.softmax(x * 0.5 + m, -1),
        lambda: (drawn(2, 3, 4, 6), drawn(1, 1, 4, 6)),
        ["rows"],
    ),
    "root mean square": (
        lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w,
        lambda: (drawn(2, 5, 8), drawn(8)),
        ["rows"],
    ),
    "rotary": (rotary, lambda: (drawn(1, 3, 5, 8), drawn(1, 1, 5, 8), drawn(1, 1, 5, 8)), ["rows"] * 3),
    "gated": (lambda x: F.silu(x[..., :4]) * x[..., 4:], lambda: (drawn(5, 8),), ["rows"]),
    "other sizes": (
        lambda x, w: (x.view(10, 8) + w).view(2, 5, 2, 4) * 3,
        lambda: (drawn(2, 5, 8), drawn(8)),
        ["rows"],
    ),
    "another order": (
        lambda x, w: ((x + w).view(2, 5, 2, 4).transpose(1, 2) * 3).reshape(4, 20).exp(),
        lambda: (drawn(2, 5, 8), drawn(8)),
        ["rows"] * 2,
    ),
    "a number a row": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1).sqrt(),
        lambda: (drawn(5, 8),),
        ["rows"],
    ),
    "without keeping it": (
        lambda x: x / x.abs().sum(-1).clamp_min(1e-3).unsqueeze(-1),
        lambda: (drawn(5, 8),),
        ["rows"],
    ),
    "expanded": (
        lambda x: x.sum(-1, keepdim=True).expand(5, 8) * x,
        lambda: (drawn(5, 8),),
        ["rows"],
    ),
    "joined ends": (
        lambda x, y: torch.cat([x.exp(), y.neg()], 0) + 1,
        lambda: (drawn(2, 8), drawn(3, 8)),
        ["rows"] * 3,
    ),
    "scores": (
        lambda q, k, v: torch.softmax(q @ k.transpose(-1, -2) * 0.3, -1) @ v,
        lambda: tuple(drawn(2, 3, 5, 4) for _ in range(3)),
        ["matmul", "rows", "matmul"],
    ),
    "words": (
        lambda i, w, p: F.layer_norm(F.embedding(i, w) + p, [8]),
        lambda: (torch.randint(0, 9, (2, 5)), drawn(9, 8), drawn(1, 5, 8)),
        ["gather", "rows"],
    ),
    "images": (
        lambda x: (x.to(memory_format=torch.channels_last) * 2).relu().mean((2, 3)),
        lambda: (drawn(2, 3, 4, 4),),
        ["rows"],
    ),
    "places that are repeated": (
        lambda x: torch.stack([y[i] for y in [x.sin().unbind(-1)] for i in (0, 1, 1, 2, 1, 3, 0, 4)], -1),
        lambda: (drawn(7, 30, 5),),
        ["rows", "rows"],
    ),
    "places made of places": (
        lambda x: torch.stack([x[..., 0], x[..., 1] * x[..., 2], x[..., 3].exp(), x[..., 4] + 1], -1),
        lambda: (drawn(7, 30, 5),),
        ["rows"],
    ),
    "read in parts": (
        lambda x, y: (x * y).exp()[:, ::2] + (x * y).sin()[:, 1::2],
        lambda: (drawn(4, 6), drawn(6)),
        ["rows"],
    ),
    "read in parts and whole": (
        lambda x: [x.exp()[0] * 2, *((y := x.sin()), y[1] * 2)],
        lambda: (drawn(4, 6),),
        ["rows"] * 3,
    ),
    "read in parts that overlap": (
        lambda x: (y := x.exp())[:3] * y[1:],
        lambda: (drawn(4, 6),),
        ["rows"] * 2,
    ),
    "a scan": (
        scanned,
        lambda: (drawn(1, 4, 20), drawn(1, 4, 20), drawn(20, 16), drawn(1, 4, 16)),
        ["rows"] * 2,
    ),
    "products of many rows": (
        lambda x, w: (x @ w).relu() @ w.t(),
        lambda: (drawn(80, 40), drawn(40, 32)),
        ["matmul", "rows", "matmul"],
    ),
    "a product of turned rows": (
        lambda x, g: (x.t() @ g, g.exp()),
        lambda: (drawn(300, 72), drawn(300, 32)),
        ["matmul", "rows"],
    ),
    "a sum of rows": (
        lambda x: x.exp().sum((1, 0), keepdim=True),
        lambda: (drawn(20, 15, 128),),
        ["rows", "rows", "matmul"],
    ),
    "two groups that meet": (
        lambda x, y: (x.exp() * 2) + (y.sin() * 3),
        lambda: (drawn(4, 6), drawn(4, 6)),
        ["rows"],
    ),
}


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("name", list(CASES))
def test_what_is_fused(name: str, make: Make) -> None:
    function, inputs, kinds = CASES[name]
    given_inputs = inputs()
    assert [step["step"] for step in steps(function, *given_inputs)] == kinds
    assert_same(make, function, *given_inputs)


@pytest.mark.parametrize("make", MACHINES)
def test_what_is_returned(make: Make) -> None:
    x, y = drawn(5, 8), drawn(5, 8)
    assert_same(make, lambda x: (x.relu(), x.relu().t().contiguous(), x), x)
    assert_same(make, lambda x: ((x + 1).view(40), (x * 2).t(), x.t(), (x * 3)[1:]), x)
    assert_same(make, lambda x: [a * b for a in x.split(4, -1) for b in x.chunk(2, -1)], x)
    assert_same(make, lambda x, y: (torch.stack([x + 1, y], 1), torch.cat([x * 2, y], 1)), x, y)
    assert_same(make, lambda x: (torch.full((3, 4), 2.5), x.exp() + torch.ones_like(x), torch.zeros(2)), x)
    assert_same(make, lambda x: (x.exp(), x.exp().clone(), x.sin() + 1), x)
    assert_same(make, lambda x: ((x > 0).float() * 2, (x > 0) & (x < 1), x.bool().logical_not()), x)
    assert_same(make, lambda x: (x.expand(3, 5, 8).contiguous() * 2, x.t().clone()), x)
    assert_same(make, lambda x: (x.t() * 2 + 1, x[::2, 1:5].neg().abs()), x)


@pytest.mark.parametrize("make", MACHINES)
def test_around_what_is_not_known(make: Make) -> None:
    x = drawn(5, 8)
    assert_same(make, lambda x: ((x + 1).relu().cumsum(0) * 2).tanh().neg().cumsum(1).sin() * 0.5, x)
    assert_same(make, lambda x: (x.exp() + 1).cumsum(0) + (x.exp() * 2).view(8, 5).cumsum(0).view(5, 8), x)
    assert_same(make, lambda x: (x.sort().values.relu() + 1, (x * 2 + 1).sort().values), x)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("masked", ["all", "mask", "causal"])
@pytest.mark.parametrize("turned", [False, True])
def test_attention_is_a_step(make: Make, masked: str, turned: bool) -> None:
    """Heads as a product leaves them, and with their positions outside."""
    q, k, v = (torch.randn(2, n, 3, 8) for n in (5, 7, 7))
    if masked == "causal":
        k, v = k[:, :5], v[:, :5]
    if turned:
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    masks = [torch.randn(1, 1, 5, 7)] if masked == "mask" else []

    def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
        heads = (x.transpose(1, 2) for x in (q * 1.5, k, v))
        mask = masks[0] if masks else None
        return torch.relu(torch.ops.hypatia.attention(*heads, mask, masked == "causal", 0.3) + 1)

    assert "attention" in {step["step"] for step in steps(function, q, k, v, *masks)}
    assert_same(make, function, q, k, v, *masks)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("activation", [("none", [], ""), ("relu", [], ""), ("gelu", [], "none")])
def test_convolutions_are_steps(make: Make, activation: tuple[str, list[float], str]) -> None:
    """A filter for each channel, and pixels by a weight in panels with a sum."""
    x = torch.randn(2, 7, 9, 5).contiguous(memory_format=torch.channels_last)
    filters, bias, weight = torch.randn(3, 3, 7), torch.randn(7), torch.randn(11, 7)
    panels = torch.ops.hypatia.panels_of_weight(weight)
    other = torch.randn(2, 11, 5, 5).contiguous(memory_format=torch.channels_last)

    def function(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        filters, bias, panels, other = given
        wide = torch.ops.hypatia.depthwise_convolution(
            x * 2, filters, bias, [2, 1], [1, 1], [1, 1], *activation
        )
        pixels = torch.ops.hypatia.pixels_on_panels(wide, panels, None, other, 11, *activation)
        return torch.relu(pixels) + 1

    given = (x, filters, bias, panels, other)
    assert {"depthwise", "linear"} <= {step["step"] for step in steps(function, *given)}
    assert_same(make, function, *given, tolerance=1e-4)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("activation", [("none", [], ""), ("hardtanh", [-1.0, math.inf], "")])
@pytest.mark.parametrize(
    ("taps", "stride", "padding", "dilation"),
    [([3, 3], [1, 1], [1, 1], [1, 1]), ([1, 1], [2, 2], [0, 0], [1, 1]), ([2, 3], [2, 1], [1, 2], [1, 2])],
)
def test_a_convolution_over_windows_is_a_step(
    make: Make,
    added: bool,
    activation: tuple[str, list[float], str],
    taps: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> None:
    x = torch.randn(2, 7, 9, 6).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(19, taps[0] * taps[1] * 7), torch.randn(19)
    panels = torch.ops.hypatia.panels_of_weight(weight)
    of_windows, geometry = torch.ops.hypatia.convolution_on_panels, (taps, stride, padding, dilation)
    other = torch.randn_like(of_windows(x, panels, bias, None, 19, *geometry, "none", [], ""))

    def function(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        panels, bias, other = given
        y: torch.Tensor = of_windows(
            x * 2, panels, bias, other if added else None, 19, *geometry, *activation
        )
        return y * 3

    given = (x, panels, bias, other)
    assert [step["step"] for step in steps(function, *given)] == ["rows", "convolution", "rows"]
    assert_same(make, function, *given, tolerance=1e-4)


@pytest.mark.parametrize("make", MACHINES)
def test_a_concatenation_that_is_returned_under_other_sizes(make: Make) -> None:
    x = drawn(2, 6)
    assert_same(make, lambda x: torch.cat([x.relu(), x + 1]).reshape(24), x)
    assert_same(make, lambda x: torch.cat([x.relu(), x + 1], 1).reshape(6, 4), x)
    assert_same(make, lambda x: torch.cat([x.t(), x.t()]).reshape(3, 8) * 1, x)
    assert_same(make, lambda x: torch.cat([x.relu(), x + 1]).t().reshape(4, 6), x)


@pytest.mark.parametrize("make", MACHINES)
def test_what_is_returned_under_two_sizes(make: Make) -> None:
    x = drawn(4, 4)
    assert_same(make, lambda x: ((y := (x.t() + 1) * 2), y.reshape(16).clone(), x.relu()), x)
    assert_same(make, lambda x: ((y := (x + 1) * 2), y.reshape(16).clone(), y.t().reshape(2, 8).clone()), x)


def test_an_operation_alone_is_not_worth_a_program() -> None:
    x = drawn(5, 8)
    graph = captured(lambda x: x.cumsum(0).relu().cumsum(1), [x])
    assert Native(Reference).refusal(graph) is not None and not Native(Reference).claims(graph)
    graph = captured(lambda x: (x.cumsum(0).relu() * 2).cumsum(1), [x])
    assert Native(Reference).account(graph) == "2 operations in 1 programs; outside: cumsum (2)"


def test_large_products_of_few_rows_are_left_to_libraries() -> None:
    for rows, columns, outside in ((64, 16, False), (63, 16, True), (64, 15, True), (1 << 13, 16, True)):
        graph = captured(lambda x, w: (x @ w).relu() * 2, [drawn(rows, 300), drawn(300, columns)])
        assert ("outside: mm" in Native(Reference).account(graph)) is outside


@pytest.mark.parametrize("make", MACHINES)
def test_inputs_that_lie_otherwise(make: Make) -> None:
    x, y = drawn(6, 8), drawn(6, 8)
    graph = captured(lambda x, y: (x + y).relu() * 2, [x, y])
    run_it = Native(make).compile(graph, [n.meta["val"] for n in graph.graph.nodes if n.op == "placeholder"])
    for a in (
        x,
        x.t().contiguous().t(),
        torch.cat([x, x], 1)[:, ::2],
        nn.Parameter(x),
        x[:, :1].expand(6, 8),
    ):
        (ours,) = [run_it([a, y])] if isinstance(run_it([a, y]), torch.Tensor) else run_it([a, y])
        assert torch.equal(ours, (a + y).relu() * 2)


@pytest.mark.parametrize("make", MACHINES)
def test_folded_values_are_bound_to_a_call(make: Make) -> None:
    def function(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.relu(x + shift) * scale, scale + 1.0)

    inputs = torch.randn(3, 8), torch.randn(8), torch.randn(8)
    graph = captured(function, inputs)
    fakes = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    over = Native(make).over_folded(graph, fakes, 1)
    assert over is not None
    for folded in ([torch.randn(8), torch.randn(8)], [torch.randn(16)[::2], torch.randn(8)]):
        run = over(folded)  # the second time one lies otherwise, and torch runs it
        # Inputs like those before, others, and ones that lie otherwise.
        for x in (inputs[0], torch.randn(3, 8), torch.randn(8, 3).t()):
            given = [x]
            for ours, theirs in zip(run(given), graph(x, *folded), strict=True):
                torch.testing.assert_close(ours, theirs)
            assert given == []
    # All inputs may be folded ones.
    alone = Native(make).over_folded(graph, fakes, 0)
    assert alone is not None
    for ours, theirs in zip(alone(list(inputs))([]), graph(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_changed_weight_is_seen_by_a_bound_call() -> None:
    first, last = nn.LayerNorm(16), nn.LayerNorm(16)
    model = nn.Sequential(first, nn.GELU(), last).eval()
    x = torch.randn(4, 16)
    with torch.inference_mode():
        served = hypatia_core.compile(model, (x,), options={"executor": "native", "measure": False})
        torch.testing.assert_close(served(x), model(x))
        first.weight.mul_(2.0)
        torch.testing.assert_close(served(x), model(x))
        last.bias.data = torch.randn(16)
        torch.testing.assert_close(served(x), model(x))


def test_threads_call_one_program() -> None:
    x = [drawn(64, 33) for _ in range(8)]
    graph = captured(lambda x: torch.softmax((x * 2).exp().neg(), -1) + x.sin(), x[:1])
    run_it = Native().compile(graph, [next(iter(graph.graph.nodes)).meta["val"]])
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            found = run_it([x[i]])
            found = found if isinstance(found, torch.Tensor) else found[0]
            if not torch.allclose(found, graph(x[i]), atol=1e-6):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_index_out_of_range_is_an_error_of_the_call() -> None:
    function = lambda i, w: F.embedding(i, w) * 2  # noqa: E731
    i, w = torch.tensor([1, 2]), drawn(5, 8)
    graph = captured(function, [i, w])
    run_it = Native().compile(graph, [n.meta["val"] for n in graph.graph.nodes if n.op == "placeholder"])
    with pytest.raises(IndexError, match="out of range"):
        run_it([torch.tensor([1, 7]), w])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(32, 64), nn.Linear(64, 32), nn.LayerNorm(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.norm(x + self.second(F.gelu(self.first(x))))
        return found


def test_the_whole_way_at_inference() -> None:
    model, x = Encoder().eval(), torch.randn(2, 9, 32)
    with torch.no_grad():
        compiled = assert_agrees(model, x, executor="native")
        (graph,) = hypatia_core.report(compiled).graphs
        assert "programs" in graph.programs and "programs   " in str(graph)
        model.norm.weight.mul_(3)
        assert_agrees(model, x, compiled=compiled)
        model.first.weight.data.neg_()
        assert_agrees(model, x, compiled=compiled)


def test_the_whole_way_in_training() -> None:
    model, x = Encoder(), torch.randn(2, 9, 32)
    compiled = hypatia(model, executor="native", measure=False)
    compiled(x).square().sum().backward()
    ours, model.first.weight.grad = model.first.weight.grad, None
    model(x).square().sum().backward()
    torch.testing.assert_close(ours, model.first.weight.grad, rtol=1e-4, atol=1e-4)


SHAPES = [(4, 6), (1, 6), (6,), (4, 1), (2, 4, 6), (24,), (4, 3, 2)]
UNARY = [
    "relu",
    "exp",
    "neg",
    "sigmoid",
    "square",
    "t",
    "flat",
    "sum",
    "mean",
    "softmax",
    "clone",
    "half",
    "cumsum",
]


@st.composite
def graphs(draw: st.DrawFn) -> list[Any]:
    return [
        (
            draw(st.sampled_from([*UNARY, "add", "mul", "cat", "where"])),
            draw(st.integers(0, 9)),
            draw(st.integers(0, 9)),
        )
        for _ in range(draw(st.integers(2, 12)))
    ]


def interpreted(program: list[Any], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    values = list(inputs)
    for name, i, j in program:
        x, y = values[i % len(values)], values[j % len(values)]
        if name in ("relu", "neg", "sigmoid", "clone", "square"):
            made = getattr(torch, name)(x)
        elif name == "exp":
            made = x.clamp(-3, 3).exp()
        elif name == "t":
            made = x.transpose(0, -1)
        elif name == "flat":
            made = x.reshape(-1)
        elif name in ("sum", "mean"):
            made = getattr(x, name)(-1, keepdim=bool(j % 2)) if x.dim() > 1 else getattr(x, name)()
            made = made if made.dim() else made.reshape(1)
        elif name == "softmax":
            made = x.softmax(-1)
        elif name == "cumsum":
            made = x.cumsum(0)
        elif name == "half":
            made = x[..., : (x.shape[-1] + 1) // 2]
        else:
            try:
                shape = torch.broadcast_shapes(x.shape, y.shape)
            except RuntimeError:
                continue
            if name == "cat":
                made = torch.cat([x.expand(shape), y.expand(shape)], 0)
            elif name == "where":
                made = torch.where(x > y, x, y)
            else:
                made = getattr(torch, name)(x, y)
        if made.numel() <= 400:
            values.append(made)
    return values[len(inputs) :] or [values[0] + 1]


@pytest.mark.parametrize("make", MACHINES)
@given(program=graphs(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_drawn_graphs(make: Make, program: list[Any], seed: int) -> None:
    torch.manual_seed(seed)
    inputs = [torch.randn(SHAPES[(seed + i) % len(SHAPES)]) for i in range(3)]

    def function(*given_inputs: torch.Tensor) -> list[torch.Tensor]:
        values = interpreted(program, given_inputs)
        return values[-1:] + values[seed % 3 :: 3]

    assert_same(make, function, *inputs, tolerance=1e-4)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.randoms(), st.data())
def test_steps_under_other_sizes(sizes: list[int], random: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(sizes))))
    x = torch.arange(math.prod(sizes)).view(sizes).permute(order)
    if data.draw(st.booleans()):
        x = x[:1].expand(x.shape)
    wanted = data.draw(st.permutations(list(x.shape)))
    wanted = [math.prod(wanted[:2]), *wanted[2:]]
    strides = restrided(tuple(x.shape), x.stride(), wanted)
    flat = x.reshape(wanted)
    if strides is None:
        with pytest.raises(RuntimeError):
            x.view(wanted)
    else:
        again = x.as_strided(wanted, strides)
        assert torch.equal(again, flat)
    finer = refined(sizes, wanted)
    if finer is not None:
        for coarse in (sizes, wanted):
            assert restrided(coarse, contiguous(coarse), finer) is not None
    assert View(Buffer(4, "float32", "scratch"), 0, (2, 2), (2, 1)).reversed_ends().strides == (1, 2)
