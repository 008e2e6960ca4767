"""The groups of a key as they go into the log, and back: what they are for `image`, which has the format.

aggregate    by the name of its call and its grouping   in an image {group: content}, in a fact (group, what it took)
cell         by the trigger's identity and the group    one entry for each group
last event   by its grouping and the group              one entry for each group, where a condition may read it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.operators.carried import cell_name, is_empty
from penstock.operators.key_state import Group, KeyState
from penstock.operators.last_event import LastEvents
from penstock.operators.plan import Plan
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.unsaved import Unsaved


class GroupImages:
    """`names` are those of its aggregates, then of the last events that it keeps: whoever read a delta by a plan that does not
    name one knows that it missed its events. Numbers count from 0 within `names`."""

    def __init__(self, plan: Plan, tables: Tables = NO_TABLES) -> None:
        self._groupings = plan.groupings
        slots = [(place, slot) for place, grouping in enumerate(plan.groupings) for slot in range(len(grouping.slots))]
        keeping = [place for place, grouping in enumerate(plan.groupings) if grouping.keeps_last]
        self._places: list[tuple[int, int | None]] = [*slots, *((place, None) for place in keeping)]
        self.names = [
            self._groupings[place].event_name if slot is None else self._groupings[place].slot_names[slot]
            for place, slot in self._places
        ]
        self._events = [
            LastEvents(grouping.keeps_event, grouping.keeps_moment, plan.labels, tables) for grouping in plan.groupings
        ]
        self._number_of = {name: number for number, name in enumerate(self.names) if self._places[number][1] is None}
        self._triggers = [plan.triggers_of(place) for place in range(len(plan.groupings))]
        self._trigger_of = {
            planned.identity: (grouping, place, planned.trigger)
            for grouping, triggers in enumerate(self._triggers)
            for place, planned in triggers
        }

    # --- images -------------------------------------------------------------------------------------------------

    def dump_slots(self, key: KeyState) -> list[dict[str, Any]]:
        """In the order of `names`. Groups in which an aggregate holds nothing are left out."""
        numbers = {place: number for number, place in enumerate(self._places)}
        dumped: list[dict[str, Any]] = [{} for _ in self._places]
        for group in key.groups or ():
            for slot, aggregate in enumerate(group.slots):
                content = aggregate.dump()
                if not is_empty(content):
                    dumped[numbers[group.grouping, slot]][group.part] = content
        return dumped

    def dump_cells(self, key: KeyState) -> Iterator[tuple[str, Any]]:
        for group in key.groups or ():
            for place, planned in self._triggers[group.grouping]:
                if group.cells[place] is not None:
                    yield cell_name(planned.identity, group.part), planned.trigger.dump(group.cells[place])
            if self._events[group.grouping].kept and group.event is not None:
                name = cell_name(self._groupings[group.grouping].event_name, group.part)
                yield name, self._events[group.grouping].dump(group)

    def load_slot(self, key: KeyState, number: int, base: Mapping[str, Any] | None, taken: Sequence[Any]) -> None:
        """`taken` is what it took since the image `base`: time, (group, value), N, time, …"""
        place, slot = self._places[number]
        if slot is None:
            return
        for name, content in (base or {}).items():
            self._group(key, place, name, number).own_slots()[slot].load(content)
        for at in range(0, len(taken), 3):
            time, (name, value), now = taken[at : at + 3]
            self._group(key, place, name, number).own_slots()[slot].add(time, value, now)

    def _group(self, key: KeyState, place: int, name: str, number: int | None = None) -> Group:
        """One that will hold something, of the aggregate or the last event of this number."""
        assert key.groups is not None, "the plan has groupings"
        if number is not None:
            key.groups.blank -= {number}
        return key.groups.get_or_new(key, (name, place))

    def load_cell(self, key: KeyState, identity: str, name: str, dumped: Any) -> bool:
        """Returns whether there is a place for all of it."""
        if identity in self._trigger_of:
            grouping, place, trigger = self._trigger_of[identity]
            if dumped is not None or self._find(key, grouping, name) is not None:
                self._group(key, grouping, name).remember(place, trigger.load(dumped))
            return True
        if identity in self._number_of:
            number = self._number_of[identity]
            grouping = self._places[number][0]
            return not self._events[grouping].load(self._group(key, grouping, name, number), dumped)
        return False

    @staticmethod
    def _find(key: KeyState, grouping: int, name: str) -> Group | None:
        return None if key.groups is None else key.groups.find((name, grouping))

    # --- deltas -------------------------------------------------------------------------------------------------

    def changed_cell(self, key: KeyState, identity: str, name: str) -> tuple[str, Any]:
        """What a trigger remembers now of a group; None of one that is gone."""
        grouping, place, trigger = self._trigger_of[identity]
        group = self._find(key, grouping, name)
        return cell_name(identity, name), None if group is None else trigger.dump(group.cells[place])

    def changed_events(self, key: KeyState, unsaved: Unsaved) -> Iterator[tuple[str, Any]]:
        for name, grouping in sorted(unsaved.heard.get(key.name, ())):
            group = self._find(key, grouping, name)
            if group is not None:
                yield cell_name(self._groupings[grouping].event_name, name), self._events[grouping].dump(group)

    def apply(self, key: KeyState, number: int, time: int, value: Sequence[Any]) -> None:
        """An aggregate took this of an event that was fed before."""
        place, slot = self._places[number]
        if slot is not None:
            name, taken = value
            self._group(key, place, name, number).own_slots()[slot].add(time, taken, key.now)

    def miss(self, key: KeyState, number: int) -> None:
        """The key took in an event that went by this aggregate, or last event, whichever group it would have been of."""
        assert key.groups is not None, "the plan has groupings"
        if number in key.groups.blank:
            return
        key.groups.blank |= {number}
        place, slot = self._places[number]
        for group in key.groups:
            if group.grouping == place:
                self._blank(group, slot)

    def _blank(self, group: Group, slot: int | None) -> None:
        if slot is None:
            group.event = group.moment = None
        else:
            group.renew(slot, self._groupings[group.grouping].slots[slot])
