"""Answers under way when a process ends: those that come in time are kept, the others go on where they stopped."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from tests.stage import WATCH, Stage, Told, compiled, judge

from penstock.connectors.fault import (
    CommitFault,
    CrashAfter,
    CrashBefore,
    FaultyBroker,
    FencedBefore,
    LostAfter,
    LostBefore,
)
from penstock.connectors.scripted import Refuse, ScriptedModel, Step
from penstock.operators.event import ChatRequest
from penstock.pipelines.endpoint import EndpointLimits
from penstock.pipelines.run import Ending
from penstock.pipelines.torture_story import Story
from penstock.pipelines.worker import LAST_COMMIT_SECONDS_MAX, Worker

VIRTUAL_TIME = True
SPOKEN = WATCH.replace("    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}\n", "")
"""Answers in free text."""
MUTE = SPOKEN.replace("    partials: {every: 100ms}\n", "")
"""Nothing of an answer is shown before it is whole."""
FAILED = [("host-1", "failed")]
RELEASE_SECONDS = 10.0


def speech(request: ChatRequest) -> str:
    return f"{judge(request)} That is what I think of it.\n\nAnd that is all.\n"


def speaker(seconds_per_piece: float, **options: Any) -> ScriptedModel:
    return ScriptedModel(speech, seconds_per_piece=seconds_per_piece, **options)


def slow(**options: Any) -> ScriptedModel:
    """An answer takes half a minute: no process that is stopped waits for it."""
    return speaker(0.5, **options)


async def begun(stage: Stage, model: ScriptedModel, **options: Any) -> tuple[Worker, asyncio.Task[float]]:
    """A process that works until it is stopped; its task tells how long it took to leave."""
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, model, until_idle=None, **options)

    async def live() -> float:
        summary = await worker.run()
        assert (summary.exit_code, summary.problem) == (0, "")
        await broker.close()
        return stage.clock.monotonic()

    return worker, asyncio.create_task(live())


async def stopped_after(seconds: float, stage: Stage, model: ScriptedModel, **options: Any) -> float:
    """Seconds that the process needed to leave."""
    worker, life = await begun(stage, model, **options)
    await asyncio.sleep(seconds)
    at = stage.clock.monotonic()
    worker.stop()
    return await life - at


async def finals(stage: Stage) -> list[Any]:
    told = await stage.told()
    told.check()
    check_streams(told)
    return [record for record in told.results if record["state"] != "resolved"]


def check_streams(told: Told) -> None:
    """Revisions without a gap; within an attempt nothing is taken back."""
    stories: dict[str, Story] = defaultdict(Story)
    assert [problem for record in told.revisions for problem in stories[record["run"]].told(record)] == []


# --- stopped --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 3.3, 7.0, 13.0])
@pytest.mark.parametrize("pipeline", [SPOKEN, MUTE], ids=["shown", "not shown"])
async def test_a_stopped_process_hands_over_every_word_and_none_is_paid_for_twice(
    pipeline: str, seconds: float
) -> None:
    stage = await Stage(pipeline).open()
    await stage.produce(FAILED)
    model = slow()
    await stopped_after(seconds, stage, model)
    await stage.play(model=model)
    first, second = model.calls
    assert second.request.continued == first.text.rstrip()
    assert first.text.rstrip() + second.text == speech(first.request)
    [final] = await finals(stage)
    assert (final["text"], final["attempt"]) == (speech(first.request), 1)
    assert [call["outcome"] for call in final["why"]["route"]] == ["interrupted", "answered"]


async def test_how_often_it_is_stopped_makes_no_difference() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = slow()
    for _ in range(4):
        await stopped_after(1.0, stage, model, release_seconds=1.0)
    await stage.play(model=model)
    [final] = await finals(stage)
    assert (final["text"], final["attempt"]) == (speech(model.calls[0].request), 1)
    assert final["usage"]["calls"] == len(model.calls) == 5
    assert sum(len(call.text) for call in model.calls) < len(final["text"]) + len(model.calls)


async def test_an_answer_that_comes_in_time_is_committed_on_the_way_out() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = speaker(0.1)
    left_after = await stopped_after(1.0, stage, model)
    assert 1.0 < left_after < RELEASE_SECONDS - LAST_COMMIT_SECONDS_MAX
    assert [final["text"] for final in await finals(stage)] == [speech(model.calls[0].request)]
    await stage.play(model=model)
    assert model.count("finished") == len(model.calls) == 1


async def test_the_time_for_leaving_is_bounded_and_enough_for_the_last_commit() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    left_after = await stopped_after(1.0, stage, slow(), release_seconds=RELEASE_SECONDS)
    assert left_after == pytest.approx(RELEASE_SECONDS - LAST_COMMIT_SECONDS_MAX, abs=0.1)


async def test_what_waits_for_a_seat_is_not_begun_on_the_way_out() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce([("host-1", "failed"), ("host-2", "failed")])
    model = speaker(0.1)
    await stopped_after(1.0, stage, model, limits={"small": EndpointLimits(concurrency=1)})
    assert len(model.calls) == 1
    await stage.play(model=model)
    assert len(await finals(stage)) == len(model.calls) == 2


async def test_nothing_is_said_after_the_task_was_taken_on_the_way_out() -> None:
    """The answer comes while it waits, and it is not told: the log is somebody else's."""
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    worker, life = await begun(stage, speaker(0.1))
    await asyncio.sleep(1.0)
    worker.stop()
    await asyncio.sleep(0.5)
    [keeper] = worker.keepers
    written = await stage.records(stage.pipeline.layout.log)
    keeper.ask_to_end(Ending.DROP)
    await life
    assert await stage.records(stage.pipeline.layout.log) == written
    assert await finals(stage) == []


# --- handed over to another process ---------------------------------------------------------------------------------


async def test_a_process_that_joins_goes_on_with_the_answers_of_the_tasks_that_it_is_given() -> None:
    stage = await Stage(SPOKEN, partitions=2).open()
    hosts = [f"host-{number}" for number in range(4)]
    await stage.produce([(host, "failed") for host in hosts])
    model = slow()
    one, one_lives = await begun(stage, model)
    await asyncio.sleep(5.0)
    two, two_lives = await begun(stage, model)
    await asyncio.sleep(120.0)
    assert len(one.keepers) == len(two.keepers) == 1
    one.stop()
    two.stop()
    await asyncio.gather(one_lives, two_lives)
    told = await finals(stage)
    assert sorted(final["key"] for final in told) == hosts
    assert {final["attempt"] for final in told} == {1}
    moved = [call for call in model.calls if call.request.continued]
    assert moved
    assert len(model.calls) == len(hosts) + len(moved)


# --- killed ---------------------------------------------------------------------------------------------------------

FAULTS: list[CommitFault] = [CrashBefore(), CrashAfter(), LostBefore(), LostAfter(), FencedBefore()]
COMMITS = 12
"""About as many as a run with one answer makes."""


async def lived_through(stage: Stage, model: ScriptedModel, commits: Sequence[CommitFault]) -> None:
    faults = iter(commits)
    for _ in range(20):
        summary = await stage.play(FaultyBroker(stage.broker(), commits=faults), model, until_idle=11.0)
        if summary.exit_code == 0:
            return
        assert "Crash" in summary.problem, summary.problem
    raise AssertionError("twenty processes did not come to an end")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("position", range(COMMITS))
async def test_killed_at_any_commit_the_text_is_that_of_an_undisturbed_run(fault: CommitFault, position: int) -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = speaker(0.05)
    await lived_through(stage, model, [*[None] * position, fault, None, fault])
    [final] = await finals(stage)
    assert final["text"] == speech(model.calls[0].request)
    assert final["usage"]["calls"] <= len(model.calls)
    told = await stage.told()
    if isinstance(fault, CrashBefore | CrashAfter) and len(told.revisions) > 1:
        assert {record["attempt"] for record in told.revisions} == {told.revisions[0]["attempt"]}


async def test_after_a_crash_only_what_was_not_committed_is_generated_again() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = speaker(0.05)
    await lived_through(stage, model, [*[None] * 5, CrashBefore()])
    shown = [record["text"] for record in (await stage.told()).revisions]
    first, second = model.calls
    assert second.request.continued in {text.rstrip() for text in shown}
    assert second.request.continued + second.text == shown[-1] == speech(first.request)


# --- asked anew -----------------------------------------------------------------------------------------------------


async def test_where_the_server_does_not_continue_texts_it_is_asked_anew() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = slow(continues=False)
    await stopped_after(3.0, stage, model)
    await stage.play(model=model)
    [final] = await finals(stage)
    assert [call.request.continued for call in model.calls] == ["", ""]
    assert (final["text"], final["attempt"]) == (speech(model.calls[0].request), 2)


async def test_an_answer_with_fields_is_asked_for_anew() -> None:
    stage = await Stage(WATCH).open()
    await stage.produce(FAILED)
    model = ScriptedModel(judge, seconds_per_piece=0.5)
    await stopped_after(3.0, stage, model)
    await stage.play(model=model)
    [final] = (await stage.told()).results
    assert [call.request.continued for call in model.calls] == ["", ""]
    assert (final["state"], final["attempt"]) == ("final", 2)


async def test_a_server_that_refuses_to_continue_is_asked_anew() -> None:
    def refusing(request: ChatRequest, asked_before: int) -> Step:
        return Refuse("no such field") if request.continued else None

    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = slow(script=refusing)
    await stopped_after(3.0, stage, model)
    await stage.play(model=model)
    [final] = await finals(stage)
    assert (final["state"], final["text"]) == ("final", speech(model.calls[0].request))
    assert [call["outcome"] for call in final["why"]["route"]] == ["interrupted", "invalid", "answered"]


async def test_a_file_that_asks_otherwise_now_leaves_what_was_being_said_to_the_question_it_answers() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce(FAILED)
    model = slow()
    await stopped_after(3.0, stage, model)
    stage.pipeline = compiled(SPOKEN.replace("    ask:", "    system: Be brief.\n    ask:"))
    await stage.play(model=model)
    [final] = await finals(stage)
    before, after = model.calls
    assert (after.request.messages, final["attempt"]) == (before.request.messages, 1)
    assert after.request.continued
