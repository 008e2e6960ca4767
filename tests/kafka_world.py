"""A corner of a Kafka cluster for one test: topics under a name of its own, and brokers that are closed at the end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.kafka_cluster import Kafka

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_aiokafka_admin import AiokafkaAdmin
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Committed, Layout, Limits, Start, TaskId
from penstock.operators.record import Output, Raw
from penstock.state.delta import Bucket, Delta, Entry, EntryKind, Header, Position

TASK = TaskId("main", 0)
VISIBLE_SECONDS_MAX = 10.0


def delta(
    log: KafkaTaskLog,
    kind: EntryKind = "delta",
    positions: Mapping[str, Position] | None = None,
    outputs: Sequence[Output] = (),
    cells: Mapping[str, dict[str, object]] | None = None,
) -> Delta:
    """The next one of this log."""
    header = Header(
        seq=log.seq + 1, incarnation=log.incarnation, kind=kind, positions=dict(positions or {}), sent=dict(log._sent)
    )
    return Delta(header=header, outputs=list(outputs), cells=dict(cells or {}))


async def declare(log: KafkaTaskLog) -> tuple[list[Entry], dict[str, Position]]:
    """Restore, take up the inputs, commit `opened`: what was restored, and the positions."""
    entries = [entry async for entry, _ in log.restored()]
    deltas = [entry for entry in entries if isinstance(entry, Delta)]
    positions = await log.begin(deltas[-1].header.positions if deltas else {})
    await log.commit(delta(log, "opened", positions), [])
    return entries, positions


async def fetched(log: KafkaTaskLog, topic: str, count: int) -> list[Raw]:
    """Records of one input until there are so many."""
    records: list[Raw] = []
    while len(records) < count:
        batch = await log.fetch(Limits())
        records += batch.records.get(topic, ())
    return records


@dataclass
class KafkaWorld:
    """Names are unique: `name` begins every topic of this test."""

    cluster: Kafka
    admin: AIOKafkaAdminClient
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    brokers: list[KafkaBroker] = field(default_factory=list)
    logs: list[KafkaTaskLog] = field(default_factory=list)

    @property
    def settings(self) -> KafkaSettings:
        cluster = {"bootstrap": self.cluster.bootstrap, "session_timeout": "6s", "transaction_timeout": "10s"}
        return KafkaSettings.model_validate(cluster)

    @property
    def clients(self) -> KafkaClients:
        return KafkaClients(self.settings, "test")

    def layout(self, *inputs: str, start: Start = "earliest") -> Layout:
        topics = {f"{self.name}.{each}": start for each in inputs or ("in",)}
        return Layout(self.name, "p", topics, frozenset({f"{self.name}.p.results"}), f"{self.name}.p.previews")

    def topic(self, name: str = "in") -> str:
        return f"{self.name}.{name}"

    @property
    def results(self) -> str:
        return f"{self.name}.p.results"

    async def create(self, name: str = "in", partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """A topic of the user; records keep whatever age they have."""
        topic = self.topic(name)
        configs = {"retention.ms": "-1", **(settings or {})}
        await self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
        async with asyncio.timeout(VISIBLE_SECONDS_MAX):
            while not await self._is_there(topic):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        return topic

    async def _is_there(self, topic: str) -> bool:
        """The broker knows it; the controller has for a moment."""
        (described,) = await self.admin.describe_topics([topic])
        return not described["error_code"]

    async def delete_records(self, topic: str, before: int) -> None:
        """Of partition 0, as a retention does."""
        await AiokafkaAdmin(self.admin).delete_records(TopicPartition(topic, 0), before)

    async def broker(
        self, layout: Layout | None = None, settings: KafkaSettings | None = None, make: type[KafkaBroker] = KafkaBroker
    ) -> KafkaBroker:
        broker = make(layout or self.layout(), settings or self.settings, trim_seconds=0.0)
        self.brokers.append(broker)
        await broker.start()
        return broker

    async def fence(self, broker: KafkaBroker, task: TaskId = TASK) -> KafkaTaskLog:
        """A task that was opened, and nothing more."""
        log = await broker.open(task)
        self.logs.append(log)
        return log

    async def open(
        self, broker: KafkaBroker, task: TaskId = TASK
    ) -> tuple[KafkaTaskLog, list[Entry], dict[str, Position]]:
        """A task that is ready to fetch and commit."""
        log = await self.fence(broker, task)
        return log, *await declare(log)

    async def write(self, topic: str, *values: bytes, key: bytes | None = b"k", partition: int = 0) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.cluster.bootstrap)
        await producer.start()
        try:
            for value in values:
                await producer.send_and_wait(topic, value, key, partition)
        finally:
            await producer.stop()

    async def committed(self, topic: str, partition: int = 0) -> list[bytes | None]:
        """Values that a read_committed reader sees now."""
        broker = self.brokers[-1]
        return [raw.value async for raw in broker.read(topic, partition, 0)]

    async def start_of(self, topic: str, partition: int = 0) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.cluster.bootstrap)
        await consumer.start()
        try:
            each = TopicPartition(topic, partition)
            return int((await consumer.beginning_offsets([each]))[each])
        finally:
            await consumer.stop()

    async def close(self) -> None:
        for log in self.logs:
            await log.close()
        for broker in self.brokers:
            await broker.close()


async def commit(log: KafkaTaskLog, *values: str, topic: str, buckets: Sequence[Bucket] = ()) -> Committed:
    """A delta with one output per value."""
    outputs = [Output(value, topic, b"k", value.encode()) for value in values]
    return await log.commit(delta(log, outputs=outputs), outputs, buckets)


@pytest.fixture
async def kafka(kafka_cluster: Kafka) -> AsyncIterator[KafkaWorld]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap)
    await admin.start()
    world = KafkaWorld(kafka_cluster, admin)
    try:
        yield world
    finally:
        await world.close()
        await admin.close()
