"""The one place where triggers are evaluated: those that look at whole keys, or those of one grouping at its groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.operators.key_state import KeyState
from penstock.operators.plan import PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.trigger import Transition, Trigger
from penstock.operators.unsaved import Unsaved

NOTHING: frozenset[int] = frozenset()

OnTransition = Callable[[KeyState, PlannedTrigger, int, Transition, Raw | None, Any], None]
"""(key or group, trigger, its place there, what happened, the record that did it or None if time did, the cell before)."""


class Watcher(NamedTuple):
    """A trigger, ready for the loop: its place among the cells, and what it says of itself. `heeds`: bits of its conditions."""

    place: int
    planned: PlannedTrigger
    trigger: Trigger
    idle_unless: frozenset[int] | None
    deaf_unless: frozenset[int] | None
    heeds: int
    by_watermark: bool
    waits: bool
    """It may ask for deadlines."""


class Turn(NamedTuple):
    """Triggers that look one after the other. `uncalled`: those for which also such an event may matter as none of their
    conditions heeds and no aggregate took."""

    watchers: tuple[Watcher, ...]
    uncalled: tuple[Watcher, ...]


def turn_of(watchers: Iterable[Watcher]) -> Turn:
    every = tuple(watchers)
    return Turn(every, tuple(each for each in every if not (each.heeds or _only_counts(each))))


def _only_counts(watcher: Watcher) -> bool:
    return watcher.idle_unless is not None and watcher.deaf_unless is not None


class Watch:
    """What the triggers of one kind of state have in common: `state` is a key or a group, with a cell for each of them."""

    def __init__(
        self, triggers: Iterable[tuple[int, PlannedTrigger]], unsaved: Unsaved, on_transition: OnTransition
    ) -> None:
        self.triggers = tuple(triggers)
        heeded = {condition.text: condition for _, planned in self.triggers for condition in planned.trigger.heeds}
        bits = {text: 1 << number for number, text in enumerate(heeded)}
        self._heeded = tuple((bits[text], condition.evaluate) for text, condition in heeded.items())
        self.turn = turn_of(_watcher(place, planned, bits) for place, planned in self.triggers)
        self._waiting = {
            kind: tuple(
                (each.place, each.planned) for each in self.turn.watchers if each.waits and each.by_watermark is kind
            )
            for kind in (False, True)
        }
        self.may_rest = all(planned.trigger.idle_unless is not None for _, planned in self.triggers)
        self.sleepless = not all(planned.trigger.sleeps for _, planned in self.triggers)
        self._unsaved, self._on_transition = unsaved, on_transition

    def look(
        self,
        state: KeyState,
        turn: Turn,
        time: int,
        watermark: int,
        due: frozenset[int],
        taken: Sequence[int],
        raw: Raw,
    ) -> bool:
        """These triggers look at the event just added, each unless it cannot matter to it. Returns whether any did.

        Deadlines of those that looked are noted; the state may wait for an earlier one that is no more: it finds nobody then.
        """
        looked, now = False, state.now
        must = state.fresh or (state.deadline is not None and state.deadline <= now)
        heard = self._heard(state)
        watchers = turn.watchers if heard or taken or must else turn.uncalled
        for place, planned, trigger, idle_unless, deaf_unless, heeds, by_watermark, waits in watchers:
            cell = state.cells[place]
            unless = idle_unless if cell is None else deaf_unless
            if not must and ((heeds and not heeds & heard) or (unless is not None and unless.isdisjoint(taken))):
                continue
            looked = True
            after, transition = trigger.fed(state, cell, time, watermark, now if place in due else None)
            if after is not cell or transition is not None:
                self.replace(state, place, planned, after, transition, raw)
            elif by_watermark:  # the cell says what it waits for, and N does not matter to it
                continue
            if waits and (at := trigger.deadline(state, state.cells[place])) is not None:
                state.wait_until(at, by_watermark=by_watermark)
        return looked

    def _heard(self, state: KeyState) -> int:
        """Bits of what is true of the state's last event, or may be."""
        heard, event, moment = 0, state.event, state.moment
        for bit, evaluate in self._heeded:
            if evaluate(event, (), moment) is not False:
                heard |= bit
        return heard

    def rest(self, state: KeyState) -> None:
        """After all of them looked: need none look again before an aggregate takes an event?"""
        state.resting = self.may_rest and state.cells.count(None) == len(state.cells)

    def would_fire(self, state: KeyState, time: int) -> frozenset[int]:
        """Those that asked for the instant `time`, at which an event stands, and fire there with or without it."""
        due = self.due_at(state, time, by_watermark=False)
        state.now = time
        return frozenset(place for place, planned in due if planned.trigger.would_fire(state, state.cells[place]))

    def pass_instant(self, state: KeyState, instant: int, now: int, *, by_watermark: bool) -> None:
        """Those that asked for this instant look once, in the order of the plan, at N `now`."""
        due = self.due_at(state, instant, by_watermark=by_watermark)
        state.now = now
        self.strike(state, due, instant)

    def strike(self, state: KeyState, due: Iterable[tuple[int, PlannedTrigger]], instant: int) -> None:
        """They asked for this instant, and N has come to it."""
        for place, planned in due:
            cell, transition = planned.trigger.passed(state, state.cells[place], instant)
            self.replace(state, place, planned, cell, transition, None)

    def look_late(self, state: KeyState, identities: Collection[str]) -> None:
        """These come back to what they remembered. Deadlines of the watermark need no such look: they stay until it passes."""
        for place, planned in self.triggers:
            trigger, cell = planned.trigger, state.cells[place]
            late = planned.identity in identities and not trigger.by_event and not trigger.by_watermark
            if late and cell is not None:
                cell, transition = trigger.passed(state, cell, state.now)
                self.replace(state, place, planned, cell, transition, None)

    def find_deadlines(self, state: KeyState) -> None:
        """All of them are asked. O(triggers)."""
        state.deadline = self._earliest(state, by_watermark=False)
        state.watermark_deadline = self._earliest(state, by_watermark=True)

    def find_next(self, state: KeyState, *, by_watermark: bool) -> None:
        """After an instant of that kind: those that wait for the other kind wait for what they waited for."""
        if by_watermark:
            state.watermark_deadline = self._earliest(state, by_watermark=True)
        else:
            state.deadline = self._earliest(state, by_watermark=False)

    def _earliest(self, state: KeyState, *, by_watermark: bool) -> int | None:
        cells = state.cells
        instants = [planned.trigger.deadline(state, cells[place]) for place, planned in self._waiting[by_watermark]]
        return min((instant for instant in instants if instant is not None), default=None)

    def forgets(self, state: KeyState) -> int | None:
        """The N from which on none of its cells says anything, if nothing happens before; None: time alone will not do."""
        over = state.now
        for place, planned in self.triggers:
            cell = state.cells[place]
            if cell is not None:
                at = planned.trigger.forgets(cell)
                if at is None:
                    return None
                over = max(over, at)
        return over

    def due_at(self, state: KeyState, instant: int, *, by_watermark: bool) -> list[tuple[int, PlannedTrigger]]:
        """Triggers that asked for `instant`. Ask before N moves there: a span that has changed names its next change."""
        return [
            (place, planned)
            for place, planned in self._waiting[by_watermark]
            if planned.trigger.deadline(state, state.cells[place]) == instant
        ]

    def replace(
        self,
        state: KeyState,
        place: int,
        planned: PlannedTrigger,
        cell: object,
        transition: Transition | None,
        raw: Raw | None,
    ) -> None:
        """A look at one trigger came to this."""
        before = state.cells[place]
        if cell is not before:
            state.remember(place, cell)
            state.resting = False
            self._unsaved.change(state.name, planned.identity, state.group)
        if transition is not None:
            self._on_transition(state, planned, place, transition, raw, before)


def _watcher(place: int, planned: PlannedTrigger, bits: Mapping[str, int]) -> Watcher:
    trigger = planned.trigger
    return Watcher(
        place,
        planned,
        trigger,
        trigger.idle_unless,
        trigger.deaf_unless,
        sum(bits[text] for text in {condition.text for condition in trigger.heeds}),
        trigger.by_watermark,
        waits=type(trigger).deadline is not Trigger.deadline,
    )
