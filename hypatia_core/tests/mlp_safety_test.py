"""Is the answer right? `python hypatia_core/tests/mlp_safety_test.py`: an MLP, eager against Hypatia.

"Right" is against a run in float64: Hypatia may err no more than a small multiple of what eager errs, plus
one rounding of the output, since a reordered sum rounds otherwise, not worse.
"""

import copy
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import hypatia_core

MULTIPLE = 4.0
BATCH_SIZES = [1, 2, 7, 32, 128, 257]


def mlp() -> nn.Module:
    """The guide's model."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).eval()


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    torch._dynamo.reset()
    return torch.compile(model, backend="hypatia", options={"on_error": "raise"})


def batch(size: int) -> Tensor:
    return torch.randn(size, 256, generator=torch.Generator().manual_seed(size))


def error(result: Tensor, exact: Tensor) -> float:
    """The greatest distance from the float64 run, relative to its greatest value."""
    return float((result.double() - exact).abs().max() / exact.abs().max())


def check(model: nn.Module, hypatia: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Hypatia's output, held against eager's and float64's."""
    with torch.no_grad():
        exact: Tensor = copy.deepcopy(model).double()(x.double())
        eager: Tensor = model(x)
        ours = hypatia(x)
    allowed = MULTIPLE * error(eager, exact) + torch.finfo(x.dtype).eps
    print(f"  batch {len(x):4d}: error {error(ours, exact):.1e}, eager {error(eager, exact):.1e}")
    assert ours.shape == eager.shape and ours.dtype == eager.dtype and ours.stride() == eager.stride()
    assert error(ours, exact) <= allowed
    return ours


def test_the_backend_is_registered() -> None:
    assert "hypatia" in torch._dynamo.list_backends()
    hypatia_core.register_backend()
    assert torch._dynamo.list_backends().count("hypatia") == 1


def test_output_agrees_with_eager() -> None:
    model = mlp()
    hypatia = compiled(model)
    check(model, hypatia, batch(128))
    assert len(hypatia_core.report(hypatia).graphs) == 1, "the model did not go through Hypatia"


def test_repeated_forwards_give_the_same_bits() -> None:
    hypatia = compiled(mlp())
    x = batch(64)
    with torch.no_grad():
        hypatia(x)  # the first call measures and chooses
        outputs = [hypatia(x) for _ in range(10)]
    assert all(torch.equal(outputs[0], later) for later in outputs[1:])
    assert torch.equal(x, batch(64)), "the input was changed"


@pytest.mark.parametrize("mark_dynamic", [False, True])
def test_batch_sizes_vary(mark_dynamic: bool) -> None:
    model = mlp()
    hypatia = compiled(model)
    for size in BATCH_SIZES:
        x = batch(size)
        if mark_dynamic and size > 1:
            torch._dynamo.mark_dynamic(x, 0)
        check(model, hypatia, x)


def test_changed_weights_are_seen() -> None:
    model = mlp()
    hypatia = compiled(model)
    x = batch(32)
    before = check(model, hypatia, x).clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    after = check(model, hypatia, x)
    assert not torch.allclose(before, after)


def test_gradients_agree_with_eager() -> None:
    model, twin = mlp(), mlp()
    hypatia = compiled(twin)
    for output in (model(batch(16)), hypatia(batch(16))):
        output.square().mean().backward()
    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    from script import run

    sys.exit(run(__name__))
