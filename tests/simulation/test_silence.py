"""A process that was stopped does not take what it hears afterwards for news: an end is seen when it was asked for.

fetch ──▶ broker: nothing there ──▶ answer ▌stopped … a record is written … ▐ heard: nothing was there, but when?
"""

from __future__ import annotations

import asyncio
from random import Random

from aiokafka.structs import TopicPartition
from tests.kafka_world import TASK, declare
from tests.simulation.clients import SimulatedClients
from tests.simulation.cluster import Cluster
from tests.simulation.loop import SimulatedClock, SimulatedLoop
from tests.simulation.messages import Sent
from tests.simulation.network import Network
from tests.simulation.settings import BrokerSettings, Delays, Span

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout, Limits
from penstock.operators.event import Progress

INPUT = "t.in"
LAYOUT = Layout("t", "p", {INPUT: "earliest"}, frozenset())
STOPPED_SECONDS = 2.0
HOP_SECONDS = 0.02
"""So slow that it looks at what it knows before it hears anything new."""


async def read(network: Network, clock: SimulatedClock, seen: list[Progress]) -> None:
    """All that is told of the input, until a record has come."""
    clients = SimulatedClients(network, "reader", clock, 60.0)
    broker = KafkaBroker(LAYOUT, KafkaSettings(), "reader", clock, clients)
    await broker.start()
    log = await broker.open(TASK)
    await declare(log)
    while not seen or seen[-1].position == 0:
        seen.append((await log.fetch(Limits(wait=0.01))).progress[INPUT])


async def stopped_reader(loop: SimulatedLoop) -> tuple[list[Progress], int]:
    """What it was told, and when the only record was written."""
    clock, cluster, seen = SimulatedClock(loop), Cluster(BrokerSettings(), Random(1)), list[Progress]()
    network = Network(loop, cluster, Random(2), Delays(hop=Span(HOP_SECONDS, HOP_SECONDS)))
    cluster.create(INPUT)
    process = loop.process("reader")
    reading = loop.spawn(process, read(network, clock, seen))
    await asyncio.sleep(1.9)
    loop.stop_process(process)
    await asyncio.sleep(STOPPED_SECONDS)
    written_at = clock.now()
    network.write(TopicPartition(INPUT, 0), [Sent(written_at, b"k", b"v", ())])
    await asyncio.sleep(STOPPED_SECONDS)
    loop.continue_process(process)
    await reading
    return seen, written_at


def test_an_answer_that_waited_while_its_reader_was_stopped_does_not_say_how_long_an_input_is_silent() -> None:
    loop = SimulatedLoop()
    try:
        seen, written_at = loop.run(stopped_reader(loop))
    finally:
        loop.close()
    silent = [progress.seen_at for progress in seen if progress.position == 0]
    assert len(silent) > 10
    assert max(silent) < written_at
