"""A functional graph as JSON and back. What is read is data: it names operations, and holds no code.

Nodes stand in order; an argument that is a node is its position. Names are made anew when a graph is read,
and an operation is taken only from torch's registry or from the table of functions here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from hypatia_core._hypatia_core import HypatiaError

#: Functions of Python that stand in graphs beside operations: access to a tuple, and arithmetic of sizes.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getitem": operator.getitem,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "truediv": operator.truediv,
    "mod": operator.mod,
    "neg": operator.neg,
    "pow": operator.pow,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "sym_max": torch.sym_max,
    "sym_min": torch.sym_min,
    "sym_float": torch.sym_float,
    "sym_int": torch.sym_int,
}
_FUNCTION_NAMES = {function: name for name, function in FUNCTIONS.items()}
#: Kinds of torch's constants, each with the type that their names are looked up for.
_CONSTANTS: dict[str, type] = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}


def to_json(graph: fx.Graph) -> list[dict[str, Any]]:
    """The nodes of a graph.

    Raises:
        HypatiaError: a node or an argument has no form in JSON; the message names it.
    """
    places: dict[fx.Node, int] = {}
    rows: list[dict[str, Any]] = []
    for node in graph.nodes:
        row: dict[str, Any] = {"op": node.op}
        if node.op == "call_function":
            row["target"] = _target_name(node)
        elif node.op == "get_attr":
            row["target"] = str(node.target)
        elif node.op not in ("placeholder", "output"):
            raise HypatiaError(f"it cannot be saved: a node of kind {node.op!r}")
        if node.op != "placeholder":
            row["args"] = [_encoded(argument, places) for argument in node.args]
            if node.kwargs:
                row["kwargs"] = {key: _encoded(value, places) for key, value in node.kwargs.items()}
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            row["dtype"] = str(value.dtype).removeprefix("torch.")
            if all(type(n) is int for n in (*value.shape, *value.stride())):
                row["size"], row["stride"] = list(value.shape), list(value.stride())
        elif isinstance(value, (list, tuple)) and all(map(_has_plain_type, value)):
            row["results"] = [
                {
                    "dtype": str(v.dtype).removeprefix("torch."),
                    "size": list(v.shape),
                    "stride": list(v.stride()),
                }
                for v in value
            ]
        places[node] = len(rows)
        rows.append(row)
    return rows


def from_json(rows: Any, constants: dict[str, torch.Tensor]) -> fx.GraphModule:
    """A graph module from what `to_json` gave.

    Raises:
        HypatiaError: it is malformed, or an operation is not registered here.
    """
    graph = fx.Graph()
    root = torch.nn.Module()
    nodes: list[fx.Node] = []
    try:
        for i, row in enumerate(rows):
            args = tuple(_decoded(argument, nodes) for argument in row.get("args", []))
            kwargs = {_identifier(k): _decoded(v, nodes) for k, v in row.get("kwargs", {}).items()}
            match row["op"]:
                case "placeholder":
                    node = graph.placeholder(f"v{i}")
                case "get_attr":
                    name = f"c{i}"
                    root.register_buffer(name, constants[row["target"]])
                    node = graph.get_attr(name)
                case "call_function":
                    node = graph.create_node("call_function", _target(row["target"]), args, kwargs, f"v{i}")
                case "output":
                    node = graph.output(tuple(args[0]))
                case op:
                    raise HypatiaError(f"a node of kind {op!r}")
            if "dtype" in row:
                node.meta["val"] = _of_type(row)
                node.meta["unsized"] = "size" not in row
            elif "results" in row:
                node.meta["val"] = tuple(_of_type(result) for result in row["results"])
            nodes.append(node)
        graph.lint()
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RuntimeError) as error:
        raise HypatiaError(f"the graph is malformed at node {len(nodes)}: {error}") from error
    return fx.GraphModule(root, graph)


def _has_plain_type(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and all(type(n) is int for n in (*value.shape, *value.stride()))


def _of_type(row: dict[str, Any]) -> torch.Tensor:
    """What stands for a value of a type; that it has elements of it somewhere, nobody asks."""
    sizes, strides = (row["size"], row["stride"]) if "size" in row else ([], [])
    return torch.empty_strided(sizes, strides, dtype=_constant("dtype", row["dtype"]), device="meta")


def _target_name(node: fx.Node) -> str:
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        return f"{target._schema.name}.{target._overloadname}"
    if target in _FUNCTION_NAMES:
        return _FUNCTION_NAMES[target]
    raise HypatiaError(f"it cannot be saved: it calls {target}, which is no registered operation")


def _target(name: str) -> Callable[..., Any]:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    namespace, found, rest = name.partition("::")
    operation, _, overload = rest.partition(".")
    if not found or not all(part.isidentifier() for part in (namespace, operation, overload)):
        raise HypatiaError(f"the graph calls {name!r}, which is no operation's name")
    try:
        target = getattr(getattr(getattr(torch.ops, namespace), operation), overload)
    except AttributeError:
        raise HypatiaError(
            f"the graph calls {name!r}, which is not registered in this process "
            f"(torch {torch.__version__}): import the package that defines it first"
        ) from None
    if not isinstance(target, torch._ops.OpOverload):
        raise HypatiaError(f"the graph calls {name!r}, which is no operation")
    return target


def _encoded(value: Any, places: dict[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return {"node": places[value]}
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, complex):
        return {"complex": [repr(value.real), repr(value.imag)]}
    if isinstance(value, (list, tuple)):
        return [_encoded(part, places) for part in value]
    if isinstance(value, slice):
        return {"slice": [_encoded(part, places) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    for kind, cls in _CONSTANTS.items():
        if isinstance(value, cls):
            return {kind: str(value).removeprefix("torch.")}
    raise HypatiaError(f"it cannot be saved: an argument of type {type(value).__name__}")


def _decoded(value: Any, nodes: list[fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decoded(part, nodes) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "node":
            if not 0 <= inner < len(nodes):
                raise HypatiaError(f"the graph is malformed: node {inner} is used before it is there")
            return nodes[inner]
        case "float":
            return float(inner)
        case "complex":
            return complex(float(inner[0]), float(inner[1]))
        case "slice":
            return slice(*(_decoded(part, nodes) for part in inner))
        case "device":
            return torch.device(inner)
        case _ if kind in _CONSTANTS:
            return _constant(kind, inner)
    raise HypatiaError(f"the graph is malformed: an argument of kind {kind!r}")


def _constant(kind: str, name: str) -> Any:
    value = getattr(torch, name, None)
    if not isinstance(value, _CONSTANTS[kind]):
        raise HypatiaError(f"the graph is malformed: {name!r} is no {kind}")
    return value


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise HypatiaError(f"the graph is malformed: {name!r} is no argument's name")
    return name
