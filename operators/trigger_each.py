"""`each`: fires for every event that matches; with `debounce`, when matches have stopped coming.

events        ·  x  ·  x  x  ·        x: the condition is true
cooldown 0       F     F  F
cooldown 2       F     F              the third lies within 2 of the second

events        x  ·  x  ·  ·  x  ·  ·  ·  ·
debounce 3    ├──────▶ (moved on)
                    ├────────▶        a match at exactly the end moves it on, too
                             ├────────F    with the values of the last match
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from penstock.operators.condition import Condition, known_values
from penstock.operators.key_state import KeyState
from penstock.operators.run import carried
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.setting import Wait
from penstock.operators.trigger import (
    LATE_UNCORRECTED,
    Bind,
    CooldownSettings,
    Fired,
    FireOnArrival,
    LateUncorrected,
    Suppressed,
    Transition,
    Trigger,
)


class EachSettings(CooldownSettings):
    """Fires for every event that matches; the condition knows no history."""

    added: ClassVar[frozenset[str]] = frozenset({"debounce"})

    each: ConditionText = Field(description="Condition over one event.", examples=['event.level == "FATAL"'])
    debounce: Wait | None = Field(
        default=None, description="Fires this long after the last match, with its values.", examples=["30s"]
    )
    late: LateUncorrected = Field(default="ignore", description=LATE_UNCORRECTED)
    fire: FireOnArrival = Field(
        default="arrival", exclude=True, description="Looked at when an event arrives; there is no other way yet."
    )


class Each(Trigger):
    """The cell is the N at which the cooldown is over."""

    by_event: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False

    def __init__(self, matches: Condition, cooldown: int) -> None:
        self.matches, self.cooldown = matches, cooldown
        self.condition = matches.text
        self.conditions = self.heeds = (matches,)

    def fed(
        self, key: KeyState, cell: int | None, time: int, watermark: int, due: int | None
    ) -> tuple[int | None, Transition | None]:
        if self.matches.asked(key) is not True:
            return cell, None
        if cell is not None and key.now < cell:
            return cell, Suppressed()
        return (key.now + self.cooldown if self.cooldown else None), Fired(time, None)

    def skipped(self, before: int | None, after: int | None) -> None:
        return None

    def forgets(self, cell: int) -> int | None:
        return cell


class DebounceCell(NamedTuple):
    """`quiet_until`: N at which the cooldown is over; `due`: N at which it fires, None while no match waits; `values`: what its
    definitions were at the last match."""

    quiet_until: int | None = None
    due: int | None = None
    values: dict[str, Any] | None = None


class Debounced(Trigger):
    """A match moves the firing on and notes what there will be to tell: later events must not change it."""

    reads_last: ClassVar[bool] = False

    def __init__(self, matches: Condition, cooldown: int, debounce: int) -> None:
        self.matches, self.cooldown, self.debounce = matches, cooldown, debounce
        self.condition = matches.text
        self.conditions = self.heeds = (matches,)

    def fed(
        self, key: KeyState, cell: DebounceCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[DebounceCell | None, Transition | None]:
        if self.matches.asked(key) is not True:
            return self.passed(key, cell, key.now)
        values = carried(known_values(self.definitions, key))
        return DebounceCell(cell and cell.quiet_until, key.now + self.debounce, values), None

    def passed(
        self, key: KeyState, cell: DebounceCell | None, deadline: int
    ) -> tuple[DebounceCell | None, Transition | None]:
        if cell is None or cell.due is None or deadline < cell.due:
            return cell, None
        if cell.quiet_until is not None and cell.due < cell.quiet_until:
            return DebounceCell(cell.quiet_until), Suppressed()
        after = DebounceCell(cell.due + self.cooldown) if self.cooldown else None
        return after, Fired(cell.due, cell.due, cell.values)

    def skipped(self, before: DebounceCell, after: DebounceCell | None) -> None:
        return None

    def deadline(self, key: KeyState, cell: DebounceCell | None) -> int | None:
        return None if cell is None else cell.due

    def forgets(self, cell: DebounceCell) -> int | None:
        return cell.quiet_until if cell.due is None else None

    def load(self, dumped: list[Any] | None) -> DebounceCell | None:
        return DebounceCell(*dumped) if dumped else None


def build(settings: EachSettings, bind: Bind) -> Each | Debounced:
    matches = bind(settings.each, False)
    if settings.debounce is None:
        return Each(matches, settings.cooldown)
    return Debounced(matches, settings.cooldown, settings.debounce)
