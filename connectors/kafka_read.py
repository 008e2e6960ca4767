"""Reading topics from the side: ranges, and all partitions as they grow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_inputs import read
from penstock.connectors.kafka_port import Admin, Clients, Reader
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.kafka_topics import absent
from penstock.operators.error import Unreachable
from penstock.operators.record import Raw

FOLLOW_MS = 500
STOP_SECONDS = 2.0


async def read_range(
    clients: Clients, admin: Admin, topic: str, partition: int, start: int, end: int | None,
    *, committed: bool,
) -> AsyncIterator[Raw]:  # fmt: skip
    """As `Broker.read`. Of records that are not there any more the first that is; raises Unreachable."""
    each = TopicPartition(topic, partition)
    async with _reader(clients, f"reading {topic}/{partition}", committed=committed) as reader:
        await partitions_of(clients, admin, topic)
        await reader.start()
        first = max(start, (await reader.beginning_offsets([each]))[each])
        seen = (await reader.end_offsets([each]))[each]
        async for raw in read(reader, each, first, seen if end is None else min(end, seen)):
            yield raw


async def offset_at(clients: Clients, topic: str, partition: int, time: int) -> int | None:
    """Of the first record with this timestamp (ms) or a later one; None where there is none yet. Raises Unreachable."""
    reader, each = clients.reader(), TopicPartition(topic, partition)
    try:
        await reader.start()
        found = (await reader.offsets_for_times({each: time}))[each]
        return None if found is None else found.offset
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, f"looking for a time in {topic}/{partition}") from error
    finally:
        await stop_within(STOP_SECONDS, reader.stop)


async def follow(clients: Clients, admin: Admin, topic: str) -> AsyncIterator[Raw]:
    """As `Broker.follow`; raises Unreachable."""
    async with _reader(clients, f"following {topic}") as reader:
        partitions = [TopicPartition(topic, each) for each in await partitions_of(clients, admin, topic)]
        await reader.start()
        starts = await reader.beginning_offsets(partitions)
        reader.assign(partitions)
        for each, start in starts.items():
            reader.seek(each, start)
        while True:
            for records in (await reader.getmany(timeout_ms=FOLLOW_MS)).values():
                for raw in records:
                    yield raw


@asynccontextmanager
async def _reader(clients: Clients, doing: str, *, committed: bool = True) -> AsyncIterator[Reader]:
    """One that is yet to be started, and is stopped in the end; what goes wrong meanwhile becomes Unreachable."""
    reader = clients.reader(committed=committed)
    try:
        yield reader
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, doing) from error
    finally:
        await stop_within(STOP_SECONDS, reader.stop)


async def partitions_of(clients: Clients, admin: Admin, topic: str) -> list[int]:
    """Raises Unreachable for a topic that is not there: a client that merely asks for it may create it."""
    found = (await admin.leaders([topic])).get(topic)
    if found is None:
        where, remedy = (
            f"kafka {clients.address}",
            "correct the name, create it, or run the pipeline that writes it first",
        )
        raise Unreachable(absent([topic]), where=where, remedy=remedy)
    return sorted(found)
