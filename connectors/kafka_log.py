"""One task's log in Kafka: fenced, read, completed, declared, and from then on written (protocol rules 1-6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from itertools import chain

import msgspec
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from penstock.connectors.failpoint import failpoint
from penstock.connectors.kafka_fence import check_tail
from penstock.connectors.kafka_inputs import Inputs, read, read_all
from penstock.connectors.kafka_membership import Membership
from penstock.connectors.kafka_port import Admin, Clients, Reader
from penstock.connectors.kafka_repair import Span, Stock
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.kafka_writer import Writer
from penstock.connectors.port import Batch, Committed, Layout, Limits, Stored, TaskId, WallClock
from penstock.connectors.read_behind import ReadBehind
from penstock.operators.error import Indefinite
from penstock.operators.record import Output, Raw
from penstock.state.codec import Joiner, records_of, size_of
from penstock.state.delta import Bucket, Delta, Entry, Header, Position
from penstock.state.journal import Journal

CLOSE_SECONDS = 2.0
YIELD_SECONDS = 0.005

_log = logging.getLogger(__name__)


class KafkaTaskLog:
    """A task that was opened; `KafkaBroker.open` makes it. `reader` and `writer` are this task's own.

    `counts`: partitions of the output topics. `spans` is what there was of the log and of the output topics when the fence
    stood. `before_fence` is what a careless reader would have read: only the tests of the protocol give it.
    """

    def __init__(
        self, task: TaskId, layout: Layout, clients: Clients, clock: WallClock, membership: Membership,
        *, reader: Reader, ends: Reader, admin: Admin, writer: Writer,
        partitions: int, counts: Mapping[str, int], spans: Mapping[str, Span], trim_seconds: float,
        on_closed: Callable[[KafkaTaskLog], None],
        before_fence: Sequence[Raw] | None = None,
    ) -> None:  # fmt: skip
        self.task, self.partitions, self.incarnation, self.seq = task, partitions, 0, -1
        self._layout, self._clients, self._clock, self._membership = layout, clients, clock, membership
        self._reader, self._ends, self._admin, self._writer = reader, ends, admin, writer
        self._inputs = Inputs(clients, reader, ends, layout, task.partition)
        self._partition = TopicPartition(layout.log, task.partition)
        self._spans, self._counts, self._before_fence = spans, counts, before_fence
        self._journal = Journal(layout.log, task.partition)
        self._sent: dict[str, int] = {}
        self._missing: list[Output] = []
        self._opened, self._on_closed = False, on_closed
        self._trim_seconds, self._trimmed_at = trim_seconds, float("-inf")
        self._read_behind = ReadBehind(layout, task.partition)
        self._trim_to: int | None = None
        self._trimming: asyncio.Task[None] | None = None

    async def restored(self) -> AsyncIterator[Stored]:
        """As `TaskLog.restored`; also raises Unreachable, and Indefinite when somebody else trims the log meanwhile."""
        joiner, last, rested_at = Joiner(), None, self._clock.monotonic()
        try:
            async for raw in self._records():
                joined = joiner.add(raw)
                if joined is not None:
                    self._journal.restored(joined.entry, joined.incarnation, joined.offset)
                    last = joined.entry if isinstance(joined.entry, Delta) else last
                    yield Stored(joined.entry, joined.size)
                if self._clock.monotonic() - rested_at > YIELD_SECONDS:
                    await asyncio.sleep(0)
                    rested_at = self._clock.monotonic()
        except OffsetOutOfRangeError as error:
            raise Indefinite("the log was trimmed while it was read", where=self._where) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise self._clients.unreachable(error, f"reading {self._where}") from error
        failpoint("log_read")
        self._journal.end_of_log(self._spans[self._layout.log].start)
        await self._take_stock(last)
        failpoint("outputs_checked")
        self.seq, self.incarnation = self._journal.seq, self._journal.incarnation + 1

    async def _take_stock(self, last: Delta | None) -> None:
        """Protocol rule 6: whether the outputs that the log implies are there, and no others. Raises Damaged, Unreachable."""
        outputs = {topic: self._spans[topic] for topic in sorted(self._layout.outputs - self._layout.spread)}
        stock = Stock(self._layout, self.task.partition, last, outputs)
        self._sent = stock.sent
        if self._before_fence is not None:
            return  # what was read carelessly explains nothing
        own, counts = self.task.partition, self._counts
        to_read = {TopicPartition(topic, own % counts[topic]): span for topic, span in stock.to_read().items()}
        try:
            async for raw in read_all(self._reader, to_read):
                stock.saw(raw)
        except OffsetOutOfRangeError as error:
            raise Indefinite("outputs were deleted while they were looked at", where=self._where) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise self._clients.unreachable(error, "looking at the outputs of the last commit") from error
        self._missing = stock.missing
        if any(output.spread is None for output in self._missing):
            _log.warning("%s: the last commit was torn; outputs to be completed: %d", self._where, len(self._missing))

    async def _records(self) -> AsyncIterator[Raw]:
        if self._before_fence is not None:
            for raw in self._before_fence:
                yield raw
            return
        async for raw in read(self._reader, self._partition, *self._spans[self._layout.log]):
            yield raw

    async def begin(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        return await self._inputs.begin(self._admin, positions, self._clock.now())

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._inputs.skipped

    async def fetch(self, limits: Limits) -> Batch:
        return await self._inputs.fetch(limits)

    def pause(self, topic: str) -> None:
        self._inputs.pause(topic)

    def resume(self, topic: str) -> None:
        self._inputs.resume(topic)

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        self._journal.check(delta, buckets)
        if not self._opened:
            delta, outputs = self._completing(delta, outputs)
        self._writer.check(outputs)
        incarnation = delta.header.incarnation
        entries: list[Entry] = [delta, *buckets]
        own, *images = [records_of(entry, incarnation) for entry in entries]
        first, sent = await self._writer.commit(own, list(chain(*images)), outputs, self._follows)
        self._opened = True
        if self._writer.stale:
            await self._retire_epoch(delta.header, first)
        self._journal.confirmed(delta, first, buckets)
        self.seq, self.incarnation = delta.header.seq, incarnation
        self._sent |= sent
        self._read_behind.confirmed(delta.header)
        positions = delta.header.positions.items()
        sources = {self._layout.place(name, 0)[0]: at.offset for name, at in positions if "/" not in name}
        self._membership.report(self.task.partition, sources)
        self._trim()
        return Committed(dict(self._sent), [size_of(records) for records in (own, *images)])

    def _completing(self, delta: Delta, outputs: Sequence[Output]) -> tuple[Delta, Sequence[Output]]:
        """`opened` writes what the last commit left undone, and carries it: whoever opens next looks from here."""
        header = msgspec.structs.replace(delta.header, sent=self._sent)
        completed = msgspec.structs.replace(delta, header=header, outputs=[*self._missing, *delta.outputs])
        return completed, [*self._missing, *outputs]

    async def _retire_epoch(self, ours: Header, first: int) -> None:
        """Protocol rule 4. The session notices the delay, or loses the task; the commit stands either way."""
        _log.info("%s: a request was sent again; a new epoch begins", self._where)
        await self._writer.retire(partial(check_tail, self._clients, self._ends, self._partition, ours, first))

    @property
    def _follows(self) -> int | None:
        """Where the `opened` delta has to come to lie: else somebody wrote after the end that was read."""
        return None if self._opened or self._before_fence is not None else self._spans[self._layout.log].end

    def _trim(self) -> None:
        """Delete what the newest images made superfluous, in the background and not too often. Nothing rests on it."""
        self._trim_to = self._journal.trim_to() or self._trim_to
        due = self._clock.monotonic() - self._trimmed_at >= self._trim_seconds
        anything = self._trim_to is not None or self._read_behind.due
        if due and anything and (self._trimming is None or self._trimming.done()):
            self._trimming = asyncio.create_task(self._trim_now(), name=f"trim {self._where}")

    async def _trim_now(self) -> None:
        before, self._trim_to, self._trimmed_at = self._trim_to, None, self._clock.monotonic()
        if before is not None:
            failpoint("trimming")
            await self._delete(self._partition, before)
            failpoint("trimmed")
        while (behind := self._read_behind.trim_to()) is not None:
            await self._delete(TopicPartition(behind.topic, behind.partition), behind.before)

    async def _delete(self, partition: TopicPartition, before: int) -> None:
        try:
            await self._admin.delete_records(partition, before)
        except Exception as error:  # noqa: BLE001 - the topic is longer than it need be, until the next time
            _log.warning("%s/%s was not trimmed to %s: %r", partition.topic, partition.partition, before, error)

    @property
    def _where(self) -> str:
        return f"{self._layout.log}/{self.task.partition}"

    async def close(self) -> None:
        self._on_closed(self)
        await stop_within(CLOSE_SECONDS, self._writer.close, self._reader.stop, self._end_trimming)

    async def _end_trimming(self) -> None:
        if self._trimming is not None:
            await self._trimming
        await self._trim_now()
