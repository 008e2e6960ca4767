"""What aiokafka's clients tell of themselves on a real Kafka, where the protocol rests on it."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.structs import TopicPartition
from tests.kafka_cut import END_TXN, Strike, cut
from tests.kafka_world import KafkaWorld

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_port import BATCH_BYTES, TransactionalProducer
from penstock.connectors.kafka_records import Fetched
from penstock.connectors.kafka_settings import KafkaSettings

pytestmark = pytest.mark.timeout(60)


async def commit(producer: TransactionalProducer, topic: str, value: bytes) -> None:
    await producer.begin_transaction()
    await (await producer.send(topic, value, b"k", 0, headers=[]))
    await producer.commit_transaction()


async def test_an_end_of_a_transaction_whose_answer_was_lost_is_sent_again_and_counted(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    async with cut(kafka.cluster.bootstrap) as way:
        producer = KafkaClients(KafkaSettings(bootstrap=way.bootstrap), "cut").transactional(kafka.name, BATCH_BYTES)
        await producer.start()
        try:
            await commit(producer, topic, b"answered")
            assert producer.resent == 0
            way.strike(END_TXN, "cut")
            await commit(producer, topic, b"lost")
            assert way.struck == [Strike(END_TXN, "cut")]
            assert producer.resent == 1
            await commit(producer, topic, b"answered again")
            assert producer.resent == 0
        finally:
            await producer.abandon()
    await kafka.broker()
    assert await kafka.committed(topic) == [b"answered", b"lost", b"answered again"]


async def test_commits_that_follow_each_other_closely_send_nothing_again(kafka: KafkaWorld) -> None:
    """The coordinator answers "not yet" while the markers of the one before are written: that is an answer."""
    topic = await kafka.create()
    producer = kafka.clients.transactional(kafka.name, BATCH_BYTES)
    await producer.start()
    try:
        for number in range(30):
            await commit(producer, topic, b"%d" % number)
            assert producer.resent == 0
    finally:
        await producer.abandon()


async def test_a_reader_makes_small_records(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1")
    reader, partition = kafka.clients.reader(), TopicPartition(topic, 0)
    await reader.start()
    try:
        reader.assign([partition])
        reader.seek(partition, 0)
        (records,) = (await reader.getmany(partition, timeout_ms=5_000)).values()
    finally:
        await reader.stop()
    assert [(type(raw), raw.value) for raw in records] == [(Fetched, b"1")]


async def test_a_member_is_told_when_its_assignment_was_asked_for_and_its_heartbeats_were_sent(
    kafka: KafkaWorld,
) -> None:
    topic = await kafka.create(partitions=2)
    clock, told = MachineClock(), asyncio.Event()
    assignments: list[tuple[frozenset[int], float]] = []
    heartbeats: list[float] = []

    def heard(sent_at: float) -> None:
        heartbeats.append(sent_at)
        told.set()

    began = clock.monotonic()
    member = kafka.clients.member(kafka.name, topic, 6_000, clock)
    await member.join(lambda *assignment: assignments.append(assignment), heard)
    try:
        await told.wait()
    finally:
        await member.leave()
    ((partitions, asked_at),) = assignments
    assert partitions == {0, 1}
    assert began < asked_at < heartbeats[0] < clock.monotonic()
