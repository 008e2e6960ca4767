"""Reading, looking for offsets, topics and their settings, asked through the port of the simulation and of a real Kafka."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition
from tests.simulation.conformance import Corner, commit, failure, on_every_kafka, read_to, sent

from penstock.connectors.kafka_port import NewTopic
from penstock.connectors.partition import partition_of

pytestmark = pytest.mark.timeout(60)

NOON = 1_795_000_000_000


@on_every_kafka
async def test_a_record_comes_back_as_it_was_sent(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.plain()
    before = kafka.clock.now()
    await (
        await producer.send(topic, b"v", b"k", 0, timestamp_ms=NOON, headers=[("a", b"1"), ("a", b""), ("ü", b"\x00")])
    )
    await (await producer.send(topic, None, b"k", 0))
    await (await producer.send(topic, b"", None, 0))
    first, tombstone, empty = await kafka.records(topic)
    assert (first.topic, first.partition, first.offset) == (topic, 0, 0)
    assert (first.timestamp, first.key, first.value) == (NOON, b"k", b"v")
    assert tuple(first.headers) == (("a", b"1"), ("a", b""), ("ü", b"\x00"))
    assert (tombstone.offset, tombstone.key, tombstone.value, tuple(tombstone.headers)) == (1, b"k", None, ())
    assert (empty.offset, empty.key, empty.value) == (2, None, b"")
    assert before <= tombstone.timestamp <= kafka.clock.now()


@on_every_kafka
async def test_plain_writes_go_between_transactions_and_take_one_offset_each(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    assert await kafka.write(topic, b"a") == [0]
    assert await commit(producer, topic, b"b") == [1]
    await kafka.settled(topic)
    assert await kafka.write(topic, b"c", b"d") == [3, 4]
    assert [raw.offset for raw in await kafka.records(topic)] == [0, 1, 3, 4]


@on_every_kafka
async def test_a_key_goes_where_murmur2_sends_it(kafka: Corner) -> None:
    topic, producer = await kafka.create(partitions=3), await kafka.plain()
    for number in range(9):
        key = b"key-%d" % number
        assert (await (await producer.send(topic, b"v", key))).partition == partition_of(key, 3)
    assert (await (await producer.send(topic, b"v", None))).partition in (0, 1, 2)


@on_every_kafka
async def test_a_reader_of_several_partitions_is_given_the_records_of_each_in_order(kafka: Corner) -> None:
    topic = await kafka.create(partitions=2)
    await kafka.write(topic, b"a", b"b", partition=0)
    await kafka.write(topic, b"c", partition=1)
    both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    reader = await kafka.reader(*both)
    found: dict[TopicPartition, list[bytes | None]] = {each: [] for each in both}
    while sum(map(len, found.values())) < 3:
        for each, records in (await reader.getmany(timeout_ms=1_000)).items():
            found[each] += [raw.value for raw in records]
    assert found == {both[0]: [b"a", b"b"], both[1]: [b"c"]}


@on_every_kafka
async def test_the_position_moves_with_what_is_handed_over_only(kafka: Corner) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"a", b"b", b"c")
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    assert await reader.position(each) == 0
    first = await reader.getmany(each, timeout_ms=5_000, max_records=2)
    assert [raw.value for raw in first[each]] == [b"a", b"b"]
    assert await reader.position(each) == 2
    reader.seek(each, 1)
    assert await reader.position(each) == 1
    again = await reader.getmany(each, timeout_ms=5_000)
    assert [raw.value for raw in again[each]] == [b"b", b"c"]
    assert await reader.position(each) == 3
    assert await reader.getmany(each, timeout_ms=100) == {}


@on_every_kafka
async def test_the_position_passes_a_marker_when_the_next_look_is_taken(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await commit(producer, topic, b"a")
    await kafka.settled(topic)
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    assert len((await reader.getmany(each, timeout_ms=5_000, max_records=1))[each]) == 1
    assert await reader.position(each) == 1
    assert await reader.getmany(each, timeout_ms=100, max_records=1) == {}
    assert await reader.position(each) == 2


@on_every_kafka
async def test_nothing_is_known_of_the_end_before_the_first_answer_and_then_it_is_the_high_watermark(
    kafka: Corner,
) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"a", b"b")
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    assert reader.highwater(each) is None
    assert reader.last_poll_timestamp(each) is None
    before = kafka.clock.now()
    assert await reader.getmany(each, timeout_ms=500) == {}
    assert reader.highwater(each) == 2
    assert before <= (reader.last_poll_timestamp(each) or 0) <= kafka.clock.now()


@on_every_kafka
async def test_a_paused_partition_gives_nothing_until_it_is_resumed_and_loses_nothing(kafka: Corner) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"a", b"b")
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    assert len((await reader.getmany(each, timeout_ms=5_000, max_records=1))[each]) == 1
    reader.pause(each)
    assert await reader.getmany(each, timeout_ms=400) == {}
    assert await reader.position(each) == 1
    reader.resume(each)
    assert [raw.value for raw in (await reader.getmany(each, timeout_ms=5_000))[each]] == [b"b"]


@on_every_kafka
async def test_assigning_anew_replaces_what_was_assigned(kafka: Corner) -> None:
    topic = await kafka.create(partitions=2)
    await kafka.write(topic, b"a", partition=0)
    await kafka.write(topic, b"b", partition=1)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    reader = await kafka.reader(first)
    await reader.getmany(first, timeout_ms=5_000)
    reader.assign([second])
    reader.seek(second, 0)
    assert [raw.value for raw in (await reader.getmany(timeout_ms=5_000))[second]] == [b"b"]


@on_every_kafka
async def test_a_reader_that_waits_is_woken_by_the_next_record(kafka: Corner) -> None:
    topic = await kafka.create()
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each)
    waiting = asyncio.ensure_future(reader.getmany(each, timeout_ms=10_000))
    await asyncio.sleep(0.3)
    await kafka.write(topic, b"a")
    assert [raw.value for raw in (await waiting)[each]] == [b"a"]


@on_every_kafka
async def test_what_was_deleted_is_out_of_range_and_the_beginning_moves(kafka: Corner) -> None:
    topic, admin = await kafka.create(), await kafka.admin()
    await kafka.write(topic, b"a", b"b", b"c", b"d")
    each = TopicPartition(topic, 0)
    await admin.delete_records(each, 2)
    reader = await kafka.reader(each)
    assert (await reader.beginning_offsets([each]))[each] == 2
    assert (await reader.end_offsets([each]))[each] == 4
    error = await failure(reader.getmany(each, timeout_ms=5_000))
    assert isinstance(error, OffsetOutOfRangeError)
    assert error.args == ({each: 0},)
    assert [raw.value for raw in await kafka.records(topic, start=2)] == [b"c", b"d"]


@on_every_kafka
async def test_deleting_beyond_the_end_is_refused_and_deletes_nothing(kafka: Corner) -> None:
    topic, admin = await kafka.create(), await kafka.admin()
    await kafka.write(topic, b"a", b"b")
    each = TopicPartition(topic, 0)
    assert isinstance(await failure(admin.delete_records(each, 3)), OffsetOutOfRangeError)
    assert await kafka.values(topic) == [b"a", b"b"]
    await admin.delete_records(each, 2)
    assert await kafka.records(topic, start=2) == []
    assert await kafka.write(topic, b"c") == [2]


@on_every_kafka
async def test_deleting_within_a_batch_hides_its_first_records(kafka: Corner) -> None:
    topic, admin, producer = await kafka.create(), await kafka.admin(), await kafka.producer()
    await commit(producer, topic, b"a", b"b", b"c")
    await kafka.settled(topic)
    await admin.delete_records(TopicPartition(topic, 0), 1)
    assert [raw.value for raw in await kafka.records(topic, start=1)] == [b"b", b"c"]


@on_every_kafka
async def test_deleting_what_an_open_transaction_has_written_does_not_move_the_stable_offset(kafka: Corner) -> None:
    topic, admin, producer = await kafka.create(), await kafka.admin(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"a", b"b")
    await admin.delete_records(TopicPartition(topic, 0), 1)
    assert await kafka.ends(topic) == (0, 2)
    await sent(producer, topic, b"c")
    await producer.commit_transaction()
    assert await kafka.settled(topic) == 4
    assert [raw.value for raw in await kafka.records(topic, start=1)] == [b"b", b"c"]


@on_every_kafka
async def test_a_position_beyond_the_end_is_out_of_range_and_one_at_the_end_waits(kafka: Corner) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"a")
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each, start=1)
    assert await reader.getmany(each, timeout_ms=300) == {}
    reader.seek(each, 2)
    assert isinstance(await failure(reader.getmany(each, timeout_ms=5_000)), OffsetOutOfRangeError)
    reader.seek(each, 0)
    assert [raw.value for raw in (await reader.getmany(each, timeout_ms=5_000))[each]] == [b"a"]


@on_every_kafka
async def test_a_topic_that_was_made_again_is_empty_and_old_positions_are_out_of_range(kafka: Corner) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"a", b"b", b"c")
    await kafka.place.delete_topic(topic)
    admin = await kafka.admin()

    async def is_gone() -> bool:
        return topic not in await admin.leaders([topic])

    await kafka.until(is_gone)
    await kafka.create()
    assert await kafka.ends(topic) == (0, 0)
    reader = await kafka.reader(TopicPartition(topic, 0), start=2)
    assert isinstance(await failure(reader.getmany(timeout_ms=10_000)), OffsetOutOfRangeError)
    assert await kafka.write(topic, b"new") == [0]


@on_every_kafka
async def test_offsets_are_found_by_time(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.plain()
    for seconds in (0, 10, 20):
        await (await producer.send(topic, b"v", b"k", 0, timestamp_ms=NOON + 1_000 * seconds))
    each = TopicPartition(topic, 0)
    reader = await kafka.reader()

    async def found(seconds: float) -> tuple[int, int] | None:
        answer = (await reader.offsets_for_times({each: NOON + int(1_000 * seconds)}))[each]
        return None if answer is None else (answer.offset, (answer.timestamp or 0) - NOON)

    assert [await found(-5), await found(0), await found(0.001)] == [(0, 0), (0, 0), (1, 10_000)]
    assert [await found(20), await found(20.001)] == [(2, 20_000), None]


@on_every_kafka
async def test_a_search_by_time_finds_markers_and_aborted_records_too(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"aborted")
    await asyncio.sleep(0.02)
    await kafka.producer()
    (record,) = await kafka.records(topic, committed=False)
    each = TopicPartition(topic, 0)
    reader = await kafka.reader()
    found = [(await reader.offsets_for_times({each: record.timestamp + later}))[each] for later in (0, 10, 3_600_000)]
    assert [None if answer is None else answer.offset for answer in found] == [0, 1, None]


@on_every_kafka
async def test_a_search_by_time_ends_for_committed_readers_at_the_last_stable_offset(kafka: Corner) -> None:
    topic, producer = await kafka.create(), await kafka.producer()
    await producer.begin_transaction()
    await sent(producer, topic, b"open")
    await kafka.write(topic, b"behind")
    each = TopicPartition(topic, 0)
    assert (await (await kafka.reader()).offsets_for_times({each: NOON - 3_600_000}))[each] is None
    answer = (await (await kafka.reader(committed=False)).offsets_for_times({each: NOON - 3_600_000}))[each]
    assert answer is not None
    assert answer.offset == 0


@on_every_kafka
async def test_partitions_are_told_of_topics_that_exist(kafka: Corner) -> None:
    topic, admin = await kafka.create(partitions=3), await kafka.admin()
    leaders = await admin.leaders([topic, f"{topic}.missing"])
    assert list(leaders) == [topic]
    assert sorted(leaders[topic]) == [0, 1, 2]
    assert min(leaders[topic].values()) > 0
    assert await admin.brokers() == 1


@on_every_kafka
async def test_a_topic_may_grow(kafka: Corner) -> None:
    topic, admin = await kafka.create(partitions=2), await kafka.admin()
    await kafka.write(topic, b"a", partition=1)
    await kafka.place.grow_topic(topic, 3)

    async def has_grown() -> bool:
        return len((await admin.leaders([topic]))[topic]) == 3

    await kafka.until(has_grown)
    assert await kafka.write(topic, b"b", partition=2) == [0]
    assert await kafka.values(topic, 1) == [b"a"]


@on_every_kafka
async def test_a_topic_has_the_settings_it_was_made_with_and_defaults_for_the_rest(kafka: Corner) -> None:
    topic, admin = (
        await kafka.create(settings={"max.message.bytes": "2000", "cleanup.policy": "compact"}),
        await kafka.admin(),
    )
    settings = (await admin.settings([topic]))[topic]
    expected = {
        "max.message.bytes": "2000", "cleanup.policy": "compact", "retention.ms": "-1", "retention.bytes": "-1",
        "min.insync.replicas": "1",
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    assert await admin.settings([]) == {}
    assert isinstance(await failure(admin.settings([f"{topic}.missing"])), UnknownTopicOrPartitionError)


@on_every_kafka
async def test_a_topic_is_made_once(kafka: Corner) -> None:
    topic, admin = await kafka.create(), await kafka.admin()
    refused = await admin.create([NewTopic(topic, 1, 1), NewTopic(kafka.topic("other"), 2, 1)])
    assert {name: type(error) for name, error in refused.items()} == {topic: TopicAlreadyExistsError}


@on_every_kafka
async def test_a_topic_that_is_not_there_is_waited_for_and_not_made(kafka: Corner) -> None:
    missing = kafka.topic("missing")
    await kafka.create()
    reader, producer, plain = await kafka.reader(), await kafka.producer(), await kafka.plain()
    await producer.begin_transaction()
    each = TopicPartition(missing, 0)
    failures = await asyncio.gather(
        failure(reader.end_offsets([each])),
        failure(reader.beginning_offsets([each])),
        failure(producer.send(missing, b"v", b"k", 0, headers=[])),
        failure(plain.send(missing, b"v", b"k")),
    )
    assert [type(error) for error in failures] == [
        KafkaTimeoutError, KafkaTimeoutError, UnknownTopicOrPartitionError, UnknownTopicOrPartitionError,
    ]  # fmt: skip
    assert await (await kafka.admin()).leaders([missing]) == {}


@on_every_kafka
async def test_a_topic_that_is_made_while_it_is_waited_for_is_found(kafka: Corner) -> None:
    topic = kafka.topic("late")
    plain = await kafka.plain()
    sending = asyncio.ensure_future(plain.send(topic, b"v", b"k", 0))
    await asyncio.sleep(0.3)
    await kafka.create("late")
    assert (await (await sending)).offset == 0


@on_every_kafka
async def test_an_uncommitted_reader_sees_records_of_all_transactions(kafka: Corner) -> None:
    topic = await kafka.create()
    first, second = await kafka.producer("a"), await kafka.producer("b")
    await commit(first, topic, b"committed")
    await second.begin_transaction()
    await sent(second, topic, b"open")
    each = TopicPartition(topic, 0)
    reader = await kafka.reader(each, committed=False)
    end = (await reader.end_offsets([each]))[each]
    assert [raw.value for raw in await read_to(reader, each, end)] == [b"committed", b"open"]
