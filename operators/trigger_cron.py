"""`cron`: fires at times of the clock, for the keys that were active since the last one.

cron: "0 6,14,22 * * MON-SAT"     ──06──────14──────22──────06──▶   of the zone
events of the key                    x   x       x
fires                                       D       D
"""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from penstock.operators.cron import parse_cron
from penstock.operators.schedule import LocalTimes
from penstock.operators.scheduled import Scheduled, ScheduleSettings
from penstock.operators.setting import Text
from penstock.operators.trigger import Bind


def _known_cron(text: str) -> str:
    parse_cron(text)
    return text


class CronSettings(ScheduleSettings):
    """Fires at the times of a cron expression, for keys with an event since the last one."""

    cron: Annotated[Text, AfterValidator(_known_cron)] = Field(
        description="Five fields: minute, hour, day of the month, month, day of the week.",
        examples=["0 6,14,22 * * MON-SAT"],
    )

    def schedule(self) -> LocalTimes:
        cron = parse_cron(self.cron)
        return LocalTimes(ZoneInfo(self.zone or "UTC"), cron.next_day, cron.minutes, elapsing=cron.elapsing)


def build(settings: CronSettings, bind: Bind) -> Scheduled:
    return Scheduled(settings.schedule(), f"cron {settings.cron} in {settings.zone or 'UTC'}")
