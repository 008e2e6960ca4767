"""A key as it goes into a bucket of the log, and back.

Aggregates and cells are named by what they mean, not by their place: a definition that changed reads what it still knows
and starts the rest afresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.operators.decode import event_class
from penstock.operators.expression import Unknown, attribute_of
from penstock.operators.key_state import KeyState, Moment
from penstock.operators.plan import Plan
from penstock.operators.record import Record
from penstock.state.delta import Fact

EVENT_CELL = "event"
"""The cell that holds a key's last event, where a condition may read it when time passes. No trigger has this identity."""


class Images:
    """Translates between a key's state and the log for one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept = frozenset(plan.keeps_event)
        self._event = event_class(plan.keeps_event)
        self.slots = tuple(call.identity for call in plan.slots)
        self._slot_of = {identity: slot for slot, identity in enumerate(self.slots)}
        self._trigger_of = {planned.identity: index for index, planned in enumerate(plan.triggers)}

    def dump(self, key: KeyState) -> list[Any]:
        """[N, context, aggregates in the order of `slots`, cells by identity]."""
        cells = {
            planned.identity: self.cell(key, index)
            for index, planned in enumerate(self._plan.triggers)
            if key.cells[index] is not None
        }
        if self._plan.keeps_last and key.event is not None:
            cells[EVENT_CELL] = self.last_event(key)
        return [key.now, key.context.dump(), [slot.dump() for slot in key.slots], cells]

    def load(self, key: KeyState, image: Sequence[Any], slots: Sequence[str]) -> None:
        """Fill a new key state from its image; `slots` names the aggregates of the image."""
        key.now, context, aggregates, cells = image
        key.context.load(context)
        for identity, dumped in zip(slots, aggregates, strict=True):
            slot = self._slot_of.get(identity)
            if slot is not None:
                key.slots[slot].load(dumped)
        self.load_cells(key, cells)

    def cell(self, key: KeyState, index: int) -> Any:
        return self._plan.triggers[index].trigger.dump(key.cells[index])

    def load_cells(self, key: KeyState, cells: Mapping[str, Any]) -> None:
        for identity, dumped in cells.items():
            index = self._trigger_of.get(identity)
            if index is not None:
                key.cells[index] = self._plan.triggers[index].trigger.load(dumped)
            elif identity == EVENT_CELL:
                self._load_event(key, dumped)

    def last_event(self, key: KeyState) -> list[Any]:
        """The fields of the key's last event that conditions read, and what they can know about its record."""
        known = ((name, getattr(key.event, attribute_of(name))) for name in self._plan.keeps_event)
        fields = {name: value for name, value in known if value.__class__ is not Unknown}
        moment = key.moment
        if moment is None or not self._plan.keeps_moment:
            return [fields, None]
        record = moment.record
        coordinates = [
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            list(record.headers),
        ]
        return [fields, [moment.source, moment.time, coordinates]]

    def _load_event(self, key: KeyState, dumped: Sequence[Any]) -> None:
        fields, about = dumped
        key.event = self._event(**{attribute_of(name): value for name, value in fields.items() if name in self._kept})
        if about is not None:
            source, time, (topic, partition, offset, timestamp, record_key, headers) = about
            record = Record(topic, partition, offset, timestamp, record_key, None, tuple(map(tuple, headers)))
            key.moment = Moment(key.name, source, record, time, self._plan.labels)

    def translate(self, slots: Sequence[str]) -> list[int | None]:
        """For every aggregate that a delta names: its place in this plan, None if this plan has no such aggregate."""
        return [self._slot_of.get(identity) for identity in slots]


def apply_fact(key: KeyState, fact: Fact, slot_of: Sequence[int | None]) -> None:
    """Add an event that was fed before: nothing is decided again."""
    _, time, lag, line, values = fact
    key.now = time + lag
    if line is not None:
        key.context.append(time, line, key.now)
    if values is None:
        return
    for place in range(0, len(values), 2):
        slot = slot_of[values[place]]
        if slot is not None:
            key.slots[slot].add(time, values[place + 1], key.now)
