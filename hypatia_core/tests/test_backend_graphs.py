"""Graphs: several of one function, varying sizes, control flow, custom operations, transforms, threads."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import Function, assert_agrees, hypatia, same
from hypatia_core import backend, fx_export

pytestmark = pytest.mark.usefixtures("one_thread")


def test_graph_breaks() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.neg().neg() * 2
        torch._dynamo.graph_break()
        if y.sum() > 0:
            return y + 1
        return y.t().t() - 1

    compiled = hypatia(function)
    for x in (torch.ones(3, 3), -torch.ones(3, 3)):
        assert torch.equal(compiled(x), function(x))
    assert len(hypatia_core.report(compiled).graphs) == 4


@pytest.mark.parametrize("dynamic", [None, True])
def test_batch_sizes(dynamic: bool | None) -> None:
    def function(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
        return ((x @ w) @ v).reshape(x.shape[0], -1).t().t() + 0

    w, v = torch.randn(16, 16), torch.randn(16, 1)
    compiled = hypatia(function, dynamic=dynamic, measure=False)
    for batch in (4, 9, 17, 1, 2):
        assert_agrees(function, torch.randn(batch, 16), w, v, compiled=compiled)


def test_symbolic_reshapes() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        b, n = x.shape
        return (
            x.reshape(b * n).reshape(n, b) * 1,
            x.view(b, n // 2, 2).permute(1, 0, 2).permute(1, 0, 2),
            torch.zeros(b + n, b) + 0,
            x.expand(3, b, n) * 1,
            x.t().reshape(-1)[: b * 2],
        )

    compiled = hypatia(function, dynamic=True, verify=False, measure=False)
    for b, n in ((2, 4), (3, 8), (5, 6)):
        x = torch.randn(b, n)
        assert same(compiled(x), function(x))


def test_marked_dynamic_compiles_once() -> None:
    compiled = hypatia(lambda x: (x @ x.t()) @ x, measure=False)
    for batch in (4, 6, 9):
        x = torch.randn(batch, 8)
        torch._dynamo.mark_dynamic(x, 0)
        torch.testing.assert_close(compiled(x), (x @ x.t()) @ x)
    assert len(hypatia_core.report(compiled).graphs) == 1


def test_we_add_no_guards_and_no_recompilations() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        return ((x @ y) * 1 + 0).reshape(-1).reshape(x.shape[0], y.shape[1])

    inputs = [(torch.randn(n, 4), torch.randn(4, n + 1)) for n in (3, 5, 8, 13)]

    def compilations(backend: Any) -> int:
        torch._dynamo.reset()
        counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
        compiled = torch.compile(function, backend=counter, dynamic=True)
        for pair in inputs:
            compiled(*pair)
        return int(counter.frame_count)

    assert compilations("hypatia") == compilations("aot_eager")


def test_sizes_known_at_run_time_only() -> None:
    with torch._dynamo.config.patch(capture_scalar_outputs=True, capture_dynamic_output_shape_ops=True):
        function: Function = lambda x: (x.nonzero() * 1, (x * 1 + 0)[x > 0], x.neg().neg())  # noqa: E731
        compiled = hypatia(function)
        for x in (torch.tensor([1.0, 0, 2]), torch.tensor([0.0, 0, 5])):
            assert same(compiled(x), function(x))
        item: Function = lambda x: torch.full((3,), 1.0) * x.sum().item()  # noqa: E731
        assert same(hypatia(item)(torch.ones(2)), item(torch.ones(2)))


def test_numbers_as_inputs() -> None:
    function: Function = lambda x, n, f: x * f + n  # noqa: E731
    compiled = hypatia(function)
    for n, f in ((1, 2.0), (2, 3.5), (3, float("inf")), (4, 0.1)):
        assert same(compiled(torch.ones(2), n, f), function(torch.ones(2), n, f))


def test_writing_adds_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[int] = []
    true_write = fx_export.write

    def write(text: str, imported: Any, graph: Any, apart_from: int | None) -> Any:
        value = next(n.meta["val"] for n in graph.graph.nodes if isinstance(n.meta.get("val"), torch.SymInt))
        guards = value.node.shape_env.guards
        before = len(guards)
        written = true_write(text, imported, graph, apart_from)
        added.append(len(guards) - before)
        return written

    monkeypatch.setattr(backend, "write", write)

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        product = ((x @ y) @ x) * 1
        return (
            product.t().t(),
            product.t().reshape(-1) + 0,
            product.sum(0),
            torch.cat([x, product]),
            x[1:] * 1,
        )

    compiled = hypatia(function, dynamic=True)
    x, y = torch.randn(5, 7), torch.randn(7, 5)
    for ours, theirs in zip(compiled(x, y), function(x, y), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert added == [0]


@pytest.fixture(scope="module")
def custom() -> Any:
    calls: list[str] = []

    @torch.library.custom_op("hypatia_test::scaled", mutates_args=())
    def scaled(x: Tensor, by: float) -> Tensor:
        calls.append("scaled")
        return x.contiguous() * by

    scaled.register_fake(lambda x, by: torch.empty_like(x).contiguous())

    @torch.library.custom_op("hypatia_test::write_first", mutates_args=("x",))
    def write_first(x: Tensor) -> None:
        calls.append("write")
        x[0] = 7

    @torch.library.custom_op("hypatia_test::row_major", mutates_args=())
    def row_major(x: Tensor) -> Tensor:
        return torch.tensor(float(x.stride(-1) == 1))

    row_major.register_fake(lambda x: torch.empty(()))
    return calls


def test_custom_operations(custom: list[str]) -> None:
    ops = torch.ops.hypatia_test

    def function(x: Tensor) -> tuple[Tensor, ...]:
        y = ops.scaled(x.t().t() * 1, 2.0)
        ops.write_first(y)
        return (
            y + 0,
            ops.scaled(x, 3.0),
            ops.scaled(x, float("nan")),
            ops.row_major(x.t().t()),
            ops.row_major(x.t()),
        )

    x = torch.randn(3, 3)
    assert same(hypatia(function, measure=False)(x), function(x))


def test_a_graph_with_effects_runs_once(custom: list[str]) -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 1
        torch.ops.hypatia_test.write_first(y)
        return y.neg().neg()

    custom.clear()
    compiled = hypatia(function)
    assert same(compiled(torch.zeros(3)), function(torch.zeros(3)))
    assert custom.count("write") == 2


def test_higher_order_operations() -> None:
    def function(x: Tensor) -> Tensor:
        y = torch.cond(x.sum() > 0, lambda z: z.sin() * 1, lambda z: z.cos() + 0, (x,))
        return y.neg().neg()

    compiled = hypatia(function)
    for x in (torch.ones(3), -torch.ones(3)):
        assert same(compiled(x), function(x))

    def loop(x: Tensor) -> Tensor:
        _, out = torch._higher_order_ops.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, y * 2 + 0), (torch.zeros((), dtype=torch.int64), x)
        )
        return out

    assert torch.equal(hypatia(loop)(torch.ones(2)), torch.full((2,), 8.0))


def test_checkpointing() -> None:
    layer = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    other = copy.deepcopy(layer)
    run: Function = lambda m, x: torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False)  # noqa: E731
    x = torch.randn(2, 4)
    hypatia(run)(layer, x).sum().backward()
    run(other, x).sum().backward()
    torch.testing.assert_close(layer[0].weight.grad, other[0].weight.grad)


def test_function_transforms() -> None:
    w = torch.randn(4, 4)
    per_sample: Function = lambda x: torch.func.vmap(torch.func.grad(lambda v: (v @ w * 1).sin().sum()))(x)  # noqa: E731
    x = torch.randn(3, 4)
    torch.testing.assert_close(hypatia(per_sample)(x), per_sample(x))
    jacobian: Function = lambda v: torch.func.jacfwd(lambda u: (u @ w).tanh())(v)  # noqa: E731
    torch.testing.assert_close(hypatia(jacobian)(x[0]), jacobian(x[0]))


def test_functional_call() -> None:
    model = nn.Linear(4, 4)
    run: Function = lambda p, x: torch.func.functional_call(model, p, (x,))  # noqa: E731
    compiled, x = hypatia(run), torch.randn(2, 4)
    for scale in (1.0, 2.0):
        parameters = {name: p.detach() * scale for name, p in model.named_parameters()}
        torch.testing.assert_close(compiled(parameters, x), run(parameters, x))


def test_nested_compilation() -> None:
    inner = hypatia(lambda x: x.neg().neg() * 2)
    outer = hypatia(lambda x: inner(x) + 0)
    assert torch.equal(outer(torch.ones(3)), torch.full((3,), 2.0))


def test_a_graph_that_comes_back_to_itself() -> None:
    @torch.library.custom_op("hypatia_test::again", mutates_args=())
    def again(x: Tensor) -> Tensor:
        return compiled(x - 1) if float(x[0]) > 0 else x.clone()

    again.register_fake(lambda x: torch.empty_like(x))
    function: Function = lambda x: torch.ops.hypatia_test.again(x.neg().neg()) + 1  # noqa: E731
    compiled = hypatia(function)
    assert torch.equal(compiled(torch.full((2,), 3.0)), torch.full((2,), 4.0))


def test_threads_share_one_first_call() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    compiled = hypatia(model)
    inputs = [torch.randn(4, 8) for _ in range(8)]
    outputs: list[Tensor | None] = [None] * 8
    failures: list[BaseException] = []

    def call(i: int) -> None:
        try:
            with torch.no_grad():
                for _ in range(5):
                    outputs[i] = compiled(inputs[i])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)
    for x, y in zip(inputs, outputs, strict=True):
        assert y is not None and torch.allclose(y, model(x), atol=1e-6)


def test_exceptions_inside_are_the_users() -> None:
    def function(x: Tensor, index: Tensor) -> Tensor:
        return (x * 1 + 0)[index]

    compiled = hypatia(function)
    x = torch.arange(3.0)
    with pytest.raises(IndexError):
        compiled(x, torch.tensor([7]))
    assert torch.equal(compiled(x, torch.tensor([2])), torch.tensor([2.0]))
    with pytest.raises(IndexError):
        compiled(x, torch.tensor([7]))


def test_deep_copies_and_reset() -> None:
    model = nn.Linear(4, 4)
    compiled = hypatia(model)
    x = torch.randn(2, 4)
    compiled(x)
    other = copy.deepcopy(compiled)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    assert torch.equal(other(x), torch.zeros(2, 4)) and torch.allclose(compiled(x), model(x))
    torch._dynamo.reset()
    assert torch.allclose(compiled(x), model(x))


def test_a_name_for_the_call_is_accepted() -> None:
    compiled = hypatia_core.hypatia_backend
    graph = torch.fx.symbolic_trace(lambda x: (x + 1,))
    assert torch.equal(
        compiled(graph, [torch.ones(2)], name="layer")(torch.ones(2))[0], torch.full((2,), 2.0)
    )


def test_attributes_of_the_graph() -> None:
    function: Function = lambda x: x + torch.tensor([1.0, 2.0]) * 1  # noqa: E731
    assert torch.equal(hypatia(function, measure=False)(torch.ones(2)), torch.tensor([2.0, 3.0]))


def test_many_operands() -> None:
    function: Function = lambda xs: sum(xs[1:], xs[0]) * 1 + 0  # noqa: E731
    xs = [torch.randn(3) for _ in range(80)]
    torch.testing.assert_close(hypatia(function, verify=False, measure=False)(xs), function(xs))
    ys = [torch.rand(3) + 0.5 for _ in range(80)]

    def product(values: list[Tensor]) -> Tensor:
        result = values[0]
        for value in values[1:]:
            result = result * (value * 1)
        return result

    torch.testing.assert_close(hypatia(product, verify=False, measure=False)(ys), product(ys))
