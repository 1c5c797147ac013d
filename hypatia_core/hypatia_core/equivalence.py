"""Whether two torch functions or modules are equal: proved, refuted, or unknown with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from hypatia_core._hypatia_core import HypatiaError, compare_graphs
from hypatia_core.compat import decompositions
from hypatia_core.enclosure import Interval, UnboundedError, enclose
from hypatia_core.fx_import import Imported, Reader
from hypatia_core.sizes import Unsupported

aten = torch.ops.aten

#: Composite operations that are taken apart for the second attempt, and for enclosures.
COMPOSITE = (
    *(aten._softmax, aten._log_softmax, aten.gelu, aten.silu, aten.softplus, aten.elu),
    *(aten.leaky_relu, aten.hardtanh, aten.hardswish, aten.hardsigmoid),
    *(aten.addcmul, aten.addcdiv, aten.lerp, aten._safe_softmax, aten.mse_loss, aten.logsumexp),
    *(aten._native_batch_norm_legit_no_training, aten.rsub),
    *(aten.masked_fill, aten.split, aten._scaled_dot_product_flash_attention_for_cpu, aten.clamp_min),
)
#: Limits of the search for a proof, besides the nodes.
MAX_ROUNDS, MAX_MATCHES = 14, 64
#: Standard deviations of the inputs that are tried besides the example inputs.
WITNESS_SPREADS = (1.0, 4.0, 0.25, 32.0)


@dataclass(frozen=True)
class ModuleEquivalence:
    """The answer of :func:`equivalent_modules`."""

    #: "proved", "refuted" or "unknown".
    status: str
    #: How often each rule was needed for the proof.
    rules: dict[str, int] = field(default_factory=dict)
    #: Inputs at which the outputs differ; None unless refuted.
    witness: tuple[Any, ...] | None = None
    #: A lower bound of the difference there; infinite where the outputs have different types.
    difference: float = 0.0
    #: Why the answer is unknown, or what differs.
    reason: str | None = None

    def __repr__(self) -> str:
        text = f"<ModuleEquivalence {self.status}"
        if self.rules:
            text += " by " + ", ".join(f"{rule} ×{count}" for rule, count in self.rules.items())
        return text + (f": {self.reason}>" if self.reason else ">")


@dataclass
class _Captured:
    """A function as a graph over its inputs and then its weights."""

    graph: fx.GraphModule
    weights: list[torch.Tensor]
    structure: pytree.TreeSpec
    types: list[Any]


_Pair = tuple[_Captured, _Captured]


def equivalent_modules(
    f: Callable[..., Any],
    g: Callable[..., Any],
    example_inputs: Sequence[Any],
    *,
    numerics: str = "reassociate",
    max_nodes: int = 8_000,
) -> ModuleEquivalence:
    """Whether `f` and `g` compute the same, for all inputs of the shapes and dtypes of `example_inputs`.

    "Proved": the tensor rules lead from one graph to the other, both in one e-graph, and the steps were
    replayed by congruence closure. The equality is over the reals for all finite inputs, by the rules that
    `numerics` admits. Weights are taken as variables, equal where their values are.

    "Refuted": at the witness, enclosures of the outputs in float64 intervals, rounding accounted for, lie
    apart. Otherwise "unknown", with the reason.

    Args:
        f, g: functions of tensors, or modules; without effects and random numbers.
        example_inputs: arguments for both, a tensor or a nest of them each.
        numerics: "exact", "accurate", "reassociate" or "reals", as in :class:`hypatia_core.Options`.
        max_nodes: nodes of the e-graph at which the search stops.

    Raises:
        HypatiaError: a callable fails on the example inputs, or `numerics` is unknown.

    Example:
        >>> import torch, hypatia_core
        >>> a, b, v = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8, 1)
        >>> f, g = lambda a, b, v: (a @ b) @ v, lambda a, b, v: a @ (b @ v)
        >>> hypatia_core.equivalent_modules(f, g, [a, b, v])
        <ModuleEquivalence proved by matmul-associates ×1>
        >>> hypatia_core.equivalent_modules(lambda a, b: a @ b, lambda a, b: b @ a, [a, b]).status
        'refuted'
    """
    if numerics not in ("exact", "accurate", "reassociate", "reals"):
        raise HypatiaError(f"unknown numerics {numerics!r}: exact, accurate, reassociate or reals")
    inputs = list(example_inputs)
    plain = (_captured(f, inputs, {}), _captured(g, inputs, {}))
    unequal = _unequal_types(plain)
    if unequal is not None:
        return ModuleEquivalence("refuted", witness=tuple(inputs), difference=float("inf"), reason=unequal)
    limits = {"nodes": max_nodes, "iterations": MAX_ROUNDS, "matches": MAX_MATCHES}
    settings = json.dumps({"numerics": numerics, "limits": limits})
    count = len(pytree.tree_leaves(inputs))
    rules, reason = _proof(plain, count, settings)
    if rules is not None:
        return ModuleEquivalence("proved", rules=rules)
    table = decompositions(COMPOSITE)
    apart = (_captured(f, inputs, table), _captured(g, inputs, table))
    rules, _ = _proof(apart, count, settings)
    if rules is not None:
        return ModuleEquivalence("proved", rules=rules)
    if reason is not None and "random" in reason:
        return ModuleEquivalence("unknown", reason=reason)
    found = _refutation(apart, inputs)
    if isinstance(found, ModuleEquivalence):
        return found
    return ModuleEquivalence("unknown", reason=f"{reason}; {found}")


def _captured(function: Callable[..., Any], inputs: list[Any], table: dict[Any, Any]) -> _Captured:
    """The function's graph of ATen operations, without effects on its inputs."""
    weights: dict[str, torch.Tensor] = {}
    if isinstance(function, torch.nn.Module):
        weights = {**dict(function.named_parameters()), **dict(function.named_buffers())}
    structure: list[pytree.TreeSpec] = []

    def call(flat: list[Any], given: list[torch.Tensor]) -> tuple[Any, ...]:
        arguments = pytree.tree_unflatten(flat, outer)
        named = dict(zip(weights, given, strict=True))
        result = (
            torch.func.functional_call(function, named, tuple(arguments))
            if isinstance(function, torch.nn.Module)
            else function(*arguments)
        )
        leaves, spec = pytree.tree_flatten(result)
        structure[:] = [spec]
        return tuple(leaves)

    flat, outer = pytree.tree_flatten(inputs)
    given = [weight.detach() for weight in weights.values()]
    try:
        with torch.no_grad():
            graph = make_fx(
                torch.func.functionalize(call, remove="mutations"),
                decomposition_table=table,
                tracing_mode="fake",
                _allow_non_fake_inputs=True,
            )(flat, given)
    except Exception as error:
        name = getattr(function, "__name__", type(function).__name__)
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise HypatiaError(f"{name} could not be captured on the example inputs: {message[0]}") from error
    constants = _with_constants_as_inputs(graph)
    output = next(node for node in graph.graph.nodes if node.op == "output")
    returned = output.args[0] if isinstance(output.args[0], (list, tuple)) else (output.args[0],)
    types = [
        (tuple(value.shape), value.dtype) if isinstance(value := _value(leaf), torch.Tensor) else value
        for leaf in returned
    ]
    return _Captured(graph, [*given, *constants], structure[0], types)


def _value(leaf: Any) -> Any:
    return leaf.meta.get("val") if isinstance(leaf, fx.Node) else leaf


def _with_constants_as_inputs(graph: fx.GraphModule) -> list[torch.Tensor]:
    """Makes every tensor that the graph holds an input behind the others; their values in order."""
    values: list[torch.Tensor] = []
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1:]
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        value = getattr(graph, node.target)
        with graph.graph.inserting_after(last[0]) if last else graph.graph.inserting_before(node):
            place = graph.graph.placeholder(f"constant_{len(values)}")
        # The capture left fake values on the other nodes.
        place.meta["val"] = node.meta["val"] if "val" in node.meta else _fake_like(graph, value)
        node.replace_all_uses_with(place)
        graph.graph.erase_node(node)
        values.append(value.detach())
        last = [place]
    graph.recompile()
    return values


def _fake_like(graph: fx.GraphModule, value: torch.Tensor) -> Any:
    for node in graph.graph.nodes:
        known = node.meta.get("val")
        if type(known).__name__ == "FakeTensor":
            return known.fake_mode.from_tensor(value, static_shapes=True)
    raise HypatiaError("a graph without inputs cannot be compared")


def _unequal_types(pair: _Pair) -> str | None:
    left, right = pair
    if left.structure != right.structure:
        return f"the outputs are {left.structure} and {right.structure}"
    for number, (ours, theirs) in enumerate(zip(left.types, right.types, strict=True)):
        if ours != theirs:
            return f"output {number} is {ours} and {theirs}"
    return None


def _proof(pair: _Pair, inputs: int, settings: str) -> tuple[dict[str, int] | None, str | None]:
    """The rules of a proof, or why there is none."""
    try:
        sides = [Reader().read(captured.graph.graph) for captured in pair]
    except Unsupported as error:
        return None, str(error)
    if any(side.random for side in sides):
        return None, "random numbers are drawn"
    if any(side.observable for side in sides):
        return None, "there are effects besides the outputs"
    numbers = _shared_numbers(pair[0].weights, pair[1].weights, inputs)
    for side, known in zip(sides, numbers, strict=True):
        for node in side.wire["nodes"]:
            if node["op"] == "input" and node["attributes"][0]["int"] >= inputs:
                node["attributes"][0]["int"] = known[node["attributes"][0]["int"] - inputs]
    if _returns_differ(*sides):
        return None, "the outputs are not tensors of the graphs alike"
    devices = [[str(device) for device in side.devices] for side in sides]
    if devices[0] != devices[1]:
        return None, f"the devices are {devices[0]} and {devices[1]}"
    found = json.loads(compare_graphs(json.dumps(sides[0].wire), json.dumps(sides[1].wire), settings))
    if found["proved"]:
        return dict(found["rules"]), None
    stopped = {"saturated": "nothing more follows", "nodes": "the limit of nodes was reached"}
    why = stopped.get(found["stop"], "the limit of rounds was reached")
    return None, f"the rules did not lead from one to the other ({why}, {found['nodes']} nodes)"


def _returns_differ(left: Imported, right: Imported) -> bool:
    def kinds(side: Imported) -> list[Any]:
        return [kind if kind == "tensor" else (kind, repr(value)) for kind, value in side.returns]

    sizes = any(kind != "tensor" and isinstance(value, fx.Node) for kind, value in left.returns)
    return sizes or kinds(left) != kinds(right)


def _shared_numbers(
    left: list[torch.Tensor], right: list[torch.Tensor], first: int
) -> tuple[list[int], list[int]]:
    """Input numbers for the weights of both: one number where the values are equal, bit by bit."""
    known: list[torch.Tensor] = []

    def number(weight: torch.Tensor) -> int:
        for index, other in enumerate(known):
            same_type = weight.dtype == other.dtype and weight.device == other.device
            if weight is other or (same_type and torch.equal(weight, other)):
                return first + index
        known.append(weight)
        return first + len(known) - 1

    return [number(weight) for weight in left], [number(weight) for weight in right]


def _refutation(pair: _Pair, inputs: list[Any]) -> ModuleEquivalence | str:
    """A witness at which enclosures of the outputs lie apart, or why there is none."""
    reason = "no inputs were found at which the outputs certainly differ"
    for witness in _witnesses(inputs):
        flat = pytree.tree_leaves(witness)
        try:
            ours, theirs = (enclose(side.graph, [*flat, *side.weights]) for side in pair)
        except UnboundedError as error:
            reason = str(error)
            continue
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            gap = _gap(a, b)
            if gap > 0:
                text = f"output {number} differs by {gap:.3g} at the witness"
                return ModuleEquivalence("refuted", witness=tuple(witness), difference=gap, reason=text)
    return reason


def _gap(a: Any, b: Any) -> float:
    """How far two outputs certainly lie apart."""
    if isinstance(a, Interval) and isinstance(b, Interval):
        apart = torch.maximum(a.low - b.high, b.low - a.high)
        return max(0.0, float(apart.max())) if apart.numel() else 0.0
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return 0.0 if torch.equal(a, b) else float("inf")
    return 0.0 if type(a) is type(b) and a == b else float("inf")


def _witnesses(inputs: list[Any]) -> Any:
    """Inputs to try, always the same: those given, small whole numbers, normal ones of several spreads."""
    yield inputs
    for index, spread in enumerate(WITNESS_SPREADS):
        for whole in (True, False):
            draw = torch.Generator().manual_seed(2 * index + whole)

            def changed(value: Any, draw: Any = draw, spread: float = spread, whole: bool = whole) -> Any:
                if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                    return value
                drawn = torch.randn(value.shape, generator=draw) * spread
                drawn = (2 * drawn).round() if whole else drawn
                return drawn.to(value.dtype).to(value.device)

            yield pytree.tree_map(changed, inputs)
