"""One system of `benchmarks/models.py` in a process of its own.

    python benchmarks/systems.py SYSTEM MODEL BATCH FOLDER

It loads the model and prints a line of JSON. At the first line that it reads it compiles the model, holds
its output against the float64 run in FOLDER, and prints another; then it runs a block of calls for each line
"SECONDS", with a line of JSON for each.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Compile times are those with cold caches.
COLD = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "HYPATIA_CACHE_DIR": "", "HF_HUB_OFFLINE": "1"}
#: Weights become constants of the code that Inductor makes.
FREEZING = {"TORCHINDUCTOR_FREEZING": "1"}


@dataclass(frozen=True)
class System:
    """A way of running a model: by which name, in which group, under which environment."""

    name: str
    group: str
    prepare: Callable[[Any, tuple[Any, ...], Path], Callable[[], Any]]
    environment: dict[str, str]
    quick: bool = True


def eager(model: Any, inputs: tuple[Any, ...], folder: Path) -> Callable[[], Any]:
    return lambda: model(*inputs)


def compiled(**options: Any) -> Callable[[Any, tuple[Any, ...], Path], Callable[[], Any]]:
    def prepare(model: Any, inputs: tuple[Any, ...], folder: Path) -> Callable[[], Any]:
        import torch

        run = torch.compile(model, **options)
        return lambda: run(*inputs)

    return prepare


def served(model: Any, inputs: tuple[Any, ...], folder: Path) -> Callable[[], Any]:
    import hypatia_core

    run = hypatia_core.compile(model, inputs)
    return lambda: run(*inputs)


def exported(model: Any, inputs: tuple[Any, ...], folder: Path) -> Path:
    """The model as ONNX, written by the process that comes first."""
    import torch

    path = folder / f"{os.getpid()}.onnx"
    torch.onnx.export(model, inputs, str(path), dynamo=True, optimize=True, external_data=True, verbose=False)
    return path


def onnx_runtime(model: Any, inputs: tuple[Any, ...], folder: Path) -> Callable[[], Any]:
    import onnxruntime
    import torch

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(exported(model, inputs, folder)), settings, providers=["CPUExecutionProvider"]
    )
    feeds = {put.name: x.numpy() for put, x in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feeds)[0]


def openvino(model: Any, inputs: tuple[Any, ...], folder: Path) -> Callable[[], Any]:
    import openvino as ov
    import torch

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    converted = ov.convert_model(str(exported(model, inputs, folder)))
    request = ov.Core().compile_model(converted, "CPU", settings).create_infer_request()
    feeds = dict(enumerate(x.numpy() for x in inputs))
    return lambda: request.infer(feeds, share_inputs=True, share_outputs=True)[0]


def nothing(graph: Any, examples: Any) -> Callable[..., Any]:
    """A backend that computes once: of a call nothing is left but Dynamo's guards on the model."""
    made: list[Any] = []

    def call(*arguments: Any) -> Any:
        if not made:
            made.append(graph(*arguments))
        return made[0]

    return call


SYSTEMS = [
    System("eager", "eager", eager, {}),
    System("Inductor", "Inductor", compiled(), {}),
    System("Inductor, freezing", "Inductor", compiled(), FREEZING, quick=False),
    # Its own products need weights that are constant.
    System("Inductor, max-autotune", "Inductor", compiled(mode="max-autotune"), FREEZING, quick=False),
    System("ONNX Runtime", "runtime", onnx_runtime, {}),
    System("OpenVINO", "runtime", openvino, {}),
    System("Hypatia, torch.compile", "Hypatia", compiled(backend="hypatia"), {}),
    System("Hypatia, served", "Hypatia", served, {}),
]

#: No row of the table: what a call of the compiled model costs that computes nothing.
EMPTY = System("an empty compiled call", "empty", compiled(backend=nothing), {})


def busy() -> tuple[float, float]:
    """Seconds of processor time so far: of the whole machine, and of this process."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:8]
        user, nice, system, _idle, _wait, interrupts, soft = map(int, fields)
        ticks = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + interrupts + soft) / ticks, time.process_time()
    except (OSError, ValueError):  # no Linux: nothing is known of other processes
        return 0.0, 0.0


def block(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Calls for so long: the median of their times, and what other processes took meanwhile, in cores."""
    call()
    all_before, own_before = busy()
    begun = last = time.perf_counter()
    times = []
    while last - begun < seconds or len(times) < 3:
        call()
        now = time.perf_counter()
        times.append(now - last)
        last = now
    all_after, own_after = busy()
    others = (all_after - all_before) - (own_after - own_before)
    return {"seconds": statistics.median(times), "others": max(0.0, others) / (last - begun)}


def error_of(output: Any, folder: Path) -> float:
    """The largest deviation from the float64 run, in parts of its largest value."""
    import torch

    exact = torch.load(folder / "exact.pt", weights_only=True)
    found = torch.as_tensor(output).double()
    if found.shape != exact.shape:
        return float("inf")
    return float((found - exact).abs().max() / exact.abs().max())


def reference(model: str, batch: int, folder: Path) -> None:
    """Runs the model in float64 and keeps the output."""
    import torch
    from zoo import work

    made = work(model, batch)
    inputs = [x.double() if x.is_floating_point() else x for x in made.inputs]
    with torch.inference_mode():
        torch.save(copy.deepcopy(made.model).double()(*inputs).clone(), folder / "exact.pt")


def main() -> None:
    name, model, batch, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    # What libraries print must not come between the lines of JSON.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.filterwarnings("ignore")

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    if name == "float64":
        reference(model, batch, folder)
        answer(ready=True)
        return
    system = next(system for system in [*SYSTEMS, EMPTY] if system.name == name)
    try:
        import torch
        from zoo import work

        made = work(model, batch)
        if system.group == "Hypatia":
            import hypatia_core

            hypatia_core.set_log_level("WARN")
        answer(loaded=True)
        sys.stdin.readline()
        with torch.inference_mode():
            begun = time.perf_counter()
            call = system.prepare(made.model, made.inputs, folder)
            output = call()
            seconds = time.perf_counter() - begun
            # Some decide at the second call, or build once more.
            call()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            answer(ready=True, compile=seconds, error=error_of(output, folder), peak=peak)
            for line in sys.stdin:
                answer(**block(call, float(line)))
    except Exception as error:
        answer(
            ready=False, reason=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )


if __name__ == "__main__":
    main()
