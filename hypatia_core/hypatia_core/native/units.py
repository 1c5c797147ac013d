"""What a program is made of while it is written: row programs that grow by fusion, and kernels.

A *unit* becomes one step. A :class:`Group` is a row program over a *domain*: extents of which the last is
the row. Its registers are numbers for each element, or, once it reduces, for each row. Values that are not
asked for elsewhere never leave their group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypatia_core.native.views import Buffer, Sizes, View, refined, restrided

#: A group grows no further than to so many instructions, and operands from memory.
MOST_INSTRUCTIONS = 160
MOST_LOADS = 24


@dataclass(eq=False)
class Register:
    """A number for each element or row: a load, or what an instruction makes of other registers."""

    name: str
    operands: tuple[Register, ...] = ()
    numbers: tuple[float, ...] = ()
    #: Of a load: over the group's domain.
    view: View | None = None
    #: How many instructions, one after another, make it.
    depth: int = 0


def made_of(register: Register, most: int) -> list[Register] | None:
    """All that a register is made of and itself, operands first; None where that is more than so many."""
    order: dict[Register, None] = {}
    work = [register]
    while work:
        here = work[-1]
        missing = [operand for operand in here.operands if operand not in order]
        if missing:
            work += missing
        else:
            order[here] = None
            work.pop()
        if len(work) + len(order) > most:
            return None
    return list(order)


@dataclass(eq=False)
class Unit:
    """A step to be."""

    #: When it was made; and one bit of its own, of joined units all of theirs.
    serial: int
    mask: int
    #: Bits of all units that have to run before it.
    before: int = 0
    #: Which it reads.
    reads: set[Unit] = field(default_factory=set)
    #: Whether any reads it.
    is_read: bool = False
    joined: Unit | None = None

    def root(self) -> Unit:
        """The unit that it was joined to in the end."""
        unit = self
        while unit.joined is not None:
            unit = unit.joined
        return unit

    def written(self) -> dict[str, Any]:
        """As the machine reads it."""
        raise NotImplementedError

    def loaded(self) -> Iterable[Buffer]:
        """Buffers that it reads."""
        raise NotImplementedError


@dataclass(eq=False)
class Kernel(Unit):
    """A step by a kernel of its own."""

    #: Views and buffers among its fields are written as numbers.
    fields: Callable[[], dict[str, Any]] = dict
    operands: list[Buffer] = field(default_factory=list)

    def written(self) -> dict[str, Any]:
        """As the machine reads it."""

        def as_data(value: Any) -> Any:
            if isinstance(value, View):
                return value.written()
            return value.number if isinstance(value, Buffer) else value

        return {name: as_data(value) for name, value in self.fields().items()}

    def loaded(self) -> Iterable[Buffer]:
        """Buffers that it reads."""
        return self.operands


@dataclass(eq=False)
class Cell:
    """A value that a unit makes; `home` is where it lies, once anybody asks."""

    sizes: Sizes
    kind: str
    unit: Unit
    register: Register | None = None
    home: View | None = None
    #: Steps by which it lies best; and sizes and steps of the result that it is for the caller, if it is one.
    layout: Sizes | None = None
    export: tuple[Sizes, Sizes] | None = None

    @property
    def elements(self) -> int:
        """How many."""
        return math.prod(self.sizes)


@dataclass(eq=False)
class Group(Unit):
    """A row program."""

    domain: Sizes = (1,)
    #: The row's extent where it reduces; then it is the domain's last.
    row: int | None = None
    loads: list[Register] = field(default_factory=list)
    instructions: int = 0
    stores: list[tuple[Register, View]] = field(default_factory=list)
    #: Those of the stores that anybody needs, once that is known.
    needed: list[tuple[Register, View]] | None = None

    @property
    def elements(self) -> int:
        """Of the domain."""
        return math.prod(self.domain)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.elements // self.domain[-1]

    def places(self) -> set[tuple[Any, ...]]:
        """What it reads from memory, each once, however often it is loaded."""
        return {_place(load.view) for load in self.loads if load.view is not None}

    def holds(self, elements: int) -> str | None:
        """Whether so many elements are one for each of the domain ("full") or for each row ("row")."""
        if elements == self.elements:
            return "full"
        return "row" if self.row is not None and elements == self.rows else None

    def call(self, name: str, *operands: Register, numbers: Sequence[float] = ()) -> Register:
        """Adds an instruction."""
        self.instructions += 1
        depth = 1 + max((operand.depth for operand in operands), default=0)
        return Register(name, operands, tuple(numbers), depth=depth)

    def fit(self, views: Sequence[tuple[View, str]]) -> list[View] | None:
        """These views, each "full" or "row", over the domain, which is refined where need be; None if not.

        Nothing changes where it fails.
        """
        domain = self.domain
        for view, place in views:
            if _over(view, place, domain) is None:
                wanted = view.sizes if place == "full" else (*view.sizes, domain[-1])
                finer = self._refined(domain, wanted)
                if finer is None:
                    return None
                domain = finer
        found = [_over(view, place, domain) for view, place in views]
        if any(view is None for view in found) or not self.lay_over(domain):
            return None
        return found  # type: ignore[return-value]

    def _refined(self, domain: Sizes, sizes: Sizes) -> Sizes | None:
        finer = refined(domain, sizes)
        return finer if finer is None or self.row is None else with_row(finer, self.row)

    def reduce(self, row: int) -> bool:
        """Makes the last so many elements a row, if they can be."""
        if self.row is not None:
            return self.row == row
        finer = refined(self.domain, (self.elements // row, row))
        if finer is None or not self.lay_over(with_row(finer, row)):
            return False
        self.row = row
        return True

    def lay_over(self, domain: Sizes) -> bool:
        """Writes loads and stores over another domain, if that can be."""
        if domain == self.domain:
            return True
        loads = [_again(load.view, self.domain, domain) for load in self.loads]
        stores = [_again(view, self.domain, domain) for _, view in self.stores]
        if any(view is None for view in (*loads, *stores)):
            return False
        for load, view in zip(self.loads, loads, strict=True):
            load.view = view
        self.stores = [(r, view) for (r, _), view in zip(self.stores, stores, strict=True) if view]
        self.domain = domain
        return True

    def load(self, view: View) -> Register:
        """Adds a load of a view over the domain."""
        register = Register("load", view=view)
        self.loads.append(register)
        return register

    def take(self, other: Group) -> bool:
        """Takes in another group's code, if both fit over one domain. Their order is not looked at."""
        if self.elements != other.elements or (self.row or other.row) != (other.row or self.row):
            return False
        too_long = self.instructions + other.instructions > MOST_INSTRUCTIONS
        if too_long or len(self.places() | other.places()) > MOST_LOADS:
            return False
        row, finer = self.row or other.row, refined(self.domain, other.domain)
        if finer is None:
            return False
        domain = finer if row is None else with_row(finer, row)
        mine, theirs = self.domain, other.domain
        if not self.lay_over(domain):
            return False
        if not other.lay_over(domain):
            self.lay_over(mine)
            return False
        if not _meet(self, other) or not _meet(other, self):
            other.lay_over(theirs)
            self.lay_over(mine)
            return False
        self.row = row
        self.loads += other.loads
        self.stores += other.stores
        self.instructions += other.instructions
        return True

    def loaded(self) -> Iterable[Buffer]:
        """Buffers that it reads and does not make itself."""
        own = {_place(view) for _, view in self.stores}
        return [r.view.buffer for r in self._live() if r.view is not None and _place(r.view) not in own]

    @property
    def outputs(self) -> list[tuple[Register, View]]:
        """What it writes."""
        return self.stores if self.needed is None else self.needed

    def _live(self) -> list[Register]:
        """All registers that a store needs, operands first.

        Of an instruction's operands the one that waits longest comes first, so that few are held meanwhile.
        """
        stored = {_place(view): register for register, view in self.stores}
        order: list[Register] = []
        seen: set[Register] = set()
        work = [(register, False) for register, _ in reversed(self.outputs)]
        while work:
            register, done = work.pop()
            if done:
                order.append(register)
                continue
            if register in seen:
                continue
            seen.add(register)
            made = register.view is not None and stored.get(_place(register.view))
            operands = (made,) if made and made is not register else register.operands
            work.append((register, True))
            longest_first = sorted(operands, key=lambda one: -one.depth)
            work.extend((operand, False) for operand in reversed(longest_first))
        return order

    def written(self) -> dict[str, Any]:
        """As the machine reads it: equal loads and instructions once, those that nothing needs not at all."""
        stored = {_place(view): register for register, view in self.stores}
        numbers: dict[Register, int] = {}
        known: dict[Any, int] = {}
        loads: list[Any] = []
        code: list[Any] = []
        live = self._live()
        for register in live:
            if register.view is None or _place(register.view) in stored:
                continue
            key = _place(register.view)
            if key not in known:
                known[key] = len(loads)
                loads.append(register.view.written())
            numbers[register] = known[key]
        for register in live:
            if register.view is not None:
                if register not in numbers:
                    numbers[register] = numbers[stored[_place(register.view)]]
                continue
            of = [numbers[operand] for operand in register.operands]
            line = [register.name, *of, *map(_as_data, register.numbers)]
            text = (str(line),)
            if text not in known:
                known[text] = len(loads) + len(code)
                code.append(line)
            numbers[register] = known[text]
        stores = [{"register": numbers[r], "view": view.written()} for r, view in self.outputs]
        head = {"step": "rows", "outer": list(self.domain[:-1]), "row": self.domain[-1]}
        return {**head, "loads": loads, "code": code, "stores": stores}


def with_row(domain: Sizes, row: int) -> Sizes:
    """A domain whose last extents, which make a row together, are one."""
    split, extent = len(domain), 1
    while extent < row:
        split -= 1
        extent *= domain[split]
    return (*domain[:split], row)


def _over(view: View, place: str, domain: Sizes) -> View | None:
    if place == "full":
        return view.shaped(domain)
    outer = view.shaped(domain[:-1])
    return None if outer is None else View(view.buffer, view.offset, domain, (*outer.strides, 0))


def _again(view: View | None, was: Sizes, domain: Sizes) -> View | None:
    """A view over another domain."""
    assert view is not None
    strides = restrided(was, view.strides, domain)
    return None if strides is None else View(view.buffer, view.offset, domain, strides)


def _place(view: View) -> tuple[Any, ...]:
    steps = tuple(0 if n == 1 else s for n, s in zip(view.sizes, view.strides, strict=True))
    return id(view.buffer), view.offset, steps


def _meet(writer: Group, reader: Group) -> bool:
    """Whether all that one reads of what the other writes lies as it is written."""
    written = {_place(view) for _, view in writer.stores}
    buffers = {view.buffer for _, view in writer.stores}
    return all(
        load.view is None or load.view.buffer not in buffers or _place(load.view) in written
        for load in reader.loads
    )


def _as_data(number: float) -> float | str:
    """A number as JSON has it."""
    return number if math.isfinite(number) else str(float(number))
