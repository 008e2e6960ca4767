"""`every`: fires on a schedule of event time, for the keys that were active since the last time.

multiples of the period     D1 ───────────── D2 ───────────── D3
events of the key              x    x                    x
fires when the watermark has passed            D2             D3
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from penstock.operators.key_state import KeyState
from penstock.operators.setting import Duration
from penstock.operators.trigger import Bind, Fired, Transition, Trigger, TriggerSettings
from penstock.operators.unit import duration_text

WEEK_MS = 604_800_000
FIRST_MONDAY_MS = 4 * 86_400_000
"""The epoch was a Thursday; whole weeks are counted from Monday 1970-01-05."""


class EverySettings(TriggerSettings):
    """Fires at every multiple of the period since the epoch (UTC), for keys with an event since the last one.

    Periods of whole weeks count from Monday.
    """

    every: Duration = Field(description="The period.", examples=["1h"], gt=0)


class Every(Trigger):
    """The cell is the sorted tuple of due times that have an event and have not passed.

    A due time has passed when the watermark is *beyond* it, hence the deadline one millisecond later.
    """

    by_watermark: ClassVar[bool] = True

    def __init__(self, period: int) -> None:
        self.period = period
        self.phase = FIRST_MONDAY_MS if period % WEEK_MS == 0 else 0
        self.condition = f"every {duration_text(period)}"

    def due_of(self, time: int) -> int:
        """The first due time at or after `time`."""
        return -((self.phase - time) // self.period) * self.period + self.phase

    def fed(
        self, key: KeyState, cell: tuple[int, ...] | None, time: int, watermark: int, due: int | None
    ) -> tuple[tuple[int, ...] | None, Transition | None]:
        belongs_to = self.due_of(max(time, watermark))
        if cell is None:
            return (belongs_to,), None
        if belongs_to in cell:
            return cell, None
        return tuple(sorted((*cell, belongs_to))), None

    def deadline(self, key: KeyState, cell: tuple[int, ...] | None) -> int | None:
        return cell[0] + 1 if cell else None

    def passed(
        self, key: KeyState, cell: tuple[int, ...] | None, deadline: int
    ) -> tuple[tuple[int, ...] | None, Transition | None]:
        if not cell:
            return cell, None
        return cell[1:] or None, Fired(cell[0], cell[0])

    def skipped(self, cell: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return cell

    def load(self, dumped: list[int] | None) -> tuple[int, ...] | None:
        return tuple(dumped) if dumped else None


def build(settings: EverySettings, bind: Bind) -> Every:
    return Every(settings.every)
