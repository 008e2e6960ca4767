"""The clusters of the conformance suite, as far as the port does not reach them: the simulation, and a real broker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.client import ConnectionGroup
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.transaction import EndTxnRequest
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
    Clients,
    GroupMember,
    TransactionalProducer,
)
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import WallClock

Kind = Literal["produce", "add partitions", "end"]
API_KEYS: Mapping[Kind, int] = {"produce": 0, "add partitions": 24, "end": END_TXN}
MESSAGES: Mapping[Kind, type[m.Message]] = {
    "produce": m.Produce, "add partitions": m.AddPartitions, "end": m.EndTransaction,
}  # fmt: skip


class Place(Protocol):
    """A cluster, as far as the port does not reach it."""

    clock: WallClock
    name: str
    raises_epochs: bool
    """Its clients have a new epoch for every transaction (KIP-890)."""

    def clients(self, name: str, transaction_seconds: float) -> Clients: ...
    def losing_clients(self) -> Any:
        """Clients whose answers can be lost: an asynchronous context."""
        ...

    async def lose(self, kind: Kind) -> None: ...
    def copy_of_end(self, producer: TransactionalProducer) -> Callable[[], Awaitable[m.Error]]:
        """The request that would commit its transaction now, to be sent later, past the producer."""
        ...

    async def in_process(self, name: str, make: Callable[[], Awaitable[GroupMember]]) -> GroupMember:
        """A member that lives in a process of its own."""
        ...

    def silence(self, member: GroupMember) -> None:
        """SIGSTOP of its process."""
        ...

    async def delete_topic(self, topic: str) -> None: ...
    async def grow_topic(self, topic: str, partitions: int) -> None: ...


class SimulatedPlace:
    """The simulation, with one broker as the real one has. Every case has a cluster of its own."""

    name = "t"

    def __init__(self, loop: SimulatedLoop, version: Literal[1, 2]) -> None:
        settings = BrokerSettings(brokers=1, transaction_version=version, abort_scan=1.0)
        self._loop, self.raises_epochs = loop, version == 2
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

    def copy_of_end(self, producer: Any) -> Callable[[], Awaitable[m.Error]]:
        request = m.EndTransaction(producer._transactional_id, producer._producer, producer._epoch, commit=True)

        async def send() -> m.Error:
            error: m.Error = (await self._ask(request)).error
            return error

        return send

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
        assert (await self._ask(m.DeleteTopic(topic))).error is None

    async def grow_topic(self, topic: str, partitions: int) -> None:
        assert (await self._ask(m.AddTopicPartitions(topic, partitions))).error is None

    async def _ask(self, request: m.Message) -> Any:
        link = self.network.link()
        try:
            return await link.ask(1, request)
        finally:
            link.close()


class RealPlace:
    """A broker at `bootstrap`."""

    raises_epochs = False

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
        self._cut.strike(API_KEYS[kind], "cut")

    def copy_of_end(self, producer: Any) -> Callable[[], Awaitable[m.Error]]:
        manager = producer._txn_manager
        request = EndTxnRequest(
            transactional_id=manager.transactional_id, producer_id=manager.producer_id,
            producer_epoch=manager.producer_epoch, transaction_result=True,
        )  # fmt: skip
        (coordinator,) = producer._sender._coordinators.values()

        async def send() -> m.Error:
            answer = await producer.client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
            error = for_code(answer.error_code)
            return None if error is NoError else error

        return send

    async def in_process(self, name: str, make: Callable[[], Awaitable[GroupMember]]) -> GroupMember:
        return await make()

    def silence(self, member: Any) -> None:
        """Its process cannot be stopped, but what it says in the background can."""
        coordinator = member._consumer._coordinator
        for task in (coordinator._heartbeat_task, coordinator._coordination_task):
            if task is not None:  # while it joins again there are no heartbeats
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
