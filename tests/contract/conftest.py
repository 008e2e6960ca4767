"""The transports that the contract suite runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.world import World
from tests.kafka_world import KafkaWorld

from penstock.connectors.clock import MachineClock
from penstock.connectors.embedded_broker import EmbeddedBroker
from penstock.connectors.embedded_store import Store
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.membership import Terms
from penstock.connectors.memory import Late, MemoryCluster
from penstock.connectors.port import Layout
from penstock.connectors.sqlite import SqliteStore

TERMS = Terms(session=1_000, handover=100)


class EmbeddedWorld:
    """Memory or a file: a place of its own for every test."""

    name = "t"

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self._path, self._clock = path, MachineClock()
        self._cluster = MemoryCluster(self._clock, script=[Late(reads=2), None] * 100)
        self._brokers: list[EmbeddedBroker] = []

    def _store(self) -> Store:
        return self._cluster if self.kind == "memory" else SqliteStore(self._path, self._clock)

    async def create_topic(self, topic: str, partitions: int) -> None:
        store = self._store()
        await store.create_topic(topic, partitions)
        await store.close()

    def broker(self, layout: Layout, member: str = "a") -> EmbeddedBroker:
        broker = EmbeddedBroker(self._store(), layout, member, self._clock, terms=TERMS)
        self._brokers.append(broker)
        return broker

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()


@pytest.fixture
async def memory_world(tmp_path: Path) -> AsyncIterator[World]:
    world = EmbeddedWorld("memory", tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def sqlite_world(tmp_path: Path) -> AsyncIterator[World]:
    world = EmbeddedWorld("sqlite", tmp_path / "penstock.db")
    yield world
    await world.close()


class KafkaContractWorld:
    """Topics of a name of its own on the session's Kafka."""

    kind = "kafka"

    def __init__(self, world: KafkaWorld) -> None:
        self._world, self.name = world, world.name

    async def create_topic(self, topic: str, partitions: int) -> None:
        await self._world.create(topic.removeprefix(f"{self.name}."), partitions)

    def broker(self, layout: Layout, member: str = "a") -> KafkaBroker:
        broker = KafkaBroker(layout, self._world.settings, member, trim_seconds=0.0)
        self._world.brokers.append(broker)
        return broker


@pytest.fixture
def kafka_world(kafka: KafkaWorld) -> World:
    return KafkaContractWorld(kafka)


@pytest.fixture(params=["memory", "sqlite", "kafka"])
def world(request: pytest.FixtureRequest) -> World:
    """The transport `<kind>` comes from the fixture `<kind>_world`."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
