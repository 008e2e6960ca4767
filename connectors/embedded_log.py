"""One opened task of an embedded broker: the port's `TaskLog` over a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from penstock.connectors.embedded_store import Bounds, Fence, Page, Store, Trim, Write
from penstock.connectors.partition import places_of
from penstock.connectors.port import Batch, Committed, Layout, Limits, Start, Stored, TaskId, WallClock
from penstock.connectors.read_behind import ReadBehind
from penstock.operators.error import Damaged, Indefinite, Lost, Refused, Unreachable
from penstock.operators.event import Progress
from penstock.operators.record import Output, Record
from penstock.state.codec import Joiner, LogRecord, records_of, size_of
from penstock.state.delta import Bucket, Delta, Entry, Position
from penstock.state.journal import Journal

PAGE_RECORDS = 500
BREATH_SECONDS = 0.010
"""Restoring lets others have the event loop at least so often."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a task stands on: its layout, how many partitions each topic has, and the largest record that is taken."""

    store: Store
    layout: Layout
    clock: WallClock
    counts: Mapping[str, int]
    record_bytes_max: int


async def records_between(
    store: Store, topic: str, partition: int, start: int, end: int, *, committed: bool = True
) -> AsyncIterator[Record]:
    """Pages through [start, end)."""
    while start < end:
        page = await store.read(topic, partition, start, PAGE_RECORDS, committed=committed)
        for record in page.records:
            if record.offset >= end:
                return
            yield record
        if page.next <= start:
            return
        start = page.next


async def bounds_of(store: Store, topic: str, partition: int) -> Bounds:
    return (await store.read(topic, partition, 0, 0)).bounds


class EmbeddedLog:
    """`TaskLog` over a store. `bounds` of the log were seen after fencing; `on_close` is told when it is given up."""

    def __init__(
        self, ground: Ground, task: TaskId, fence: Fence, bounds: Bounds, on_close: Callable[[TaskId], Awaitable[None]]
    ) -> None:
        self.task, self.partitions = task, ground.counts[ground.layout.log]
        self.incarnation = 0
        self.seq = -1
        self._ground, self._store, self._layout = ground, ground.store, ground.layout
        self._fence, self._bounds, self._on_close = fence, bounds, on_close
        self._journal = Journal(ground.layout.log, task.partition)
        self._read_behind = ReadBehind(ground.layout, task.partition)
        self._sent: dict[str, int] = {}
        self._positions: dict[str, int] = {}
        self._places: dict[str, tuple[str, int]] = {}
        """Topic and partition of every input."""
        self.skipped: dict[str, int] = {}
        self._paused: set[str] = set()
        self._turn = 0
        self._over: Lost | None = None

    # --- opening ------------------------------------------------------------------------------------------------

    async def restored(self) -> AsyncIterator[Stored]:
        joiner, clock = Joiner(), self._ground.clock
        start, _, end = self._bounds
        breathed_at = clock.monotonic()
        async for record in records_between(self._store, self._layout.log, self.task.partition, start, end):
            joined = joiner.add(record)
            if joined is not None:
                self._journal.restored(joined.entry, joined.incarnation, joined.offset)
                yield Stored(joined.entry, joined.size)
            if clock.monotonic() - breathed_at >= BREATH_SECONDS:
                await asyncio.sleep(0)
                breathed_at = clock.monotonic()
        self._journal.end_of_log(start)
        self.seq, self.incarnation = self._journal.seq, self._journal.incarnation + 1
        self._sent = dict.fromkeys(self._layout.outputs, -1) | self._journal.sent

    async def begin(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        begun: dict[str, Position] = {}
        places = {topic: self._layout.place(topic, self.task.partition) for topic in self._layout.inputs}
        self._places = places | self._tables()
        for name, place in self._places.items():
            start = self._layout.inputs.get(name)
            bounds = await (bounds_of(self._store, *place) if start is None else self._bounds_of_input(name))
            known = positions.get(name)
            if known is not None:
                await self._check(place, known, bounds)
                begun[name] = known
            elif start is None:
                begun[name] = Position(bounds.start)
            else:
                begun[name] = Position(await self._resolve(name, start, bounds))
                self.skipped[name] = begun[name].offset - bounds.start
        self._positions = {topic: position.offset for topic, position in begun.items()}
        return begun

    def _tables(self) -> dict[str, tuple[str, int]]:
        tables, counts = self._layout.tables, self._ground.counts
        return {f"{each}/{p}": (topic, p) for each, topic in tables.items() for p in range(counts[topic])}

    async def _bounds_of_input(self, name: str) -> Bounds:
        topic, partition = self._places[name]
        partitions, expected = await self._store.partitions(topic), self._ground.counts[self._layout.log]
        if partitions != expected:
            found = "is missing" if partitions is None else f"has {partitions} partitions"
            raise Unreachable(
                f"the topic {found}, the pipeline's log has {expected}",
                where=topic,
                remedy="every source needs as many partitions as the log: bring the topic back as it was",
            )
        return await bounds_of(self._store, topic, partition)

    async def _resolve(self, name: str, start: Start, bounds: Bounds) -> int:
        match start:
            case "earliest":
                return bounds.start
            case "latest":
                return bounds.stable
            case _:
                return await self._store.first_since(*self._places[name], start)

    async def _check(self, place: tuple[str, int], known: Position, bounds: Bounds) -> None:
        """Protocol rule 7: a position that does not fit its input is refused, never reset."""
        if not bounds.start <= known.offset <= bounds.end:
            raise self._misplaced(
                place, known.offset, f"our position lies outside of what is there, {bounds.start} to {bounds.end}"
            )
        if known.crc == -1 or known.last < bounds.start:
            return
        page = await self._store.read(*place, known.last, 1)
        found = next((each for each in page.records if each.offset == known.last), None)
        if found is None or (found.timestamp, crc32(found.value or b"")) != (known.timestamp, known.crc):
            raise self._misplaced(place, known.last, "the last record that we read looks different now")

    def _misplaced(self, place: tuple[str, int], offset: int, what: str) -> Damaged:
        return Damaged(
            what,
            where=f"{place[0]}/{place[1]}@{offset}",
            remedy="the topic was trimmed, or deleted and made again: bring it back, or start afresh under another name",
        )

    # --- reading ------------------------------------------------------------------------------------------------

    async def fetch(self, limits: Limits) -> Batch:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.wait
        while True:
            known = self._store.records.version
            batch = await self._fetch_once(limits.records)
            patience = deadline - loop.time()
            if batch.records or patience <= 0:
                return batch
            await self._store.records.wait(known, patience)

    async def _fetch_once(self, limit: int) -> Batch:
        """Another input is first each time: one that never ends cannot starve the others."""
        names = list(self._positions)
        self._turn = (self._turn + 1) % max(1, len(names))
        records: dict[str, Sequence[Record]] = {}
        progress: dict[str, Progress] = {}
        for name in names[self._turn :] + names[: self._turn]:
            page = await self._read(name, 0 if name in self._paused else limit)
            if page.records:
                records[name] = page.records
                limit -= len(page.records)
            progress[name] = Progress(self._positions[name], page.bounds.stable, self._ground.clock.now())
        return Batch(records, progress)

    async def _read(self, name: str, limit: int) -> Page:
        start, place = self._positions[name], self._places[name]
        page = await self._store.read(*place, start, limit)
        if start < page.bounds.start:
            raise self._misplaced(place, start, f"records were deleted before we read them, up to {page.bounds.start}")
        if limit > 0:
            self._positions[name] = page.next
        return page

    def pause(self, topic: str) -> None:
        self._paused.add(topic)

    def resume(self, topic: str) -> None:
        self._paused.discard(topic)

    # --- writing ------------------------------------------------------------------------------------------------

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        if self._over is not None:
            raise self._over
        self._journal.check(delta, buckets)
        for output in outputs:
            self._refuse_if_too_large(output)
        now = self._ground.clock.now()
        entries: list[Entry] = [delta, *buckets]
        records = [records_of(entry, self.incarnation) for entry in entries]
        writes = [self._log_write(record, now) for each in records for record in each]
        own = len(writes)
        writes += [write for output in outputs for write in self._output_writes(output, now)]
        offsets = await self._decide(writes)
        self._journal.confirmed(delta, offsets[0], buckets)
        self._read_behind.confirmed(delta.header)
        self.seq = delta.header.seq
        for write, offset in zip(writes[own:], offsets[own:], strict=True):
            self._sent[write.topic] = offset
        return Committed(dict(self._sent), [size_of(each) for each in records])

    async def _decide(self, writes: list[Write]) -> list[int]:
        """Whatever goes wrong here ends this log, also being cancelled: what came of it is not known (protocol rule 3)."""
        trim = self._trim()
        self._over = Indefinite("a commit was given up while it was under way", where=self._layout.log)
        try:
            offsets = await self._store.commit(self._fence, writes, trim)
        except Lost as lost:
            self._over = lost
            raise
        self._over = None
        return offsets

    def _trim(self) -> Trim | None:
        """What is not needed any more of the log, or else of a topic that only we read: one of them with each commit."""
        before = self._journal.trim_to()
        if before is not None:
            return Trim(self._layout.log, self.task.partition, before)
        behind = self._read_behind.trim_to()
        return None if behind is None else Trim(*behind)

    def _refuse_if_too_large(self, output: Output) -> None:
        headers = sum(len(name) + len(value) for name, value in output.headers)
        size, most = len(output.key or b"") + len(output.value or b"") + headers, self._ground.record_bytes_max
        if size > most:
            raise Refused(output, f"{size} bytes are more than the {most} that {output.topic} takes in one record")

    def _log_write(self, record: LogRecord, now: int) -> Write:
        return Write(self._layout.log, self.task.partition, record.key, record.value, record.headers, now)

    def _output_writes(self, output: Output, now: int) -> Iterator[Write]:
        for partition in places_of(output, self.task.partition, self._ground.counts[output.topic]):
            yield Write(output.topic, partition, output.key, output.value, output.headers, now)

    async def close(self) -> None:
        self._over = self._over or Indefinite("this log was closed", where=self._layout.log)
        await self._on_close(self.task)
