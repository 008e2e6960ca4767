"""What every broker keeps of rekeyed sources: a first stage writes to any partition of a topic that the pipeline trims."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from zlib import crc32

import pytest
from tests.contract.world import World, fetched, layout_of, next_delta, opened, restored, started, topic_of

from penstock.connectors.partition import partition_of
from penstock.connectors.port import MAIN, Broker, Layout, TaskId, TaskLog
from penstock.operators.error import Unreachable
from penstock.operators.record import Output
from penstock.state.delta import Position

KEYS = [b"k%d" % number for number in range(12)]


def main_of(world: World, *plain: str) -> Layout:
    layout = layout_of(world, "in", *plain)
    return replace(layout, rekeyed={topic_of(world): between(world)})


def first_of(world: World) -> Layout:
    return Layout(
        namespace=world.name,
        name="p.rekey.in",
        inputs={topic_of(world): "earliest"},
        outputs=frozenset({between(world), f"{world.name}.p.results"}),
        spread=frozenset({between(world)}),
    )


def between(world: World) -> str:
    return f"{world.name}.p.rekey.in"


async def both(world: World, partitions: int = 2) -> tuple[Broker, Broker]:
    """The broker of the pipeline, which is started first, and that of the first stage."""
    main = await started(world, main_of(world), partitions=partitions)
    first = world.broker(first_of(world), "b")
    await first.start()
    return main, first


async def write(log: TaskLog, world: World) -> None:
    """A record per key, and one for all partitions."""
    moved = [Output(f"{key!r}", between(world), key, key, (), "key") for key in KEYS]
    everywhere = Output("mark", between(world), None, b"all", (), "all")
    own = Output("r", f"{world.name}.p.results", b"k", b"r")
    outputs = [*moved, own, everywhere]
    await log.commit(next_delta(log, outputs=outputs), outputs)


async def values(broker: Broker, topic: str, partition: int) -> list[bytes | None]:
    return [raw.value async for raw in broker.read(topic, partition, 0)]


async def test_records_of_a_first_stage_go_to_the_partitions_of_their_keys_and_marks_to_all(world: World) -> None:
    main, first = await both(world)
    log = await opened(first, TaskId(MAIN, 1))
    await write(log, world)
    for place in range(2):
        keys = [key for key in KEYS if partition_of(key, 2) == place]
        assert await values(main, between(world), place) == [*keys, b"all"]
    assert await values(main, f"{world.name}.p.results", 1) == [b"r"]


async def test_a_task_reads_the_topic_between_under_the_name_of_the_source(world: World) -> None:
    main, first = await both(world)
    await write(await opened(first), world)
    log = await opened(main)
    expected = [*(key for key in KEYS if partition_of(key, 2) == 0), b"all"]
    found = await fetched(log, len(expected))
    assert {name: [raw.value for raw in records] for name, records in found.items()} == {topic_of(world): expected}


async def test_what_a_task_has_read_and_committed_of_the_topic_between_goes(world: World) -> None:
    main, first = await both(world, partitions=1)
    await write(await opened(first), world)
    log = await opened(main)
    (records,) = (await fetched(log, len(KEYS) + 1)).values()
    last = records[-1]
    read = {topic_of(world): Position(last.offset + 1, last.offset, last.timestamp, crc32(b"all"))}
    for _ in range(3):
        await log.commit(next_delta(log, positions=read), [])
    await log.close()
    assert await values(main, between(world), 0) == [b"all"]
    again = await main.open(log.task)
    await restored(again)
    assert (await again.begin(read))[topic_of(world)] == read[topic_of(world)]


async def test_a_first_stage_that_is_opened_again_leaves_nothing_out(world: World) -> None:
    """It may write its last commit again: who reads that knows what came before."""
    main, first = await both(world)
    await write(await opened(first), world)
    await opened(first)
    found = [value for place in range(2) for value in await values(main, between(world), place)]
    assert set(found) == {*KEYS, b"all"}
    assert len({Counter(found)[key] for key in KEYS}) == 1
    assert Counter(await values(main, f"{world.name}.p.results", 0)) == {b"r": 1}


async def test_a_rekeyed_source_may_have_another_number_of_partitions_than_the_others(world: World) -> None:
    await world.create_topic(topic_of(world), 3)
    await world.create_topic(topic_of(world, "plain"), 2)
    main = world.broker(main_of(world, "plain"))
    await main.start()
    first = world.broker(first_of(world), "b")
    await first.start()
    log = await opened(first, TaskId(MAIN, 2))
    assert log.partitions == 3
    await write(log, world)
    assert await values(main, f"{world.name}.p.results", 0) == [b"r"]
    assert (await opened(main)).partitions == 2


async def test_sources_that_are_read_as_they_are_still_have_to_agree(world: World) -> None:
    for name, partitions in (("in", 3), ("one", 2), ("two", 4)):
        await world.create_topic(topic_of(world, name), partitions)
    with pytest.raises(Unreachable, match="partitions"):
        await world.broker(main_of(world, "one", "two")).start()


async def test_what_is_missing_is_told_with_the_topic_between(world: World) -> None:
    await world.create_topic(topic_of(world), 2)
    assert between(world) in await world.broker(main_of(world)).missing()
