"""Results in the memory of dying operands: the same values, and nothing that anybody else reads."""

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
from hypatia_core.executors.aten import flatten
from hypatia_core.executors.reuse import FRESH, IN_PLACE, reuse

aten = torch.ops.aten
pytestmark = pytest.mark.usefixtures("one_thread")


def targets(function: Callable[..., Any], *inputs: Tensor) -> list[str]:
    """What a function's graph calls, once operands are overwritten."""
    graph = make_fx(function)(*inputs).graph
    reuse(graph)
    return [str(node.target).removeprefix("aten.") for node in graph.nodes if node.op == "call_function"]


X, Y = torch.randn(3, 4), torch.randn(3, 4)


def test_a_value_that_dies_is_overwritten() -> None:
    assert targets(lambda x: torch.relu(torch.exp(x)), X) == ["exp.default", "relu_.default"]


def test_the_second_operand_of_a_sum_may_be_it() -> None:
    assert targets(lambda x, y: x + torch.exp(y), X, Y) == ["exp.default", "add_.Tensor"]
    assert targets(lambda x, y: torch.add(x, torch.exp(y), alpha=2), X, Y) == ["exp.default", "add.Tensor"]
    assert targets(lambda x, y: x - torch.exp(y), X, Y) == ["exp.default", "sub.Tensor"]


def test_the_last_to_read_may_overwrite() -> None:
    gate: Callable[[Tensor], Tensor] = lambda x: (y := torch.exp(x)) * y.mean(1, keepdim=True)  # noqa: E731
    assert targets(gate, X) == ["exp.default", "mean.dim", "mul_.Tensor"]
    viewed: Callable[[Tensor], Tensor] = lambda x: ((y := torch.exp(x)).t(), torch.relu(y))[1]  # noqa: E731
    assert "relu.default" in targets(lambda x: ((y := torch.exp(x)).t().exp(), torch.relu(y)), X)
    assert targets(viewed, X)[-1].startswith("relu")


KEPT: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "an input": (lambda x: torch.relu(x), (X,)),
    "a view of an input": (lambda x: torch.relu(x.t()), (X,)),
    "a view without a mark": (lambda x: torch.relu(torch.ops.aten._unsafe_view(x, [4, 3])), (X,)),
    "what a view shows later": (lambda x: (v := (y := torch.exp(x)).t(), torch.relu(y), v + 1)[1:], (X,)),
    "what is used again": (lambda x: (y := torch.mm(x, x.t())) @ torch.relu(y), (X,)),
    "what is returned": (lambda x: (y := torch.mm(x, x.t()), torch.relu(y)), (X,)),
    "an operand twice": (lambda x: (y := torch.mm(x, x.t())) * y, (X,)),
    "what is broadcast": (lambda x: torch.mm(x, x.t()).sum(0, keepdim=True) + x.t()[:3, :1], (X,)),
    "another element type": (lambda x: torch.mm(x, x.t()) + x.double()[:, :3], (X,)),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_others_read_is_kept(case: str) -> None:
    function, inputs = KEPT[case]
    found = targets(function, *inputs)
    assert not any(name.split(".")[0].endswith("_") for name in found), found


def test_symbolic_sizes_are_left_alone() -> None:
    graph = make_fx(lambda x: torch.relu(torch.exp(x)), tracing_mode="symbolic")(X).graph
    before = str(graph)
    reuse(graph)
    assert str(graph) == before


def test_sizes_that_a_file_does_not_say_are_unknown() -> None:
    graph = make_fx(lambda x, y: (torch.exp(x) * y,))(X[:1], Y).graph
    rows = graph_json.to_json(graph)
    known = graph_json.from_json(rows, {}).graph
    reuse(known)
    assert "mul_" not in str(known), "a broadcast does not fit into its operand"
    same = graph_json.from_json(graph_json.to_json(make_fx(lambda x: (torch.exp(x) * x,))(X).graph), {}).graph
    for node in same.nodes:
        node.meta["unsized"] = True
    reuse(same)
    assert "mul_" not in str(same)


UNARY: list[Callable[[Tensor], Tensor]] = [
    torch.relu,
    torch.exp,
    torch.neg,
    torch.sigmoid,
    nn.functional.hardtanh,
    nn.functional.silu,
]
BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [torch.add, torch.mul, torch.sub]


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


@pytest.mark.parametrize("overload", IN_PLACE, ids=str)
def test_the_one_in_place_is_the_same_operation(overload: Any) -> None:
    there = IN_PLACE[overload]
    names = [argument.name for argument in overload._schema.arguments]
    assert [argument.name for argument in there._schema.arguments] == names
    alias = there._schema.arguments[0].alias_info
    assert alias is not None and alias.is_write
    assert not any(argument.alias_info for argument in there._schema.arguments[1:])


@pytest.mark.parametrize("overload", sorted(FRESH, key=str), ids=str)
def test_what_counts_as_new_memory_is_no_view(overload: Any) -> None:
    assert not overload._schema.is_mutable
    assert all(value.alias_info is None for value in overload._schema.returns)
    assert overload.namespace in ("aten", "mkl", "mkldnn")


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
