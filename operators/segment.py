"""Some of a key's events in the order in which they were fed: what a context evicts as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

Entries = list[Any]
"""Time (ms), line, time, line, …

Flat, because a task of many keys waits for memory: a list of times beside the list of lines, or a pair per event, would be
further places that lie cold when the next event of the key comes.
"""


class Segment(msgspec.Struct, frozen=True, gc=False):
    """Events `first`, `first + 1`, …; `oldest` is the least of their times, `size` the bytes of their lines and line ends."""

    first: int
    entries: Entries
    oldest: int
    size: int

    @property
    def events(self) -> int:
        return len(self.entries) // 2

    @property
    def last(self) -> int:
        return self.first + self.events - 1

    @property
    def times(self) -> list[int]:
        return self.entries[::2]

    @property
    def lines(self) -> list[bytes]:
        return self.entries[1::2]

    @property
    def newest(self) -> int:
        return max(self.times)

    def beyond(self, until: int) -> int:
        """How many of its events happened after `until`."""
        return 0 if self.newest <= until else sum(time > until for time in self.times)

    def part(self, first: int, last: int, until: int | None) -> list[bytes]:
        """Lines of those of its events that are among `first` to `last` and happened at `until` or before (None: all)."""
        entries = self.entries[2 * max(first - self.first, 0) : 2 * (last - self.first + 1)]
        if until is None:
            return entries[1::2]
        return [line for time, line in zip(entries[::2], entries[1::2], strict=True) if time <= until]

    def dump(self) -> list[Any]:
        return [self.first, self.times, self.lines]

    @classmethod
    def load(cls, dumped: Sequence[Any]) -> Segment:
        first, times, lines = dumped
        entries = list(chain.from_iterable(zip(times, lines, strict=True)))
        return cls(first, entries, min(times), sum(map(len, lines)) + len(lines))
