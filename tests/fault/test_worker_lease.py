"""Whoever is fenced asks whose the task is before it takes it back, and does not fight a second deployment for it."""

from __future__ import annotations

import asyncio

import pytest
from tests.stage import Stage, logins

from penstock.connectors.fault import FaultyBroker, FencedBefore
from penstock.connectors.port import MAIN, TaskId, TaskLog, Tenure
from penstock.pipelines.worker import Summary, Worker

VIRTUAL_TIME = True
TASK = TaskId(MAIN, 0)
EVENTS = logins(seed=11, count=60)
REFUSED = 4


class UnsureBroker(FaultyBroker):
    """From its third commit on it is fenced once, and the group says nothing until `sure` is set."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.broker(), commits=[None, None, FencedBefore()])
        self._clock = stage.clock
        self.sure = asyncio.Event()
        self.opened_at: list[float] = []

    async def open(self, task: TaskId) -> TaskLog:
        self.opened_at.append(self._clock.monotonic())
        return await super().open(task)

    def tenure(self, task: TaskId) -> Tenure | None:
        tenure = super().tenure(task)
        if tenure is None or self.sure.is_set():
            return tenure
        return Tenure(tenure.since, confirmed=tenure.since)


@pytest.fixture
async def stage() -> Stage:
    return await Stage().open()


async def test_a_task_that_somebody_else_opened_is_opened_again_only_when_the_group_was_asked_since(
    stage: Stage,
) -> None:
    broker = UnsureBroker(stage)
    playing = asyncio.create_task(stage.play(broker, until_idle=None))
    await stage.produce(EVENTS, seconds_apart=0.1)
    await stage.clock.sleep(60)
    assert len(broker.opened_at) == 1
    broker.sure.set()
    await stage.clock.sleep(2)
    assert len(broker.opened_at) == 2
    playing.cancel()
    await asyncio.wait([playing])


async def begun(stage: Stage, *, claimed: tuple[TaskId, ...] = ()) -> tuple[Worker, asyncio.Task[Summary]]:
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=None, claimed=claimed)
    return worker, asyncio.create_task(worker.run())


async def test_whoever_is_fenced_twice_while_the_task_is_its_own_stops_and_names_both(stage: Stage) -> None:
    ours, life = await begun(stage)
    await stage.produce(EVENTS[:3], seconds_apart=1.0)
    rival, other = await begun(stage, claimed=(TASK,))
    for event in EVENTS:
        await stage.produce([event], seconds_apart=0.5)
        if life.done():
            break
    summary = await life
    assert summary.exit_code == REFUSED
    names = f"take it from each other: {rival.process.owner} and {ours.process.owner}"
    assert names in summary.problem
    assert not other.done()
    rival.stop()
    assert (await other).exit_code == 0


async def test_processes_that_come_too_late_once_each_are_no_second_deployment(stage: Stage) -> None:
    """Each was stopped before it took the fence, and dies before it is fenced in turn."""
    ours, life = await begun(stage)
    await stage.produce(EVENTS[:3], seconds_apart=1.0)
    for number in range(3, 12):
        late, other = await begun(stage, claimed=(TASK,))
        while not any(keeper.working for keeper in late.keepers):
            await stage.clock.sleep(0.01)
        other.cancel()
        await asyncio.wait([other])
        await stage.produce(EVENTS[number : number + 1], seconds_apart=20.0)
    assert not life.done()
    assert ours.keepers[0].times_opened == 10
    ours.stop()
    assert (await life).exit_code == 0
