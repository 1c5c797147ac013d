"""The JSON schema of a report, made from its dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from typing import Any

from hypatia_core.report import JSON_VERSION, GraphReport, Report

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema() -> dict[str, Any]:
    """The schema of `Report.to_json`, draft 2020-12; `report.schema.json` beside this file is it, written."""
    definitions: dict[str, Any] = {}
    root = _described(Report, definitions)
    graph = definitions[GraphReport.__name__]["properties"]
    graph["remedies"] = {
        "description": "What helps against each refusal, in their order; null where nothing is known.",
        "type": "array",
        "items": {"type": ["string", "null"]},
    }
    graph["speedup"] = {
        "description": "Times that what runs is faster than the original graph, as measured.",
        "type": ["number", "null"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of Hypatia",
        "description": f"What `hypatia_core.report(compiled).to_json()` writes, version {JSON_VERSION}.",
        **root,
        "properties": {
            "schema": {"const": "hypatia-report"},
            "version": {"const": JSON_VERSION},
            **root["properties"],
        },
        "required": ["schema", "version", *root["required"]],
        "$defs": definitions,
    }


def _described(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    comments = _comments(cls)
    properties = {}
    for field in dataclasses.fields(cls):
        properties[field.name] = _type(hints[field.name], definitions)
        if field.name in comments:
            properties[field.name] = {"description": comments[field.name], **properties[field.name]}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _comments(cls: type) -> dict[str, str]:
    """The comment above each field; one that stands above several is each one's."""
    found: dict[str, str] = {}
    comment: list[str] = []
    fresh = False
    for line in inspect.getsource(cls).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            comment = [*comment, text[2:].strip()] if fresh else [text[2:].strip()]
            fresh = True
        elif match := re.match(r"(\w+): ", text):
            if comment:
                found[match.group(1)] = " ".join(comment)
            fresh = False
        else:
            comment, fresh = [], False
    return found


def _type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}
            definitions[hint.__name__] = _described(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(argument, definitions) for argument in arguments]}
    raise TypeError(f"no JSON type stands for {hint}")
