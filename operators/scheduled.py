"""What fires on a schedule: for the keys that were active since the last due time, whichever schedule it is.

due times                   D1 ───────────── D2 ───────────── D3
events of the key              x    x                    x
fires when the watermark has passed          D2               D3
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from penstock.operators.key_state import KeyState
from penstock.operators.schedule import Schedule
from penstock.operators.setting import Wait, Zone
from penstock.operators.trigger import Fired, Transition, Trigger, TriggerSettings

Dues = tuple[int, ...]


class ScheduleSettings(TriggerSettings):
    """What all schedules take."""

    added: ClassVar[frozenset[str]] = frozenset({"zone"})

    zone: Zone | None = Field(
        default=None, description="The time zone of its days (IANA); default UTC.", examples=["Europe/Berlin"]
    )
    over: Literal["active_keys"] = Field(
        default="active_keys", exclude=True, description="For which keys: those with an event since the last due time."
    )

    spread: Wait | None = Field(
        default=None,
        description="Its runs are asked one after the other within this time after the firing, and not all at once.",
        examples=["10m"],
    )

    @property
    def spread_over(self) -> int:
        return self.spread or 0

    def schedule(self) -> Schedule:
        """When it is due."""
        raise NotImplementedError(f"{type(self).__name__} has no schedule")


class Scheduled(Trigger):
    """The cell is the sorted tuple of due times that have an event and have not passed.

    A due time has passed when the watermark is *beyond* it, hence the deadline one millisecond later.
    """

    by_watermark: ClassVar[bool] = True

    def __init__(self, schedule: Schedule, condition: str) -> None:
        self.schedule, self.condition = schedule, condition

    def fed(
        self, key: KeyState, cell: Dues | None, time: int, watermark: int, due: int | None
    ) -> tuple[Dues | None, Transition | None]:
        """An event belongs to the first due time at or after it that has not passed."""
        belongs_to = self.schedule.due_of(max(time, watermark))
        if belongs_to is None or (cell is not None and belongs_to in cell):
            return cell, None
        return tuple(sorted((*(cell or ()), belongs_to))), None

    def deadline(self, key: KeyState, cell: Dues | None) -> int | None:
        return cell[0] + 1 if cell else None

    def passed(self, key: KeyState, cell: Dues | None, deadline: int) -> tuple[Dues | None, Transition | None]:
        if not cell:
            return cell, None
        return cell[1:] or None, Fired(cell[0], cell[0])

    def skipped(self, before: Dues, after: Dues | None) -> Dues | None:
        return after

    def load(self, dumped: list[int] | None) -> Dues | None:
        return tuple(dumped) if dumped else None
