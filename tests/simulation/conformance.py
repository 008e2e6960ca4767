"""One suite for every Kafka: what the protocol code rests on, asked through its port of the simulation and of a real broker.

Where they answer differently the simulation is wrong. A case is written once, as a coroutine that is given a `Corner`:

    @on_every_kafka
    async def test_what_holds(kafka: Corner) -> None: ...
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, Literal, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, ProducerFenced
from aiokafka.structs import TopicPartition
from tests.kafka_cut import END_TXN, Cut, cut
from tests.simulation import messages as m
from tests.simulation.clients import SimulatedClients
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Process, SimulatedClock, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.settings import BrokerSettings

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_client import KafkaClients
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
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.port import WallClock
from penstock.operators.record import Raw

FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)
PATIENCE_SECONDS = 20.0
Kind = Literal["produce", "add partitions", "end"]
API_KEYS: Mapping[Kind, int] = {"produce": 0, "add partitions": 24, "end": END_TXN}
MESSAGES: Mapping[Kind, type[m.Message]] = {
    "produce": m.Produce, "add partitions": m.AddPartitions, "end": m.EndTransaction,
}  # fmt: skip


class Place(Protocol):
    """A cluster, as far as the port does not reach it."""

    clock: WallClock
    name: str

    def clients(self, name: str, transaction_seconds: float) -> Clients: ...
    def losing_clients(self) -> Any:
        """Clients whose answers can be lost: an asynchronous context."""
        ...

    async def lose(self, kind: Kind) -> None: ...
    async def in_process(self, name: str, make: Callable[[], Awaitable[GroupMember]]) -> GroupMember:
        """A member that lives in a process of its own."""
        ...

    def silence(self, member: GroupMember) -> None:
        """SIGSTOP of its process."""
        ...

    async def delete_topic(self, topic: str) -> None: ...
    async def grow_topic(self, topic: str, partitions: int) -> None: ...


class Corner:
    """Topics of a name of its own on some cluster, and clients that are ended with the case."""

    def __init__(self, place: Place, ends: AsyncExitStack) -> None:
        self.place, self._ends = place, ends
        self.clock, self.name = place.clock, place.name

    def topic(self, name: str = "t") -> str:
        return f"{self.name}.{name}"

    async def create(self, name: str = "t", partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        topic, admin = self.topic(name), await self.admin()
        refused = await admin.create([NewTopic(topic, partitions, 1, {"retention.ms": "-1", **(settings or {})})])
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


class SimulatedPlace:
    """The simulation, with one broker as the real one has. Every case has a cluster of its own."""

    name = "t"

    def __init__(self, loop: SimulatedLoop, version: Literal[1, 2]) -> None:
        settings = BrokerSettings(brokers=1, transaction_version=version, abort_scan=1.0)
        self._loop = loop
        self.clock: WallClock = SimulatedClock(loop)
        self.network = Network(loop, Cluster(settings, Random(1)), Random(2))
        self._processes: dict[int, Process] = {}

    def clients(self, name: str, transaction_seconds: float) -> Clients:
        return SimulatedClients(self.network, name, self.clock, transaction_seconds)

    @asynccontextmanager
    async def losing_clients(self) -> AsyncIterator[Clients]:
        yield self.clients("losing", 15.0)

    async def lose(self, kind: Kind) -> None:
        self.network.doomed.append(MESSAGES[kind])

    async def in_process(self, name: str, make: Callable[[], Awaitable[GroupMember]]) -> GroupMember:
        async def made() -> GroupMember:
            return await make()

        process = self._loop.process(name)
        member = await self._loop.spawn(process, made())
        self._processes[id(member)] = process
        return member

    def silence(self, member: GroupMember) -> None:
        self._loop.stop_process(self._processes[id(member)])

    async def delete_topic(self, topic: str) -> None:
        await self._ask(m.DeleteTopic(topic))

    async def grow_topic(self, topic: str, partitions: int) -> None:
        await self._ask(m.AddTopicPartitions(topic, partitions))

    async def _ask(self, request: m.Message) -> None:
        link = self.network.link()
        answer = await link.ask(1, request)
        assert answer.error is None, answer
        link.close()


class RealPlace:
    """A broker at `bootstrap`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.clock: WallClock = MachineClock()
        self.name = f"c{uuid.uuid4().hex[:10]}"
        self._cut: Cut | None = None

    def clients(self, name: str, transaction_seconds: float, bootstrap: str | None = None) -> Clients:
        settings = {"bootstrap": bootstrap or self._bootstrap, "transaction_timeout": f"{transaction_seconds:g}s"}
        return KafkaClients(KafkaSettings.model_validate(settings), name)

    @asynccontextmanager
    async def losing_clients(self) -> AsyncIterator[Clients]:
        async with cut(self._bootstrap) as self._cut:
            yield self.clients("losing", 15.0, self._cut.bootstrap)

    async def lose(self, kind: Kind) -> None:
        assert self._cut is not None
        self._cut.lose.append(API_KEYS[kind])

    async def in_process(self, name: str, make: Callable[[], Awaitable[GroupMember]]) -> GroupMember:
        return await make()

    def silence(self, member: Any) -> None:
        """Its process cannot be stopped, but what it says in the background can."""
        coordinator = member._consumer._coordinator
        for task in (coordinator._heartbeat_task, coordinator._coordination_task):
            task.cancel()

    async def delete_topic(self, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([topic])

    async def grow_topic(self, topic: str, partitions: int) -> None:
        async with self._admin() as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


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
