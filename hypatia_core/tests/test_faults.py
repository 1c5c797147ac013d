"""What happens around a compilation: interrupts, threads, processes, copies, and memory over many calls."""

from __future__ import annotations

import copy
import ctypes
import gc
import multiprocessing
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hypatia_core
from agreement import hypatia
from conftest import Run
from hypatia_core import backend, choice, compat, packed_call, report

pytestmark = pytest.mark.usefixtures("one_thread")


class Model(nn.Module):
    """A chain to rewrite, over weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(32, 32))
        self.b = nn.Parameter(torch.randn(32, 32))

    def forward(self, v: Tensor) -> Tensor:
        return (self.a @ self.b) @ v


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException) -> None:
    """Let a function raise when it is first called."""
    real = getattr(owner, name)
    raised: list[bool] = []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if not raised:
            raised.append(True)
            raise error
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, interrupted)


PLACES = {"search": (backend, "search"), "choice": (choice, "judge")}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("served", [False, True], ids=["compiled", "served"])
def test_an_interrupt_leaves_the_model_usable(
    place: str, served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, v = Model().eval(), torch.randn(32, 1)
    compiled: Any = None if served else hypatia(model)
    once(monkeypatch, *PLACES[place], KeyboardInterrupt())

    def call() -> Tensor:
        with torch.no_grad():
            result: Tensor = (
                hypatia_core.compile(model, v, options={"executor": "aten"})(v) if served else compiled(v)
            )
        return result

    with pytest.raises(KeyboardInterrupt):
        call()
    for _ in range(2):
        torch.testing.assert_close(call(), model(v).detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("place", PLACES)
def test_no_memory_for_us_is_memory_for_the_model(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, v = Model().eval(), torch.randn(32, 1)
    once(monkeypatch, *PLACES[place], MemoryError())
    compiled = hypatia(model, on_error="warn")
    with torch.no_grad():
        with pytest.warns(hypatia_core.HypatiaWarning, match="MemoryError"):
            first = compiled(v)
        for result in (first, compiled(v)):
            torch.testing.assert_close(result, model(v), rtol=1e-3, atol=1e-3)


def test_copies_and_pickles_of_the_model_beside_it() -> None:
    model, v = Model().eval(), torch.randn(32, 1)
    compiled = hypatia(model)
    served = hypatia_core.compile(model, v, options={"executor": "aten"})
    with torch.no_grad():
        before = compiled(v)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(v), model(v))
            other.a.mul_(0)
        assert torch.equal(compiled(v), before) and torch.equal(served(v), before)
        twin = copy.deepcopy(compiled)
        torch.testing.assert_close(twin(v), before)


def test_another_number_of_threads() -> None:
    model, v = Model().eval(), torch.randn(32, 1)
    compiled = hypatia(model)
    served = hypatia_core.compile(model, v, options={"executor": "aten"})
    with torch.no_grad():
        before = compiled(v)
        torch.set_num_threads(2)
        torch.testing.assert_close(compiled(v), before)
        torch.testing.assert_close(served(v), before)


def test_inputs_of_another_type() -> None:
    compiled = hypatia(lambda a, b, v: (a @ b) @ v)
    for dtype in (torch.float32, torch.float64, torch.int64):
        a = torch.arange(64).reshape(8, 8).to(dtype)
        assert torch.equal(compiled(a, a, a[:, :1]), (a @ a) @ a[:, :1])
    meta = torch.empty(8, 8, device="meta")
    assert compiled(meta, meta, meta).device.type == "meta"


def test_eight_threads_call_while_another_writes() -> None:
    model = nn.Linear(8, 8, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    compiled = hypatia(model)
    x = torch.ones(2, 8)
    wrong: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        with torch.no_grad():
            while not stop.is_set():
                values = set(compiled(x).flatten().tolist())
                if not (len(values) == 1 and values <= {8.0 * k for k in range(1, 102)}):
                    wrong.append(values)

    with torch.no_grad():
        compiled(x)
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for k in range(2, 102):
            model.weight.data = torch.full((8, 8), float(k))
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong and compiled(x)[0, 0].item() == 8.0 * 101


def answer(queue: Any, served: Any, compiled: Any) -> None:
    torch.set_num_threads(1)
    v = torch.ones(32, 1)
    with torch.no_grad():
        queue.put([served(v).sum().item(), compiled(v).sum().item()])


def test_a_forked_worker() -> None:
    model, v = Model().eval(), torch.ones(32, 1)
    compiled = hypatia(model)
    served = hypatia_core.compile(model, v, options={"executor": "aten"})
    with torch.no_grad():
        wanted = [served(v).sum().item(), compiled(v).sum().item()]
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    worker = context.Process(target=answer, args=(queue, served, compiled))
    worker.start()
    assert queue.get() == pytest.approx(wanted)
    worker.join()
    assert worker.exitcode == 0


def test_a_spawned_worker_loads_what_was_saved(tmp_path: Path, new_python: Run) -> None:
    pytest.importorskip("safetensors")
    hypatia_core.compile(nn.ReLU(), torch.ones(3), options={"executor": "aten"}).save(tmp_path / "m")
    code = f"""
import multiprocessing, torch, hypatia_core
def work(queue):
    queue.put(hypatia_core.load({str(tmp_path / "m")!r})(torch.tensor([-1.0, 0.0, 2.0])).tolist())
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    worker = context.Process(target=work, args=(queue,))
    worker.start()
    print(queue.get())
    worker.join()
"""
    assert new_python(code).stdout.splitlines()[-1] == "[0.0, 0.0, 2.0]"


def resident() -> float:
    """Megabytes of this process in memory that are in use."""
    gc.collect()
    # What is free, but lies between what is not, the allocator gives back when asked only.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
def test_memory_stays_flat(capsys: pytest.CaptureFixture[str]) -> None:
    model, v = Model().eval(), torch.randn(32, 1)

    def grown(times: int, backend: str, **more: Any) -> float:
        for count in (150, times):  # torch's own tables fill at first
            start = resident()
            for _ in range(count):
                torch._dynamo.reset()
                torch.compile(model, backend=backend, **more)(v)
        return resident() - start

    with torch.no_grad():
        served = hypatia_core.compile(model, v, options={"executor": "aten"})
        compiled = hypatia(model)
        for _ in range(1000):
            served(v), compiled(v)
        start = resident()
        for _ in range(10_000):
            served(v), compiled(v)
        calls = resident() - start
        # Torch itself keeps something of each compilation: what counts is what we add.
        torchs = grown(200, "aot_eager")
        ours = grown(200, "hypatia", options={"executor": "aten"})
    with capsys.disabled():
        print(f"\n10,000 calls each way: {calls:+.1f} MB")
        print(f"200 recompiles: {ours:+.1f} MB; by torch alone (aot_eager): {torchs:+.1f} MB")
    assert calls < 5 and ours < torchs + 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
@pytest.mark.skipif(not compat.has_onednn_graph(), reason="no graph compiler of oneDNN in this torch")
def test_memory_of_weights_that_changed_is_given_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_call, "ENOUGH_CALLS", 1)
    model, x = nn.Sequential(*(nn.Conv2d(256, 256, 3) for _ in range(4))).eval(), torch.randn(1, 256, 12, 12)
    compiled = hypatia(model, executor="onednn", measure=False)

    def grown(sets: int) -> float:
        start = resident()
        for _ in range(sets):
            for weight in model.parameters():
                weight.mul_(1.01)
            for _ in range(3):
                compiled(x)
        return resident() - start

    with torch.no_grad():
        grown(5)  # allocators settle
        more = grown(30)
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
    assert not any("op by op" in reason for graph in report(compiled).graphs for reason in graph.refusals)
    with capsys.disabled():
        print(f"\n30 sets of weights of {size:.0f} MB: {more:+.1f} MB")
    assert more < 3 * size
