"""How long a task's log gets: restoring reads all of it."""

from __future__ import annotations

import asyncio
import json
from random import Random

from tests.stage import WATCH, Stage
from tests.virtual_time import BEGINNING_MS

from penstock.pipelines.run import Session
from penstock.pipelines.worker import Worker
from penstock.state.codec import records_of, size_of

VIRTUAL_TIME = True
LIVE_BYTES_MIN = 40_000
"""A state smaller than that is written whole when it has been paid for: the bound is about those that grow."""


async def produce(stage: Stage, events: int) -> None:
    """Every event begins a run, and its line is short: nearly all that the log holds is runs and what triggers remember."""
    random = Random(1)
    for number in range(events):
        host = f"host-{random.randrange(400)}"
        value = json.dumps({"host": host, "outcome": "failed"}).encode()
        await stage.front.produce("auth", host.encode(), value, BEGINNING_MS + 1000 * number)
        await asyncio.sleep(0.01)


def live_bytes(session: Session) -> int:
    """What one image of everything would take in the log."""
    return sum(size_of(records_of(session.core.image(index, 16, 0), 1)) for index in range(16))


async def log_bytes(stage: Stage) -> int:
    return sum(len(raw.value or b"") for raw in await stage.records(stage.pipeline.layout.log))


async def ratios(stage: Stage, worker: Worker) -> list[float]:
    """Length of the log by live state, looked at every other second for as long as the worker lives."""
    found: list[float] = []
    while True:
        await asyncio.sleep(2)
        sessions = [keeper.session for keeper in worker.keepers]
        if not sessions or sessions[0] is None:
            return found
        live = live_bytes(sessions[0])
        if live >= LIVE_BYTES_MIN:
            found.append(await log_bytes(stage) / live)


async def test_the_log_of_many_runs_stays_within_three_times_the_live_state() -> None:
    stage = await Stage(WATCH).open()
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker)
    working = asyncio.create_task(worker.run())
    measuring = asyncio.create_task(ratios(stage, worker))
    await produce(stage, 2_500)
    assert (await working).exit_code == 0
    found = await measuring
    assert len(found) > 10
    assert max(found) < 3
