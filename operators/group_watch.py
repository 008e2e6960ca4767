"""Triggers that see a key in groups: which group an event belongs to, who looks at it, and which groups are over.

take(event) ─▶ its group in every grouping ─▶ instants of other groups up to N ─▶ every trigger looks once, in the plan's order

A group that remembers nothing is dropped: all its cells are None or have had their time, and its last event is out of every span.
So what a key holds is what is going on, however many values it has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from penstock.operators.condition import Condition, count_doubt
from penstock.operators.context import Context
from penstock.operators.expression import Unknown
from penstock.operators.grouping import ONLY, Grouping, group_name
from penstock.operators.groups import Groups, Name
from penstock.operators.key_state import Counts, Group, KeyState
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.slots import Blank
from penstock.operators.unsaved import Unsaved
from penstock.operators.watch import NOTHING, OnTransition, Turn, Watch, turn_of

GROUPS_AT_ONCE = 1_000
"""So many are armed in a few milliseconds."""


class Glance(NamedTuple):
    """A state whose triggers look at the event: which of them were due anyway, which of its aggregates took the event."""

    state: KeyState
    due: frozenset[int]
    taken: Sequence[int]
    fresh: bool


Glances = dict[int | None, Glance]
"""By grouping; None: the key itself."""


class Struck(NamedTuple):
    """A state whose instant has come, and the triggers there that asked for it. `grouping` None: it is the key itself."""

    grouping: int | None
    state: KeyState
    instant: int
    due: list[tuple[int, PlannedTrigger]]


class _Shape:
    """A grouping, compiled for the loop."""

    def __init__(self, place: int, grouping: Grouping, watch: Watch) -> None:
        self.place, self.watch, self.topics, self.lasts = place, watch, grouping.topics, grouping.lasts
        self.late = grouping.late
        self.keeps_last = grouping.keeps_last
        self.by = grouping.by
        self.slots = tuple(
            (
                slot,
                call.identity,
                None if call.where is None else call.where.evaluate,
                None if call.value is None else call.value.evaluate,
            )
            for slot, call in enumerate(grouping.slots)
        )
        self.first_slot, self.slot_names = grouping.first_slot, grouping.slot_names
        self.stranger: Group | None = None
        """Stands for groups that are not there, one after the other."""
        self.expects = any(planned.trigger.expects is not None for _, planned in watch.triggers)
        """A row may begin something later that reads the last event: a group that has one stays as long as its key."""
        self.skips = False
        """An event that no aggregate takes changes nothing for a group that remembers nothing, nor for one that is not there."""


class GroupWatch:
    """An event costs O(groupings), and O(log groups) where a timer is set; a timer costs as much."""

    def __init__(
        self, plan: Plan, of_keys: Watch, unsaved: Unsaved, on_transition: OnTransition, counters: Counts
    ) -> None:
        self._groupings, self._unsaved, self._counters = plan.groupings, unsaved, counters
        self._of_keys = of_keys
        self._shapes = tuple(
            _Shape(place, grouping, Watch(plan.triggers_of(place), unsaved, on_transition))
            for place, grouping in enumerate(plan.groupings)
        )
        self._blanks = tuple(
            (Blank.of(grouping.slots), (None,) * len(shape.watch.triggers))
            for grouping, shape in zip(plan.groupings, self._shapes, strict=True)
        )
        for shape in self._shapes:
            shape.skips = shape.watch.may_rest and not self._fires_empty(plan, shape)
        self._late_shapes = tuple(shape for shape in self._shapes if shape.late)
        self._watches: dict[int | None, Watch] = {None: of_keys, **{each.place: each.watch for each in self._shapes}}
        watchers = {place: iter(watch.turn.watchers) for place, watch in self._watches.items()}
        in_order = [(planned.grouping, next(watchers[planned.grouping])) for planned in plan.triggers]
        self._stretches = tuple(
            (place, turn_of(watcher for _, watcher in stretch))
            for place, stretch in groupby(in_order, lambda each: each[0])
        )
        seen_by = {planned.name: planned.grouping for planned in plan.triggers}
        self.in_turns = any(
            seen_by[inhibitor.name] != planned.grouping
            for planned in plan.triggers
            for inhibitor in planned.gate.inhibited_by
        )
        """What looks at some groups has to wait for what looks at others, or at the key."""

    def _fires_empty(self, plan: Plan, shape: _Shape) -> bool:
        """Some condition holds where nothing was counted. Those of triggers that may rest ask for aggregates only."""
        key = KeyState("", Context(plan.context), (), (), Counter())
        key.now = 0
        group = self.groups().new(key, (ONLY, shape.place))
        return any(planned.trigger.would_fire(group, None) for _, planned in shape.watch.triggers)

    def groups(self) -> Groups:
        """Of a new key."""
        return Groups(self._blanks)

    def watch_of(self, grouping: int) -> Watch:
        """What evaluates the triggers of a grouping."""
        return self._shapes[grouping].watch

    # --- an event -----------------------------------------------------------------------------------------------

    def take(
        self, key: KeyState, groups: Groups, time: int, raw: Raw, values: tuple[Any, ...] | None, *, late: bool = False
    ) -> tuple[Glances, tuple[Any, ...] | None]:
        """The key's last event, of event time `time`, goes to its group in every grouping, if it is `late` in those that see such
        events. Returns those groups that have to look, and the values of the fact with what their aggregates took.

        Call it when N of the key is that of the event and every instant before the event's time has passed.
        """
        glances: Glances = {}
        for shape in self._late_shapes if late else self._shapes:
            if shape.topics is not None and raw.topic not in shape.topics:
                continue
            name = ONLY if shape.by is None else self._name(shape.by, key)
            if name is None:
                continue
            taken = self._taken(shape, key)
            group = groups.find((name, shape.place))
            if not taken and shape.skips and (group is None or group.resting):
                if group is not None:
                    self._hear(shape, key, group)
                continue
            if group is None:
                stays = taken or shape.expects
                group = groups.get_or_new(key, (name, shape.place)) if stays else self._stranger(shape, key, name)
            due = shape.watch.would_fire(group, time) if group.deadline == time else NOTHING
            group.now = key.now
            self._hear(shape, key, group)
            glances[shape.place] = Glance(group, due, taken[::2], group.fresh)
            if taken:
                self._add(group, time, taken)
                values = (*(values or ()), *_in_facts(shape, name, taken))
        return glances, values

    def _stranger(self, shape: _Shape, key: KeyState, name: str) -> Group:
        """A group that is not there. It is made one of the key's only if it remembers something after its look."""
        group = shape.stranger
        if group is None:
            group = shape.stranger = self.groups().new(key, (name, shape.place))
        group.name, group.context, group.group = key.name, key.context, name
        group.fresh = True
        return group

    @staticmethod
    def _add(group: Group, time: int, taken: Sequence[Any]) -> None:
        group.last = group.now
        slots = group.own_slots()
        for at in range(0, len(taken), 2):
            slots[taken[at]].add(time, taken[at + 1], group.now)

    def _name(self, by: Condition, key: KeyState) -> str | None:
        """Of the group that the key's last event belongs to; None: that is unknown, and counted."""
        value = by.evaluate(key.event, (), key.moment)
        if value.__class__ is Unknown:
            count_doubt(self._counters, by.text, value)
            return None
        return group_name(value)

    def _hear(self, shape: _Shape, key: KeyState, group: Group) -> None:
        group.event, group.moment = key.event, key.moment
        if shape.keeps_last:
            self._unsaved.heard.setdefault(key.name, set()).add(group.place)

    def _taken(self, shape: _Shape, key: KeyState) -> list[Any]:
        """What aggregates take of the key's last event: slot, value, slot, value, …"""
        taken: list[Any] = []
        event, moment = key.event, key.moment
        for slot, identity, where, value_of in shape.slots:
            held = True if where is None else where(event, (), moment)
            if held is True:
                value = None if value_of is None else value_of(event, (), moment)
                if value.__class__ is not Unknown:
                    taken += (slot, value)
                    continue
                held = value
            if held is not False:
                self._doubt(identity, held)
        return taken

    def _doubt(self, identity: str, value: Any) -> None:
        if value.__class__ is Unknown:
            count_doubt(self._counters, identity, value)

    def look(self, key: KeyState, groups: Groups, glances: Glances, time: int, watermark: int, raw: Raw) -> bool:
        """Instants of other groups that N has reached, then every trigger that the event is for, in the order of the plan.

        Returns whether one that looks at the whole key did.
        """
        others: list[Struck] = []
        struck = self._pass_others(key, groups, glances, others) if groups.timers.next <= key.now else ()
        looked: set[int | None] = set()
        for place, turn in self._stretches if glances or others else ():
            if others:
                self._strike(others, place, turn)
            glance = glances.get(place)
            if glance is None:
                continue
            glance.state.fresh = glance.fresh
            watch = self._watches[place]
            if watch.look(glance.state, turn, time, watermark, glance.due, glance.taken, raw):
                looked.add(place)
            glance.state.fresh = False
        for place, (group, *_) in glances.items():
            if isinstance(group, Group) and self._stays(groups, group):
                if place in looked or group.place in struck:
                    self.arm(groups, group)
                self._shapes[group.grouping].watch.rest(group)
        self._arm_struck(groups, others)
        return None in looked

    def _stays(self, groups: Groups, group: Group) -> bool:
        """It is one of the key's, or becomes one: a stranger whose cells are all None has no past, and need have none."""
        shape = self._shapes[group.grouping]
        if group is not shape.stranger:
            return True
        if group.cells.count(None) == len(group.cells):
            return False
        groups.add(group)
        shape.stranger = None
        return True

    def _pass_others(self, key: KeyState, groups: Groups, glances: Glances, others: list[Struck]) -> set[Name]:
        """Returns those groups whose timers came up and that look at the event instead. `others` get those that have to wait for
        their turns."""
        own = {glance.state.place for glance in glances.values() if isinstance(glance.state, Group)}
        struck: set[Name] = set()
        while (timer := groups.timers.take(key.now)) is not None:
            if timer[1] in own:
                struck.add(timer[1])
            elif self.in_turns:
                others.extend(self._struck(key, groups, timer[1], key.now, by_watermark=False))
            else:
                self._pass(key, groups, timer[1], key.now, by_watermark=False)
        return struck

    # --- time ---------------------------------------------------------------------------------------------------

    def pass_instant(self, key: KeyState, groups: Groups, instant: int, *, by_watermark: bool) -> None:
        """Every group with a timer at this instant or before looks, in the order of their names. N of the key is there."""
        timers = groups.watermark_timers if by_watermark else groups.timers
        while (timer := timers.take(instant)) is not None:
            self._pass(key, groups, timer[1], instant, by_watermark=by_watermark)

    def _pass(self, key: KeyState, groups: Groups, name: Name, instant: int, *, by_watermark: bool) -> None:
        """It looks if its deadline has come: a timer may be early, or only there to see whether the group is over."""
        group = groups.find(name)
        if group is None:
            return
        due = group.watermark_deadline if by_watermark else group.deadline
        if due is not None and due <= instant:
            self._shapes[group.grouping].watch.pass_instant(group, due, key.now, by_watermark=by_watermark)
        group.now = key.now
        self.arm(groups, group)

    # --- in turns -----------------------------------------------------------------------------------------------

    def pass_in_turns(self, key: KeyState, groups: Groups, instant: int, *, by_watermark: bool) -> None:
        """As `pass_instant`, for the key and its groups together: every trigger that asked for the instant looks once, in the
        order of the plan."""
        own = groups.own_watermark_deadline if by_watermark else groups.own_deadline
        due = self._of_keys.due_at(key, instant, by_watermark=by_watermark) if instant == own else []
        key.now = max(key.now, instant)
        struck = [Struck(None, key, instant, due)]
        timers = groups.watermark_timers if by_watermark else groups.timers
        while (timer := timers.take(instant)) is not None:
            struck.extend(self._struck(key, groups, timer[1], instant, by_watermark=by_watermark))
        for place, turn in self._stretches:
            self._strike(struck, place, turn)
        self._of_keys.find_deadlines(key)
        groups.own_deadlines_found(key)
        self._arm_struck(groups, struck)

    def _struck(
        self, key: KeyState, groups: Groups, name: Name, instant: int, *, by_watermark: bool
    ) -> Iterator[Struck]:
        group = groups.find(name)
        if group is None:
            return
        at = group.watermark_deadline if by_watermark else group.deadline
        watch = self._shapes[group.grouping].watch
        due = [] if at is None or at > instant else watch.due_at(group, at, by_watermark=by_watermark)
        group.now = key.now
        yield Struck(group.grouping, group, instant if at is None else at, due)

    def _strike(self, struck: Iterable[Struck], place: int | None, turn: Turn) -> None:
        """Those look whose turn it is, each at every state where it asked for it."""
        names = {watcher.planned.name for watcher in turn.watchers}
        for grouping, state, instant, due in struck:
            if grouping == place:
                self._watches[place].strike(state, [each for each in due if each[1].name in names], instant)

    def judged(self, key: KeyState, groups: Groups, group: Group) -> None:
        """What was decided of it may have been all that it remembered."""
        group.now = key.now
        self.arm(groups, group)

    def _arm_struck(self, groups: Groups, struck: Iterable[Struck]) -> None:
        for each in struck:
            if isinstance(each.state, Group):
                self.arm(groups, each.state)

    # --- deadlines ----------------------------------------------------------------------------------------------

    def arm(self, groups: Groups, group: Group) -> None:
        """What it waits for next; or its end, where there is nothing to wait for and nothing left to remember."""
        shape = self._shapes[group.grouping]
        shape.watch.find_deadlines(group)
        forgets = None if shape.expects and group.event is not None else shape.watch.forgets(group)
        over = None if forgets is None else max(forgets, group.last + shape.lasts)
        at, watermark = group.deadline, group.watermark_deadline
        if at is None and watermark is None and over is not None and over <= group.now:
            groups.drop(group)
            return
        if over is not None and over > group.now:
            at = over if at is None else min(at, over)
        if at is not None:
            groups.timers.set(group.place, at)
        if watermark is not None:
            groups.watermark_timers.set(group.place, watermark)

    # --- restoring ----------------------------------------------------------------------------------------------

    def arm_all(
        self, key: KeyState, groups: Groups, returned: Collection[str], anew: Collection[str]
    ) -> Iterator[None]:
        """After restoring, in steps: N of the key is where it was. When a group was fed last is not saved: not after its key."""
        for number, group in enumerate(list(groups), start=1):
            self._begin_anew(group, anew)
            group.now, group.last = key.now, key.last
            if returned:
                self._shapes[group.grouping].watch.look_late(group, returned)
            self.arm(groups, group)
            if number % GROUPS_AT_ONCE == 0:
                yield

    def _begin_anew(self, group: Group, identities: Collection[str]) -> None:
        shape = self._shapes[group.grouping]
        for place, planned in shape.watch.triggers:
            if planned.identity in identities:
                group.remember(place, None)
        for slot, name in enumerate(shape.slot_names):
            if name in identities:
                group.renew(slot, self._groupings[group.grouping].slots[slot])

    def episode(self, groups: Groups, name: str, trigger: str) -> str | None:
        """The run whose episode the trigger of this name would end for the group `name`."""
        for shape in self._shapes:
            group = groups.find((name, shape.place))
            for place, planned in shape.watch.triggers if group is not None else ():
                if group is not None and planned.name == trigger:
                    return planned.trigger.episode(group.cells[place])
        return None


def _in_facts(shape: _Shape, name: str, taken: Sequence[Any]) -> Iterator[Any]:
    """Slots by their numbers in facts, each value with the group that took it."""
    for place in range(0, len(taken), 2):
        yield shape.first_slot + taken[place]
        yield (name, taken[place + 1])
