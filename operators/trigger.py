"""Is it time to reason? The contract of a kind of trigger; the kinds themselves are in `trigger_<kind>.py`."""

from __future__ import annotations

from pydantic import Field

from penstock.operators.setting import Duration, Settings, Template, Text

NO_AGENT = "none"
"""`agent: none`: the firing itself is the result, no model is called."""


class TriggerSettings(Settings):
    """What every kind of trigger takes besides its own fields."""

    labels: dict[str, Text] = Field(default={}, description="Added to every result of this trigger.")
    annotations: dict[str, Template] = Field(
        default={}, description="Templates rendered once per firing.", examples=[{"summary": "{{ key }} is under attack"}]
    )
    agent: Text | None = Field(
        default=None, description="Which agent reasons; `none` for a result without a model call. Default: the only agent."
    )


class CooldownSettings(TriggerSettings):
    """Kinds that can be told to stay quiet for a while after a firing."""

    cooldown: Duration = Field(default=0, description="No further firing for this key within this time of event time.")
