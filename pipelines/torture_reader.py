"""A committed reader of everything, for as long as brokers come and go: each partition in offset order, from its beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_stop import stop_within
from penstock.pipelines.torture_ledger import Seen, checksum

POLL_MS, REQUEST_MS = 200, 4_000
"""A broker that was stopped is given up after so long: who leads now is found out then."""
RETRY_SECONDS, STOP_SECONDS = 0.3, 3.0


class Reader:
    """`saw` is told every record, `skipped` the topic and partition of which records were deleted before they were read."""

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, int],
        saw: Callable[[Seen], None],
        skipped: Callable[[str, int], None],
    ) -> None:
        self._bootstrap, self._saw, self._skipped = bootstrap, saw, skipped
        self._clock = MachineClock()
        self.positions = {TopicPartition(topic, n): 0 for topic, count in topics.items() for n in range(count)}

    async def run(self) -> None:
        """Until cancelled. A cluster that is away is waited for."""
        while True:
            try:
                async with consumer_of(self._bootstrap) as consumer:
                    await self._read(consumer)
            except OffsetOutOfRangeError as error:
                await self._move_on(error)
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(list(self.positions))
        for each, position in self.positions.items():
            consumer.seek(each, position)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            at = self._clock.monotonic()
            for each, records in fetched.items():
                for record in records:
                    self._saw(Seen(
                        each.topic, each.partition, record.offset, at, record.timestamp, record.key, record.value,
                        tuple(record.headers),
                    ))  # fmt: skip
                    self.positions[each] = record.offset + 1
            for each in self.positions:  # markers and aborted records move it, too
                self.positions[each] = await consumer.position(each)

    async def _move_on(self, error: OffsetOutOfRangeError) -> None:
        async with consumer_of(self._bootstrap) as consumer:
            lost: Mapping[TopicPartition, int] = error.args[0]
            for each, start in (await consumer.beginning_offsets(list(lost))).items():
                self.positions[each] = start
                self._skipped(each.topic, each.partition)

    async def behind(self) -> list[str]:
        """Partitions that are not at rest: what stands still though it was not committed, and what was not read yet.

        Raises KafkaError while the cluster is away.
        """
        wanted = list(self.positions)
        async with consumer_of(self._bootstrap) as stable, consumer_of(self._bootstrap, committed=False) as whole:
            ends, stables = await whole.end_offsets(wanted), await stable.end_offsets(wanted)
        open_ = [
            f"{each.topic}/{each.partition}: stable to {stables[each]} of {ends[each]}, an open transaction"
            for each in wanted
            if stables[each] != ends[each]
        ]
        unread = [
            f"{each.topic}/{each.partition}: read to {position} of {ends[each]}"
            for each, position in self.positions.items()
            if position < ends[each]
        ]
        return open_ or unread


@asynccontextmanager
async def consumer_of(bootstrap: str, *, committed: bool = True) -> AsyncIterator[AIOKafkaConsumer]:
    """Outside of any group; never resets a position by itself."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="penstock-torture",
        isolation_level="read_committed" if committed else "read_uncommitted",
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=REQUEST_MS,
        metadata_max_age_ms=REQUEST_MS,
        fetch_max_wait_ms=POLL_MS,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_within(STOP_SECONDS, consumer.stop)


async def read_again(bootstrap: str, topic: str, partition: int) -> list[tuple[int, int]]:
    """Offset and checksum of every committed record of a partition at rest, from its start to its end."""
    each = TopicPartition(topic, partition)
    found: list[tuple[int, int]] = []
    async with consumer_of(bootstrap) as consumer:
        consumer.assign([each])
        start, end = (await consumer.beginning_offsets([each]))[each], (await consumer.end_offsets([each]))[each]
        consumer.seek(each, start)
        while await consumer.position(each) < end:
            records = (await consumer.getmany(each, timeout_ms=POLL_MS)).get(each, [])
            found += [(record.offset, checksum(record.key, record.value)) for record in records]
    return found
