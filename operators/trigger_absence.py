"""`absence`: fires when nothing that satisfies a condition came for a while, and says when something did again.

for: 4s                                       x: an event that satisfies the condition

    events            x   x   ·   ·   ·   ·   x
    silence           ├───×                         another came within `for`
                          ├───────────────F         none did
    resolved                                  R
    decided                                 ▲       when the watermark is *beyond* t + 4s: what came out of order is known by then

Satisfying events are taken in the order of their times, each when the watermark has passed it. So one that is known already
ends no silence that lies before it, and no silence is missed because several ended at once. An event that is fed behind the
watermark is taken at once, unless it is older than the last one taken. Where none was
taken yet and its silence would be over already, it is as if it came now: that silence may have been told before the key was
forgotten.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from penstock.operators.condition import Condition
from penstock.operators.key_state import KeyState
from penstock.operators.setting import TABLE_PREFIX, TableName, Wait
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.trigger import (
    Bind,
    CooldownSettings,
    EpisodicTrigger,
    Fired,
    FireOnWatermark,
    Resolved,
    Suppressed,
    Transition,
)


class AbsenceSettings(CooldownSettings):
    """Fires when nothing came for a while that satisfies the condition, then a `resolved` record when something does."""

    added: ClassVar[frozenset[str]] = frozenset({"expect"})
    lasts: ClassVar[bool] = True

    absence: ConditionText = Field(
        description="Condition over one event: what is expected to come.", examples=['event.kind == "heartbeat"']
    )
    for_: Wait = Field(
        alias="for", description="Fires this long after the last event that satisfies it.", examples=["2m"]
    )
    expect: TableName | None = Field(
        default=None,
        description="Keys with a row in this table are watched, too, also those that never spoke.",
        examples=["tables.hosts"],
    )
    fire: FireOnWatermark = Field(
        default="watermark", exclude=True, description="Decided when the watermark has passed; there is no other way."
    )

    @model_validator(mode="after")
    def _expects_no_parts(self) -> Self:
        if self.expect is not None and self.late == "correct":
            raise ValueError("`expect` cannot go with `late: correct` yet; `late: reason` takes late events, too")
        if self.expect is not None and self.by is not None:
            raise ValueError(
                "`expect` cannot go with `by`: a row says that its key is to speak, not which values of "
                f"`{self.by}` are; make them part of the key of source and table, or leave `by` out"
            )
        return self

    @property
    def expected_table(self) -> str | None:
        """Its name."""
        return None if self.expect is None else self.expect.removeprefix(TABLE_PREFIX)


class AbsenceCell(NamedTuple):
    """`times`: the satisfying event whose silence is watched, and later ones that are known, in order (ms).

    `told`: that silence has fired, or was held back; the second of `times` ends it. `run`: the open episode's. `quiet_until`:
    no firing before this event time.
    """

    times: tuple[int, ...]
    told: bool = False
    run: str | None = None
    quiet_until: int | None = None


class Absence(EpisodicTrigger):
    """A key of which no event ever satisfied the condition is not watched.

    A watermark has passed an instant when it is *beyond* it, hence deadlines one millisecond later.
    """

    by_watermark: ClassVar[bool] = True

    def __init__(self, satisfies: Condition, silence: int, cooldown: int, expects: str | None = None) -> None:
        """`expects`: the table whose rows say of what keys something is to come."""
        self.satisfies, self.silence, self.cooldown, self.expects = satisfies, silence, cooldown, expects
        self.condition = satisfies.text
        self.conditions = self.heeds = (satisfies,)

    def expected(self, cell: AbsenceCell | None, time: int, watermark: int) -> AbsenceCell:
        """There is a row of the key: as if a satisfying event had come at `time`, where the key is not watched yet.

        One whose silence would be over already counts as of now.
        """
        if cell is not None:
            return cell
        return AbsenceCell((watermark - 1 if time + self.silence < watermark else time,))

    def unexpected(self, cell: AbsenceCell | None, watermark: int) -> tuple[None, Resolved | None]:
        """The row is gone: nothing is to come of this key."""
        if cell is None or cell.run is None:
            return None, None
        return None, Resolved(cell.run, max(watermark, cell.times[0] + self.silence))

    def fed(
        self, key: KeyState, cell: AbsenceCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[AbsenceCell | None, Transition | None]:
        if self.satisfies.asked(key) is not True:
            return cell, None
        if time + self.silence < watermark and (cell is None or cell.times[0] >= watermark):
            time = watermark - 1
        if cell is None:
            return AbsenceCell((time,)), None
        times = cell.times
        if time <= times[-1] and any(time == known or time < known < watermark for known in times):
            return cell, None
        if cell.told and time < watermark:
            return self._end(cell, time, times[1:])
        return AbsenceCell(self._with(times, time, watermark), cell.told, cell.run, cell.quiet_until), None

    def _with(self, times: tuple[int, ...], time: int, watermark: int) -> tuple[int, ...]:
        """`times` and one more, without those that decide nothing: the first, when one that came in time has been taken; and any
        whose neighbours are no farther apart than the silence."""
        if len(times) > 1 and times[1] < watermark and times[1] - times[0] <= self.silence:
            times = times[1:]
        if time < times[-1]:
            return self._thinned(sorted((*times, time)))
        near = len(times) > 1 and time - times[-2] <= self.silence
        return (*times[:-1], time) if near else (*times, time)

    def _thinned(self, times: list[int]) -> tuple[int, ...]:
        kept: list[int] = []
        for known in times:
            if len(kept) > 1 and known - kept[-2] <= self.silence:
                kept.pop()
            kept.append(known)
        return tuple(kept)

    def passed(
        self, key: KeyState, cell: AbsenceCell | None, deadline: int
    ) -> tuple[AbsenceCell | None, Transition | None]:
        if cell is None:
            return cell, None
        if cell.told:
            return self._end(cell, cell.times[1], cell.times[2:])
        last = self._last_in_time(cell.times)
        silent = cell._replace(times=cell.times[cell.times.index(last) :], told=True)
        at = last + self.silence
        if cell.quiet_until is not None and at < cell.quiet_until:
            return silent, Suppressed()
        return silent._replace(quiet_until=at + self.cooldown), Fired(at, at)

    def _end(
        self, cell: AbsenceCell, taken: int, later: tuple[int, ...]
    ) -> tuple[AbsenceCell | None, Transition | None]:
        """The silence is over. An event that should have prevented it became known too late: the episode ends where it began."""
        after = cell._replace(times=(taken, *later), told=False, run=None)
        return after, None if cell.run is None else Resolved(cell.run, max(taken, cell.times[0] + self.silence))

    def _last_in_time(self, times: tuple[int, ...]) -> int:
        """The first one that no other followed in time."""
        last = times[0]
        for known in times:
            if known - last > self.silence:
                break
            last = known
        return last

    def deadline(self, key: KeyState, cell: AbsenceCell | None) -> int | None:
        if cell is None:
            return None
        if cell.told:
            return cell.times[1] + 1 if len(cell.times) > 1 else None
        return self._last_in_time(cell.times) + self.silence + 1

    def load(self, dumped: list[Any] | None) -> AbsenceCell | None:
        return AbsenceCell(tuple(dumped[0]), *dumped[1:]) if dumped else None


def build(settings: AbsenceSettings, bind: Bind) -> Absence:
    return Absence(bind(settings.absence, False), settings.for_, settings.cooldown, settings.expected_table)
