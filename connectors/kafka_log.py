"""One task's log in Kafka: fenced, read, declared, and from then on written (protocol rules 1, 2, 3 and 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import chain

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from penstock.connectors.kafka_client import KafkaClients, stop_within
from penstock.connectors.kafka_inputs import Inputs, read
from penstock.connectors.kafka_membership import Membership
from penstock.connectors.kafka_topics import trim
from penstock.connectors.kafka_writer import Writer
from penstock.connectors.port import Batch, Committed, Layout, Limits, Stored, TaskId, WallClock
from penstock.operators.error import Indefinite
from penstock.operators.record import Output, Raw
from penstock.state.codec import Joiner, records_of, size_of
from penstock.state.delta import Bucket, Delta, Entry, Position
from penstock.state.journal import Journal

CLOSE_SECONDS = 2.0
YIELD_SECONDS = 0.005

_log = logging.getLogger(__name__)


class KafkaTaskLog:
    """A task that was opened; `KafkaBroker.open` makes it. `consumer` and `writer` are this task's own.

    `end` is the end of the log as seen after fencing. `before_fence` is what a careless reader would have read: only
    the tests of the protocol give it.
    """

    def __init__(
        self, task: TaskId, layout: Layout, clients: KafkaClients, clock: WallClock, membership: Membership,
        *, consumer: AIOKafkaConsumer, ends: AIOKafkaConsumer, admin: AIOKafkaAdminClient, writer: Writer,
        start: int, end: int, trim_seconds: float, on_closed: Callable[[KafkaTaskLog], None],
        before_fence: Sequence[Raw] | None = None,
    ) -> None:  # fmt: skip
        self.task, self.incarnation, self.seq = task, 0, -1
        self._layout, self._clients, self._clock, self._membership = layout, clients, clock, membership
        self._consumer, self._admin, self._writer = consumer, admin, writer
        self._inputs = Inputs(clients, consumer, ends, layout, task.partition)
        self._partition = TopicPartition(layout.log, task.partition)
        self._start, self._end, self._before_fence = start, end, before_fence
        self._journal = Journal(layout.log, task.partition)
        self._sent = dict.fromkeys(layout.outputs, -1)
        self._opened, self._on_closed = False, on_closed
        self._trim_seconds, self._trimmed_at = trim_seconds, float("-inf")
        self._trim_to: int | None = None
        self._trimming: asyncio.Task[None] | None = None

    async def restored(self) -> AsyncIterator[Stored]:
        """As `TaskLog.restored`; also raises Unreachable, and Indefinite when somebody else trims the log meanwhile."""
        joiner, rested_at = Joiner(), self._clock.monotonic()
        try:
            async for raw in self._records():
                joined = joiner.add(raw)
                if joined is not None:
                    self._journal.restored(joined.entry, joined.incarnation, joined.offset)
                    yield Stored(joined.entry, joined.size)
                if self._clock.monotonic() - rested_at > YIELD_SECONDS:
                    await asyncio.sleep(0)
                    rested_at = self._clock.monotonic()
        except OffsetOutOfRangeError as error:
            raise Indefinite("the log was trimmed while it was read", where=self._where) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise self._clients.unreachable(error, f"reading {self._where}") from error
        self._journal.end_of_log(self._start)
        self.seq, self.incarnation = self._journal.seq, self._journal.incarnation + 1
        self._sent |= self._journal.sent

    async def _records(self) -> AsyncIterator[Raw]:
        if self._before_fence is not None:
            for raw in self._before_fence:
                yield raw
            return
        async for raw in read(self._consumer, self._partition, self._start, self._end):
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
        self._writer.check(outputs)
        incarnation = delta.header.incarnation
        entries: list[Entry] = [delta, *buckets]
        own, *images = [records_of(entry, incarnation) for entry in entries]
        first, sent = await self._writer.commit(own, list(chain(*images)), outputs, self._follows)
        self._opened = True
        self._journal.confirmed(delta, first, buckets)
        self.seq, self.incarnation = delta.header.seq, incarnation
        self._sent |= sent
        self._membership.report(self.task.partition, {topic: at.offset for topic, at in delta.header.positions.items()})
        self._trim()
        return Committed(dict(self._sent), [size_of(records) for records in (own, *images)])

    @property
    def _follows(self) -> int | None:
        """Where the `opened` delta has to come to lie: else somebody wrote after the end that was read."""
        return None if self._opened or self._before_fence is not None else self._end

    def _trim(self) -> None:
        """Delete what the newest images made superfluous, in the background and not too often. Nothing rests on it."""
        self._trim_to = self._journal.trim_to() or self._trim_to
        due = self._clock.monotonic() - self._trimmed_at >= self._trim_seconds
        if due and (self._trimming is None or self._trimming.done()):
            self._trimming = asyncio.create_task(self._trim_now(), name=f"trim {self._where}")

    async def _trim_now(self) -> None:
        before, self._trim_to, self._trimmed_at = self._trim_to, None, self._clock.monotonic()
        if before is None:
            return
        try:
            await trim(self._admin, self._layout.log, self.task.partition, before)
        except Exception as error:  # noqa: BLE001 - the log is longer than it need be, until the next time
            _log.warning("%s was not trimmed to %s: %r", self._where, before, error)

    @property
    def _where(self) -> str:
        return f"{self._layout.log}/{self.task.partition}"

    async def close(self) -> None:
        self._on_closed(self)
        await stop_within(CLOSE_SECONDS, self._writer.close, self._consumer.stop, self._end_trimming)

    async def _end_trimming(self) -> None:
        if self._trimming is not None:
            await self._trimming
        await self._trim_now()
