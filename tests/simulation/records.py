"""Requests about records, as a partition's leader answers them: produce, fetch, look for offsets, delete."""

from __future__ import annotations

from typing import Protocol

from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    InvalidProducerEpoch,
    NotCoordinatorError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    ProducerFenced,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.groups import Later
from tests.simulation.settings import BrokerSettings
from tests.simulation.topics import Partition, Topics
from tests.simulation.transactions import Brokers, TransactionCoordinator

_COME_AGAIN = (
    ConcurrentTransactions, CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError,
)  # fmt: skip
"""Of the check with the coordinator: Kafka's brokers tell producers something that even old ones repeat."""


class Whole(Brokers, Protocol):
    """The cluster that the partitions are in."""

    settings: BrokerSettings
    topics: Topics
    transactions: TransactionCoordinator
    answered: list[Later]

    def in_sync(self, partition: Partition) -> int: ...
    def coordinator_error(self, kind: str, key: str, broker: int | None, now: float) -> m.Error: ...


class _Waiting:
    """A fetch for which nothing was there yet."""

    __slots__ = ("broker", "later", "request")

    def __init__(self, broker: int, request: m.Fetch) -> None:
        self.broker, self.request, self.later = broker, request, Later()


class RecordRequests:
    def __init__(self, cluster: Whole) -> None:
        self._cluster = cluster

    def _led(self, broker: int, partition: TopicPartition, now: float) -> Partition | m.Error:
        """The partition, or why this broker cannot speak for it."""
        found = self._cluster.topics.find(partition)
        if found is None or self._cluster.topics.visible(partition.topic, now) is None:
            return UnknownTopicOrPartitionError
        return found if found.leader == broker else NotLeaderForPartitionError

    def produce(self, broker: int, request: m.Produce, now: float) -> m.ProduceAnswer:
        return m.ProduceAnswer({each: self._append(broker, request, each, now) for each in request.batches})

    def _append(self, broker: int, request: m.Produce, partition: TopicPartition, now: float) -> m.Appended:
        found = self._led(broker, partition, now)
        if not isinstance(found, Partition):
            return m.Appended(found)
        if self._cluster.in_sync(found) < found.in_sync_least:
            return m.Appended(NotEnoughReplicasError)
        if request.transactional_id is not None and not found.log.has_open(request.producer, request.epoch):
            error = self._verify(request, partition, now)
            if error is not None:
                return m.Appended(error)
        error, offset = found.log.append(
            request.batches[partition], request.producer, request.epoch, now,
            transactional=request.transactional_id is not None,
        )  # fmt: skip
        if error is None:
            self.grown(partition, now)
        return m.Appended(error, offset)

    def _verify(self, request: m.Produce, partition: TopicPartition, now: float) -> m.Error:
        """KIP-890: the leader asks the coordinator whether the partition is in the transaction, or for it to be added."""
        name = request.transactional_id or ""
        error = self._cluster.coordinator_error("transaction", name, None, now)
        if error is None:
            adding = self._cluster.settings.transaction_version == 2
            transactions, producer, epoch = self._cluster.transactions, request.producer, request.epoch
            error = transactions.take_part(name, producer, epoch, (partition,), now, adding=adding)
        if error in _COME_AGAIN:
            return NotEnoughReplicasError
        return InvalidProducerEpoch if error is ProducerFenced else error

    def fetch(self, broker: int, request: m.Fetch, now: float) -> m.Message | Later:
        answer = self._read(broker, request, now)
        if answer is not None:
            return answer
        waiting = _Waiting(broker, request)
        for each in request.offsets:
            found = self._cluster.topics.find(each)
            if found is not None:
                found.waiting.append(waiting)
        self._cluster.at(now + request.wait, self._end_waiting, waiting)
        return waiting.later

    def _read(self, broker: int, request: m.Fetch, now: float, *, may_be_empty: bool = False) -> m.FetchAnswer | None:
        """None: there is nothing to say yet."""
        answer: dict[TopicPartition, m.FetchedPartition] = {}
        worth = may_be_empty
        for each, offset in request.offsets.items():
            found = self._led(broker, each, now)
            if not isinstance(found, Partition):
                answer[each] = m.FetchedPartition(found)
                worth = True
                continue
            log = found.log
            if not log.start <= offset <= log.end:
                answer[each] = m.FetchedPartition(OffsetOutOfRangeError)
                worth = True
                continue
            batches = log.read(offset, committed=request.committed, most=request.most)
            worth = worth or bool(batches)
            answer[each] = m.FetchedPartition(None, log.end, log.stable, batches)
        return m.FetchAnswer(answer) if worth else None

    def grown(self, partition: TopicPartition, now: float) -> None:
        """There is more to read, perhaps, for those who wait for it."""
        found = self._cluster.topics.find(partition)
        if found is None:
            return
        for waiting in list(found.waiting):
            upto = found.log.stable if waiting.request.committed else found.log.end
            if waiting.request.offsets[partition] < upto:
                self._end_waiting(waiting, now)

    def release(self, partition: Partition, now: float) -> None:
        """The partition is led by somebody else now, or gone: whoever waits for it here waits in vain."""
        for waiting in list(partition.waiting):
            self._end_waiting(waiting, now)
            if waiting in partition.waiting:
                partition.waiting.remove(waiting)

    def _end_waiting(self, waiting: _Waiting, now: float) -> None:
        later = waiting.later
        if later.answer is not None:
            return
        later.answer = self._read(waiting.broker, waiting.request, now, may_be_empty=True)
        self._cluster.answered.append(later)
        for each in waiting.request.offsets:
            found = self._cluster.topics.find(each)
            if found is not None and waiting in found.waiting:
                found.waiting.remove(waiting)

    def list_offsets(self, broker: int, request: m.ListOffsets, now: float) -> m.ListOffsetsAnswer:
        found: dict[TopicPartition, m.FoundOffset] = {}
        for each, time in request.times.items():
            partition = self._led(broker, each, now)
            if isinstance(partition, Partition):
                found[each] = _found(partition, time, committed=request.committed)
            else:
                found[each] = m.FoundOffset(partition)
        return m.ListOffsetsAnswer(found)

    def delete(self, broker: int, request: m.DeleteRecords, now: float) -> m.DeletedRecords:
        found = self._led(broker, request.partition, now)
        if not isinstance(found, Partition):
            return m.DeletedRecords(found)
        error = found.log.delete_before(request.before)
        if error is None:
            self.grown(request.partition, now)
        return m.DeletedRecords(error, found.log.start)


def _found(partition: Partition, time: int, *, committed: bool) -> m.FoundOffset:
    log = partition.log
    if time == m.EARLIEST:
        return m.FoundOffset(None, log.start)
    if time == m.LATEST:
        return m.FoundOffset(None, log.stable if committed else log.end)
    found = log.find(time, committed=committed)
    return m.FoundOffset(None) if found is None else m.FoundOffset(None, *found)
