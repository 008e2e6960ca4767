"""What every broker promises (`penstock.connectors.port`), on every transport."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random
from zlib import crc32

import msgspec
import pytest
from aiokafka.partitioner import murmur2
from tests.contract.world import (
    TASK,
    World,
    commit,
    fetched,
    layout_of,
    next_delta,
    opened,
    output,
    restored,
    results_of,
    started,
    topic_of,
    values_of,
)

from penstock.connectors.port import MAIN, Asked, Broker, Given, Layout, Limits, Start, Taken, TaskId
from penstock.operators.error import Damaged, Fenced, Refused, Unreachable
from penstock.operators.record import Output, Raw
from penstock.state.codec import encode
from penstock.state.delta import Bucket, Delta, Entry, Position

pytestmark = pytest.mark.timeout(60)


# --- opening ----------------------------------------------------------------------------------------------------


async def test_opening_restores_exactly_what_was_committed_in_its_order(world: World) -> None:
    broker = await started(world)
    log = await opened(broker)
    image = Bucket(index=1, of=2, seq=log.seq + 1, keys={"k": [1, None]}, runs={"r": b"\x00"})
    delta = next_delta(log, cells={"k": {"t": [1, "x", None]}})
    await log.commit(delta, [], [image])
    released = next_delta(log, kind="released")
    await log.commit(released, [])
    await log.close()
    first, *others = await restored(await broker.open(TASK))
    assert isinstance(first, Delta)
    assert (first.header.seq, first.header.kind) == (0, "opened")
    assert others == [delta, image, released]


async def test_a_commit_says_how_long_its_entries_are_and_so_does_reading_them(world: World) -> None:
    broker = await started(world)
    log = await opened(broker)
    images = [Bucket(index=index, of=2, seq=log.seq + 1, keys={"k": "x" * 10 * index}) for index in (0, 1)]
    committed = await log.commit(
        next_delta(log, cells={"k": {"t": list(range(9))}}), [output(results_of(world), "o")], images
    )
    await log.close()
    stored = [stored async for stored in (await broker.open(TASK)).restored()][-3:]
    assert [size for _, size in stored] == list(committed.sizes) == [len(encode(entry)) for entry, _ in stored]


async def test_a_task_that_was_never_opened_begins_with_nothing(world: World) -> None:
    log = await (await started(world)).open(TASK)
    assert await restored(log) == []
    assert (log.seq, log.incarnation) == (-1, 1)


async def test_seq_goes_on_and_incarnations_grow_over_openings(world: World) -> None:
    broker = await started(world)
    for times in range(3):
        log = await opened(broker)
        assert (log.seq, log.incarnation) == (2 * times, times + 1)
        await commit(log, results_of(world), f"{times}")
        await log.close()
    headers = [entry.header for entry in await restored(await broker.open(TASK)) if isinstance(entry, Delta)]
    assert [header.seq for header in headers] == [0, 1, 2, 3, 4, 5]
    assert [header.incarnation for header in headers] == [1, 1, 2, 2, 3, 3]


async def test_nothing_can_be_committed_before_opened(world: World) -> None:
    log = await (await started(world)).open(TASK)
    await restored(log)
    await log.begin({})
    with pytest.raises(RuntimeError, match="opened"):
        await commit(log, results_of(world), "too early")
    await log.commit(next_delta(log, kind="opened"), [])
    with pytest.raises(RuntimeError, match="opened"):
        await log.commit(next_delta(log, kind="opened"), [])


async def test_seq_cannot_be_skipped(world: World) -> None:
    log = await opened(await started(world))
    delta = next_delta(log)
    skipping = msgspec.structs.replace(delta, header=msgspec.structs.replace(delta.header, seq=delta.header.seq + 1))
    with pytest.raises(RuntimeError, match="seq"):
        await log.commit(skipping, [])


async def test_a_missing_source_is_named(world: World) -> None:
    broker = world.broker(layout_of(world))
    with pytest.raises(Unreachable, match=topic_of(world)):
        await broker.start()


async def test_sources_with_different_partition_counts_are_refused(world: World) -> None:
    await world.create_topic(topic_of(world, "one"), 1)
    await world.create_topic(topic_of(world, "two"), 2)
    broker = world.broker(layout_of(world, "one", "two"))
    with pytest.raises(Unreachable, match="partitions"):
        await broker.start()


async def test_what_start_will_create_can_be_known_before_and_asking_creates_nothing(world: World) -> None:
    await world.create_topic(topic_of(world), 2)
    layout = layout_of(world)
    for _ in range(2):
        assert await world.broker(layout).missing() == list(layout.own)
    await world.broker(layout).start()
    assert await world.broker(layout).missing() == []


async def test_whoever_asks_what_is_missing_hears_of_what_start_would_refuse(world: World) -> None:
    await world.create_topic(topic_of(world, "one"), 1)
    await world.create_topic(topic_of(world, "two"), 2)
    with pytest.raises(Unreachable, match="partitions"):
        await world.broker(layout_of(world, "one", "two")).missing()


async def test_one_topic_is_written_and_read_from_the_side_and_no_other_is_created(world: World) -> None:
    await world.create_topic(topic_of(world), 1)
    layout = layout_of(world)
    broker = world.broker(layout)
    await broker.connect(topic_of(world))
    await broker.produce(topic_of(world), b"k", b"v")
    assert await values_of(broker, topic_of(world), 1) == [b"v"]
    async with aclosing(broker.follow(topic_of(world))) as records:  # type: ignore[type-var]  # it is a generator
        assert (await anext(records)).value == b"v"
    assert await world.broker(layout).missing() == list(layout.own)


async def test_a_topic_that_is_not_there_is_not_connected_to_and_not_created(world: World) -> None:
    await world.create_topic(topic_of(world), 1)
    for _ in range(2):
        with pytest.raises(Unreachable, match=results_of(world)):
            await world.broker(layout_of(world)).connect(results_of(world))


# --- positions --------------------------------------------------------------------------------------------------


async def begun(broker: Broker, topic: str, position: Position | None = None) -> Position:
    log = await broker.open(TASK)
    await restored(log)
    return (await log.begin({} if position is None else {topic: position}))[topic]


async def test_an_input_without_a_position_begins_where_the_layout_says(world: World) -> None:
    topic = topic_of(world)
    broker = await started(world)
    for number in range(5):
        await broker.produce(topic, b"k", b"%d" % number, timestamp=1_000_000 + 10 * number)
    expected: dict[Start, int] = {"earliest": 0, "latest": 5, 1_000_000: 0, 1_000_011: 2, 1_000_040: 4, 2_000_000: 5}
    for start, offset in expected.items():
        other = await started(world, layout_of(world, start=start))
        assert await begun(other, topic) == Position(offset)


async def test_it_says_how_many_records_lie_before_an_input_that_begins_for_the_first_time(world: World) -> None:
    one, two = topic_of(world, "one"), topic_of(world, "two")
    broker = await started(world, layout_of(world, "one", "two"))
    for number in range(5):
        await broker.produce(one, b"k", b"%d" % number, timestamp=1_000_000 + 10 * number)
    expected: dict[Start, int] = {"earliest": 0, "latest": 5, 1_000_011: 2}
    for start, before in expected.items():
        log = await (await started(world, layout_of(world, "one", "two", start=start))).open(TASK)
        await restored(log)
        await log.begin({two: Position(0)})
        assert log.skipped == {one: before}


async def test_a_position_is_taken_up_where_it_was(world: World) -> None:
    topic = topic_of(world)
    broker = await started(world)
    for number in range(4):
        await broker.produce(topic, b"k", b"%d" % number, timestamp=number)
    log = await broker.open(TASK)
    await restored(log)
    position = Position(2, last=1, timestamp=1, crc=crc32(b"1"))
    assert await log.begin({topic: position, "gone": Position(7)}) == {topic: position}
    await log.commit(next_delta(log, kind="opened"), [])
    assert [raw.value for raw in (await fetched(log, 2))[topic]] == [b"2", b"3"]


@pytest.mark.parametrize(
    "position",
    [
        pytest.param(Position(3), id="behind the end"),
        pytest.param(Position(2, last=1, timestamp=1, crc=crc32(b"other")), id="another value"),
        pytest.param(Position(2, last=1, timestamp=99, crc=crc32(b"1")), id="another timestamp"),
    ],
)
async def test_a_position_that_does_not_fit_its_input_is_refused(world: World, position: Position) -> None:
    topic = topic_of(world)
    broker = await started(world)
    for number in range(2):
        await broker.produce(topic, b"k", b"%d" % number, timestamp=number)
    with pytest.raises(Damaged, match=topic):
        await begun(broker, topic, position)


# --- committing -------------------------------------------------------------------------------------------------


async def test_outputs_are_there_with_their_delta_as_they_were_given(world: World) -> None:
    results, partials = results_of(world), f"{world.name}.p.partials"
    broker = await started(world)
    log = await opened(broker)
    outputs = [
        Output("1", results, b"k", b"first", (("ce_id", b"1"), ("empty", b""))),
        Output("2", partials, b"k", b"partial"),
        Output("3", results, b"k", None),
    ]
    committed = await log.commit(next_delta(log, outputs=outputs), outputs)
    await values_of(broker, results, 2)
    found = [raw async for raw in broker.read(results, 0, 0)]
    assert [(raw.key, raw.value) for raw in found] == [(b"k", b"first"), (b"k", None)]
    assert tuple(found[0].headers) == (("ce_id", b"1"), ("empty", b""))
    assert committed.sent[results] == found[1].offset
    assert await values_of(broker, partials, 1) == [b"partial"]
    assert [entry.outputs for entry in await restored(await broker.open(TASK)) if isinstance(entry, Delta)][
        1
    ] == outputs


async def test_a_task_writes_its_own_partition(world: World) -> None:
    broker = await started(world, partitions=2)
    log = await opened(broker, TaskId(MAIN, 1))
    await commit(log, results_of(world), "here")
    assert await values_of(broker, results_of(world), 1, partition=1) == [b"here"]
    assert [raw async for raw in broker.read(results_of(world), 0, 0)] == []


async def test_where_nothing_was_sent_the_last_own_offset_is_minus_one(world: World) -> None:
    results = results_of(world)
    log = await opened(await started(world))
    committed = await commit(log, results, "a", "b")
    assert committed.sent == {results: committed.sent[results], f"{world.name}.p.partials": -1}
    assert (await commit(log, results)).sent == committed.sent


async def test_who_opens_later_fences_who_opened_before(world: World) -> None:
    results = results_of(world)
    here, there = await started(world, member="a"), await started(world, member="b")
    zombie = await opened(here)
    await commit(zombie, results, "before")
    owner = await opened(there)
    with pytest.raises(Fenced):
        await commit(zombie, results, "zombie")
    await commit(owner, results, "after")
    assert await values_of(there, results, 2) == [b"before", b"after"]
    deltas = [entry for entry in await restored(await there.open(TASK)) if isinstance(entry, Delta)]
    assert [delta.header.seq for delta in deltas] == [0, 1, 2, 3]
    assert [each.id for delta in deltas for each in delta.outputs] == ["before", "after"]


async def test_opening_one_task_does_not_disturb_another(world: World) -> None:
    broker = await started(world, partitions=2)
    logs = [await opened(broker, TaskId(MAIN, partition)) for partition in (0, 1)]
    await asyncio.gather(*(commit(log, results_of(world), f"p{log.task.partition}") for log in logs))
    for partition in (0, 1):
        assert await values_of(broker, results_of(world), 1, partition) == [b"p%d" % partition]


async def test_a_delta_of_many_records_comes_back_whole(world: World) -> None:
    broker = await started(world)
    log = await opened(broker)
    noise = Random(7).randbytes(2_000_000).hex()[:2_500_000]
    delta = next_delta(log, cells={"k": {"t": noise}})
    image = Bucket(index=0, of=1, seq=delta.header.seq, keys={"k": noise[::-1]})
    await log.commit(delta, [], [image])
    await log.close()
    assert (await restored(await broker.open(TASK)))[-2:] == [delta, image]


async def test_an_output_that_is_too_large_is_refused_and_can_be_left_out(world: World) -> None:
    results = results_of(world)
    broker = await started(world)
    log = await opened(broker)
    huge = output(results, "x" * 9_000_000)
    with pytest.raises(Refused) as refusal:
        await log.commit(next_delta(log, outputs=[huge]), [output(results, "small"), huge])
    assert refusal.value.output == huge
    assert results in refusal.value.reason
    await commit(log, results, "instead")
    assert await values_of(broker, results, 1) == [b"instead"]


# --- buckets ----------------------------------------------------------------------------------------------------


def restore(entries: list[Entry]) -> dict[str, object]:
    """The cells of all keys; key k<n> is in bucket n modulo `of`."""
    state: dict[str, object] = {}
    for entry in entries:
        if isinstance(entry, Delta):
            state |= {key: cells["n"] for key, cells in entry.cells.items()}
        else:
            state = {key: value for key, value in state.items() if int(key[1:]) % entry.of != entry.index} | entry.keys
    return state


async def test_a_log_with_images_is_trimmed_and_restores_the_same(world: World) -> None:
    broker, random = await started(world), Random(3)
    state: dict[str, object] = {}
    expected_first = 0
    for session in range(2):
        log = await opened(broker)
        for number in range(12):
            key = f"k{random.randrange(20)}"
            state[key] = f"{session}/{number}"
            delta, of = next_delta(log, cells={key: {"n": state[key]}}), 2 << session
            held = {each: value for each, value in state.items() if int(each[1:]) % of == number % of}
            image = Bucket(index=number % of, of=of, seq=delta.header.seq, keys=dict(held))
            await log.commit(delta, [], [image] if number < 10 else [])
        await log.close()
        expected_first = log.seq - 11
    while True:
        log = await broker.open(TASK)
        entries = await restored(log)
        assert restore(entries) == state
        first = entries[0]
        assert isinstance(first, Delta)
        if first.header.seq >= expected_first:
            break
    assert log.seq == 25


async def test_nothing_is_trimmed_before_every_bucket_has_an_image(world: World) -> None:
    broker = await started(world)
    log = await opened(broker)
    for _ in range(4):
        await commit(log, results_of(world), buckets=[Bucket(index=0, of=2, seq=log.seq + 1)])
    await log.close()
    first = (await restored(await broker.open(TASK)))[0]
    assert isinstance(first, Delta)
    assert first.header.seq == 0


# --- reading ----------------------------------------------------------------------------------------------------


async def test_fetching_brings_records_in_their_order_and_how_far_it_came(world: World) -> None:
    topic = topic_of(world)
    broker = await started(world)
    log = await opened(broker)
    empty = await log.fetch(Limits(wait=0.05))
    assert not any(empty.records.values())
    assert (empty.progress[topic].position, empty.progress[topic].caught_up) == (0, True)
    for number in range(30):
        await broker.produce(topic, b"k", b"%d" % number, timestamp=number)
    found: list[Raw] = []
    while len(found) < 30:
        batch = await log.fetch(Limits(records=7, wait=0.2))
        assert len(batch.records.get(topic, ())) <= 7
        found += batch.records.get(topic, ())
        progress = batch.progress[topic]
        assert progress.position == len(found)
        assert progress.caught_up == (progress.position >= progress.end_seen)
    assert [(raw.topic, raw.partition, raw.offset, raw.timestamp) for raw in found] == [
        (topic, 0, n, n) for n in range(30)
    ]
    assert [(raw.key, raw.value) for raw in found] == [(b"k", b"%d" % n) for n in range(30)]
    last = (await log.fetch(Limits(wait=0.3))).progress[topic]
    assert (last.position, last.end_seen, last.caught_up) == (30, 30, True)
    assert last.seen_at >= empty.progress[topic].seen_at


async def test_a_fetch_that_waits_returns_when_something_comes(world: World) -> None:
    topic = topic_of(world)
    broker, elsewhere = await started(world, member="a"), await started(world, member="b")
    log = await opened(broker)
    waiting = asyncio.create_task(fetched(log, 1))
    await elsewhere.produce(topic, b"k", b"news")
    assert [raw.value for raw in (await waiting)[topic]] == [b"news"]


async def test_a_paused_input_brings_nothing_until_it_is_resumed(world: World) -> None:
    one, two = topic_of(world, "one"), topic_of(world, "two")
    broker = await started(world, layout_of(world, "one", "two"))
    log = await opened(broker)
    log.pause(one)
    await broker.produce(one, b"k", b"1")
    await broker.produce(two, b"k", b"2")
    assert [raw.value for raw in (await fetched(log, 1))[two]] == [b"2"]
    batch = await log.fetch(Limits(wait=0.05))
    assert not batch.records.get(one)
    assert batch.progress[one].position == 0
    log.resume(one)
    assert [raw.value for raw in (await fetched(log, 1))[one]] == [b"1"]


async def test_several_inputs_are_read_side_by_side(world: World) -> None:
    topics = [topic_of(world, each) for each in ("one", "two", "three")]
    broker = await started(world, layout_of(world, "one", "two", "three"))
    log = await opened(broker)
    for number in range(20):
        for topic in topics:
            await broker.produce(topic, b"k", b"%d" % number)
    records: dict[str, list[Raw]] = {topic: [] for topic in topics}
    while any(len(found) < 20 for found in records.values()):
        batch = await log.fetch(Limits(records=5, wait=0.2))
        assert sum(map(len, batch.records.values())) <= 5
        for topic, found in batch.records.items():
            records[topic] += found
    assert all([raw.value for raw in found] == [b"%d" % n for n in range(20)] for found in records.values())


async def test_keys_are_partitioned_as_kafkas_own_clients_do(world: World) -> None:
    topic, partitions = topic_of(world), 5
    broker = await started(world, partitions=partitions)
    keys = [b"%d" % number * (number % 7 + 1) for number in range(25)]
    for key in keys:
        await broker.produce(topic, key, key)
    for partition in range(partitions):
        expected = [key for key in keys if (murmur2(key) & 0x7FFFFFFF) % partitions == partition]
        assert [raw.value async for raw in broker.read(topic, partition, 0)] == expected


async def test_a_part_of_a_topic_can_be_read(world: World) -> None:
    topic = topic_of(world)
    broker = await started(world)
    for number in range(6):
        await broker.produce(topic, b"k", b"%d" % number)
    assert [raw.value async for raw in broker.read(topic, 0, 2, 4)] == [b"2", b"3"]
    assert [raw.value async for raw in broker.read(topic, 0, 4)] == [b"4", b"5"]
    assert [raw.value async for raw in broker.read(topic, 0, 6)] == []


async def test_both_kinds_of_readers_see_what_is_committed(world: World) -> None:
    results = results_of(world)
    broker = await started(world)
    log = await opened(broker)
    await commit(log, results, "a", "b")
    assert await values_of(broker, results, 2) == [b"a", b"b"]
    assert [raw.value async for raw in broker.read(results, 0, 0, committed=False)] == [b"a", b"b"]


async def test_a_follower_sees_all_partitions_and_what_comes_later(world: World) -> None:
    topic = topic_of(world)
    broker = await started(world, partitions=3)
    for number in range(6):
        await broker.produce(topic, b"%d" % number, b"%d" % number)
    seen: set[bytes | None] = set()
    async with aclosing(broker.follow(topic)) as following:  # type: ignore[type-var]  # every broker's is a generator
        async for raw in following:
            seen.add(raw.value)
            if len(seen) == 6:
                await broker.produce(topic, b"later", b"later")
            if b"later" in seen:
                break
    assert seen == {b"0", b"1", b"2", b"3", b"4", b"5", b"later"}


async def test_previews_are_best_effort_and_outside_of_commits(world: World) -> None:
    previews = f"{world.name}.p.previews"
    broker = await started(world)
    await broker.preview(output(previews, "tok"), 0)
    assert await values_of(broker, previews, 1) == [b"tok"]


# --- membership -------------------------------------------------------------------------------------------------


class Member:
    """One process that takes what it is given, and leaves what it is asked for."""

    def __init__(self, world: World, layout: Layout, name: str) -> None:
        self.broker = world.broker(layout, name)
        self.tasks: set[int] = set()
        self.changed = asyncio.Event()

    async def work(self) -> None:
        await self.broker.start()
        async for assignment in self.broker.tasks():
            match assignment:
                case Given(task):
                    self.tasks.add(task.partition)
                case Asked(task, _) | Taken(task):
                    self.tasks.discard(task.partition)
            self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.tasks) != count:
            self.changed.clear()
            await self.changed.wait()


async def test_members_share_the_tasks_and_take_over_when_one_leaves(world: World) -> None:
    await world.create_topic(topic_of(world), 4)
    layout = layout_of(world)
    first, second = Member(world, layout, "a"), Member(world, layout, "b")
    working = [asyncio.create_task(first.work())]
    await first.until(4)
    assert first.broker.lease() > 0
    assert first.broker.unsettled(4) == 0
    assert first.broker.unsettled(3) > 0
    working.append(asyncio.create_task(second.work()))
    await asyncio.gather(first.until(2), second.until(2))
    assert first.tasks | second.tasks == {0, 1, 2, 3}
    working[0].cancel()
    await asyncio.wait(working[:1])
    await first.broker.close()
    await second.until(4)
    working[1].cancel()
    await asyncio.wait(working)
