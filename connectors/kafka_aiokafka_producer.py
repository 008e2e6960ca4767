"""A task's producer through aiokafka 0.14: what it repeats silently is counted, and it can be dropped at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiokafka.producer.sender
from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

# Kafka answers CONCURRENT_TRANSACTIONS while the markers of the transaction before are written; aiokafka then waits a
# fixed 20 ms, ten times as long as it takes.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002

ABANDON_STEP_SECONDS = 0.2
_COUNTED = (AddPartitionsToTxnRequest, EndTxnRequest)

Send = Callable[..., Coroutine[Any, Any, Any]]


class CountedRequests:
    """Stands between aiokafka's sender, which repeats what was not answered and tells nobody, and the connections."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._unanswered: set[type] = set()
        self.resent = 0

    def begin(self) -> None:
        """A transaction begins: those before it are no longer of interest."""
        self._unanswered.clear()
        self.resent = 0

    async def send(self, node_id: Any, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        """As `AIOKafkaClient.send`."""
        if not isinstance(request, _COUNTED):
            return await self._send(node_id, request, group=group)
        kind = type(request)
        again = kind in self._unanswered
        try:
            answer = await self._send(node_id, request, group=group)
        except NodeNotReadyError:  # there is no connection: it did not leave
            raise
        except BaseException:
            self._unanswered.add(kind)
            self.resent += again
            raise
        self._unanswered.discard(kind)
        self.resent += again
        return answer


class AiokafkaProducer(AIOKafkaProducer):
    """`TransactionalProducer` of kafka_port.py."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)  # type: ignore[no-untyped-call]  # aiokafka says no types here
        client: Any = self.client
        self._requests = CountedRequests(client.send)
        client.send = self._requests.send

    @property
    def resent(self) -> int:
        return self._requests.resent

    @property
    def ended_by(self) -> BaseException | None:
        """Every record gets a copy of what ended the sender, and copies of errors have no cause."""
        sender = self._sender.sender_task
        if sender is None or not sender.done() or sender.cancelled():
            return None
        error: BaseException | None = sender.exception()
        return None if error is None else error.__cause__ or error

    async def begin_transaction(self) -> None:
        await super().begin_transaction()  # type: ignore[no-untyped-call]  # as above
        self._requests.begin()

    async def abandon(self) -> None:
        """`AIOKafkaProducer.stop` flushes first: it waits for brokers that are away, and then sends what was given up.

        The first cancellation makes the sender wait for requests in flight, which closing the connections ends; a later
        one ends whatever still waits for a broker.
        """
        self._closed = True
        sender = self._sender.sender_task
        while sender is not None and not sender.done():
            sender.cancel()
            await self.client.close()
            await asyncio.wait([sender], timeout=ABANDON_STEP_SECONDS)
        await self.client.close()
        self._forget_failures()

    def _forget_failures(self) -> None:
        """A fence is noted in futures that perhaps nobody came to wait for, of which asyncio complains.

        They are the transaction's end, and for every batch that had not left yet its leaving.
        """
        manager, waiting = self._txn_manager, self._message_accumulator._batches
        futures = [batch._drain_waiter for batches in waiting.values() for batch in batches]
        futures += [] if manager is None else [manager._transaction_waiter]
        for future in futures:
            if future is not None and future.done() and not future.cancelled():
                future.exception()

    @staticmethod
    def batch_bytes(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
        size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
        return size
