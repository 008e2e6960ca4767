"""The groups of one key: who is there, and who wants to be looked at when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.operators.key_state import Cells, Group, KeyState
from penstock.operators.slots import Blank
from penstock.operators.timers import Timers
from penstock.operators.watermark import END_OF_TIME

Name = tuple[str, int]
"""(name of the group, place of its grouping): groups of equal instants come in this order."""


class Groups:
    """Finding one takes O(1), setting and taking a timer O(log groups): nothing that an event does goes over all of them.

    `blank`, while restoring: numbers of aggregates and last events (`GroupImages`) that are empty in all groups.
    `own_deadline` and `own_watermark_deadline` are those of the triggers that look at the whole key.
    """

    __slots__ = (
        "_groupings", "_groups", "blank", "own_deadline", "own_watermark_deadline", "timers", "watermark_timers",
    )  # fmt: skip

    def __init__(self, groupings: Sequence[tuple[Blank, Cells]]) -> None:
        """Of each grouping: what its groups begin with."""
        self._groupings = groupings
        self._groups: dict[Name, Group] = {}
        self.timers: Timers[Name] = Timers()
        self.watermark_timers: Timers[Name] = Timers()
        self.blank: frozenset[int] = frozenset()
        self.own_deadline: int | None = None
        self.own_watermark_deadline: int | None = None

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def find(self, name: Name) -> Group | None:
        return self._groups.get(name)

    def get_or_new(self, key: KeyState, name: Name) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = self.new(key, name)
        return group

    def new(self, key: KeyState, name: Name) -> Group:
        """One that is not among them."""
        blank, cells = self._groupings[name[1]]
        return Group(key, name[1], name[0], blank, cells)

    def add(self, group: Group) -> None:
        self._groups[group.place] = group

    def drop(self, group: Group) -> None:
        """Its timers stay where they are: whoever takes them finds nobody."""
        self._groups.pop(group.place, None)

    def own_deadlines_found(self, key: KeyState) -> None:
        """What the key says are those of the triggers that look at the whole of it."""
        self.own_deadline, self.own_watermark_deadline = key.deadline, key.watermark_deadline
        self.find_deadlines(key)

    def find_deadlines(self, key: KeyState) -> None:
        """The earliest of its own and of its groups'."""
        key.deadline = _earliest(self.own_deadline, self.timers.next)
        key.watermark_deadline = _earliest(self.own_watermark_deadline, self.watermark_timers.next)


def _earliest(own: int | None, timer: int) -> int | None:
    if timer == END_OF_TIME:
        return own
    return timer if own is None or timer < own else own
