"""Sessions that are ended at a bad moment: nothing is left open, nothing is left unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from tests.stage import Stage

from penstock.connectors.fault import FaultyBroker, FaultyLog
from penstock.connectors.port import MAIN, Asked, Assignment, Batch, Committed, Given, Limits, Piece, TaskId
from penstock.operators.event import ChatRequest
from penstock.operators.record import Output
from penstock.state.delta import Bucket, Delta

VIRTUAL_TIME = True
TASK = TaskId(MAIN, 0)


class SlowBroker(FaultyBroker):
    """Fetches and commits of its logs take so many seconds; assignments are scripted: (seconds to wait before it, what)."""

    def __init__(
        self, stage: Stage, *, fetch: float = 0.0, commit: float = 0.0, script: Sequence[tuple[float, Assignment]] = ()
    ) -> None:
        inner = stage.broker()
        super().__init__(inner)
        self._inner, self._script = inner, script
        self.fetch_seconds, self.commit_seconds = fetch, commit
        self.open_logs = 0

    async def open(self, task: TaskId) -> FaultyLog:
        self.open_logs += 1
        return SlowLog(self, await self._inner.open(task), iter(()), iter(()))

    async def tasks(self) -> AsyncIterator[Assignment]:
        if not self._script:
            async for assignment in super().tasks():
                yield assignment
        for seconds, assignment in self._script:
            await asyncio.sleep(seconds)
            yield assignment


class SlowLog(FaultyLog):
    _broker: SlowBroker

    async def fetch(self, limits: Limits) -> Batch:
        await asyncio.sleep(self._broker.fetch_seconds)
        return await super().fetch(limits)

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        await asyncio.sleep(self._broker.commit_seconds)
        return await super().commit(delta, outputs, buckets)

    async def close(self) -> None:
        await super().close()
        self._broker.open_logs -= 1


class FailsLater:
    """A model with a bug that shows so many seconds after it was asked."""

    continues = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        await asyncio.sleep(self._seconds)
        raise ZeroDivisionError("in the model's client")
        yield Piece()

    async def probe(self) -> str:
        return "it will fail"

    async def close(self) -> None:
        """Nothing is held open."""


async def test_a_log_is_closed_also_when_the_time_for_leaving_runs_out_meanwhile() -> None:
    stage = await Stage().open()
    broker = SlowBroker(stage, fetch=30.0)
    await broker.start()
    worker = stage.worker(broker, until_idle=None, release_seconds=1.0)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(5)
    assert broker.open_logs == 1
    worker.stop()
    assert (await working).exit_code == 0
    assert broker.open_logs == 0


async def test_a_task_that_is_taken_again_before_it_was_left_is_forgotten_when_it_is_left() -> None:
    stage = await Stage().open()
    script: list[tuple[float, Assignment]] = [
        (1.0, Given(TASK)),
        (5.0, Asked(TASK, 60.0)),
        (1.0, Given(TASK)),
        (1.0, Asked(TASK, 1.0)),
    ]
    broker = SlowBroker(stage, fetch=30.0, script=script)
    await broker.start()
    worker = stage.worker(broker, until_idle=5.0)
    async with asyncio.timeout(200):
        assert (await worker.run()).exit_code == 0
    assert worker.keepers == []


async def test_a_bug_that_shows_while_the_tasks_are_released_is_said() -> None:
    stage = await Stage().open()
    await stage.produce([("host-1", "failed")])
    broker = SlowBroker(stage)
    await broker.start()
    worker = stage.worker(broker, FailsLater(10.0), until_idle=None)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(9)
    broker.commit_seconds = 5.0
    worker.stop()
    summary = await working
    assert summary.exit_code == 1
    assert "in the model's client" in summary.problem
