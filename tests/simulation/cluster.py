"""A Kafka cluster as a state machine: requests and the passing of time go in, answers come out. It waits for nothing.

    handle(broker, request, now) ─▶ an answer, or a `Later` that appears in `answered` once its answer has come
    advance(now)                 ─▶ what falls due by itself: markers, time-outs, elections; `next_alarm` says when

Requests are answered as Kafka 4 answers its Python clients; where Kafka's brokers talk to each other, only the time that
takes is simulated. What is left out: quotas, ACLs, log retention by age or size, static members, cooperative groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any
from zlib import crc32

from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.groups import GroupCoordinator, Later
from tests.simulation.loop import BEGINNING_SECONDS
from tests.simulation.partition_log import PartitionLog
from tests.simulation.records import RecordRequests
from tests.simulation.settings import BrokerSettings
from tests.simulation.topics import Partition, Topics
from tests.simulation.transactions import TransactionCoordinator
from tests.virtual_time import BEGINNING_MS


class Seat:
    """One partition of the coordinators' own topics: who leads it coordinates what is kept in it, from `ready_at` on."""

    __slots__ = ("kind", "leader", "number", "ready_at", "replicas")

    def __init__(self, kind: str, number: int, replicas: list[int]) -> None:
        self.kind, self.number, self.replicas = kind, number, replicas
        self.leader, self.ready_at = replicas[0], 0.0


class Cluster:
    """`random` decides how long things take among brokers, and nothing else."""

    def __init__(self, settings: BrokerSettings, random: Random) -> None:
        self.settings, self._random = settings, random
        self.answered: list[Later] = []
        self.topics = Topics(settings.brokers)
        self.lost: dict[int, None] = {}
        """Brokers that nobody hears of, whether the others have noticed that or not."""
        self._out: dict[int, None] = {}
        self._alarms: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._alarm_number = 0
        self.next_alarm = inf
        """When something falls due by itself."""
        self.transactions = TransactionCoordinator(self, settings, random)
        self.groups = GroupCoordinator(self, settings, self.answered)
        self._records = RecordRequests(self)
        replicas = min(3, settings.brokers)
        self._seats = {
            kind: [
                Seat(kind, number, self.topics.next_replicas(replicas))
                for number in range(settings.coordinator_partitions)
            ]
            for kind in ("group", "transaction")
        }
        self._handlers: dict[type[m.Message], Callable[[int, Any, float], m.Message | Later]] = {
            m.Produce: self._records.produce,
            m.Fetch: self._records.fetch,
            m.ListOffsets: self._records.list_offsets,
            m.DeleteRecords: self._records.delete,
            m.Metadata: self._metadata,
            m.FindCoordinator: self._find_coordinator,
            m.InitProducerId: self._init_producer,
            m.AddPartitions: self._add_partitions,
            m.EndTransaction: self._end_transaction,
            m.JoinGroup: self._group(self.groups.join),
            m.SyncGroup: self._group(self.groups.sync),
            m.Heartbeat: self._group(self.groups.heartbeat),
            m.LeaveGroup: self._group(self.groups.leave),
            m.CommitOffsets: self._group(lambda request, _: self.groups.commit(request)),
            m.FetchOffsets: self._group(lambda request, _: self.groups.offsets(request.group)),
            m.CreateTopics: self._create_topics,
            m.DeleteTopic: self._delete_topic,
            m.AddTopicPartitions: self._add_topic_partitions,
            m.DescribeTopics: self._describe_topics,
        }

    def handle(self, broker: int, request: m.Message, now: float) -> m.Message | Later:
        """What `broker`, which must be up, says to it."""
        return self._handlers[type(request)](broker, request, now)

    def advance(self, now: float) -> None:
        alarms = self._alarms
        while alarms and alarms[0][0] <= now:
            when, _, callback, arguments = heappop(alarms)
            callback(*arguments, when)
        self.next_alarm = alarms[0][0] if alarms else inf

    # What coordinators need of it.

    def at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._alarm_number += 1
        heappush(self._alarms, (when, self._alarm_number, callback, arguments))
        if when < self.next_alarm:
            self.next_alarm = when

    def wall(self, now: float) -> int:
        return BEGINNING_MS + int((now - BEGINNING_SECONDS) * 1000)

    def led(self, partition: TopicPartition) -> PartitionLog | None:
        found = self.topics.find(partition)
        return None if found is None or found.leader < 0 or found.leader in self.lost else found.log

    def exists(self, partition: TopicPartition) -> bool:
        return self.topics.find(partition) is not None

    def grown(self, partition: TopicPartition, now: float) -> None:
        self._records.grown(partition, now)

    def in_sync(self, partition: Partition) -> int:
        return sum(replica not in self._out for replica in partition.replicas)

    # Coordinators.

    def _seat(self, kind: str, key: str) -> Seat:
        seats = self._seats[kind]
        return seats[crc32(key.encode()) % len(seats)]

    def coordinator_error(self, kind: str, key: str, broker: int | None, now: float) -> m.Error:
        """Why `broker` cannot answer for it; None as broker: whoever it is."""
        seat = self._seat(kind, key)
        if seat.leader < 0:
            return CoordinatorNotAvailableError
        if broker is not None and seat.leader != broker:
            return NotCoordinatorError
        return CoordinatorLoadInProgressError if now < seat.ready_at else None

    def _find_coordinator(self, _: int, request: m.FindCoordinator, now: float) -> m.Coordinator:
        seat = self._seat(request.kind, request.key)
        return m.Coordinator(None, seat.leader) if seat.leader >= 0 else m.Coordinator(CoordinatorNotAvailableError)

    def _group(
        self, handler: Callable[[Any, float], m.Message | Later]
    ) -> Callable[[int, Any, float], m.Message | Later]:
        def handle(broker: int, request: Any, now: float) -> m.Message | Later:
            error = self.coordinator_error("group", request.group, broker, now)
            return m.Failed(error) if error is not None else handler(request, now)

        return handle

    def _init_producer(self, broker: int, request: m.InitProducerId, now: float) -> m.ProducerId:
        if request.transactional_id is not None:
            error = self.coordinator_error("transaction", request.transactional_id, broker, now)
            if error is not None:
                return m.ProducerId(error)
        return self.transactions.init(request, now)

    def _add_partitions(self, broker: int, request: m.AddPartitions, now: float) -> m.AddPartitionsAnswer:
        error = self.coordinator_error("transaction", request.transactional_id, broker, now)
        if error is None:
            unknown = [each for each in request.partitions if not self.exists(each)]
            if unknown:
                return m.AddPartitionsAnswer(dict.fromkeys(unknown, UnknownTopicOrPartitionError))
            error = self.transactions.add(request, now)
        return m.AddPartitionsAnswer(dict.fromkeys(request.partitions, error))

    def _end_transaction(self, broker: int, request: m.EndTransaction, now: float) -> m.ProducerId:
        error = self.coordinator_error("transaction", request.transactional_id, broker, now)
        return m.ProducerId(error) if error is not None else self.transactions.end(request, now)

    # Topics.

    def _metadata(self, _: int, request: m.Metadata, now: float) -> m.MetadataAnswer:
        names = self.topics.names() if request.topics is None else request.topics
        topics = {name: self.topics.visible(name, now) for name in names}
        leaders = {name: [each.leader for each in topic.partitions] for name, topic in topics.items() if topic}
        return m.MetadataAnswer(leaders, [each for each in self.topics.brokers if each not in self._out])

    def _create_topics(self, _: int, request: m.CreateTopics, now: float) -> m.CreatedTopics:
        return m.CreatedTopics({each.topic: self._create_topic(each, now) for each in request.topics})

    def _create_topic(self, wanted: m.TopicWanted, now: float) -> m.Error:
        if self.topics.existing(wanted.topic) is not None:
            return TopicAlreadyExistsError
        if wanted.partitions < 1:
            return InvalidPartitionsError
        if not 1 <= wanted.replicas <= len(self.topics.brokers) - len(self._out):
            return InvalidReplicationFactorError
        visible_at = now + self.settings.visible.draw(self._random)
        self.topics.create(wanted.topic, wanted.partitions, wanted.replicas, wanted.settings, visible_at)
        return None

    def _delete_topic(self, _: int, request: m.DeleteTopic, now: float) -> m.Done:
        if self.topics.existing(request.topic) is None:
            return m.Done(UnknownTopicOrPartitionError)
        for partition in self.topics.delete(request.topic):
            self._records.release(partition, now)
        return m.Done()

    def _add_topic_partitions(self, _: int, request: m.AddTopicPartitions, now: float) -> m.Done:
        topic = self.topics.existing(request.topic)
        if topic is None:
            return m.Done(UnknownTopicOrPartitionError)
        if request.partitions <= len(topic.partitions):
            return m.Done(InvalidPartitionsError)
        self.topics.grow(topic, request.partitions)
        return m.Done()

    def _describe_topics(self, _: int, request: m.DescribeTopics, now: float) -> m.DescribedTopics:
        topics = {name: self.topics.visible(name, now) for name in request.topics}
        return m.DescribedTopics(
            {
                name: m.Settings(UnknownTopicOrPartitionError) if topic is None else m.Settings(None, topic.settings)
                for name, topic in topics.items()
            }
        )

    # What goes wrong with brokers.

    def lose(self, broker: int, now: float) -> None:
        """It has crashed, or is cut off from the others: after a while they lead its partitions."""
        self.lost[broker] = None
        self.at(now + self.settings.election.draw(self._random), self._elect_without, broker)

    def regain(self, broker: int, now: float, *, restarted: bool = True) -> None:
        """It is back. `restarted`: it has forgotten what it had not written down."""
        self.lost.pop(broker, None)
        self._out.pop(broker, None)
        for partition in self.topics.all():
            if partition.leader < 0 and broker in partition.replicas:
                partition.leader = broker
        for seat in self._all_seats():
            if (seat.leader < 0 and broker in seat.replicas) or (seat.leader == broker and restarted):
                self._take_seat(seat, broker, now)

    def _elect_without(self, broker: int, now: float) -> None:
        if broker not in self.lost:
            return
        self._out[broker] = None
        for partition in self.topics.all():
            if partition.leader == broker:
                partition.leader = self._first_in_sync(partition.replicas)
                self._records.release(partition, now)
        for seat in self._all_seats():
            if seat.leader == broker:
                self._take_seat(seat, self._first_in_sync(seat.replicas), now)

    def _first_in_sync(self, replicas: list[int]) -> int:
        return next((replica for replica in replicas if replica not in self._out), -1)

    def _all_seats(self) -> list[Seat]:
        return [seat for seats in self._seats.values() for seat in seats]

    def _take_seat(self, seat: Seat, broker: int, now: float) -> None:
        seat.leader, seat.ready_at = broker, now + self.settings.loading.draw(self._random)
        if broker >= 0:
            self.at(seat.ready_at, self._loaded, seat, broker)

    def _loaded(self, seat: Seat, broker: int, now: float) -> None:
        if seat.leader != broker or seat.ready_at > now:
            return
        coordinator = self.groups if seat.kind == "group" else self.transactions
        for name in coordinator.names():
            if self._seat(seat.kind, name) is seat:
                coordinator.take_over(name, now)

    def lose_power(self, now: float) -> None:
        """All brokers at once, and with them what none of them has on its disk yet. Each has to be regained."""
        since = now - self.settings.unflushed
        for partition in self.topics.all():
            log = partition.log
            log.forget_after(self._random.randint(log.flushed(since), log.end))
        for name in self.transactions.names():
            self.transactions.forget(name, now - self._random.random() * self.settings.unflushed)
        for broker in self.topics.brokers:
            self.lost[broker] = None

    # For tests: the brokers' own view.

    def log(self, topic: str, partition: int = 0) -> PartitionLog:
        found = self.topics.find(TopicPartition(topic, partition))
        assert found is not None, f"there is no {topic}/{partition}"
        return found.log

    def write(self, partition: TopicPartition, records: Sequence[m.Sent], now: float) -> int:
        """Plain records; the offset of the first."""
        error, offset = self.log(*partition).append(
            m.SentBatch(records, size=100 * len(records)), m.NO_PRODUCER, -1, now, transactional=False
        )
        assert error is None, error
        self.grown(partition, now)
        return offset

    def create(self, topic: str, partitions: int = 1, settings: Mapping[str, str] | None = None) -> None:
        """A topic that is there at once."""
        self.topics.create(topic, partitions, min(3, len(self.topics.brokers)), settings or {}, 0.0)
