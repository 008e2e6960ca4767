"""One share of a recording, as one task is fed it: the records of its own keys, and the time of all the others.

    lines ──▶ reads ──▶ owner of the key: me? ── yes ──▶ the record
                                          └───── no ───▶ a mark: its time only, one for a stretch of records

What a trigger knows of other keys is the watermark, and nothing else. So a task that is told the time of every record, and
the records of its own keys, does with those keys what a task does that is fed everything: however many share the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import NamedTuple
from zlib import crc32

import msgspec

from penstock.operators.decode import Read
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Headers
from penstock.operators.source import Holds, Source
from penstock.operators.watermark import NEVER
from penstock.pipelines.backtest_input import About, Block

MINUTE_MS = 60_000
OWNERS_MAX = 1_000_000
"""So many keys are remembered by whose they are."""


class Recorded(msgspec.Struct, gc=False):
    """A `Raw` of a recording, and what it was decoded to. A mark has no event: it is known by that."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    read: Read | DeadLetter


class Share(NamedTuple):
    """The keys whose hash falls to `place` of `of`. The first one has what belongs to no key, too."""

    place: int = 0
    of: int = 1


WHOLE = Share()
_UNREAD = DeadLetter("", "")
"""Before it is decoded."""
_READ = attrgetter("read")


def shared_plan(plan: Plan, share: Share) -> Plan:
    """The same pipeline, whose records are decoded before they come. A mark moves time, and is no event; where nothing is shared
    there is none.

    `idle` counts processing time, of which a recording has none: an input is silent when it is over, and only then.
    """
    return replace(plan, sources=tuple(_decoded(source, share) for source in plan.sources))


def _decoded(source: Source, share: Share) -> Source:
    ignores = source.ignores if share == WHOLE else _ignores(source.ignores)
    return replace(source, decode=_READ, decode_all=partial(map, _READ), ignores=ignores, idle=0)


def _ignores(ignores: Holds | None) -> Holds:
    if ignores is None:
        return lambda event, raw, key, time: event is None
    return lambda event, raw, key, time: event is None or ignores(event, raw, key, time)


class Span:
    """Where a recording lies in event time: its first and last instant (ms), and the events of every minute."""

    def __init__(self) -> None:
        self.minutes: Counter[int] = Counter()
        self.first: int | None = None
        self.last: int | None = None

    def add(self, times: Sequence[int]) -> None:
        if not times:
            return
        first, last = min(times), max(times)
        if first // MINUTE_MS == last // MINUTE_MS:
            self.minutes[first // MINUTE_MS] += len(times)
        else:
            self.minutes.update([time // MINUTE_MS for time in times])
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)


class Reader:
    """Makes what a task is fed out of the blocks of one source. `alone`: no other input is merged with it.

    Of several inputs the merge decides by every single record's time whose turn it is: then each has a mark of its own.
    """

    def __init__(self, source: Source, share: Share, *, alone: bool) -> None:
        self._source, self._share, self._alone = source, share, alone
        self._owners = Owners(share)
        self._offset = 0
        self.marks = 0
        self.span = Span()

    def decoded(self, block: Block) -> list[Recorded]:
        """All records of it, each with what it says."""
        records = self._lines(block) if block.about is None else self._spooled(block, block.about)
        for record, read in zip(records, self._source.decode_all(records), strict=True):
            record.read = read
        if self._share.place == 0:
            times = [each.read[1] for each in records if type(each.read) is not DeadLetter]
            self.span.add(times)
        return records

    def _lines(self, block: Block) -> list[Recorded]:
        topic, timestamp, first = self._source.topic, block.timestamp, self._offset
        self._offset += len(block.values)
        return [
            Recorded(topic, 0, offset, timestamp, None, value, (), _UNREAD)
            for offset, value in enumerate(block.values, first)
        ]

    def _spooled(self, block: Block, about: Sequence[About]) -> list[Recorded]:
        topic = self._source.topic
        return [
            Recorded(topic, 0, one.offset, one.timestamp, one.key, value, one.headers, _UNREAD)
            for one, value in zip(about, block.values, strict=True)
        ]

    def shared(self, records: list[Recorded]) -> list[Recorded]:
        """Those of this share, and marks for the others."""
        if self._share.of == 1:
            return records
        return self._by_itself(records) if self._alone else self._merged(records)

    def _by_itself(self, records: list[Recorded]) -> list[Recorded]:
        """A mark stands where the time of others went beyond that of everything before it. One loop: it takes every record."""
        owners, takes_dead = self._owners, self._share.place == 0
        made, highest, told = list[Recorded](), NEVER, NEVER
        for record in records:
            read = record.read
            if type(read) is DeadLetter:
                made += [record] if takes_dead else []
                continue
            name, time, _ = read
            if owners[name]:
                if highest > told:
                    made.append(self._mark(record, highest))
                    told = highest
                made.append(record)
                if time > told:
                    told = time
            elif time > highest:
                highest = time
        if highest > told:
            made.append(self._mark(records[-1], highest))
        return made

    def _merged(self, records: list[Recorded]) -> list[Recorded]:
        """The merge decides by every single record's time whose turn it is: each has a mark of its own."""
        owners, takes_dead = self._owners, self._share.place == 0
        made = []
        for record in records:
            read = record.read
            if type(read) is DeadLetter:
                made += [record] if takes_dead else []
            else:
                made.append(record if owners[read[0]] else self._mark(record, read[1]))
        return made

    def _mark(self, record: Recorded, time: int) -> Recorded:
        """It stands at the place of this record."""
        self.marks += 1
        return Recorded(record.topic, 0, record.offset, record.timestamp, None, None, (), ("", time, None))


class Owners(dict[str, bool]):
    """Whether a key is of this share. By a hash that is the same in every process."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def __missing__(self, name: str) -> bool:
        if len(self) >= OWNERS_MAX:
            self.clear()
        own = self[name] = crc32(name.encode()) % self._share.of == self._share.place
        return own
