"""A task that has something to do and gets nowhere is opened again; one that waits on purpose is left alone."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.stage import Stage, judge, logins

from penstock.connectors.fault import FaultyBroker, FaultyLog, Hangs
from penstock.connectors.port import Batch, Limits, TaskId
from penstock.connectors.scripted import Overloaded, ScriptedModel, Step
from penstock.operators.event import ChatRequest
from penstock.pipelines.stuck import STUCK_SECONDS

VIRTUAL_TIME = True
EVENTS = logins(seed=3, count=60)


async def undisturbed() -> object:
    stage = await Stage().open()
    await stage.produce(EVENTS)
    await stage.play()
    return (await stage.told()).outcomes


@pytest.mark.parametrize("place", [0, 1, 4])
async def test_a_task_whose_commit_hangs_is_opened_again_and_says_so(
    place: int, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await Stage().open()
    await stage.produce(EVENTS)
    commits = [*[None] * place, Hangs()]
    with caplog.at_level(logging.WARNING, "penstock.task"):
        summary = await stage.play(FaultyBroker(stage.broker(), commits=commits), until_idle=2 * STUCK_SECONDS)
    assert (summary.exit_code, summary.problem) == (0, "")
    assert (await stage.told()).outcomes == await undisturbed()
    [said] = [record.message for record in caplog.records]
    assert said.startswith("dev.watch/0 is not open")
    assert "60 s" in said


class Deaf(FaultyBroker):
    """The first log that it opens brings one batch and then never returns from a fetch."""

    def __init__(self, stage: Stage) -> None:
        inner = stage.broker()
        super().__init__(inner)
        self._inner, self.opened = inner, 0

    async def open(self, task: TaskId) -> FaultyLog:
        self.opened += 1
        log = await self._inner.open(task)
        return DeafLog(self, log, iter(()), iter(())) if self.opened == 1 else FaultyLog(self, log, iter(()), iter(()))


class DeafLog(FaultyLog):
    _heard = False

    async def fetch(self, limits: Limits) -> Batch:
        if self._heard:
            await asyncio.Event().wait()
        self._heard = True
        return await super().fetch(limits)


async def test_a_task_whose_fetches_never_return_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = await Stage().open()
    await stage.produce(EVENTS)
    broker = Deaf(stage)
    with caplog.at_level(logging.WARNING, "penstock.task"):
        summary = await stage.play(broker, batch=20, until_idle=3 * STUCK_SECONDS)
    assert (summary.exit_code, broker.opened) == (0, 2)
    assert (await stage.told()).outcomes == await undisturbed()
    [said] = [record.message for record in caplog.records]
    assert "nothing was committed for 60 s, and 40 records wait" in said


async def test_a_task_whose_intake_waits_for_a_busy_model_is_left_alone() -> None:
    stage = await Stage().open()
    await stage.produce(EVENTS)
    busy_until = 10 * STUCK_SECONDS

    def script(request: ChatRequest, before: int) -> Step:
        return Overloaded(1.0) if stage.clock.monotonic() < busy_until else None

    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, ScriptedModel(judge, script=script), batch=10)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(busy_until)
    assert [keeper.times_opened for keeper in worker.keepers] == [1]
    assert (await working).exit_code == 0
    assert (await stage.told()).outcomes == await undisturbed()


async def test_a_task_without_work_may_be_silent_for_days() -> None:
    stage = await Stage().open()
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=None)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(5_000)
    await stage.produce([("host-1", "odd")])
    await asyncio.sleep(5_000)
    assert [keeper.times_opened for keeper in worker.keepers] == [1]
    worker.stop()
    assert (await working).exit_code == 0
