"""A commit of which only the beginning is there is completed by the next who opens the task, once and byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.protocol.transaction import EndTxnRequest
from tests.kafka_world import TASK, KafkaWorld, commit, delta

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_port import BATCH_BYTES, Sending, TransactionalProducer
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout, TaskId
from penstock.operators.error import Damaged, Indefinite
from penstock.operators.record import Output
from penstock.operators.result import source_of
from penstock.state.codec import records_of
from penstock.state.delta import Delta

pytestmark = pytest.mark.timeout(60)


class Torn:
    """A task whose last commit can be torn: results and partials on two topics, as a pipeline has them."""

    def __init__(self, world: KafkaWorld) -> None:
        self.world = world
        layout = world.layout()
        self.results, self.partials = f"{world.name}.p.results", f"{world.name}.p.partials"
        self.layout: Layout = replace(layout, outputs=frozenset({self.results, self.partials}))
        self.broker: KafkaBroker

    async def begin(self) -> KafkaTaskLog:
        await self.world.create()
        self.broker = await self.world.broker(self.layout)
        return await self.open()

    async def open(self) -> KafkaTaskLog:
        log, _, _ = await self.world.open(self.broker)
        return log

    def output(self, identity: str, topic: str | None = None) -> Output:
        headers = (("ce_id", identity.encode()), ("ce_source", source_of(self.world.name, "p").encode()))
        return Output(identity, topic or self.results, b"k", identity.encode(), headers)

    async def commit(self, log: KafkaTaskLog, *outputs: Output) -> None:
        await log.commit(delta(log, outputs=outputs), outputs)

    async def tear(self, torn: Delta, written: Sequence[Output]) -> None:
        """A commit as a late end of the one before would leave it: the delta, and some of its outputs."""
        producer = self.world.clients.transactional(f"{self.layout.prefix}.main.0", BATCH_BYTES)
        await producer.start()
        await producer.begin_transaction()
        for record in records_of(torn, torn.header.incarnation):
            await _sent(producer, self.layout.log, record.value, record.key, record.headers)
        for output in written:
            await _sent(producer, output.topic, output.value, output.key, output.headers)
        await producer.commit_transaction()
        await producer.abandon()

    async def told(self, topic: str) -> list[str]:
        """What lies on the topic, and whether it is as it should be."""
        found = [raw async for raw in self.broker.read(topic, 0, 0)]
        for raw in found:
            assert raw.value is not None
            expected = self.output(raw.value.decode(), topic)
            assert (raw.key, raw.value, tuple(raw.headers)) == (expected.key, expected.value, expected.headers)
        return [raw.value.decode() for raw in found if raw.value is not None]

    async def last_delta(self) -> Delta:
        log = await self.world.fence(self.broker)
        return [stored.entry async for stored in log.restored() if isinstance(stored.entry, Delta)][-1]


async def _sent(
    producer: TransactionalProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes]],
) -> None:
    await (await producer.send(topic, value, key, 0, headers=list(headers)))


@pytest.fixture
def torn(kafka: KafkaWorld) -> Torn:
    return Torn(kafka)


async def test_what_is_missing_of_the_last_commit_is_written_with_opened_and_never_again(torn: Torn) -> None:
    log = await torn.begin()
    await torn.commit(log, torn.output("0-a/1"))
    outputs = [torn.output(f"0-b/{number}") for number in range(4)]
    outputs += [torn.output(f"0-b/{number}", torn.partials) for number in range(2)]
    await torn.tear(delta(log, outputs=outputs), [outputs[1], outputs[2], outputs[4]])
    for _ in range(3):
        again = await torn.open()
        assert sorted(await torn.told(torn.results)) == ["0-a/1", "0-b/0", "0-b/1", "0-b/2", "0-b/3"]
        assert sorted(await torn.told(torn.partials)) == ["0-b/0", "0-b/1"]
        await again.close()


async def test_opened_carries_what_it_completes_and_a_torn_opened_is_completed_in_turn(torn: Torn) -> None:
    log = await torn.begin()
    outputs = [torn.output(f"0-a/{number}") for number in range(3)]
    await torn.tear(delta(log, outputs=outputs), [])
    again = await torn.world.fence(torn.broker)
    assert [stored.entry.outputs async for stored in again.restored() if isinstance(stored.entry, Delta)][-1] == outputs
    opened = delta(again, "opened", outputs=outputs)
    await torn.tear(opened, outputs[:1])
    await torn.open()
    last = await torn.last_delta()
    assert (last.header.kind, last.header.incarnation, last.outputs) == ("opened", 3, outputs[1:])
    assert await torn.told(torn.results) == ["0-a/0", "0-a/1", "0-a/2"]


async def test_what_others_write_to_the_same_partition_is_neither_ours_nor_in_the_way(torn: Torn) -> None:
    log = await torn.begin()
    await torn.world.write(torn.results, b"foreign")
    outputs = [torn.output("0-a/1"), torn.output("0-a/2")]
    await torn.tear(delta(log, outputs=outputs), outputs[1:])
    await torn.world.write(torn.results, b"foreign", b"foreign")
    await torn.open()
    found = [raw.value async for raw in torn.broker.read(torn.results, 0, 0)]
    assert found == [b"foreign", b"0-a/2", b"foreign", b"foreign", b"0-a/1"]


async def test_an_open_transaction_of_others_is_waited_for(torn: Torn) -> None:
    """Before it is decided nobody knows whether what lies behind it is there."""
    log = await torn.begin()
    outputs = [torn.output("0-a/1"), torn.output("0-a/2")]
    await torn.tear(delta(log, outputs=outputs), outputs[:1])
    other = torn.world.clients.transactional(f"{torn.world.name}.other", BATCH_BYTES)
    await other.start()
    await other.begin_transaction()
    await _sent(other, torn.results, b"open", None, ())
    opening = asyncio.create_task(torn.open())
    done, _ = await asyncio.wait([opening], timeout=1)
    assert not done
    await other.commit_transaction()
    await other.abandon()
    await opening
    found = [raw.value async for raw in torn.broker.read(torn.results, 0, 0)]
    assert found == [b"0-a/1", b"open", b"0-a/2"]


async def test_a_topic_that_was_there_before_the_pipeline_is_not_looked_through(torn: Torn) -> None:
    await torn.world.create("p.results")
    await torn.world.write(torn.results, *[b"foreign"] * 50)
    log = await torn.begin()
    assert (await torn.last_delta()).header.sent[torn.results] == 49
    assert log.incarnation == 1


async def test_outputs_that_retention_took_are_not_written_again(torn: Torn) -> None:
    log = await torn.begin()
    await torn.commit(log, torn.output("0-a/1"), torn.output("0-a/2"))
    await log.close()
    await torn.world.delete_records(torn.results, before=1)
    await torn.open()
    assert await torn.told(torn.results) == ["0-a/2"]


async def test_results_behind_the_end_of_the_log_are_refused(torn: Torn) -> None:
    log = await torn.begin()
    await torn.commit(log, torn.output("0-a/1"))
    await log.close()
    producer = torn.world.clients.producer()
    await producer.start()
    lost = torn.output("0-b/1")
    await (await producer.send(lost.topic, lost.value, lost.key, 0, headers=list(lost.headers)))
    await producer.stop()
    with pytest.raises(Damaged, match=r"0-b/1 was written after the last entry of the log \(seq 1\)"):
        await torn.open()


async def test_tasks_are_completed_each_for_itself(torn: Torn) -> None:
    await torn.world.create(partitions=2)
    torn.broker = await torn.world.broker(torn.layout)
    other, _, _ = await torn.world.open(torn.broker, TaskId("main", 1))
    log, _, _ = await torn.world.open(torn.broker, TASK)
    await torn.tear(delta(log, outputs=[torn.output("0-a/1")]), [])
    mine = torn.output("1-a/1")
    await other.commit(delta(other, outputs=[mine]), [mine])
    await torn.open()
    assert await torn.told(torn.results) == ["0-a/1"]
    assert [raw.value async for raw in torn.broker.read(torn.results, 1, 0)] == [b"1-a/1"]


class LateCopies(KafkaClients):
    """A late copy of the end of some earlier transaction arrives in the middle of a commit: before the value `before`.

    `visible` is awaited then: until the brokers have ended the transaction everywhere.
    """

    def __init__(self, settings: KafkaSettings, before: bytes, visible: Callable[[], Awaitable[None]]) -> None:
        super().__init__(settings, "late")
        self._before, self._visible = before, visible

    def transactional(self, transactional_id: str, batch_bytes: int) -> TransactionalProducer:
        producer: Any = super().transactional(transactional_id, batch_bytes)
        send, sent = producer.send, list[Sending]()

        async def send_after_the_copy(topic: str, value: bytes, *rest: Any, **options: Any) -> Sending:
            if value == self._before:
                self._before = b""
                await asyncio.gather(*sent)
                await self._end_transaction(producer)
            sent.append(await send(topic, value, *rest, **options))
            return sent[-1]

        producer.send = send_after_the_copy
        made: TransactionalProducer = producer
        return made

    async def _end_transaction(self, producer: Any) -> None:
        manager = producer._txn_manager
        node = await producer._sender._find_coordinator(CoordinationType.TRANSACTION, manager.transactional_id)
        copy = EndTxnRequest(manager.transactional_id, manager.producer_id, manager.producer_epoch, True)
        answer = await producer.client.send(node, copy, group=ConnectionGroup.COORDINATION)
        assert answer.error_code == 0
        await self._visible()


async def test_a_commit_that_a_late_copy_of_the_same_epoch_tears_is_completed(kafka: KafkaWorld) -> None:
    """Kafka does just what rule 4 is for: the copy ends the transaction, and what comes after it is refused."""
    await kafka.create()

    async def visible() -> None:
        while await kafka.committed(kafka.results) != [b"0", b"1"]:
            continue

    broker = KafkaBroker(kafka.layout(), kafka.settings, clients=LateCopies(kafka.settings, b"2", visible))
    kafka.brokers.append(broker)
    await broker.start()
    log, _, _ = await kafka.open(broker)
    await commit(log, "0", topic=kafka.results)
    with pytest.raises(Indefinite):
        await commit(log, "1", "2", "3", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"0", b"1"]
    _, entries, _ = await kafka.open(broker)
    assert [output.id for entry in entries if isinstance(entry, Delta) for output in entry.outputs] == [
        "0",
        "1",
        "2",
        "3",
    ]
    assert await kafka.committed(kafka.results) == [b"0", b"1", b"2", b"3"]
