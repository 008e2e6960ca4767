"""`every`: fires after each period of event time, for the keys that were active in it.

every: 6h                          ──06──────12──────18──────00──▶   multiples since the epoch, in UTC
every: 1d, zone: Europe/Berlin     ──────────23|00──────────────▶    days of the zone, of 23 to 25 hours
every: 1w, zone: Europe/Berlin     ──SUN|MON────────────────────▶    weeks of the zone, from Monday
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from penstock.operators.schedule import LocalTimes, NextDay, Periodic, Schedule
from penstock.operators.scheduled import Scheduled, ScheduleSettings
from penstock.operators.setting import Duration
from penstock.operators.trigger import Bind
from penstock.operators.unit import duration_text

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
_EPOCH = date(1970, 1, 1)
_FIRST_MONDAY = date(1970, 1, 5)
"""The epoch was a Thursday; whole weeks are counted from here."""


class EverySettings(ScheduleSettings):
    """Fires after every period, for keys with an event in it. Periods are multiples since the epoch in UTC.

    Whole days begin at midnight and whole weeks on Monday, of the `zone` if there is one.
    """

    every: Duration = Field(description="The period.", examples=["1h"], gt=0)

    @model_validator(mode="after")
    def _zone_has_days(self) -> Self:
        if self.zone is not None and self.every % DAY_MS:
            raise ValueError(
                f"`zone` goes with whole days or weeks: every {duration_text(self.every)} is the same everywhere; "
                "for hours of local time write `cron`"
            )
        return self

    @model_validator(mode="after")
    def _spread_ends(self) -> Self:
        if self.spread_over > self.every:
            raise ValueError(
                f"`spread` is {duration_text(self.spread_over)}, and it is due again after {duration_text(self.every)}; "
                "write a shorter one"
            )
        return self

    def schedule(self) -> Schedule:
        first = _FIRST_MONDAY if self.every % WEEK_MS == 0 else _EPOCH
        if self.zone is None:
            return Periodic(self.every, (first - _EPOCH).days * DAY_MS)
        return LocalTimes(ZoneInfo(self.zone), _each(self.every // DAY_MS, first), (0,), elapsing=False)


def _each(days: int, first: date) -> NextDay:
    def next_day(day: date) -> date:
        return day + timedelta(days=(first - day).days % days)

    return next_day


def build(settings: EverySettings, bind: Bind) -> Scheduled:
    where = "" if settings.zone is None else f" in {settings.zone}"
    return Scheduled(settings.schedule(), f"every {duration_text(settings.every)}{where}")
