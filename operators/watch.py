"""The one place where triggers are evaluated: those that look at whole keys, or those of one grouping at its groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from penstock.operators.key_state import KeyState
from penstock.operators.plan import PlannedTrigger
from penstock.operators.record import Raw
from penstock.operators.trigger import Transition
from penstock.operators.unsaved import Unsaved

NOTHING: frozenset[int] = frozenset()

OnTransition = Callable[[KeyState, PlannedTrigger, int, Transition, Raw | None, Any], None]
"""(key or group, trigger, its place there, what happened, the record that did it or None if time did, the cell before)."""
Watcher = tuple[int, PlannedTrigger, frozenset[int] | None]
"""(place among the cells, trigger, its `idle_unless`)."""


class Watch:
    """What the triggers of one kind of state have in common: `state` is a key or a group, with a cell for each of them."""

    def __init__(
        self, triggers: Iterable[tuple[int, PlannedTrigger]], unsaved: Unsaved, on_transition: OnTransition
    ) -> None:
        self.triggers = tuple(triggers)
        self.watchers: tuple[Watcher, ...] = tuple(
            (place, planned, planned.trigger.idle_unless) for place, planned in self.triggers
        )
        self.may_rest = all(idle_unless is not None for _, _, idle_unless in self.watchers)
        self.sleepless = not all(planned.trigger.sleeps for _, planned in self.triggers)
        self._unsaved, self._on_transition = unsaved, on_transition

    def look(
        self,
        state: KeyState,
        watchers: Sequence[Watcher],
        time: int,
        watermark: int,
        due: frozenset[int],
        taken: Sequence[int],
        raw: Raw,
    ) -> bool:
        """These triggers look at the event just added, each unless it cannot matter to it. Returns whether any did."""
        looked, fresh = False, state.fresh
        for place, planned, idle_unless in watchers:
            cell = state.cells[place]
            if cell is None and idle_unless is not None and not fresh and idle_unless.isdisjoint(taken):
                continue
            looked = True
            after, transition = planned.trigger.fed(state, cell, time, watermark, state.now if place in due else None)
            if after is not cell or transition is not None:
                self.replace(state, place, planned, after, transition, raw)
        return looked

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
        state.deadline = state.watermark_deadline = None
        for place, planned in self.triggers:
            trigger = planned.trigger
            at = trigger.deadline(state, state.cells[place])
            if at is None:
                continue
            if trigger.by_watermark:
                state.watermark_deadline = at if state.watermark_deadline is None else min(at, state.watermark_deadline)
            else:
                state.deadline = at if state.deadline is None else min(at, state.deadline)

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
            for place, planned in self.triggers
            if planned.trigger.by_watermark is by_watermark
            and planned.trigger.deadline(state, state.cells[place]) == instant
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
