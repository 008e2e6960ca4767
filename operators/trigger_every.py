"""`every`: fires on a schedule of event time, for the keys that were active since the last time."""

from __future__ import annotations

from pydantic import Field

from penstock.operators.setting import Duration
from penstock.operators.trigger import TriggerSettings


class EverySettings(TriggerSettings):
    """Fires at every multiple of the period since the epoch (UTC), for keys with an event since the last one."""

    every: Duration = Field(description="The period.", examples=["1h"], gt=0)
