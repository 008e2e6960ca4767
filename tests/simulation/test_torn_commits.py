"""A late copy of EndTxn meets the next commit of the same task half-way, and then the process dies (KAFKA-17754).

commit 1   EndTxn ──╳ the connection breaks, sent again, decided       … the first copy is still under way
commit 2   delta acknowledged │ outputs held up │ ◀── the copy arrives │ SIGKILL
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Literal

import pytest
from aiokafka.structs import TopicPartition
from tests.kafka_world import TASK, commit, declare
from tests.simulation import messages as m
from tests.simulation.clients import SimulatedClients
from tests.simulation.cluster import Cluster
from tests.simulation.loop import SimulatedClock, SimulatedLoop
from tests.simulation.network import Chances, Network
from tests.simulation.settings import BrokerSettings, Delays, Span
from tests.simulation.topics import Partition

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout
from penstock.state.delta import Delta

LATE_SECONDS = 3.0
RESULTS = "t.p.results"
LAYOUT = Layout("t", "p", {"t.in": "earliest"}, frozenset({RESULTS}))


class Scene:
    def __init__(self, loop: SimulatedLoop, version: Literal[1, 2]) -> None:
        self.loop, self.clock = loop, SimulatedClock(loop)
        self.cluster = Cluster(BrokerSettings(transaction_version=version), Random(1))
        delays = Delays(late=Span(LATE_SECONDS, LATE_SECONDS))
        self.network = Network(loop, self.cluster, Random(2), delays)
        self.cluster.create("t.in")

    def broker(self, name: str) -> KafkaBroker:
        settings = KafkaSettings.model_validate({"transaction_timeout": "60s"})
        clients = SimulatedClients(self.network, name, self.clock, 60.0)
        return KafkaBroker(LAYOUT, settings, name, self.clock, clients)

    async def first_owner(self) -> None:
        """Two commits; it does not live to see the second."""
        broker = self.broker("first")
        await broker.start()
        log = await broker.open(TASK)
        await declare(log)
        self.network.chances = Chances(late=1.0, only=frozenset({m.EndTransaction}))
        self.loop.call_later(0.04, self._end_misfortune)
        await commit(log, "1", topic=RESULTS)
        await commit(log, "2", topic=RESULTS)

    def _end_misfortune(self) -> None:
        self.network.chances = None

    async def hold_up_results(self) -> Partition:
        """From the first commit on, the partition of the results has too few replicas to acknowledge anything."""
        topics = self.cluster.topics
        async with asyncio.timeout(LATE_SECONDS):
            while (found := topics.find(TopicPartition(RESULTS, 0))) is None or found.log.stable < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        found.in_sync_least = 99
        return found


async def torn(scene: Scene) -> tuple[list[str], list[bytes | None]]:
    """What the log says was told, and what a reader of the results finds, once a successor has opened the task."""
    process = scene.loop.process("first")
    first = scene.loop.spawn(process, scene.first_owner())
    results = await scene.hold_up_results()
    await asyncio.sleep(LATE_SECONDS)
    assert not first.done()
    scene.loop.kill_process(process)
    results.in_sync_least = 1
    successor = scene.broker("second")
    await successor.start()
    entries, _ = await declare(await successor.open(TASK))
    promised = [output.id for entry in entries if isinstance(entry, Delta) for output in entry.outputs]
    return promised, [raw.value async for raw in successor.read(RESULTS, 0, 0)]


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_log_promises_is_told_also_when_a_late_end_has_torn_a_commit(version: Literal[1, 2]) -> None:
    loop = SimulatedLoop()
    try:
        promised, told = loop.run(torn(Scene(loop, version)))
    finally:
        loop.close()
    assert "1" in promised
    assert [each.encode() for each in promised] == told
