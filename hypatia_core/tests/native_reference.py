"""What a program means, said once more in torch: the oracle of who writes programs and of who runs them."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

DTYPES = {"float32": torch.float32, "bool": torch.bool, "int64": torch.int64}

Numbers = Callable[..., torch.Tensor]


def _answer(name: str) -> Numbers:
    compare = getattr(torch, name)
    return lambda a, b: compare(a, b).float()


INSTRUCTIONS: dict[str, Numbers] = {
    **{
        name: getattr(torch, name)
        for name in ("neg", "abs", "relu", "sigmoid", "tanh", "exp", "exp2", "expm1")
    },
    **{
        name: getattr(torch, name)
        for name in ("log", "log1p", "sqrt", "rsqrt", "reciprocal", "erf", "sin", "cos")
    },
    **{
        name: getattr(torch, name)
        for name in ("floor", "ceil", "round", "trunc", "sub", "mul", "div", "pow", "add")
    },
    "sign": torch.sgn,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    **{name: _answer(name) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
    "where": lambda c, a, b: torch.where(c != 0, a, b),
    "and": lambda a, b: ((a != 0) & (b != 0)).float(),
    "or": lambda a, b: ((a != 0) | (b != 0)).float(),
    "not": lambda a: (a == 0).float(),
}
#: Of one operand over the row, of two by element.
EITHER: dict[str, tuple[Numbers, Numbers]] = {
    "max": (lambda x: x.amax(-1, keepdim=True), torch.maximum),
    "min": (lambda x: x.amin(-1, keepdim=True), torch.minimum),
    "sum": (lambda x: x.sum(-1, keepdim=True), torch.add),
    "prod": (lambda x: x.prod(-1, keepdim=True), torch.mul),
}
ACTIVATIONS: dict[tuple[str, str], Callable[..., torch.Tensor]] = {
    ("none", ""): lambda x: x,
    ("relu", ""): torch.relu,
    ("hardtanh", ""): F.hardtanh,
    ("swish", ""): F.silu,
    ("sigmoid", ""): torch.sigmoid,
    ("hardswish", ""): F.hardswish,
    ("gelu", "none"): F.gelu,
    ("gelu", "tanh"): lambda x: F.gelu(x, approximate="tanh"),
}


class Reference:
    """Runs a program's text as `NativeProgram` does."""

    def __init__(self, text: str) -> None:
        self.data = json.loads(text)
        self.steps = len(self.data["steps"])
        places = [b["place"] for b in self.data["buffers"]]
        assert places == sorted(places, key=["argument", "result", "scratch"].index)
        self.given = sum(place != "scratch" for place in places)

    def run(self, addresses: list[int], threads: int) -> None:
        """One call."""
        assert len(addresses) == self.given
        self.memory: list[torch.Tensor] = []
        self.done: list[torch.Tensor] = []
        for i, buffer in enumerate(self.data["buffers"]):
            dtype, elements = DTYPES[buffer["kind"]], buffer["elements"]
            if buffer["place"] == "scratch":
                self.memory.append(torch.full((elements,), 77, dtype=torch.float32).to(dtype))
            else:
                raw = (ctypes.c_char * (elements * dtype.itemsize)).from_address(addresses[i])
                self.memory.append(torch.frombuffer(raw, dtype=dtype))
            self.done.append(torch.full((elements,), buffer["place"] == "argument"))
        for step in self.data["steps"]:
            getattr(self, step["step"])(**{k: v for k, v in step.items() if k != "step"})
        for buffer, done in zip(self.data["buffers"], self.done, strict=True):
            assert done.all() or buffer["place"] != "result", "a result is not written whole"

    def view(self, view: dict[str, Any], sizes: list[int], *, write: bool = False) -> Any:
        place = view["buffer"]
        strides, offset = view["strides"], view["offset"]
        last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        assert offset >= 0 and last < self.data["buffers"][place]["elements"] and min(sizes, default=1) > 0
        assert all(s >= 0 for s in strides)
        done = self.done[place].as_strided(sizes, strides, offset)
        if write:
            assert self.data["buffers"][place]["place"] != "argument"
            done.fill_(True)
        else:
            assert done.all(), "what is read was not written"
        return self.memory[place].as_strided(sizes, strides, offset)

    def elements(self, view: dict[str, Any], sizes: list[int]) -> set[int]:
        """Which elements of its buffer a view shows."""
        every = torch.arange(self.data["buffers"][view["buffer"]]["elements"])
        return set(every.as_strided(sizes, view["strides"], view["offset"]).flatten().tolist())

    def rows(self, outer: list[int], row: int, loads: list[Any], code: list[Any], stores: list[Any]) -> None:
        sizes = [*outer, row]
        registers: list[torch.Tensor] = []
        for load in loads:
            x = self.view(load, sizes)
            assert x.dtype is not torch.int64
            registers.append(x[..., :1].float() if load["strides"][-1] == 0 else x.float())
        numbers: dict[int, float] = {}
        for name, *rest in code:
            if name == "const":
                registers.append(torch.full([1] * len(sizes), float(rest[0])))
                numbers[len(registers) - 1] = float(rest[0])
                continue
            if name == "pow" and rest[1] in numbers:  # torch has quicker ways for some, of other rounding
                registers.append(torch.pow(registers[rest[0]], numbers[rest[1]]))
                continue
            if name == "clamp":
                registers.append(registers[rest[0]].clamp(float(rest[1]), float(rest[2])))
                continue
            operands = [registers[i] for i in rest]
            if name in EITHER:
                over, by_element = EITHER[name]
                if len(operands) == 1:
                    registers.append(over(operands[0].expand(*operands[0].shape[:-1], row)))
                else:
                    registers.append(by_element(*operands))
            else:
                registers.append(INSTRUCTIONS[name](*operands))
        for store in stores:
            # Tasks may run in any order: what one writes no other may read, parts of one buffer apart.
            written = self.elements(store["view"], sizes)
            for load in loads:
                same = load["buffer"] == store["view"]["buffer"]
                assert not same or not written & self.elements(load, sizes)
            place = self.view(store["view"], sizes, write=True)
            x = registers[store["register"]]
            if store["view"]["strides"][-1] == 0 and row != 1:
                assert x.shape[-1] == 1, "numbers of a row stored into one place"
                place = place[..., :1]
            place.copy_(x != 0 if place.dtype is torch.bool else x.expand(place.shape))

    def linear(
        self, rows: int, columns: int, depth: int, x: Any, panels: int, bias: int | None, other: Any,
        result: Any, activation: str, numbers: list[Any], algorithm: str,
    ) -> None:  # fmt: skip
        count = -(-columns // 16)
        assert x["strides"][-1] in (0, 1) and result["strides"][-1] in (0, 1)
        weight = self.memory[panels][: count * depth * 16].view(count, depth, 16)
        weight = weight.permute(0, 2, 1).reshape(count * 16, depth)[:columns]
        y = self.view(x, [rows, depth]) @ weight.t()
        if bias is not None:
            y = y + self.memory[bias][:columns]
        if other is not None:
            y = y + self.view(other, [rows, columns])
        y = ACTIVATIONS[activation, algorithm](y, *map(float, numbers))
        self.view(result, [rows, columns], write=True).copy_(y)

    def attention(
        self, batch: int, heads: int, queries: int, keys: int, width: int, q: Any, k: Any, v: Any, mask: Any,
        causal: bool, scale: Any, result: Any,
    ) -> None:  # fmt: skip
        q, k, v = (self.view(x, [batch, heads, n, width]) for x, n in ((q, queries), (k, keys), (v, keys)))
        scores = q @ k.transpose(-1, -2) * scale
        if mask is not None:
            scores = scores + self.view(mask, [batch, heads, queries, keys])
        if causal:
            later = torch.ones(queries, keys, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        y = torch.softmax(scores, -1).nan_to_num(0.0) @ v
        self.view(result, [batch, heads, queries, width], write=True).copy_(y)

    def depthwise(
        self, batch: int, channels: int, down: list[int], across: list[int], x: Any, filters: int,
        bias: int | None, result: Any, activation: str, numbers: list[Any], algorithm: str,
    ) -> None:  # fmt: skip
        images = self.view(x, [batch, down[0], across[0], channels]).permute(0, 3, 1, 2)
        taps = self.memory[filters].view(down[1], across[1], channels).permute(2, 0, 1).unsqueeze(1)
        shift = None if bias is None else self.memory[bias][:channels]
        stride, padding, dilation = zip(down[2:], across[2:], strict=True)
        y = F.conv2d(images, taps, shift, stride, padding, dilation, channels)
        y = ACTIVATIONS[activation, algorithm](y, *map(float, numbers)).permute(0, 2, 3, 1)
        self.view(result, list(y.shape), write=True).copy_(y)

    def convolution(
        self, batch: int, channels: int, filters: int, down: list[int], across: list[int], x: Any,
        panels: int, bias: int | None, other: Any, result: Any, activation: str, numbers: list[Any],
        algorithm: str,
    ) -> None:  # fmt: skip
        images = self.view(x, [batch, down[0], across[0], channels]).permute(0, 3, 1, 2)
        count, depth = -(-filters // 16), down[1] * across[1] * channels
        weight = self.memory[panels][: count * depth * 16].view(count, depth, 16)
        weight = weight.permute(0, 2, 1).reshape(count * 16, down[1], across[1], channels)[:filters]
        shift = None if bias is None else self.memory[bias][:filters]
        stride, padding, dilation = zip(down[2:], across[2:], strict=True)
        y = F.conv2d(images, weight.permute(0, 3, 1, 2), shift, stride, padding, dilation)
        y = y.permute(0, 2, 3, 1)
        if other is not None:
            y = y + self.view(other, list(y.shape))
        y = ACTIVATIONS[activation, algorithm](y, *map(float, numbers))
        self.view(result, list(y.shape), write=True).copy_(y)

    def winograd(
        self, batch: int, channels: int, filters: int, side: int, down: list[int], across: list[int], x: Any,
        panels: int, bias: int | None, other: Any, result: Any, activation: str, numbers: list[Any],
        algorithm: str,
    ) -> None:  # fmt: skip
        images = self.view(x, [batch, down[0], across[0], channels]).permute(0, 3, 1, 2)
        points, count = (side + 2) ** 2, -(-filters // 16)
        values = self.memory[panels][: points * count * channels * 16].view(points, count, channels, 16)
        values = values.permute(1, 3, 2, 0).reshape(count * 16 * channels, points)
        # The filters of which these are the values: what the kernel makes of each tap alone tells.
        taps = torch.eye(9).view(9, 1, 3, 3)
        each = torch.ops.hypatia.winograd_filters(taps, side)[:, 0, 0, :9]
        weight = torch.linalg.lstsq(each.double(), values.T.double()).solution.T.float()
        weight = weight.reshape(count * 16, channels, 3, 3)[:filters]
        shift = None if bias is None else self.memory[bias][:filters]
        y = F.conv2d(images, weight, shift, padding=(down[1], across[1])).permute(0, 2, 3, 1)
        if other is not None:
            y = y + self.view(other, list(y.shape))
        y = ACTIVATIONS[activation, algorithm](y, *map(float, numbers))
        self.view(result, list(y.shape), write=True).copy_(y)

    def recurrence(
        self, cell: str, steps: int, batch: int, units: int, inputs: Any, panels: int, bias: int | None,
        state: Any, memory: Any, reverse: bool, result: Any,
    ) -> None:  # fmt: skip
        gates = {"lstm": 4, "gru": 3}.get(cell, 1)
        blocks = -(-units // 16)
        columns = blocks * gates * 16
        weight = self.memory[panels][: columns * units].view(-1, units, 16).permute(0, 2, 1)

        def by_gate(x: torch.Tensor) -> list[torch.Tensor]:
            apart = x.reshape(-1, blocks, gates, 16).permute(2, 0, 1, 3).reshape(gates, -1, blocks * 16)
            return list(apart[..., :units])

        x = self.view(inputs, [steps, batch, columns])
        shift = torch.zeros(columns) if bias is None else self.memory[bias][:columns]
        h = self.view(state, [batch, units])
        c = torch.empty(0) if memory is None else self.view(memory, [batch, units])
        states = [h] * steps
        for step in reversed(range(steps)) if reverse else range(steps):
            given, kept = by_gate(x[step]), by_gate(h @ weight.reshape(columns, units).T + shift)
            if cell == "gru":
                r, z = (torch.sigmoid(given[i] + kept[i]) for i in (0, 1))
                h = (1 - z) * torch.tanh(given[2] + r * kept[2]) + z * h
            elif cell == "lstm":
                i, f, g, o = (a + b for a, b in zip(given, kept, strict=True))
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            else:
                h = getattr(torch, cell)(given[0] + kept[0])
            states[step] = h
        if memory is not None:
            states.append(c)
        self.view(result, [len(states), batch, units], write=True).copy_(torch.stack(states))

    def matmul(
        self, batch: list[int], rows: int, columns: int, depth: int, a: Any, b: Any, result: Any
    ) -> None:
        y = self.view(a, [*batch, rows, depth]) @ self.view(b, [*batch, depth, columns])
        self.view(result, [*batch, rows, columns], write=True).copy_(y)

    def gather(self, outer: list[int], count: int, width: int, table: Any, indices: Any, result: Any) -> None:
        asked = self.view(indices, outer)
        if ((asked < 0) | (asked >= count)).any():
            raise IndexError("index out of range in self")
        self.view(result, [*outer, width], write=True).copy_(self.view(table, [count, width])[asked])

    def bilinear(
        self, table: dict[str, Any], rows: int, channels: int, x: Any, y: Any, weight: Any, result: Any
    ) -> None:
        (n, m, p), count = table["widths"], table["weights"]
        a, b = self.view(x, [rows, n]), self.view(y, [rows, m])
        w = None if weight is None else self.view(weight, [channels, count])
        made = torch.zeros(rows, p, dtype=torch.float64)
        for i, j, k, c, g in table["terms"]:
            factor = 1.0 if w is None else w[:, g].repeat(rows // channels).double()
            made[:, k] += c * a[:, i].double() * b[:, j].double() * factor
        self.view(result, [rows, p], write=True).copy_(made)

    def bilinear_weights(
        self, table: dict[str, Any], rows: int, channels: int, x: Any, y: Any, gradient: Any, result: Any
    ) -> None:
        (n, m, p), count = table["widths"], table["weights"]
        a, b, h = self.view(x, [rows, n]), self.view(y, [rows, m]), self.view(gradient, [rows, p])
        made = torch.zeros(channels, count, dtype=torch.float64)
        for i, j, k, c, g in table["terms"]:
            of_rows = c * a[:, i].double() * b[:, j].double() * h[:, k].double()
            made[:, g] += of_rows.view(-1, channels).sum(0)
        self.view(result, [channels, count], write=True).copy_(made)

    def _mixing(self, table: dict[str, Any]) -> torch.Tensor:
        dense = torch.zeros(table["widths"], dtype=torch.float64)
        for a, j, i, c in table["terms"]:
            dense[a, j, i] += c
        return dense

    def channel_map(
        self, table: dict[str, Any], rows: int, channels: list[int], x: Any, weight: Any, result: Any
    ) -> None:
        (outs, ins), (count, places, results) = channels, table["widths"]
        a = self.view(x, [rows, ins * places]).view(rows, ins, places).double()
        w = self.view(weight, [outs, ins, count]).double()
        made = torch.einsum("oca,aji,bcj->boi", w, self._mixing(table), a)
        self.view(result, [rows, outs * results], write=True).copy_(made.flatten(1))

    def channel_map_weights(
        self, table: dict[str, Any], rows: int, channels: list[int], x: Any, gradient: Any, result: Any
    ) -> None:
        (outs, ins), (count, places, results) = channels, table["widths"]
        a = self.view(x, [rows, ins * places]).view(rows, ins, places).double()
        g = self.view(gradient, [rows, outs * results]).view(rows, outs, results).double()
        made = torch.einsum("bcj,aji,boi->oca", a, self._mixing(table), g)
        self.view(result, [outs, ins, count], write=True).copy_(made)

    def rows_by_matrix(
        self, rows: int, depth: int, columns: int, x: Any, matrix: Any, result: Any, squares: Any
    ) -> None:
        a = self.view(x, [rows, depth]).double()
        self.view(result, [rows, columns], write=True).copy_(a @ self.view(matrix, [depth, columns]).double())
        if squares is not None:
            self.view(squares, [1], write=True).copy_(a.square().sum())

    def inner_product(self, count: int, x: Any, y: Any, result: Any) -> None:
        a, b = (self.view(vector, [count]).double() for vector in (x, y))
        self.view(result, [1], write=True).copy_(a @ b)

    def signed_sums(
        self, places: int, results: int, scale: float, terms: list[Any], rows: int, length: int, x: Any,
        constant: Any, result: Any,
    ) -> None:  # fmt: skip
        a = self.view(x, [rows, places, length]).double()
        made = torch.zeros(rows, results, length, dtype=torch.float64)
        for j, k, sign in terms:
            made[:, k] += scale * sign * a[:, j]
        if constant is not None:
            made += self.view(constant, [results, length])
        self.view(result, [rows, results, length], write=True).copy_(made)
