"""Every key that a task knows, and the one place where triggers are evaluated.

keep(event) ─▶ instants before the event's time, in order ─▶ the event is added ─▶ every trigger looks once
advance(W)  ─▶ instants up to the watermark, in order, over all keys; keys whose time is over are forgotten
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from penstock.operators.aggregate import new_aggregate
from penstock.operators.condition import count_doubt
from penstock.operators.context import Context
from penstock.operators.expression import Unknown
from penstock.operators.inhibition import inhibitors_first
from penstock.operators.key_state import Counts, KeyState, Late, Moment
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.timers import Timers
from penstock.operators.trigger import Transition
from penstock.operators.unsaved import Unsaved

KEYS_AT_ONCE = 1_000
"""So many are armed in a few milliseconds."""
BUCKETS_MAX = 4096
"""The finest cut of a task's keys into buckets."""

_NOTHING: frozenset[int] = frozenset()

OnTransition = Callable[[KeyState, PlannedTrigger, int, Transition, Raw | None], None]
"""(key, trigger, its index, what happened, the record that did it or None if time did)."""
OnEnd = Callable[[KeyState, int], bool]
"""(key, the instant at which its time was over): it is forgotten next. Whether a run without an outcome needs its events."""


class Takeover(NamedTuple):
    """What follows from a change of definitions, by identity of triggers and aggregates.

    `returned`: they were in no definition for a while; their triggers look once, for time has passed without them. `anew`: what
    was restored of them is forgotten.
    """

    returned: frozenset[str] = frozenset()
    anew: frozenset[str] = frozenset()


class Keys:
    """States by key. Feeding one event costs O(triggers + aggregates), plus O(log keys) where a timer is set."""

    def __init__(
        self, plan: Plan, unsaved: Unsaved, on_transition: OnTransition, on_end: OnEnd, counters: Counts
    ) -> None:
        self._plan = plan
        self._counters = counters
        self._unsaved = unsaved
        self._on_transition, self._on_end = on_transition, on_end
        order = inhibitors_first([planned.gate.inhibited_by for planned in plan.triggers])
        self._triggers = tuple((index, plan.triggers[index]) for index in order)
        self._watchers = tuple((index, planned, planned.trigger.idle_unless) for index, planned in self._triggers)
        self._late_watchers = tuple((index, planned) for index, planned in self._triggers if planned.late)
        self._may_rest = all(planned.trigger.idle_unless is not None for planned in plan.triggers)
        self._slots = tuple(
            (
                slot,
                None if call.where is None else call.where.evaluate,
                None if call.value is None else call.value.evaluate,
            )
            for slot, call in enumerate(plan.slots)
        )
        self._states: dict[str, KeyState] = {}
        self._by_bucket: dict[int, dict[str, None]] = {}
        self._forget = plan.context.forget
        self._ends = Timers()
        self._timers = Timers()
        self.next_timer = self._timers.next
        """No timer is due before this instant."""

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[KeyState]:
        return iter(self._states.values())

    def __getitem__(self, name: str) -> KeyState:
        return self._states[name]

    def find(self, name: str) -> KeyState | None:
        return self._states.get(name)

    def get_or_new(self, name: str) -> KeyState:
        state = self._states.get(name)
        if state is None:
            slots = [new_aggregate(call) for call in self._plan.slots]
            state = KeyState(name, Context(self._plan.context), slots, len(self._plan.triggers), self._counters)
            self._states[name] = state
            self._by_bucket.setdefault(finest_bucket(name), {})[name] = None
        return state

    def drop(self, name: str) -> None:
        if self._states.pop(name, None) is not None:
            del self._by_bucket[finest_bucket(name)][name]

    def in_bucket(self, index: int, of: int) -> list[KeyState]:
        """The keys whose hash falls into `index` modulo `of` (a power of two).

        O(keys found + BUCKETS_MAX / of).
        """
        return [
            self._states[name] for finest in range(index, BUCKETS_MAX, of) for name in self._by_bucket.get(finest, ())
        ]

    def keep(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        """Take in one event of the key `name`: event time `time`, `line` for the prompt (None: hidden)."""
        key = self._states.get(name) or self._begin(name, time if time > watermark else watermark)
        due = _NOTHING if key.deadline is None else self._settle(key, time)
        now = key.now if key.now > time else time
        if watermark > now:
            now = watermark
        key.now = key.last = now
        key.event, key.moment = event, moment
        unsaved = self._unsaved
        if line is not None:
            key.context.append(time, line, now)
            unsaved.bytes += len(line)
        values: tuple[Any, ...] | None = None
        for slot, where, value_of in self._slots:
            if where is None or (held := where(event, (), moment)) is True:
                values = self._add(key, slot, time, None if value_of is None else value_of(event, (), moment), values)
            elif held is not False:
                self._doubt(slot, held)
        unsaved.facts.append((key.name, time, now - time, line, values))
        if key.resting and values is None:
            return
        if self._look(key, time, watermark, due, () if values is None else values[::2], raw):
            self._rearm(key)

    def _look(
        self, key: KeyState, time: int, watermark: int, due: frozenset[int], taken: Sequence[int], raw: Raw
    ) -> bool:
        """Every trigger looks at the event just added, unless it cannot matter to it. Returns whether any did."""
        looked, fresh, key.fresh = False, key.fresh, False
        for index, planned, idle_unless in self._watchers:
            cell = key.cells[index]
            if cell is None and idle_unless is not None and not fresh and idle_unless.isdisjoint(taken):
                continue
            looked = True
            cell, transition = planned.trigger.fed(key, cell, time, watermark, key.now if index in due else None)
            self._replace(key, index, planned, cell, transition, raw)
        key.resting = self._may_rest and key.cells.count(None) == len(key.cells)
        return looked

    def keep_late(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        """`keep` of an event that is late: other triggers and aggregates than those that take such events do not see it."""
        key = self._states.get(name) or self._begin(name, max(time, watermark))
        key.now = key.last = max(key.now, watermark)
        key.late = Late(event, moment, key.event)
        if line is not None:
            key.context.append(time, line, key.now)
            self._unsaved.bytes += len(line)
        values: tuple[Any, ...] | None = None
        for slot, where, value_of in self._slots:
            held = self._plan.slots[slot].late and (where is None or where(event, (), moment))
            if held is True:
                values = self._add(key, slot, time, None if value_of is None else value_of(event, (), moment), values)
            elif held is not False:
                self._doubt(slot, held)
        self._unsaved.facts.append((key.name, time, key.now - time, line, values))
        for index, planned in self._late_watchers:
            cell, transition = planned.trigger.fed(key, key.cells[index], time, watermark, None)
            self._replace(key, index, planned, cell, transition, raw)
        self._rearm(key)

    def _add(
        self, key: KeyState, slot: int, time: int, value: Any, taken: tuple[Any, ...] | None
    ) -> tuple[Any, ...] | None:
        """An aggregate takes its part of the event, after what others took, as (slot, value, …)."""
        if value.__class__ is Unknown:
            self._doubt(slot, value)
            return taken
        key.slots[slot].add(time, value, key.now)
        return (slot, value) if taken is None else (*taken, slot, value)

    def _doubt(self, slot: int, value: Any) -> None:
        """An aggregate could not tell whether an event is for it."""
        if value.__class__ is Unknown:
            count_doubt(self._counters, self._plan.slots[slot].identity, value)

    def _replace(
        self,
        key: KeyState,
        index: int,
        planned: PlannedTrigger,
        cell: Any,
        transition: Transition | None,
        raw: Raw | None,
    ) -> None:
        if cell is not key.cells[index]:
            key.cells[index], key.resting = cell, False
            self._unsaved.cells.add((key.name, index))
        if transition is not None:
            self._on_transition(key, planned, index, transition, raw)

    def _settle(self, key: KeyState, time: int) -> frozenset[int]:
        """Every instant before an event's time; returns the triggers that fire at that time with or without the event."""
        while key.deadline is not None and key.deadline < time:
            self._pass(key, key.deadline, by_watermark=False)
        if key.deadline != time:
            return _NOTHING
        due = self._due_at(key, time, by_watermark=False)
        key.now = time
        return frozenset(index for index, planned in due if planned.trigger.would_fire(key, key.cells[index]))

    def _pass(self, key: KeyState, instant: int, *, by_watermark: bool) -> None:
        """Every trigger that asked for this instant looks once, inhibitors first, otherwise in the order of the file."""
        due = self._due_at(key, instant, by_watermark=by_watermark)
        key.now = max(key.now, instant)
        for index, planned in due:
            cell, transition = planned.trigger.passed(key, key.cells[index], instant)
            self._replace(key, index, planned, cell, transition, None)
        self._find_deadlines(key)

    def _due_at(self, key: KeyState, instant: int, *, by_watermark: bool) -> list[tuple[int, PlannedTrigger]]:
        """Triggers that asked for `instant`. Ask before N moves there: a span that has changed names its next change."""
        return [
            (index, planned)
            for index, planned in self._triggers
            if planned.trigger.by_watermark is by_watermark
            and planned.trigger.deadline(key, key.cells[index]) == instant
        ]

    def advance(self, watermark: int) -> None:
        """The watermark has come to `watermark`: everything that was due fires, in time order over all keys."""
        while (taken := self._ends.take(watermark)) is not None:
            at, name = taken
            self._advance_triggers(at)
            self._end_if_over(name, at, watermark)
        self._advance_triggers(watermark)
        self.next_timer = min(self._timers.next, self._ends.next)

    def _advance_triggers(self, watermark: int) -> None:
        while (taken := self._timers.take(watermark)) is not None:
            at, name = taken
            key = self._states.get(name)
            if key is None:
                continue
            while key.deadline is not None and key.deadline <= at:
                self._pass(key, key.deadline, by_watermark=False)
            while key.watermark_deadline is not None and key.watermark_deadline <= at:
                self._pass(key, key.watermark_deadline, by_watermark=True)
            self._arm(key)

    # --- forgetting: every key has one timer, which is moved on when it comes up, never by an event ------------------

    def _begin(self, name: str, now: int) -> KeyState:
        """The first event of a key, or the first since it was forgotten, at N `now`."""
        if self._forget is not None:
            self._end_after(name, now + self._forget)
        return self.get_or_new(name)

    def _end_after(self, name: str, instant: int) -> None:
        """Look when the watermark has *passed* the instant: what is due at it comes first."""
        self._ends.set(name, instant + 1)
        self.next_timer = min(self.next_timer, instant + 1)

    def _end_if_over(self, name: str, at: int, watermark: int) -> None:
        key = self._states.get(name)
        if key is None or self._forget is None:
            return
        over = key.last + self._forget
        if over < at:
            self._end(key, over, watermark)
        else:
            self._end_after(name, over)

    def _end(self, key: KeyState, over: int, watermark: int) -> None:
        """Where a run without an outcome needs its events, the key is looked at again later."""
        since = watermark if self._on_end(key, over) else None
        self._unsaved.forget(key.name, len(self._triggers), since)
        self.forget(key.name, since)
        if since is not None and self._forget is not None:
            self._end_after(key.name, since + self._forget)

    def forget(self, name: str, since: int | None) -> None:
        """As `Forgotten` says; whoever comes next finds a new key. While restoring, pins of runs that come after it stay."""
        former = self._states.get(name)
        if former is None:
            return
        self.drop(name)
        context = former.context
        context.forget(numbers_go_on=since is not None)
        if since is not None or context.pinned:
            anew = self.get_or_new(name)
            anew.context = context
            if since is not None:
                anew.now = anew.last = since

    def _rearm(self, key: KeyState) -> None:
        self._find_deadlines(key)
        self._arm(key)

    def _find_deadlines(self, key: KeyState) -> None:
        key.deadline = key.watermark_deadline = None
        for index, planned in self._triggers:
            trigger = planned.trigger
            at = trigger.deadline(key, key.cells[index])
            if at is None:
                continue
            if trigger.by_watermark:
                key.watermark_deadline = at if key.watermark_deadline is None else min(at, key.watermark_deadline)
            else:
                key.deadline = at if key.deadline is None else min(at, key.deadline)

    def _arm(self, key: KeyState) -> None:
        for deadline in (key.deadline, key.watermark_deadline):
            if deadline is not None:
                self._timers.set(key.name, deadline)
                if deadline < self.next_timer:
                    self.next_timer = deadline

    def arm_all(self, watermark: int, takeover: Takeover) -> Iterator[None]:
        """After restoring, in steps: timers are not saved, they follow from the cells. Exhaust it before anything is fed.

        Every instant up to the watermark was looked at before; a key that was silent since does not know that by itself.
        Keys of which no trigger remembers anything are left as they are, unless one has deadlines even so.
        """
        self._timers, self._ends = Timers(), Timers()
        self.next_timer = self._timers.next
        nothing = [None] * len(self._triggers)
        sleepless = not all(planned.trigger.sleeps for _, planned in self._triggers)
        late = [(index, planned) for index, planned in self._triggers if planned.identity in takeover.returned]
        anew = self._places(takeover.anew)
        for number, key in enumerate(list(self._states.values()), start=1):
            self._begin_anew(key, *anew, takeover.anew)
            if sleepless or key.cells != nothing:
                key.now = max(key.now, watermark)
                for index, planned in late:
                    self._look_late(key, index, planned)
                self._rearm(key)
            if self._forget is not None:
                self._arm_end(key, key.last + self._forget, watermark)
            if number % KEYS_AT_ONCE == 0:
                yield

    def _arm_end(self, key: KeyState, over: int, watermark: int) -> None:
        """Of a definition that forgets sooner than the one before, all keys may be over: that is done here, in steps."""
        if over < watermark and key.deadline is None and key.watermark_deadline is None:
            self._end(key, over, watermark)
        else:
            self._end_after(key.name, over)

    def _look_late(self, key: KeyState, index: int, planned: PlannedTrigger) -> None:
        """Deadlines of the watermark need no such look: they stay until it passes them."""
        trigger, cell = planned.trigger, key.cells[index]
        if cell is not None and not trigger.by_event and not trigger.by_watermark:
            cell, transition = trigger.passed(key, cell, key.now)
            self._replace(key, index, planned, cell, transition, None)

    def _places(self, identities: Collection[str]) -> tuple[list[int], list[int]]:
        """Of triggers and of aggregates."""
        cells = [index for index, planned in self._triggers if planned.identity in identities]
        return cells, [slot for slot, call in enumerate(self._plan.slots) if call.identity in identities]

    def _begin_anew(self, key: KeyState, cells: Sequence[int], slots: Sequence[int], anew: Collection[str]) -> None:
        for index in cells:
            key.cells[index] = None
        for slot in slots:
            key.slots[slot] = new_aggregate(self._plan.slots[slot])
        for index in key.inhibitions or ():
            if self._plan.triggers[index].inhibition_identity in anew:
                self._unsaved.inhibit(key, index, ())

    def episode(self, key: KeyState, trigger: str) -> str | None:
        """The run whose episode the trigger of this name would end."""
        for index, planned in self._triggers:
            if planned.name == trigger:
                return planned.trigger.episode(key.cells[index])
        return None


def finest_bucket(name: str) -> int:
    """CRC-32 of the key's UTF-8 text modulo BUCKETS_MAX; coarser cuts are this modulo their own number."""
    return crc32(name.encode()) % BUCKETS_MAX
