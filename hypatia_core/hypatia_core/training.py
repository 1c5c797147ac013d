"""Training: one search over forward and backward together, and one decision for both halves.

AOTAutograd traces forward and backward as one joint graph and asks a function to divide it. That function is
ours: the joint graph is searched as one, each program is divided into halves, and at the first forward all
run whole, forward and backward, on the real inputs and on gradients that are drawn. What the forward keeps
for the backward differs from program to program, so that AOTAutograd is told of as many places as any of them
needs; one place says which program filled the others, and the backward goes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.fx import GraphModule

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.executors.base import Executor, HoldingExecutor, Runnable
from hypatia_core.report import GraphReport, brief
from hypatia_core.sizes import Unsupported, expression
from hypatia_core.split import Divider, Split, copied, inputs_of

if TYPE_CHECKING:
    from hypatia_core.backend import Compilation

aten = torch.ops.aten

#: What the backward graph says if torch runs it without us on what another program has kept.
_NOT_OURS = "Hypatia's forward kept what this backward graph cannot read: compile without compiled autograd"
_MARK = "hypatia_joint"


class Halves:
    """A joint program that runs as two: the whole, as `Choice` calls it, or one half at a time."""

    def __init__(self, program: GraphModule, split: Split) -> None:
        """What runs the halves of the program is given later."""
        self.program = program
        self.split = split
        self.forward: Runnable
        self.backward: Runnable
        #: Its place among the programs that may be chosen; the original's is 0.
        self.number = 0
        #: Inputs of which it takes for granted what they hold.
        self.assumed: Mapping[int, torch.Tensor] = {}
        self._given = len(inputs_of(split.forward))
        self._tensors = len(split.kept_tensors)
        self._boxed_call = True

    def __call__(self, inputs: list[Any]) -> tuple[Any, ...]:
        """Outputs and gradients, from the inputs and the gradients that come in."""
        given, tangents = inputs[: self._given], inputs[self._given :]
        inputs.clear()
        results, tensors, sizes = self.parted(self.forward(given))
        arguments = [*sizes, *tensors, *tangents]
        del tensors, tangents
        return (*results, *self.backward(arguments))

    def parted(self, results: Any) -> tuple[list[Any], list[torch.Tensor], list[int]]:
        """What the forward returned: outputs, kept tensors, kept sizes."""
        first, second = self.split.outputs, self.split.outputs + self._tensors
        return list(results[:first]), list(results[first:second]), list(results[second:])


def only_while_they_hold(run: Runnable, otherwise: Runnable, assumed: Mapping[int, torch.Tensor]) -> Runnable:
    """Notes what a joint program takes for granted; it is asked at each forward."""
    assert isinstance(run, Halves)
    run.assumed = assumed
    return run


class InHalves(Executor):
    """Runs a joint graph in two halves by another executor."""

    def __init__(self, executor: Executor, divider: Divider, compiled: list[Halves]) -> None:
        """`compiled` takes up what was divided, in order."""
        self.name = executor.name
        self.generates = executor.generates
        self._executor = executor
        self._divider = divider
        self._compiled = compiled

    def claims(self, graph: GraphModule) -> bool:
        """As the other executor."""
        return self._executor.claims(graph)

    def refusal(self, graph: GraphModule) -> str | None:
        """The other executor's reason."""
        return self._executor.refusal(graph)

    def divided(self, graph: GraphModule) -> Split:
        """The halves. Fused code computes again what is cheap; op by op that costs time."""
        return self._divider.divided(graph, recompute=not self._executor.packs)

    def compile(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Runnable:
        """Both halves, made runnable."""
        before = len(self._compiled)
        try:
            return self.later(graph, fake_inputs)()
        except BaseException:
            del self._compiled[before:]
            raise

    def later(self, graph: GraphModule, fake_inputs: Sequence[Any]) -> Callable[[], Runnable]:
        """The same, once it is called; what the halves keep is known before."""
        split = self.divided(graph)
        halves = Halves(graph, split)
        self._compiled.append(halves)

        def compile_halves() -> Runnable:
            halves.forward, halves.backward = (
                self._executor.compile(half, [node.meta.get("val") for node in inputs_of(half)])
                for half in (split.forward, split.backward)
            )
            return halves

        return compile_halves


class AsItCame(InHalves):
    """Runs the original in the halves that torch divides it into by itself."""

    def divided(self, graph: GraphModule) -> Split:
        """Torch's own halves."""
        return self._divider.original


class Pair:
    """The two callables that AOTAutograd gets, and the two graphs that it is told they run."""

    def __init__(
        self, joint: GraphModule, compilation: Compilation, programs: list[Halves], mode: Any
    ) -> None:
        """`programs` are those that may be chosen, the original first; `mode` makes fake tensors."""
        self._compilation = compilation
        self._original = programs[0]
        self._programs = dict(enumerate(programs))
        self._tangents = [n.meta["val"] for n in inputs_of(joint) if compat.is_tangent(n)]
        self._symbols = _Symbols(inputs_of(self._original.split.forward))
        for value in self._tangents:
            self._symbols.check(value)
        own = self._original.split.kept_inputs()
        self._own = len(self._original.split.kept_tensors)
        self._sizes = len(self._original.split.kept_sizes)
        #: For each program, the place of each tensor that it keeps: the original's own, then the further.
        self._places: list[list[int]] = []
        self._further = 0
        for number, program in enumerate(programs):
            program.number = number
            mine, taken, places = program.split.kept_inputs(), 0, []
            for i in range(len(program.split.kept_tensors)):
                shared = next((place for place, source in own.items() if source == mine.get(i)), None)
                if program is self._original:
                    places.append(i)
                elif shared is not None and shared not in places:
                    places.append(shared)
                else:
                    places.append(self._own + taken)
                    taken += 1
            self._places.append(places)
            self._further = max(self._further, taken)
        self._chosen: Halves | None = None
        with compat.without_fake_mode():
            self._empty = torch.empty(0, device="cpu")
        self._numbers: dict[int, torch.Tensor] = {}
        self.forward_graph, self.backward_graph = self._told(mode)

    def _told(self, mode: Any) -> tuple[GraphModule, GraphModule]:
        """The original's halves, with places that it leaves empty: what torch may run in our place."""
        split = self._original.split
        forward, backward = copied(split.forward), copied(split.backward)
        (output,) = forward.graph.find_nodes(op="output")
        device = torch.device("cpu")
        with forward.graph.inserting_before(output):
            places = [
                forward.graph.call_function(
                    aten.full.default, ([1], 0), {"dtype": torch.int64, "device": device}
                ),
                *(
                    forward.graph.call_function(aten.empty.memory_format, ([0],), {"device": device})
                    for _ in range(self._further)
                ),
            ]
        # As if it lay in an input: what lies nowhere else torch takes for memory that the backward may
        # overwrite, and then it refuses to keep the graph for a second backward.
        values = [node.meta.get("val") for node in inputs_of(forward)]
        somewhere = next(v for v in values if isinstance(v, torch.Tensor) and v.layout is torch.strided)
        with mode:
            like = aten.as_strided.default(somewhere, [0], [1])
        results, described = list(output.args[0]), output.meta.get("desc")
        results[split.outputs : split.outputs] = places
        output.args = (tuple(results),)
        if described is not None:
            described = list(described)
            described[split.outputs : split.outputs] = [None] * len(places)
            output.meta["desc"] = described
        with backward.graph.inserting_before(inputs_of(backward)[len(split.kept_sizes)]):
            told = [backward.graph.placeholder(f"hypatia_kept_{i}") for i in range(len(places))]
        for node in [*places, *told]:
            node.meta["val"] = like
        with backward.graph.inserting_after(inputs_of(backward)[-1]):
            number = backward.graph.call_function(aten.select.int, (told[0], 0, 0))
        with backward.graph.inserting_after(number):
            ours = backward.graph.call_function(aten.eq.Scalar, (number, 0))
        with backward.graph.inserting_after(ours):
            backward.graph.call_function(aten._assert_async.msg, (ours, _NOT_OURS))
        with mode:
            number.meta["val"] = torch.zeros([], dtype=torch.int64)
            ours.meta["val"] = torch.zeros([], dtype=torch.bool)
        for graph in (forward, backward):
            graph.graph.lint()
            graph.recompile()
            graph.meta[_MARK] = True
        return forward, backward

    def forward(self, inputs: list[Any]) -> tuple[Any, ...]:
        """Outputs, and what the chosen program keeps, each in its place."""
        mine = not compat.by_compiled_autograd()
        program = (self._chosen or self._decide(inputs)) if mine else self._original
        if program.assumed and not all(torch.equal(inputs[i], held) for i, held in program.assumed.items()):
            program = self._original
        number = program.number
        results, tensors, sizes = program.parted(program.forward(inputs))
        kept = [self._empty] * (self._own + self._further)
        for place, tensor in zip(self._places[number], tensors, strict=True):
            kept[place] = tensor
        own = sizes if number == 0 else [0] * self._sizes
        first = self._number(number, () if number == 0 else sizes)
        return (*results, first, *kept[self._own :], *kept[: self._own], *own)

    def _number(self, number: int, sizes: Sequence[int]) -> torch.Tensor:
        if sizes:
            return torch.tensor([number, *sizes], dtype=torch.int64, device="cpu")
        if number not in self._numbers:
            self._numbers[number] = torch.tensor([number], dtype=torch.int64, device="cpu")
        return self._numbers[number]

    def backward(self, arguments: list[Any]) -> Any:
        """The gradients, by the program that filled the places."""
        first = self._sizes + 1
        own, (number, *sizes) = arguments[: self._sizes], map(int, arguments[self._sizes].tolist())
        further = arguments[first : first + self._further]
        last = first + self._further + self._own
        kept = [*arguments[first + self._further : last], *further]
        tangents = arguments[last:]
        arguments.clear()
        given = [
            *(own if number == 0 else sizes),
            *(kept[place] for place in self._places[number]),
            *tangents,
        ]
        del kept, further, tangents
        return self._programs[number].backward(given)

    def _decide(self, inputs: list[Any]) -> Halves:
        """The program chosen on these inputs, for good; the original while that is being found out."""
        choice = self._compilation.choice
        assert choice is not None
        run = choice.decide([*inputs, *self._drawn(inputs)])
        assert isinstance(run, Halves)
        if choice.decided:
            self._chosen = run
            # The original may still have to run: while this was found out, or where a condition fails.
            self._programs = {0: self._original, run.number: run}
            self._compilation.report.kept_after = run.split.bytes_kept()
        return run

    def _drawn(self, inputs: list[Any]) -> list[torch.Tensor]:
        """Gradients to come in: normal numbers; one for a single number, as `loss.backward()` gives."""
        known = self._symbols.read(inputs)
        drawn: list[torch.Tensor] = []
        for like in self._tangents:
            size, stride = ([_number(n, known) for n in many] for many in (like.shape, like.stride()))
            value = torch.empty_strided(size, stride, dtype=like.dtype, device=like.device)
            if not size:
                value.fill_(1)
            elif like.dtype.is_floating_point or like.dtype.is_complex:
                value.normal_(generator=torch.Generator(like.device).manual_seed(len(drawn)))
            else:
                value.zero_()
            drawn.append(value)
        return drawn


def _number(size: Any, known: Mapping[Any, int]) -> int:
    return int(expression(size).xreplace(known))


class _Symbols:
    """The values of symbolic sizes, read off a forward's inputs."""

    def __init__(self, inputs: list[fx.Node]) -> None:
        self._sources: dict[Any, tuple[int, int | None]] = {}
        for i, node in enumerate(inputs):
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self._sources.setdefault(expression(value), (i, None))
            elif isinstance(value, torch.Tensor):
                for axis, size in enumerate(value.shape):
                    self._sources.setdefault(expression(size), (i, axis))

    def check(self, value: torch.Tensor) -> None:
        """Raises Unsupported where the inputs do not tell a size of this tensor."""
        for size in (*value.shape, *value.stride()):
            if not expression(size).free_symbols <= self._sources.keys():
                raise Unsupported(f"a gradient's size that the inputs do not tell: {size}")

    def read(self, inputs: Sequence[Any]) -> dict[Any, int]:
        """The value of each expression that is some input's size."""
        return {
            expr: int(inputs[i]) if axis is None else int(inputs[i].shape[axis])
            for expr, (i, axis) in self._sources.items()
            if not expr.is_Integer
        }


class Training:
    """What stands between AOTAutograd's joint graph and its two halves, for one captured graph."""

    def __init__(
        self,
        compilation: Callable[..., Compilation],
        executors: Sequence[Executor],
        plain: Executor,
        reports: list[GraphReport],
        failed: Callable[[str, Exception], None],
        separate: Callable[[fx.Graph], None],
    ) -> None:
        """`compilation` makes one of a joint graph; `plain` runs the original; `failed` hears of faults.

        `separate` is told of a joint graph whose halves are to be optimised apart.
        """
        self._compilation = compilation
        self._executors = executors
        self._plain = plain
        self._reports = reports
        self._failed = failed
        self._separate = separate
        self._pair: Pair | None = None
        #: Why the halves are optimised apart; None where they are not.
        self.refusal: str | None = None

    def partition(
        self,
        joint: GraphModule,
        inputs: Any,
        *,
        num_fwd_outputs: int,
        static_lifetime_input_indices: Sequence[int] | None = None,
    ) -> tuple[GraphModule, GraphModule]:
        """Called by AOTAutograd: the joint graph in two. Whatever cannot be searched as one is torch's."""
        weights = static_lifetime_input_indices or ()
        before = len(self._reports)
        try:
            reason = compat.joint_refusal(joint, inputs)
            if reason is not None:
                raise Unsupported(reason)
            self._pair = self._optimized(joint, inputs, num_fwd_outputs, weights)
        except HypatiaError:
            raise  # asked for by `on_error="raise"`
        except Exception as error:
            del self._reports[before:]
            unsupported = isinstance(error, Unsupported)
            self.refusal = (
                f"forward and backward are optimised apart: {error if unsupported else brief(error)}"
            )
            if not unsupported:
                self._failed(self.refusal, error)
            self._separate(joint.graph)
            halves: tuple[GraphModule, GraphModule] = compat.default_partition(
                joint, inputs, num_fwd_outputs, weights
            )
            return halves
        return self._pair.forward_graph, self._pair.backward_graph

    def _optimized(self, joint: GraphModule, inputs: Any, outputs: int, weights: Sequence[int]) -> Pair:
        graph = copied(joint)
        values = [node.meta.get("val") for node in inputs_of(graph)]
        mode = compat.fake_mode([value for value in values if value is not None])
        if mode is None:
            raise Unsupported("it has no tensors")
        divider = Divider(joint, inputs, outputs, weights)
        programs: list[Halves] = []
        compilation = self._compilation(
            runners=[InHalves(executor, divider, programs) for executor in self._trainers()],
            plain=AsItCame(self._plain, divider, programs),
            guard=only_while_they_hold,
            weights=frozenset(weights),
            outputs=outputs,
        )
        compilation.compile(graph, values)
        found = compilation.rewritten
        refusals = compilation.report.refusals
        if found is not None and refusals and all(program.program is not found for program in programs):
            # What was found cannot be divided; each half by itself may still gain.
            # With no refusal it was an earlier process that chose the original.
            raise Unsupported("; ".join(dict.fromkeys(refusals)))
        compilation.report.kept_before = divider.original.bytes_kept()
        return Pair(graph, compilation, programs, mode)

    def _trainers(self) -> list[Executor]:
        """Those that may run halves: what holds weights as constants is asked only where it is alone."""
        others = [e for e in self._executors if not isinstance(e, HoldingExecutor)]
        return others or list(self._executors)

    def served(self, stage: str, graph: GraphModule) -> Runnable | None:
        """What runs one of the halves that `partition` gave; None for a graph that it did not make."""
        if self._pair is None or not graph.meta.get(_MARK):
            return None
        half = self._pair.forward if stage == "forward" else self._pair.backward
        # A plain function: torch marks what it is given, and a method takes no mark.
        return compat.boxed(lambda arguments: half(arguments))
