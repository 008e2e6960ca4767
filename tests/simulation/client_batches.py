"""Records on their way out of a simulated producer: batches per partition, as large as aiokafka's would be."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Iterable, Iterator

from aiokafka.structs import RecordMetadata, TopicPartition
from tests.simulation.messages import Sent, SentBatch

BATCH_OVERHEAD = 61


def varint_bytes(number: int) -> int:
    """Kafka's encoding, in which negative numbers are short, too."""
    if -64 <= number < 64:
        return 1
    zigzag = number << 1 if number >= 0 else (-number << 1) - 1
    return max(1, (zigzag.bit_length() + 6) // 7)


def record_bytes(number: int, later_ms: int, record: Sent) -> int:
    """Of the record number so and so of a batch, whose time is so much later than the first one's."""
    size = 1 + varint_bytes(later_ms) + varint_bytes(number) + varint_bytes(len(record.headers))
    for data in (record.key, record.value):
        size += 1 if data is None else varint_bytes(len(data)) + len(data)
    for name, value in record.headers:
        encoded = len(name.encode())
        size += varint_bytes(encoded) + encoded + varint_bytes(len(value)) + len(value)
    return varint_bytes(size) + size


class OutBatch:
    """Grows until it is full or on its way. `sequence` is given when it is sent first."""

    __slots__ = ("began_at", "futures", "partition", "records", "sent", "sequence", "size")

    def __init__(self, partition: TopicPartition, began_at: float) -> None:
        self.partition, self.began_at = partition, began_at
        self.records: list[Sent] = []
        self.futures: list[asyncio.Future[RecordMetadata]] = []
        self.size, self.sequence, self.sent = BATCH_OVERHEAD, -1, False

    def takes(self, record: Sent, most: int) -> bool:
        """It was put in, if there was room."""
        first = self.records[0].timestamp if self.records else record.timestamp
        size = record_bytes(len(self.records), record.timestamp - first, record)
        if self.sent or (self.records and self.size + size > most):
            return False
        self.records.append(record)
        self.size += size
        return True

    def request(self) -> SentBatch:
        return SentBatch(self.records, self.size, self.sequence)

    def done(self, offset: int) -> None:
        topic, number = self.partition
        for index, (future, record) in enumerate(zip(self.futures, self.records, strict=True)):
            if not future.done():
                metadata = RecordMetadata(topic, number, self.partition, offset + index, record.timestamp, 0, None)
                future.set_result(metadata)

    def fail(self, error: Exception) -> None:
        for future in self.futures:
            if not future.done():
                future.set_exception(copy.copy(error))


class OutBatches:
    """What waits to be sent, by partition, and what is under way. One batch of a partition is under way at a time."""

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._waiting: dict[TopicPartition, deque[OutBatch]] = {}
        self._under_way: dict[TopicPartition, OutBatch] = {}

    def put(self, partition: TopicPartition, record: Sent, future: asyncio.Future[RecordMetadata], now: float) -> None:
        queue = self._waiting.setdefault(partition, deque())
        if not queue or not queue[-1].takes(record, self._batch_bytes):
            batch = OutBatch(partition, now)
            batch.takes(record, self._batch_bytes)
            queue.append(batch)
        queue[-1].futures.append(future)

    def __bool__(self) -> bool:
        return bool(self._waiting or self._under_way)

    def ready(self) -> Iterator[OutBatch]:
        """The next one of every partition of which none is under way."""
        for partition, queue in list(self._waiting.items()):
            if partition not in self._under_way:
                yield queue[0]

    def take(self, batch: OutBatch) -> None:
        """It goes on its way."""
        self._pop(batch)
        batch.sent = True
        self._under_way[batch.partition] = batch

    def _pop(self, batch: OutBatch) -> None:
        queue = self._waiting[batch.partition]
        queue.popleft()
        if not queue:
            del self._waiting[batch.partition]

    def end(self, batch: OutBatch) -> None:
        """It was acknowledged, or failed."""
        self._under_way.pop(batch.partition, None)

    def put_back(self, batch: OutBatch) -> None:
        """It is to be sent again."""
        if self._under_way.pop(batch.partition, None) is batch:
            self._waiting.setdefault(batch.partition, deque()).appendleft(batch)

    def drop(self, batch: OutBatch, error: Exception) -> None:
        """One that waits fails."""
        self._pop(batch)
        batch.fail(error)

    def fail_all(self, error: Exception) -> None:
        for batch in self._all():
            batch.fail(error)
        self._waiting.clear()
        self._under_way.clear()

    def _all(self) -> Iterable[OutBatch]:
        return [*self._under_way.values(), *(batch for queue in self._waiting.values() for batch in queue)]
