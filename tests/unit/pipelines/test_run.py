from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise

import pytest
from tests.stage import LINE, WATCH, Stage, judge, logins

from penstock.connectors.fault import FaultyBroker, FaultyLog
from penstock.connectors.port import Committed, Piece, TaskId, TaskLog
from penstock.connectors.scripted import ScriptedModel
from penstock.operators.event import ChatRequest
from penstock.operators.record import Output
from penstock.pipelines.cadence import UNSAVED_BYTES_MAX
from penstock.state.delta import Bucket, Delta

VIRTUAL_TIME = True
FAILED = [("host-1", "failed")]


class Diary(FaultyBroker):
    """A broker whose commits take `seconds`, and that notes when what began and was decided."""

    def __init__(self, stage: Stage, seconds: float = 0.0) -> None:
        inner = stage.broker()
        super().__init__(inner)
        self._inner, self.seconds = inner, seconds
        self.lines: list[str] = []
        self.deltas: list[Delta] = []

    async def open(self, task: TaskId) -> FaultyLog:
        return SlowLog(self, await self._inner.open(task))


class SlowLog(FaultyLog):
    def __init__(self, diary: Diary, log: TaskLog) -> None:
        super().__init__(diary, log, iter(()), iter(()))
        self._diary = diary

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        self._diary.lines.append(f"began {delta.header.kind}")
        await asyncio.sleep(self._diary.seconds)
        committed = await super().commit(delta, outputs, buckets)
        self._diary.lines.append(f"decided {delta.header.kind}")
        self._diary.deltas.append(delta)
        return committed


class Mute:
    """A model that is asked and never answers; notes it in the diary."""

    continues = False

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        self.diary.append("asked")
        await asyncio.Event().wait()
        yield Piece()

    async def probe(self) -> str:
        return "mute"

    async def close(self) -> None:
        """Nothing is held open."""


async def stopped_while_asking(stage: Stage) -> None:
    """A process that has asked, has heard nothing and is stopped."""
    broker, asked = stage.broker(), list[str]()
    await broker.start()
    worker = stage.worker(broker, Mute(asked))
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while not asked:  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0.01)
    worker.stop()
    await running
    await broker.close()


@pytest.fixture
async def stage() -> Stage:
    return await Stage().open()


async def test_what_was_being_asked_is_asked_again_only_after_opened_is_committed(stage: Stage) -> None:
    await stage.produce(FAILED)
    await stopped_while_asking(stage)
    diary = Diary(stage, seconds=0.5)
    await diary.start()
    worker = stage.worker(diary, Mute(diary.lines))
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(20)
    worker.stop()
    await running
    assert diary.lines[:3] == ["began opened", "decided opened", "asked"]


async def test_a_run_that_is_asked_again_is_told_as_a_new_attempt(stage: Stage) -> None:
    await stage.produce(FAILED)
    await stopped_while_asking(stage)
    await stage.play()
    [final] = (await stage.told()).results
    assert final["attempt"] == 2


async def test_one_commit_is_in_flight_at_a_time_and_what_comes_meanwhile_goes_with_the_next(stage: Stage) -> None:
    diary = Diary(stage, seconds=2.0)
    await diary.start()
    running = asyncio.create_task(stage.worker(diary).run())
    await stage.produce(logins(seed=1, count=60), seconds_apart=0.1)
    assert (await running).exit_code == 0
    assert all(line.split()[0] != after.split()[0] for line, after in pairwise(diary.lines))
    assert len(diary.deltas) < 20
    told = await stage.told()
    told.check()
    assert sum(record["state"] == "final" for record in told.results) > 5


async def test_records_are_taken_in_while_a_commit_is_in_flight(stage: Stage) -> None:
    diary = Diary(stage, seconds=1.0)
    await diary.start()
    running = asyncio.create_task(stage.worker(diary).run())
    await stage.produce([("host-1", "ok")])
    async with asyncio.timeout(60):
        while diary.lines[-1:] != ["began delta"]:  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0.01)
    await stage.produce([("host-1", "ok")] * 9, seconds_apart=0.05)
    assert diary.lines[-1] == "began delta"
    assert (await running).exit_code == 0
    positions = [delta.header.positions["auth"].offset for delta in diary.deltas]
    assert positions[:3] == [0, 1, 10]


async def test_behind_a_slow_commit_no_more_is_gathered_than_a_delta_may_hold(stage: Stage) -> None:
    count = 3 * UNSAVED_BYTES_MAX // len(LINE)
    await stage.produce([("host-1", "ok")] * count)
    diary = Diary(stage, seconds=30.0)
    await diary.start()
    assert (await stage.worker(diary).run()).exit_code == 0
    assert diary.deltas[-1].header.positions["auth"].offset == count
    assert max(sum(len(fact[3] or b"") for fact in delta.facts) for delta in diary.deltas) < 2 * UNSAVED_BYTES_MAX


async def test_nothing_is_asked_on_the_way_out(stage: Stage) -> None:
    """Two runs of one key: the first is answered in the very moment in which the process is stopped."""
    await stage.produce([("host-1", "failed"), ("host-1", "failed")])
    diary = Diary(stage)
    await diary.start()
    model = ScriptedModel(judge)
    worker = stage.worker(diary, model)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while not model.calls:  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0)
    worker.stop()
    await running
    assert diary.lines[-1] == "decided released"
    assert len(model.calls) == 1


async def test_time_passes_for_idle_inputs_while_nothing_arrives() -> None:
    stage = await Stage(WATCH.replace("idle: never", "idle: 20s")).open()
    await stage.produce([("host-1", "failed")] * 4)
    await stage.play(until_idle=120.0)
    assert [record["state"] for record in (await stage.told()).results].count("resolved") == 1


async def test_an_input_that_is_bounded_ends_time_where_it_ends(stage: Stage) -> None:
    await stage.produce([("host-1", "failed")] * 4)
    await stage.play()
    assert [record["state"] for record in (await stage.told()).results].count("resolved") == 0
    await stage.play(bounded=True)
    assert [record["state"] for record in (await stage.told()).results].count("resolved") == 1


async def test_batches_of_one_say_what_large_batches_say(stage: Stage) -> None:
    events = logins(seed=5, count=80)
    other = await Stage().open()
    for each, batch in ((stage, 1), (other, 500)):
        await each.produce(events)
        await each.play(batch=batch)
    assert (await stage.told()).outcomes == (await other.told()).outcomes
