"""`when`: fires at the moment at which a condition becomes true, and says when it is over.

    condition     ───┐     ┌──────────┐   ┌────┐
                     └─────┘          └───┘    └────
    firing                 F               (suppressed, or at the end of the cooldown if it still holds)
    resolved                          R

            true, not in cooldown / Fired
      ┌─────┐ ─────────────────────────────▶ ┌────┐
      │ off │                                │ on │
      └─────┘ ◀───────────────────────────── └────┘
        │ ▲     until true / Resolved
        │ │ false / Suppressed
        ▼ │
      off, waiting ── cooldown over and still true / Fired ──▶ on

Unknown changes nothing. One transition at most per evaluation.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from penstock.operators.condition import Condition
from penstock.operators.key_state import KeyState
from penstock.operators.setting import Duration, SpanCondition
from penstock.operators.trigger import Bind, CooldownSettings, Fired, Resolved, Suppressed, Transition, Trigger


class WhenSettings(CooldownSettings):
    """Fires when the condition becomes true, then a `resolved` record when `until` does (default: it is false again)."""

    when: SpanCondition = Field(
        description="Condition over spans of a key's events.", examples=['count(event.outcome == "failed", 60s) >= 20']
    )
    until: SpanCondition | None = Field(default=None, description="What ends the episode; default: `when` is false.")
    cooldown: Duration = Field(default=60_000, description="After a firing, the next one for this key waits this long.")


class WhenCell(NamedTuple):
    """`run`: the open episode's run, None while off. `quiet_until`: N at which the cooldown is over. `waiting`: true in it."""

    run: str | None
    quiet_until: int
    waiting: bool = False


class When(Trigger):
    """Evaluated after every event of the key, at every instant at which one of its spans changes, and when a cooldown ends.

    `rising`: only an event can make the condition true, so that, while it is false, time alone need not be watched. This is
    what makes a counter over a million quiet keys cost nothing.
    """

    episodic: ClassVar[bool] = True

    def __init__(self, when: Condition, until: Condition | None, cooldown: int, *, rising: bool) -> None:
        self.when, self.until, self.cooldown, self.rising = when, until, cooldown, rising
        self.sleeps = rising
        if rising and not when.compiled.own_fields and not when.compiled.uses_moment:
            self.idle_unless = frozenset(when.slots)
        self.condition = when.text
        self.conditions = (when,) if until is None else (when, until)

    def fed(
        self, key: KeyState, cell: WhenCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[WhenCell | None, Transition | None]:
        return self._evaluate(key, cell, due)

    def passed(self, key: KeyState, cell: WhenCell | None, deadline: int) -> tuple[WhenCell | None, Transition | None]:
        return self._evaluate(key, cell, deadline)

    def _evaluate(
        self, key: KeyState, cell: WhenCell | None, due: int | None
    ) -> tuple[WhenCell | None, Transition | None]:
        if cell is not None and cell.run is not None:
            return self._while_on(key, cell, cell.run)
        value = self.when.asked(key)
        if value is True:
            return self._rise(key, cell, due)
        if cell is not None and cell.waiting:
            return (cell._replace(waiting=False), Suppressed()) if value is False else (cell, None)
        return (None if cell is not None and key.now >= cell.quiet_until else cell), None

    def _while_on(self, key: KeyState, cell: WhenCell, run: str) -> tuple[WhenCell | None, Transition | None]:
        over = self.when.asked(key) is False if self.until is None else self.until.asked(key) is True
        if not over:
            return cell, None
        return cell._replace(run=None), Resolved(run, key.now)

    def _rise(self, key: KeyState, cell: WhenCell | None, due: int | None) -> tuple[WhenCell | None, Transition | None]:
        if cell is not None and key.now < cell.quiet_until:
            return (cell if cell.waiting else cell._replace(waiting=True)), None
        return WhenCell(None, key.now + self.cooldown), Fired(key.now, due)

    def opened(self, cell: WhenCell, run: str) -> WhenCell:
        return cell._replace(run=run)

    def episode(self, cell: WhenCell | None) -> str | None:
        return None if cell is None else cell.run

    def deadline(self, key: KeyState, cell: WhenCell | None) -> int | None:
        on = cell is not None and cell.run is not None
        asleep = self.rising and not on and (cell is None or not (cell.waiting or self.when.value(key) is True))
        change = None if asleep else self._next_change(key)
        if cell is None or on or cell.quiet_until <= key.now:
            return change
        return cell.quiet_until if change is None else min(change, cell.quiet_until)

    def _next_change(self, key: KeyState) -> int | None:
        changes = [condition.next_change(key) for condition in self.conditions]
        return min((change for change in changes if change is not None), default=None)

    def would_fire(self, key: KeyState, cell: WhenCell | None) -> bool:
        if cell is not None and (cell.run is not None or key.now < cell.quiet_until):
            return False
        ends_waiting = cell is not None and cell.waiting and key.now == cell.quiet_until
        return ends_waiting or self.when.value(key) is True

    def load(self, dumped: list[Any] | None) -> WhenCell | None:
        return WhenCell(*dumped) if dumped else None


def build(settings: WhenSettings, bind: Bind) -> When:
    when = bind(settings.when, True)
    until = bind(settings.until, True) if settings.until is not None else None
    return When(when, until, settings.cooldown, rising=when.compiled.rising)
