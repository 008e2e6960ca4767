"""All that a task knows about one key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.operators.aggregate import AggregateCall, new_aggregate
from penstock.operators.context import Context
from penstock.operators.record import Raw
from penstock.operators.slots import Blank, Slots
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.watermark import NEVER

if TYPE_CHECKING:
    from penstock.operators.groups import Groups

Cells = tuple[Any, ...]
Counts = Counter[tuple[str, ...]]
"""Monotone counts of what happened, by (what, which)."""


class Moment:
    """What an expression can know about the event being fed besides the event itself. Built only where one asks.

    `generation` tells how often the record's topic was made anew. `tables` show what is known of their rows when one asks.
    `tenant` is that of its key, once the event was taken in.
    """

    __slots__ = ("generation", "key", "labels", "record", "source", "tables", "time")
    tenant: str | None = None

    def __init__(
        self,
        key: str,
        source: str,
        record: Raw,
        time: int,
        labels: Mapping[str, str],
        generation: int = 0,
        tables: Tables = NO_TABLES,
    ) -> None:
        self.key, self.source, self.record, self.time, self.labels = key, source, record, time, labels
        self.generation, self.tables = generation, tables

    def of_tenant(self, tenant: str | None) -> Moment:
        """The same of a key whose tenant is this."""
        if tenant is None:
            return self
        moment = TenantMoment(self.key, self.source, self.record, self.time, self.labels, self.generation, self.tables)
        moment.tenant = tenant
        return moment


class TenantMoment(Moment):
    """A moment of a key whose tenant is known. Only pipelines that tell tenants pay for it."""

    __slots__ = ("tenant",)


class KeyState:
    """One key's memory.

    `now` is N of the key: the largest time among its kept events and the watermark; it never goes back (ms).
    `last` is what N was after its last event.
    `event` and `moment` are those of the last event that a trigger looked at, or of the last one where time can make a
    condition read it.
    `slots` are its aggregates and `cells` its triggers' memories (None: nothing to remember), both in the plan's order. Both may
    be those of other keys, too: `own_slots`, `renew` and `remember` change them.
    `fresh`: no trigger has looked at it since it was made or restored. `resting`: none need look before an aggregate takes
    an event.
    `counters` are its task's.
    `armed`: when its timer comes up (ms); None: it has none.
    `deadline` is the next N, `watermark_deadline` the next watermark, at which a trigger wants to look, be it at a group; or one
    before it, at which none does any more.
    """

    __slots__ = (
        "armed", "cells", "context", "counters", "deadline", "event", "fresh", "last", "moment", "name", "now", "resting",
        "slots", "watermark_deadline",
    )  # fmt: skip
    group: str | None = None
    """Whose name this is, of a group; None: it is a key."""
    groups: Groups | None = None
    """Of a key some of whose triggers see it in groups."""

    def __init__(self, name: str, context: Context, slots: Slots, cells: Cells, counters: Counts) -> None:
        self.name = name
        self.counters = counters
        self.now = self.last = NEVER
        self.context = context
        self.slots = slots
        self.cells = cells
        self.event: Any = None
        self.fresh = True
        self.resting = False
        self.moment: Moment | None = None
        self.armed: int | None = None
        self.deadline: int | None = None
        self.watermark_deadline: int | None = None

    def wait_until(self, at: int, *, by_watermark: bool) -> None:
        """A trigger wants to look at this instant, at the latest."""
        if by_watermark:
            if self.watermark_deadline is None or at < self.watermark_deadline:
                self.watermark_deadline = at
        elif self.deadline is None or at < self.deadline:
            self.deadline = at

    def own_slots(self) -> Slots:
        """Its aggregates, which from now on no other key has."""
        slots = self.slots
        if type(slots) is Blank:
            slots = self.slots = slots.made()
        return slots

    def renew(self, slot: int, call: AggregateCall) -> None:
        """An aggregate begins anew."""
        slots = self.slots
        if type(slots) is not Blank:
            self.slots = (*slots[:slot], new_aggregate(call), *slots[slot + 1 :])

    def remember(self, place: int, cell: Any) -> None:
        """What a trigger knows now."""
        cells = self.cells
        self.cells = (cell,) if len(cells) == 1 else (*cells[:place], cell, *cells[place + 1 :])


class Group(KeyState):
    """A part of a key that the triggers of one grouping see as if it were the whole. Name, context and N are the key's.

    `now` is as of the last time that it was looked at, `last` as of the last event that an aggregate took. `grouping` is the
    place of its grouping in the plan.
    """

    __slots__ = ("group", "grouping")

    def __init__(self, key: KeyState, grouping: int, group: str, slots: Slots, cells: Cells) -> None:
        super().__init__(key.name, key.context, slots, cells, key.counters)
        self.now = key.now
        self.grouping = grouping
        self.group = group

    @property
    def part(self) -> str:
        """The value that its grouping has for it."""
        assert self.group is not None, "it was made with one"
        return self.group

    @property
    def place(self) -> tuple[str, int]:
        """Where its key finds it."""
        return self.part, self.grouping


class GroupedKey(KeyState):
    """A key of a plan with groupings."""

    __slots__ = ("groups",)

    def __init__(
        self, name: str, context: Context, slots: Slots, cells: Cells, counters: Counts, groups: Groups
    ) -> None:
        super().__init__(name, context, slots, cells, counters)
        self.groups = groups
