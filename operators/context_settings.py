"""What a key remembers for the prompt, as a file says it and as the code counts it."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Self

import msgspec
from pydantic import Field, model_validator

from penstock.operators.setting import Settings, Share, Wait
from penstock.operators.token import BYTES_PER_TOKEN
from penstock.operators.unit import duration_text

NEVER_EXPIRES = 2**63
LAST_MS = 1_800_000
EVENTS_MAX, TOKENS_MAX = 100_000, 10_000_000
"""Of a key's window: no model reads more, and 40 MB for each key are beyond what any process has."""


class WindowSettings(Settings):
    """How much of a key's past a prompt shows at most; whichever limit is reached first counts."""

    last: Wait | None = Field(
        default=None,
        description="No event older than this, in event time. Default: 30m; however old it is, where `session` is given.",
    )
    session: Wait | None = Field(
        default=None,
        description="No event before the last silence of so much event time. Less than `last`.",
        examples=["2h"],
    )
    events: int = Field(default=200, ge=1, le=EVENTS_MAX, description="At most so many events.")
    tokens: int = Field(
        default=4000, ge=100, le=TOKENS_MAX, description="At most so many tokens, estimated at four bytes each."
    )

    @model_validator(mode="after")
    def _session_counts(self) -> Self:
        if self.last is not None and self.session is not None and self.session >= self.last:
            raise ValueError(
                f"a `session` of {duration_text(self.session)} has no effect where `last` is {duration_text(self.last)}: "
                "what lies before such a silence is too old by then; make `session` shorter, or leave out one of them"
            )
        return self

    @property
    def reach(self) -> int:
        """How old an event may be (ms)."""
        if self.last is not None:
            return self.last
        return LAST_MS if self.session is None else NEVER_EXPIRES


class Limits(msgspec.Struct, frozen=True):
    """The window and its segments in the units of the code: ms, events, bytes (a line counts with its line end)."""

    last: int
    events: int
    size: int
    segment_span: int
    segment_events: int
    segment_entries: int
    """Times and lines of `segment_events`."""
    segment_size: int
    summarise: bool
    session: int | None


class ContextSettings(Settings):
    """What a key remembers for the prompt."""

    window: WindowSettings = Field(default=WindowSettings(), description="The limits of what is remembered.")
    evict: Share = Field(
        default=0.25,
        description="How much goes at once when a limit is reached: more keeps the prompt's beginning stable for longer.",
        examples=["25%"],
    )
    summary: Literal["none", "rule"] = Field(
        default="none",
        description="What the prompt still says about evicted events; `rule`: counts, ranges, top values.",
    )
    forget: Wait | None = Field(
        default=None,
        description="A key without an event for so long, in event time, is forgotten: what its triggers know, too. "
        "Default: never.",
        examples=["24h"],
    )

    @cached_property
    def limits(self) -> Limits:
        last, events, size = self.window.reach, self.window.events, self.window.tokens * BYTES_PER_TOKEN
        return Limits(
            last=last,
            events=events,
            size=size,
            segment_span=max(1, int(last * self.evict)),
            segment_events=max(1, int(events * self.evict)),
            segment_size=max(1, int(size * self.evict)),
            segment_entries=2 * max(1, int(events * self.evict)),
            summarise=self.summary == "rule",
            session=self.window.session,
        )
