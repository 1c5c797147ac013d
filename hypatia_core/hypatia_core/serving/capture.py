"""A model, captured by `torch.export` as the functional graph that the pipeline works on."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.report import brief
from hypatia_core.serving.signature import (
    InputRow,
    IntegerRow,
    Result,
    Signature,
    Source,
    TensorRow,
    ValueRow,
    row_of,
)
from hypatia_core.serving.sizes import Symbols


@dataclass
class Captured:
    """A graph without state of its own, and how it is called."""

    graph: GraphModule
    signature: Signature
    #: Tensors of the program that are no weights, by name.
    constants: dict[str, torch.Tensor]
    #: Fake values of the placeholders, in order.
    fake_inputs: list[Any]


def capture(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> Captured:
    """Export a model as it is now: in its mode of training, its dtype, on its device.

    Raises:
        HypatiaError: torch.export cannot capture it; the message has the reason.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Torch's recurrent layers keep a list of their own parameters, of which torch.export warns.
            warnings.filterwarnings("ignore", r"The tensor attributes? \S*_flat_weights\[")
            exported = torch.export.export(
                model, tuple(args), dict(kwargs or {}), dynamic_shapes=dynamic_shapes, strict=False
            )
            exported = exported.run_decompositions(compat.composite_decompositions())
    except Exception as error:
        raise HypatiaError(
            f"the model cannot be captured for serving: {brief(error)} "
            '(torch.compile(model, backend="hypatia") accepts more models)'
        ) from error
    return Reader(model, exported).captured()


class Reader:
    """Reads what torch.export says of a program."""

    def __init__(self, model: nn.Module, exported: torch.export.ExportedProgram) -> None:
        self.model = model
        self.exported = exported
        self.symbols = Symbols()

    def captured(self) -> Captured:
        """The graph, its unused placeholders dropped, and its signature."""
        graph = copy.deepcopy(self.exported.graph)
        _without_settled_assertions(graph)
        specs = self.exported.graph_signature
        takes = self.exported.call_spec.in_spec
        inputs: list[InputRow] = []
        sources: list[Source] = []
        constants: dict[str, torch.Tensor] = {}
        fakes: list[Any] = []
        used: dict[str, TensorRow] = {}
        mutated = {spec.target for spec in specs.output_specs if "MUTATION" in spec.kind.name}
        for node, spec in zip(self._placeholders(graph), specs.input_specs, strict=True):
            value = node.meta.get("val")
            match spec.kind.name:
                case "PARAMETER" | "BUFFER":
                    source = Source("weight", str(spec.target))
                    if node.users or spec.target in mutated:
                        used[source.name] = self._tensor(value)
                case "CONSTANT_TENSOR":
                    source = Source("constant", str(spec.target))
                case "USER_INPUT":
                    source = Source("input", position=len(inputs))
                    inputs.append(self._input(value))
                case kind:
                    raise HypatiaError(f"the model cannot be captured for serving: it takes a {kind.lower()}")
            if not node.users:
                graph.erase_node(node)
                continue
            if source.kind == "constant":
                constants[source.name] = self._constant(source.name)
            sources.append(source)
            fakes.append(value)
        structure = takes.unflatten(list(range(takes.num_leaves)))
        signature = Signature(
            inputs,
            self._names(structure),
            sources,
            self._results(specs),
            used,
            self._tied(),
            {},
            [],
            takes,
            self.exported.call_spec.out_spec,
            self._parameters(),
        )
        self._bound(signature, graph)
        output = next(node for node in graph.nodes if node.op == "output")
        output.args = (tuple(pytree.tree_leaves(output.args[0])),)
        graph.lint()
        return Captured(GraphModule(self.exported.graph_module, graph), signature, constants, fakes)

    @staticmethod
    def _placeholders(graph: fx.Graph) -> list[fx.Node]:
        return [node for node in graph.nodes if node.op == "placeholder"]

    def _input(self, value: Any) -> InputRow:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.SymInt):
            size = self.symbols.size(value)
            if isinstance(size, str):
                return IntegerRow(size)
            value = size
        return ValueRow(value)

    def _tensor(self, value: Any) -> TensorRow:
        if value.layout is not torch.strided or type(value).__name__ not in ("FakeTensor", "Parameter"):
            raise HypatiaError(
                f"the model cannot be captured for serving: a tensor of layout {value.layout} "
                f"and type {type(value).__name__}; dense torch.Tensor is accepted"
            )
        size = self.symbols.size
        return row_of(value, [size(n) for n in value.shape], [size(n) for n in value.stride()])

    def _constant(self, name: str) -> torch.Tensor:
        value = self.exported.constants[name]
        if not isinstance(value, torch.Tensor):
            raise HypatiaError(
                f"the model cannot be captured for serving: {name} is a {type(value).__name__}"
            )
        return value

    def _names(self, structure: Any) -> list[str]:
        """What messages call each leaf of the arguments."""
        args, kwargs = structure
        found = self._parameters()
        parameters = list(found.parameters.values()) if found else []
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        named = [(positional[i] if i < len(positional) else f"args[{i}]", a) for i, a in enumerate(args)]
        names: dict[int, str] = {}
        for name, value in [*named, *kwargs.items()]:
            for path, leaf in pytree.tree_flatten_with_path(value)[0]:
                names[leaf] = name + pytree.keystr(path)
        return [names[i] for i in sorted(names)]

    def _parameters(self) -> inspect.Signature | None:
        try:
            return inspect.signature(self.model.forward)
        except (TypeError, ValueError):
            return None

    def _results(self, specs: Any) -> list[Result]:
        names = {
            spec.arg.name: i
            for i, spec in enumerate(s for s in specs.input_specs if s.kind.name == "USER_INPUT")
            if hasattr(spec.arg, "name")
        }
        results = []
        for spec in specs.output_specs:
            match spec.kind.name:
                case "USER_OUTPUT":
                    results.append(Result("returned"))
                case "BUFFER_MUTATION" | "PARAMETER_MUTATION":
                    results.append(Result("mutates weight", str(spec.target)))
                case "USER_INPUT_MUTATION":
                    results.append(Result("mutates input", position=names[str(spec.target)]))
                case kind:
                    raise HypatiaError(
                        f"the model cannot be captured for serving: it returns a {kind.lower()}"
                    )
        return results

    def _tied(self) -> list[list[str]]:
        """Weights that go by several names: the graph may read any of them for all."""
        groups: dict[int, list[str]] = {}
        for name, value in [
            *self.model.named_parameters(remove_duplicate=False),
            *self.model.named_buffers(remove_duplicate=False),
        ]:
            groups.setdefault(id(value), []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    def _bound(self, signature: Signature, graph: fx.Graph) -> None:
        """The bounds of symbols and the relations between them that the capture relied on."""
        environment = next(
            (
                node.meta["val"].fake_mode.shape_env
                for node in graph.nodes
                if isinstance(node.meta.get("val"), torch.Tensor)
                and getattr(node.meta["val"], "fake_mode", None) is not None
            ),
            None,
        )
        ranges, relations = compat.size_conditions(self.exported, environment)
        names = self.symbols.names
        for symbol, (least, most) in ranges.items():
            if symbol in names:
                signature.ranges[names[symbol]] = (least, most)
        for relation in relations:
            if relation.free_symbols and relation.free_symbols <= set(names):
                signature.relations.append(self.symbols.expression(relation, known=True))


def _without_settled_assertions(graph: fx.Graph) -> None:
    """Drops what asserts a tensor's type where its fake value has that type: the signature asks it already.

    `Tensor.to` leaves such nodes when exported; they return nothing, as only what has effects does.
    """
    for node in list(graph.nodes):
        if node.users or compat.type_assertion() is not getattr(node.target, "overloadpacket", node):
            continue
        given = dict(zip(("size", "stride", "dtype"), node.args[1:], strict=False)) | node.kwargs
        value = node.args[0].meta["val"]
        has = {
            "size": list(value.shape),
            "stride": list(value.stride()),
            "dtype": value.dtype,
            "device": value.device,
            "layout": value.layout,
        }
        if all(wanted is None or _plain(has[name]) == _plain(wanted) for name, wanted in given.items()):
            graph.erase_node(node)


def _plain(value: Any) -> Any:
    """A size that is a symbol equals nothing: to compare it would be a guess of its own."""
    if isinstance(value, (list, tuple)):
        return [size if type(size) is int else object() for size in value]
    return value
