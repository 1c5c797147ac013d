"""Each direct binding is its overload: the same call reaches the dispatcher, with the same results."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from agreement import hypatia
from hypatia_core.executors.bindings import BINDINGS, bind

aten = torch.ops.aten
Call = tuple[tuple[Any, ...], dict[str, Any]]
FLOATS = [torch.float32, torch.float64, torch.bfloat16]
NUMBERS = [2, -1, 0.5, True]
# What neither can do: subtract a truth value, raise whole numbers to a negative power.
REFUSED: dict[Any, list[Any]] = {
    aten.sub.Tensor: [True],
    aten.sub_.Tensor: [True],
    aten.pow.Tensor_Scalar: [-1],
}


class Dispatched(TorchDispatchMode):
    """Writes down which overloads arrive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Any] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


def tensor(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Positive numbers in strides that are not contiguous."""
    values = torch.rand(*reversed(size)) + 0.5
    return values.to(dtype).permute(*reversed(range(len(size))))


def unary(dtype: torch.dtype) -> Iterator[Call]:
    yield (tensor(3, 4, dtype=dtype),), {}


def binary(dtype: torch.dtype) -> Iterator[Call]:
    x = tensor(3, 4, dtype=dtype)
    yield (x, tensor(4, dtype=dtype)), {}
    yield (x, x.to(torch.int64)), {}
    yield (x, torch.tensor(2.5, dtype=torch.float64)), {}


def with_number(dtype: torch.dtype) -> Iterator[Call]:
    for x in (tensor(3, 4, dtype=dtype), tensor(3, 4).to(torch.int32)):
        for number in NUMBERS:
            yield (x, number), {}


def arithmetic(dtype: torch.dtype) -> Iterator[Call]:
    yield from binary(dtype)
    yield from with_number(dtype)


def with_alpha(dtype: torch.dtype) -> Iterator[Call]:
    yield from arithmetic(dtype)
    yield (tensor(3, dtype=dtype), tensor(3, dtype=dtype)), {"alpha": 2}


def over(dtype: torch.dtype) -> Iterator[Call]:
    x = tensor(3, 4, dtype=dtype)
    yield (x, tensor(4, dtype=dtype)), {}
    yield (x, torch.tensor(2, dtype=torch.int64)), {}
    for number in NUMBERS:
        yield (x, number), {}


def over_with_alpha(dtype: torch.dtype) -> Iterator[Call]:
    yield from over(dtype)
    yield (tensor(3, dtype=dtype), tensor(3, dtype=dtype)), {"alpha": 2}


def reduction(dtype: torch.dtype) -> Iterator[Call]:
    x = tensor(3, 4, dtype=dtype)
    yield (x, [0]), {}
    yield (x, [-1], True), {}
    yield (x, [0, 1]), {}


def summed(dtype: torch.dtype) -> Iterator[Call]:
    yield from reduction(dtype)
    yield (tensor(3, 4, dtype=dtype), [1]), {"dtype": torch.float64}


def whole(dtype: torch.dtype) -> Iterator[Call]:
    yield from unary(dtype)
    yield (tensor(3, 4, dtype=dtype),), {"dtype": torch.float64}


def calls(*rows: Callable[[torch.dtype], Call]) -> Callable[[torch.dtype], Iterator[Call]]:
    return lambda dtype: (row(dtype) for row in rows)


def of(*sizes: tuple[int, ...], **kwargs: Any) -> Callable[[torch.dtype], Call]:
    return lambda dtype: (tuple(tensor(*size, dtype=dtype) for size in sizes), kwargs)


def on(*rest: Any, size: tuple[int, ...] = (3, 1, 4)) -> Callable[[torch.dtype], Call]:
    return lambda dtype: ((tensor(*size, dtype=dtype), *rest), {})


def contiguous(*rest: Any) -> Callable[[torch.dtype], Call]:
    return lambda dtype: ((tensor(3, 4, dtype=dtype).contiguous(), *rest), {})


def convolved(bias: bool) -> Callable[[torch.dtype], Call]:
    def make(dtype: torch.dtype) -> Call:
        x, w = tensor(1, 2, 5, 5, dtype=dtype), tensor(3, 2, 3, 3, dtype=dtype)
        b = tensor(3, dtype=dtype) if bias else None
        return (x, w, b, [1, 1], [1, 1], [1, 1], False, [0, 0], 1), {}

    return make


#: Inputs of each overload; those that are not named take one tensor.
INPUTS: dict[Any, Any] = {
    aten.mm.default: calls(of((3, 4), (4, 2))),
    aten.bmm.default: calls(of((2, 3, 4), (2, 4, 2))),
    aten.mv.default: calls(of((3, 4), (4,))),
    aten.dot.default: calls(of((4,), (4,))),
    aten.addmm.default: calls(of((2,), (3, 4), (4, 2)), of((3, 2), (3, 4), (4, 2), beta=0.5, alpha=2)),
    aten.baddbmm.default: calls(of((2, 3, 2), (2, 3, 4), (2, 4, 2)), of((2,), (2, 3, 4), (2, 4, 2), beta=2)),
    aten.convolution.default: calls(convolved(True), convolved(False)),
    **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor), with_alpha),
    **dict.fromkeys((aten.mul.Tensor, aten.div.Tensor), arithmetic),
    aten.pow.Tensor_Scalar: with_number,
    **{getattr(aten, name).Tensor: binary for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{getattr(aten, name).Scalar: with_number for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **dict.fromkeys((aten.pow.Tensor_Tensor, aten.maximum.default, aten.minimum.default), binary),
    aten.where.self: lambda dtype: iter(
        [((tensor(3, 4) > 1, tensor(3, 4, dtype=dtype), tensor(4, dtype=dtype)), {})]
    ),
    aten.gelu.default: calls(of((3, 4)), of((3, 4), approximate="tanh")),
    aten.clamp.default: calls(on(0.7), on(None, 1), on(0.6, 1.2)),
    **dict.fromkeys((aten.add_.Tensor, aten.sub_.Tensor), over_with_alpha),
    **dict.fromkeys((aten.mul_.Tensor, aten.div_.Tensor), over),
    **dict.fromkeys((aten.hardtanh.default, aten.hardtanh_.default), calls(of((3, 4)), on(0.6, 1.2))),
    aten.clamp_.default: calls(on(0.7), on(None, 1), on(0.6, 1.2)),
    aten.view.default: calls(contiguous([2, 6]), contiguous([-1])),
    aten.expand.default: calls(on([3, 5, 4]), on([2, 3, -1, 4])),
    aten.transpose.int: calls(on(0, 2), on(-1, 1)),
    aten.permute.default: calls(on([2, 0, 1])),
    aten.unsqueeze.default: calls(on(0), on(-1)),
    aten.squeeze.dim: calls(on(1), on(0)),
    aten.select.int: calls(on(0, 2), on(-1, -1)),
    aten.sum.default: whole,
    aten.mean.default: whole,
    **dict.fromkeys((aten.sum.dim_IntList, aten.mean.dim), summed),
    **dict.fromkeys((aten.amax.default, aten.amin.default), reduction),
    aten.native_layer_norm.default: lambda dtype: iter(
        [((tensor(3, 4, dtype=dtype), [4], w, w, 1e-5), {}) for w in (tensor(4, dtype=dtype), None)]
    ),
    aten.embedding.default: calls(on(torch.tensor([[1, 0], [2, 2]]), size=(3, 4))),
    aten.index_select.default: calls(on(1, torch.tensor([3, 0]), size=(3, 4))),
    **dict.fromkeys(
        (aten.cat.default, aten.stack.default),
        lambda dtype: iter([(([tensor(3, 4, dtype=dtype)] * 2, *dim), {}) for dim in ((), (1,), (-1,))]),
    ),
    aten.clone.default: calls(of((3, 4)), of((3, 4), memory_format=torch.contiguous_format)),
}


def ran(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]]:
    with Dispatched() as seen:
        result = call(*args, **kwargs)
    return result, seen.calls


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("overload", BINDINGS, ids=str)
def test_a_binding_is_its_overload(overload: Any, dtype: torch.dtype) -> None:
    inputs: Callable[[torch.dtype], Iterator[Call]] = INPUTS.get(overload, unary)
    made = list(inputs(dtype))
    assert made
    for args, kwargs in made:
        if any(args[-1] is refused for refused in REFUSED.get(overload, [])):
            continue
        assert BINDINGS[overload].keywords.issuperset(kwargs)
        first, second = (args, kwargs), copy.deepcopy((args, kwargs))
        ours, dispatched = ran(BINDINGS[overload], *first)
        theirs, wanted = ran(overload, *second)
        assert wanted == [overload] == dispatched
        assert type(ours) is type(theirs)
        given, taken = (
            [t for t in tree_flatten(side)[0] if isinstance(t, Tensor)] for side in (first, second)
        )
        for a, b in zip(tree_flatten(ours)[0], tree_flatten(theirs)[0], strict=True):
            assert torch.equal(a, b)
            assert (a.dtype, a.stride(), a.storage_offset()) == (b.dtype, b.stride(), b.storage_offset())
            assert [shares(a, t) for t in given] == [shares(b, t) for t in taken]
        assert all(map(torch.equal, given, taken))


def shares(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    number=st.one_of(st.integers(-9, 9), st.floats(-9, 9), st.booleans()),
    dtype=st.sampled_from([*FLOATS, torch.int32, torch.uint8, torch.complex64]),
    overload=st.sampled_from([aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor]),
)
@settings(max_examples=150, deadline=None)
def test_a_number_in_a_tensors_place(shape: Any, number: Any, dtype: torch.dtype, overload: Any) -> None:
    x = torch.ones(shape, dtype=dtype) * 3
    ours, theirs = BINDINGS[overload](x, number), overload(x, number)
    assert ours.dtype == theirs.dtype and torch.allclose(ours, theirs, rtol=0, atol=0, equal_nan=True)


def graph_of(*rows: tuple[Any, tuple[Any, ...], dict[str, Any]]) -> fx.Graph:
    graph = fx.Graph()
    x = graph.placeholder("x")
    x.meta["val"] = torch.ones(2, 2)
    n = graph.placeholder("n")
    n.meta["val"] = 2
    known = {"x": x, "n": n}
    made = [
        graph.call_function(target, tuple(known[a] if isinstance(a, str) else a for a in args), kwargs)
        for target, args, kwargs in rows
    ]
    graph.output(tuple(made))
    return graph


def test_only_what_fits_is_bound() -> None:
    graph = graph_of(
        (aten.add.Tensor, ("x", "n"), {}),
        (aten.add.Tensor, ("n", "x"), {}),
        (aten.relu.default, ("x",), {}),
        (aten.relu.default, (), {"self": 1.0}),
        (aten.t.default, ("x",), {}),
        (aten.full.default, ([2], 1.0), {}),
        (operator.add, ("n", 1), {}),
    )
    targets = [node.target for node in graph.nodes if node.op.startswith("call")]
    bind(graph)
    bound = [node.target for node in graph.nodes if node.op.startswith("call")]
    assert bound == [torch.add, targets[1], torch.relu, targets[3], "t", *targets[5:]]


def test_training_is_as_through_the_registry() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    x = torch.randn(3, 4, requires_grad=True)
    compiled = hypatia(model, executor="aten", numerics="exact")
    parameters = [x, *model.parameters()]
    wanted = torch.autograd.grad(model(x).square().sum(), parameters)
    found = torch.autograd.grad(compiled(x).square().sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_callers_graph_keeps_its_operations() -> None:
    from hypatia_core.executors.aten import Aten

    module = fx.GraphModule({}, graph_of((aten.relu.default, ("x",), {}), (aten.mm.default, ("x", "x"), {})))
    before = str(module.graph)
    relu, product = Aten().compile(module, [])([-torch.ones(2, 2), 2])
    assert str(module.graph) == before
    assert relu.sum() == 0 and product.sum() == 8
