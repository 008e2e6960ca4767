"""A key as it goes into a bucket of the log, and back.

Aggregates and cells are named by what they mean, not by their place: a definition that changed reads what it still knows,
carries through what it does not, and starts the rest afresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.operators.carried import EVENT_CELL, TENANT_CELL, Carried, cell_parts, is_empty
from penstock.operators.gates import Gates
from penstock.operators.group_image import GroupImages
from penstock.operators.key_state import KeyState
from penstock.operators.keys import Keys
from penstock.operators.last_event import LastEvents
from penstock.operators.latest import Latest
from penstock.operators.plan import Plan
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.tenants import Tenants
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

    def __init__(self, plan: Plan, latest: Latest, gates: Gates, tenants: Tenants, tables: Tables = NO_TABLES) -> None:
        self._plan, self._gates, self._tenants = plan, gates, tenants
        self._last = LastEvents(plan.keeps_event, plan.keeps_moment, plan.labels, tables)
        self._groups = GroupImages(plan, tables)
        self._own = len(plan.slots)
        """So many aggregates are over whole keys; the others are over groups."""
        self.slots = (*(call.identity for call in plan.slots), *self._groups.names)
        self.carried = Carried()
        self._latest = latest
        self._slot_of = {identity: slot for slot, identity in enumerate(self.slots)}
        self._trigger_of = {planned.identity: index for index, planned in plan.triggers_of(None)}

    def dump(self, key: KeyState) -> list[Any]:
        """[N after the last event, context, aggregates in the order of `slots`, cells by identity].

        Then carried aggregates, if there are any.
        """
        cells = {
            identity: self.cell(key, index)
            for identity, index in self._trigger_of.items()
            if key.cells[index] is not None
        }
        cells.update(self._groups.dump_cells(key))
        if self._last.kept and key.event is not None:
            cells[EVENT_CELL] = self._last.dump(key)
        if (shown := self._latest.dump(key.name)) is not None:
            cells[self._latest.identity] = shown
        cells.update(self._gates.dump(key.name))
        if (tenant := self._tenants.of(key.name)) is not None:
            cells[TENANT_CELL] = tenant
        slots = [*(slot.dump() for slot in key.slots), *self._groups.dump_slots(key)]
        image = [key.last, key.context.dump(), slots, cells]
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
        if slot >= self._own:
            self._groups.load_slot(key, slot - self._own, base, taken)
            return
        if not is_empty(base):
            key.own_slots()[slot].load(base)
        for place in range(0, len(taken), 3):
            key.own_slots()[slot].add(*taken[place : place + 3])

    def drop(self, name: str) -> None:
        """What is known of a key beside its state."""
        self.carried.drop(name)
        self._latest.drop(name)
        self._gates.drop(name)
        self._tenants.drop(name)

    def cell(self, key: KeyState, index: int) -> Any:
        return self._plan.triggers[index].trigger.dump(key.cells[index])

    def load_cells(self, key: KeyState, cells: Mapping[str, Any]) -> None:
        for name, dumped in cells.items():
            if not self._load_cell(key, name, dumped):
                self.carried.keep_cell(key.name, name, dumped)

    def _load_cell(self, key: KeyState, name: str, dumped: Any) -> bool:
        """Returns whether there is a place for all of it."""
        index = self._trigger_of.get(name)
        if index is not None:
            key.remember(index, self._plan.triggers[index].trigger.load(dumped))
            return True
        if name == EVENT_CELL:
            return not self._last.load(key, dumped)
        if name == self._latest.identity:
            self._latest.load(key.name, dumped)
            return True
        if name == TENANT_CELL:
            self._tenants.load(key.name, dumped)
            return True
        if self._gates.load(key.name, name, dumped):
            return True
        return self._groups.load_cell(key, *cell_parts(name), dumped)

    def changed_cells(self, keys: Keys, unsaved: Unsaved) -> dict[str, dict[str, Any]]:
        """By key, for a delta."""
        cells: dict[str, dict[str, Any]] = {}
        for name, changed in sorted(unsaved.cells.items()):
            cells[name] = dict(self._changed(keys[name], *cell) for cell in sorted(changed))
        for name in sorted(unsaved.shown):
            cells.setdefault(name, {})[self._latest.identity] = self._latest.dump(name)
        for name, triggers in sorted(unsaved.inhibited.items()):
            cells.setdefault(name, {}).update(self._gates.changed(name, triggers))
        for name in sorted(unsaved.tenants):
            cells.setdefault(name, {})[TENANT_CELL] = self._tenants.of(name)
        if self._last.kept:
            for name in dict.fromkeys(fact[0] for fact in unsaved.facts):
                key = keys.find(name)
                if key is not None and key.event is not None:  # else it was forgotten since
                    cells.setdefault(name, {})[EVENT_CELL] = self._last.dump(key)
        for name in sorted(unsaved.heard):
            cells.setdefault(name, {}).update(self._groups.changed_events(keys[name], unsaved))
        return cells

    def _changed(self, key: KeyState, identity: str, group: str) -> tuple[str, Any]:
        index = self._trigger_of.get(identity)
        return self._groups.changed_cell(key, identity, group) if index is None else (identity, self.cell(key, index))

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
            self.drop(name)
            done = place
        self._apply_facts(keys, delta.facts[done:], reading)

    def _apply_facts(self, keys: Keys, facts: Iterable[Fact], reading: Reading) -> None:
        for fact in facts:
            self.apply_fact(keys.get_or_new(fact[0]), fact, reading)

    def apply_fact(self, key: KeyState, fact: Fact, reading: Reading) -> None:
        """Add an event that was fed before: nothing is decided again. What is known of it as the last one is in the cells."""
        _, time, lag, line, values = fact
        key.now = key.last = time + lag
        key.event = key.moment = None
        if line is not None:
            key.context.append(time, line, key.now)
        for slot in reading.missed:
            if slot < self._own:
                key.renew(slot, self._plan.slots[slot])
            else:
                self._groups.miss(key, slot - self._own)
        if self.carried:
            self.carried.miss(key.name, reading.slots)
        if values is None:
            return
        for place in range(0, len(values), 2):
            taker = reading.slot_of[values[place]]
            if taker is None:
                self.carried.take(key.name, reading.slots[values[place]], time, values[place + 1], key.now)
            elif taker < self._own:
                key.own_slots()[taker].add(time, values[place + 1], key.now)
            else:
                self._groups.apply(key, taker - self._own, time, values[place + 1])

    def missed(self, facts: Iterable[Fact]) -> None:
        """These events were fed by this plan: what is carried has missed them."""
        if self.carried:
            for fact in facts:
                self.carried.miss(fact[0])
