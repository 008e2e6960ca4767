"""A planned hand-over loses nothing: who is asked for a task finishes it, who is given it waits for that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.stage import Stage, judge, logins

from penstock.connectors.memory import MemoryBroker
from penstock.connectors.scripted import ScriptedModel, Step
from penstock.pipelines.worker import Summary, Worker

VIRTUAL_TIME = True
PARTITIONS = 3
PROCESSES = 6
EVENTS = logins(seed=11, count=20 * PROCESSES, hosts=9)


@dataclass
class Process:
    """A worker that leaves the group when it is stopped, and how it asks."""

    worker: Worker
    model: ScriptedModel
    broker: MemoryBroker
    life: asyncio.Task[Summary]

    async def stop(self) -> Summary:
        self.worker.stop()
        summary = await self.life
        await self.broker.close()
        return summary


async def begun(stage: Stage, *steps: Step, seconds_per_piece: float = 0.005, release_seconds: float = 10.0) -> Process:
    """An answer takes about 0.2 s: less than there is time for at a hand-over."""
    broker, model = stage.broker(), ScriptedModel(judge, script=steps, seconds_per_piece=seconds_per_piece)
    await broker.start()
    worker = stage.worker(broker, model, until_idle=None, release_seconds=release_seconds)
    return Process(worker, model, broker, asyncio.create_task(worker.run()))


async def test_processes_that_come_and_go_by_plan_cost_no_fence_and_no_call(caplog: pytest.LogCaptureFixture) -> None:
    still, stage = await Stage(partitions=PARTITIONS).open(), await Stage(partitions=PARTITIONS).open()
    await still.produce(EVENTS)
    await still.play()
    former, models = await begun(stage), list[ScriptedModel]()
    for number in range(PROCESSES):
        part = EVENTS[20 * number : 20 * (number + 1)]
        await stage.produce(part[:10], seconds_apart=0.3)
        latter = await begun(stage)
        await stage.produce(part[10:], seconds_apart=0.3)
        assert (await former.stop()).exit_code == 0
        models.append(former.model)
        former = latter
    await stage.clock.sleep(10)
    await former.stop()
    told, expected = await stage.told(), await still.told()
    told.check()
    assert told.outcomes == expected.outcomes
    assert sum(model.count("cancelled") for model in [*models, former.model]) == 0
    assert {record["attempt"] for record in told.results} == {None, 1}
    trouble = [
        record.message for record in caplog.records if "not open" in record.message or "without" in record.message
    ]
    assert trouble == []
