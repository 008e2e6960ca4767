"""Transactions and their fences, asked through the port of the simulation and of a real Kafka."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    IllegalOperation,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
)
from aiokafka.structs import TopicPartition
from tests.simulation.conformance import FENCED, Corner, commit, failure, on_every_kafka, read_to, sent

pytestmark = pytest.mark.timeout(60)


@on_every_kafka
async def test_a_commit_takes_an_offset_for_its_marker(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    assert await commit(producer, topic, b"a", b"b") == [0, 1]
    assert await kafka.settled(topic) == 3
    assert await commit(producer, topic, b"c") == [3]
    assert await kafka.settled(topic) == 5
    assert await kafka.values(topic) == [b"a", b"b", b"c"]


@on_every_kafka
async def test_commits_that_follow_each_other_closely_all_succeed_in_order(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    for number in range(15):
        await commit(producer, topic, b"%d" % number)
        assert producer.resent == 0
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"%d" % number for number in range(15)]


@on_every_kafka
async def test_a_transaction_without_records_leaves_no_trace(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await producer.commit_transaction()
    assert await commit(producer, topic, b"a") == [0]


@on_every_kafka
async def test_a_transaction_over_several_partitions_marks_every_one_of_them(kafka: Corner) -> None:
    first, second = await kafka.create("a", 2), await kafka.create("b")
    producer = await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, first, b"0", partition=0)
    await sent(producer, first, b"1", partition=1)
    await sent(producer, second, b"2", b"3")
    await producer.commit_transaction()
    assert [await kafka.settled(first), await kafka.settled(first, 1), await kafka.settled(second)] == [2, 2, 3]
    assert await kafka.values(second) == [b"2", b"3"]


@on_every_kafka
async def test_a_later_start_fences_whoever_sends_after_it(kafka: Corner) -> None:
    topic, zombie = await kafka.create(), await kafka.producer()
    await commit(zombie, topic, b"before")
    owner = await kafka.producer()
    await zombie.begin_transaction()
    with pytest.raises(FENCED):
        await sent(zombie, topic, b"zombie")
    await commit(owner, topic, b"after")
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"before", b"after"]
    assert await kafka.values(topic, committed=False) == [b"before", b"after"]


@on_every_kafka
async def test_a_producer_that_is_fenced_is_of_no_use_any_more(kafka: Corner) -> None:
    topic, zombie = await kafka.create(), await kafka.producer()
    await kafka.producer()
    await zombie.begin_transaction()
    assert isinstance(await failure(sent(zombie, topic, b"1")), FENCED)
    assert isinstance(await failure(sent(zombie, topic, b"2")), (IllegalOperation, *FENCED))
    assert isinstance(await failure(zombie.commit_transaction()), (AssertionError, *FENCED))


@on_every_kafka
async def test_a_later_start_fences_whoever_commits_after_it_and_aborts_what_was_open(kafka: Corner) -> None:
    topic, zombie = await kafka.create(), await kafka.producer()
    await zombie.begin_transaction()
    await sent(zombie, topic, b"torn")
    owner = await kafka.producer()
    assert isinstance(await failure(zombie.commit_transaction()), ProducerFenced)
    assert await kafka.ends(topic) == (2, 2)
    await commit(owner, topic, b"kept")
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"kept"]
    assert await kafka.values(topic, committed=False) == [b"torn", b"kept"]


@on_every_kafka
async def test_a_later_start_fences_whoever_goes_on_sending_to_a_partition_of_its_transaction(kafka: Corner) -> None:
    topic, zombie = await kafka.create(), await kafka.producer()
    await zombie.begin_transaction()
    await sent(zombie, topic, b"torn")
    await kafka.producer()
    with pytest.raises(FENCED):
        await sent(zombie, topic, b"more")
    assert await kafka.values(topic, committed=False) == [b"torn"]


@on_every_kafka
async def test_the_first_producer_that_was_fenced_fences_back_when_it_starts_again(kafka: Corner) -> None:
    topic, first = await kafka.create(), await kafka.producer()
    second = await kafka.producer()
    third = await kafka.producer()
    for fenced in (first, second):
        await fenced.begin_transaction()
        assert isinstance(await failure(sent(fenced, topic, b"no")), FENCED)
    assert await commit(third, topic, b"yes") == [0]


@on_every_kafka
async def test_beginning_asks_nobody(kafka: Corner) -> None:
    zombie = await kafka.producer()
    await kafka.producer()
    await zombie.begin_transaction()


@on_every_kafka
async def test_producers_of_other_names_are_not_fenced(kafka: Corner) -> None:
    topic = await kafka.create()
    first, second = await kafka.producer("a"), await kafka.producer("b")
    await commit(first, topic, b"a")
    await commit(second, topic, b"b")
    await commit(first, topic, b"c")
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"a", b"b", b"c"]


@on_every_kafka
async def test_an_open_transaction_hides_what_others_write_behind_it(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await kafka.write(topic, b"before")
    await producer.begin_transaction()
    await sent(producer, topic, b"open")
    await kafka.write(topic, b"behind")
    other = await kafka.producer("other")
    await commit(other, topic, b"decided")
    assert (await kafka.ends(topic))[0] == 1
    assert await kafka.values(topic) == [b"before"]
    assert await kafka.values(topic, committed=False) == [b"before", b"open", b"behind", b"decided"]
    await producer.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"before", b"open", b"behind", b"decided"]


@on_every_kafka
async def test_a_committed_reader_waits_at_the_last_stable_offset_and_is_woken_by_the_marker(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    await producer.begin_transaction()
    await sent(producer, topic, b"a")
    assert await reader.getmany(each, timeout_ms=400) == {}
    assert reader.highwater(each) == 1
    waiting = asyncio.ensure_future(reader.getmany(each, timeout_ms=10_000))
    await producer.commit_transaction()
    assert [raw.value for raw in (await waiting)[each]] == [b"a"]


@on_every_kafka
async def test_aborted_records_move_the_position_of_a_committed_reader_and_nothing_else(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"a", b"b", b"c")
    await kafka.producer()
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    assert await read_to(reader, each, 4) == []
    assert await reader.position(each) == 4


@on_every_kafka
async def test_records_of_an_aborted_transaction_are_told_from_others_between_them(kafka: Corner) -> None:
    topic = await kafka.create()
    first, second = await kafka.producer("a"), await kafka.producer("b")
    await first.begin_transaction()
    await second.begin_transaction()
    await sent(first, topic, b"a1")
    await sent(second, topic, b"b1")
    await kafka.write(topic, b"plain")
    await sent(first, topic, b"a2")
    await second.commit_transaction()
    await kafka.producer("a")
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"b1", b"plain"]


@on_every_kafka
async def test_what_a_predecessor_had_decided_is_complete_when_its_successor_has_started(kafka: Corner) -> None:
    topic, producer = await kafka.create(partitions=3), await kafka.producer()
    await producer.begin_transaction()
    for partition in range(3):
        await sent(producer, topic, b"x", partition=partition)
    await producer.commit_transaction()
    await producer.abandon()
    await kafka.producer()
    assert [await kafka.ends(topic, partition) for partition in range(3)] == [(2, 2)] * 3
    assert await kafka.values(topic, 2) == [b"x"]


@on_every_kafka
async def test_a_producer_that_is_abandoned_leaves_its_transaction_open_for_its_successor_to_abort(
    kafka: Corner,
) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"torn")
    await producer.abandon()
    assert await kafka.ends(topic) == (0, 1)
    await kafka.producer()
    assert await kafka.ends(topic) == (2, 2)


@on_every_kafka
async def test_a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_fenced(kafka: Corner) -> None:
    topic = await kafka.create()
    slow = await kafka.producer(transaction_seconds=1.0)
    await slow.begin_transaction()
    await sent(slow, topic, b"late")
    assert await kafka.ends(topic) == (0, 1)
    assert await kafka.settled(topic) == 2
    assert isinstance(await failure(slow.commit_transaction()), KafkaError)
    assert await kafka.values(topic) == []
    await commit(await kafka.producer(), topic, b"next")
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"next"]


@on_every_kafka
async def test_sending_after_the_time_out_is_refused_as_a_fence(kafka: Corner) -> None:
    topic = await kafka.create()
    slow = await kafka.producer(transaction_seconds=1.0)
    await slow.begin_transaction()
    await sent(slow, topic, b"late")
    await kafka.settled(topic)
    assert isinstance(await failure(sent(slow, topic, b"later")), FENCED)


@on_every_kafka
async def test_a_late_copy_of_an_end_ends_the_next_transaction_unless_every_one_has_its_own_epoch(
    kafka: Corner,
) -> None:
    """KAFKA-17754: what protocol rules 3, 4 and 6 are for."""
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"1")
    late_copy = kafka.place.copy_of_end(producer)
    await producer.commit_transaction()
    await kafka.settled(topic)
    await producer.begin_transaction()
    await sent(producer, topic, b"2")
    error = await late_copy()
    if kafka.place.raises_epochs:
        assert error in FENCED
        await sent(producer, topic, b"3")
        await producer.commit_transaction()
    else:
        assert error is None
        await kafka.settled(topic)
        assert isinstance(await failure(sent(producer, topic, b"3")), InvalidTxnState)
        await producer.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic) == ([b"1", b"2", b"3"] if kafka.place.raises_epochs else [b"1", b"2"])


@on_every_kafka
async def test_a_late_copy_of_an_end_is_fenced_when_the_name_was_started_anew(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"1")
    late_copy = kafka.place.copy_of_end(producer)
    await producer.commit_transaction()
    successor = await kafka.producer()
    await successor.begin_transaction()
    await sent(successor, topic, b"2")
    assert await late_copy() in FENCED
    await sent(successor, topic, b"3")
    await successor.commit_transaction()
    await kafka.settled(topic)
    assert await kafka.values(topic) == [b"1", b"2", b"3"]
