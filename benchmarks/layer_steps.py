"""Where the time of a Clifford layer goes: by operation, around them, and outside of what Hypatia runs.

    python benchmarks/layer_steps.py [ROW ...] [--calls 300] [--least 10]

ROW is a place among the layers of `benchmarks/geometric.py`, from 0; all without one. A layer is compiled
with the executor "aten", whose graph has an operation for each kernel. Of the calls the lower quartile
counts. A graph's operations are timed one by one, in warm caches; the graph by itself, warm too; and in
its place, between guards, AOTAutograd and in training the loss. What is left of a call is outside of it,
whatever the backend: the last lines have a step that computes next to nothing, by torch's own "aot_eager".
No decision of an earlier process is recalled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from geometric import layer_rows
from records import facts
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core.executors.aten import Aten
from hypatia_core.executors.base import Runnable


@dataclass
class Compiled:
    """A graph that was compiled, and what is noted of its calls."""

    graph: GraphModule
    run: Runnable
    #: The inputs of its last call, while they are kept.
    inputs: list[Any] | None = None
    seconds: list[float] = field(default_factory=list)

    def __call__(self, inputs: list[Any]) -> Any:
        """Runs it with a clock."""
        if noting:
            self.inputs = list(inputs)
        begun = time.perf_counter()
        result = self.run(inputs)
        self.seconds.append(time.perf_counter() - begun)
        return result


#: Every graph that was compiled since the list was emptied.
compiled: list[Compiled] = []
#: Whether inputs of calls are kept.
noting = False
_compile = Aten.compile


def noted(self: Aten, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
    """As the executor, with a clock around what it gives."""
    compiled.append(Compiled(graph, _compile(self, graph, fake_inputs)))
    part = compiled[-1]
    return compat.boxed(lambda inputs: part(inputs))


def quartile(times: list[float]) -> float:
    """The lower quartile."""
    return sorted(times)[len(times) // 4]


def timed(function: Callable[[], Any], calls: int) -> float:
    """Seconds of a call, after a few that do not count."""
    times = []
    for _ in range(calls + calls // 10):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return quartile(times[calls // 10 :])


def operations(part: Compiled, calls: int) -> list[tuple[float, str]]:
    """Seconds of each operation of a graph on the inputs kept, and what it is."""
    assert part.inputs is not None
    given, values, found = iter(part.inputs), dict[fx.Node, Any](), []
    for node in part.graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(given)
        elif node.op == "get_attr":
            values[node] = getattr(part.graph, node.target)
        elif node.op == "call_function":
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)

            def call(node: fx.Node = node, args: Any = args, kwargs: Any = kwargs) -> Any:
                with torch.no_grad():
                    return node.target(*args, **kwargs)  # type: ignore[operator]

            values[node] = call()
            shape = tuple(getattr(values[node], "shape", ()))
            found.append((timed(call, calls // 2), f"{node.target} {shape}"))
    return found


def report(title: str, call: Callable[[], Any], calls: int, least: float) -> None:
    """Prints where the time of a call goes."""
    global noting
    compiled.clear()
    for _ in range(3):
        call()
    noting = True
    call()
    noting = False
    used = [part for part in compiled if part.inputs is not None]
    for part in used:
        part.seconds.clear()
    whole = timed(call, calls)
    in_place = [quartile(part.seconds) for part in used]
    print(f"\n{title}: {1e6 * whole:.0f} µs, {1e6 * (whole - sum(in_place)):.0f} outside of its graphs")
    for part, place in zip(used, in_place, strict=True):
        alone = timed(lambda part=part: part.run(list(part.inputs)), calls)
        found = operations(part, calls)
        inside = sum(seconds for seconds, _ in found)
        sizes = f"{1e6 * place:.0f} µs in its place, {1e6 * alone:.0f} by itself"
        print(f"  graph: {sizes}, operations {1e6 * inside:.0f}")
        rest = 0.0
        for seconds, name in found:
            if 1e6 * seconds >= least:
                print(f"  {1e6 * seconds:8.0f} µs  {name}")
            else:
                rest += seconds
        print(f"  {1e6 * rest:8.0f} µs  the others")


def report_of_nothing(calls: int) -> None:
    """Prints what a step of x·w costs with and without a compiler, and its loss."""
    torch._dynamo.reset()
    x, w = torch.randn(256, 32, 8), torch.randn(32, 1, requires_grad=True)
    y = torch.randn(256, 32, 8, requires_grad=True)
    scaled = torch.compile(torch.mul, backend="aot_eager")
    steps: dict[str, Callable[[], Any]] = {
        "eager": lambda: torch.autograd.grad((x * w).square().mean(), [w]),
        "aot_eager": lambda: torch.autograd.grad(scaled(x, w).square().mean(), [w]),
        "the loss alone": lambda: torch.autograd.grad(y.square().mean(), [y]),
    }
    print(f"\nx·w, training step, {tuple(x.shape)}")
    for name, step in steps.items():
        print(f"  {1e6 * timed(step, calls):8.0f} µs  {name}")


def main() -> None:
    """Profiles the layers asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument(
        "--least", type=float, default=10.0, help="microseconds from which an operation is printed"
    )
    chosen = parser.parse_args()
    Aten.compile = noted  # type: ignore[method-assign]
    print(facts()["line"])
    rows = layer_rows()
    for row in chosen.rows or range(len(rows)):
        title, make, algebra, channels = rows[row]
        torch.manual_seed(0)
        torch._dynamo.reset()
        model, x = make(algebra, channels), torch.randn(256, channels, len(algebra))
        form = torch.compile(model, backend="hypatia", options={"executor": "aten", "cache": False})

        def forward(form: Any = form, x: torch.Tensor = x) -> Any:
            with torch.no_grad():
                return form(x)

        def step(form: Any = form, x: torch.Tensor = x, model: torch.nn.Module = model) -> Any:
            return torch.autograd.grad(form(x).square().mean(), list(model.parameters()))

        report(f"{title}, forward, {tuple(x.shape)}", forward, chosen.calls, chosen.least)
        report(f"{title}, training step, {tuple(x.shape)}", step, chosen.calls, chosen.least)
    report_of_nothing(chosen.calls)


if __name__ == "__main__":
    main()
