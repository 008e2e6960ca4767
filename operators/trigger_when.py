"""`when`: fires at the moment at which a condition becomes true, or has been true for a while, and says when it is over.

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

With `for` it has to be true for a while before it fires, with `keep_firing_for` to be over for a while before it ends:

    condition                ┌──┐  ┌───────────┐ ┌──┐
                          ───┘  └──┘           └─┘  └───────────
    for: 4s                  ├──×  ├───F
    keep_firing_for: 4s                        ├─×  ├───R

An evaluation looks at one condition: `when` while off, `until` while on. A wait begins with the first evaluation at which that
one is true, ends when it is false, and goes on while it is unknown.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from penstock.operators.condition import Condition
from penstock.operators.key_state import KeyState
from penstock.operators.setting import Duration, SpanCondition, Wait
from penstock.operators.trigger import (
    Bind,
    CooldownSettings,
    EpisodicTrigger,
    Fired,
    FireOnArrival,
    Resolved,
    Suppressed,
    Transition,
)


class WhenSettings(CooldownSettings):
    """Fires when the condition becomes true, then a `resolved` record when `until` does (default: it is false again)."""

    lasts: ClassVar[bool] = True
    added: ClassVar[frozenset[str]] = frozenset({"for_", "keep_firing_for"})

    when: SpanCondition = Field(
        description="Condition over spans of a key's events.", examples=['count(event.outcome == "failed", 60s) >= 20']
    )
    until: SpanCondition | None = Field(default=None, description="What ends the episode; default: `when` is false.")
    cooldown: Duration = Field(default=60_000, description="After a firing, the next one for this key waits this long.")
    for_: Wait | None = Field(
        default=None, alias="for", description="Fires once `when` has been true for this long.", examples=["5m"]
    )
    keep_firing_for: Wait | None = Field(
        default=None,
        description="Ends once `until` (default: not `when`) has been true for this long.",
        examples=["10m"],
    )
    fire: FireOnArrival = Field(
        default="arrival", exclude=True, description="Looked at when an event arrives; there is no other way yet."
    )


class WhenCell(NamedTuple):
    """`run`: the open episode's run (NO_RUN: it has none), None while off. `quiet_until`: N at which the cooldown is over.
    `waiting`: true in it.

    `since`: N at which a wait began, only of `DelayedWhen`.
    """

    run: str | None
    quiet_until: int
    waiting: bool = False
    since: int | None = None


class When(EpisodicTrigger):
    """Evaluated after every event of the key, at every instant at which one of its spans changes, and when a cooldown ends.

    `rising`: only an event can make the condition true, so that, while it is false, time alone need not be watched. This is
    what makes a counter over a million quiet keys cost nothing.
    """

    def __init__(self, when: Condition, until: Condition | None, cooldown: int, *, rising: bool) -> None:
        self.when, self.until, self.cooldown, self.rising = when, until, cooldown, rising
        self.sleeps = rising
        self.condition = when.text
        self.conditions = (when,) if until is None else (when, until)
        if not when.compiled.own_fields and not when.compiled.uses_moment:
            self.idle_unless = frozenset(when.slots) if rising else None
            # Where `until` and `when` can both be true, every look goes from on to off or back.
            self.deaf_unless = frozenset(when.slots) if until is None else None

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
        return self._rise(key, cell, due) if value is True else self._while_off(key, cell, value)

    def _while_off(self, key: KeyState, cell: WhenCell | None, value: Any) -> tuple[WhenCell | None, Transition | None]:
        """The condition is false or unknown."""
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

    def forgets(self, cell: WhenCell) -> int | None:
        return None if cell.run is not None or cell.waiting or cell.since is not None else cell.quiet_until

    def would_fire(self, key: KeyState, cell: WhenCell | None) -> bool:
        if cell is not None and (cell.run is not None or key.now < cell.quiet_until):
            return False
        ends_waiting = cell is not None and cell.waiting and key.now == cell.quiet_until
        return ends_waiting or self.when.value(key) is True

    def dump(self, cell: WhenCell | None) -> Any:
        return None if cell is None else cell[:3]

    def load(self, dumped: list[Any] | None) -> WhenCell | None:
        return WhenCell(*dumped) if dumped else None


class DelayedWhen(When):
    """With `for`, `keep_firing_for` or both (ms; 0: without). While it waits, every change of a span is looked at."""

    def __init__(
        self,
        when: Condition,
        until: Condition | None,
        cooldown: int,
        rises_after: int,
        falls_after: int,
        *,
        rising: bool,
    ) -> None:
        super().__init__(when, until, cooldown, rising=rising)
        self.rises_after, self.falls_after = rises_after, falls_after
        self.ends, self.ends_when = (when, False) if until is None else (until, True)

    def _while_off(self, key: KeyState, cell: WhenCell | None, value: Any) -> tuple[WhenCell | None, Transition | None]:
        if cell is None or cell.since is None:
            return (None if cell is not None and key.now >= cell.quiet_until else cell), None
        if value is not False:
            return cell, None
        after = cell._replace(waiting=False, since=None) if key.now < cell.quiet_until else None
        return after, Suppressed() if cell.waiting else None

    def _rise(self, key: KeyState, cell: WhenCell | None, due: int | None) -> tuple[WhenCell | None, Transition | None]:
        before = WhenCell(None, key.now) if cell is None else cell
        since = key.now if before.since is None else before.since
        over = key.now >= since + self.rises_after
        if over and key.now >= before.quiet_until:
            return WhenCell(None, key.now + self.cooldown), Fired(key.now, due)
        after = before._replace(since=since, waiting=over)
        return (cell if after == cell else after), None

    def _while_on(self, key: KeyState, cell: WhenCell, run: str) -> tuple[WhenCell | None, Transition | None]:
        value = self.ends.asked(key)
        if not isinstance(value, bool):
            return cell, None
        if value is not self.ends_when:
            return (cell if cell.since is None else cell._replace(since=None)), None
        since = key.now if cell.since is None else cell.since
        if key.now >= since + self.falls_after:
            return cell._replace(run=None, since=None), Resolved(run, key.now)
        return (cell if cell.since == since else cell._replace(since=since)), None

    def deadline(self, key: KeyState, cell: WhenCell | None) -> int | None:
        if cell is None or cell.since is None:
            return super().deadline(key, cell)
        on = cell.run is not None
        instants = [self._next_change(key), cell.since + (self.falls_after if on else self.rises_after)]
        if not on:
            instants.append(cell.quiet_until)
        return min((instant for instant in instants if instant is not None and instant > key.now), default=None)

    def would_fire(self, key: KeyState, cell: WhenCell | None) -> bool:
        """What fires at the end of its wait does so because time passed, also where an event stands."""
        ends_wait = cell is not None and cell.since is not None and key.now == cell.since + self.rises_after
        return ends_wait or super().would_fire(key, cell)

    def dump(self, cell: WhenCell | None) -> Any:
        return cell


def build(settings: WhenSettings, bind: Bind) -> When:
    when = bind(settings.when, True)
    until = bind(settings.until, True) if settings.until is not None else None
    rising = when.compiled.rising
    if settings.for_ is None and settings.keep_firing_for is None:
        return When(when, until, settings.cooldown, rising=rising)
    return DelayedWhen(when, until, settings.cooldown, settings.for_ or 0, settings.keep_firing_for or 0, rising=rising)
