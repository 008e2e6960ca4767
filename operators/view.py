"""Which of a key's events a prompt shows. The log holds it with its run."""

from __future__ import annotations

from typing import NamedTuple


class View(NamedTuple):
    """What a prompt may show now: events `first` to `last` (inclusive; none if last < first), their times, and the summary.

    `beyond` of these events happened after `until` and are not shown: they were fed before a timer of that time fired.
    """

    first: int
    last: int
    from_time: int | None
    to_time: int | None
    summary: str
    until: int | None = None
    beyond: int = 0

    @property
    def events(self) -> int:
        return self.last - self.first + 1 - self.beyond
