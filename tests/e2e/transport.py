"""A place for the topics of several deployments, and the view that a stranger has of them: a producer and a committed reader.

Kafka is written and read with librdkafka, so that nothing of Penstock's own client stands between the topics and the judgement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic
from tests.e2e.deployment import PARTITIONS
from tests.e2e.ssh_stream import Written

from penstock.connectors.clock import MachineClock
from penstock.connectors.embedded_store import Write
from penstock.connectors.partition import partition_of
from penstock.connectors.sqlite import SqliteStore
from penstock.operators.record import Raw, Record

SECONDS_MAX = 20.0


class Transport(Protocol):
    """`broker` is what `--broker` takes, `sets` what `--set` needs besides."""

    @property
    def broker(self) -> str: ...
    @property
    def sets(self) -> tuple[str, ...]: ...
    def create(self, topic: str) -> None:
        """A source of PARTITIONS partitions."""
        ...

    def produce(self, topic: str, records: Sequence[Written]) -> None:
        """In this order, partitioned by murmur2; returns when all are acknowledged."""
        ...

    def read(self, topic: str) -> list[Raw]:
        """What is committed now, partition by partition in offset order; nothing where there is no such topic yet."""
        ...


@dataclass(frozen=True)
class SqliteTransport:
    """A file."""

    path: Path
    sets: tuple[str, ...] = ()

    @property
    def broker(self) -> str:
        return f"sqlite:{self.path}"

    def create(self, topic: str) -> None:
        async def create() -> None:
            async with self._store() as store:
                await store.create_topic(topic, PARTITIONS)

        asyncio.run(create())

    def produce(self, topic: str, records: Sequence[Written]) -> None:
        writes = [
            Write(topic, partition_of(each.key, PARTITIONS), each.key, each.value, (), each.timestamp)
            for each in records
        ]

        async def produce() -> None:
            async with self._store() as store:
                await store.commit(await store.fence("producer"), writes, None)

        asyncio.run(produce())

    def read(self, topic: str) -> list[Raw]:
        return asyncio.run(self._read(topic))

    async def _read(self, topic: str) -> list[Raw]:
        async with self._store() as store:
            if await store.partitions(topic) is None:
                return []
            found: list[Raw] = []
            for partition in range(PARTITIONS):
                position, end = 0, 1
                while position < end:
                    page = await store.read(topic, partition, position, 1000)
                    found += page.records
                    position, end = page.next, page.bounds.stable
            return found

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(self.path, MachineClock(), busy_seconds=SECONDS_MAX)
        try:
            yield store
        finally:
            await store.close()


@dataclass(frozen=True)
class KafkaTransport:
    """A cluster. Its topics outlive the tests, so names have to be unique."""

    bootstrap: str
    broker: str = "kafka"

    @property
    def sets(self) -> tuple[str, ...]:
        return (f"kafka.bootstrap={self.bootstrap}",)

    def session_timeout(self) -> int:
        """Milliseconds: the shortest that the brokers take, and a bit more."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        broker = ConfigResource("broker", str(next(iter(admin.list_topics(timeout=SECONDS_MAX).brokers))))
        (asked,) = admin.describe_configs([broker]).values()
        return int(asked.result(SECONDS_MAX)["group.min.session.timeout.ms"].value) + 500

    def create(self, topic: str, retention_ms: int = -1) -> None:
        """The time stamps of its records are old: a source must not be cleaned by age."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(topic, PARTITIONS, 1, config={"retention.ms": str(retention_ms)})
        admin.create_topics([new])[topic].result(SECONDS_MAX)

    def produce(self, topic: str, records: Sequence[Written], seconds: float = 0.0) -> None:
        """Spread evenly over so many seconds."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        began = time.monotonic()
        for number, each in enumerate(records):
            time.sleep(max(0.0, began + seconds * number / len(records) - time.monotonic()))
            partition = partition_of(each.key, PARTITIONS)
            producer.produce(topic, each.value, each.key, partition, timestamp=each.timestamp)
            producer.poll(0)
        assert producer.flush(SECONDS_MAX) == 0, "Kafka did not take all records"

    def read(self, topic: str) -> list[Raw]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap, "group.id": "nobody", "isolation.level": "read_committed",
                "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 50,
            }
        )  # fmt: skip
        try:
            if topic not in consumer.list_topics(timeout=SECONDS_MAX).topics:
                return []
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
            return _until_the_ends(consumer)
        finally:
            consumer.close()


def _until_the_ends(consumer: Consumer) -> list[Raw]:
    found: dict[int, list[Raw]] = {partition: [] for partition in range(PARTITIONS)}
    ended: set[int | None] = set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(SECONDS_MAX)
        assert message is not None, "Kafka does not answer"
        error = message.error()
        if error is None:
            record = _record(message)
            found[record.partition].append(record)
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended.add(message.partition())
    return [record for partition in sorted(found) for record in found[partition]]


def _record(message: Message) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers = message.headers() or []
    assert isinstance(headers, list)
    texts = tuple((name, value) for name, value in headers if isinstance(value, bytes))
    return Record(
        topic, partition, offset, message.timestamp()[1], _bytes(message.key()), _bytes(message.value()), texts
    )


def _bytes(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text
