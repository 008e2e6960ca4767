"""A record that ends whoever takes it in, however often it is begun again; and everything that merely looks like one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from tests.stage import WATCH, Stage
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.fault import CommitFault, CrashBefore, FaultyBroker, FaultyLog, LostBefore
from penstock.connectors.port import Broker, Committed, TaskId
from penstock.operators.record import Output, Raw
from penstock.operators.source import Source
from penstock.pipelines.poison import TRIALS_MAX
from penstock.state.delta import Bucket, Delta, Header

VIRTUAL_TIME = True
DEATHS = 5
"""Three of anything, two of the record alone."""
RULES = WATCH.replace("agent: judge}", "agent: none}").replace("agent: judge,", "agent: none,")
"""No model is asked: what a process dies of is its input."""
TWO = """
penstock: v1
name: two
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 1s, idle: 20s, lateness: 1d}}
  flow: {topic: flow, key: event.host, watermark: {delay: 1s, idle: 20s, lateness: 1d}}
triggers:
  seen: {each: 'true', agent: none}
"""


def deadly(source: Source, is_poison: Callable[[Raw], bool], where: str) -> Source:
    """The source as a bug sees it: it divides by zero when a certain record is decoded, or when it is shown."""

    def decode(raw: Raw) -> Any:
        if where == "decode" and is_poison(raw):
            raise ZeroDivisionError("in the decoder")
        return source.decode(raw)

    def line(raw: Raw, event: Any) -> bytes | None:
        if where == "feed" and is_poison(raw):
            raise ZeroDivisionError("in the prompt")
        return raw.value if source.line is None else source.line(raw, event)

    return replace(source, decode=decode, decode_all=partial(map, decode), line=line)


def poison(stage: Stage, is_poison: Callable[[Raw], bool], where: str = "decode") -> None:
    plan = stage.pipeline.plan
    sources = tuple(deadly(source, is_poison, where) for source in plan.sources)
    stage.pipeline = replace(stage.pipeline, plan=replace(plan, sources=sources))


async def survives(stage: Stage, broker: Broker, **options: Any) -> bool:
    """Whether a process comes to its end."""
    await broker.start()
    summary = await stage.worker(broker, **{"until_idle": 12.0, **options}).run()
    await broker.close()
    problem = summary.problem
    assert summary.exit_code == 0 or "ZeroDivision" in problem or "Crash" in problem, problem
    return summary.exit_code == 0


async def died(stage: Stage, commits: Iterable[CommitFault] = (), **options: Any) -> int:
    """Processes that ended before one came to its end."""
    faults = iter(commits)
    for deaths in range(30):
        if await survives(stage, FaultyBroker(stage.broker(), commits=faults), **options):
            return deaths
    raise AssertionError("thirty processes did not come to an end")


async def condemned(stage: Stage) -> list[tuple[str, str, int]]:
    letters = [dict(raw.headers) for raw in await stage.records(stage.pipeline.plan.dead_topic)]
    return [
        (each["penstock-dead-reason"].decode(), each["penstock-dead-topic"].decode(), int(each["penstock-dead-offset"]))
        for each in letters
    ]


class Witness(FaultyBroker):
    """Notes the headers of everything that is committed. To announce a trial takes so many seconds by partition (else none)."""

    def __init__(self, stage: Stage, seconds: Mapping[int, float] = MappingProxyType({})) -> None:
        inner = stage.broker()
        super().__init__(inner)
        self._inner, self.seconds = inner, seconds
        self.headers: list[Header] = []

    async def open(self, task: TaskId) -> FaultyLog:
        return WitnessedLog(self, await self._inner.open(task), iter(()), iter(()))


class WitnessedLog(FaultyLog):
    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        assert isinstance(self._broker, Witness)
        self._broker.headers.append(delta.header)
        if delta.header.trial is not None:
            await asyncio.sleep(self._broker.seconds.get(self.task.partition, 0))
        return await super().commit(delta, outputs, buckets)


async def causes(stage: Stage) -> set[str]:
    return {result["why"]["fired_by"] for result in (await stage.told()).results if result["triggers"] != ["many"]}


async def filled(events: Sequence[tuple[str, str]], partitions: int = 1) -> Stage:
    stage = await Stage(RULES, partitions=partitions).open()
    await stage.produce(events)
    return stage


@pytest.mark.parametrize("where", ["decode", "feed"])
@pytest.mark.parametrize("place", [0, 13, 39])
async def test_a_record_that_ends_every_process_becomes_a_dead_letter_and_the_stream_goes_on(
    where: str, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await filled([("host-1", "odd")] * 40)
    poison(stage, lambda raw: raw.offset == place, where)
    with caplog.at_level(logging.WARNING, "penstock.task"):
        assert await died(stage) == DEATHS
    assert await condemned(stage) == [("poison", "auth", place)]
    assert await causes(stage) == {f"auth/0@{offset}" for offset in range(40) if offset != place}
    assert "one record at a time" in caplog.text
    assert f"auth/0@{place} becomes a dead letter" in caplog.text


async def test_each_of_several_such_records_is_found() -> None:
    stage = await filled([("host-1", "odd")] * 20)
    poison(stage, lambda raw: raw.offset in (3, 4, 17))
    assert await died(stage) == DEATHS + 2 + 2
    assert await condemned(stage) == [("poison", "auth", offset) for offset in (3, 4, 17)]


@pytest.mark.parametrize("where", ["decode", "feed"])
async def test_of_several_inputs_the_record_is_blamed_whose_turn_it_was(where: str) -> None:
    stage = await Stage(TWO).open()
    for number in range(30):
        for topic in ("auth", "flow"):
            time = BEGINNING_MS + 1_000 * number + (500 if topic == "flow" else 0)
            await stage.front.produce(topic, b"h", json.dumps({"host": "h"}).encode(), time)
    poison(stage, lambda raw: (raw.topic, raw.offset) == ("flow", 11), where)
    assert await died(stage, until_idle=60.0) == DEATHS
    assert await condemned(stage) == [("poison", "flow", 11)]
    assert len(await causes(stage)) == 59


async def test_processes_that_die_before_their_first_commit_condemn_nothing() -> None:
    stage = await filled([("host-1", "odd")] * 10)
    assert await died(stage, commits=[None, CrashBefore()] * 12) == 12
    assert await condemned(stage) == []
    assert len(await causes(stage)) == 10


async def test_a_process_that_loses_commits_and_lives_condemns_nothing() -> None:
    stage = await filled([("host-1", "odd")] * 10)
    assert await died(stage, commits=[None, LostBefore()] * 12, until_idle=200.0) == 0
    assert await condemned(stage) == []
    assert len(await causes(stage)) == 10


async def test_commits_lost_in_the_middle_of_trials_condemn_nothing() -> None:
    """Three die, the fourth goes on alone: it can announce the record and feed it, but not commit it."""
    stage = await filled([("host-1", "odd")] * 10)
    commits: list[CommitFault] = [*[None, CrashBefore()] * 3, *[None, None, LostBefore()] * 8]
    assert await died(stage, commits=commits, until_idle=200.0) == 3
    assert await condemned(stage) == []
    assert len(await causes(stage)) == 10


async def test_the_neighbours_of_a_deadly_record_are_not_blamed() -> None:
    """All tasks of a process die with it, at the same moment of their lives: the others are slower to announce a trial."""
    stage = await filled([("host-1", "ok")] * 50, partitions=6)
    [home] = {raw.partition for raw in await stage.records("auth")}
    poison(stage, lambda raw: (raw.partition, raw.offset) == (home, 0), "feed")
    lives = [await survives(stage, stage.broker()) for _ in range(3)]
    await stage.produce([(f"host-{number % 30}", "ok") for number in range(90)])
    seconds = {partition: 0.05 for partition in range(6) if partition != home}
    lives += [await survives(stage, Witness(stage, seconds)) for _ in range(3)]
    assert lives == [False] * DEATHS + [True]
    [letter] = await stage.records(stage.pipeline.plan.dead_topic)
    assert dict(letter.headers)["penstock-dead-partition"] == b"%d" % home


async def test_a_task_without_records_has_nothing_to_blame_for_the_deaths_around_it() -> None:
    stage = await filled([])
    for _ in range(8):
        life = asyncio.create_task(survives(stage, stage.broker(), until_idle=None))
        await asyncio.sleep(12)
        life.cancel()
        await asyncio.wait([life])
    await stage.produce([("host-1", "odd")])
    assert await died(stage) == 0
    assert await condemned(stage) == []


async def test_after_trials_the_runs_that_wait_for_an_answer_are_asked_again() -> None:
    stage = await Stage(WATCH).open()
    await stage.produce([("host-1", "failed")] * 2 + [("host-2", "odd")] * 10)
    poison(stage, lambda raw: raw.offset == 5, "feed")
    assert await died(stage) == DEATHS
    told = await stage.told()
    assert [result["answer"] is not None for result in told.results if result["agent"]] == [True] * 2


async def test_after_many_records_that_nobody_died_of_they_are_taken_in_in_batches_again() -> None:
    stage = await filled([("host-1", "odd")] * (TRIALS_MAX + 500))
    faults: Iterator[CommitFault] = iter([None, CrashBefore()] * 3)
    assert not any([await survives(stage, FaultyBroker(stage.broker(), commits=faults)) for _ in range(3)])
    witness = Witness(stage)
    assert (await stage.play(witness, until_idle=12.0)).exit_code == 0
    assert sum(header.trial is not None for header in witness.headers) == TRIALS_MAX
    assert witness.headers[-1].positions["auth"].offset == TRIALS_MAX + 500
