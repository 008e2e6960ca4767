"""What every broker keeps of tables: topics that each task reads as a whole, however they are partitioned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.world import World, fetched, layout_of, next_delta, opened, restored, started, topic_of

from penstock.connectors.port import MAIN, Layout, TaskId
from penstock.operators.error import Unreachable
from penstock.state.delta import Delta, Position

ROWS = 6


def with_table(world: World, *, partitioned: bool = False) -> Layout:
    topic = topic_of(world, "hosts")
    return replace(layout_of(world), tables={"hosts:ab": topic}, partitioned=frozenset({topic} if partitioned else ()))


async def test_every_task_reads_all_partitions_of_a_table_by_their_names(world: World) -> None:
    layout, topic = with_table(world), topic_of(world, "hosts")
    await world.create_topic(topic, 3)
    broker = await started(world, layout, partitions=2)
    for number in range(ROWS):
        await broker.produce(topic, b"k%d" % number, b"v")
    for partition in range(2):
        log = await opened(broker, TaskId(MAIN, partition))
        found = await fetched(log, ROWS)
        assert set(found) <= {"hosts:ab/0", "hosts:ab/1", "hosts:ab/2"}
        assert sorted(raw.key or b"" for records in found.values() for raw in records) == [
            b"k%d" % n for n in range(ROWS)
        ]
        assert all(raw.partition == int(name[-1]) for name, records in found.items() for raw in records)
        await log.close()


async def test_a_partition_of_a_table_goes_on_where_its_position_is(world: World) -> None:
    layout, topic = with_table(world), topic_of(world, "hosts")
    await world.create_topic(topic, 1)
    broker = await started(world, layout)
    for number in range(ROWS):
        await broker.produce(topic, b"k%d" % number, b"v")
    log = await opened(broker)
    await fetched(log, ROWS)
    await log.commit(next_delta(log, positions={"hosts:ab/0": Position(ROWS - 1)}), [])
    again = await broker.open(log.task)
    [*_, last] = [entry for entry in await restored(again) if isinstance(entry, Delta)]
    begun = await again.begin(last.header.positions)
    assert begun["hosts:ab/0"] == Position(ROWS - 1)
    assert set(begun) == {topic_of(world), "hosts:ab/0"}
    assert set(again.skipped) == {topic_of(world)}, "a table has no start to be told of"
    await again.commit(next_delta(again, kind="opened", positions=begun), [])
    assert [raw.offset for raw in (await fetched(again, 1))["hosts:ab/0"]] == [ROWS - 1]


async def test_a_table_that_is_missing_is_named(world: World) -> None:
    await world.create_topic(topic_of(world), 1)
    with pytest.raises(Unreachable, match=topic_of(world, "hosts")):
        await world.broker(with_table(world)).start()


async def test_a_table_that_is_expected_has_as_many_partitions_as_the_sources(world: World) -> None:
    await world.create_topic(topic_of(world), 2)
    await world.create_topic(topic_of(world, "hosts"), 3)
    for look in ("start", "missing"):
        broker = world.broker(with_table(world, partitioned=True))
        with pytest.raises(Unreachable, match=r"hosts.* 3 partitions"):
            await getattr(broker, look)()
