"""Is it fast? `python hypatia_core/tests/mlp_perf_test.py`: the guide's MLP, eager against Hypatia.

Rounds alternate between the two, so that what else the machine does falls on both; the median of the rounds
is shown, and the ratio also where Hypatia is slower. A test here fails when the outputs disagree or nothing
could be measured, never for a time.
"""

import statistics
import sys
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import hypatia_core

ROUNDS = 15
SECONDS_A_ROUND = 0.02
BATCH_SIZES = [1, 16, 128, 512]


def mlp() -> nn.Module:
    """The guide's model."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).eval()


def seconds(call: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


def compare(model: nn.Module, hypatia: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, float]:
    """Median seconds a call, eager and Hypatia, in alternating rounds; the outputs have to agree."""
    with torch.no_grad():
        torch.testing.assert_close(hypatia(x), model(x), rtol=1e-4, atol=1e-5)
        calls: tuple[Callable[[], object], ...] = (lambda: model(x), lambda: hypatia(x))
        times = max(1, int(SECONDS_A_ROUND / seconds(calls[0], 3)))
        rounds = [[seconds(call, times) for call in calls] for _ in range(ROUNDS)]
    eager, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    assert eager > 0 and ours > 0
    return eager, ours


def show(title: str, eager: float, ours: float) -> None:
    print(f"  {title}: eager {1e3 * eager:8.3f} ms   hypatia {1e3 * ours:8.3f} ms   {eager / ours:5.2f}×")


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    torch._dynamo.reset()
    return torch.compile(model, backend="hypatia", options={"on_error": "raise"})


def test_eager_against_hypatia() -> None:
    model = mlp()
    hypatia = compiled(model)
    x = torch.randn(128, 256)
    begun = time.perf_counter()
    with torch.no_grad():
        hypatia(x)
    print(f"  compiled in {time.perf_counter() - begun:.2f} s, {torch.get_num_threads()} threads")
    show("batch  128", *compare(model, hypatia, x))
    print("  " + str(hypatia_core.report(hypatia)).replace("\n", "\n  "))


def test_batch_sizes_scale() -> None:
    model = mlp()
    for size in BATCH_SIZES:
        # Compiled for each size: that is what a server with a fixed batch would do.
        show(f"batch {size:4d}", *compare(model, compiled(model), torch.randn(size, 256)))


def test_memory_on_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    model, x = mlp().cuda(), torch.randn(512, 256, device="cuda")
    peaks = []
    runs: tuple[Callable[[Tensor], Tensor], ...] = (model, compiled(model))
    for run in runs:
        with torch.no_grad():
            run(x)
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            run(x)
            torch.cuda.synchronize()
        peaks.append(torch.cuda.max_memory_allocated())
    print(f"  peak: eager {peaks[0] / 2**20:.1f} MiB   hypatia {peaks[1] / 2**20:.1f} MiB")
    assert min(peaks) > 0


if __name__ == "__main__":
    from script import run

    sys.exit(run(__name__))
