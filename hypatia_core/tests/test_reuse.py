"""Results are written over what nobody reads any more, and over nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from agreement import hypatia
from hypatia_core import compat, graph_json
from hypatia_core.executors.aten import Aten, flatten
from hypatia_core.executors.reuse import FRESH, IN_PLACE, IN_PLACE_CALLS, reuse

aten = torch.ops.aten
pytestmark = pytest.mark.usefixtures("one_thread")
WRITING = {*IN_PLACE.values(), *IN_PLACE_CALLS.values()}


def reused(function: Callable[..., Any], *inputs: Tensor) -> int:
    """How many results are written over an operand; the answer and the inputs are what they were."""
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    kept = [x.clone() for x in inputs]
    with torch.no_grad():
        wanted = graph(*inputs)
        found = Aten().compile(graph, inputs)(list(inputs))
    torch.utils._pytree.tree_map(lambda a, b: _assert_same(a, b), found, wanted)
    assert all(torch.equal(x, was) for x, was in zip(inputs, kept, strict=True))
    reuse(graph.graph)
    return sum(1 for node in graph.graph.nodes if node.target in WRITING)


def _assert_same(a: Tensor, b: Tensor) -> None:
    assert torch.equal(a, b) and a.stride() == b.stride() and a._base is None


@pytest.mark.parametrize("overload", [*IN_PLACE, *IN_PLACE_CALLS], ids=str)
def test_each_row_is_its_overload(overload: Any) -> None:
    two = len([a for a in overload._schema.arguments if str(a.type) == "Tensor"]) == 2
    x, y = torch.rand(4, 4) + 0.5, torch.rand(4, 4) + 0.5
    if two:
        assert reused(lambda a, b: overload(a @ b, b), x, y) == 1
    else:
        bounds = [0.5] if overload is aten.clamp.default else []
        assert reused(lambda a, b: overload(a @ b, *bounds), x, y) == 1


@pytest.mark.parametrize("overload", [aten.gelu.default, aten.add.Tensor], ids=str)
def test_keywords_stay(overload: Any) -> None:
    keyword = {"approximate": "tanh"} if overload is aten.gelu.default else {"alpha": 3}
    operands = 1 if overload is aten.gelu.default else 2
    assert (
        reused(lambda a, b: overload(*[a @ b, b][:operands], **keyword), torch.rand(4, 4), torch.rand(4, 4))
        == 1
    )


def test_chains_and_the_other_operand() -> None:
    assert reused(lambda x, w: ((x @ w).relu() + x).tanh(), torch.randn(4, 4), torch.randn(4, 4)) == 3
    assert reused(lambda x, w: x + x @ w, torch.randn(4, 4), torch.randn(4, 4)) == 1
    assert reused(lambda x, w: x - x @ w, torch.randn(4, 4), torch.randn(4, 4)) == 0
    assert (
        reused(lambda x, w: (x @ w).view(2, 8).relu() @ w.view(8, 2), torch.randn(4, 4), torch.ones(4, 4))
        == 1
    )


REFUSED: dict[str, Callable[..., Any]] = {
    "an input": lambda x, w: x.relu(),
    "a view of an input": lambda x, w: x.view(2, 8).relu() @ w.view(8, 2),
    "read again": lambda x, w: (y := x @ w).relu() @ y,
    "returned too": lambda x, w: ((y := x @ w), y.relu()),
    "read through a view": lambda x, w: ((y := x @ w).t() @ w) @ y.relu(),
    "another type": lambda x, w: (x @ w) * torch.ones((), dtype=torch.float64).expand(4, 4),
    "a view shows it later": lambda x, w: (v := (y := x @ w).t(), y.relu(), v + 1)[1:],
    "with itself": lambda x, w: (y := x @ w) + y,
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_left_alone(what: str) -> None:
    assert reused(REFUSED[what], torch.randn(4, 4), torch.randn(4, 4)) == 0


def test_a_result_of_another_shape() -> None:
    assert reused(lambda x, w: (x.sum(0, keepdim=True) @ w) * x, torch.randn(4, 4), torch.randn(4, 4)) == 0


def test_the_last_to_read_may_write() -> None:
    assert (
        reused(lambda x, w: (y := x @ w) * y.mean(1, keepdim=True), torch.randn(4, 4), torch.randn(4, 4)) == 1
    )
    # A view that was read to its end still counts as a reader.
    assert reused(lambda x, w: ((y := x @ w).t() @ w, y.relu()), torch.randn(4, 4), torch.randn(4, 4)) == 0
    # Of two that are both last, in a chain, each writes over what the other has read.
    chain: Callable[..., Any] = lambda x, w: ((y := x @ w) * y.mean(1, keepdim=True)).tanh()  # noqa: E731
    assert reused(chain, torch.randn(4, 4), torch.randn(4, 4)) == 2


def test_no_view_is_returned() -> None:
    # The first writes over a view; what is returned takes memory of its own.
    assert reused(lambda x, w: (x @ w).view(2, 8).relu() * 2, torch.randn(4, 4), torch.randn(4, 4)) == 1
    assert reused(lambda x, w: (x @ w).view(2, 8).relu(), torch.randn(4, 4), torch.randn(4, 4)) == 0


def test_norms_give_up_their_first_result_alone() -> None:
    def norm(x: Tensor, w: Tensor) -> Any:
        out, mean, _ = aten.native_layer_norm.default(x, [4], w[0], w[1], 1e-5)
        return out.relu(), mean.neg()

    assert reused(norm, torch.randn(4, 4), torch.randn(4, 4)) == 1


def test_nothing_is_known_of_other_operations() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    alias = graph.call_function(aten.alias.default, (x,))
    last = graph.call_function(aten.relu.default, (alias,))
    graph.output(last)
    for node in (x, alias, last):
        node.meta["val"] = torch.ones(2)
    reuse(graph)
    assert last.target is aten.relu.default


X, Y = torch.randn(3, 4), torch.randn(3, 4)
UNARY: list[Callable[..., Tensor]] = [
    torch.relu,
    torch.exp,
    torch.neg,
    torch.sigmoid,
    nn.functional.hardtanh,
    nn.functional.silu,
]
BINARY: list[Callable[..., Tensor]] = [torch.add, torch.mul, torch.sub]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)
)
@settings(max_examples=60, deadline=None)
def test_random_programs_keep_their_values(steps: list[tuple[int, int, int]]) -> None:
    def program(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        values = [x, y]
        for operation, i, j in steps:
            a, b = values[i % len(values)], values[j % len(values)]
            if operation < len(UNARY):
                values.append(UNARY[operation](a.clamp(-2, 2)))
            elif operation < len(UNARY) + len(BINARY):
                values.append(BINARY[operation - len(UNARY)](a.clamp(-2, 2), b))
        return values[-1], values[len(values) // 2]

    module = make_fx(program)(X, Y)
    x, y = X.clone(), Y.clone()
    found = compat.boxed_forward(module, flatten)([x, y])
    for ours, theirs in zip(found, program(X, Y), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(x, X) and torch.equal(y, Y)


@pytest.mark.parametrize("overload", sorted(FRESH, key=str), ids=str)
def test_what_counts_as_new_memory_is_no_view(overload: Any) -> None:
    assert not overload._schema.is_mutable
    assert all(value.alias_info is None for value in overload._schema.returns)


def test_a_model_gives_its_own_values_again_and_again() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    compiled = hypatia(model, executor="aten", numerics="exact", measure=False)
    with torch.no_grad():
        wanted = model(X)
        assert all(torch.equal(compiled(X), wanted) for _ in range(3))


def test_the_callers_graph_stays() -> None:
    module = make_fx(lambda x: torch.relu(torch.exp(x)))(X)
    before = str(module.graph)
    compat.boxed_forward(module, flatten)([X])
    assert str(module.graph) == before and isinstance(module.graph, fx.Graph)


def test_sizes_that_a_file_does_not_say_are_unknown() -> None:
    x, y = torch.randn(1, 4), torch.randn(3, 4)
    broadcast = make_fx(lambda x, y: (torch.exp(x) * y,), tracing_mode="fake")(x, y).graph
    known = graph_json.from_json(graph_json.to_json(broadcast), {}).graph
    reuse(known)
    assert not WRITING & {node.target for node in known.nodes}, "a broadcast does not fit into its operand"
    same = make_fx(lambda x: (torch.exp(x) * x,), tracing_mode="fake")(x).graph
    rows = graph_json.to_json(same)
    read = graph_json.from_json(rows, {}).graph
    reuse(read)
    assert WRITING & {node.target for node in read.nodes}
    for row in rows:
        row.pop("size", None)
    read = graph_json.from_json(rows, {}).graph
    reuse(read)
    assert not WRITING & {node.target for node in read.nodes}
