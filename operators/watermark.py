"""How far event time has come: one watermark per origin, and their minimum for the task.

        events of auth/0     e1 ────── e2 ── e3 ────── e4
        watermark            └ delay ┘   largest event time − delay, never back
        silence                                         └──── idle ────┘ then it moves with processing time

A partition that falls silent must not hold the others back for ever, and an outage of our own must not look like
silence: an origin is idle only when it was read up to an end seen *after* its last record (protocol rule 13).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from penstock.operators.event import Progress
from penstock.state.delta import Clock

NEVER = -(2**62)
"""Before every event."""
END_OF_TIME = 2**62
"""After every event: the watermark of a bounded input that was read to its end."""


class Origin:
    """Event time of one input partition.

    `idle` in ms is how long it may be silent before its watermark moves by itself; None: for ever.
    """

    __slots__ = ("delay", "event_time", "heard_at", "idle", "left_out", "watermark")

    def __init__(self, delay: int, idle: int | None) -> None:
        self.delay, self.idle = delay, idle
        self.event_time: int | None = None
        self.heard_at = 0
        self.watermark = NEVER
        self.left_out = False
        """Silent since it was opened: it has no event time that could hold the others back."""

    def advance(self, time: int) -> None:
        """Take in an event's time that is larger than any before."""
        self.event_time = time
        if time - self.delay > self.watermark:
            self.watermark = time - self.delay

    def fall_silent(self, progress: Progress) -> None:
        """Let the watermark move with processing time if this origin is idle, as far as its silence was seen.

        Since its end was seen last nothing is known: that time may be an outage, or back-pressure.
        """
        if self.idle is None or not progress.caught_up:
            return
        silence = progress.seen_at - self.heard_at - self.idle
        if silence < 0:
            return
        if self.event_time is None:
            self.left_out = True
        else:
            self.watermark = max(self.watermark, self.event_time - self.delay + silence)

    def heard(self, now: int) -> None:
        self.heard_at, self.left_out = now, False

    def clock(self, reached: int) -> Clock:
        """What is saved. `reached` is the task's watermark: time never goes back behind it, however silent this origin was,
        nor does an input that has ended end a second time."""
        watermark = max(self.watermark, reached)
        return Clock(self.event_time, self.heard_at, None if watermark == NEVER else watermark)

    def restore(self, clock: Clock) -> None:
        self.heard_at = clock.heard_at
        if clock.event_time is not None:
            self.advance(clock.event_time)
        if clock.watermark is not None:
            self.watermark = max(self.watermark, clock.watermark)


class Timed(Protocol):
    """What has come so far in event time: an input partition, or all of a rekeyed source."""

    @property
    def watermark(self) -> int: ...
    @property
    def left_out(self) -> bool: ...


def least(origins: Mapping[str, Timed]) -> int:
    """The task's watermark: the minimum over the origins that take part."""
    return min((origin.watermark for origin in origins.values() if not origin.left_out), default=NEVER)


def reached(clocks: Mapping[str, Clock]) -> int:
    """The task's watermark when these were saved: none of them lies behind it, and one is there."""
    saved = [NEVER if clock.watermark is None else clock.watermark for clock in clocks.values()]
    return min(saved, default=NEVER)
