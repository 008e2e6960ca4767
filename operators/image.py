"""A key as it goes into a bucket of the log, and back.

Aggregates and cells are named by what they mean, not by their place: a definition that changed reads what it still knows,
carries through what it does not, and starts the rest afresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.operators.aggregate import new_aggregate
from penstock.operators.carried import EVENT_CELL, LATE_CELL, Carried
from penstock.operators.decode import event_class
from penstock.operators.expression import Unknown, attribute_of
from penstock.operators.inhibition import load as load_inhibitions
from penstock.operators.key_state import KeyState, Late, Moment
from penstock.operators.keys import Keys
from penstock.operators.plan import INHIBITS, Plan
from penstock.operators.record import Record
from penstock.operators.unsaved import Unsaved
from penstock.state.delta import Delta, Fact


class Reading(NamedTuple):
    """How facts of one delta are read: the names that it gives its aggregates, their places here (None: unknown here), and
    the places of those that are known here and were not to its writer, so that they missed its events."""

    slots: Sequence[str]
    slot_of: Sequence[int | None]
    missed: Sequence[int]


class Images:
    """Translates between a key's state and the log for one plan. `carried` is what the plan has no place for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept = frozenset(plan.keeps_event)
        self._event = event_class(plan.keeps_event)
        self.slots = tuple(call.identity for call in plan.slots)
        self.carried = Carried()
        self._slot_of = {identity: slot for slot, identity in enumerate(self.slots)}
        self._trigger_of = {planned.identity: index for index, planned in enumerate(plan.triggers)}
        self._inhibitor_of = {
            planned.inhibition_identity: index for index, planned in enumerate(plan.triggers) if planned.gate.inhibits
        }

    def dump(self, key: KeyState) -> list[Any]:
        """[N after the last event, context, aggregates in the order of `slots`, cells by identity].

        Then carried aggregates, if there are any.
        """
        cells = {
            planned.identity: self.cell(key, index)
            for index, planned in enumerate(self._plan.triggers)
            if key.cells[index] is not None
        }
        for index, inhibitions in (key.inhibitions or {}).items():
            cells[self._plan.triggers[index].inhibition_identity] = inhibitions
        cells.update(self._last_events(key))
        image = [key.last, key.context.dump(), [slot.dump() for slot in key.slots], cells]
        if self.carried:
            cells.update(self.carried.cells(key.name))
            if aggregates := self.carried.aggregates(key.name):
                image.append(aggregates)
        return image

    def load(self, key: KeyState, image: Sequence[Any], slots: Sequence[str]) -> None:
        """Fill a new key state from its image; `slots` names the aggregates of the image."""
        key.last, context, aggregates, cells, *carried = image
        key.now = key.last
        key.context.load(context)
        for identity, base in zip(slots, aggregates, strict=True):
            self._load_aggregate(key, identity, base)
        for identity, (base, taken) in (carried[0] if carried else {}).items():
            self._load_aggregate(key, identity, base, taken)
        self.load_cells(key, cells)

    def _load_aggregate(self, key: KeyState, identity: str, base: Any, taken: Sequence[Any] = ()) -> None:
        """`taken` is what it took since the image `base`: time, value, N, time, …"""
        slot = self._slot_of.get(identity)
        if slot is None:
            self.carried.keep_aggregate(key.name, identity, base, taken)
            return
        if base is not None:
            key.slots[slot].load(base)
        for place in range(0, len(taken), 3):
            key.slots[slot].add(*taken[place : place + 3])

    def cell(self, key: KeyState, index: int) -> Any:
        return self._plan.triggers[index].trigger.dump(key.cells[index])

    def load_cells(self, key: KeyState, cells: Mapping[str, Any]) -> None:
        for identity, dumped in cells.items():
            index = self._trigger_of.get(identity)
            inhibitor = self._inhibitor_of.get(identity)
            if index is not None:
                key.cells[index] = self._plan.triggers[index].trigger.load(dumped)
            elif inhibitor is not None:
                key.inhibitions = {**(key.inhibitions or {}), inhibitor: load_inhibitions(dumped)}
            elif identity == EVENT_CELL:
                key.event, key.moment = self._load_event(key, dumped)
                if self._knows_more(dumped):
                    self.carried.keep_cell(key.name, identity, dumped)
            elif identity == LATE_CELL:
                key.late = Late(*self._load_event(key, dumped), key.event)
            elif not identity.endswith(INHIBITS):  # what ended meanwhile would not be noticed
                self.carried.keep_cell(key.name, identity, dumped)

    def changed_cells(self, keys: Keys, unsaved: Unsaved) -> dict[str, dict[str, Any]]:
        """By key, for a delta."""
        cells: dict[str, dict[str, Any]] = {}
        for name, index in sorted(unsaved.cells):
            cells.setdefault(name, {})[self._plan.triggers[index].identity] = self.cell(keys[name], index)
        for name, index in sorted(unsaved.inhibitions):
            inhibitions = keys[name].inhibitions or {}
            cells.setdefault(name, {})[self._plan.triggers[index].inhibition_identity] = inhibitions[index]
        if self._plan.keeps_last:
            for name in dict.fromkeys(fact[0] for fact in unsaved.facts):
                key = keys.find(name)
                if key is not None and (last := self._last_events(key)):  # else it was forgotten since
                    cells.setdefault(name, {}).update(last)
        return cells

    def _last_events(self, key: KeyState) -> dict[str, list[Any]]:
        """Cells for the key's last event, and for a late one that came after it. A late one is read behind the last one."""
        cells: dict[str, list[Any]] = {}
        if not self._plan.keeps_last:
            return cells
        if key.event is not None:
            cells[EVENT_CELL] = self.event_image(key.event, key.moment)
        event, moment = key.newest
        if event is not key.event:
            cells[LATE_CELL] = self.event_image(event, moment)
        return cells

    def event_image(self, event: Any, moment: Moment | None) -> list[Any]:
        """The fields of an event that conditions read, and what they can know about its record."""
        known = ((name, getattr(event, attribute_of(name))) for name in self._plan.keeps_event)
        fields = {name: value for name, value in known if value.__class__ is not Unknown}
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

    def _load_event(self, key: KeyState, dumped: Sequence[Any]) -> tuple[Any, Moment | None]:
        fields, about = dumped
        event = self._event(**{attribute_of(name): value for name, value in fields.items() if name in self._kept})
        if about is None:
            return event, None
        source, time, (topic, partition, offset, timestamp, record_key, headers) = about
        record = Record(topic, partition, offset, timestamp, record_key, None, tuple(map(tuple, headers)))
        return event, Moment(key.name, source, record, time, self._plan.labels)

    def _knows_more(self, dumped: Sequence[Any]) -> bool:
        """Whether the image of an event tells more than this plan has a place for."""
        fields, about = dumped
        return not self._kept.issuperset(fields) or (about is not None and not self._plan.keeps_moment)

    def reading(self, slots: Sequence[str]) -> Reading:
        """How to read the facts of a delta whose writer had these aggregates."""
        written = set(slots)
        missed = [slot for slot, identity in enumerate(self.slots) if identity not in written]
        return Reading(slots, [self._slot_of.get(identity) for identity in slots], missed)

    def apply_facts(self, keys: Keys, delta: Delta) -> None:
        """Every event of the delta, and every end of a key, in the order in which they came."""
        reading, done = self.reading(delta.slots), 0
        for name, place, since in delta.forgotten:
            self._apply_facts(keys, delta.facts[done:place], reading)
            keys.forget(name, since)
            self.carried.drop(name)
            done = place
        self._apply_facts(keys, delta.facts[done:], reading)

    def _apply_facts(self, keys: Keys, facts: Iterable[Fact], reading: Reading) -> None:
        for fact in facts:
            self.apply_fact(keys.get_or_new(fact[0]), fact, reading)

    def apply_fact(self, key: KeyState, fact: Fact, reading: Reading) -> None:
        """Add an event that was fed before: nothing is decided again. What is known of it as the last one is in the cells."""
        _, time, lag, line, values = fact
        key.now = key.last = time + lag
        key.event = key.moment = key.late = None
        if line is not None:
            key.context.append(time, line, key.now)
        for slot in reading.missed:
            key.slots[slot] = new_aggregate(self._plan.slots[slot])
        if self.carried:
            self.carried.miss(key.name, reading.slots)
        if values is None:
            return
        for place in range(0, len(values), 2):
            taker = reading.slot_of[values[place]]
            if taker is not None:
                key.slots[taker].add(time, values[place + 1], key.now)
            else:
                self.carried.take(key.name, reading.slots[values[place]], time, values[place + 1], key.now)

    def missed(self, facts: Iterable[Fact]) -> None:
        """These events were fed by this plan: what is carried has missed them."""
        if self.carried:
            for fact in facts:
                self.carried.miss(fact[0])
