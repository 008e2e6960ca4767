"""Somebody sets the machine's clock while a worker runs: the monotonic one, by which leases are counted, knows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.stage import WATCH, Stage, logins
from tests.virtual_time import VirtualClock

from penstock.connectors.memory import MemoryCluster
from penstock.pipelines.worker import Summary

VIRTUAL_TIME = True
HOUR_MS = 3_600_000
STRICT = WATCH.replace("watermark: {idle: never}", "watermark: {delay: 0s, idle: 10s, lateness: 0s}")
"""Whoever is silent for ten seconds holds nobody back, and whatever comes behind that is late."""
EVENTS = logins(seed=3, count=240)


class JumpingClock(VirtualClock):
    """`ahead`: milliseconds by which somebody has set it forward."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


async def opened(text: str = WATCH, partitions: int = 1) -> tuple[Stage, JumpingClock]:
    stage, clock = Stage(text, partitions=partitions), JumpingClock()
    stage.clock, stage.cluster = clock, MemoryCluster(clock)
    return await stage.open(), clock


async def played(jumps: Sequence[int]) -> Mapping[tuple[str, str], Any]:
    """The outcomes of two processes that share two partitions, while the clock jumps by so much, evenly over the events."""
    stage, clock = await opened(partitions=2)
    working = [asyncio.create_task(stage.play(until_idle=30.0)) for _ in range(2)]
    size = len(EVENTS) // (len(jumps) + 1)
    for number in range(len(jumps) + 1):
        clock.ahead += jumps[number - 1] if number else 0
        await stage.produce(EVENTS[number * size : (number + 1) * size], seconds_apart=0.1)
    assert [(await each).exit_code for each in working] == [0, 0]
    told = await stage.told()
    told.check()
    return told.outcomes


@pytest.mark.parametrize("jumps", [(HOUR_MS,), (-HOUR_MS,), (HOUR_MS, -HOUR_MS), (-HOUR_MS, HOUR_MS, HOUR_MS)])
async def test_what_event_time_decides_is_told_as_if_the_clock_had_not_jumped(jumps: tuple[int, ...]) -> None:
    undisturbed = await played([0] * len(jumps))
    assert len(undisturbed) > 50
    assert await played(jumps) == undisturbed


async def late_after(seconds: float, jump: int) -> int:
    """Events that are late when the second one comes after a silence, in which the clock jumps after five seconds."""
    stage, clock = await opened(STRICT)
    working: asyncio.Task[Summary] = asyncio.create_task(stage.play(until_idle=90.0))
    await stage.produce([("host-1", "odd")])
    await asyncio.sleep(5)
    clock.ahead = jump
    await asyncio.sleep(seconds - 5)
    await stage.produce([("host-1", "odd")])
    return (await working).counts["late", "auth"]


async def test_processing_time_goes_ahead_with_the_clock_and_never_back() -> None:
    """A jump ahead is a long silence of every input. After one back, no silence lasts until the clock has caught up."""
    assert (await late_after(7, 0), await late_after(60, 0)) == (0, 1)
    assert await late_after(7, HOUR_MS) == 1
    assert await late_after(60, -HOUR_MS) == 0


@pytest.mark.parametrize("jump", [HOUR_MS, -HOUR_MS])
async def test_a_lease_is_counted_by_a_clock_that_does_not_jump(jump: int) -> None:
    stage, clock = await opened()
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=5.0)
    working = asyncio.create_task(worker.run())
    await stage.produce(EVENTS[:20], seconds_apart=0.1)
    left = broker.lease()
    clock.ahead = jump
    assert broker.lease() == left > 0
    await stage.produce(EVENTS[20:40], seconds_apart=0.1)
    assert [keeper.times_opened for keeper in worker.keepers] == [1]
    assert (await working).exit_code == 0
    await broker.close()
