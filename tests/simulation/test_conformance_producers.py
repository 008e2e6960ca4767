"""What becomes of records on their way: sizes, lost answers, order; of the simulation and of a real Kafka."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
)
from tests.simulation.conformance import Corner, commit, failure, on_every_kafka, sent

from penstock.connectors.kafka_port import REQUEST_BYTES_MAX

pytestmark = pytest.mark.timeout(60)


@on_every_kafka
async def test_a_record_that_its_topic_does_not_take_fails_and_the_rest_can_be_committed(kafka: Corner) -> None:
    """aiokafka's trap: `commit_transaction` says nothing of a send that has failed."""
    topic = await kafka.create(settings={"max.message.bytes": "1000"})
    producer = await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"small")
    assert isinstance(await failure(sent(producer, topic, bytes(2_000))), MessageSizeTooLargeError)
    await producer.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"small"]


@on_every_kafka
async def test_after_a_refused_batch_every_later_one_of_that_producer_is_out_of_sequence(kafka: Corner) -> None:
    topic = await kafka.create(settings={"max.message.bytes": "1000"})
    producer = await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"small")
    assert isinstance(await failure(sent(producer, topic, bytes(2_000))), MessageSizeTooLargeError)
    assert isinstance(await failure(sent(producer, topic, b"small again")), OutOfOrderSequenceNumber)


@on_every_kafka
async def test_a_topics_limit_is_one_on_encoded_batches(kafka: Corner) -> None:
    topic = await kafka.create(settings={"max.message.bytes": "20000"})
    plain = await kafka.plain()
    headers = [("h", b"v"), ("längere", bytes(200))]
    kept, refused = 0, 0
    for size in range(19_650, 19_720):
        sending = await plain.send(topic, bytes(size), b"key", 0, headers=headers, timestamp_ms=1_795_000_000_000)
        if isinstance(await failure(sending), MessageSizeTooLargeError):
            refused += 1
        else:
            kept = size
    assert (kept, refused) == (19_710, 9)


@on_every_kafka
async def test_a_record_that_no_topic_would_take_is_refused_before_it_leaves(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send(topic, bytes(REQUEST_BYTES_MAX), b"k", 0, headers=[])
    await sent(producer, topic, b"small")
    await producer.commit_transaction()


@on_every_kafka
async def test_a_batch_whose_answer_was_lost_is_written_once(kafka: Corner) -> None:
    topic = await kafka.create()
    producer = await kafka.producer(clients=await kafka.losing_clients())
    await producer.begin_transaction()
    await sent(producer, topic, b"a")
    await kafka.place.lose("produce")
    assert await sent(producer, topic, b"b") == [1]
    assert await sent(producer, topic, b"c") == [2]
    await producer.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic, committed=False) == [b"a", b"b", b"c"]
    assert producer.resent == 0


@on_every_kafka
async def test_a_plain_write_whose_answer_was_lost_is_written_twice(kafka: Corner) -> None:
    topic = await kafka.create()
    producer = await kafka.plain(await kafka.losing_clients())
    await (await producer.send(topic, b"a", b"k", 0))
    await kafka.place.lose("produce")
    assert (await (await producer.send(topic, b"b", b"k", 0))).offset == 2
    assert await kafka.values(topic) == [b"a", b"b", b"b"]


@on_every_kafka
async def test_an_end_whose_answer_was_lost_is_sent_again_and_counted(kafka: Corner) -> None:
    topic = await kafka.create()
    producer = await kafka.producer(clients=await kafka.losing_clients())
    await commit(producer, topic, b"a")
    assert producer.resent == 0
    await kafka.place.lose("end")
    await commit(producer, topic, b"b")
    assert producer.resent == 1
    await commit(producer, topic, b"c")
    assert producer.resent == 0
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"a", b"b", b"c"]


@on_every_kafka
async def test_partitions_that_were_added_without_an_answer_are_added_again(kafka: Corner) -> None:
    topic = await kafka.create()
    producer = await kafka.producer(clients=await kafka.losing_clients())
    await kafka.place.lose("add partitions")
    await commit(producer, topic, b"a")
    assert producer.resent in (0, 1)  # with KIP-890 there is no such request
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"a"]


@on_every_kafka
async def test_records_sent_at_once_are_written_in_the_order_of_sending(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    values = [b"%d" % number for number in range(200)]
    assert await sent(producer, topic, *values) == list(range(200))
    await producer.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic) == values
