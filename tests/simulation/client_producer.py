"""Simulated producers: what all of them share, and the plain one.

    send ──▶ batch per partition ──▶ Produce, one request per broker at a time ──▶ every future is done

What is not answered is sent again. A batch that a broker refuses fails its futures.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.client_batches import OutBatch, OutBatches
from tests.simulation.client_wire import BACKOFF_SECONDS, Wire, Work

from penstock.connectors.kafka_port import REQUEST_BYTES_MAX, REQUEST_SECONDS, Headers, Sending
from penstock.connectors.partition import partition_of
from penstock.connectors.port import WallClock

LINGER_SECONDS = 0.002
_LASTING = (ProducerFenced, OutOfOrderSequenceNumber, TransactionalIdAuthorizationFailed)


class Producer:
    """What plain and transactional producers share: records in, Produce requests out."""

    def __init__(self, wire: Wire, clock: WallClock, batch_bytes: int) -> None:
        self._wire, self._clock = wire, clock
        self._batches = OutBatches(batch_bytes)
        self._busy: dict[int, None] = {}
        """Brokers to which a Produce request is under way."""
        self._works: dict[Work, None] = {}
        self._turning: asyncio.Handle | None = None
        self._failed: Exception | None = None
        self.ended_by: Exception | None = None
        self._is_renewing = self._closed = False
        self._transactional_id: str | None = None
        self._producer = self._epoch = m.NO_PRODUCER

    @staticmethod
    def batch_bytes(key: bytes | None, value: bytes | None, headers: Headers, /) -> int:
        size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
        return size

    async def _put(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, timestamp_ms: int | None,
        headers: Headers,
    ) -> Sending:  # fmt: skip
        assert key is not None or value is not None, "Need at least one: key or value"
        count = self._wire.partitions(topic) or await self._wire.wait_for_topic(topic)
        self._check_open()
        if self.batch_bytes(key, value, headers) > REQUEST_BYTES_MAX:
            raise MessageSizeTooLargeError(f"more than {REQUEST_BYTES_MAX} bytes")
        if partition is None:
            partition = self._wire.random.randrange(count) if key is None else partition_of(key, count)
        assert partition < count, "Unrecognized partition"
        loop, to = asyncio.get_running_loop(), TopicPartition(topic, partition)
        future: Sending = loop.create_future()
        timestamp = self._clock.now() if timestamp_ms is None else timestamp_ms
        self._takes_part(to)
        self._batches.put(to, m.Sent(timestamp, key, value, tuple(headers)), future, loop.time())
        self._turn_soon()
        return future

    def _check_open(self) -> None:
        """Raises what speaks against sending now."""
        if self._closed:
            raise ProducerClosed()
        if self._failed is not None:
            raise copy.copy(self._failed)

    def _takes_part(self, partition: TopicPartition) -> None:
        """A record is sent there."""

    def _is_to_wait(self, batch: OutBatch) -> bool:
        """It may not be sent yet."""
        return False

    def _turn_soon(self, seconds: float = 0.0) -> None:
        if self._turning is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._turning = loop.call_later(seconds, self._turn) if seconds else loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Send what can be sent now."""
        self._turning = None
        if self._closed or self._failed is not None:
            return
        by_leader: dict[int, list[OutBatch]] = {}
        for batch in self._batches.ready():
            if self._is_to_wait(batch):
                continue
            leader = self._wire.leader(batch.partition)
            if leader is None or leader < 0:
                self._wait_for_leader(batch, leader)
            elif leader not in self._busy:
                by_leader.setdefault(leader, []).append(batch)
        for leader, batches in by_leader.items():
            self._busy[leader] = None
            for batch in batches:
                self._number(batch)
                self._batches.take(batch)
            self._begin(self._produce(leader, batches))

    def _number(self, batch: OutBatch) -> None:
        """Give it its sequence number, if it is its first time."""

    def _wait_for_leader(self, batch: OutBatch, leader: int | None) -> None:
        if asyncio.get_running_loop().time() - batch.began_at > REQUEST_SECONDS:
            self._batches.drop(batch, NotLeaderForPartitionError() if leader is None else LeaderNotAvailableError())
        elif not self._is_renewing:
            self._is_renewing = True
            self._begin(self._renew())

    async def _renew(self) -> None:
        await self._wire.renew()
        await asyncio.sleep(BACKOFF_SECONDS)
        self._is_renewing = False

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Work in the background; when it is done there may be more to do. What it raises ends the producer."""
        work = Work(coroutine, self._ended)
        self._works[work] = None
        work.go_on()

    def _ended(self, work: Work, error: Exception | None) -> None:
        del self._works[work]
        if error is not None:
            self._fail(error)
        self._turn_soon()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, KafkaError):
            raise error
        self.ended_by = error
        self._failed = error if isinstance(error, _LASTING) else KafkaError("Unexpected error during batch delivery")
        self._batches.fail_all(self._failed)

    async def _produce(self, leader: int, batches: list[OutBatch]) -> None:
        request = m.Produce(
            self._transactional_id, self._producer, self._epoch, {batch.partition: batch.request() for batch in batches}
        )
        again: list[OutBatch] = []
        try:
            answer = await self._wire.ask(leader, request)
        except KafkaError as error:
            again = [batch for batch in batches if self._is_to_be_repeated(batch, error)]
        else:
            for batch in batches:
                appended = answer.partitions[batch.partition]
                if appended.error is None:
                    batch.done(appended.offset)
                    self._batches.end(batch)
                elif self._is_to_be_repeated(batch, appended.error()):
                    again.append(batch)
        if again:
            await asyncio.sleep(BACKOFF_SECONDS)
            for batch in reversed(again):
                self._batches.put_back(batch)
            await self._wire.renew_if_in_doubt()
        self._busy.pop(leader, None)

    def _is_to_be_repeated(self, batch: OutBatch, error: KafkaError) -> bool:
        if getattr(error, "invalid_metadata", False):
            self._wire.doubt()
        if error.retriable and not self._is_expired(batch):
            return True
        batch.fail(ProducerFenced() if isinstance(error, InvalidProducerEpoch) else error)
        self._batches.end(batch)
        return False

    def _is_expired(self, batch: OutBatch) -> bool:
        return False

    def _drop_everything(self) -> None:
        """Nothing leaves any more. Who waits for a record waits for ever, as with aiokafka."""
        self._closed = True
        for work in self._works:
            work.drop()
        self._wire.close()


class SimulatedPlainProducer(Producer):
    """`PlainProducer` of kafka_port.py."""

    async def start(self) -> None:
        await self._wire.start()

    async def stop(self) -> None:
        while self._batches and not self._closed:  # noqa: ASYNC110 - the one who ends it need not know of those who wait
            await asyncio.sleep(BACKOFF_SECONDS)
        self._drop_everything()

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None = None, *,
        timestamp_ms: int | None = None, headers: Headers | None = None,
    ) -> Sending:  # fmt: skip
        return await self._put(topic, value, key, partition, timestamp_ms, headers or [])

    def _turn_soon(self, seconds: float = LINGER_SECONDS) -> None:
        super()._turn_soon(seconds)

    def _is_expired(self, batch: OutBatch) -> bool:
        return asyncio.get_running_loop().time() - batch.began_at > REQUEST_SECONDS
