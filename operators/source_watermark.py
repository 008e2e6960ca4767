"""What the file says about disorder and silence of a source; what follows from it is in `watermark.py`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from penstock.operators.setting import Duration, Settings

NEVER = "never"


def _idle(value: Any) -> Any:
    return None if value == NEVER else value


Idle = Annotated[
    Duration | None, BeforeValidator(_idle), WithJsonSchema({"type": "string", "examples": ["1m", NEVER]}),
]  # fmt: skip
"""A duration or `never`, which is None."""


class WatermarkSettings(Settings):
    """How disorder and silence of a source are judged."""

    delay: Duration = Field(default=5_000, description="How far behind the newest event an older one is expected.")
    idle: Idle = Field(default=60_000, description="Silence after which time passes without events, or `never`.")
    lateness: Duration = Field(default=600_000, description="Further behind the watermark than this, an event is late.")
    ahead: Duration = Field(
        default=86_400_000, description="Further after the record's timestamp than this, an event's time is an error."
    )
