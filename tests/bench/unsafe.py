"""Kafka clients that promise nothing: no transactions, no fence, and readers of what is not committed.

What exactly-once costs is what the same worker saves with these. Nothing but a benchmark may use them.
"""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from penstock.connectors.kafka_aiokafka_producer import AiokafkaProducer
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_port import (
    BATCH_BYTES,
    PARTITION_FETCH_BYTES,
    REQUEST_BYTES_MAX,
    Reader,
    TransactionalProducer,
)


class Acknowledged(AIOKafkaProducer):
    """Has the shape of a `TransactionalProducer`. Its commits are over when its sends are, which the caller awaits."""

    resent = 0
    batch_bytes = staticmethod(AiokafkaProducer.batch_bytes)
    ended_by = None

    async def begin_transaction(self) -> None:
        pass

    async def commit_transaction(self) -> None:
        pass

    async def abandon(self) -> None:
        await self.stop()  # type: ignore[no-untyped-call]  # aiokafka says no types here


class UnsafeClients(KafkaClients):
    def reader(self, *, committed: bool = True, partition_bytes: int = PARTITION_FETCH_BYTES) -> Reader:
        return super().reader(committed=False, partition_bytes=partition_bytes)

    def transactional(self, transactional_id: str, batch_bytes: int) -> TransactionalProducer:
        return Acknowledged(  # type: ignore[no-untyped-call]  # as above
            **self._common(),
            acks="all",
            linger_ms=0,
            max_batch_size=min(BATCH_BYTES, batch_bytes),
            max_request_size=REQUEST_BYTES_MAX,
        )
