"""Values: every kind of number, random ones, special ones, and how near they must be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agreement import Function, hypatia, same

pytestmark = pytest.mark.usefixtures("one_thread")

M = 6


def matrix(dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(M, M, generator=generator)
    return (
        (values * 3).to(dtype)
        if not dtype.is_complex
        else torch.complex(values, values.t().contiguous()).to(dtype)
    )


MIXED: dict[str, Callable[[Tensor], Any]] = {
    "algebra": lambda x: (x + 0) * 1 - x.t().t() + x.neg().neg(),
    "sums": lambda x: (x.sum(0), x.sum(), x.amax(-1) if not x.is_complex() else x),
    "scalars": lambda x: (x * 2 + 3, 2 - x, x + True),
    "promotion": lambda x: (x + torch.arange(M), x * torch.tensor(2), x + 1.5, x / 2),
    "comparison": lambda x: ((x == 0) & (x == x)) | (x != 1),
    "whole numbers": lambda x: (x + 1).to(torch.int64) // 2,
    "selection": lambda x: (x[1], x[:, -1], x[1:3, ::2], x[None, ..., None], x[-1, -1]),
    "indexing": lambda x: (x[torch.tensor([0, 2])], x[x == x]),
    "concatenation": lambda x: torch.cat([x, x, torch.empty(0, M, dtype=x.dtype)]),
    "python numbers out": lambda x: (x, 3, x.shape[0], None, 2.5),
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8]
DTYPES += [torch.bool, torch.complex64, torch.complex128]


@pytest.mark.parametrize("name", MIXED)
def test_element_types(name: str) -> None:
    function = MIXED[name]
    for dtype in DTYPES:
        x = matrix(dtype)
        try:
            expected = function(x)
        except (RuntimeError, UserWarning):  # eager refuses this type
            continue
        ours = hypatia(function, verify=False, measure=False, numerics="exact")(x)
        assert same(ours, expected), dtype


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,), (1, 1)])
def test_small_and_empty(shape: tuple[int, ...]) -> None:
    function: Function = lambda x: (x.neg().neg(), x * 1 + 0, x.sum(), torch.cat([x.reshape(-1)] * 2))  # noqa: E731
    x = torch.randn(shape)
    assert same(hypatia(function, verify=False, measure=False)(x), function(x))


def test_products_of_empty_matrices() -> None:
    function: Function = lambda a, b, c: (a @ b) @ c  # noqa: E731
    for sizes in [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)]:
        a, b, c = (torch.randn(i, j) for i, j in itertools.pairwise(sizes))
        assert torch.allclose(hypatia(function, measure=False)(a, b, c), function(a, b, c), atol=1e-5)


SPECIAL = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 3e38, 1.0])


@pytest.mark.parametrize("numerics", ["exact", "accurate", "reassociate"])
def test_special_values(numerics: str) -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        same_value = (x + 0, x * 1, x.neg().neg(), x.relu(), x.relu().relu())
        return (x - x, x * 0, x / x, *same_value, x * 2 + x * 3)

    ours = hypatia(function, verify=False, measure=False, numerics=numerics)(SPECIAL)
    expected = function(SPECIAL)
    if numerics == "reassociate":  # x·2 + x·3 overflows where x·5 need not
        ours, expected = ours[:-1], expected[:-1]
    assert same(ours, expected)
    if numerics == "exact":
        for a, b in zip(ours, expected, strict=True):
            assert torch.equal(a.signbit(), b.signbit())


def test_exact_is_bit_equal_on_a_model() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 16), nn.Softmax(-1))
    x = torch.randn(5, 16)
    with torch.no_grad():
        assert torch.equal(hypatia(model, numerics="exact")(x), model(x))
        assert torch.equal(hypatia(model, numerics="exact", executor="auto")(x), model(x))


@pytest.mark.parametrize("verify", [True, False])
def test_dropout_draws_what_eager_draws(verify: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.3)).train()
    x = torch.randn(4, 8)
    compiled = hypatia(model, verify=verify)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for seed in (1, 2):
                torch.manual_seed(seed)
                ours = compiled(x), torch.rand(3)
                torch.manual_seed(seed)
                theirs = model(x), torch.rand(3)
                assert torch.allclose(ours[0], theirs[0], atol=1e-6) and torch.equal(ours[1], theirs[1])


def test_random_numbers_keep_their_order() -> None:
    def draws(x: Tensor) -> tuple[Tensor, ...]:
        a, b = torch.rand_like(x), torch.randn_like(x)
        c = torch.rand_like(x)
        return (a + 0) * 1, b.neg().neg(), c.t().t(), torch.rand_like(x) - torch.rand_like(x)

    x = torch.ones(3, 3)
    compiled = hypatia(draws, measure=False)
    for seed in range(3):
        torch.manual_seed(seed)
        ours, after = compiled(x), torch.rand(2)
        torch.manual_seed(seed)
        theirs, expected = draws(x), torch.rand(2)
        assert same(ours, theirs) and torch.equal(after, expected)


def test_autocast() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 8))
    x = torch.randn(4, 8)
    compiled = hypatia(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = compiled(x), model(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs)
    ours.float().sum().backward()
    assert torch.allclose(compiled(x), model(x), atol=1e-6)


def test_no_grad_and_inference_mode() -> None:
    model = nn.Linear(4, 4)
    compiled = hypatia(model)
    x = torch.randn(2, 4)
    with torch.no_grad():
        assert not compiled(x).requires_grad
    with torch.inference_mode():
        ours = compiled(x)
        assert ours.is_inference() and torch.allclose(ours, model(x))
        made = torch.randn(2, 4)
        assert torch.allclose(compiled(made), model(made))
    assert compiled(x).requires_grad
    with torch.no_grad():  # an inference tensor outside
        assert torch.allclose(compiled(made), model(made))


@pytest.mark.parametrize("numerics", ["exact", "reassociate"])
def test_complex_constants(numerics: str) -> None:
    def function(x: Tensor) -> Any:
        return x + torch.zeros_like(x), x.new_zeros(M) + x, x * torch.ones(M, M, dtype=x.dtype)

    x = matrix(torch.complex64)
    ours = hypatia(function, verify=False, measure=False, numerics=numerics, on_error="raise")(x)
    assert same(ours, function(x))


def test_complex_views() -> None:
    x = torch.randn(3, 4, dtype=torch.complex64)
    for function in (
        lambda z: z.conj() * z,
        lambda z: z.conj().t() @ z,
        lambda z: (z.real + z.imag, torch.view_as_real(z)),
        lambda z: z.conj().conj().imag.neg(),
        lambda z: torch.view_as_complex(torch.view_as_real(z) * 2),
    ):
        assert same(hypatia(function, verify=False, measure=False)(x), function(x))


def test_sparse_inputs() -> None:
    sparse = torch.eye(4).to_sparse()
    function: Function = lambda s, x: torch.sparse.mm(s, x * 1) + 0  # noqa: E731
    x = torch.randn(4, 4)
    assert torch.equal(hypatia(function)(sparse, x), function(sparse, x))


def test_half_precision_is_held_to_its_own_error() -> None:
    model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)).to(torch.bfloat16)
    x = torch.randn(4, 32, dtype=torch.bfloat16)
    with torch.no_grad():
        compiled = hypatia(model)
        torch.testing.assert_close(compiled(x), model(x))


def test_gradients_of_gradients() -> None:
    function: Function = lambda x: (x.sin() * x * 1).sum()  # noqa: E731
    x = torch.randn(5, requires_grad=True)
    (ours,) = torch.autograd.grad(hypatia(function)(x), x)
    (theirs,) = torch.autograd.grad(function(x), x)
    assert torch.allclose(ours, theirs)


def test_loss_functions_train_as_eager() -> None:
    x, y = torch.randn(6, 4, requires_grad=True), torch.randint(4, (6,))
    function: Function = lambda a: functional.cross_entropy(a, y) + functional.mse_loss(a, a.detach() * 0)  # noqa: E731
    hypatia(function)(x).backward()
    ours, x.grad = x.grad, None
    function(x).backward()
    torch.testing.assert_close(ours, x.grad)
