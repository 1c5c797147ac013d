"""A signature as JSON and back."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.serving.signature import (
    InputRow,
    IntegerRow,
    Result,
    Signature,
    Source,
    TensorRow,
    ValueRow,
    short,
)
from hypatia_core.serving.sizes import checked


def to_json(signature: Signature) -> dict[str, Any]:
    """The signature as plain data.

    Raises:
        HypatiaError: something in it has no form in JSON; the message says what.
    """
    return {
        "inputs": [
            _row(row, name) for row, name in zip(signature.inputs, signature.input_names, strict=True)
        ],
        "input_names": signature.input_names,
        "sources": [[s.kind, s.name, s.position] for s in signature.sources],
        "results": [[r.kind, r.name, r.position] for r in signature.results],
        "weights": {name: _row(row, name) for name, row in signature.weights.items()},
        "tied": signature.tied,
        "ranges": {name: list(bounds) for name, bounds in signature.ranges.items()},
        "relations": signature.relations,
        "takes": _structure(signature.takes, "arguments"),
        "returns": _structure(signature.returns, "result"),
        "parameters": [
            [p.name, int(p.kind), p.default is not p.empty]
            for p in (signature.parameters.parameters.values() if signature.parameters else [])
        ],
    }


def from_json(data: Any) -> Signature:
    """A signature from what `to_json` gave.

    Raises:
        HypatiaError: it is malformed.
    """
    try:
        parameters = [
            # A default's value does not matter here: whether there is one does.
            inspect.Parameter(
                name, inspect._ParameterKind(kind), default=None if default else inspect.Parameter.empty
            )
            for name, kind, default in data["parameters"]
        ]
        signature = Signature(
            [_row_back(row) for row in data["inputs"]],
            [str(name) for name in data["input_names"]],
            [Source(*row) for row in data["sources"]],
            [Result(*row) for row in data["results"]],
            {name: _tensor_back(row) for name, row in data["weights"].items()},
            [[str(name) for name in group] for group in data["tied"]],
            {checked(name): (_bound(low), _bound(high)) for name, (low, high) in data["ranges"].items()},
            [checked(relation) for relation in data["relations"]],
            _structure_back(data["takes"]),
            _structure_back(data["returns"]),
            inspect.Signature(parameters) if parameters else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HypatiaError(f"the signature is malformed: {error}") from error
    if signature.takes.num_leaves != len(signature.inputs) or len(signature.inputs) != len(
        signature.input_names
    ):
        raise HypatiaError(
            "the signature is malformed: the arguments are not as many as their structure holds"
        )
    kinds = {source.kind for source in signature.sources} | {result.kind for result in signature.results}
    if not kinds <= {"weight", "constant", "input", "returned", "mutates weight", "mutates input"}:
        raise HypatiaError(f"the signature is malformed: unknown kinds among {', '.join(sorted(kinds))}")
    return signature


def _row(row: InputRow, name: str) -> dict[str, Any]:
    match row:
        case TensorRow():
            return {
                "dtype": short(row.dtype),
                "device": str(row.device),
                "shape": row.shape,
                "strides": row.strides,
            }
        case IntegerRow(symbol):
            return {"symbol": symbol}
        case ValueRow(value):
            if value is not None and type(value) not in (bool, int, float, str):
                raise HypatiaError(f"it cannot be saved: input {name!r} is a {type(value).__name__}")
            return {"value": value}


def _row_back(data: dict[str, Any]) -> InputRow:
    if "symbol" in data:
        return IntegerRow(checked(data["symbol"]))
    return ValueRow(data["value"]) if "value" in data else _tensor_back(data)


def _tensor_back(data: dict[str, Any]) -> TensorRow:
    dtype = getattr(torch, data["dtype"], None)
    if not isinstance(dtype, torch.dtype):
        raise HypatiaError(f"the signature is malformed: {data['dtype']!r} is no element type")
    try:
        device = torch.device(data["device"])
    except RuntimeError as error:
        raise HypatiaError(f"the signature is malformed: {error}") from None
    return TensorRow(
        dtype, device, [checked(n) for n in data["shape"]], [checked(n) for n in data["strides"]]
    )


def _bound(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise HypatiaError(f"the signature is malformed: {value!r} is no bound")
    return value


def _structure(spec: pytree.TreeSpec, what: str) -> Any:
    def outlined(value: Any) -> Any:
        if type(value) is int:
            return value
        if type(value) in (list, tuple):
            return {type(value).__name__: [outlined(part) for part in value]}
        if type(value) in (dict, OrderedDict) and all(isinstance(key, (str, int)) for key in value):
            return {type(value).__name__: [[key, outlined(part)] for key, part in value.items()]}
        raise HypatiaError(
            f"it cannot be saved: the {what} hold a {type(value).__name__}; "
            "tensors in tuples, lists and dictionaries are accepted"
        )

    return outlined(spec.unflatten(list(range(spec.num_leaves))))


def _structure_back(data: Any) -> pytree.TreeSpec:
    def built(value: Any) -> Any:
        if type(value) is int:
            return value
        ((kind, parts),) = value.items()
        match kind:
            case "list":
                return [built(part) for part in parts]
            case "tuple":
                return tuple(built(part) for part in parts)
            case "dict":
                return {key: built(part) for key, part in parts}
            case "OrderedDict":
                return OrderedDict((key, built(part)) for key, part in parts)
        raise HypatiaError(f"the signature is malformed: a structure of kind {kind!r}")

    return pytree.tree_structure(built(data))
