"""Reading topics from the side: ranges, and all partitions as they grow."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from penstock.connectors.kafka_client import KafkaClients, stop_within
from penstock.connectors.kafka_inputs import read
from penstock.connectors.kafka_topics import absent, leaders
from penstock.operators.error import Unreachable
from penstock.operators.record import Raw

FOLLOW_MS = 500
STOP_SECONDS = 2.0


async def read_range(
    clients: KafkaClients, admin: AIOKafkaAdminClient, topic: str, partition: int, start: int, end: int | None,
    *, committed: bool,
) -> AsyncIterator[Raw]:  # fmt: skip
    """As `Broker.read`. Of records that are not there any more the first that is; raises Unreachable."""
    consumer, each = clients.consumer(committed=committed), TopicPartition(topic, partition)
    try:
        await partitions_of(clients, admin, topic)
        await consumer.start()
        first = max(start, (await consumer.beginning_offsets([each]))[each])
        seen = (await consumer.end_offsets([each]))[each]
        async for raw in read(consumer, each, first, seen if end is None else min(end, seen)):
            yield raw
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, f"reading {topic}/{partition}") from error
    finally:
        await stop_within(STOP_SECONDS, consumer.stop)


async def follow(clients: KafkaClients, admin: AIOKafkaAdminClient, topic: str) -> AsyncIterator[Raw]:
    """As `Broker.follow`; raises Unreachable."""
    consumer = clients.consumer()
    try:
        partitions = [TopicPartition(topic, each) for each in await partitions_of(clients, admin, topic)]
        await consumer.start()
        starts = await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for each, start in starts.items():
            consumer.seek(each, start)
        while True:
            for records in (await consumer.getmany(timeout_ms=FOLLOW_MS)).values():
                for raw in records:
                    yield raw
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, f"following {topic}") from error
    finally:
        await stop_within(STOP_SECONDS, consumer.stop)


async def partitions_of(clients: KafkaClients, admin: AIOKafkaAdminClient, topic: str) -> list[int]:
    """Raises Unreachable for a topic that is not there: a client that merely asks for it may create it."""
    found = (await leaders(admin, [topic])).get(topic)
    if found is None:
        where, remedy = (
            f"kafka {clients.address}",
            "correct the name, create it, or run the pipeline that writes it first",
        )
        raise Unreachable(absent([topic]), where=where, remedy=remedy)
    return sorted(found)
