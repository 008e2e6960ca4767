"""Reading the inputs of one task: manual assignment, all of them at once, never reset (protocol rules 7 and 8).

Every task has a reader of its own. One shared reader would disturb the others with every `assign`, which replaces
everything, and its fetcher lets unread records of one partition hold back all others of that broker. What it costs,
measured with 30 tasks on one broker: 90 connections with the producers', 0.4 s to open all, 4 % of a core when idle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from zlib import crc32

from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_error import Stalled
from penstock.connectors.kafka_port import Admin, Clients, Reader
from penstock.connectors.kafka_topics import absent
from penstock.connectors.port import Batch, Layout, Limits, Start
from penstock.operators.error import Damaged, Unreachable
from penstock.operators.event import Progress
from penstock.operators.record import Raw
from penstock.state.delta import Position

READ_MS = 200
READ_RECORDS = 500
STALLED_READS_MAX = 300
"""So many reads of `READ_MS` without a step forward are a minute."""
ANEW = "bring the records back, or begin anew under another namespace or name"


class Inputs:
    """Partition `partition` of every input. `reader` is started, reads committed records and is the caller's to stop."""

    def __init__(self, clients: Clients, reader: Reader, ends: Reader, layout: Layout, partition: int) -> None:
        """`ends` tells high watermarks: it reads uncommitted records."""
        self._clients, self._reader, self._ends = clients, reader, ends
        self._inputs: Mapping[str, Start] = layout.inputs
        self._layout = layout
        self._log = layout.log
        self._partitions = {topic: TopicPartition(*layout.place(topic, partition)) for topic in layout.inputs}
        """By the names of the inputs; those of tables are known when their partitions have been counted."""
        self._progress: dict[str, Progress] = {}
        self._came_at: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        self._names: Mapping[TopicPartition, str] = {}

    async def begin(self, admin: Admin, positions: Mapping[str, Position], now: int) -> dict[str, Position]:
        """As `TaskLog.begin`. Raises Damaged, Unreachable."""
        try:
            await self._check_partitions(admin)
            wanted = list(self._partitions.values())
            starts = await self._ends.beginning_offsets(wanted)
            ends = await self._ends.end_offsets(wanted)
            known = {topic: positions[topic] for topic in self._partitions if topic in positions}
            for topic, position in known.items():
                each = self._partitions[topic]
                _check_range(each, position.offset, starts[each], ends[each])
                await self._check_last(each, position, starts[each])
            resolved = {topic: known.get(topic) or await self._resolve(topic, starts) for topic in self._partitions}
        except (KafkaError, TimeoutError, OSError) as error:
            raise self._clients.unreachable(error, "taking up the inputs") from error
        self._reader.assign(wanted)
        for topic, each in self._partitions.items():
            self._reader.seek(each, resolved[topic].offset)
            self._progress[topic] = Progress(resolved[topic].offset, ends[each], now)
            self._came_at[topic] = now
            if topic not in known and topic in self._inputs:
                self.skipped[topic] = resolved[topic].offset - starts[each]
        return resolved

    async def _check_partitions(self, admin: Admin) -> None:
        read = [*self._layout.read, *self._layout.rekeyed.values()]
        found = {topic: len(each) for topic, each in (await admin.leaders([self._log, *read])).items()}
        missing = [topic for topic in read if topic not in found]
        if missing:
            raise Unreachable(f"{absent(missing)} any more", where=self._where)
        changed = [
            f"{topic} has {found[topic]}"
            for topic in (*(each.topic for each in self._partitions.values()), *sorted(self._layout.partitioned))
            if found[topic] != found.get(self._log)
        ]
        if changed:
            what = f"{self._log} has {found.get(self._log, 0)} partitions, but {', '.join(changed)}: keys have moved"
            raise Unreachable(what, where=self._where, remedy="begin anew under another namespace or name")
        for identity, topic in self._layout.tables.items():
            each = {f"{identity}/{p}": TopicPartition(topic, p) for p in range(found[topic])}
            self._partitions.update(each)
        self._names = {place: name for name, place in self._partitions.items()}

    @property
    def _where(self) -> str:
        return f"kafka {self._clients.address}"

    async def _check_last(self, partition: TopicPartition, position: Position, start: int) -> None:
        """The last record read must still look so, if it is still there: else the topic was deleted and made again."""
        if position.last < start:
            return
        async for raw in read(self._reader, partition, position.last, position.last + 1):
            if raw.offset == position.last and (raw.timestamp, _crc(raw)) != (position.timestamp, position.crc):
                raise Damaged(
                    "the record read last looks different now: the topic was deleted and made again",
                    where=f"{partition.topic}/{partition.partition}@{position.last}", remedy=ANEW,
                )  # fmt: skip

    async def _resolve(self, topic: str, starts: Mapping[TopicPartition, int]) -> Position:
        each, start = self._partitions[topic], self._inputs.get(topic, "earliest")
        if start == "earliest":
            return Position(starts[each])
        if start != "latest":
            found = (await self._reader.offsets_for_times({each: start}))[each]
            if found is not None:
                return Position(found.offset)
        # The last stable offset: what an open transaction has written is still to come.
        return Position((await self._reader.end_offsets([each]))[each])

    async def fetch(self, limits: Limits) -> Batch:
        """As `TaskLog.fetch`. Records come as the reader makes them: nothing more is done per record here."""
        try:
            got = await self._reader.getmany(
                *self._partitions.values(), timeout_ms=int(limits.wait * 1_000), max_records=limits.records
            )
            for topic, each in self._partitions.items():
                await self._note_progress(topic, each)
        except OffsetOutOfRangeError as error:
            raise await self._out_of_range(error) from error
        except KafkaError as error:
            raise self._clients.unreachable(error, "reading the inputs") from error
        return Batch({self._names[each]: records for each, records in got.items()}, dict(self._progress))

    async def _note_progress(self, topic: str, partition: TopicPartition) -> None:
        """The end is what the newest answer of the broker said: the high watermark. It was asked for when the answer before
        had come. This one may have been under way for long: we may have been stopped meanwhile, and what it says be old.
        """
        position = await self._reader.position(partition)
        end, came_at = self._reader.highwater(partition), self._reader.last_poll_timestamp(partition)
        before = self._progress[topic]
        seen_at = before.seen_at
        if end is None or came_at is None:  # nothing was fetched yet
            end = before.end_seen
        elif came_at != self._came_at[topic]:
            seen_at, self._came_at[topic] = self._came_at[topic], came_at
        if (position, end, seen_at) != (before.position, before.end_seen, before.seen_at):
            self._progress[topic] = Progress(position, max(end, position), seen_at)

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> Damaged | Unreachable:
        ((partition, offset),) = error.args[0].items()
        try:
            start = (await self._ends.beginning_offsets([partition]))[partition]
            end = (await self._ends.end_offsets([partition]))[partition]
        except KafkaError as away:
            return self._clients.unreachable(away, "reading the inputs")
        return _out_of_range(partition, offset, start, end)

    def pause(self, topic: str) -> None:
        self._reader.pause(self._partitions[topic])

    def resume(self, topic: str) -> None:
        self._reader.resume(self._partitions[topic])


def read(
    reader: Reader, partition: TopicPartition, start: int, end: int, stalled_max: int = STALLED_READS_MAX
) -> AsyncIterator[Raw]:
    """As `read_all`, of one partition: its records come in their order."""
    return read_all(reader, {partition: (start, end)}, stalled_max)


async def read_all(
    reader: Reader, spans: Mapping[TopicPartition, tuple[int, int]], stalled_max: int = STALLED_READS_MAX
) -> AsyncIterator[Raw]:
    """Records of several partitions, each from a start up to an end (exclusive), with the reader assigned to them alone.

    Positions are compared, because control records and aborted batches move them silently: an empty answer says nothing.
    Raises Stalled when nothing moves for `stalled_max` reads, OffsetOutOfRangeError when a start is not there.
    """
    positions = {partition: start for partition, (start, end) in spans.items() if start < end}
    reader.assign(list(positions))
    for partition, start in positions.items():
        reader.seek(partition, start)
    stalled = 0
    while positions:
        found = await reader.getmany(*positions, timeout_ms=READ_MS, max_records=READ_RECORDS)
        for partition, records in found.items():
            end = spans[partition][1]
            for raw in records:
                if raw.offset < end:
                    yield raw
        before, positions = positions, await _ahead(reader, spans, positions)
        stalled = stalled + 1 if positions == before else 0
        if stalled > stalled_max:
            partition, position = next(iter(positions.items()))
            raise Stalled(f"{partition.topic}/{partition.partition}", position, spans[partition][1])


async def _ahead(
    reader: Reader, spans: Mapping[TopicPartition, tuple[int, int]], partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Where the reader stands in those that are not read to their ends."""
    positions = {partition: await reader.position(partition) for partition in partitions}
    return {partition: position for partition, position in positions.items() if position < spans[partition][1]}


def _crc(raw: Raw) -> int:
    return crc32(raw.value or b"")


def _check_range(partition: TopicPartition, offset: int, start: int, end: int) -> None:
    if not start <= offset <= end:
        raise _out_of_range(partition, offset, start, end)


def _out_of_range(partition: TopicPartition, offset: int, start: int, end: int) -> Damaged:
    return Damaged(
        f"the next record to read is {offset}, but the topic holds {start} to {end}: records were deleted before they "
        "were read, or the topic was made again",
        where=f"{partition.topic}/{partition.partition}", remedy=ANEW,
    )  # fmt: skip
