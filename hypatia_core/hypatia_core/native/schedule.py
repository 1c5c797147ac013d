"""Which steps a program has and in which order: what reads comes after what writes."""

from __future__ import annotations

import heapq

from hypatia_core.native.units import Group, Unit


class Schedule:
    """Units, and which has to come before which."""

    def __init__(self) -> None:
        self._units: dict[Unit, None] = {}
        self._made = 0

    def number(self) -> tuple[int, int]:
        """The serial number of a unit to be made, and its bit."""
        self._made += 1
        return self._made, 1 << self._made

    def add(self, unit: Unit) -> None:
        """Takes up a unit."""
        self._units[unit] = None

    def after(self, unit: Unit, earlier: Unit) -> None:
        """Has a unit come after another."""
        if unit is earlier:
            return
        unit.reads.add(earlier)
        earlier.is_read = True
        new = earlier.before | earlier.mask
        if new & ~unit.before:
            unit.before |= new
            if not unit.is_read:
                return
            for other in self._units:
                if other.before & unit.mask:
                    other.before |= unit.before

    def join(self, into: Group, other: Group) -> bool:
        """Makes two groups one, where neither needs the other by way of a third."""
        for early, late in ((into, other), (other, into)):
            between = {u.root() for u in late.reads} - {early, late}
            if any(u.before & early.mask or u is early for u in between):
                return False
        if not into.take(other):
            return False
        other.joined = into
        into.mask |= other.mask
        into.is_read |= other.is_read
        into.before = (into.before | other.before) & ~into.mask
        into.reads = {u.root() for u in into.reads | other.reads} - {into}
        del self._units[other]
        for unit in self._units:
            if unit.before & into.mask:
                unit.before |= into.before | into.mask
        return True

    def ordered(self) -> list[Unit]:
        """All units, each after what it reads, else in the order in which they were made."""
        order: list[Unit] = []
        left = {unit: {u.root() for u in unit.reads} - {unit} for unit in self._units}
        users: dict[Unit, list[Unit]] = {}
        for unit, reads in left.items():
            for read in reads:
                users.setdefault(read, []).append(unit)
        place = {unit.serial: unit for unit in self._units}
        ready = [unit.serial for unit, reads in left.items() if not reads]
        heapq.heapify(ready)
        while ready:
            unit = place[heapq.heappop(ready)]
            order.append(unit)
            for user in users.get(unit, ()):
                left[user].discard(unit)
                if not left[user]:
                    heapq.heappush(ready, user.serial)
        assert len(order) == len(self._units), "units that wait for each other"
        return order
