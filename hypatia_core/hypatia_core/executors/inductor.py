"""Runs a graph as code that torch's Inductor generates."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, Runnable, compiled_apart

#: Graphs of so many nodes at most are called past AOTAutograd's wrapper, whose 15 µs can be felt there.
SMALL = 300
#: Seconds in which a compiler has to be done with an empty program.
PATIENCE = 30.0


class Inductor(Executor):
    """Generated C++. Needs a compiler; takes seconds to build, fuses what is pointwise."""

    name = "inductor"
    generates = True

    def claims(self, graph: GraphModule) -> bool:
        """Not recurrent layers, which it unrolls into operations for every step."""
        return not any(node.target in compat.recurrent_layers() for node in graph.graph.nodes)

    def refusal(self, graph: GraphModule) -> str | None:
        """It needs a C++ compiler for graphs on the CPU."""
        for candidate in compat.cpp_candidates():
            if _hangs(candidate):
                return f"the C++ compiler {candidate} was not done with an empty program in {PATIENCE:g} s"
        if compat.cpp_compiler() is None:
            return "no C++ compiler was found: install one (Debian: apt-get install g++)"
        return None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Inductor's own pipeline on a copy of the graph."""
        # Inductor's own random numbers would differ from eager's.
        patches = {"fallback_random": True}

        def compiler(owned: GraphModule, inputs: list[Any]) -> Callable[..., Any]:
            if len(owned.graph.nodes) > SMALL:
                return compat.inductor(owned, inputs, patches)
            made: list[tuple[int, Any]] = []
            wrapped = compat.inductor(owned, inputs, patches, lambda *one: made.append(one))
            if [count for count, _ in made] != [len(inputs)] or not compat.needs_no_wrapper(inputs, inputs):
                return wrapped
            ((_, inner),) = made
            if not any(getattr(node.target, "namespace", "") == "hypatia" for node in owned.graph.nodes):
                return lambda *given: inner(list(given))

            def call(*given: Any) -> Any:
                # The gradients of our own operations are Python's, which would be asked at each call: 20 µs.
                with compat.below_autograd():
                    return inner(list(given))

            return call

        return compiled_apart(compiler, graph, fake_inputs)


@functools.cache
def _hangs(compiler: str) -> bool:
    """Whether a compiler does not come to an end: torch would wait for it for ever."""
    path = shutil.which(compiler)
    if path is None or os.name == "nt":
        return False
    try:
        subprocess.run(
            [path, "-x", "c++", "-c", "-o", os.devnull, "-"],
            input=b"",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    except OSError:  # torch finds out, and says what is wrong
        return False
    return False
