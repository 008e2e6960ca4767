"""Every key that a task knows, and when its triggers look (`watch` has them look, at groups `group_watch`).

keep(event) ─▶ instants before the event's time, in order ─▶ the event is added ─▶ every trigger looks once
advance(W)  ─▶ instants up to the watermark, in order, over all keys; keys whose time is over are forgotten
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from penstock.operators.condition import count_doubt
from penstock.operators.expression import Unknown
from penstock.operators.group_watch import Glance, GroupWatch
from penstock.operators.grouping import ONLY
from penstock.operators.key_state import Counts, Group, KeyState, Moment
from penstock.operators.key_table import KeyTable
from penstock.operators.key_timers import KeyTimers
from penstock.operators.plan import Plan
from penstock.operators.record import Raw
from penstock.operators.timers import Timers
from penstock.operators.unsaved import Unsaved
from penstock.operators.watch import NOTHING, OnTransition, Watch
from penstock.operators.watermark import END_OF_TIME

KEYS_AT_ONCE = 1_000
"""So many are armed in a few milliseconds."""

OnEnd = Callable[[KeyState, int], bool]
"""(key, the instant at which its time was over): it is forgotten next. Whether a run without an outcome needs its events."""
OnLook = Callable[[str, int], None]
"""(key, watermark): the watermark has passed an instant that `look_after` was told, and has come to this."""

OnLooked = Callable[[KeyState], None]
"""The triggers have looked at this key, because of an event or an instant, and its deadlines are found next."""


class Takeover(NamedTuple):
    """What follows from a change of definitions, by identity of triggers and aggregates.

    `returned`: they were in no definition for a while; their triggers look once, for time has passed without them. `anew`: what
    was restored of them is forgotten.
    """

    returned: frozenset[str] = frozenset()
    anew: frozenset[str] = frozenset()


class Keys(KeyTable):
    """States by key. Feeding one event costs O(triggers + aggregates), plus O(log keys) where a timer is set."""

    def __init__(
        self, plan: Plan, unsaved: Unsaved, on_transition: OnTransition, on_end: OnEnd, counters: Counts
    ) -> None:
        watch, grouped = Watch(plan.triggers_of(None), unsaved, on_transition), bool(plan.groupings)
        groups = GroupWatch(plan, watch, unsaved, on_transition, counters) if grouped else None
        super().__init__(plan, groups, counters)
        self._plan, self._watch = plan, watch
        self._unsaved = unsaved
        self._on_end = on_end
        self.on_look: OnLook = lambda name, at: None
        self.on_looked: OnLooked | None = None
        self._look, self._find_deadlines = self._watch.look, self._watch.find_deadlines
        self._turn, self._may_rest = self._watch.turn, self._watch.may_rest
        self._sleeps = not self._watch.sleepless
        self._slots = tuple(
            (
                slot,
                None if call.where is None else call.where.evaluate,
                None if call.value is None else call.value.evaluate,
            )
            for slot, call in enumerate(plan.slots)
        )
        self._forget = plan.context.forget
        self._shows = plan.latest is not None
        self._keeps_last = plan.keeps_last
        self._ends: Timers[str] = Timers()
        self._timers = KeyTimers(self._states)
        self.next_timer = self._timers.next
        """No timer is due before this instant."""
        self.began: int | None = None
        """The task's first watermark, where something asks for it."""

    def keep(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        """Take in one event of the key `name`: event time `time`, `line` for the prompt (None: hidden)."""
        key = self._states.get(name) or self._begin(name, time if time > watermark else watermark)
        due = NOTHING if key.deadline is None else self._settle(key, time)
        now = key.now if key.now > time else time
        if watermark > now:
            now = watermark
        key.now = key.last = now
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
        if self._group_watch is not None:
            key.event, key.moment = event, moment
            self._keep_grouped(self._group_watch, key, time, watermark, line, raw, due, values)
            return
        unsaved.facts.append((key.name, time, now - time, line, values))
        resting = key.resting and values is None
        if self._keeps_last or not resting:
            key.event, key.moment = event, moment
        if resting:
            return
        looked = self._look(key, self._turn, time, watermark, due, () if values is None else values[::2], raw)
        if looked and self.on_looked is not None:
            self.on_looked(key)
        idle = key.cells.count(None) == len(key.cells)
        key.fresh, key.resting = False, self._may_rest and idle
        if idle and self._sleeps:
            key.deadline = key.watermark_deadline = None
            if key.resting and not self._keeps_last:
                key.event = key.moment = None
        elif looked:
            self._arm(key)

    def keep_late(
        self, name: str, time: int, event: Any, moment: Moment | None, line: bytes | None, raw: Raw, watermark: int
    ) -> None:
        """`keep` of an event that is late: only triggers that take such events see it, each as a part of the key."""
        key = self._states.get(name) or self._begin(name, watermark)
        groups, watch = key.groups, self._group_watch
        assert groups is not None, "the plan has groupings"
        assert watch is not None, "the plan has groupings"
        key.now = key.last = max(key.now, watermark)
        if line is not None:
            key.context.append(time, line, key.now)
            self._unsaved.bytes += len(line)
        last, key.event, key.moment = (key.event, key.moment), event, moment
        glances, values = watch.take(key, groups, time, raw, None, late=True)
        key.event, key.moment = last
        self._unsaved.facts.append((key.name, time, key.now - time, line, values))
        watch.look(key, groups, glances, time, watermark, raw)
        if self.on_looked is not None:
            self.on_looked(key)
        groups.find_deadlines(key)
        self._arm(key)

    def _keep_grouped(
        self,
        watch: GroupWatch,
        key: KeyState,
        time: int,
        watermark: int,
        line: bytes | None,
        raw: Raw,
        due: frozenset[int],
        values: tuple[Any, ...] | None,
    ) -> None:
        """The rest of `keep` where some triggers see the key in groups."""
        groups = key.groups
        assert groups is not None, "the plan has groupings"
        glances, everything = watch.take(key, groups, time, raw, values)
        self._unsaved.facts.append((key.name, time, key.now - time, line, everything))
        looks, taken = (
            self._turn.watchers and (values is not None or not key.resting),
            () if values is None else values[::2],
        )
        if not looks and not glances and groups.timers.next > key.now:
            return
        key.deadline, key.watermark_deadline = groups.own_deadline, groups.own_watermark_deadline
        if looks and not glances and groups.timers.next > key.now:
            self._look(key, self._turn, time, watermark, due, taken, raw)
            key.fresh = False
        else:
            if looks:
                glances[None] = Glance(key, due, taken, key.fresh)
            watch.look(key, groups, glances, time, watermark, raw)
        if self.on_looked is not None:
            self.on_looked(key)
        groups.own_deadlines_found(key)
        self._watch.rest(key)
        self._arm(key)

    def _add(
        self, key: KeyState, slot: int, time: int, value: Any, taken: tuple[Any, ...] | None
    ) -> tuple[Any, ...] | None:
        """An aggregate takes its part of the event, after what others took, as (slot, value, …)."""
        if value.__class__ is Unknown:
            self._doubt(slot, value)
            return taken
        key.own_slots()[slot].add(time, value, key.now)
        return (slot, value) if taken is None else (*taken, slot, value)

    def _doubt(self, slot: int, value: Any) -> None:
        """An aggregate could not tell whether an event is for it."""
        if value.__class__ is Unknown:
            count_doubt(self._counters, self._plan.slots[slot].identity, value)

    def _settle(self, key: KeyState, time: int) -> frozenset[int]:
        """Every instant before an event's time; returns the triggers that fire at that time with or without the event."""
        if key.deadline is not None and key.deadline < time:
            self.pass_before(key.name, time)
        return self._watch.would_fire(key, time) if key.deadline == time else NOTHING

    def pass_before(self, name: str, time: int) -> None:
        """Every instant of N before an event's time, which is fed next."""
        key = self._states.get(name)
        while key is not None and key.deadline is not None and key.deadline < time:
            self._pass(key, key.deadline, by_watermark=False)

    def _pass(self, key: KeyState, instant: int, *, by_watermark: bool) -> None:
        """Every trigger that asked for this instant looks once: those that look at the whole key, then group by group, unless
        they have to take turns."""
        groups, now = key.groups, max(key.now, instant)
        if self._group_watch is None or groups is None:
            self._watch.pass_instant(key, instant, now, by_watermark=by_watermark)
            if self.on_looked is not None:
                self.on_looked(key)
            self._watch.find_next(key, by_watermark=by_watermark)
            return
        if self._group_watch.in_turns:
            self._group_watch.pass_in_turns(key, groups, instant, by_watermark=by_watermark)
            if self.on_looked is not None:
                self.on_looked(key)
            groups.find_deadlines(key)
            return
        if instant == (groups.own_watermark_deadline if by_watermark else groups.own_deadline):
            self._watch.pass_instant(key, instant, now, by_watermark=by_watermark)
            self._find_deadlines(key)
            groups.own_deadlines_found(key)
        key.now = now
        self._group_watch.pass_instant(key, groups, instant, by_watermark=by_watermark)
        if self.on_looked is not None:
            self.on_looked(key)
        groups.find_deadlines(key)

    def advance(self, watermark: int) -> None:
        """The watermark has come to `watermark`: everything that was due fires, in time order over all keys."""
        while (at := min(self._timers.next, self._ends.next)) <= watermark and at != END_OF_TIME:
            if self._timers.next == at:  # what is due at an instant comes before what is over by then
                self._advance_triggers(at if self._shows else min(watermark, self._ends.next))
            elif (taken := self._ends.take(at)) is not None:
                self.on_look(taken[1], at)
                self._end_if_over(taken[1], at, watermark)
        self.next_timer = at

    def _advance_triggers(self, watermark: int) -> None:
        while (taken := self._timers.take(watermark)) is not None:
            at, key = taken
            while key.deadline is not None and key.deadline <= at:
                self._pass(key, key.deadline, by_watermark=False)
            while key.watermark_deadline is not None and key.watermark_deadline <= at:
                self._pass(key, key.watermark_deadline, by_watermark=True)
            self._arm(key)

    def judged(self, key: KeyState, group: Group | None) -> None:
        """A trigger has decided something of the key, or of this group of it, after an answer: no event did, and no instant."""
        if self.on_looked is not None:
            self.on_looked(key)
        if group is not None and key.groups is not None and self._group_watch is not None:
            self._group_watch.judged(key, key.groups, group)
            key.groups.find_deadlines(key)
            self._arm(key)

    # --- forgetting: every key has one timer, which is moved on when it comes up, never by an event ------------------

    def look_after(self, name: str, instant: int) -> None:
        """`on_look` is called for the key once the watermark has *passed* the instant, or before: it tells the next one."""
        self._end_after(name, instant)

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
        self._unsaved.forget(key.name, since)
        self.forget(key.name, since)
        if since is not None and self._forget is not None:
            self._end_after(key.name, since + self._forget)

    def _arm(self, key: KeyState) -> None:
        for deadline in (key.deadline, key.watermark_deadline):
            if deadline is not None:
                self._timers.set(key, deadline)
                if deadline < self.next_timer:
                    self.next_timer = deadline

    def arm_all(self, watermark: int, takeover: Takeover) -> Iterator[None]:
        """After restoring, in steps: timers are not saved, they follow from the cells. Exhaust it before anything is fed.

        Every instant up to the watermark was looked at before; a key that was silent since does not know that by itself.
        Keys of which no trigger remembers anything are left as they are, unless one has deadlines even so.
        """
        self._timers, self._ends = KeyTimers(self._states), Timers()
        self.next_timer = self._timers.next
        anew = self._places(takeover.anew)
        for number, key in enumerate(list(self._states.values()), start=1):
            key.armed = None
            self._begin_anew(key, *anew)
            if self._watch.sleepless or key.cells != self._no_cells or key.groups:
                key.now = max(key.now, watermark)
                if takeover.returned:
                    self._watch.look_late(key, takeover.returned)
                self._find_deadlines(key)
                yield from self._arm_groups(key, takeover)
                if self.on_looked is not None:
                    self.on_looked(key)
                self._arm(key)
            if self._forget is not None:
                self._arm_end(key, key.last + self._forget, watermark)
            if number % KEYS_AT_ONCE == 0:
                yield

    def _arm_groups(self, key: KeyState, takeover: Takeover) -> Iterator[None]:
        if self._group_watch is not None and key.groups is not None:
            yield from self._group_watch.arm_all(key, key.groups, takeover.returned, takeover.anew)
            key.groups.own_deadlines_found(key)

    def _arm_end(self, key: KeyState, over: int, watermark: int) -> None:
        """Of a definition that forgets sooner than the one before, all keys may be over: that is done here, in steps."""
        if over < watermark and key.deadline is None and key.watermark_deadline is None:
            self._end(key, over, watermark)
        else:
            self._end_after(key.name, over)

    def _places(self, identities: Collection[str]) -> tuple[list[int], list[int]]:
        """Of triggers and of aggregates."""
        cells = [index for index, planned in self._watch.triggers if planned.identity in identities]
        return cells, [slot for slot, call in enumerate(self._plan.slots) if call.identity in identities]

    def _begin_anew(self, key: KeyState, cells: Sequence[int], slots: Sequence[int]) -> None:
        for index in cells:
            key.remember(index, None)
        for slot in slots:
            key.renew(slot, self._plan.slots[slot])

    def episode(self, key: KeyState, trigger: str, group: str | None) -> str | None:
        """The run whose episode the trigger of this name would end, for the key or for a group of it."""
        for index, planned in self._watch.triggers:
            if planned.name == trigger:
                return planned.trigger.episode(key.cells[index])
        if self._group_watch is not None and key.groups is not None:
            return self._group_watch.episode(key.groups, group or ONLY, trigger)
        return None
