"""How a program is called: addresses of tensors that are as they were when it was written, and one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from hypatia_core import compat
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.native.written import Written

#: After so many others than it was written for, a call no longer tries to learn what it may take.
PATIENCE = 16

#: Makes what runs of a program's text; the tests put an interpreter here.
Maker = Callable[[str], Any]


def called(
    written: Written,
    program: Any,
    plain: Callable[..., Any],
    inputs: Sequence[fx.Node] | None = None,
    returns: type = tuple,
    held: Mapping[fx.Node, torch.Tensor] | None = None,
) -> Callable[..., Any]:
    """A program as a function of its tensors, which gives one tensor or several; written for it alone.

    Args:
        written: the program.
        program: what runs it.
        plain: the same by operations of torch, for tensors that lie otherwise.
        inputs: nodes whose values come as one list, which is emptied; None where the arguments come by
            themselves.
        returns: of a function of one list, a tuple or a list.
        held: values that come with no call, each as :func:`fits` wants it; nobody lays them out anew, so
            that their addresses are taken once.
    """
    held = held or {}
    names = {node: f"x{i}" for i, node in enumerate(written.arguments)}
    given = ", ".join(names.values())
    asked = [node for node in written.arguments if node not in held]
    checked = ", ".join(names[node] for node in asked)
    lines = [f"def call({checked}):"]
    if inputs is not None:
        taken = "".join(f"{names.get(node, '_')}, " for node in inputs)
        lines = ["def call(inputs):", *([f"    {taken} = inputs"] if taken else []), "    inputs.clear()"]
    check = _Check(asked)
    rows = [f"r{i}" for i in range(len(written.results))]
    back = f"plain({given})" if inputs is None else f"{returns.__name__}(plain_list({given}))"
    lines += [f"    if not check.check({checked}) and not check.learn({checked}):", f"        return {back}"]
    known: dict[str, Any] = {
        **{names[node]: value for node, value in held.items() if node in names},
        "check": check,
        "plain": plain,
        "HypatiaError": HypatiaError,
        "plain_list": lambda *tensors: _as_list(plain(*tensors), len(rows)),
        "empty": compat.empty_strided(),
        "run": program.run,
        "threads": torch.get_num_threads,
    }
    for i, result in enumerate(written.results):
        known[f"size{i}"], known[f"stride{i}"], known[f"type{i}"] = (
            result.sizes,
            result.strides,
            result.dtype,
        )
        lines.append(f"    r{i} = empty(size{i}, stride{i}, type{i})")
    of_arguments = [
        str(held[node].data_ptr()) if node in held else f"{name}.data_ptr()" for node, name in names.items()
    ]
    addresses = ", ".join([*of_arguments, *(f"{name}.data_ptr()" for name in rows)])
    lines += ["    try:", f"        run([{addresses}], threads())"]
    # An index out of range, which torch says in its own words.
    lines += ["    except HypatiaError:", f"        return {back}"]
    many = f"({', '.join(rows)},)" if returns is tuple else f"[{', '.join(rows)}]"
    lines.append(f"    return {rows[0] if inputs is None and len(rows) == 1 else many}")
    exec(compile("\n".join(lines), "<hypatia program>", "exec"), known)
    function: Callable[..., Any] = known["call"]
    function.__module__ = __name__
    return function


def _as_list(value: Any, count: int) -> list[Any]:
    return [value] if count == 1 else list(value)


class _Check:
    """Whether tensors lie as a program takes them: natively where they are like those that came before."""

    def __init__(self, nodes: Sequence[fx.Node]) -> None:
        self._wanted = [node.meta["val"] for node in nodes]
        self._left = PATIENCE
        self.check: Callable[..., bool] = lambda *_: False

    def learn(self, *tensors: Any) -> bool:
        """Whether these fit, found out slowly; where they do, their like passes natively."""
        if not all(map(fits, tensors, self._wanted)) or compat.is_transformed(*tensors):
            return False
        if self._left and tensors:
            self._left -= 1
            sizes = [list(x.shape) for x in tensors]
            strides = [list(x.stride()) for x in tensors]
            self.check = compat.tensor_check(tensors, sizes, strides)
        elif not tensors:
            self.check = lambda *_: True
        return True


def fits(tensor: Any, wanted: torch.Tensor) -> bool:
    """Whether a program may take a tensor where this one stood when it was written."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.dtype is wanted.dtype
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not (tensor.is_conj() or tensor.is_neg())
        and lies_alike(tensor, wanted)
    )


def lies_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether tensors have the same sizes, and the same strides wherever these matter."""
    steps = zip(one.shape, one.stride(), other.stride(), strict=True)
    return one.shape == other.shape and all(n == 1 or a == b for n, a, b in steps)
