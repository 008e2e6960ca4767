"""Hosts that come and go for ever: they are forgotten once, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import pytest
from tests.fault.life import TAKEN_OVER_SECONDS, live_on
from tests.stage import WATCH, Stage, Told
from tests.virtual_time import run_virtually

from penstock.connectors.fault import CommitFault, CrashAfter, CrashBefore, LostAfter, LostBefore
from penstock.operators.task import FORGOTTEN

TEXT = (
    WATCH.replace("watermark: {idle: never}", "watermark: {delay: 0s, idle: never}").replace(
        "agent: judge, cooldown: 0s", "until: event.outcome == 'ok', agent: judge"
    )
    + "context: {forget: 1m}\n"
)
"""Nobody says that an attack is over: an episode ends when its host is forgotten."""
EVENTS = [(f"host-{number // 5}", "failed") for number in range(400)]
HOSTS = 80
AND_TIME_GOES_ON = [("clock", "ok")] * 130
"""A host that a model was still asked about when its time was over goes a minute later."""


async def remembered(stage: Stage) -> int:
    """How many keys a process knows that does nothing but read the log."""
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=TAKEN_OVER_SECONDS)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(10)
    session = worker.keepers[0].session
    assert session is not None
    keys = session.core.keys
    await working
    await broker.close()
    return keys


def told_after(commits: Sequence[CommitFault | None]) -> Told:
    async def run() -> Told:
        stage = await Stage(TEXT).open()
        await asyncio.gather(stage.produce(EVENTS, seconds_apart=0.05), live_on(stage, commits=commits))
        await stage.produce(AND_TIME_GOES_ON)
        await live_on(stage)
        assert await remembered(stage) == 1
        return await stage.told()

    told = run_virtually(run())
    told.check()
    return told


@cache
def undisturbed() -> Told:
    return told_after([])


def test_every_episode_ends_when_its_host_is_forgotten() -> None:
    told = undisturbed()
    begun = [record for record in told.results if record["triggers"] == ["many"] and record["state"] == "final"]
    over = [record for record in told.results if record["state"] == "resolved"]
    assert len(begun) == len(over) == HOSTS
    assert {record["reason"] for record in over} == {FORGOTTEN}


@pytest.mark.parametrize("fault", [CrashBefore(), CrashAfter(), LostBefore(), LostAfter()], ids=repr)
def test_whoever_comes_after_a_crash_forgets_the_same_once(fault: CommitFault) -> None:
    assert told_after([*[None] * 9, fault, *[None] * 5, fault, None, fault]).outcomes == undisturbed().outcomes
