"""What was sent twice ends its epoch: a late copy cannot end a later transaction, and nobody who came meanwhile is overrun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.kafka_cut import ADD_PARTITIONS_TO_TXN, END_TXN, PRODUCE, Cut, Strike, cut
from tests.kafka_world import TASK, KafkaWorld, commit, declare, delta

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_port import TransactionalProducer
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.error import Fenced, Indefinite
from penstock.state.delta import Delta, Entry

pytestmark = pytest.mark.timeout(60)

LATE = 1.5
"""Seconds."""

Interlude = Callable[[], Awaitable[None]]


class InterruptedClients(KafkaClients):
    """Something happens each time before a transactional id is taken, the first time excepted."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings, "interrupted")
        self.started = 0
        self.interlude: Interlude | None = None

    def transactional(self, transactional_id: str, batch_bytes: int) -> TransactionalProducer:
        producer = super().transactional(transactional_id, batch_bytes)
        start = producer.start

        async def start_later() -> None:
            self.started += 1
            if self.interlude is not None:
                await self.interlude()
            await start()

        producer.start = start_later  # type: ignore[method-assign]  # of this one
        return producer


@pytest.fixture
async def way(kafka: KafkaWorld) -> AsyncIterator[Cut]:
    async with cut(kafka.cluster.bootstrap) as way:
        yield way


async def opened_through(kafka: KafkaWorld, way: Cut) -> tuple[KafkaTaskLog, InterruptedClients]:
    await kafka.create()
    await kafka.broker()
    settings = kafka.settings.model_copy(update={"bootstrap": way.bootstrap})
    clients = InterruptedClients(settings)
    broker = KafkaBroker(kafka.layout(), settings, clients=clients, trim_seconds=0.0)
    kafka.brokers.insert(0, broker)
    await broker.start()
    log, _, _ = await kafka.open(broker)
    return log, clients


async def restored(kafka: KafkaWorld) -> list[Entry]:
    log = await kafka.fence(kafka.brokers[-1])
    return [stored.entry async for stored in log.restored()]


@pytest.mark.parametrize("request_kind", [ADD_PARTITIONS_TO_TXN, END_TXN])
async def test_after_a_request_that_was_sent_twice_the_log_goes_on_in_a_new_epoch(
    kafka: KafkaWorld, way: Cut, request_kind: int
) -> None:
    log, clients = await opened_through(kafka, way)
    await commit(log, "before", topic=kafka.results)
    assert clients.started == 1
    way.strike(request_kind, "cut")
    await commit(log, "lost", topic=kafka.results)
    assert way.struck == [Strike(request_kind, "cut")]
    assert clients.started == 2
    await commit(log, "after", topic=kafka.results)
    assert clients.started == 2
    assert await kafka.committed(kafka.results) == [b"before", b"lost", b"after"]
    deltas = [entry.header for entry in await restored(kafka) if isinstance(entry, Delta)]
    assert [(header.seq, header.incarnation) for header in deltas] == [(0, 1), (1, 1), (2, 1), (3, 1)]


async def test_a_late_copy_of_an_end_does_not_end_the_transaction_after_it(kafka: KafkaWorld, way: Cut) -> None:
    """The records of the second transaction are on their way when the first end of the first one arrives."""
    log, _ = await opened_through(kafka, way)
    way.strike(END_TXN, "overtake", LATE)
    await commit(log, "overtaken", topic=kafka.results)
    way.strike(PRODUCE, "delay request", 2 * LATE)
    await commit(log, "met", topic=kafka.results)
    assert len(way.struck) == 2
    assert await kafka.committed(kafka.results) == [b"overtaken", b"met"]


async def test_who_opened_the_task_before_the_new_epoch_keeps_it(kafka: KafkaWorld, way: Cut) -> None:
    """The new epoch fences the successor, who has written: we came too late, and the log says so."""
    log, clients = await opened_through(kafka, way)
    successor = KafkaBroker(kafka.layout(), kafka.settings, trim_seconds=0.0)
    kafka.brokers.append(successor)
    await successor.start()

    async def succeed() -> None:
        await kafka.open(successor)

    clients.interlude = succeed
    way.strike(END_TXN, "cut")
    with pytest.raises(Fenced, match="has opened the task, and written seq 2"):
        await commit(log, "decided", topic=kafka.results)
    clients.interlude = None
    with pytest.raises(Indefinite, match="given up"):
        await commit(log, "zombie", topic=kafka.results)
    again, entries, _ = await kafka.open(successor)
    assert [entry.header.incarnation for entry in entries if isinstance(entry, Delta)] == [1, 1, 2]
    await commit(again, "next", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"decided", b"next"]


async def test_who_has_read_the_log_and_not_written_yet_is_fenced_and_takes_the_task_back(
    kafka: KafkaWorld, way: Cut
) -> None:
    log, clients = await opened_through(kafka, way)
    successors: list[KafkaTaskLog] = []

    async def read() -> None:
        successor = await kafka.fence(kafka.brokers[-1])
        assert [entry async for entry in successor.restored()]
        successors.append(successor)

    clients.interlude = read
    way.strike(END_TXN, "cut")
    await commit(log, "decided", topic=kafka.results)
    (successor,) = successors
    positions = await successor.begin({})
    with pytest.raises(Fenced):
        await successor.commit(delta(successor, "opened", positions), [])
    again = await kafka.fence(kafka.brokers[-1], TASK)
    await declare(again)
    with pytest.raises(Fenced):
        await commit(log, "zombie", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"decided"]
