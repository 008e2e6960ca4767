"""A simulated transactional producer that behaves as aiokafka's does, also where that is a trap.

    send ──▶ batch per partition ──▶ AddPartitionsToTxn ──▶ Produce, one per broker at a time ──▶ every future is done
    commit ──▶ nothing waits any more ──▶ EndTxn ──▶ decided

What is not answered is asked again, for ever and silently. A batch that a broker refuses fails its futures and leaves a gap
in the sequence numbers; the transaction can be committed all the same. What the coordinator refuses ends the producer.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorError,
    ProducerFenced,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.client_batches import OutBatch
from tests.simulation.client_producer import Producer
from tests.simulation.client_wire import BACKOFF_SECONDS, Wire

from penstock.connectors.kafka_port import Headers, Sending
from penstock.connectors.port import WallClock

BUSY_SECONDS = 0.002
"""Until the next try, while the markers of the transaction before are written."""
_COORDINATOR_GONE = (CoordinatorNotAvailableError, NotCoordinatorError)
_BUSY = (CoordinatorLoadInProgressError, ConcurrentTransactions)


class SimulatedTransactionalProducer(Producer):
    """`TransactionalProducer` of kafka_port.py.

    On a cluster with transaction version 2 it speaks as KIP-890 has it: partitions are added by writing to them, and the
    end of a transaction brings a new epoch.
    """

    def __init__(self, wire: Wire, clock: WallClock, batch_bytes: int, transactional_id: str, timeout: float) -> None:
        super().__init__(wire, clock, batch_bytes)
        self._transactional_id, self._timeout = transactional_id, timeout
        self._raises_epochs = wire.network.cluster.settings.transaction_version == 2
        self._coordinator: int | None = None
        self._sequences: dict[TopicPartition, int] = {}
        self._to_add: dict[TopicPartition, None] = {}
        self._added: dict[TopicPartition, None] = {}
        self._is_open = self._is_asking = False
        self._ending: asyncio.Future[None] | None = None
        self._unanswered: dict[type[m.Message], None] = {}
        self.resent = 0

    async def start(self) -> None:
        await self._wire.start()
        request = m.InitProducerId(self._transactional_id, self._timeout)
        while True:
            answer = await self._ask_coordinator(request)
            if answer is not None and answer.error is None:
                self._producer, self._epoch = answer.producer, answer.epoch
                return
            await self._come_again(None if answer is None else answer.error, known=_BUSY)
            await self._wire.renew()

    async def begin_transaction(self) -> None:
        assert self._failed is None, "Invalid state transition"
        assert not self._is_open, "Invalid state transition"
        assert self._ending is None, "Invalid state transition"
        self._is_open = True
        self._unanswered.clear()
        self.resent = 0

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, headers: Headers
    ) -> Sending:
        return await self._put(topic, value, key, partition, None, headers)

    def _check_open(self) -> None:
        if not self._is_open:
            raise IllegalOperation("Can't send messages while not in transaction")
        super()._check_open()

    async def commit_transaction(self) -> None:
        assert self._failed is None, "Invalid state transition"
        assert self._is_open, "Invalid state transition"
        self._is_open = False
        self._ending = asyncio.get_running_loop().create_future()
        self._turn_soon()
        await asyncio.shield(self._ending)

    async def abandon(self) -> None:
        self._drop_everything()
        if self._ending is not None and not self._ending.done():
            self._ending.cancel()

    def _takes_part(self, partition: TopicPartition) -> None:
        if partition not in self._added:
            if self._raises_epochs:
                self._added[partition] = None
            else:
                self._to_add[partition] = None

    def _is_to_wait(self, batch: OutBatch) -> bool:
        return batch.partition in self._to_add

    def _number(self, batch: OutBatch) -> None:
        if batch.sequence < 0:
            batch.sequence = self._sequences.get(batch.partition, 0)
            self._sequences[batch.partition] = batch.sequence + len(batch.records)

    def _turn(self) -> None:
        super()._turn()
        if self._is_asking or self._closed or self._failed is not None:
            return
        if self._to_add:
            self._ask(self._add_partitions)
        elif self._ending is not None and not self._batches:
            self._ask(self._end)

    def _ask(self, question: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._is_asking = True
        self._begin(question())

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        self._is_open = False
        if self._ending is not None and not self._ending.done():
            self._ending.set_exception(copy.copy(self._failed) or error)
            self._ending.exception()

    async def _add_partitions(self) -> None:
        request = m.AddPartitions(self._transactional_id or "", self._producer, self._epoch, list(self._to_add))
        answer = await self._ask_coordinator(request)
        errors = {} if answer is None else answer.errors
        for partition, error in errors.items():
            if error is None:
                del self._to_add[partition]
                self._added[partition] = None
        failed = [error for error in errors.values() if error is not None]
        if failed or answer is None:
            error = failed[0] if failed else None
            is_first = error is ConcurrentTransactions and not self._added
            seconds = BUSY_SECONDS if is_first else BACKOFF_SECONDS
            await self._come_again(error, known=(*_BUSY, UnknownTopicOrPartitionError), seconds=seconds)
        self._is_asking = False

    async def _end(self) -> None:
        """EndTxn; a transaction without records has nothing to end."""
        if self._added:
            request = m.EndTransaction(self._transactional_id or "", self._producer, self._epoch, commit=True)
            answer = await self._ask_coordinator(request)
            if answer is None or answer.error is not None:
                await self._come_again(None if answer is None else answer.error, known=_BUSY)
                self._is_asking = False
                return
            if answer.epoch != self._epoch:
                self._producer, self._epoch = answer.producer, answer.epoch
                self._sequences.clear()
        self._added.clear()
        ending, self._ending, self._is_asking = self._ending, None, False
        if ending is not None and not ending.done():
            ending.set_result(None)

    async def _come_again(
        self, error: type[KafkaError] | None, *, known: tuple[type[KafkaError], ...], seconds: float = BACKOFF_SECONDS
    ) -> None:
        """Wait before the next try, after an error or no answer. Raises what makes another try pointless."""
        if error is InvalidProducerEpoch:
            raise ProducerFenced()
        if error in _COORDINATOR_GONE:
            self._coordinator = None
        elif error is not None and error not in known:
            raise error()
        await asyncio.sleep(seconds)

    async def _ask_coordinator(self, request: m.Message) -> Any:
        """Its answer, or None. Requests that are sent again without an answer are counted."""
        kind = type(request)
        if self._coordinator is None:
            self._coordinator = await self._find_coordinator()
        again = kind in self._unanswered
        try:
            answer = await self._wire.ask(self._coordinator, request, "coordination")
        except NodeNotReadyError:
            self._coordinator = None
            return None
        except (KafkaConnectionError, RequestTimedOutError) as error:
            if isinstance(error, RequestTimedOutError):
                self._coordinator = None
            self._unanswered[kind] = None
            self.resent += again
            return None
        self._unanswered.pop(kind, None)
        self.resent += again
        return answer

    async def _find_coordinator(self) -> int:
        while True:
            try:
                return await self._wire.find_coordinator("transaction", self._transactional_id or "")
            except (CoordinatorNotAvailableError, NodeNotReadyError, RequestTimedOutError):
                await self._wire.renew()
                await asyncio.sleep(BACKOFF_SECONDS)
            except KafkaError as error:
                raise KafkaError(repr(error)) from error
