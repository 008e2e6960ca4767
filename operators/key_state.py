"""All that a task knows about one key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.operators.aggregate import Aggregate
from penstock.operators.context import Context
from penstock.operators.inhibition import Inhibitions
from penstock.operators.record import Raw
from penstock.operators.watermark import NEVER

Counts = Counter[tuple[str, ...]]
"""Monotone counts of what happened, by (what, which)."""


class Moment:
    """What an expression can know about the event being fed besides the event itself. Built only where one asks."""

    __slots__ = ("key", "labels", "record", "source", "time")

    def __init__(self, key: str, source: str, record: Raw, time: int, labels: Mapping[str, str]) -> None:
        self.key, self.source, self.record, self.time, self.labels = key, source, record, time, labels


class Late(NamedTuple):
    """A late event, and which one was the last then: it is the newest as long as that is the last one still."""

    event: Any
    moment: Moment | None
    before: Any


class KeyState:
    """One key's memory.

    `now` is N of the key: the largest time among its kept events and the watermark; it never goes back (ms).
    `last` is what N was after its last event.
    `slots` are its aggregates and `cells` its triggers' memories (None: nothing to remember), both in the plan's order.
    `fresh`: no trigger has looked at it since it was made or restored. `resting`: none need look before an aggregate takes
    an event.
    `counters` are its task's.
    `deadline` is the next N, `watermark_deadline` the next watermark, at which a trigger wants to look.
    `event` and `moment` are its last event, of those that were not late; `late` is the last one that was, if a trigger took it.
    `inhibitions`: by place of the trigger, when it kept others quiet, and still does. None: none of them did.
    """

    __slots__ = (
        "cells", "context", "counters", "deadline", "event", "fresh", "inhibitions", "last", "late", "moment", "name",
        "now", "resting", "slots", "watermark_deadline",
    )  # fmt: skip

    @property
    def newest(self) -> tuple[Any, Moment | None]:
        """The last event, also if it was late."""
        late = self.late
        if late is None or late.before is not self.event:
            return self.event, self.moment
        return late.event, late.moment

    def __init__(self, name: str, context: Context, slots: list[Aggregate], triggers: int, counters: Counts) -> None:
        self.name = name
        self.counters = counters
        self.now = self.last = NEVER
        self.context = context
        self.slots = slots
        self.cells: list[Any] = [None] * triggers
        self.event: Any = None
        self.fresh = True
        self.resting = False
        self.moment: Moment | None = None
        self.late: Late | None = None
        self.deadline: int | None = None
        self.watermark_deadline: int | None = None
        self.inhibitions: Mapping[int, Inhibitions] | None = None
