"""Runs a graph as code that torch's Inductor generates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.base import Executor, Runnable, compiled_apart


class Inductor(Executor):
    """Generated C++. Needs a compiler; takes seconds to build, fuses what is pointwise."""

    name = "inductor"

    def refusal(self, graph: GraphModule) -> str | None:
        """It needs a C++ compiler for graphs on the CPU."""
        if compat.cpp_compiler() is None:
            return "no C++ compiler was found: install one (Debian: apt-get install g++)"
        return None

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Inductor's own pipeline on a copy of the graph."""
        # Inductor's own random numbers would differ from eager's.
        patches = {"fallback_random": True}
        return compiled_apart(
            lambda owned, inputs: compat.inductor(owned, inputs, patches), graph, fake_inputs
        )
