"""One task's log on a real Kafka: what is committed comes back, what is not does not, and what is wrong is refused."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions
from tests.kafka_world import KafkaWorld, commit, delta, fetched

from penstock.connectors.kafka_client import Stalled
from penstock.connectors.kafka_inputs import read
from penstock.connectors.kafka_topics import trim
from penstock.connectors.port import Limits, TaskId
from penstock.operators.error import Damaged, Fenced, Refused, Unreachable
from penstock.operators.record import Output
from penstock.state.delta import Bucket, Delta, Position

pytestmark = pytest.mark.timeout(60)


async def test_what_was_committed_is_restored_by_the_next_who_opens(world: KafkaWorld) -> None:
    topic = await world.create()
    await world.write(topic, b"1", b"2", b"3")
    broker = await world.broker()
    log, entries, positions = await world.open(broker)
    assert entries == []
    assert log.incarnation == 1
    assert positions == {topic: Position(0)}
    records = await fetched(log, topic, 3)
    assert [raw.value for raw in records] == [b"1", b"2", b"3"]
    outputs = [Output("a/1", world.results, b"k", b"decided", (("h", b"v"),))]
    saved = delta(log, positions={topic: Position(2)}, outputs=outputs, cells={"k": {"t": [1, "x", None]}})
    image = Bucket(index=0, of=1, seq=saved.header.seq, keys={"k": {"n": 2}})
    committed = await log.commit(saved, outputs, [image])
    assert committed.sent == {world.results: 0}
    await log.close()

    again, entries, positions = await world.open(broker)
    assert entries[-2:] == [saved, image]
    assert again.incarnation == 2
    assert positions == {topic: Position(2)}
    assert [raw.value for raw in await fetched(again, topic, 1)] == [b"3"]
    assert await world.committed(world.results) == [b"decided"]


async def test_a_large_delta_travels_in_chunks(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    noise = [hash((i, "noise")) for i in range(200_000)]
    saved = delta(log, cells={"k": {"noise": noise}})
    await log.commit(saved, [])
    await log.close()
    log = await world.fence(broker)
    assert [entry async for entry in log.restored()][-1] == saved


async def test_who_opens_later_fences_who_opened_before(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    zombie, _, _ = await world.open(broker)
    await commit(zombie, "before", topic=world.results)
    owner, _, _ = await world.open(broker)
    with pytest.raises(Fenced):
        await commit(zombie, "zombie", topic=world.results)
    await commit(owner, "after", topic=world.results)
    assert await world.committed(world.results) == [b"before", b"after"]


async def test_two_tasks_of_one_pipeline_do_not_disturb_each_other(world: KafkaWorld) -> None:
    topic = await world.create(partitions=2)
    await world.write(topic, b"0", partition=0)
    await world.write(topic, b"1", partition=1)
    broker = await world.broker()
    first, _, _ = await world.open(broker, TaskId("main", 0))
    second, _, _ = await world.open(broker, TaskId("main", 1))
    assert [raw.value for raw in await fetched(first, topic, 1)] == [b"0"]
    assert [raw.value for raw in await fetched(second, topic, 1)] == [b"1"]
    await asyncio.gather(commit(first, "a", topic=world.results), commit(second, "b", topic=world.results))
    assert await world.committed(world.results, 0) == [b"a"]
    assert await world.committed(world.results, 1) == [b"b"]


async def test_an_open_transaction_of_a_predecessor_is_settled_before_the_log_is_read(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    await commit(log, "kept", topic=world.results)
    stuck = log._writer._producer
    await stuck.begin_transaction()
    await stuck.send_and_wait(broker._layout.log, b"torn", b"delta", 0)
    await stuck.send_and_wait(world.results, b"torn", b"k", 0)
    successor, entries, _ = await world.open(broker)
    assert [entry.header.seq for entry in entries if isinstance(entry, Delta)] == [0, 1]
    await commit(successor, "next", topic=world.results)
    assert await world.committed(world.results) == [b"kept", b"next"]


async def test_a_write_between_reading_and_declaring_sends_the_opener_back(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log = await world.fence(broker)
    assert [entry async for entry in log.restored()] == []
    positions = await log.begin({})
    await world.write(broker._layout.log, b"from somewhere")
    with pytest.raises(Fenced, match="somebody wrote to the log"):
        await log.commit(delta(log, "opened", positions), [])


async def test_an_output_that_is_too_large_is_refused_and_the_log_goes_on(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    large = Output("a/1", world.results, b"k", bytes(1_100_000))
    with pytest.raises(Refused, match="takes at most 1048588") as refused:
        await log.commit(delta(log, outputs=[large]), [large])
    assert refused.value.output == large
    await commit(log, "fits", topic=world.results)
    assert await world.committed(world.results) == [b"fits"]


async def test_the_largest_output_that_passes_the_check_passes_the_broker(world: KafkaWorld) -> None:
    await world.create()
    await world.create("p.results", settings={"max.message.bytes": "20000"})
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    size = 20_000
    while True:
        output = Output("a/1", world.results, b"k", bytes(size), (("h", b"v"),))
        try:
            await log.commit(delta(log, outputs=[output]), [output, output, output])
            break
        except Refused:
            size -= 1
    assert size > 19_800
    assert len(await world.committed(world.results)) == 3


async def test_the_log_is_trimmed_to_what_the_newest_images_need(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    for _ in range(3):
        image = Bucket(index=0, of=1, seq=log.seq + 1)
        await commit(log, "x", topic=world.results, buckets=[image])
    await log.close()
    assert await world.start_of(broker._layout.log) > 0
    _, entries, _ = await world.open(broker)
    assert [entry.header.seq for entry in entries if isinstance(entry, Delta)] == [3]
    assert len(entries) == 2


async def test_a_log_that_lost_its_beginning_is_damaged(world: KafkaWorld) -> None:
    await world.create()
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    for value in ("1", "2"):
        await commit(log, value, topic=world.results)
    await log.close()
    await trim(world.admin, broker._layout.log, 0, 3)
    with pytest.raises(Damaged, match="begins at seq"):
        await world.open(broker)


async def test_a_position_outside_of_its_topic_is_refused_with_the_range(world: KafkaWorld) -> None:
    topic = await world.create()
    await world.write(topic, b"1", b"2")
    broker = await world.broker()
    log = await world.fence(broker)
    with pytest.raises(Damaged, match=f"^{topic}/0: the next record to read is 7, but the topic holds 0 to 2"):
        await log.begin({topic: Position(7)})


async def test_a_topic_that_was_made_again_is_recognised_by_its_last_record(world: KafkaWorld) -> None:
    topic = await world.create()
    await world.write(topic, b"1", b"2")
    broker = await world.broker()
    log = await world.fence(broker)
    with pytest.raises(Damaged, match=f"^{topic}/0@0: the record read last looks different now"):
        await log.begin({topic: Position(1, last=0, timestamp=5, crc=6)})


@pytest.mark.parametrize(("start", "expected"), [("earliest", 0), ("latest", 3), (2_000, 1), (9_000, 3)])
async def test_an_input_without_a_position_begins_where_the_file_says(
    world: KafkaWorld, start: str, expected: int
) -> None:
    topic = await world.create()
    broker = await world.broker(world.layout(start=start))  # type: ignore[arg-type]  # parametrised over literals
    for time in (1_000, 2_000, 3_000):
        await broker.produce(topic, b"k", b"v", time)
    _, _, positions = await world.open(broker)
    assert positions == {topic: Position(expected)}


async def test_a_paused_input_rests_and_its_position_stands(world: KafkaWorld) -> None:
    topic, other = await world.create("in"), await world.create("other")
    broker = await world.broker(world.layout("in", "other"))
    log, _, _ = await world.open(broker)
    log.pause(topic)
    await world.write(topic, b"1")
    await world.write(other, b"2")
    assert [raw.value for raw in await fetched(log, other, 1)] == [b"2"]
    batch = await log.fetch(Limits(wait=0.1))
    assert not batch.records
    assert batch.progress[topic].position == 0
    log.resume(topic)
    assert [raw.value for raw in await fetched(log, topic, 1)] == [b"1"]


async def test_progress_tells_when_an_input_is_read_to_its_end(world: KafkaWorld) -> None:
    topic = await world.create()
    await world.write(topic, b"1", b"2", b"3")
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    first = await log.fetch(Limits(records=1, wait=5))
    assert (first.progress[topic].position, first.progress[topic].end_seen) == (1, 3)
    assert not first.progress[topic].caught_up
    await fetched(log, topic, 2)
    before = (await log.fetch(Limits(wait=0.01))).progress[topic]
    assert before.caught_up
    while (after := (await log.fetch(Limits(wait=0.1))).progress[topic]).seen_at <= before.seen_at:
        pass
    assert after.caught_up


async def test_the_retention_of_an_input_that_overtakes_us_is_damage(world: KafkaWorld) -> None:
    topic = await world.create()
    await world.write(topic, b"1", b"2", b"3")
    broker = await world.broker()
    log, _, _ = await world.open(broker)
    log.pause(topic)
    await trim(world.admin, topic, 0, 2)
    log.resume(topic)
    with pytest.raises(Damaged, match="holds 2 to 3"):
        await fetched(log, topic, 1)


async def test_partitions_that_were_added_later_stop_the_intake(world: KafkaWorld) -> None:
    topic = await world.create()
    broker = await world.broker()
    await world.admin.create_partitions({topic: NewPartitions(2)})
    with pytest.raises(Unreachable, match="keys have moved"):
        await world.open(broker)


async def test_a_transaction_that_stays_open_is_said_to_hold_up_the_reader(world: KafkaWorld) -> None:
    topic = await world.create()
    broker = await world.broker()
    log = await world.fence(broker)
    producer = AIOKafkaProducer(bootstrap_servers=world.kafka.bootstrap, transactional_id=f"{world.name}.other")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"open", partition=0)
    with pytest.raises(Stalled) as stalled:
        await anext(read(log._consumer, TopicPartition(topic, 0), 0, 1, stalled_max=2))
    assert "a transaction is open there, or hangs" in str(broker._clients.unreachable(stalled.value))
    await producer.abort_transaction()
    await producer.stop()
