"""What one key remembers: its newest events, in segments of lines that never change.

    append ─▶ │ segment │ segment │ segment │ open… │ ─▶ view        one segment = `evict` of the window
                   │
                   └─ a limit is exceeded: the oldest segment goes as a whole ─▶ rule summary, if there is one
                                                                       └──────▶ kept aside while an open run pins it

Evicting line by line would change the beginning of every prompt and make a prefix cache useless; evicting a segment changes
it once per segment. So the limits of the window are upper bounds, and the window breathes between (1 − `evict`) and 1.

What is evicted depends on the appends and their instants only: looking (`view`) evicts nothing that the next append would
not evict, so a log that replays the appends restores the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from penstock.operators.context_settings import NEVER_EXPIRES
from penstock.operators.context_settings import ContextSettings as ContextSettings  # exported: with the context
from penstock.operators.segment import Segment
from penstock.operators.session import Session
from penstock.operators.summary import Summary
from penstock.operators.view import View
from penstock.operators.watermark import NEVER


class Context:
    """One key's memory. Times are event time in ms; `now` is N of the key, which never goes back.

    The open segment lies here, field by field, until it is full: one place less to look up for every event. `_first` is the
    number of its first line, `_earliest` the time of the oldest line of all segments. Up to `_careful_from` (N), `_entries_max`
    and `_size_max` the open segment takes events without a closer look. There may be millions of these, nearly all with few
    lines: what they have not got takes no memory, and numbers that are equal are shared.

    Restoring from a log: pins of the runs that are open *after* a delta are set before its events are appended, so that what
    those events evict is kept. The other way round the lines of a run that is asked again would be gone.
    """

    __slots__ = (
        "_careful_from", "_closed", "_closed_size", "_earliest", "_entries", "_entries_max", "_first", "_kept", "_limits",
        "_oldest", "_pins", "_session", "_size", "_size_max", "_summary",
    )  # fmt: skip

    def __init__(self, settings: ContextSettings) -> None:
        self._limits = settings.limits
        self._session = None if self._limits.session is None else Session(self._limits.session)
        self._summary: Summary | None = None
        self._kept: list[Segment] | None = None
        self._earliest = NEVER_EXPIRES
        self._pins: dict[str, int] | None = None
        self._hold([], 0)

    def _hold(self, segments: Sequence[Segment], number: int) -> None:
        """Hold these and nothing else. The last one is open; without any, the next line has this number."""
        *closed, opened = segments or [Segment(number, [], 0, 0)]
        self._closed = tuple(closed)
        self._closed_size = sum(segment.size for segment in self._closed)
        self._first, self._entries = opened.first, opened.entries
        self._oldest, self._size = opened.oldest, opened.size
        self._careful_from, self._entries_max, self._size_max = NEVER, 0, 0
        self._find_earliest()

    @property
    def _opened(self) -> Segment:
        """The open one as it is now."""
        return Segment(self._first, self._entries, self._oldest, self._size)

    @property
    def _segments(self) -> list[Segment]:
        """All that hold something."""
        return [*self._closed, self._opened] if self._entries else [*self._closed]

    @property
    def _next(self) -> int:
        """The number of the next line."""
        return self._first + len(self._entries) // 2

    @property
    def _events(self) -> int:
        return self._next - self._began

    @property
    def _began(self) -> int:
        """The number of the first line that is held."""
        return self._closed[0].first if self._closed else self._first

    @property
    def _held(self) -> int:
        return self._closed_size + self._size

    def append(self, time: int, line: bytes, now: int) -> None:
        """Remember a line, whatever order its event time comes in. O(1) amortised.

        An event that is older than the window already is evicted at once. A line larger than the whole window becomes
        `{"cut": <its beginning>, "bytes": <its size>}`.
        """
        entries = self._entries
        in_order = time is now or time >= self._oldest  # mostly the former: then the oldest time is left where it lies
        if in_order and now < self._careful_from and len(entries) < self._entries_max:
            size = self._size + len(line) + 1
            if size <= self._size_max:
                entries.append(time)
                entries.append(line)
                self._size = size
                return
        self._append_carefully(time, line, now)

    def _append_carefully(self, time: int, line: bytes, now: int) -> None:
        """Nothing is known: something may have to go before, or a new segment to begin, or the line to be cut."""
        limits = self._limits
        if now >= self._expires:
            self._expire(now)
        if not self._is_of_session(time) or time <= now - limits.last:
            if limits.summarise:
                self._fold((line,), time, time)
            return
        size = len(line) + 1
        if size > limits.size:
            line = _cut(line, limits.size - 1)
            size = len(line) + 1
        if self._events >= limits.events or self._closed_size + self._size + size > limits.size:
            self._make_room(size)
        if (
            self._size + size > limits.segment_size
            or len(self._entries) >= limits.segment_entries
            or (self._entries and time >= self._entries[0] + limits.segment_span)
        ):
            self._close()
        if not self._entries:
            self._oldest = time
        self._oldest = min(self._oldest, time)
        self._earliest = min(self._earliest, time)
        self._entries += (time, line)
        self._size += size
        self._bound()

    def _is_of_session(self, time: int) -> bool:
        """False for what belongs to a session before. With the first event of a session all that was before it goes."""
        session = self._session
        if session is None:
            return True
        if session.ends_before(time):
            self._evict(len(self._segments))
        return session.take(time)

    def _bound(self) -> None:
        """What the open segment takes without a closer look: its own share, as far as the window has room for it.

        Nothing where sessions count: every event may begin one, or make it reach further.
        """
        limits = self._limits
        if self._session is None:
            self._careful_from = min(self._expires, self._entries[0] + limits.segment_span)
        self._size_max = min(limits.segment_size, limits.size - self._closed_size)
        room = limits.events - (self._first - self._began)
        self._entries_max = limits.segment_entries if room >= limits.segment_events else 2 * room

    def _close(self) -> None:
        """The open segment takes no more; the next line begins another one."""
        if self._entries:
            self._closed = (*self._closed, self._opened)
            self._closed_size += self._size
            self._first = self._next
            self._entries, self._size, self._careful_from = [], 0, NEVER

    def _find_earliest(self) -> None:
        self._earliest = self._oldest if self._entries else NEVER_EXPIRES
        for segment in self._closed:
            self._earliest = min(self._earliest, segment.oldest)

    @property
    def _expires(self) -> int:
        """N from which on the earliest line is too old."""
        return self._earliest + self._limits.last

    def _make_room(self, size: int) -> None:
        limits = self._limits
        while self._entries and (self._events >= limits.events or self._held + size > limits.size):
            self._evict(1)

    def _expire(self, now: int) -> None:
        """Oldest segments go up to the last one that holds something too old."""
        bound = now - self._limits.last
        count = max((place for place, segment in enumerate(self._segments, 1) if segment.oldest <= bound), default=0)
        self._evict(count)

    def _evict(self, count: int) -> None:
        """The oldest segments go, so many; where they are all, the open one, too."""
        if count > len(self._closed):
            self._close()
        evicted = self._closed[:count]
        self._closed = self._closed[count:]
        self._closed_size -= sum([segment.size for segment in evicted])
        self._find_earliest()
        if self._limits.summarise:
            for segment in evicted:
                self._fold(segment.lines, segment.oldest, segment.newest)
        if self._pins is not None:
            needed = min(self._pins.values())
            self._kept = [*(self._kept or ()), *(segment for segment in evicted if segment.last >= needed)] or None

    def _fold(self, lines: Sequence[bytes], oldest: int, newest: int) -> None:
        if self._summary is None:
            self._summary = Summary()
        self._summary.fold(lines, oldest, newest)

    def view(self, now: int, until: int | None = None) -> View:
        """What a prompt may show at `now`, of events that happened at `until` or before (None: all)."""
        if now >= self._expires:
            self._expire(now)
        segments = self._segments
        summary = "" if self._summary is None else self._summary.text()
        beyond = 0 if until is None else sum(segment.beyond(until) for segment in segments)
        if beyond == self._events:
            return View(self._next, self._next - 1, None, None, summary)
        if until is not None and beyond:
            times = [time for segment in segments for time in segment.times if time <= until]
        else:
            times = [edge for segment in segments for edge in (segment.oldest, segment.newest)]
        oldest, newest = min(times, default=None), max(times, default=None)
        return View(segments[0].first, self._next - 1, oldest, newest, summary, until if beyond else None, beyond)

    def lines(self, first: int, last: int, until: int | None = None) -> list[bytes]:
        """Events `first` to `last`, which are in the window or pinned, without those that happened after `until`.

        Raises LookupError if one of them is gone.
        """
        found: list[bytes] = []
        missing = last - first + 1
        for segment in (*(self._kept or ()), *self._segments):
            if segment.first <= last and segment.last >= first:
                missing -= min(segment.last, last) - max(segment.first, first) + 1
                found += segment.part(first, last, until)
        if missing > 0:
            raise LookupError(
                f"events {first} to {last} of a key are not all held any more; they were not pinned in time"
            )
        return found

    def pin(self, run: str, first: int) -> None:
        """Keep events from `first` on readable until the run is unpinned, evicted or not. May come before they do."""
        self._pins = {**(self._pins or {}), run: first}

    def unpin(self, run: str) -> None:
        """The run needs its events no more; nothing happens if it pinned none."""
        if self._pins is None or self._pins.pop(run, None) is None:
            return
        needed = min(self._pins.values(), default=self._next)
        self._kept = [segment for segment in self._kept or () if segment.last >= needed] or None
        self._pins = self._pins or None

    @property
    def pinned(self) -> bool:
        """Runs need some of its events."""
        return self._pins is not None

    def forget(self, *, numbers_go_on: bool) -> None:
        """Show nothing any more. What is pinned stays readable if numbers go on; else pins are of events still to come."""
        if numbers_go_on:
            self._evict(len(self._segments))
        else:
            self._kept = None
            self._hold([], 0)
        if self._session is not None:
            self._session.reset()
        self._summary = None

    def dump(self) -> list[Any]:
        """Everything, as builtins: [next number, segments, kept segments, pins, summary], then the session where they count."""
        return [
            self._next,
            [segment.dump() for segment in self._segments],
            [segment.dump() for segment in self._kept or ()],
            dict(self._pins or {}),
            None if self._summary is None else self._summary.dump(),
            *([] if self._session is None else [self._session.dump()]),
        ]

    def load(self, dumped: Sequence[Any]) -> None:
        """Become what was dumped. Under narrower limits than it was dumped with, the excess goes at once.

        Where sessions did not count, all of it is of one.
        """
        following, segments, kept, pins, summary, *session = dumped
        self._hold([Segment.load(segment) for segment in segments], following)
        self._kept = [Segment.load(segment) for segment in kept] or None
        self._pins = dict(pins) or None
        self._summary = None if summary is None else Summary.load(summary)
        self._evict(self._excess())
        if self._session is not None:
            self._session.load(session[0] if session else [time for each in self._segments for time in each.times])

    def _excess(self) -> int:
        """How many of the oldest segments must go for the rest to fit."""
        events, size = self._events, self._held
        for count, segment in enumerate(self._segments):
            if events <= self._limits.events and size <= self._limits.size:
                return count
            events -= segment.events
            size -= segment.size
        return len(self._segments) if events > 0 else 0


def _cut(line: bytes, size_max: int) -> bytes:
    """The beginning of a line that is too large, as a JSON object of at most `size_max` bytes."""
    shown = size_max
    while True:
        shown //= 2
        beginning = line[:shown].decode("utf-8", "ignore")
        cut = orjson.dumps({"cut": beginning, "bytes": len(line)})
        if len(cut) <= size_max:
            return cut
