"""Parts of values that are values of their own.

Slices are made where they are read, and places of a last axis, such as the blades of multivectors, are
computed each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import fx

from hypatia_core.native.pointwise import Emitter
from hypatia_core.native.units import Group, Register, made_of
from hypatia_core.native.values import Apart, Constant, Held, Spread, Value
from hypatia_core.native.views import Sizes, View

if TYPE_CHECKING:
    from hypatia_core.native.lowering import Lowering

#: A value of so many registers is rather made for each part than whole, to be read back in parts.
MOST_AGAIN = 12


def place_by_place(
    low: Lowering,
    node: fx.Node,
    given: dict[Any, Value],
    write: Callable[[Emitter, dict[Any, Register]], Register],
) -> Apart:
    """What instructions over values make, for each place along the last axis by itself."""
    fake = node.meta["val"]
    *batch, count = fake.shape
    of_places = {x: _places(low, x, value) for x, value in given.items()}
    parts = []
    for n in range(count):
        here = {x: own[n % len(own)] for x, own in of_places.items()}
        parts.append(low.elements_of(node, tuple(batch), here, write))
    return Apart(tuple(parts), (*batch, count), low.kind_of(fake), node)


def goes_by_place(low: Lowering, sizes: Sizes, values: Iterable[Value]) -> bool:
    """Whether what operations of elements read is best read by place: others of this size lie together."""
    whole = [value for value in values if _fills(value, sizes)]
    apart = [value for value in whole if isinstance(value, Apart)]
    if any(isinstance(part, Constant) for value in apart for part in value.parts):
        return True  # numbers that are known need not be written
    others = [value for value in whole if not isinstance(value, Apart)]
    taken = (isinstance(one, View) and (one.buffer, one.offset) in low.taken_apart for one in others)
    return bool(apart) and all(taken)


def _fills(value: Value, sizes: Sizes) -> bool:
    """Whether these are a value's sizes, but for axes of one place; a number everywhere has none."""
    own = [n for n in value.sizes if n != 1]
    return not isinstance(value, (Constant, Spread)) and own == [n for n in sizes if n != 1]


def take_apart(low: Lowering, view: View) -> list[View]:
    """A view's places along its last axis."""
    low.taken_apart.add((view.buffer, view.offset))
    last = len(view.sizes) - 1
    return [view.sliced(last, n, 1).without(last) for n in range(view.sizes[last])]


def each_place(low: Lowering, node: fx.Node) -> Sequence[Value]:
    """All places of a node along its last axis, each without it."""
    value = low.value(node)
    found = _places(low, node, value)
    return [*found] * (value.sizes[-1] // len(found))


def _places(low: Lowering, node: Any, value: Value) -> Sequence[Value]:
    """A value's places along its last axis, each without it; one where all are that."""
    if isinstance(value, Apart):
        return value.parts
    *batch, count = value.sizes or (1,)
    if isinstance(value, Constant) or count == 1:
        return [low.shaped(low.part(value, len(batch), 0, 1) if value.sizes else value, tuple(batch))]
    if isinstance(value, Held) and isinstance(node, fx.Node) and len(node.users) == 1:
        # Nobody else reads the whole, which need not be written.
        made = [one for n in range(count) if (one := _made_place(low, node, value, n)) is not None]
        if len(made) == count:
            return made
    return take_apart(low, low.view(value))


def _made_place(low: Lowering, node: fx.Node, value: Held, n: int) -> Held | None:
    return made_apart(low, node, value, lambda view: take_apart(low, view)[n])


def together(low: Lowering, value: Apart) -> View:
    """Where places that are values of their own lie together, from now on at the latest."""
    first = value.first
    if first.home is None:
        parts = [low.shaped(part, (*part.sizes, 1)) for part in first.parts]
        first.home = low.laid(parts, len(first.sizes) - 1, first.sizes, first.kind, first.node)
    # They may lie as the caller wants them, so that other sizes take a copy.
    found = first.home.shaped(value.sizes)
    return low.view(low.shaped(first.home, value.sizes)) if found is None else found


def made_apart(low: Lowering, node: fx.Node, value: Held, part: Callable[[View], View]) -> Held | None:
    """A part of what a group holds, by its instructions over parts of their operands; None if not."""
    cell, group = value.cell, value.cell.unit.root()
    if not isinstance(group, Group) or cell.home is not None or cell.export is not None:
        return None
    assert cell.register is not None
    tree = made_of(cell.register, MOST_AGAIN)
    if tree is None or group.row is not None or not _is_alone(low, node, group):
        return None
    loads: dict[Register, View] = {}
    for register in tree:
        if register.view is not None:
            whole = register.view.shaped(value.sizes)
            if whole is None:
                return None
            loads[register] = part(whole)
    if not loads:
        return None
    sizes = next(iter(loads.values())).sizes
    apart = low.group(sizes)
    found = apart.fit([(view, "full") for view in loads.values()])
    assert found is not None  # its domain has these very sizes
    again: dict[Register, Register] = {}
    for register, view in zip(loads, found, strict=True):
        low.reads(apart, view)
        again[register] = apart.load(view)
    for register in tree:
        if register in again:
            continue
        operands = [again[operand] for operand in register.operands]
        again[register] = apart.call(register.name, *operands, numbers=register.numbers)
    return Held(low.cell(sizes, cell.kind, apart, again[cell.register], None), sizes)


def _is_alone(low: Lowering, node: fx.Node, group: Group) -> bool:
    """Whether nothing else reads what a group makes on the way to a node."""
    work = list(node.all_input_nodes)
    while work:
        here = work.pop()
        value = low.known(here)
        if isinstance(value, Held) and value.cell.unit.root() is group:
            if len(here.users) != 1 or value.cell.home is not None:
                return False
            work += here.all_input_nodes
    return True
