"""Event time of a rekeyed source, as one partition of stage 2 sees it: the minimum over the partitions of the source.

    source/0     ── e 10:00:07 ──▶  at least 10:00:02, by the records and marks that stage 1 has written of it
    source/1     ── e 10:00:03 ──▶  at least 09:59:58
    source/2     (nothing yet)      not known: time waits until stage 1 has said something of every partition
                                    ─────────
    gathered                        09:59:58

Silence is seen where the source is read, so it comes with the marks: a rekeyed topic that says nothing is no silence.

What stage 1 has written may come twice: it writes its last commit again when it cannot know whether that is whole. Records of
one origin come in the order of their offsets, so what lies before the next offset is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from penstock.operators.decode import Read
from penstock.operators.event import Progress
from penstock.operators.moved import arrived
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source_decode import Decode
from penstock.operators.watermark import NEVER
from penstock.state.delta import Clock, Mark

STRANGER = DeadLetter("undecodable", "it was not written by stage 1, and nobody else may write to this topic")

Arrival = Read | DeadLetter | Mark


class _Part:
    """One partition of the source: the next offset expected of it, and its time."""

    __slots__ = ("event_time", "position", "silent", "watermark")

    def __init__(self) -> None:
        self.position, self.silent = 0, False
        self.event_time: int | None = None
        self.watermark = NEVER

    def met(self, mark: Mark) -> None:
        """One that is older than what is known says nothing."""
        if mark.position < self.position:
            return
        self.position, self.silent = mark.position, mark.silent
        if mark.watermark is not None:
            self.watermark = max(self.watermark, mark.watermark)


class Gathered:
    """Keeps the promises of `Origin` for all partitions of one rekeyed source; `delay` in ms is that of the source."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._parts: dict[int, _Part] = {}
        self._of: int | None = None
        self._present = _Part()
        """Of the record that is being fed."""
        self._reached = NEVER

    def passing(
        self, reads: Iterable[tuple[Raw, Arrival]], on_mark: Callable[[], None]
    ) -> Iterator[tuple[Raw, Read | DeadLetter]]:
        """The records that are new, one after the other; marks are taken in when their turn comes, and `on_mark` is told."""
        for raw, read in reads:
            if isinstance(read, Mark):
                self._of = read.of
                self._part(read.partition).met(read)
                on_mark()
            elif read is STRANGER:
                yield raw, STRANGER
            elif raw.offset >= (part := self._part(raw.partition)).position:
                self._present, part.position, part.silent = part, raw.offset + 1, False
                yield raw, read

    def _part(self, partition: int) -> _Part:
        return self._parts.setdefault(partition, _Part())

    @property
    def event_time(self) -> int | None:
        """The largest of the origin of the record that is being fed."""
        return self._present.event_time

    def advance(self, time: int) -> None:
        """Take in the time of that record."""
        self._present.event_time = time
        self._present.watermark = max(self._present.watermark, time - self._delay)

    @property
    def watermark(self) -> int:
        """Never back, also when an origin that was silent begins to speak."""
        if self._of is None or len(self._parts) < self._of:
            return self._reached
        times = [part.watermark for part in self._parts.values() if not part.silent]
        self._reached = max(self._reached, min(times, default=NEVER))
        return self._reached

    @watermark.setter
    def watermark(self, reached: int) -> None:
        self._reached = max(self._reached, reached)

    @property
    def left_out(self) -> bool:
        """No partition has an event that could hold the other sources back."""
        return self._of is not None and len(self._parts) >= self._of and all(p.silent for p in self._parts.values())

    def fall_silent(self, progress: Progress) -> None:
        """Stage 1 sees that."""

    def heard(self, now: int) -> None:
        """It knows that, too."""

    def clock(self, reached: int) -> Clock:
        watermark = max(self.watermark, reached)
        return Clock(None, 0, None if watermark == NEVER else watermark)

    def restore(self, clock: Clock) -> None:
        if clock.watermark is not None:
            self.watermark = clock.watermark

    def marks(self) -> list[Mark]:
        """What is saved of its partitions."""
        return [
            Mark(number, self._of or 0, part.position, None if part.watermark == NEVER else part.watermark, part.silent)
            for number, part in sorted(self._parts.items())
        ]

    def restore_marks(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            self._of = mark.of or None
            self._part(mark.partition).met(mark)


def unpacked(raw: Raw, topic: str, decode: Decode) -> tuple[Raw, Arrival]:
    """A record as it stood in the source's topic, and what it says; a mark with the record that is it."""
    found = arrived(raw, topic)
    if found is None:
        return raw, STRANGER
    return (raw, found) if isinstance(found, Mark) else (found, decode(found))
