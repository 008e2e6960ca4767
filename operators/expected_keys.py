"""Keys that are expected to speak because a table has a row of them (`absence` with `expect`), besides those that have spoken.

    first watermark   ───────▲ every row that is there begins a watch: at its timestamp, or here if that is earlier
    row comes                          ├───── watch
    new version                            ·  changes nothing
    tombstone                                        ┤ ends it, and the episode that it opened

Only rows of the task's own partition count: the table is partitioned as the sources are, so these are the keys of this task.
A key that never spoke is not forgotten while it is expected: it has no last event that its time could run from. Where the trigger
sees some sources only, it is the key's one group of these that is expected to speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from penstock.operators.grouping import ONLY
from penstock.operators.groups import Name
from penstock.operators.key_state import Counts, Group, KeyState, Moment
from penstock.operators.keys import KEYS_AT_ONCE, Keys, OnEnd, Takeover
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.table import Table
from penstock.operators.table_rows import Row
from penstock.operators.tables import TaskTables
from penstock.operators.trigger_absence import Absence, AbsenceCell
from penstock.operators.unsaved import Unsaved
from penstock.operators.watch import OnTransition, Watch
from penstock.operators.watermark import END_OF_TIME, NEVER


class Expecting(NamedTuple):
    """A trigger, as planned and as it is, its place among the cells, and what evaluates it. `group`: what it sees of a key; None:
    the whole."""

    planned: PlannedTrigger
    trigger: Absence
    place: int
    watch: Watch
    group: Name | None


class ExpectedKeys(Keys):
    """What costs anything costs it when rows come and go, and once when time begins: O(rows)."""

    def __init__(
        self,
        partition: int,
        tables: TaskTables,
        plan: Plan,
        unsaved: Unsaved,
        on_transition: OnTransition,
        on_end: OnEnd,
        counters: Counts,
    ) -> None:
        super().__init__(plan, unsaved, on_transition, on_end, counters)
        self._partition, self._tables = partition, tables
        self._expecting: dict[str, list[Expecting]] = {}
        for grouping in (None, *range(len(plan.groupings))):
            for place, planned in plan.triggers_of(grouping):
                self._plan_for(planned, place, grouping)
        tables.on_row = self._take_row
        self.next_timer = NEVER + 1  # the first watermark is wanted, whatever it is

    def _plan_for(self, planned: PlannedTrigger, place: int, grouping: int | None) -> None:
        trigger = planned.trigger
        if isinstance(trigger, Absence) and trigger.expects is not None:
            watch = (
                self._watch if grouping is None or self._group_watch is None else self._group_watch.watch_of(grouping)
            )
            group = None if grouping is None else (ONLY, grouping)
            self._expecting.setdefault(trigger.expects, []).append(Expecting(planned, trigger, place, watch, group))

    def keep(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        self._begin_to_age(name, max(time, watermark))
        super().keep(name, time, event, moment, line, raw, watermark)

    def keep_late(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        self._begin_to_age(name, watermark)
        super().keep_late(name, time, event, moment, line, raw, watermark)

    def _begin_to_age(self, name: str, now: int) -> None:
        """The first event of a key that was only expected: from here on it may be forgotten."""
        key = self._states.get(name)
        if key is not None and key.last == NEVER and self._forget is not None:
            self._end_after(name, now + self._forget)

    def advance(self, watermark: int) -> None:
        if self.began is None and watermark < END_OF_TIME:
            self.began = watermark
            for table, expecting in self._expecting.items():
                for name, row in self._tables.of_partition(table, self._partition):
                    self._expect(name, row, expecting, watermark)
        super().advance(watermark)

    def _take_row(self, table: Table, name: str, row: Row, watermark: int, *, gone: bool) -> None:
        expecting = self._expecting.get(table.name)
        if expecting is None or self.began is None or row.partition != self._partition:
            return
        if gone:
            self._expect_no_more(name, expecting, watermark)
        else:
            self._expect(name, row, expecting, watermark)

    def _expect(self, name: str, row: Row, expecting: Iterable[Expecting], watermark: int) -> None:
        assert self.began is not None
        key = self.get_or_new(name)
        for planned, trigger, place, watch, group in expecting:
            state = self._seen(key, group)
            cell = trigger.expected(state.cells[place], max(row.time, self.began), watermark)
            watch.replace(state, place, planned, cell, None, None)
            self._arm_seen(key, state)
        self._find_own_deadlines(key)

    @staticmethod
    def _seen(key: KeyState, group: Name | None) -> KeyState:
        """The key, or what a trigger sees of it."""
        return key if group is None or key.groups is None else key.groups.get_or_new(key, group)

    def _arm_seen(self, key: KeyState, state: KeyState) -> None:
        if isinstance(state, Group) and self._group_watch is not None and key.groups is not None:
            self._group_watch.arm(key.groups, state)

    def _expect_no_more(self, name: str, expecting: Iterable[Expecting], watermark: int) -> None:
        key = self.find(name)
        if key is None:
            return
        for planned, trigger, place, watch, group in expecting:
            state = self._seen(key, group)
            cell: AbsenceCell | None
            cell, transition = trigger.unexpected(state.cells[place], watermark)
            watch.replace(state, place, planned, cell, transition, None)
            self._arm_seen(key, state)
        if self.on_looked is not None:
            self.on_looked(key)
        if key.last == NEVER and key.cells.count(None) == len(key.cells) and not key.groups:
            self._end(key, watermark, watermark)
        else:
            self._find_own_deadlines(key)

    def _find_own_deadlines(self, key: KeyState) -> None:
        self._find_deadlines(key)
        if key.groups is not None:
            key.groups.own_deadlines_found(key)
        self._arm(key)

    def arm_all(self, watermark: int, takeover: Takeover) -> Iterator[None]:
        """A trigger that is new, or comes back, expects the rows that are there already."""
        yield from super().arm_all(watermark, takeover)
        if self.began is None and watermark == NEVER:
            self.next_timer = NEVER + 1
            return
        self.began = watermark if self.began is None else self.began
        late = takeover.anew | takeover.returned
        for table, expecting in self._expecting.items():
            chosen = [each for each in expecting if each.planned.identity in late]
            for number, (name, row) in enumerate(self._tables.of_partition(table, self._partition) if chosen else ()):
                self._expect(name, row, chosen, watermark)
                if number % KEYS_AT_ONCE == 0:
                    yield

    def _arm_end(self, key: KeyState, over: int, watermark: int) -> None:
        if key.last != NEVER:
            super()._arm_end(key, over, watermark)

    def _end_if_over(self, name: str, at: int, watermark: int) -> None:
        key = self.find(name)
        if key is None or key.last != NEVER:
            super()._end_if_over(name, at, watermark)


def keys_of(plan: Plan, partition: int, tables: TaskTables) -> Callable[..., Keys]:
    """Makes the keys of a task; without a trigger that expects some, nothing of this costs anything."""
    expects = any(planned.trigger.expects is not None for planned in plan.triggers)
    return partial(ExpectedKeys, partition, tables) if expects else Keys
