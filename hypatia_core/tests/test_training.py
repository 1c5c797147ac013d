"""Training: forward and backward searched as one graph, and one decision for both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

import hypatia_core
from agreement import assert_near, hypatia, tensors, widened
from hypatia_core import GraphReport, backend, compat, fx_export, split
from hypatia_core.fx_import import Reader

pytestmark = pytest.mark.usefixtures("one_thread")

N = 96


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


def gradients(function: Callable[..., Any], inputs: list[Tensor], tangents: list[Tensor]) -> list[Tensor]:
    """The outputs, and the gradients of those inputs that ask for them."""
    outputs = tensors(function(*inputs))
    differentiable = [y for y in outputs if y.requires_grad]
    wanted = [x for x in inputs if x.requires_grad]
    found = torch.autograd.grad(differentiable, wanted, tangents, allow_unused=True)
    return [*outputs, *(g if g is not None else torch.zeros(()) for g in found)]


def assert_learns(function: Callable[..., Any], *inputs: Tensor, **options: Any) -> GraphReport:
    """Outputs and gradients of two steps, by the criterion of the backend. Returns the report."""
    compiled = hypatia(function, **options)
    for _ in range(2):
        tangents = [torch.randn_like(y) for y in tensors(function(*inputs)) if y.requires_grad]
        assert_near(
            gradients(compiled, list(inputs), tangents),
            gradients(function, list(inputs), tangents),
            gradients(function, widened(list(inputs)), widened(tangents)),
        )
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.stage == "joint"
    return graph


def largest_product(graph: GraphReport) -> int:
    """The most floating operations that a node of the rewritten program takes."""
    assert graph.after is not None
    return max(node.flops for node in graph.after.nodes)


def chain(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a @ b) @ v


def lora(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return x @ (w + a @ b)


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1)) @ v


FAVOURABLE: dict[str, tuple[Callable[..., Tensor], Callable[[], list[Tensor]], int]] = {
    # What is computed, of what, and the most floating operations that any one product may still take.
    "chain": (chain, lambda: [leaf(N, N), leaf(N, N), leaf(N, 1)], 2 * N * N),
    "chain with a vector": (chain, lambda: [leaf(256, 256), leaf(256, 256), leaf(256)], 2 * 256 * 256),
    "LoRA": (
        lora,
        lambda: [torch.randn(8, N), torch.randn(N, N), leaf(N, 4), leaf(4, N)],
        2 * 8 * N * N,
    ),
    "linear attention": (
        linear_attention,
        lambda: [leaf(2, 256, 8), leaf(2, 256, 8), leaf(2, 256, 8)],
        2 * 2 * 256 * 8 * 8,
    ),
}


@pytest.mark.parametrize("name", FAVOURABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradients_get_the_cheap_form(name: str, dtype: torch.dtype) -> None:
    function, make, most = FAVOURABLE[name]
    inputs = [x.detach().to(dtype).requires_grad_(x.requires_grad) for x in make()]
    graph = assert_learns(function, *inputs, measure=False)
    assert graph.rewritten and graph.installed == "aten, rewritten", graph
    assert graph.error is not None and graph.original_error is not None
    assert largest_product(graph) <= most, graph
    assert graph.cost_before is not None and graph.cost_after is not None
    assert graph.cost_after < 0.7 * graph.cost_before


def test_what_is_faster_is_installed_by_measurement() -> None:
    graph = assert_learns(chain, leaf(500, 500), leaf(500, 500), leaf(500, 1))
    assert graph.rewritten and graph.speedup is not None and graph.speedup > 1
    assert set(graph.measured) == {"original", "aten, rewritten"}


def test_gradients_hold_against_finite_differences() -> None:
    compiled = hypatia(lora, measure=False)
    inputs = [torch.randn(3, 6), torch.randn(6, 6), leaf(6, 2), leaf(2, 6)]
    wide = [x.detach().double().requires_grad_(x.requires_grad) for x in inputs]
    assert torch.autograd.gradcheck(compiled, wide)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.inward(self.first(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind()
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.outward(mixed.transpose(1, 2).reshape(batch, length, width))
        y: Tensor = x + self.narrow(functional.gelu(self.wide(self.second(x))))
        return y


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 32)
        self.blocks = nn.Sequential(Block(32, 4), Block(32, 4))
        self.head = nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(self.tokens(tokens)))
        return y


def test_a_transformer_with_adam_learns_as_eager_does() -> None:
    ours = Transformer()
    theirs = copy.deepcopy(ours)
    data = torch.randint(20, (20, 4, 17))

    def losses(model: nn.Module, call: Any) -> list[float]:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        found = []
        for step in data:
            optimizer.zero_grad()
            loss = functional.cross_entropy(call(step[:, :-1]).flatten(0, 1), step[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    compiled = hypatia(ours, measure=False)
    assert losses(ours, compiled) == pytest.approx(losses(theirs, theirs), rel=1e-4)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.stage == "joint" and graph.verified == "the whole graph against float64"


@pytest.mark.parametrize("wrong", ["output", "gradient"])
def test_a_wrong_rewrite_is_refused_for_both_halves(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true_write = fx_export.write

    def write(*arguments: Any) -> Any:
        written, places = true_write(*arguments)
        (output,) = written.graph.find_nodes(op="output")
        results = list(output.args[0])
        at = 0 if wrong == "output" else 1
        with written.graph.inserting_before(output):
            changed = written.graph.call_function(torch.ops.aten.mul.Tensor, (results[at], 1.001))
        changed.meta["val"] = results[at].meta["val"]
        results[at] = changed
        output.args = (tuple(results),)
        written.recompile()
        return written, places

    monkeypatch.setattr(backend, "write", write)
    inputs = [leaf(N, N), leaf(N, N), leaf(N, 1)]
    compiled, tangent = hypatia(chain, measure=False), torch.randn(N, 1)
    for _ in range(2):
        for a, b in zip(
            gradients(compiled, inputs, [tangent]), gradients(chain, inputs, [tangent]), strict=True
        ):
            assert torch.equal(a, b), "the original's bits in both halves"
    (graph,) = hypatia_core.report(compiled).graphs
    assert not graph.rewritten and graph.installed == "original"
    position = 0 if wrong == "output" else 1
    assert any(f"aten, rewritten: output {position} errs" in reason for reason in graph.refusals)


def kept_bytes(function: Callable[..., Tensor], inputs: list[Tensor]) -> int:
    """The bytes that a forward keeps for its backward besides its inputs."""
    given = {x.untyped_storage().data_ptr() for x in inputs}
    found: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in given and storage.nbytes() > 64:
            found[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        kept = function(*inputs)
    assert kept is not None
    return sum(found.values())


@pytest.mark.parametrize("name", FAVOURABLE)
def test_no_more_memory_is_kept(name: str) -> None:
    function, make, _ = FAVOURABLE[name]
    inputs = make()
    compiled = hypatia(function, measure=False)
    compiled(*inputs)
    (graph,) = hypatia_core.report(compiled).graphs
    ours, theirs = kept_bytes(compiled, inputs), kept_bytes(function, inputs)
    held = sum(x.nbytes for x in inputs) + function(*inputs).nbytes
    assert held + ours <= split.MEMORY_FACTOR * (held + theirs)
    assert graph.rewritten and ours == graph.kept_after


def test_a_vector_may_be_kept_where_the_original_keeps_nothing() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(N, N)), nn.Parameter(torch.randn(N, N))

        def forward(self, v: Tensor) -> Tensor:
            return chain(self.a, self.b, v).square().mean()

    compiled = hypatia(Chain(), measure=False)
    compiled(torch.randn(N, 1)).backward()
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and graph.kept_after - graph.kept_before <= split.WEIGHTS_PART * 2 * 4 * N * N, (
        graph
    )


def test_a_rewrite_that_keeps_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "MEMORY_FACTOR", 0.0)
    compiled = hypatia(chain, measure=False)
    inputs = leaf(N, N), leaf(N, N), leaf(N, 1)
    result = compiled(*inputs)
    found = torch.autograd.grad(result.sum(), inputs)
    forward, backward = hypatia_core.report(compiled).graphs
    # What cannot be divided is left; each half is still optimised by itself.
    assert (forward.stage, backward.stage) == ("forward", "backward")
    assert any("alive between forward and backward" in reason for reason in forward.refusals)
    torch.testing.assert_close(found, torch.autograd.grad(chain(*inputs).sum(), inputs), rtol=1e-4, atol=1e-4)


def test_an_input_may_be_written_to_where_eager_lets_it() -> None:
    # Eager keeps the product a b for the gradient of v; the cheap form would keep a and b instead.
    a, b, v = torch.randn(N, N), torch.randn(N, N), leaf(N, 1)
    compiled = hypatia(chain, measure=False)
    result = compiled(a, b, v)
    tangent = torch.randn_like(result)
    expected = (a @ b).t() @ tangent
    a.zero_()
    (found,) = torch.autograd.grad(result, v, tangent)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_an_output_may_be_written_to_where_eager_lets_it() -> None:
    x, w = torch.randn(8, N), leaf(N, N)
    result = hypatia(lambda x, w: x @ w + x @ w, measure=False)(x, w)
    result.mul_(2)
    result.sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(w.grad, 4 * x.sum(0)[:, None].expand(N, N))


class Counting(nn.Module):
    """Writes to what its backward needs."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.ones(N, 1))
        self.norm = nn.BatchNorm1d(N)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        seen = self.seen.clone()
        result: Tensor = self.norm(((a @ b) @ seen).t() + seen.t() * a)
        self.seen.add_(1)
        return result


def test_what_is_written_to_after_the_forward() -> None:
    ours = Counting()
    theirs, exact = copy.deepcopy(ours), widened(ours)
    compiled = hypatia(ours, measure=False)
    for _ in range(3):
        a, b = leaf(N, N), leaf(N, N)
        tangent = [torch.randn(N, N)]
        assert_near(
            gradients(compiled, [a, b], tangent),
            gradients(theirs, [a, b], tangent),
            gradients(exact, widened([a, b]), widened(tangent)),
        )
        assert torch.equal(ours.seen, theirs.seen)
    graphs = hypatia_core.report(compiled).graphs
    assert [graph.stage for graph in graphs] == ["joint"] and graphs[0].rewritten


def test_random_numbers_are_those_of_eager() -> None:
    def step(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        return functional.dropout((a @ b) @ v, 0.5) + functional.dropout(v, 0.3)

    inputs = [leaf(N, N), leaf(N, N), leaf(N, 1)]
    compiled = hypatia(step, measure=False)
    tangent = [torch.randn(N, 1)]
    for seed in range(3):
        torch.manual_seed(seed)
        ours, after = gradients(compiled, inputs, tangent), torch.rand(1)
        torch.manual_seed(seed)
        theirs, expected = gradients(step, inputs, tangent), torch.rand(1)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
        assert torch.equal(after, expected), "as many numbers were drawn"
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten


def test_sizes_that_vary() -> None:
    def function(x: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return lora(x, w, a, b) * x.shape[0]

    compiled = hypatia(function, dynamic=True, measure=False)
    w, a, b = torch.randn(N, N), leaf(N, 4), leaf(4, N)
    for rows in (8, 5, 31, 8):
        x = torch.randn(rows, N)
        tangent = [torch.randn(rows, N)]
        ours = gradients(compiled, [x, w, a, b], tangent)
        theirs = gradients(function, [x, w, a, b], tangent)
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten, graph


def test_outputs_without_gradients_and_inputs_without_any() -> None:
    def function(a: Tensor, b: Tensor, v: Tensor, unused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = chain(a, b, v)
        return y, y.argmax(), y.detach() + 1

    graph = assert_learns(function, leaf(N, N), leaf(N, N), leaf(N, 1), leaf(3), measure=False)
    assert graph.rewritten


@pytest.mark.parametrize("numerics", ["exact", "accurate"])
def test_the_option_numerics_holds_for_gradients(numerics: str) -> None:
    inputs, tangent = [leaf(N, N), leaf(N, N), leaf(N, 1)], [torch.randn(N, 1)]
    compiled = hypatia(chain, numerics=numerics, measure=False)
    for _ in range(2):
        ours, theirs = gradients(compiled, inputs, tangent), gradients(chain, inputs, tangent)
        assert numerics != "exact" or all(map(torch.equal, ours, theirs))
    (graph,) = hypatia_core.report(compiled).graphs
    assert numerics != "exact" or "matmul-associates" not in graph.rules


def test_backward_twice_and_steps_that_overlap() -> None:
    inputs, tangent = [leaf(N, N), leaf(N, N), leaf(N, 1)], torch.randn(N, 1)
    compiled = hypatia(chain, measure=False)
    first, second = compiled(*inputs), compiled(*inputs)
    expected = torch.autograd.grad(chain(*inputs), inputs, tangent)
    for result in (second, first, first):
        found = torch.autograd.grad(result, inputs, tangent, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_a_backward_goes_by_the_program_whose_forward_ran() -> None:
    """A table that is read as a constant: the original runs where it holds another value."""
    table = torch.zeros(3, 3, 3)
    for i, j, k, sign in ((0, 1, 2, 1.0), (1, 2, 0, 1.0), (2, 0, 1, 1.0), (1, 0, 2, -1.0)):
        table[i, j, k] = sign

    class Product(nn.Module):
        table: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", table.clone())

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.einsum("bi,bj,ijk->bk", x, y, self.table)

    model = Product()
    compiled = hypatia(model, measure=False)
    x, y, tangent = leaf(64, 3), leaf(64, 3), [torch.randn(64, 3)]
    before = compiled(x, y)
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten, graph
    expected = torch.autograd.grad(model(x, y), [x, y], tangent)
    with torch.no_grad():
        model.table = model.table * 2 + 1
    after = compiled(x, y)
    torch.testing.assert_close(after, model(x, y))
    torch.testing.assert_close(torch.autograd.grad(before, [x, y], tangent), expected)
    torch.testing.assert_close(
        torch.autograd.grad(after, [x, y], tangent), torch.autograd.grad(model(x, y), [x, y], tangent)
    )


@pytest.fixture
def own_operation() -> Iterator[Callable[[Tensor], Tensor]]:
    with torch.library._scoped_library("hypatia_training", "FRAGMENT") as library:
        library.define("printing(Tensor x) -> Tensor")
        library.impl("printing", lambda x: x.clone(), "CompositeExplicitAutograd")
        library.impl("printing", lambda x: torch.empty_like(x), "Meta")
        yield torch.ops.hypatia_training.printing


class Stashing(torch.autograd.Function):
    """Keeps a tensor on ctx by itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x.exp()
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        result: Tensor = grad_outputs[0] * ctx.kept
        return result


def checkpointed(a: Tensor, b: Tensor, v: Tensor) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(chain, a, b, v, use_reentrant=False)


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "activation checkpointing": (checkpointed, "checkpointing|higher-order"),
    "a tensor on ctx": (lambda a, b, v: chain(Stashing.apply(a), b, v), "ctx"),
    "a size of the data": (lambda a, b, v: chain(a, b, v)[v[:, 0] > 0], "run time|does not tell"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_searched_as_one_is_named(name: str) -> None:
    function, reason = REFUSED[name]
    inputs = [leaf(N, N), leaf(N, N), leaf(N, 1)]
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = hypatia(function, measure=False)
        result, expected = compiled(*inputs), function(*inputs)
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)
        tangent = torch.randn_like(result)
        torch.testing.assert_close(
            torch.autograd.grad(result, inputs, tangent),
            torch.autograd.grad(expected, inputs, tangent),
            rtol=1e-3,
            atol=1e-3,
        )
    forward, backward = hypatia_core.report(compiled).graphs
    assert (forward.stage, backward.stage) == ("forward", "backward")
    assert "forward and backward are optimised apart" in forward.refusals[0]
    assert any(part in forward.refusals[0] for part in reason.split("|")), forward.refusals[0]


@pytest.mark.parametrize("many", [1, 12])
def test_a_backward_apart_takes_no_input_for_a_weight(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Moved(nn.Module):
        """One weight that the backward keeps, and others that it does not."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(N, N))
            self.biases = nn.ParameterList(torch.randn(N) for _ in range(many))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = Stashing.apply(x @ self.weight)
            for bias in self.biases:
                y = y + bias
            return y

    taken: list[frozenset[int]] = []

    class Noted(Reader):
        def __init__(self, weights: frozenset[int], *others: Any) -> None:
            taken.append(weights)
            super().__init__(weights, *others)

    monkeypatch.setattr(backend, "Reader", Noted)
    model, x = Moved(), leaf(8, N)
    compiled = hypatia(model, measure=False)
    wanted, tangent = [x, *model.parameters()], torch.randn(8, N)
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x), wanted, tangent),
        torch.autograd.grad(model(x), wanted, tangent),
        rtol=1e-3,
        atol=1e-3,
    )
    assert [graph.stage for graph in hypatia_core.report(compiled).graphs] == ["forward", "backward"]
    assert len(taken[-2]) == many + 1 and not taken[-1]


def test_compiled_autograd_gets_an_error_and_no_wrong_gradient() -> None:
    """It runs the backward graph by itself, which fits what the original keeps, and no other program."""
    inputs = [leaf(N, N), leaf(N, N), leaf(N, 1)]
    compiled = hypatia(chain, measure=False)
    result = compiled(*inputs)

    def eager(graph: Any, examples: Any) -> Any:
        return graph.forward

    with (
        pytest.raises(Exception, match=r"compiled autograd|a must be 2D"),
        torch._dynamo.compiled_autograd._enable(torch.compile(backend=eager)),
    ):
        result.sum().backward()


def test_under_compiled_autograd_the_original_runs() -> None:
    inputs = [leaf(N, N), leaf(N, N), leaf(N, 1)]
    compiled = hypatia(chain, measure=False)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        compiled(*inputs).sum().backward()
    expected = torch.autograd.grad(chain(*inputs).sum(), inputs)
    torch.testing.assert_close([x.grad for x in inputs], list(expected), rtol=1e-4, atol=1e-3)
    found = torch.autograd.grad(compiled(*inputs).sum(), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert hypatia_core.report(compiled).graphs[0].installed == "aten, rewritten", "it decides afterwards"


def test_a_decision_that_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HYPATIA_CACHE_DIR", str(tmp_path))
    inputs, found = [leaf(500, 500), leaf(500, 500), leaf(500, 1)], []
    for _ in range(2):
        torch._dynamo.reset()
        compiled = hypatia(chain)
        gradients(compiled, inputs, [torch.ones(500, 1)])
        found += hypatia_core.report(compiled).graphs
    first, second = found
    assert "search" in first.stages and "search" not in second.stages and "measure" not in second.stages
    assert first.installed == second.installed == "aten, rewritten"


def test_a_division_that_fails_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    joint = fx.Graph()
    x, tangent = joint.placeholder("primals_1"), joint.placeholder("tangents_1")
    y = joint.call_function(torch.ops.aten.exp.default, (x,))
    slope = joint.call_function(torch.ops.aten.mul.Tensor, (tangent, y))
    joint.output((y, slope))
    with FakeTensorMode():
        for node in (x, tangent, y, slope):
            node.meta["val"] = torch.empty(4)
    for node in (x, y):
        compat.must_not_be_kept(node)
    with pytest.raises(RuntimeError):
        compat.min_cut_partition(fx.GraphModule({}, joint), [], 1, [])
    assert not list(tmp_path.iterdir())


def test_a_faulty_partitioner_leaves_torch_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("deliberately broken")

    monkeypatch.setattr(compat, "min_cut_partition", broken)
    graph = assert_learns(chain, leaf(N, N), leaf(N, N), leaf(N, 1), measure=False)
    assert graph.rewritten, "the other partitioner divides it"
