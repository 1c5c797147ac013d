"""Torch's private interfaces, each with the version it was read in and what happens when it is gone."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch.fx import GraphModule

from hypatia_core.written_graph import copied


def aot_autograd(**compilers: Any) -> Callable[[GraphModule, Sequence[Any]], Callable[..., Any]]:
    """Capture as functional ATen; without it nothing is compiled. Read in 2.15 (`backends.common`)."""
    from torch._dynamo.backends.common import aot_autograd as capture

    return capture(**compilers)


def end_of_forward(joint: torch.fx.Graph) -> torch.fx.Node | None:
    """The last node of the forward part of a joint graph. Read in 2.15 (`default_partition`)."""
    of_forward = [
        node
        for node in joint.nodes
        if node.meta.get("partitioner_tag") == "is_forward"
        or (node.op == "placeholder" and not is_tangent(node))
    ]
    return of_forward[-1] if of_forward else None


def boxed_forward(
    graph: GraphModule, change: Callable[[torch.fx.Graph], None] | None = None
) -> Callable[[list[Any]], Any]:
    """A graph as a function that takes one list and empties it, so that each input goes with its last use.

    `change` is made to the copy that runs.
    """
    owned = copied(graph.graph)
    if change is not None:
        change(owned)
    return boxed_function(graph, owned)


def boxed_function(root: Any, graph: torch.fx.Graph) -> Callable[[list[Any]], Any]:
    """The same of a graph that is given away, whose attributes are those of `root`.

    Read in 2.15 (`torch.fx.graph._BoxedCodeGen`); without it inputs stay until the call ends.
    """
    try:
        from torch.fx.graph import _BoxedCodeGen
    except ImportError:
        forward = GraphModule(root, graph).forward

        def call(inputs: list[Any]) -> Any:
            arguments = tuple(inputs)
            inputs.clear()
            return forward(*arguments)

        return boxed(call)
    graph.set_codegen(_BoxedCodeGen())
    run = GraphModule(root, graph).forward
    return boxed(lambda inputs: run(inputs))


def is_transformed(*tensors: torch.Tensor) -> bool:
    """Whether `torch.func` or forward-mode gradients are at work. Read in 2.15; without it: yes."""
    from torch.autograd import forward_ad

    try:
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor
        return forward_ad._current_level >= 0 or any(map(wrapped, tensors))
    except AttributeError:
        return True


def composite_decompositions() -> dict[Any, Callable[..., Any]]:
    """Decompositions by which an exported program becomes what AOTAutograd would capture, and no more.

    Read in 2.15 (`torch._export.utils`): only the operations that are made of others, such as `linear`; but
    not recurrent layers, which a kernel runs that many small operations cannot match.
    """
    from torch._export.utils import _collect_all_valid_cia_ops, _get_decomp_for_cia

    made = (target for target in _collect_all_valid_cia_ops() if target not in recurrent_layers())
    return {target: _get_decomp_for_cia(target) for target in made}


@functools.cache
def recurrent_layers() -> frozenset[Any]:
    """Operations that run a whole recurrent layer."""
    packets = (torch.ops.aten.lstm, torch.ops.aten.gru, torch.ops.aten.rnn_tanh, torch.ops.aten.rnn_relu)
    return frozenset(getattr(packet, name) for packet in packets for name in packet.overloads())


def reads_number() -> Any:
    """The operation by which `.item()` reads a number off a tensor."""
    return torch.ops.aten._local_scalar_dense.default


def type_assertion() -> Any:
    """The operation by which an exported graph asserts a tensor's type. Read in 2.15 (`torch.export`)."""
    return getattr(torch.ops.aten, "_assert_tensor_metadata", None)


def size_conditions(
    exported: Any, environment: Any
) -> tuple[dict[Any, tuple[int | None, int | None]], list[Any]]:
    """The bounds of an exported program's symbols, and the relations between them that it relies on.

    Read in 2.15 (`ExportedProgram.range_constraints`, `ShapeEnv.guards`); None for no bound.
    """

    def bound(value: Any) -> int | None:
        # Infinity comes in several types, and a number read off a tensor has bounds that are no integers.
        return int(value) if value.is_Integer else None

    ranges = {
        symbol: (bound(bounds.lower), bound(bounds.upper))
        for symbol, bounds in exported.range_constraints.items()
        if symbol.is_Symbol
    }
    return ranges, [guard.expr for guard in getattr(environment, "guards", ())]


def tensor_check(
    tensors: Sequence[torch.Tensor], sizes: list[list[int | None]], strides: list[list[int | None]]
) -> Callable[..., bool]:
    """A native check that tensors are like these, as Dynamo's guards do it; None is any size or stride.

    Types, dispatch keys (and so autocast), dtypes, devices and `requires_grad` have to be the same. Read in
    2.15 (`torch._C._dynamo.guards.TensorGuards`).
    """
    from torch._C._dynamo.guards import TensorGuards

    check: Callable[..., bool] = TensorGuards(
        *tensors,
        dynamic_dims_sizes=sizes,  # type: ignore[arg-type]
        dynamic_dims_strides=strides,  # type: ignore[arg-type]
    ).check
    return check


def empty_strided() -> Callable[[Sequence[int], Sequence[int], torch.dtype], torch.Tensor]:
    """Makes a tensor on the CPU of sizes, strides and type, without its elements.

    Inductor's own way past the dispatcher. Read in 2.15 (`torch._C._dynamo.guards._empty_strided_cpu`).
    """
    try:
        from torch._C._dynamo.guards import _empty_strided_cpu  # type: ignore[attr-defined]
    except ImportError:
        return lambda sizes, strides, dtype: torch.empty_strided(sizes, strides, dtype=dtype, device="cpu")
    return _empty_strided_cpu  # type: ignore[no-any-return]


def set_grad_enabled() -> Callable[[bool], None]:
    """The function under `torch.set_grad_enabled`, which as a context costs a microsecond. Read in 2.15."""
    return torch._C._set_grad_enabled


def among_ranks() -> bool:
    """Whether this process is one of several of `torch.distributed`; public, but there only where built."""
    ranks = torch.distributed
    return ranks.is_available() and ranks.is_initialized() and ranks.get_world_size() > 1


def any_autocast() -> bool:
    """Whether autocast is on for any device. Read in 2.15 (`torch._C._is_any_autocast_enabled`)."""
    return torch._C._is_any_autocast_enabled()


def draws(node: torch.fx.Node) -> bool:
    """Whether a node draws random numbers."""
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in target.tags


def boxed(function: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """Marks a callable that takes one list and may empty it. Read in 2.15 (`_functorch.aot_autograd`)."""
    function._boxed_call = True  # type: ignore[attr-defined]
    return function


def below_autograd() -> Any:
    """A context in which operations run without asking for gradients. Read in 2.15 (`torch._C`)."""
    return torch._C._AutoDispatchBelowAutograd()


def needs_no_wrapper(graph_inputs: Sequence[Any], given: Sequence[Any]) -> bool:
    """Whether AOTAutograd's graph, for inference, may be called as Dynamo calls: nothing is left to do.

    So it is where nothing is mutated, aliased or of a subclass, and the inputs are the same. What AOTAutograd
    puts around a graph costs 15 microseconds a call. Read in 2.15 (`ViewAndMutationMeta`); where a name of it
    is gone, the wrapper stays.
    """
    from torch._guards import TracingContext

    context = TracingContext.try_get()
    metadata = getattr(context, "fw_metadata", None)
    if metadata is None or any_autocast() or len(graph_inputs) != len(given):
        return False
    try:
        return (
            not metadata.tokens
            and metadata.num_intermediate_bases == 0
            and metadata.num_graphsafe_rng_states == 0
            and not any(info.mutates_data or info.mutates_metadata for info in metadata.input_info)
            and all(
                info.output_type.name == "non_alias" and issubclass(info.raw_type, torch.Tensor)
                for info in metadata.output_info
            )
            and all(
                type(meta).__name__ == "PlainTensorMeta"
                for meta in (*metadata.subclass_inp_meta, *metadata.subclass_fw_graph_out_meta)
            )
        )
    except AttributeError:
        return False


def static_inputs() -> frozenset[int]:
    """Positions of parameters and buffers among a captured graph's inputs; empty where torch does not say.

    Read in 2.15 (`torch._guards.TracingContext.fw_metadata`).
    """
    from torch._guards import TracingContext

    context = TracingContext.try_get()
    metadata = getattr(context, "fw_metadata", None)
    return frozenset(getattr(metadata, "static_input_indices", None) or ())


def input_names(graph: GraphModule) -> list[str | None]:
    """What the model calls each input of a Dynamo graph, in order; None where Dynamo does not say.

    Read in 2.15 (`torch._dynamo.source`).
    """
    names: list[str | None] = []
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            source = getattr(node, "_dynamo_source", None) or getattr(
                node.meta.get("grapharg"), "source", None
            )
            text = getattr(source, "name", None)
            names.append(str(text() if callable(text) else text) if text is not None else None)
    return names


def original_input(placeholder: Any) -> int | None:
    """Which input of the Dynamo graph a placeholder of the captured one is; None where it is another thing.

    Read in 2.15 (`torch._functorch._aot_autograd.descriptors.PlainAOTInput`).
    """
    description = placeholder.meta.get("desc")
    index = getattr(description, "idx", None)
    return index if type(description).__name__ == "PlainAOTInput" and isinstance(index, int) else None


def graph_break(graph: GraphModule) -> tuple[str, str | None] | None:
    """Why Dynamo ended a graph before the function did, and the user's line; None where it did not.

    Read in 2.15 (`torch._dynamo.output_graph.GraphCompileReason`).
    """
    reason = getattr(graph, "compile_subgraph_reason", None)
    if reason is None or not getattr(reason, "graph_break", False):
        return None
    stack = getattr(reason, "user_stack", None) or []
    where = f"{stack[-1].filename}:{stack[-1].lineno}" if stack else None
    return str(reason.reason), where


def captured_inputs(gm: GraphModule) -> frozenset[int]:
    """Positions of a Dynamo graph's inputs that its code captures: what modules, globals and closures hold.

    Read in 2.15 (`GraphArg.source` in a placeholder's `meta`); empty where torch does not say.
    """
    return frozenset(
        position
        for position, node in enumerate(n for n in gm.graph.nodes if n.op == "placeholder")
        if _is_captured(getattr(node.meta.get("grapharg"), "source", None))
    )


def _is_captured(source: Any) -> bool:
    attribute = False
    while getattr(source, "base", None) is not None:
        attribute = attribute or type(source).__name__ != "GetItemSource"
        source = source.base
    return source is not None and (attribute or not getattr(source, "is_input", False))


def fake_mode(values: Sequence[Any]) -> Any:
    """The fake tensor mode that these values were made under, or None. Read in 2.15 (`torch._guards`)."""
    from torch._guards import detect_fake_mode

    return detect_fake_mode(values)


@contextlib.contextmanager
def without_fake_mode() -> Iterator[None]:
    """Real tensors inside a compiler function. Read in 2.15 (`torch.fx.experimental.proxy_tensor`)."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        yield


@contextlib.contextmanager
def fresh_tracing_context(mode: Any) -> Iterator[None]:
    """A tracing context for a nested compiler, so that the outer one's metadata stays. Read in 2.15."""
    from torch._guards import TracingContext, tracing

    outer = TracingContext.try_get()
    inner = TracingContext(mode)
    environment = getattr(mode, "shape_env", None)
    with tracing(inner):
        # Leaving a context cleans the shape environment, which belongs to the outer one.
        try:
            yield
        finally:
            if outer is not None and environment is not None:
                inner.fake_mode = None


@contextlib.contextmanager
def as_while_compiling(mode: Any) -> Iterator[None]:
    """For a compiler that is asked at the first call: no autocast, no inference mode, and an error where it
    would ask something new of a symbol. Read in 2.15 (`ShapeEnv.error_on_new_guards`)."""
    environment = getattr(mode, "shape_env", None)
    settled = contextlib.nullcontext() if environment is None else environment.error_on_new_guards()
    with torch.inference_mode(False), torch._C._DisableAutocast(), without_fake_mode(), settled:
        yield


def inductor(
    graph: GraphModule,
    example_inputs: Sequence[Any],
    patches: dict[str, Any],
    take: Callable[[int, Any], None] | None = None,
) -> Callable[..., Any]:
    """Generated code for a functional graph; `take` gets what AOTAutograd wraps, and its number of inputs.

    Read in 2.15 (`torch._inductor.compile_fx.compile_fx`); AOTAutograd's cache would give the wrapper alone.
    """
    from torch._functorch import config
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def compile_inner(owned: GraphModule, inputs: Sequence[Any], **settings: Any) -> Any:
        run = compile_fx_inner(owned, inputs, **settings)
        if take is not None:
            take(len(inputs), run)
        return run

    with config.patch(enable_autograd_cache=config.enable_autograd_cache and take is None):
        compiled: Callable[..., Any] = compile_fx(
            graph, list(example_inputs), compile_inner, config_patches=patches
        )  # type: ignore[assignment]
    return compiled


def graph_module(root: Any, graph: torch.fx.Graph) -> torch.fx.GraphModule:
    """A module that writes its code when it first runs. Read in 2.15 (`torch.fx._lazy_graph_module`)."""
    try:
        from torch.fx._lazy_graph_module import _make_graph_module, _use_lazy_graph_module
    except ImportError:  # then at once
        return torch.fx.GraphModule(root, graph)
    with _use_lazy_graph_module(True):
        made: torch.fx.GraphModule = _make_graph_module(root, graph)
    return made


def has_onednn_graph() -> bool:
    """Whether TorchScript has oneDNN's graph compiler. Read in 2.15 (`torch._C._jit_set_llga_enabled`)."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch._C, "_jit_set_llga_enabled")
        and hasattr(torch._C, "_jit_llga_enabled")
    )


def through_onednn_graph(
    function: Callable[..., Any], constants: Sequence[Any], examples: Sequence[Any], runs: int
) -> Callable[..., Any]:
    """A function traced by TorchScript and compiled by oneDNN's graph compiler, its last arguments constant.

    The compiler is on for these runs only, in which TorchScript optimizes once and for all. All memory is the
    result's own: what `torch.jit.trace` makes, the constants with it, stays in a unit of the process's for
    ever. Read in 2.15 (`torch.jit._trace`, `torch.jit.enable_onednn_fusion`).
    """
    before = torch._C._jit_llga_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch._C._jit_set_llga_enabled(True)
        try:
            graph, _ = torch._C._create_graph_by_tracing(
                lambda *given: function(*given, *constants), tuple(examples), lambda value: "", True, False
            )
            script = torch._C._create_function_from_graph("forward", graph)
            for _ in range(runs):
                script(*examples)
        finally:
            torch._C._jit_set_llga_enabled(before)
    compiled: Callable[..., Any] = script
    return compiled


def cpp_candidates() -> tuple[str, ...]:
    """The C++ compilers that Inductor would try, in order. Read in 2.15 (`torch._inductor.config`)."""
    from torch._inductor import config

    wanted = config.cpp.cxx
    return tuple(name for name in (wanted if isinstance(wanted, (list, tuple)) else [wanted]) if name)


def cpp_compiler() -> str | None:
    """The C++ compiler that Inductor would use, or None where there is none. Read in 2.15 (`cpp_builder`)."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        return str(get_cpp_compiler())
    except Exception:  # each torch version raises another type here: none of them has a compiler
        return None


def dynamo_backend(name: str) -> Callable[..., Any]:
    """The registered backend of this name. Read in 2.15 (`torch._dynamo.backends.registry`)."""
    from torch._dynamo.backends.registry import lookup_backend

    return lookup_backend(name)


def backend_names() -> list[str]:
    """Names of every registered backend, also those that torch hides from its list."""
    return list(torch._dynamo.list_backends(exclude_tags=()))


def registered_backend(name: str) -> Callable[..., Any] | None:
    """The backend that was registered by this name, or None. Read in 2.15 (`_dynamo.backends.registry`)."""
    from torch._dynamo.backends.registry import _COMPILER_FNS

    return _COMPILER_FNS.get(name)


def found_by_entry_point(name: str) -> bool:
    """Whether torch would load this backend from an entry point that it has seen; same source as above."""
    from torch._dynamo.backends.registry import _BACKENDS

    return _BACKENDS.get(name) is not None


def known_backends() -> list[str]:
    """The names that torch knows so far: `list_backends()` would import Inductor to find the rest."""
    from torch._dynamo.backends.registry import _BACKENDS

    return sorted(_BACKENDS)


def compiling_backend() -> Any:
    """What stands for the `torch.compile` call in whose name Dynamo compiles now; None where unknown.

    Read in 2.15 (`InstructionTranslator.current_tx().output.compiler_fn`).
    """
    try:
        from torch._dynamo.symbolic_convert import InstructionTranslator

        return _innermost(InstructionTranslator.current_tx().output.compiler_fn)
    except (ImportError, AttributeError):
        return None


def backend_of(compiled: Any) -> Any:
    """The same, found from what `torch.compile` returned; None where unknown. Read in 2.15 (`eval_frame`)."""
    if isinstance(compiled, torch.nn.Module) and getattr(compiled, "_compiled_call_impl", None) is not None:
        compiled = compiled._compiled_call_impl  # by `Module.compile`
    context = getattr(compiled, "dynamo_ctx", None)
    callback = getattr(context, "callback", None)
    if callback is None and callable(compiled):
        variables = getattr(getattr(compiled, "__code__", None), "co_freevars", ())
        cells = getattr(compiled, "__closure__", None) or ()
        callback = {name: cell.cell_contents for name, cell in zip(variables, cells, strict=False)}.get(
            "callback"
        )
    return _innermost(callback) if callback is not None else None


def eager_of(compiled: Any) -> Any:
    """What `torch.compile` was given; None where that cannot be told. Read in 2.15 (`eval_frame`)."""
    original = getattr(compiled, "_orig_mod", None)
    if original is None:
        original = getattr(compiled, "_torchdynamo_orig_callable", None)
    return original


def cached_backends(compiled: Any) -> list[Any]:
    """For whom Dynamo compiled the code behind a callable. Read in 2.15 (`torch._C._dynamo.eval_frame`)."""
    try:
        from torch._C._dynamo.eval_frame import _debug_get_cache_entry_list

        entries = [e for code in _codes_of(compiled) for e in _debug_get_cache_entry_list(code)]
        return [_innermost(entry.backend) for entry in entries]
    except (ImportError, AttributeError, TypeError):
        return []


def _codes_of(compiled: Any) -> Iterator[Any]:
    original = getattr(compiled, "_orig_mod", None) or getattr(
        compiled, "_torchdynamo_orig_callable", compiled
    )
    for function in (original, getattr(original, "forward", None)):
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is not None:
            yield code


def dynamos_own() -> tuple[type[Exception], ...]:
    """Exceptions by which a capture tells Dynamo to start again, to break the graph, or that the user errs.

    Read in 2.15 (`torch._dynamo.exc`, `OutputGraph._call_user_compiler`).
    """
    from torch._dynamo import exc

    allowed: tuple[type[Exception], ...] = getattr(exc, "exceptions_allowed_to_be_fallback", ())
    named = (getattr(exc, name, None) for name in ("RestartAnalysis", "SkipFrame"))
    return (IndexError, *allowed, *(kind for kind in named if kind is not None))


def _innermost(backend: Any) -> Any:
    while hasattr(backend, "_torchdynamo_orig_backend"):
        backend = backend._torchdynamo_orig_backend
    return backend


def count(event: str) -> None:
    """Counts an event among Dynamo's counters, under "hypatia". Read in 2.15 (`torch._dynamo.utils`)."""
    from torch._dynamo.utils import counters

    counters["hypatia"][event] += 1


def register_pytree_node(cls: type, flatten: Callable[..., Any], unflatten: Callable[..., Any]) -> None:
    """Lets `torch.func` walk into a class. Read in 2.15 (`torch.utils._pytree`)."""
    from torch.utils._pytree import register_pytree_node as register

    register(cls, flatten, unflatten)


def packed_kernels() -> dict[str, Any]:
    """Kernels over weights in a library's own layout, by name; without one, its implementations are missing.

    Read in 2.15 (`aten/src/ATen/native/mkldnn`). They register when `torch._inductor.mkldnn_ir` is imported
    or with torch itself, by version.
    """
    found: dict[str, Any] = {}
    for namespace, names in (
        ("mkl", ("_mkl_linear", "_mkl_reorder_linear_weight")),
        (
            "mkldnn",
            (
                *("_linear_pointwise", "_reorder_linear_weight"),
                *("_convolution_pointwise", "_reorder_convolution_weight"),
            ),
        ),
    ):
        if namespace == "mkldnn" and not torch.backends.mkldnn.is_available():
            continue
        for name in names:
            try:
                packet = getattr(getattr(torch.ops, namespace), name)
            except AttributeError:
                continue
            for overload in packet.overloads():
                found[name if overload == "default" else f"{name}.{overload}"] = getattr(packet, overload)
    return found


def activation_bindings() -> dict[str, Callable[..., Any]]:
    """Torch's bindings of activations that it shows in no public module, by name; without one, `torch.ops`.

    Read in 2.15 (`torch._C._nn`).
    """
    names = ("hardtanh", "silu", "hardswish")
    found = {name: getattr(torch._C._nn, name, None) for n in names for name in (n, f"{n}_")}
    return {name: call for name, call in found.items() if call is not None}


def hint(size: Any) -> int:
    """The size that a symbol had when it was captured. Read in 2.15 (`torch.SymInt.node.hint`)."""
    if isinstance(size, torch.SymInt):
        known = getattr(size.node, "hint", None)
        return int(known) if known is not None else 1
    return int(size)


def new_fake_mode() -> Any:
    """A mode in which tensors have types and no memory. Read in 2.15 (`torch._subclasses`)."""
    from torch._subclasses import FakeTensorMode

    return FakeTensorMode()


def holders(storage: torch.UntypedStorage) -> int:
    """How many hold a storage; 2, for "others too", where torch does not say. Read in 2.15 (`torch._C`)."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    return int(count(storage._cdata)) if count is not None else 2


def decompositions(operations: Sequence[Any]) -> dict[Any, Callable[..., Any]]:
    """How torch takes operations apart into simpler ones, for `make_fx`."""
    table: dict[Any, Callable[..., Any]] = torch._decomp.get_decompositions(operations)
    return table


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16. Read in 2.15 (`torch.ops.mkldnn`); without it, no."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


def save_generated(graph: GraphModule, inputs: Sequence[Any], patches: dict[str, Any], path: str) -> None:
    """Generated code for a functional graph, as a file. Read in 2.15 (`_inductor.standalone_compile`)."""
    from torch._inductor import standalone_compile

    options = {"config_patches": patches}
    with torch.no_grad():
        made = standalone_compile(graph, list(inputs), dynamic_shapes="from_example_inputs", options=options)
    made.save(path=path, format="binary")


def load_generated(path: str) -> Callable[..., Any]:
    """What `save_generated` wrote, to be called with the inputs. Read in 2.15 (same source)."""
    from torch._inductor.standalone_compile import CompiledArtifact

    loaded: Callable[..., Any] = CompiledArtifact.load(path=path, format="binary")
    return loaded


def import_generated_code() -> None:
    """Imports what `load_generated` needs, which takes a second. Read in 2.15 (same source)."""
    import torch._functorch._aot_autograd.autograd_cache
    import torch._inductor.compile_fx
    import torch._inductor.standalone_compile  # noqa: F401


def default_partition(joint: GraphModule, inputs: Any, outputs: int, static: Sequence[int]) -> Any:
    """A joint graph in two, what the forward computes kept. Read in 2.15 (`_functorch.partitioners`)."""
    from torch._functorch.partitioners import default_partition as divide

    return divide(joint, inputs, num_fwd_outputs=outputs, static_lifetime_input_indices=list(static))


def min_cut_partition(joint: GraphModule, inputs: Any, outputs: int, static: Sequence[int]) -> Any:
    """The same, little kept and what is cheap computed again. Read in 2.15 (`_functorch.partitioners`)."""
    from torch._functorch.partitioners import min_cut_rematerialization_partition as divide

    # Where there is no division, torch writes the graph into the working folder, which is the user's.
    with patch("torch._functorch.partitioners._get_unique_path", lambda *_: os.devnull, create=True):
        return divide(joint, inputs, num_fwd_outputs=outputs, static_lifetime_input_indices=list(static))


def is_tangent(node: torch.fx.Node) -> bool:
    """Whether an input of a joint graph is a gradient that comes in. Read in 2.15 (`_aot_autograd.utils`)."""
    return node.op == "placeholder" and "tangents" in str(node.target)


def belongs_to(node: torch.fx.Node, backward: bool) -> None:
    """Tells the partitioners where a node belongs. Read in 2.15 (`partitioners._has_tag_is_forward`)."""
    node.meta["partitioner_tag"] = "is_backward" if backward else "is_forward"


def must_not_be_kept(node: torch.fx.Node) -> None:
    """Keeps `min_cut_partition` from saving a value. Read in 2.15 (`partitioners.get_node_weight`)."""
    node.meta["aot_runtime_epilogue_input_mutation"] = True


def mutated_inputs(joint: GraphModule) -> list[torch.fx.Node]:
    """Inputs of a joint graph that are written to after its forward. Read in 2.15 (`descriptors`)."""
    (output,) = joint.graph.find_nodes(op="output")
    described = torch.utils._pytree.arg_tree_leaves(output.meta.get("desc", ()))
    changed = [getattr(desc, "mutated_input", None) for desc in described]
    return [
        node
        for node in joint.graph.find_nodes(op="placeholder")
        if node.meta.get("aot_runtime_epilogue_input_mutation")
        or any(desc is not None and desc == node.meta.get("desc") for desc in changed)
    ]


def by_compiled_autograd() -> bool:
    """Whether backwards that begin now take AOTAutograd's backward graph, and not what a backend made of it.

    Read in 2.15 (`torch._dynamo.compiled_autograd`).
    """
    from torch._dynamo import compiled_autograd

    return compiled_autograd.compiled_autograd_enabled or compiled_autograd.in_compiled_autograd_region


#: What a plain input of a joint graph is described by; those of a subclass of tensors are others.
_PLAIN_INPUTS = frozenset({"PlainAOTInput", "ParamAOTInput", "BufferAOTInput", "TangentAOTInput"})


def joint_refusal(joint: GraphModule, inputs: Any) -> str | None:
    """Why torch has to divide a joint graph by itself; None where it need not. Read in 2.15 (all of it)."""
    from torch._functorch._aot_autograd.utils import saved_tensors_hooks_are_inlineable as inlined
    from torch._functorch._aot_autograd.utils import top_saved_tensors_hooks as hooks

    if not isinstance(inputs, tuple) or len(inputs) != 2:
        return "it is the graph of a higher-order operation"
    if inlined(hooks()):
        return "hooks on saved tensors are part of it"
    for node in joint.graph.nodes:
        if node.op == "placeholder":
            kind = type(node.meta.get("desc")).__name__
            if kind not in _PLAIN_INPUTS:
                return f"one of its inputs is no plain tensor ({kind})"
        if node.meta.get("saved_tensor_with_no_vc_check"):
            return "it keeps tensors on ctx without save_for_backward"
        if "recompute" in node.meta or "memory_budget" in node.meta:
            return "activation checkpointing says what it computes again"
    return None
