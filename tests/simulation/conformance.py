"""One suite for every Kafka: what the protocol code rests on, asked through its port of the simulation and of a real broker.

Where they answer differently the simulation is wrong. A case is written once, as a coroutine that is given a `Corner`:

    @on_every_kafka
    async def test_what_holds(kafka: Corner) -> None: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Literal

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidReplicationFactorError,
    ProducerFenced,
)
from aiokafka.structs import TopicPartition
from tests.simulation.conformance_places import Place, RealPlace, SimulatedPlace
from tests.simulation.loop import SimulatedLoop

from penstock.connectors.kafka_port import (
    BATCH_BYTES,
    Admin,
    Clients,
    GroupMember,
    NewTopic,
    PlainProducer,
    Reader,
    TransactionalProducer,
)
from penstock.connectors.kafka_stop import stop_within
from penstock.operators.record import Raw

FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)
PATIENCE_SECONDS = 20.0


class Corner:
    """Topics of a name of its own on some cluster, and clients that are ended with the case."""

    def __init__(self, place: Place, ends: AsyncExitStack) -> None:
        self.place, self._ends = place, ends
        self.clock, self.name = place.clock, place.name

    def topic(self, name: str = "t") -> str:
        return f"{self.name}.{name}"

    async def create(self, name: str = "t", partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        topic, admin = self.topic(name), await self.admin()
        wanted = NewTopic(topic, partitions, 1, {"retention.ms": "-1", **(settings or {})})
        refused = await admin.create([wanted])
        async with asyncio.timeout(PATIENCE_SECONDS):
            # A broker that was starved for some seconds is none to its controller for a while.
            while isinstance(refused.get(topic), InvalidReplicationFactorError):
                await asyncio.sleep(0.5)
                refused = await admin.create([wanted])
        assert not refused, refused
        await self.until(lambda: self._is_led(admin, topic, partitions))
        return topic

    async def _is_led(self, admin: Admin, topic: str, partitions: int) -> bool:
        leaders = (await admin.leaders([topic])).get(topic, {})
        return len(leaders) == partitions and min(leaders.values()) >= 0

    def clients(self, name: str = "a", transaction_seconds: float = 15.0) -> Clients:
        return self.place.clients(name, transaction_seconds)

    async def losing_clients(self) -> Clients:
        clients: Clients = await self._ends.enter_async_context(self.place.losing_clients())
        return clients

    def _end_with(self, stop: Callable[[], Awaitable[None]]) -> None:
        self._ends.push_async_callback(stop_within, 5.0, stop)

    async def admin(self) -> Admin:
        admin = self.clients().admin()
        self._end_with(admin.stop)
        await admin.start()
        return admin

    async def reader(self, *partitions: TopicPartition, committed: bool = True, start: int = 0) -> Reader:
        """It reads these partitions from `start` on."""
        reader = self.clients().reader(committed=committed)
        self._end_with(reader.stop)
        await reader.start()
        if partitions:
            reader.assign(partitions)
            for each in partitions:
                reader.seek(each, start)
        return reader

    async def producer(
        self, name: str = "p", *, transaction_seconds: float = 15.0, clients: Clients | None = None
    ) -> TransactionalProducer:
        """Started: whoever has this name is fenced."""
        clients = clients or self.clients(transaction_seconds=transaction_seconds)
        producer = clients.transactional(f"{self.name}.{name}", BATCH_BYTES)
        self._end_with(producer.abandon)
        await producer.start()
        return producer

    async def plain(self, clients: Clients | None = None) -> PlainProducer:
        producer = (clients or self.clients()).producer()
        self._end_with(producer.stop)
        await producer.start()
        return producer

    async def write(self, topic: str, *values: bytes, partition: int = 0) -> list[int]:
        """Offsets of plain writes, one after the other."""
        producer = await self.plain()
        return [(await (await producer.send(topic, value, b"k", partition))).offset for value in values]

    async def member(
        self, group: str, topic: str, *, name: str = "a", session_ms: int = 6_000
    ) -> tuple[GroupMember, list[frozenset[int]]]:
        """One that has joined, and what it is assigned, one after the other."""
        assigned: list[frozenset[int]] = []
        heard: list[float] = []

        async def make() -> GroupMember:
            member = self.clients(name).member(f"{self.name}.{group}", topic, session_ms, self.clock)
            await member.join(lambda partitions, _: assigned.append(partitions), heard.append)
            return member

        member = await self.place.in_process(name, make)
        self._end_with(member.leave)
        return member, assigned

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.02)

    async def soon(self, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.02)

    async def ends(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """The last stable offset and the high watermark."""
        each = TopicPartition(topic, partition)
        stable = (await (await self.reader()).end_offsets([each]))[each]
        high = (await (await self.reader(committed=False)).end_offsets([each]))[each]
        return stable, high

    async def settled(self, topic: str, partition: int = 0) -> int:
        """The end, as soon as no transaction is open there."""
        each = TopicPartition(topic, partition)
        committed, uncommitted = await self.reader(), await self.reader(committed=False)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                high = (await uncommitted.end_offsets([each]))[each]
                if (await committed.end_offsets([each]))[each] == high:
                    return high
                await asyncio.sleep(0.02)

    async def records(self, topic: str, partition: int = 0, *, committed: bool = True, start: int = 0) -> list[Raw]:
        """Everything that such a reader can read now."""
        each = TopicPartition(topic, partition)
        reader = await self.reader(each, committed=committed, start=start)
        return await read_to(reader, each, (await reader.end_offsets([each]))[each])

    async def values(self, topic: str, partition: int = 0, *, committed: bool = True) -> list[bytes | None]:
        return [raw.value for raw in await self.records(topic, partition, committed=committed)]


async def read_to(reader: Reader, partition: TopicPartition, end: int) -> list[Raw]:
    """Records until the position is `end`."""
    records: list[Raw] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await reader.position(partition) < end:
            for found in (await reader.getmany(partition, timeout_ms=100)).values():
                records += found
    return records


async def sent(producer: TransactionalProducer, topic: str, *values: bytes, partition: int = 0) -> list[int]:
    """Offsets of records in the open transaction, acknowledged."""
    sending = [await producer.send(topic, value, b"k", partition, headers=[]) for value in values]
    return [metadata.offset for metadata in await asyncio.gather(*sending)]


async def commit(producer: TransactionalProducer, topic: str, *values: bytes, partition: int = 0) -> list[int]:
    """A whole transaction; offsets of its records."""
    await producer.begin_transaction()
    offsets = await sent(producer, topic, *values, partition=partition)
    await producer.commit_transaction()
    return offsets


async def failure(doing: Awaitable[Any]) -> Exception | None:
    """What it raises."""
    try:
        await doing
    except Exception as error:  # noqa: BLE001 - it is what the case is about
        return error
    return None


Case = Callable[[Corner], Awaitable[None]]
Run = Callable[[Case], None]
"""Runs a case on some cluster."""


def run_simulated(version: Literal[1, 2]) -> Run:
    def run(case: Case) -> None:
        loop = SimulatedLoop()
        try:
            loop.run(_in_corner(SimulatedPlace(loop, version), case))
        finally:
            loop.close()

    return run


def run_real(bootstrap: str) -> Run:
    def run(case: Case) -> None:
        asyncio.run(_in_corner(RealPlace(bootstrap), case))

    return run


async def _in_corner(place: Place, case: Case) -> None:
    async with AsyncExitStack() as ends:
        await case(Corner(place, ends))


def on_every_kafka(case: Case) -> Callable[[Run], None]:
    """The case as a test; the fixture `any_run` says where it runs."""

    def test(any_run: Run) -> None:
        any_run(case)

    test.__name__, test.__doc__ = getattr(case, "__name__", "test"), case.__doc__
    return test
