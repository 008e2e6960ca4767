from __future__ import annotations

import asyncio
import logging

import pytest
from tests.stage import WATCH, Stage, judge, logins

from penstock.connectors.fault import Away, FaultyBroker, FencedBefore, LostBefore
from penstock.connectors.membership import Terms
from penstock.connectors.scripted import Refuse, ScriptedModel, Wait
from penstock.pipelines.worker import FIRST_TASK_SECONDS

VIRTUAL_TIME = True
EVENTS = logins(seed=3, count=60)


@pytest.fixture
async def stage() -> Stage:
    return await Stage().open()


async def test_an_idle_process_ends_by_itself_and_says_what_it_did(stage: Stage) -> None:
    await stage.produce(EVENTS)
    summary = await stage.play()
    told = await stage.told()
    failed = sum(outcome == "failed" for _, outcome in EVENTS)
    assert (summary.exit_code, summary.problem) == (0, "")
    assert summary.counts["fired", "failed"] == failed
    assert summary.ledgers["small"].answered == sum(record["agent"] == "judge" for record in told.results)
    assert summary.ledgers["small"].input_tokens > 0


async def test_what_was_done_again_after_a_loss_does_not_count_twice(stage: Stage) -> None:
    other = await Stage().open()
    await stage.produce(EVENTS)
    await other.produce(EVENTS)
    undisturbed = await stage.play()
    faults = [None, LostBefore(), None, FencedBefore(), FencedBefore(), None, None, LostBefore()]
    disturbed = await other.play(FaultyBroker(other.broker(), commits=faults))
    assert disturbed.counts == undisturbed.counts


async def test_results_that_failed_or_are_less_than_was_asked_for_are_counted_as_they_are_committed() -> None:
    fallback = "    fallback: {verdict: benign, why: nobody was there}\n"
    for text, word in ((WATCH, "failed"), (WATCH + fallback, "degraded")):
        stage = await Stage(text).open()
        await stage.produce(EVENTS)
        summary = await stage.play(model=ScriptedModel(judge, script=[Refuse(), None, Refuse()]))
        results = [record for record in (await stage.told()).results if record["state"] != "resolved"]
        bad = [record for record in results if record["state"] == "failed" or record["degraded"]]
        assert {what: count for what, count in summary.counts.items() if what[0] in ("failed", "degraded")} == {
            (word, "judge"): len(bad)
        }
        assert len(bad) == 2


async def test_a_process_with_open_runs_is_not_idle(stage: Stage) -> None:
    await stage.produce([("host-1", "failed")])
    await stage.play(model=ScriptedModel(lambda request: '{"verdict": "benign", "why": ""}', script=[Wait(30.0)]))
    assert [record["state"] for record in (await stage.told()).results] == ["final"]


async def test_a_process_that_is_never_given_a_task_ends_only_when_it_should_have_got_one(stage: Stage) -> None:
    await stage.play(until_idle=1.0)
    holder, spare = stage.broker(), stage.broker()
    await holder.start()
    await spare.start()
    holding = stage.worker(holder, until_idle=None)
    kept = asyncio.create_task(holding.run())
    await asyncio.sleep(5)
    summary = await stage.worker(spare, until_idle=1.0).run()
    holding.stop()
    await kept
    assert summary.exit_code == 0
    assert summary.seconds >= FIRST_TASK_SECONDS


async def test_a_process_is_not_idle_before_the_tasks_of_one_that_died_are_its_own() -> None:
    stage = await Stage(partitions=2).open()
    await stage.produce([(f"host-{number}", "odd") for number in range(8)])
    dead, heir = (stage.broker(terms=Terms(session=10_000, handover=1_000)) for _ in range(2))
    for broker in (dead, heir):
        await broker.start()
    await anext(aiter(dead.tasks()))
    summary = await stage.worker(heir, until_idle=1.0).run()
    assert summary.counts["fired", "odd"] == 8


async def test_a_broker_that_is_away_is_waited_for_and_named_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.produce(EVENTS)
    with caplog.at_level(logging.INFO, "penstock"):
        summary = await stage.play(FaultyBroker(stage.broker(), opens=[Away()] * 5))
    assert summary.exit_code == 0
    assert (await stage.told()).outcomes
    lines = [record.message for record in caplog.records if record.name == "penstock.task"]
    assert len(lines) == 2
    assert "dev.watch/0 is not open" in lines[0]
    assert "the broker is away" in lines[0]
    assert lines[1] == "dev.watch/0 opened in 0 ms"


async def test_stopping_ends_a_process_that_would_go_on_for_ever(stage: Stage) -> None:
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=None)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(100)
    assert not running.done()
    worker.stop()
    assert (await running).exit_code == 0


async def test_an_idle_task_commits_once_an_hour(stage: Stage) -> None:
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, until_idle=None)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(10)
    before = len(await stage.records(stage.pipeline.layout.log))
    await asyncio.sleep(3 * 3600)
    assert len(await stage.records(stage.pipeline.layout.log)) == before + 3
    worker.stop()
    await running
