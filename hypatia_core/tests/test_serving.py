"""The serving path: right answers, live weights, and a clear error for what does not fit."""

from __future__ import annotations

import collections
import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import hypatia_core
from agreement import assert_near, same, widened
from hypatia_core import HypatiaError

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"executor": "aten", "on_error": "raise", "measure": False}


def serve(model: Any, *args: Any, dynamic_shapes: Any = None, **more: Any) -> hypatia_core.Served:
    options = {**QUICK, **more.pop("options", {})}
    return hypatia_core.compile(model, args, dynamic_shapes, options, **more)


class Everything(nn.Module):
    """Nested arguments, defaults, a buffer that it mutates, tied weights, None and numbers returned."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.register_buffer("calls", torch.zeros(1))
        self.shift = torch.ones(8)

    def forward(
        self, x: Tensor, pair: dict[str, list[Tensor]], nothing: None = None, *, scale: float = 2.0
    ) -> dict[str, Any]:
        self.calls.add_(1)
        y = self.second(self.norm(self.first(x))).relu() * scale
        return {"y": (y + self.shift, [pair["a"][0] * 2]), "none": nothing, "rows": x.shape[0]}


def pair() -> dict[str, list[Tensor]]:
    return {"a": [torch.randn(3)]}


def test_structures_keywords_and_mutated_buffers() -> None:
    model = Everything().eval()
    eager = copy.deepcopy(model)
    x, given = torch.randn(4, 8), pair()
    served = serve(model, x, given, example_kwargs={"scale": 3.0})
    assert model.calls.item() == 0, "compiling runs nothing on the model's own state"
    for _ in range(2):
        with torch.no_grad():
            ours, theirs = served(x, given, scale=3.0), eager(x, given, scale=3.0)
        assert ours.keys() == theirs.keys() and ours["none"] is None and ours["rows"] == 4
        assert type(ours["y"]) is tuple and type(ours["y"][1]) is list
        assert_near([ours["y"]], [theirs["y"]], [widened(theirs["y"])])
    assert model.calls.item() == 2
    assert same(served(x=x, pair=given, scale=3.0)["y"], ours["y"])


def test_the_fast_way_is_taken() -> None:
    served = serve(nn.Linear(4, 2), torch.randn(3, 4))
    slow: list[Any] = []
    served._fast._names["slow"] = lambda *a: slow.append(a)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert served(torch.randn(3, 4)).shape == (3, 2) and torch.is_grad_enabled() is grad
    assert not slow
    served(torch.randn(4, 3).t())
    assert slow


MISFITS: dict[str, tuple[Callable[[], Any], str]] = {
    "shape": (
        lambda: torch.randn(4, 4),
        r"input 'input' is float32\[4, 4\] on cpu; accepted: float32\[3, 4\]",
    ),
    "rank": (lambda: torch.randn(4), r"is float32\[4\] on cpu; accepted: float32\[3, 4\] on cpu"),
    "dtype": (lambda: torch.randn(3, 4).double(), r"is float64\[3, 4\] on cpu; accepted: float32"),
    "device": (lambda: torch.randn(3, 4, device="meta"), r"is float32\[3, 4\] on meta; accepted: .* on cpu"),
    "no tensor": (lambda: [1, 2], r"the arguments are \(\[…, …\]\); accepted: \(…\)"),
    "none": (lambda: None, "is of type NoneType; a tensor float32"),
    "sparse": (lambda: torch.randn(3, 4).to_sparse(), "torch.sparse_coo"),
    "gradient": (lambda: torch.randn(3, 4, requires_grad=True), "requires a gradient"),
    "conjugate": (
        lambda: torch._neg_view(torch.randn(3, 4)),
        "lazy conjugate or negation",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit(misfit: str) -> None:
    given, message = MISFITS[misfit]
    served = serve(nn.Linear(4, 2), torch.randn(3, 4))
    with pytest.raises(HypatiaError, match=message):
        served(given())
    assert served(torch.randn(3, 4)).shape == (3, 2), "it is as good as before"


def test_arguments_that_do_not_fit() -> None:
    served = serve(nn.Linear(4, 2), torch.randn(3, 4))
    for args, kwargs in (((), {}), ((torch.randn(3, 4), 1), {}), ((), {"other": 1})):
        with pytest.raises(HypatiaError, match="the arguments do not fit: "):
            served(*args, **kwargs)
    served = serve(lambda x, n, flag: x * n if flag else x, torch.randn(3), 2.0, True)
    assert torch.equal(served(torch.ones(3), 2.0, True), torch.full((3,), 2.0))
    with pytest.raises(HypatiaError, match=r"is 3\.0; the program was compiled for 2\.0 alone"):
        served(torch.ones(3), 3.0, True)
    with pytest.raises(HypatiaError, match=r"is 1; the program was compiled for True alone"):
        served(torch.ones(3), 2.0, 1)


def test_what_does_not_fit_may_be_compiled() -> None:
    model = nn.Linear(4, 2)
    served = serve(model, torch.randn(3, 4), on_mismatch="compile")
    x = torch.randn(5, 4)
    assert torch.equal(served(x), model(x)) and served(x).requires_grad


def test_other_strides_and_inference_mode_fit() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    served = serve(model, torch.randn(3, 2, 4))
    x = torch.randn(3, 4, 2).transpose(1, 2)
    with torch.no_grad():
        assert torch.equal(served(x), model(x))
    with torch.inference_mode():
        y = torch.randn(3, 2, 4)
        assert torch.equal(served(y), model(y))


def test_sizes_that_differ() -> None:
    function: Callable[..., Any] = lambda x, y: (x @ y.t()).relu() * x.shape[0]  # noqa: E731
    rows = Dim("rows", min=2, max=6)
    served = serve(function, torch.randn(3, 4), torch.randn(3, 4), dynamic_shapes=({0: rows}, {0: rows}))
    slow: list[Any] = []
    ask = served._fast._names["slow"]

    def counted(*arguments: Any) -> Any:
        slow.append(arguments)
        return ask(*arguments)

    served._fast._names["slow"] = counted
    for n in (2, 5, 6):
        x, y = torch.randn(n, 4), torch.randn(n, 4)
        torch.testing.assert_close(served(x, y), function(x, y))
    assert not slow
    with pytest.raises(HypatiaError, match="the size s0 is 7; accepted: 2 <= s0 <= 6"):
        served(torch.randn(7, 4), torch.randn(7, 4))
    with pytest.raises(HypatiaError, match=r"input 'y' is float32\[5, 4\] .* with s0 = 3"):
        served(torch.randn(3, 4), torch.randn(5, 4))
    x, y = torch.randn(4, 5).t()[:3], torch.randn(3, 4)
    torch.testing.assert_close(served(x, y), function(x, y))


def test_sizes_that_depend_on_one_another() -> None:
    half = Dim("half", min=2, max=100)
    served = serve(
        lambda x, y: x.view(-1, 2).sum(1) + y,
        torch.randn(8),
        torch.randn(4),
        dynamic_shapes=({0: 2 * half}, {0: half}),
    )
    assert served(torch.randn(12), torch.randn(6)).shape == (6,)
    with pytest.raises(HypatiaError, match=r"accepted: float32\[(s0 \* 2|2 \* s0)\]|accepted: float32\[s0\]"):
        served(torch.randn(13), torch.randn(6))


def mutated(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x.add_(y)
    return x, x * 2


def test_inputs_that_are_mutated() -> None:
    served = serve(mutated, torch.zeros(3), torch.ones(3))
    for x in (torch.zeros(3), torch.zeros(6)[::2]):
        first, second = served(x, torch.ones(3))
        assert x.tolist() == [1, 1, 1] and torch.equal(first, x) and second.tolist() == [2, 2, 2]


def test_results_of_other_structures() -> None:
    result = serve(lambda x: collections.OrderedDict(a=x + 1, b=None), torch.ones(2))(torch.ones(2))
    assert type(result) is collections.OrderedDict and result["b"] is None


def by_optimizer(model: nn.Linear) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()


def by_data(model: nn.Linear) -> None:
    model.weight.data = torch.randn(2, 4)


def by_data_in_place(model: nn.Linear) -> None:
    model.weight.data.mul_(3)


def by_state_dict(model: nn.Linear) -> None:
    model.load_state_dict({"weight": torch.randn(2, 4), "bias": torch.randn(2)})


def by_assignment(model: nn.Linear) -> None:
    model.weight = nn.Parameter(torch.randn(2, 4), requires_grad=False)


def by_other_strides(model: nn.Linear) -> None:
    model.weight = nn.Parameter(torch.randn(4, 2).t())


WEIGHT_CHANGES = [by_optimizer, by_data, by_data_in_place, by_state_dict, by_assignment, by_other_strides]


@pytest.mark.parametrize("change", WEIGHT_CHANGES, ids=lambda change: change.__name__)
def test_changed_weights_are_seen(change: Callable[[nn.Linear], None]) -> None:
    model = nn.Linear(4, 2)
    served = serve(model, torch.randn(3, 4))
    x = torch.randn(3, 4)
    before = served(x)
    change(model)
    assert torch.equal(served(x), model(x)) and not torch.equal(served(x), before)


def test_models_that_are_no_longer_what_was_compiled() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 4)).eval()
    served = serve(model, torch.randn(3, 4))
    x = torch.randn(3, 4)
    model.train()
    with pytest.raises(HypatiaError, match=r"the model is in training mode; .* compiled in evaluation mode"):
        served(x)
    model.eval()
    model[1].train()
    with pytest.raises(HypatiaError, match="the submodule '1' is in training mode"):
        served(x)
    served.eval()
    replaced, model[2] = model[2], nn.Linear(4, 4)
    with pytest.raises(HypatiaError, match="the submodule '2' was replaced"):
        served(x)
    model[2] = replaced
    model.double()
    with pytest.raises(
        HypatiaError, match=r"the weight '0.weight' is float64\[4, 4\] on cpu; accepted: float32"
    ):
        served(x)
    model.float()
    torch.testing.assert_close(served(x), model(x))


def test_weights_that_were_tied() -> None:
    model = Everything().eval()
    served = serve(model, torch.randn(4, 8), pair())
    model.second.weight = nn.Parameter(torch.randn(8, 8))
    with pytest.raises(HypatiaError, match=r"'first.weight', 'second.weight' were one and are no more"):
        served(torch.randn(4, 8), pair())


def test_autocast_is_asked_for() -> None:
    served = serve(nn.Linear(4, 2), torch.randn(3, 4))
    with torch.autocast("cpu"), pytest.raises(HypatiaError, match="autocast is on, and was not"):
        served(torch.randn(3, 4))


def test_a_model_that_cannot_be_captured() -> None:
    with pytest.raises(HypatiaError, match=r"cannot be captured for serving: .*torch\.compile"):
        serve(lambda x: x * 2 if x.sum() > 0 else x, torch.randn(3))


def test_bad_arguments() -> None:
    with pytest.raises(HypatiaError, match="on_mismatch is 'ignore'; accepted: 'raise', 'compile'"):
        hypatia_core.compile(nn.Linear(1, 1), torch.ones(1), on_mismatch="ignore")  # type: ignore[arg-type]
    with pytest.raises(HypatiaError, match="unknown option 'numeric'"):
        hypatia_core.compile(nn.Linear(1, 1), torch.ones(1), options={"numeric": "exact"})
    with pytest.raises(HypatiaError, match="takes a module or a function, not int"):
        hypatia_core.compile(3, torch.ones(1))


def test_it_is_rewritten_and_reported() -> None:
    served = serve(lambda a, b, v: (a @ b) @ v, torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1))
    (graph,) = hypatia_core.report(served).graphs
    assert graph.rewritten and graph.stage == "inference" and "capture" in graph.stages


def test_assertions_of_types_that_the_signature_asks_for_hinder_nothing() -> None:
    # `Tensor.to` leaves them in an exported graph: operations that return nothing, as effects are.
    class Cast(nn.Module):
        def forward(self, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
            return (a.to(torch.float32) @ b) @ v.to(torch.float32)

    inputs = (torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1))
    served = serve(Cast(), *inputs)
    (graph,) = hypatia_core.report(served).graphs
    assert graph.rewritten and not graph.refusals
    assert_near([served(*inputs)], [Cast()(*inputs)], [widened(Cast()(*inputs))])
    with pytest.raises(HypatiaError, match="is float64"):
        served(inputs[0].double(), *inputs[1:])


def test_it_is_a_module() -> None:
    model = nn.Linear(4, 2)
    served = serve(model, torch.randn(3, 4))
    assert served.weight is model.weight and served.in_features == 4
    assert [name for name, _ in served.named_parameters()] == ["model.weight", "model.bias"]
    assert torch.equal(nn.Sequential(served, nn.ReLU())(torch.ones(3, 4)), model(torch.ones(3, 4)).relu())


def test_eight_threads_while_another_writes_weights() -> None:
    model = nn.Linear(8, 8, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    served = serve(model, torch.ones(2, 8))
    wrong: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            values = set(served(torch.ones(2, 8)).flatten().tolist())
            # A weight is assigned whole: every result is of one weight or of another.
            if not (len(values) == 1 and values <= {8.0 * k for k in range(1, 202)}):
                wrong.append(values)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for k in range(2, 202):
        model.weight = nn.Parameter(torch.full((8, 8), float(k)))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert served(torch.ones(2, 8)).flatten()[0].item() == 8.0 * 201


class Rolled(nn.Module):
    """Reads a number off a buffer at every call, as models do that keep a setting in one."""

    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(0.7))

    def forward(self, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        return torch.roll((a @ b) @ v, -round(self.shift.item() * 3.0), 0) * self.shift.item()


def test_a_number_read_at_run_time_stays_and_the_rest_is_rewritten() -> None:
    model = Rolled().eval()
    given = torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1)
    served = hypatia_core.compile(model, given, options={"executor": "aten", "measure": False})
    (graph,) = hypatia_core.report(served).graphs
    assert graph.rewritten and "matmul-associates" in graph.rules
    for shift in (0.7, 2.1, -1.4):
        model.shift.fill_(shift)
        torch.testing.assert_close(served(*given), model(*given), atol=1e-3, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of an RNN's own list of its weights
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_stays_whole(layer: type[nn.Module]) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer: Any = layer(8, 16, 2, batch_first=True)
            self.out = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.out(self.layer(x)[0])
            return result

    model, x = Recurrent().eval(), torch.randn(2, 12, 8)
    served = hypatia_core.compile(model, x, options={"executor": "auto"})
    (graph,) = hypatia_core.report(served).graphs
    assert graph.nodes_before <= 12, "not one node for every step"
    assert not any("inductor" in name for name in graph.measured)
    with torch.no_grad():
        torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-4)
        model.layer.weight_hh_l0.mul_(0.5)
        torch.testing.assert_close(served(x), model(x), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_an_lstm_is_served_by_layers_and_not_by_steps(bias: bool, bidirectional: bool) -> None:
    model = torch.nn.LSTM(
        6, 16, num_layers=2, batch_first=True, bias=bias, bidirectional=bidirectional
    ).eval()
    x = torch.randn(2, 40, 6)
    served = hypatia_core.compile(model, (x,), options={"executor": "aten"})
    with torch.no_grad():
        out, (h, c) = served(x)
        expected, (eh, ec) = model(x)
    for found, wanted in ((out, expected), (h, eh), (c, ec)):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    if torch.backends.mkldnn.is_available():
        assert hypatia_core.report(served).graphs[0].nodes_before < 100
