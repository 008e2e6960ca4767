"""Several processes, stopped, killed, joined and in conflict: together they say what one would have said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.stage import Stage, Told, logins

from penstock.connectors.port import MAIN, TaskId
from penstock.pipelines.worker import Summary, Worker
from penstock.state.codec import Joiner
from penstock.state.delta import Delta

VIRTUAL_TIME = True
PARTITIONS = 3
EVENTS = logins(seed=11, count=120, hosts=9)
ALL_TASKS = tuple(TaskId(MAIN, partition) for partition in range(PARTITIONS))
TAKEN_OVER_SECONDS = 12.0
"""By then the tasks of a dead process have come to the others."""

Running = tuple[Worker, asyncio.Task[Summary]]


@pytest.fixture
async def stage() -> Stage:
    return await Stage(partitions=PARTITIONS).open()


@pytest.fixture
async def undisturbed() -> Told:
    stage = await Stage(partitions=PARTITIONS).open()
    await stage.produce(EVENTS)
    await stage.play()
    return await stage.told()


async def begun(stage: Stage, *, claimed: Sequence[TaskId] = ()) -> Running:
    """A process that leaves the group when it has come to its end."""
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=TAKEN_OVER_SECONDS, claimed=tuple(claimed))

    async def live() -> Summary:
        summary = await worker.run()
        await broker.close()
        return summary

    return worker, asyncio.create_task(live())


async def kill(running: Running) -> None:
    """Nobody is told; the group finds out by the silence."""
    _, life = running
    life.cancel()
    await asyncio.wait([life])


async def finish(stage: Stage, *running: Running) -> Told:
    for _, life in running:
        summary = await life
        assert summary.exit_code == 0, summary.problem
    told = await stage.told()
    told.check()
    return told


async def last_kinds(stage: Stage) -> list[str]:
    """The kind of the last delta of every task."""
    kinds: dict[int, str] = {}
    joiner = Joiner()
    for raw in await stage.records(stage.pipeline.layout.log):
        joined = joiner.add(raw)
        if joined is not None and isinstance(joined.entry, Delta):
            kinds[raw.partition] = joined.entry.header.kind
    return [kinds[partition] for partition in sorted(kinds)]


async def test_two_processes_share_the_tasks_and_say_what_one_would_have_said(stage: Stage, undisturbed: Told) -> None:
    one, two = await begun(stage), await begun(stage)
    await stage.produce(EVENTS, seconds_apart=0.05)
    assert {len(one[0].keepers), len(two[0].keepers)} == {1, 2}
    assert (await finish(stage, one, two)).outcomes == undisturbed.outcomes


async def test_a_process_that_joins_later_is_handed_over_a_share_in_the_middle_of_the_work(
    stage: Stage, undisturbed: Told
) -> None:
    one = await begun(stage)
    await stage.produce(EVENTS[:40], seconds_apart=0.05)
    two = await begun(stage)
    await stage.produce(EVENTS[40:], seconds_apart=0.05)
    assert two[0].keepers
    assert (await finish(stage, one, two)).outcomes == undisturbed.outcomes


async def test_a_stopped_process_commits_what_is_decided_and_marks_its_tasks_as_released(
    stage: Stage, undisturbed: Told
) -> None:
    one = await begun(stage)
    await stage.produce(EVENTS[:60], seconds_apart=0.05)
    one[0].stop()
    await finish(stage, one)
    assert await last_kinds(stage) == ["released"] * PARTITIONS
    await stage.produce(EVENTS[60:])
    assert (await finish(stage, await begun(stage))).outcomes == undisturbed.outcomes


async def test_when_a_process_is_killed_the_other_takes_over_what_it_had(stage: Stage, undisturbed: Told) -> None:
    one, two = await begun(stage), await begun(stage)
    await stage.produce(EVENTS[:60], seconds_apart=0.05)
    await kill(one)
    await stage.produce(EVENTS[60:], seconds_apart=0.05)
    told = await finish(stage, two)
    assert len(two[0].keepers) == 0
    assert told.outcomes == undisturbed.outcomes


async def test_processes_killed_and_begun_again_all_the_time_lose_and_double_nothing(
    stage: Stage, undisturbed: Told
) -> None:
    running = [await begun(stage), await begun(stage)]
    for number, event in enumerate(EVENTS):
        await stage.produce([event], seconds_apart=0.13)
        if number % 9 == 8:
            await kill(running.pop(0))
            running.append(await begun(stage))
    assert (await finish(stage, *running)).outcomes == undisturbed.outcomes


async def test_three_that_all_believe_to_own_everything_come_to_the_same_end_once_one_is_left(
    stage: Stage, undisturbed: Told
) -> None:
    believers = [await begun(stage, claimed=ALL_TASKS) for _ in range(3)]
    await stage.produce(EVENTS, seconds_apart=0.1)
    opened = sum(keeper.times_opened for worker, _ in believers for keeper in worker.keepers)
    assert opened > 3 * PARTITIONS, "they took the tasks from each other"
    await kill(believers[0])
    await kill(believers[1])
    assert (await finish(stage, believers[2])).outcomes == undisturbed.outcomes
