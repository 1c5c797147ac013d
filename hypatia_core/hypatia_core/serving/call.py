"""The fast way through a call: straight Python, written for one program, around native checks.

It reads the weights off the model, asks one native check about all tensors, and runs. Whatever it does not
know to fit goes the slow way, which finds out what is wrong, or that it fits after all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hypatia_core import compat
from hypatia_core.executors.base import Runnable
from hypatia_core.serving.live import Live
from hypatia_core.serving.signature import IntegerRow, Signature, TensorRow, ValueRow
from hypatia_core.serving.sizes import contiguous, written

MISSING = object()
_PLAIN = (int, float, bool, str, type(None))


class FastCall:
    """Writes the function, and keeps its native check."""

    def __init__(
        self,
        signature: Signature,
        live: Live,
        constants: dict[str, Any],
        run: Runnable,
        slow: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    ) -> None:
        self.signature = signature
        self._lines: list[str] = []
        self._names: dict[str, Any] = {
            "check": [lambda *_: False],
            "run": run,
            "slow": slow,
            "MISSING": MISSING,
            "grad_enabled": torch.is_grad_enabled,
            "set_grad": compat.set_grad_enabled(),
            "given": _given,
            "unflatten": pytree.tree_unflatten,
        }
        self._live = live
        self._constants = constants
        self._weights = {name: f"w{i}" for i, name in enumerate(live.places)}
        self.function = self._function()

    def accept(self, leaves: Sequence[Any]) -> None:
        """Let the native check accept tensors like these, and the weights as they are now."""
        rows = [(row, leaves[i]) for i, row in self._tensor_inputs()]
        tensors = [*(self._live.weight(name) for name in self.signature.weights), *(leaf for _, leaf in rows)]
        sizes: list[list[int | None]] = []
        strides: list[list[int | None]] = []
        for name in self.signature.weights:
            weight = self._live.weight(name)
            assert weight is not None
            sizes.append(list(weight.shape))
            strides.append(list(weight.stride()))
        for row, leaf in rows:
            sizes.append([n if type(n) is int else None for n in row.shape])
            strides.append(
                [
                    None if type(step) is not int else now
                    for step, now in zip(row.strides, leaf.stride(), strict=True)
                ]
            )
        self._names["check"][0] = compat.tensor_check(tensors, sizes, strides)

    def _tensor_inputs(self) -> list[tuple[int, TensorRow]]:
        return [(i, row) for i, row in enumerate(self.signature.inputs) if isinstance(row, TensorRow)]

    def _name(self, stem: str, value: Any) -> str:
        """A name that the function knows a value by; one value has one name of a stem."""
        for name, known in self._names.items():
            if known is value and name.startswith(stem):
                return name
        name = f"{stem}{sum(1 for known in self._names if known.startswith(stem))}"
        self._names[name] = value
        return name

    def _function(self) -> Callable[..., Any]:
        takes = self.signature.takes
        args, kwargs = takes.unflatten(list(range(takes.num_leaves)))
        names = [f"a{i}" for i in range(len(args))]
        keywords = {key: f"k{i}" for i, key in enumerate(kwargs)}
        parameters = [f"{name}=MISSING" for name in names]
        plain = all(key.isidentifier() for key in kwargs)
        # A keyword's name may be any of ours: it is taken out of the dictionary by its value.
        head = ", ".join([*parameters, "*rest", "**more"])
        back = f"slow(given(({''.join(f'{name}, ' for name in names)}), rest), more)"
        conditions = ["not rest"] if plain else ["False"]
        taken = []
        if keywords:
            conditions.append(f"len(more) == {len(keywords)}")
            taken = [f"{name} = more.get({key!r}, MISSING)" for key, name in keywords.items()]
        else:
            conditions.append("not more")
        places: dict[int, str] = {}
        for value, name in [*zip(args, names, strict=True), *((v, keywords[k]) for k, v in kwargs.items())]:
            self._unpack(value, name, places, conditions)
        leaves = [places.get(i, "") for i in range(len(self.signature.inputs))]
        if not all(leaves) and self.signature.inputs:
            return self._slow_only()
        for holder, key, module, _ in self._live.submodules:
            conditions.append(f"{self._name('modules', holder)}[{key!r}] is {self._name('module', module)}")
        for own, training, _ in self._live.modes:
            conditions.append(f"{self._name('own', own)}['training'] is {training}")
        for group in self._live.tied:
            conditions += [f"{self._weights[group[0]]} is {self._weights[name]}" for name in group[1:]]
        checked = [self._weights[name] for name in self.signature.weights]
        checked += [leaves[i] for i, _ in self._tensor_inputs()]
        if checked:
            conditions.append(f"check[0]({', '.join(checked)})")
        conditions += self._conditions_of_values(leaves)
        reads = [
            f"{self._weights[name]} = {self._name('holder', holder)}[{key!r}]"
            for name, (holder, key) in self._live.places.items()
        ]
        text = [f"def call({head}):"]
        if taken:
            text += [f"    {line}" for line in taken]
        text += [
            "    try:",
            *(f"        {line}" for line in reads),
            f"        if not ({' and '.join(conditions)}):",
        ]
        text += [f"            return {back}", "    except (KeyError, IndexError):", f"        return {back}"]
        text += self._body(leaves)
        return self._compiled(text)

    def _slow_only(self) -> Callable[..., Any]:
        return self._compiled(["def call(*args, **kwargs):", "    return slow(args, kwargs)"])

    def _compiled(self, text: list[str]) -> Callable[..., Any]:
        self.text = "\n".join(text)
        exec(compile(self.text, "<hypatia served call>", "exec"), self._names)
        function: Callable[..., Any] = self._names["call"]
        return function

    def _unpack(self, value: Any, place: str, places: dict[int, str], conditions: list[str]) -> None:
        """Where the leaves of an argument are, and that its structure is as it was."""
        if isinstance(value, int):
            places[value] = place
        elif type(value) in (list, tuple):
            conditions.append(f"type({place}) is {type(value).__name__} and len({place}) == {len(value)}")
            for i, part in enumerate(value):
                self._unpack(part, f"{place}[{i}]", places, conditions)
        elif type(value) is dict and all(isinstance(key, str) for key in value):
            conditions.append(f"type({place}) is dict and len({place}) == {len(value)}")
            for key, part in value.items():
                self._unpack(part, f"{place}[{key!r}]", places, conditions)

    def _conditions_of_values(self, leaves: list[str]) -> list[str]:
        """What the native check does not ask: values, and sizes that are known at the call only."""
        conditions: list[str] = []
        bound: dict[str, str] = {}
        later: list[str] = []
        for leaf, row in zip(leaves, self.signature.inputs, strict=True):
            match row:
                case ValueRow(None):
                    conditions.append(f"{leaf} is None")
                case ValueRow(value) if type(value) in _PLAIN:
                    kind = self._name("kind", type(value))
                    conditions.append(f"type({leaf}) is {kind} and {leaf} == {self._name('value', value)}")
                case ValueRow(value):
                    conditions.append(f"{leaf} is {self._name('value', value)}")
                case IntegerRow(symbol):
                    conditions.append(f"type({leaf}) is int")
                    if symbol in bound:
                        later.append(f"{leaf} == {symbol}")
                    else:
                        bound[symbol] = leaf
                case TensorRow() if row.dynamic:
                    for axis, size in enumerate(row.shape):
                        if isinstance(size, str) and size not in bound:
                            bound[size] = f"{leaf}.size({axis})"
                        elif type(size) is not int:
                            later.append(f"{leaf}.size({axis}) == {written(size)}")
                    if row.strides == contiguous(row.shape):
                        later.append(f"{leaf}.is_contiguous()")
                    else:
                        steps = [written(step) for step in row.strides]
                        later.append(f"{leaf}.stride() == ({''.join(f'{step}, ' for step in steps)})")
        for symbol, place in bound.items():
            least, most = self.signature.ranges.get(symbol, (None, None))
            test = f"({symbol} := {place})"
            if least is not None:
                test = f"{least} <= {test}"
            conditions.append(
                f"{test} <= {most}" if most is not None else test if least is not None else f"{test} >= 0"
            )
        return [*conditions, *later, *(written(relation) for relation in self.signature.relations)]

    def _body(self, leaves: list[str]) -> list[str]:
        values = []
        for source in self.signature.sources:
            match source.kind:
                case "weight":
                    values.append(self._weights[source.name])
                case "constant":
                    values.append(self._name("constant", self._constants[source.name]))
                case _:
                    values.append(leaves[source.position])
        values_text = ", ".join(values)
        mutates = [(i, r) for i, r in enumerate(self.signature.results) if r.kind != "returned"]
        lines = []
        copies = []
        for i, result in mutates:
            target = (
                self._weights[result.name] if result.kind == "mutates weight" else leaves[result.position]
            )
            copies.append(f"{target}.copy_(out[{i}])")
        lines += ["    if grad_enabled():", "        set_grad(False)", "        try:"]
        lines += [f"            out = run([{values_text}])", *(f"            {line}" for line in copies)]
        lines += ["        finally:", "            set_grad(True)", "    else:"]
        lines += [f"        out = run([{values_text}])", *(f"        {line}" for line in copies)]
        returned = [f"out[{i}]" for i, r in enumerate(self.signature.results) if r.kind == "returned"]
        lines.append(f"    return {self._result(returned)}")
        return lines

    def _result(self, returned: list[str]) -> str:
        spec = self.signature.returns
        structure = spec.unflatten(list(range(spec.num_leaves)))
        text = self._built(structure, returned)
        return text if text is not None else f"unflatten([{', '.join(returned)}], {self._name('spec', spec)})"

    def _built(self, structure: Any, returned: list[str]) -> str | None:
        if type(structure) is int:
            return returned[structure]
        if type(structure) in (list, tuple):
            parts = [self._built(part, returned) for part in structure]
            if any(part is None for part in parts):
                return None
            inner = "".join(f"{part}, " for part in parts)
            return f"[{inner}]" if type(structure) is list else f"({inner})"
        if type(structure) is dict and all(isinstance(key, str) for key in structure):
            pairs = {key: self._built(part, returned) for key, part in structure.items()}
            if any(part is None for part in pairs.values()):
                return None
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in pairs.items()) + "}"
        return None


def _given(args: tuple[Any, ...], rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """The positional arguments that a call really had."""
    return tuple(value for value in args if value is not MISSING) + rest
