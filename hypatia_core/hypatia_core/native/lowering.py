"""Writes nodes of a graph as one program: values, where they lie, and which unit makes them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from hypatia_core.native.aliases import item_of, parts_along, root_of
from hypatia_core.native.apart import each_place, goes_by_place, made_apart, place_by_place, together
from hypatia_core.native.pointwise import Emitter, Row
from hypatia_core.native.reductions import Reduced
from hypatia_core.native.schedule import Schedule
from hypatia_core.native.units import (
    MOST_INSTRUCTIONS,
    MOST_LOADS,
    Cell,
    Group,
    Kernel,
    Register,
    Unit,
)
from hypatia_core.native.values import Apart, Constant, Held, Spread, Value
from hypatia_core.native.views import Buffer, Sizes, View, contiguous, is_dense
from hypatia_core.native.written import Result, UnlowerableError, Written

#: Element types that a program knows.
KINDS: dict[torch.dtype, str] = {torch.float32: "float32", torch.bool: "bool", torch.int64: "int64"}
DTYPES = {kind: dtype for dtype, kind in KINDS.items()}
#: A row is kept whole while it is reduced: no longer one, and of few rows no longer ones than …
LONGEST_ROW = 1 << 16
#: … so many elements are fused with what makes them, since rows are what threads divide.
LEAST_ROWS, SHORT = 8, 1 << 14
#: Of a last axis of so many places each may be a value of its own.
MOST_APART = 16


class Lowering:
    """One program: nodes are added in their order, then it is written."""

    def __init__(self, exports: Sequence[fx.Node]) -> None:
        self._exports = list(exports)
        self._roots = {root_of(node): node for node in self._exports}
        self._values: dict[fx.Node, Any] = {}
        self._schedule = Schedule()
        self._cells: list[Cell] = []
        self._arguments: dict[fx.Node, Buffer] = {}
        self._writers: dict[Buffer, set[Unit]] = {}
        self._packed: dict[Any, View] = {}
        #: Where views begin whose places were read each by itself.
        self.taken_apart: set[tuple[Buffer, int]] = set()

    # What rows of the tables ask.

    def value(self, node: Any) -> Value:
        """What a node is; one that comes from outside is an argument from now on."""
        if not isinstance(node, fx.Node):
            raise TypeError(f"{node!r} is no node")
        found = self._values.get(node)
        if found is None:
            fake = node.meta["val"]
            kind = KINDS[fake.dtype]
            sizes, strides = tuple(fake.shape), tuple(fake.stride())
            extent = 1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
            buffer = self._arguments[node] = Buffer(extent, kind, "argument")
            found = self._values[node] = View(buffer, 0, sizes, strides)
        return found

    def values(self, node: fx.Node) -> list[Value]:
        """Of a node with several results, each."""
        found: list[Value] = self._values[node]
        return found

    def known(self, node: fx.Node) -> Any:
        """What a node is, if it was met; else None."""
        return self._values.get(node)

    def kind_of(self, fake: torch.Tensor) -> str:
        """What a program calls a tensor's type of element."""
        return KINDS[fake.dtype]

    def define(self, node: fx.Node, value: Value | list[Value]) -> None:
        """Says what a node is."""
        self._values[node] = value

    def view(self, value: Value) -> View:
        """Where a value lies; it is stored, or copied, if it did not so far."""
        if isinstance(value, View):
            return value
        if isinstance(value, Spread):
            return self.view(value.value).expanded(value.sizes)
        if isinstance(value, Apart):
            return together(self, value)
        if isinstance(value, Constant):
            value = self._constant(value)
        home = self._home(value.cell)
        found = home.shaped(value.sizes)
        if found is not None:
            return found
        cell = self._copied(home)
        again = self._home(cell).shaped(value.sizes)
        assert again is not None  # it lies one after the other
        return again

    def shaped(self, value: Value, sizes: Sizes) -> Value:
        """The same elements in their order under other sizes, by a copy where there is no other way."""
        if isinstance(value, Constant):
            return Constant(value.number, sizes, value.kind)
        if isinstance(value, Held):
            return Held(value.cell, sizes)
        if isinstance(value, Apart) and sizes[-1:] == value.sizes[-1:]:
            parts = tuple(self.shaped(part, sizes[:-1]) for part in value.parts)
            return Apart(parts, sizes, value.kind, same=value)
        view = self.view(value)
        found = view.shaped(sizes)
        return Held(self._copied(view), sizes) if found is None else found

    def packed(self, value: Value, sizes: Sizes, rows: int = 1) -> View:
        """A value under sizes of which the last so many dimensions lie one after the other; else a copy."""
        shaped = self.view(self.shaped(value, sizes))
        tail = contiguous(sizes[len(sizes) - rows :])
        own = shaped.strides[len(sizes) - rows :]
        if all(n == 1 or s == t for n, s, t in zip(sizes[-rows:], own, tail, strict=True)):
            steps = (*shaped.strides[: len(sizes) - rows], *tail)
            return View(shaped.buffer, shaped.offset, sizes, steps)
        key = (id(shaped.buffer), shaped.offset, sizes, shaped.strides)
        if key not in self._packed:
            found = self._home(self._copied(shaped)).shaped(sizes)
            assert found is not None
            self._packed[key] = View(found.buffer, found.offset, sizes, contiguous(sizes))
        return self._packed[key]

    def whole(self, value: Value, elements: int, node: fx.Node) -> Buffer:
        """The buffer of a value that fills it from its first element on."""
        view = self.view(value)
        flat = view.shaped((elements,))
        if flat is None or view.offset or (elements > 1 and flat.strides != (1,)):
            raise UnlowerableError(node, "an operand lies otherwise")
        return view.buffer

    def kernel(
        self,
        node: fx.Node | None,
        sizes: Sizes,
        reads: Sequence[View | Buffer | None],
        made: type[Kernel] = Kernel,
        order: Sequence[int] | None = None,
    ) -> tuple[Any, Cell]:
        """A unit with a kernel of its own, and the cell of its result; its fields are still to be given.

        `order` is that of the node's dimensions in which the kernel writes them.
        """
        unit = made(*self._schedule.number())
        for read in reads:
            if read is not None:
                self.depend(unit, read)
        self._schedule.add(unit)
        cell = self.cell(sizes, "float32", unit, None, node if order is None else None)
        if order is not None:
            self._in_order(cell, node, order)
        return unit, cell

    def _in_order(self, cell: Cell, node: fx.Node | None, order: Sequence[int]) -> None:
        """Says how a node's value in this order of its dimensions lies, where the caller gets it."""
        wanted = None if node is None else self._roots.get(node)
        if wanted is not None and wanted.meta["val"].dim() == len(order):
            fake = wanted.meta["val"]
            cell.export = tuple(fake.shape[i] for i in order), tuple(fake.stride(i) for i in order)

    def rename(self, cell: Cell, node: fx.Node) -> None:
        """Has a cell be another node's value, for which its unit makes it now."""
        again = self.cell(cell.sizes, cell.kind, cell.unit, cell.register, node)
        self._cells.remove(again)
        cell.export = again.export

    def home(self, cell: Cell) -> View:
        """Where a cell lies, under its own sizes."""
        found = self._home(cell).shaped(cell.sizes)
        assert found is not None
        return found

    def turned(self, value: Value, order: Sequence[int]) -> Value:
        """Dimensions in another order."""
        if isinstance(value, Constant):
            return Constant(value.number, tuple(value.sizes[i] for i in order), value.kind)
        kept = [i for i in order if value.sizes[i] != 1]
        if kept == sorted(kept) and isinstance(value, Held):
            return Held(value.cell, tuple(value.sizes[i] for i in order))
        return self.view(value).permuted(order)

    def depend(self, unit: Kernel, read: View | Buffer) -> None:
        """Has a kernel's unit come after what writes what it reads."""
        buffer = read.buffer if isinstance(read, View) else read
        unit.operands.append(buffer)
        for writer in self._writers.get(buffer, ()):
            self._schedule.after(unit, writer.root())

    def follows(self, unit: Unit, read: View) -> bool:
        """Whether what writes this depends on the unit, or is it."""
        writers = {writer.root() for writer in self._writers.get(read.buffer, ())}
        return any(unit is writer or writer.before & unit.mask for writer in writers)

    def part(self, node: fx.Node | Value, axis: int, start: int, count: int, step: int = 1) -> Value:
        """Every so-manieth position of a node, or of a value, along an axis, from one on.

        Where parts are all that is read of what instructions of elements make, each part is made where it is
        read: the whole would be written to memory and read back.
        """
        value = self.value(node) if isinstance(node, fx.Node) else node
        if isinstance(value, Apart) and axis == len(value.sizes) - 1:
            parts = value.parts[start : start + count * step : step]
            if count > 1:
                return Apart(parts, (*value.sizes[:-1], count), value.kind)
            return self.shaped(parts[0], (*value.sizes[:-1], 1))
        if isinstance(value, Constant):
            sizes = (*value.sizes[:axis], count, *value.sizes[axis + 1 :])
            return Constant(value.number, sizes, value.kind)
        if isinstance(value, Held) and isinstance(node, fx.Node) and parts_along(node) == axis:
            made = made_apart(self, node, value, lambda view: view.sliced(axis, start, count, step))
            if made is not None:
                return made
        return self.view(value).sliced(axis, start, count, step)

    # Elements.

    def pointwise(self, node: fx.Node, row: Row) -> None:
        """An operation of elements."""
        nodes = [x for x in (*node.args, *node.kwargs.values()) if isinstance(x, fx.Node)]

        def write(emitter: Emitter, registers: dict[Any, Register]) -> Register:
            args = [registers[x] if isinstance(x, fx.Node) else x for x in node.args]
            kwargs = {k: registers[x] if isinstance(x, fx.Node) else x for k, x in node.kwargs.items()}
            return row(emitter, *args, **kwargs)

        self.define(node, self.elements(node, {x: self.value(x) for x in nodes}, write))

    def elements(
        self,
        node: fx.Node,
        given: dict[Any, Value],
        write: Callable[[Emitter, dict[Any, Register]], Register],
    ) -> Value:
        """What instructions over values, broadcast to the node's sizes, make."""
        sizes = tuple(node.meta["val"].shape)
        if goes_by_place(self, sizes, given.values()):
            return place_by_place(self, node, given, write)
        return self.elements_of(node, sizes, given, write)

    def elements_of(
        self,
        node: fx.Node,
        sizes: Sizes,
        given: dict[Any, Value],
        write: Callable[[Emitter, dict[Any, Register]], Register],
        order: Sequence[int] | None = None,
    ) -> Value:
        """What instructions make of all of a node, in an order of its dimensions, or of one of its places."""
        values = {x: self._within(value) for x, value in given.items()}
        group = self._joined(sizes, list(values.values()))
        registers = None
        if group is not None:
            registers = self._registers(group, sizes, values)
        if registers is None:
            group = self.group(sizes)
            registers = self._registers(group, sizes, values)
        assert registers is not None and group is not None
        made = write(Emitter(group), registers)
        kind = KINDS[node.meta["val"].dtype]
        own = node if order is None and sizes == tuple(node.meta["val"].shape) else None
        cell = self.cell(sizes, kind, group, made, own)
        if order is not None:
            self._in_order(cell, node, order)
        return Held(cell, sizes)

    def _within(self, value: Value) -> Value:
        """What a value repeats; operations of elements repeat it themselves."""
        return value.value if isinstance(value, Spread) else value

    def _joined(self, sizes: Sizes, values: list[Value]) -> Group | None:
        """The group that an operation's operands are in, joined if they are several; None where none is."""
        found: list[Group] = []
        for value in values:
            if isinstance(value, Held) and isinstance(value.cell.unit.root(), Group):
                group = value.cell.unit.root()
                assert isinstance(group, Group)
                if group not in found and group.holds(math.prod(sizes)) is not None:
                    found.append(group)
        found = [g for g in found if g.instructions < MOST_INSTRUCTIONS and len(g.places()) < MOST_LOADS]
        if not found:
            return None
        first, *others = sorted(found, key=lambda g: g.serial, reverse=True)
        for other in others:
            self._schedule.join(first, other)
        return first

    def _registers(self, group: Group, sizes: Sizes, values: dict[Any, Value]) -> dict[Any, Register] | None:
        """Operands as registers of a group, broadcast to sizes; None where they cannot be."""
        place = group.holds(math.prod(sizes))
        if place is None:
            return None
        registers: dict[Any, Register] = {}
        loads: list[tuple[Any, View]] = []
        for node, value in values.items():
            if isinstance(value, Constant):
                registers[node] = group.call("const", numbers=(value.number,))
            elif isinstance(value, Held) and _is_register(value, group, sizes, place):
                assert value.cell.register is not None
                registers[node] = value.cell.register
            else:
                loads.append((node, self.view(value).expanded(sizes)))
        if any(self.follows(group, view) for _, view in loads):
            return None
        found = group.fit([(view, place) for _, view in loads])
        if found is None:
            return None
        for (node, _), view in zip(loads, found, strict=True):
            self.reads(group, view)
            registers[node] = group.load(view)
        return registers

    # Rows.

    def reduce(self, node: fx.Node, reduced: Reduced, several: bool) -> None:
        """An operation over rows."""
        x = self.value(reduced.full[0])
        sizes = x.sizes
        axes = reduced.axes
        kept = tuple(i for i in range(len(sizes)) if i not in axes)
        n = math.prod(sizes[i] for i in axes)
        trails = all(sizes[i] == 1 for i in kept if axes and i > axes[0])
        values = {operand: self.value(operand) for operand in reduced.full}
        if not trails:
            values = {o: self.view(v).permuted((*kept, *axes)) for o, v in values.items()}
            sizes = tuple(sizes[i] for i in (*kept, *axes))
        rows = math.prod(sizes) // n
        group = None
        if rows >= LEAST_ROWS or n <= SHORT:
            group = self._joined(sizes, list(values.values()))
            if group is not None and (group.elements != math.prod(sizes) or not group.reduce(n)):
                group = None
        registers = None if group is None else self._along(group, sizes, values, reduced, n)
        if registers is None:
            group = self.group(sizes)
            if not group.reduce(n):
                raise UnlowerableError(node, "its rows cannot be laid out")
            registers = self._along(group, sizes, values, reduced, n)
            if registers is None:
                raise UnlowerableError(node, "its rows cannot be laid out")
        assert group is not None
        full, along = registers
        made = reduced.write(Emitter(group), full, along, n)
        fakes = node.meta["val"] if several else (node.meta["val"],)
        found: list[Value] = []
        for i, (register, fake) in enumerate(zip(made, fakes, strict=False)):
            own = tuple(fake.shape)
            owner = node if not several else item_of(node, i)
            found.append(Held(self.cell(own, KINDS[fake.dtype], group, register, owner), own))
        self.define(node, found if several else found[0])

    def _along(
        self, group: Group, sizes: Sizes, values: dict[fx.Node, Value], reduced: Reduced, n: int
    ) -> tuple[list[Register], list[Register | None]] | None:
        """The operands of full size, and those that lie along the row."""
        registers = self._registers(group, sizes, values)
        if registers is None:
            return None
        for operand in {x: None for x in reduced.along if x is not None}:
            own = self.value(operand)
            flat = self.view(self.shaped(own, (math.prod(own.sizes),)))
            steps = (*(0,) * (len(group.domain) - 1), *flat.strides)
            view = View(flat.buffer, flat.offset, group.domain, steps)
            if self.follows(group, view):
                return None
            self.reads(group, view)
            registers[operand] = group.load(view)
        return [registers[x] for x in reduced.full], [
            None if x is None else registers[x] for x in reduced.along
        ]

    # Memory.

    def spread(self, value: Value, sizes: Sizes) -> Value:
        """A value broadcast to sizes."""
        if isinstance(value, Constant):
            return Constant(value.number, sizes, value.kind)
        if isinstance(value, Apart):
            value = self.view(value)
        if isinstance(value, View):
            return value.expanded(sizes)
        inner = value.value if isinstance(value, Spread) else value
        if math.prod(sizes) == math.prod(inner.sizes):
            return Held(inner.cell, sizes)
        padded = (1,) * (len(sizes) - len(inner.sizes)) + inner.sizes
        return Spread(Held(inner.cell, padded), sizes)

    def concatenate(
        self, node: fx.Node, operands: Sequence[fx.Node], axis: int, stacked: bool = False
    ) -> None:
        """Several values in one buffer, each stored at its place by what makes it, or copied there."""
        fake = node.meta["val"]
        sizes, kind = tuple(fake.shape), KINDS[fake.dtype]
        values = [self.value(operand) for operand in operands]
        few = axis == len(sizes) - 1 and 1 < sizes[-1] <= MOST_APART
        # What follows is done place by place, where one place has an operand of its own already.
        if few and (stacked or any(value.sizes[-1] == 1 for value in values)):
            lists = [[self.value(x)] if stacked else each_place(self, x) for x in operands]
            self.define(node, Apart(tuple(itertools.chain(*lists)), sizes, kind, node))
            return
        if stacked:
            values = [self.shaped(value, (*value.sizes[:axis], 1, *value.sizes[axis:])) for value in values]
        self.define(node, self.laid(values, axis, sizes, kind, node))

    def laid(self, values: Sequence[Value], axis: int, sizes: Sizes, kind: str, node: fx.Node | None) -> View:
        """Values in one buffer, side by side along an axis."""
        starts = itertools.accumulate((value.sizes[axis] for value in values), initial=0)
        parts = [(value, {axis: start}) for value, start in zip(values, starts, strict=False)]
        whole, makers = self.composed(parts, sizes, kind, node)
        if whole.strides[axis] == 1 and len(makers) == sizes[axis]:
            self._interleave(makers)
        return whole

    def composed(
        self,
        parts: Sequence[tuple[Value, dict[int, int]]],
        sizes: Sizes,
        kind: str,
        node: fx.Node | None,
        order: Sequence[int] | None = None,
    ) -> tuple[View, list[Unit]]:
        """Values in one buffer, each from its places along axes on, in an order of the node's dimensions.

        And the units that write them.
        """
        cell = self.cell(sizes, kind, Unit(0, 0), None, node if order is None else None)
        if order is not None:
            self._in_order(cell, node, order)
        # A result may have other sizes than the concatenation that is returned through a view.
        whole = self._place(cell).shaped(sizes)
        if whole is None:
            whole = View(Buffer(cell.elements, cell.kind, "scratch"), 0, sizes, contiguous(sizes))
        cell.home = whole
        makers: list[Unit] = []
        for value, starts in parts:
            part = whole
            for axis, start in starts.items():
                part = part.sliced(axis, start, value.sizes[axis])
            if isinstance(value, Constant):
                value = self._constant(value)
            if isinstance(value, Held) and self._stores(value.cell, part):
                makers.append(value.cell.unit)
                continue
            makers.append(self._copy_to(value, part))
        return whole, makers

    def _interleave(self, makers: Sequence[Unit]) -> None:
        """Joins what makes the places that lie side by side: one step writes whole lines of memory."""
        first = makers[0].root()
        for maker in makers[1:]:
            other = maker.root()
            if first is other or not isinstance(first, Group) or not isinstance(other, Group):
                continue
            if not self._schedule.join(first, other):
                first = other

    def copied(self, value: Value) -> Held:
        """The value read again, to be stored elsewhere."""
        cell = self._copied(self.view(value))
        return Held(cell, value.sizes)

    def _copy_to(self, value: Value, place: View) -> Group:
        view = self.view(value)
        group = self.group(view.sizes)
        found = group.fit([(view, "full"), (place, "full")])
        if found is None:
            raise AssertionError("a new group fits what it was made for")
        self.reads(group, found[0])
        self._store(group, group.load(found[0]), found[1])
        return group

    def _constant(self, value: Constant) -> Held:
        group = self.group(value.sizes)
        register = group.call("const", numbers=(value.number,))
        return Held(self.cell(value.sizes, value.kind, group, register, None), value.sizes)

    def _copied(self, view: View) -> Cell:
        """A cell of what lies somewhere: a load."""
        group = self.group(view.sizes)
        found = group.fit([(view, "full")])
        assert found is not None
        self.reads(group, found[0])
        return self.cell(view.sizes, view.buffer.kind, group, group.load(found[0]), None)

    def _home(self, cell: Cell) -> View:
        """Where a cell lies, from now on at the latest."""
        if cell.home is None:
            place = self._place(cell)
            if not self._settle(cell, place):
                plain = Buffer(cell.elements, cell.kind, "scratch")
                settled = self._settle(cell, View(plain, 0, cell.sizes, contiguous(cell.sizes)))
                assert settled
        assert cell.home is not None
        return cell.home

    def _place(self, cell: Cell) -> View:
        """New memory for a cell: laid out as its result is to be, or one element after the other."""
        if cell.export is not None:
            sizes, strides = cell.export
            if is_dense(sizes, strides):
                return View(Buffer(cell.elements, cell.kind, "result"), 0, sizes, strides)
        steps = cell.layout or contiguous(cell.sizes)
        return View(Buffer(cell.elements, cell.kind, "scratch"), 0, cell.sizes, steps)

    def _settle(self, cell: Cell, place: View) -> bool:
        """Has a cell lie there, if its unit can write it so."""
        unit = cell.unit.root()
        if isinstance(unit, Group):
            assert cell.register is not None
            held = "full" if cell.elements == unit.elements else "row"
            found = unit.fit([(place, held)])
            if found is None:
                return False
            self._store(unit, cell.register, found[0])
        else:
            if place.shaped(cell.sizes) is None or not self._kernel_writes(cell, place):
                return False
            self._writers.setdefault(place.buffer, set()).add(unit)
        cell.home = place
        return True

    def _stores(self, cell: Cell, place: View) -> bool:
        """Has a cell's unit write it there, at once or once more; whether it does."""
        own = place.shaped(cell.sizes)
        if own is None:
            return False
        if cell.home is None and cell.export is None:
            return self._settle(cell, own)
        unit = cell.unit.root()
        if not isinstance(unit, Group) or cell.elements != unit.elements:
            return False
        found = unit.fit([(own, "full")])
        if found is None or cell.register is None:
            return False
        self._store(unit, cell.register, found[0])
        return True

    def _kernel_writes(self, cell: Cell, place: View) -> bool:
        """Kernels write rows whose elements lie one after the other."""
        shaped = place.shaped(cell.sizes)
        one = not cell.sizes or cell.sizes[-1] == 1
        return shaped is not None and (one or shaped.strides[-1] == 1)

    def _store(self, group: Group, register: Register, view: View) -> None:
        group.stores.append((register, view))
        self._writers.setdefault(view.buffer, set()).add(group)

    # Units.

    def group(self, sizes: Sizes) -> Group:
        """A new row program over these sizes."""
        domain = tuple(n for n in sizes if n != 1) or (1,)
        group = Group(*self._schedule.number(), domain=domain)
        self._schedule.add(group)
        return group

    def cell(
        self, sizes: Sizes, kind: str, unit: Unit, register: Register | None, node: fx.Node | None
    ) -> Cell:
        """A value that a unit makes, laid out as the node is, if it is one's."""
        export = layout = None
        if node is not None:
            fake = node.meta["val"]
            if tuple(fake.shape) == sizes and is_dense(sizes, fake.stride()):
                layout = tuple(fake.stride())
        wanted = None if node is None else self._roots.get(node)
        if wanted is not None:
            fake = wanted.meta["val"]
            export = tuple(fake.shape), tuple(fake.stride())
        cell = Cell(sizes, kind, unit, register, layout=layout, export=export)
        self._cells.append(cell)
        return cell

    def reads(self, group: Group, view: View) -> None:
        """Has a row program come after what writes what it reads."""
        for writer in self._writers.get(view.buffer, ()):
            self._schedule.after(group, writer.root())

    # The program.

    def written(self) -> Written:
        """The program, once all nodes are added."""
        given: list[tuple[fx.Node, View]] = []
        for node in self._exports:
            given.append((node, self._given(node, {view.buffer for _, view in given})))
        for cell in self._cells:
            if cell.home is None and isinstance(cell.unit.root(), Kernel):
                self._home(cell)
        units = self._needed(self._schedule.ordered())
        buffers = self._numbered(units, [view.buffer for _, view in given])
        data = {
            "buffers": [{"elements": b.elements, "kind": b.kind, "place": b.place} for b in buffers],
            "steps": [unit.written() for unit in units],
        }
        results = [
            Result(tuple(n.meta["val"].shape), tuple(n.meta["val"].stride()), n.meta["val"].dtype)
            for n, _ in given
        ]
        arguments = [node for node, buffer in self._arguments.items() if buffer.number >= 0]
        nodes = [node for node, _ in given]
        return Written(json.dumps(data, allow_nan=False), arguments, nodes, results, len(units))

    def _given(self, node: fx.Node, taken: set[Buffer]) -> View:
        """A result: memory of its own, with the strides that the graph's has."""
        fake = node.meta["val"]
        sizes, strides = tuple(fake.shape), tuple(fake.stride())
        value = self._values[node]
        if not is_dense(sizes, strides):
            raise UnlowerableError(node, "a result with gaps")
        if isinstance(value, Apart):
            value = self.view(value)
        if isinstance(value, Held) and value.cell.export is not None:
            home = self._home(value.cell)
            found = home.shaped(sizes)
            if home.buffer.place == "result" and home.buffer not in taken:
                if found is not None and _alike(found, sizes, strides):
                    return found
                home.buffer.place = "scratch"
        elif (
            isinstance(value, View)
            and value.buffer.place == "result"
            and value.buffer not in taken
            and _alike(value, sizes, strides)
        ):
            return value
        place = View(Buffer(math.prod(sizes), KINDS[fake.dtype], "result"), 0, sizes, strides)
        self._copy_to(value, place)
        return place

    def _needed(self, order: list[Unit]) -> list[Unit]:
        """Units without those, and without stores, that nobody reads."""
        read: set[Buffer] = set()
        kept: list[Unit] = []
        for unit in reversed(order):
            if isinstance(unit, Group):
                # What others read; its own stores may feed its loads, which then are registers.
                wanted = [
                    (r, view)
                    for r, view in unit.stores
                    if view.buffer.place == "result" or view.buffer in read
                ]
                if not wanted:
                    continue
                unit.needed = wanted
            read.update(unit.loaded())
            kept.append(unit)
        return kept[::-1]

    def _numbered(self, units: list[Unit], results: list[Buffer]) -> list[Buffer]:
        used: set[Buffer] = set(results)
        for unit in units:
            used.update(unit.loaded())
            if isinstance(unit, Group):
                used.update(view.buffer for _, view in unit.outputs)
        for cell in self._cells:
            if isinstance(cell.unit.root(), Kernel) and cell.home is not None:
                used.add(cell.home.buffer)
        arguments = [b for b in self._arguments.values() if b in used]
        scratch = [b for b in used if b.place == "scratch"]
        buffers = [*arguments, *results, *scratch]
        for i, buffer in enumerate(buffers):
            buffer.number = i
        return buffers


def _alike(view: View, sizes: Sizes, strides: Sizes) -> bool:
    if view.sizes != sizes or view.offset != 0:
        return False
    return all(n == 1 or a == b for n, a, b in zip(sizes, view.strides, strides, strict=True))


def _is_register(value: Held, group: Group, sizes: Sizes, place: str) -> bool:
    """Whether an operand of an operation of these sizes is in its place in a register of the group."""
    if value.cell.unit.root() is not group:
        return False
    held, elements = group.holds(value.cell.elements), math.prod(sizes)
    if math.prod(value.sizes) == elements:
        return held == place
    if held != "row" or place != "full":
        return False
    # A number for each row, repeated along it.
    own = (1,) * (len(sizes) - len(value.sizes)) + value.sizes
    row = 1
    for i in range(len(sizes) - 1, -1, -1):
        if row == group.domain[-1]:
            return own[: i + 1] == sizes[: i + 1]
        if own[i] != 1:
            return False
        row *= sizes[i]
    return row == group.domain[-1]
