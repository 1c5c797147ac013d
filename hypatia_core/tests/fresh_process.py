"""Fresh Python processes for the tests, at the price of a fork.

Imports, registrations and the first lines of a log happen once a process, so their tests need many
processes, and `import torch, torch._dynamo` costs each of them seconds. Run as a script, this file imports
those two and then forks a child for each program that it is sent: one JSON object a line on stdin, the exit
status on stdout.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 300


class FreshProcesses:
    """A server of fresh processes that have torch and Dynamo, and nothing of Hypatia, in them."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, code: str, *, env: Mapping[str, str | None], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run `code` as the main module of a new process; a variable of value None is taken out of `env`."""
        assert self._server.stdin is not None and self._server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            program = {"code": code, "env": dict(env), "cwd": str(cwd), "out": str(out), "err": str(err)}
            self._server.stdin.write(json.dumps(program) + "\n")
            self._server.stdin.flush()
            status = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(
                ["python", "-c", code], status, out.read_text("utf-8"), err.read_text("utf-8")
            )

    def close(self) -> None:
        self._server.communicate(timeout=SECONDS)


def serve() -> None:
    """Answer the programs on stdin until it closes."""
    import torch._dynamo  # noqa: F401  so that each child has it

    assert not any("hypatia" in name for name in sys.modules)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(become(json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(program: Mapping[str, Any]) -> int:
    """Be the process that `program` describes and return its exit status."""
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, program["out"]), (2, program["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    os.chdir(program["cwd"])
    for name, value in program["env"].items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    sys.argv = ["-c"]
    sys.path[0] = ""
    status = 0
    try:
        exec(compile(program["code"], "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve()
