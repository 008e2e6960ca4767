"""One task's log on a real Kafka: what is committed comes back, what is not does not, and what is wrong is refused."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions
from tests.kafka_world import KafkaWorld, commit, delta, fetched

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_error import Stalled
from penstock.connectors.kafka_inputs import read
from penstock.connectors.port import Limits, TaskId
from penstock.operators.error import Damaged, Fenced, Refused, Unreachable
from penstock.operators.record import Output
from penstock.state.delta import Bucket, Delta, Position

pytestmark = pytest.mark.timeout(60)


async def test_what_was_committed_is_restored_by_the_next_who_opens(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2", b"3")
    broker = await kafka.broker()
    log, entries, positions = await kafka.open(broker)
    assert entries == []
    assert log.incarnation == 1
    assert positions == {topic: Position(0)}
    records = await fetched(log, topic, 3)
    assert [raw.value for raw in records] == [b"1", b"2", b"3"]
    outputs = [Output("a/1", kafka.results, b"k", b"decided", (("h", b"v"),))]
    saved = delta(log, positions={topic: Position(2)}, outputs=outputs, cells={"k": {"t": [1, "x", None]}})
    image = Bucket(index=0, of=1, seq=saved.header.seq, keys={"k": {"n": 2}})
    committed = await log.commit(saved, outputs, [image])
    assert committed.sent == {kafka.results: 0}
    await log.close()

    again, entries, positions = await kafka.open(broker)
    assert entries[-2:] == [saved, image]
    assert again.incarnation == 2
    assert positions == {topic: Position(2)}
    assert [raw.value for raw in await fetched(again, topic, 1)] == [b"3"]
    assert await kafka.committed(kafka.results) == [b"decided"]


async def test_a_large_delta_travels_in_chunks(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    noise = [hash((i, "noise")) for i in range(200_000)]
    saved = delta(log, cells={"k": {"noise": noise}})
    await log.commit(saved, [])
    await log.close()
    log = await kafka.fence(broker)
    assert [entry async for entry, _ in log.restored()][-1] == saved


async def test_who_opens_later_fences_who_opened_before(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    zombie, _, _ = await kafka.open(broker)
    await commit(zombie, "before", topic=kafka.results)
    owner, _, _ = await kafka.open(broker)
    with pytest.raises(Fenced):
        await commit(zombie, "zombie", topic=kafka.results)
    await commit(owner, "after", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"before", b"after"]


@pytest.mark.parametrize("numbers", [1, 200_000], ids=["one record", "more than a batch"])
async def test_a_fence_is_raised_and_said_nowhere_else(kafka: KafkaWorld, numbers: int) -> None:
    """asyncio logs a traceback for every future whose exception nobody looked at, and aiokafka notes a fence in several."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    await kafka.fence(broker)
    with pytest.raises(Fenced):
        await log.commit(delta(log, cells={"k": {"noise": [hash((i, "noise")) for i in range(numbers)]}}), [])
    await log.close()
    kafka.logs.remove(log)
    del log
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_two_tasks_of_one_pipeline_do_not_disturb_each_other(kafka: KafkaWorld) -> None:
    topic = await kafka.create(partitions=2)
    await kafka.write(topic, b"0", partition=0)
    await kafka.write(topic, b"1", partition=1)
    broker = await kafka.broker()
    first, _, _ = await kafka.open(broker, TaskId("main", 0))
    second, _, _ = await kafka.open(broker, TaskId("main", 1))
    assert [raw.value for raw in await fetched(first, topic, 1)] == [b"0"]
    assert [raw.value for raw in await fetched(second, topic, 1)] == [b"1"]
    await asyncio.gather(commit(first, "a", topic=kafka.results), commit(second, "b", topic=kafka.results))
    assert await kafka.committed(kafka.results, 0) == [b"a"]
    assert await kafka.committed(kafka.results, 1) == [b"b"]


async def test_an_open_transaction_of_a_predecessor_is_settled_before_the_log_is_read(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    await commit(log, "kept", topic=kafka.results)
    stuck = log._writer._producer
    await stuck.begin_transaction()
    await (await stuck.send(broker._layout.log, b"torn", b"delta", 0, headers=[]))
    await (await stuck.send(kafka.results, b"torn", b"k", 0, headers=[]))
    successor, entries, _ = await kafka.open(broker)
    assert [entry.header.seq for entry in entries if isinstance(entry, Delta)] == [0, 1]
    await commit(successor, "next", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"kept", b"next"]


async def test_a_write_between_reading_and_declaring_sends_the_opener_back(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log = await kafka.fence(broker)
    assert [entry async for entry in log.restored()] == []
    positions = await log.begin({})
    await kafka.write(broker._layout.log, b"from somewhere")
    with pytest.raises(Fenced, match="somebody wrote to the log"):
        await log.commit(delta(log, "opened", positions), [])


async def test_an_output_that_is_too_large_is_refused_and_the_log_goes_on(kafka: KafkaWorld) -> None:
    await kafka.create()
    await kafka.create("p.results")
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    large = Output("a/1", kafka.results, b"k", bytes(1_100_000))
    with pytest.raises(Refused, match="takes at most 1048588") as refused:
        await log.commit(delta(log, outputs=[large]), [large])
    assert refused.value.output == large
    await commit(log, "fits", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"fits"]


async def test_an_output_that_its_topic_would_take_and_our_producer_would_not_send_is_refused_too(
    kafka: KafkaWorld,
) -> None:
    await kafka.create()
    await kafka.create("p.results", settings={"max.message.bytes": "20000000"})
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    large = Output("a/1", kafka.results, b"k", bytes(9_000_000))
    with pytest.raises(Refused, match="takes at most 8388608"):
        await log.commit(delta(log, outputs=[large]), [large])
    await commit(log, "fits", topic=kafka.results)


async def test_the_largest_output_that_passes_the_check_passes_the_broker(kafka: KafkaWorld) -> None:
    await kafka.create()
    await kafka.create("p.results", settings={"max.message.bytes": "20000"})
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    size = 20_000
    while True:
        output = Output("a/1", kafka.results, b"k", bytes(size), (("h", b"v"),))
        try:
            await log.commit(delta(log, outputs=[output]), [output, output, output])
            break
        except Refused:
            size -= 1
    assert size > 19_800
    assert len(await kafka.committed(kafka.results)) == 3


async def test_the_log_is_trimmed_to_what_the_newest_images_need(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    for _ in range(3):
        image = Bucket(index=0, of=1, seq=log.seq + 1)
        await commit(log, "x", topic=kafka.results, buckets=[image])
    await log.close()
    assert await kafka.start_of(broker._layout.log) > 0
    _, entries, _ = await kafka.open(broker)
    assert [entry.header.seq for entry in entries if isinstance(entry, Delta)] == [3]
    assert len(entries) == 2


async def test_what_can_be_trimmed_first_is_trimmed_at_once(kafka: KafkaWorld) -> None:
    """The pause is one between two trimmings; a log that was opened has not been trimmed."""
    await kafka.create()
    broker = KafkaBroker(kafka.layout(), kafka.settings, trim_seconds=3_600.0)
    kafka.brokers.append(broker)
    await broker.start()
    log, _, _ = await kafka.open(broker)
    await commit(log, "x", topic=kafka.results, buckets=[Bucket(index=0, of=1, seq=log.seq + 1)])
    async with asyncio.timeout(20):
        while await kafka.start_of(broker._layout.log) == 0:
            continue


async def test_a_log_that_lost_its_beginning_is_damaged(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    for value in ("1", "2"):
        await commit(log, value, topic=kafka.results)
    await log.close()
    await kafka.delete_records(broker._layout.log, before=3)
    with pytest.raises(Damaged, match="begins at seq"):
        await kafka.open(broker)


async def test_a_position_outside_of_its_topic_is_refused_with_the_range(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2")
    broker = await kafka.broker()
    log = await kafka.fence(broker)
    with pytest.raises(Damaged, match=f"^{topic}/0: the next record to read is 7, but the topic holds 0 to 2"):
        await log.begin({topic: Position(7)})


async def test_a_topic_that_was_made_again_is_recognised_by_its_last_record(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2")
    broker = await kafka.broker()
    log = await kafka.fence(broker)
    with pytest.raises(Damaged, match=f"^{topic}/0@0: the record read last looks different now"):
        await log.begin({topic: Position(1, last=0, timestamp=5, crc=6)})


@pytest.mark.parametrize(("start", "expected"), [("earliest", 0), ("latest", 3), (2_000, 1), (9_000, 3)])
async def test_an_input_without_a_position_begins_where_the_file_says(
    kafka: KafkaWorld, start: str, expected: int
) -> None:
    topic = await kafka.create()
    broker = await kafka.broker(kafka.layout(start=start))  # type: ignore[arg-type]  # parametrised over literals
    for time in (1_000, 2_000, 3_000):
        await broker.produce(topic, b"k", b"v", time)
    _, _, positions = await kafka.open(broker)
    assert positions == {topic: Position(expected)}


async def test_a_paused_input_rests_and_its_position_stands(kafka: KafkaWorld) -> None:
    topic, other = await kafka.create("in"), await kafka.create("other")
    broker = await kafka.broker(kafka.layout("in", "other"))
    log, _, _ = await kafka.open(broker)
    log.pause(topic)
    await kafka.write(topic, b"1")
    await kafka.write(other, b"2")
    assert [raw.value for raw in await fetched(log, other, 1)] == [b"2"]
    batch = await log.fetch(Limits(wait=0.1))
    assert not batch.records
    assert batch.progress[topic].position == 0
    log.resume(topic)
    assert [raw.value for raw in await fetched(log, topic, 1)] == [b"1"]


async def test_progress_tells_when_an_input_is_read_to_its_end(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2", b"3")
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    first = await log.fetch(Limits(records=1, wait=5))
    assert (first.progress[topic].position, first.progress[topic].end_seen) == (1, 3)
    assert not first.progress[topic].caught_up
    await fetched(log, topic, 2)
    before = (await log.fetch(Limits(wait=0.01))).progress[topic]
    assert before.caught_up
    while (after := (await log.fetch(Limits(wait=0.1))).progress[topic]).seen_at <= before.seen_at:
        pass
    assert after.caught_up


async def test_the_retention_of_an_input_that_overtakes_us_is_damage(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2", b"3")
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    log.pause(topic)
    await log.fetch(Limits(wait=0.01))  # what was fetched ahead is dropped
    await kafka.delete_records(topic, before=2)
    log.resume(topic)
    with pytest.raises(Damaged, match="holds 2 to 3"):
        await fetched(log, topic, 1)


async def test_partitions_that_were_added_later_stop_the_intake(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    broker = await kafka.broker()
    await kafka.admin.create_partitions({topic: NewPartitions(2)})
    with pytest.raises(Unreachable, match="keys have moved"):
        await kafka.open(broker)


async def test_a_transaction_that_stays_open_is_said_to_hold_up_the_reader(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    broker = await kafka.broker()
    log = await kafka.fence(broker)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.cluster.bootstrap, transactional_id=f"{kafka.name}.other")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"open", partition=0)
    with pytest.raises(Stalled) as stalled:
        await anext(read(log._reader, TopicPartition(topic, 0), 0, 1, stalled_max=2))
    assert "a transaction is open there, or hangs" in str(broker._clients.unreachable(stalled.value))
    await producer.abort_transaction()
    await producer.stop()
