"""`each`: fires for every event that matches."""

from __future__ import annotations

from pydantic import Field

from penstock.operators.setting import Condition
from penstock.operators.trigger import CooldownSettings


class EachSettings(CooldownSettings):
    """Fires for every event that matches; the condition knows no history."""

    each: Condition = Field(description="Condition over one event.", examples=['event.level == "FATAL"'])
