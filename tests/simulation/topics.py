"""Topics of the simulated cluster: who leads which partition, and what topics are set to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka.structs import TopicPartition
from tests.simulation.partition_log import MESSAGE_BYTES_MAX, PartitionLog

DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
    "min.insync.replicas": "1",
}


class Partition:
    """A partition and its replicas. `leader` is −1 while there is none. `waiting`: fetches that wait for more."""

    __slots__ = ("in_sync_least", "leader", "log", "replicas", "waiting")

    def __init__(self, log: PartitionLog, replicas: list[int], in_sync_least: int) -> None:
        self.log, self.replicas, self.in_sync_least = log, replicas, in_sync_least
        self.leader = replicas[0]
        self.waiting: list[Any] = []


class Topic:
    """`visible_at`: from then on the brokers know it."""

    __slots__ = ("name", "partitions", "replicas", "settings", "visible_at")

    def __init__(self, name: str, replicas: int, settings: Mapping[str, str], visible_at: float) -> None:
        self.name, self.replicas, self.visible_at = name, replicas, visible_at
        self.settings = {**DEFAULTS, **settings}
        self.partitions: list[Partition] = []


class Topics:
    """All topics by name. Leaders are spread over the brokers in turn."""

    def __init__(self, brokers: int) -> None:
        self.brokers = list(range(1, brokers + 1))
        self._topics: dict[str, Topic] = {}
        self._partitions: dict[TopicPartition, Partition] = {}
        self._turn = 0

    def create(self, name: str, partitions: int, replicas: int, settings: Mapping[str, str], visible_at: float) -> None:
        topic = self._topics[name] = Topic(name, replicas, settings, visible_at)
        self.grow(topic, partitions)

    def grow(self, topic: Topic, partitions: int) -> None:
        for number in range(len(topic.partitions), partitions):
            log = PartitionLog(topic.name, number, topic.settings)
            partition = Partition(log, self.next_replicas(topic.replicas), int(topic.settings["min.insync.replicas"]))
            topic.partitions.append(partition)
            self._partitions[TopicPartition(topic.name, number)] = partition

    def next_replicas(self, count: int) -> list[int]:
        brokers, turn = self.brokers, self._turn
        self._turn += 1
        return [brokers[(turn + each) % len(brokers)] for each in range(count)]

    def delete(self, name: str) -> list[Partition]:
        topic = self._topics.pop(name)
        return [self._partitions.pop(TopicPartition(name, number)) for number in range(len(topic.partitions))]

    def visible(self, name: str, now: float) -> Topic | None:
        topic = self._topics.get(name)
        return topic if topic is not None and now >= topic.visible_at else None

    def existing(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def names(self) -> list[str]:
        return list(self._topics)

    def find(self, partition: TopicPartition) -> Partition | None:
        return self._partitions.get(partition)

    def all(self) -> Iterator[Partition]:
        return iter(list(self._partitions.values()))
