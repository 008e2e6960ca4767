"""Rolling updates: old and new processes side by side, each with its own file, and in the end all goes by the new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stage import WATCH, Stage, Told, compiled, logins
from tests.virtual_time import run_virtually

from penstock.connectors.fault import CommitFault, FaultyBroker, FencedBefore, LostAfter, LostBefore
from penstock.connectors.port import MAIN, TaskId
from penstock.pipelines.deference import DEFER_FIRST
from penstock.pipelines.worker import Summary, Worker
from penstock.state.codec import Joiner
from penstock.state.delta import Delta, Header

VIRTUAL_TIME = True
PARTITIONS = 3
EVENTS = logins(seed=11, count=120, hosts=9)
FEW = EVENTS[:40]
NEW = WATCH.replace("Is {{ key }} under attack?", "Does somebody attack {{ key }}?")
"""The same triggers, so the same runs; another question."""
A, B = compiled(WATCH), compiled(NEW)

faults = st.sampled_from([None, None, None, LostBefore(), LostAfter(), FencedBefore()])
Running = tuple[Worker, asyncio.Task[Summary]]


async def opened_stage(partitions: int = PARTITIONS) -> Stage:
    return await Stage(partitions=partitions).open()


async def undisturbed(events: Sequence[tuple[str, str]], partitions: int = PARTITIONS) -> Told:
    stage = await opened_stage(partitions)
    await stage.produce(events)
    await stage.play()
    return await stage.told()


async def begun(
    stage: Stage,
    text: str,
    *,
    claimed: Sequence[TaskId] = (),
    until_idle: float = 12.0,
    commits: Iterable[CommitFault] = (),
) -> Running:
    """A process with this file, which leaves the group when it has come to its end; `commits` meets its commits."""
    stage.pipeline = compiled(text)
    broker = FaultyBroker(stage.broker(), commits=commits)
    await broker.start()
    worker = stage.worker(broker, until_idle=until_idle, claimed=tuple(claimed))

    async def live() -> Summary:
        summary = await worker.run()
        await broker.close()
        return summary

    return worker, asyncio.create_task(live())


async def stopped(running: Running) -> None:
    running[0].stop()
    assert (await running[1]).exit_code == 0


async def finished(stage: Stage, *running: Running) -> Told:
    for _, life in running:
        summary = await life
        assert (summary.exit_code, summary.problem) == (0, "")
    told = await stage.told()
    told.check()
    return told


@cache
def few_outcomes() -> frozenset[tuple[str, str]]:
    """Of an undisturbed run over FEW."""
    return frozenset(run_virtually(undisturbed(FEW)).outcomes)


class Chronicle:
    """Every delta that was ever committed, also those that the log does not hold any more."""

    def __init__(self, stage: Stage) -> None:
        self.headers: dict[int, list[Header]] = {}
        self._following = asyncio.create_task(self._follow(stage))

    async def _follow(self, stage: Stage) -> None:
        joiner = Joiner()
        async for raw in stage.front.follow(stage.pipeline.layout.log):
            joined = joiner.add(raw)
            if joined is not None and isinstance(joined.entry, Delta):
                self.headers.setdefault(raw.partition, []).append(joined.entry.header)

    async def end(self) -> Chronicle:
        await asyncio.sleep(1)
        self._following.cancel()
        return self

    @property
    def definitions(self) -> dict[int, str]:
        """By partition: which definition followed which, such as `AB`."""
        letters = {A.plan.digest: "A", B.plan.digest: "B"}
        return {
            partition: "".join(letter for letter, _ in groupby(letters[each.definition] for each in headers))
            for partition, headers in sorted(self.headers.items())
        }


async def test_a_rolling_update_ends_with_everything_on_the_new_definition_and_nothing_goes_back() -> None:
    stage = await opened_stage()
    chronicle = Chronicle(stage)
    old = [await begun(stage, WATCH, until_idle=60.0) for _ in range(3)]
    new: list[Running] = []
    await stage.produce(EVENTS[:30], seconds_apart=0.1)
    for number, each in enumerate(old):
        await stopped(each)
        new.append(await begun(stage, NEW))
        await stage.produce(EVENTS[30 + 30 * number : 60 + 30 * number], seconds_apart=0.1)
    told = await finished(stage, *new)
    assert (await chronicle.end()).definitions == dict.fromkeys(range(PARTITIONS), "AB")
    assert told.outcomes.keys() == (await undisturbed(EVENTS)).outcomes.keys()


@given(st.integers(0, 1000), st.lists(faults, max_size=30))
def test_whatever_goes_wrong_meanwhile_nothing_is_lost_or_doubled_and_the_new_definition_has_the_last_word(
    seed: int, commits: list[CommitFault]
) -> None:
    async def run() -> None:
        random, met, stage = Random(seed), iter(commits), await opened_stage()
        chronicle = Chronicle(stage)
        running = [await begun(stage, WATCH, until_idle=40.0, commits=met) for _ in range(3)]
        for number in range(3):
            await stage.produce(FEW[10 * number : 10 * number + 10], seconds_apart=random.choice([0.1, 0.5]))
            await stopped(running.pop(random.randrange(3 - number)))
            running.append(await begun(stage, NEW, until_idle=40.0, commits=met))
        await stage.produce(FEW[30:], seconds_apart=0.1)
        told = await finished(stage, *running)
        last = {each[-1] for each in (await chronicle.end()).definitions.values()}
        assert last == {"B"}
        assert told.outcomes.keys() == few_outcomes()

    few_outcomes()
    run_virtually(run())


async def test_so_does_one_in_which_a_new_process_is_killed_and_old_ones_get_its_task() -> None:
    stage = await opened_stage()
    chronicle = Chronicle(stage)
    old = [await begun(stage, WATCH, until_idle=60.0) for _ in range(2)]
    await stage.produce(EVENTS[:30], seconds_apart=0.1)
    killed = await begun(stage, NEW)
    await stage.produce(EVENTS[30:60], seconds_apart=0.1)
    assert any(keeper.working for keeper in killed[0].keepers)
    killed[1].cancel()
    await asyncio.wait([killed[1]])
    await stage.produce(EVENTS[60:90], seconds_apart=0.5)
    troubles = [keeper.trouble for worker, _ in old for keeper in worker.keepers]
    assert sum("by another definition" in trouble for trouble in troubles) == 1
    new = await begun(stage, NEW)
    for each in old:
        await stopped(each)
    await stage.produce(EVENTS[90:], seconds_apart=0.1)
    told = await finished(stage, new)
    assert (await chronicle.end()).definitions == dict.fromkeys(range(PARTITIONS), "AB")
    assert told.outcomes.keys() == (await undisturbed(EVENTS)).outcomes.keys()


async def test_an_old_process_leaves_a_task_of_a_newer_one_alone_for_a_while_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The new one is gone for good: after a while the old one does its work."""
    stage = await opened_stage(1)
    chronicle = Chronicle(stage)
    old_broker = stage.broker()
    await old_broker.start()
    old = stage.worker(old_broker)
    await asyncio.sleep(1)
    assert (await (await begun(stage, NEW, until_idle=2.0))[1]).exit_code == 0
    await stage.produce(EVENTS)
    began = stage.clock.monotonic()
    running = asyncio.create_task(old.run())
    await asyncio.sleep(DEFER_FIRST / 2)
    [keeper] = old.keepers
    assert not keeper.working
    assert "has worked on it by another definition" in keeper.trouble
    assert keeper.trouble in caplog.text
    assert (await running).exit_code == 0
    assert DEFER_FIRST < stage.clock.monotonic() - began < 2 * DEFER_FIRST
    assert (await chronicle.end()).definitions[0] == "BA"
    assert (await stage.told()).outcomes.keys() == (await undisturbed(EVENTS, 1)).outcomes.keys()


async def test_whoever_rolls_back_is_started_later_and_begins_at_once() -> None:
    stage = await opened_stage(1)
    chronicle = Chronicle(stage)
    await stage.produce(EVENTS)
    for text in (WATCH, NEW, WATCH):
        await asyncio.sleep(1)
        began = stage.clock.monotonic()
        running = await begun(stage, text, until_idle=2.0)
        assert (await running[1]).exit_code == 0
        assert stage.clock.monotonic() - began < DEFER_FIRST
    assert (await chronicle.end()).definitions[0] == "ABA"


async def test_an_old_process_that_takes_a_task_for_its_own_does_not_fight_for_it() -> None:
    """Both believe to own it: without the old one's patience they would fence each other all the time."""
    task = TaskId(MAIN, 0)
    stage = await opened_stage(1)
    chronicle = Chronicle(stage)
    old = await begun(stage, WATCH, claimed=[task], until_idle=60.0)
    await stage.produce(EVENTS[:20], seconds_apart=0.1)
    new = await begun(stage, NEW, claimed=[task], until_idle=60.0)
    await stage.produce(EVENTS[20:], seconds_apart=1.0)
    told = await finished(stage, old, new)
    openings = [header for header in (await chronicle.end()).headers[0] if header.kind == "opened"]
    assert len(openings) < 10
    assert told.outcomes.keys() == (await undisturbed(EVENTS, 1)).outcomes.keys()
