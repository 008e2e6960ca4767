"""`when`: fires at the moment at which a condition becomes true, and says when it is over."""

from __future__ import annotations

from pydantic import Field

from penstock.operators.setting import Duration, SpanCondition
from penstock.operators.trigger import CooldownSettings


class WhenSettings(CooldownSettings):
    """Fires when the condition becomes true, then a `resolved` record when `until` does (default: when it is false again)."""

    when: SpanCondition = Field(
        description="Condition over spans of a key's events.", examples=['count(event.outcome == "failed", 60s) >= 20']
    )
    until: SpanCondition | None = Field(default=None, description="What ends the episode; default: `when` is false.")
    cooldown: Duration = Field(default=60_000, description="After a firing, the next one for this key waits this long.")
