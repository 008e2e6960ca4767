"""A pipeline with a rekeyed source in one process: what comes out is what comes out of a topic that has the right keys."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.rekeyed import KEYED, REKEYED, RekeyedStage, closing, keyed_story, logins
from tests.stage import compiled
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.embedded_store import Write
from penstock.connectors.memory import CommitStep, Late, Undecided
from penstock.connectors.partition import partition_of
from penstock.pipelines.rekeying import staged

VIRTUAL_TIME = True
EVENTS = logins(1, 200)
OTHERS = logins(2, 150)
FLOW = """
  flow:
    topic: flow
    key: event.host
    time: {at: event.t, unit: ms}
    watermark: {delay: 1m, idle: never, lateness: 1h, ahead: 100d}
triggers:
"""
BESIDE = REKEYED.replace("\ntriggers:\n", FLOW)
"""A second source, whose topic has the right keys."""


async def test_what_a_scattered_topic_says_is_what_a_topic_of_the_right_keys_says() -> None:
    stage = await RekeyedStage().open()
    await stage.produce(EVENTS)
    summary = await stage.play()
    assert (summary.exit_code, summary.problem) == (0, "")
    assert await stage.story() == await keyed_story(EVENTS)
    assert {told[0] for told in await stage.story()} == {"failed", "twice", "silent", "often"}
    pings = sum(event.outcome == "ping" for event in EVENTS)
    counts = summary.counts
    assert (counts["events", "auth"], counts["ignored", "auth"]) == (len(EVENTS) + 3, pings)
    assert counts["moved", "auth"] == len(EVENTS) + 3 - pings


@pytest.mark.parametrize("seed", range(4))
async def test_commits_that_die_are_late_or_are_not_answered_in_any_stage_change_nothing(seed: int) -> None:
    random = Random(seed)
    steps: list[CommitStep] = random.choices([None, Undecided(), Late(3), Late(5, lost=True)], [12, 2, 2, 2], k=80)
    stage = await RekeyedStage(steps=steps).open()
    await stage.produce(EVENTS, seed)
    assert (await stage.play(until_idle=40.0)).exit_code == 0
    assert await stage.story() == await keyed_story(EVENTS)


async def test_a_topic_may_have_another_number_of_partitions_than_the_pipeline() -> None:
    stage = await RekeyedStage(partitions=4).open()
    await stage.cluster.create_topic(stage.layout.log, 2)
    await stage.produce(EVENTS)
    assert (await stage.play()).exit_code == 0
    assert await stage.cluster.partitions("dev.watch.rekey.auth") == 2
    assert await stage.story() == await keyed_story(EVENTS)


async def test_a_constant_key_is_one_context_of_all_partitions() -> None:
    text = REKEYED.replace("key: event.host", "key: '\"all\"'")
    stage = await RekeyedStage(text).open()
    await stage.produce(EVENTS)
    await stage.play()
    one = await RekeyedStage(text.replace("rekey: true", "rekey: false"), partitions=1).open()
    await one.produce(EVENTS)
    await one.play()
    assert await stage.story() == await one.story()
    assert {told[1] for told in await stage.story()} == {"all"}


async def test_what_cannot_be_read_leaves_from_the_first_stage_once_and_with_its_own_coordinates() -> None:
    stage = await RekeyedStage(steps=[None, None, None, None, Late(2, lost=True), Undecided()]).open()
    await stage.produce(EVENTS[:3])
    offset = await stage.cluster.append(Write("auth", 1, b"k", b"{", (), BEGINNING_MS))
    assert (await stage.play(until_idle=40.0)).exit_code == 0
    (letter,) = await stage.records(stage.stages.main.plan.dead_topic)
    headers = dict(letter.headers)
    place = (headers["penstock-dead-topic"], headers["penstock-dead-partition"], headers["penstock-dead-offset"])
    assert (letter.key, letter.value, place) == (b"k", b"{", (b"auth", b"1", str(offset).encode()))


async def test_a_rekeyed_source_is_merged_with_one_that_is_read_as_it_is() -> None:
    stories = []
    for text in (BESIDE, BESIDE.replace("rekey: true", "rekey: false")):
        stage = await RekeyedStage(text).open()
        await stage.cluster.create_topic("flow", 3)
        for number, each in enumerate([*OTHERS, *closing(EVENTS[-1].time, 3)]):
            place = partition_of(each.host.encode(), 3)
            await stage.cluster.append(Write("flow", place, None, each.value, (("n", b"%d" % number),), each.time))
        await stage.produce(EVENTS, 1 if text is BESIDE else None)
        assert (await stage.play()).exit_code == 0
        stories.append(await stage.story("auth", "flow"))
    assert stories[0] == stories[1]
    assert len([told for told in stories[0] if told[0] == "failed"]) == 49 + sum(e.outcome == "failed" for e in OTHERS)


async def test_two_processes_share_the_tasks_of_all_stages() -> None:
    stage = await RekeyedStage().open()
    await stage.produce(EVENTS)
    summaries = await asyncio.gather(stage.play(), stage.play())
    assert [summary.exit_code for summary in summaries] == [0, 0]
    assert all(summary.counts["moved", "auth"] for summary in summaries)
    assert await stage.story() == await keyed_story(EVENTS)


async def test_the_rekeyed_topic_is_trimmed_behind_what_was_read() -> None:
    stage = await RekeyedStage().open()
    await stage.produce(EVENTS)
    await stage.play()
    left = await stage.records("dev.watch.rekey.auth")
    assert len(left) < 50, "what is left are marks of time, and those of the last commits"


async def test_a_partition_without_events_holds_time_back_until_it_has_been_silent_for_long_enough() -> None:
    stage = await RekeyedStage(REKEYED.replace("idle: never", "idle: 10s")).open()
    for event in EVENTS[:30]:
        await stage.put(event, 1)
    playing = asyncio.create_task(stage.play(until_idle=20.0))
    await stage.clock.sleep(8)
    assert {told[0] for told in await stage.story()} == {"failed"}, "what waits for time has fired before its time"
    assert (await playing).exit_code == 0
    assert {told[0] for told in await stage.story()} > {"failed"}


async def test_a_file_that_rekeys_nothing_is_its_own_only_stage() -> None:
    pipeline = compiled(KEYED)
    stages = staged(pipeline)
    assert (stages.main.plan, stages.main.layout, stages.first) == (pipeline.plan, pipeline.layout, ())


async def test_the_topics_of_a_first_stage_are_named_after_what_it_reads() -> None:
    stages = staged(compiled(REKEYED))
    (first,) = stages.first
    assert stages.main.layout.rekeyed == {"auth": "dev.watch.rekey.auth"}
    assert (first.layout.log, first.layout.inputs) == ("dev.watch.rekey.auth.log", {"auth": "earliest"})
    assert first.layout.outputs == {"dev.watch.rekey.auth", stages.main.plan.dead_topic}
