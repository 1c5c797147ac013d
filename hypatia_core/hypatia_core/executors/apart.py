"""Generated code that another process compiles, while this one computes.

What crosses is data: the graph and its inputs' types as JSON on the way there; on the way back torch's own
compiled artifact, a file which lies in a folder that only this user can write to.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule

from hypatia_core import compat, graph_json
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.base import Executor, Runnable
from hypatia_core.executors.inductor import Inductor

#: Seconds after which a compiling process is given up.
PATIENCE = 300.0
#: Elements of a constant that crosses as numbers.
LARGEST_CONSTANT = 4096
#: Seconds after which a thread of ours lets others have the interpreter, and how long it then waits.
SHORT_TURN = 2e-4
BREAK = 1e-6

_PROGRAM = "from hypatia_core.executors.apart import main; main()"
#: One process compiles at a time.
_ONE = threading.Semaphore(1)
_RUNNING: set[subprocess.Popen[bytes]] = set()
_OWNER = os.getpid()


class Apart(Executor):
    """Inductor in a process of its own. To be called in a thread of its own: it waits for that process."""

    name = "inductor"

    def refusal(self, graph: GraphModule) -> str | None:
        """Inductor's reason."""
        return Inductor().refusal(graph)

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """What the other process made.

        Raises:
            HypatiaError: the graph cannot cross, or the process failed or took too long.
        """
        with short_turns():
            request = json.dumps(_request(graph, fake_inputs))
        with _ONE, tempfile.TemporaryDirectory(prefix="hypatia-") as folder:
            Path(folder, "request.json").write_text(request, encoding="utf-8")
            _compile_in_a_process(folder)
            with short_turns():
                compiled = compat.load_generated(str(Path(folder, "artifact")))

        def call(arguments: list[Any]) -> Any:
            given = tuple(arguments)
            arguments.clear()
            return compiled(*given)

        return compat.boxed(call)


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Lets other threads have the interpreter again and again while this one works in Python.

    Otherwise each of their operations would wait for it, up to `sys.getswitchinterval()`, which is the
    process's and stays as it is. A thread that is profiled keeps its profiler.
    """
    if sys.getprofile() is not None:
        yield
        return
    last = time.perf_counter()

    def pause(frame: types.FrameType, event: str, argument: object) -> None:
        nonlocal last
        if time.perf_counter() - last > SHORT_TURN:
            time.sleep(BREAK)
            last = time.perf_counter()

    sys.setprofile(pause)  # of this thread alone
    try:
        yield
    finally:
        sys.setprofile(None)


def _request(graph: GraphModule, fake_inputs: Sequence[Any]) -> dict[str, Any]:
    constants = {
        str(node.target): _constant(getattr(graph, str(node.target)))
        for node in graph.graph.nodes
        if node.op == "get_attr"
    }
    return {
        "nodes": graph_json.to_json(graph.graph),
        "inputs": [_type(value) for value in fake_inputs],
        "constants": constants,
        "threads": torch.get_num_threads(),
    }


def _type(value: Any) -> Any:
    """An input's type as data; a number is itself."""
    if isinstance(value, torch.Tensor):
        if not all(isinstance(n, int) for n in (*value.shape, *value.stride())):
            raise HypatiaError("its sizes are symbols")
        return {
            "size": list(value.shape),
            "stride": list(value.stride()),
            "dtype": str(value.dtype).removeprefix("torch."),
            "device": str(value.device),
        }
    if type(value) in (int, float, bool):
        return value
    raise HypatiaError(f"an input of type {type(value).__name__}")


def _constant(value: Any) -> dict[str, Any]:
    if not isinstance(value, torch.Tensor) or value.is_complex() or value.numel() > LARGEST_CONSTANT:
        raise HypatiaError("the graph holds a constant that is no small tensor of real numbers")
    return {**_type(value), "values": value.tolist()}


def _compile_in_a_process(folder: str) -> None:
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    log = Path(folder, "log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, folder],
            stdin=subprocess.PIPE,  # its end tells the process that this one is gone
            stdout=output,
            stderr=output,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
    _RUNNING.add(process)
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise HypatiaError(f"the compiling process took more than {PATIENCE:g} s") from None
    finally:
        _end(process)
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise HypatiaError(f"the compiling process failed: {lines[-1] if lines else f'it returned {code}'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with all that it started."""
    _RUNNING.discard(process)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


@atexit.register
def _end_all() -> None:
    # A forked process has the set, but not the right.
    if os.getpid() == _OWNER:
        for process in list(_RUNNING):
            _end(process)


def main() -> None:
    """What the other process does."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.nice(10)
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    torch.set_num_threads(request["threads"])
    constants = {
        name: torch.tensor(row["values"], dtype=getattr(torch, row["dtype"]), device=row["device"])
        for name, row in request["constants"].items()
    }
    graph = graph_json.from_json(request["nodes"], constants)
    with compat.new_fake_mode():
        inputs = [
            torch.empty_strided(
                row["size"], row["stride"], dtype=getattr(torch, row["dtype"]), device=row["device"]
            )
            if isinstance(row, dict)
            else row
            for row in request["inputs"]
        ]
    compat.save_generated(graph, inputs, {"fallback_random": True}, str(folder / "artifact"))


def _end_with_the_parent() -> None:
    os.read(0, 1)  # nothing is ever written: it ends where the other end is closed
    os.killpg(0, signal.SIGKILL)
