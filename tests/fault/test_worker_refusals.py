"""What a worker does when it is told no: by a topic, by a busy model, by another deployment, by its own log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.stage import Stage, Told, judge, logins

from penstock.connectors.fault import FaultyBroker, RefusedFirst
from penstock.connectors.port import MAIN, TaskId
from penstock.connectors.scripted import Overloaded, ScriptedModel, Step
from penstock.operators.event import ChatRequest
from penstock.operators.record import Raw
from penstock.pipelines.endpoint import EndpointLimits
from penstock.pipelines.worker import Worker

EVENTS = logins(seed=3, count=60)
BUSY_SECONDS = 20.0
VIRTUAL_TIME = True


@pytest.fixture
async def stage() -> Stage:
    """All events have come already."""
    return await filled()


@pytest.fixture
async def undisturbed() -> Told:
    stage = await filled()
    await stage.play()
    return await stage.told()


async def filled() -> Stage:
    stage = await Stage().open()
    await stage.produce(EVENTS)
    return stage


def header(raw: Raw, name: str) -> str:
    return dict(raw.headers)[name].decode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(0.01)


async def test_a_refused_output_becomes_a_dead_letter_and_everything_else_is_committed(
    stage: Stage, undisturbed: Told
) -> None:
    summary = await stage.play(FaultyBroker(stage.broker(), commits=[None, RefusedFirst("too odd")]))
    told = await stage.told()
    [letter] = await stage.records(stage.pipeline.plan.dead_topic)
    assert (summary.exit_code, summary.counts["dead", "refused"]) == (0, 1)
    assert (header(letter, "penstock-dead-reason"), header(letter, "penstock-dead-detail")) == ("refused", "too odd")
    run = header(letter, "penstock-dead-id").rpartition("/")[0]
    assert undisturbed.outcomes.keys() - told.outcomes.keys() == {(run, "final")}
    assert told.outcomes.items() <= undisturbed.outcomes.items()


async def test_results_that_are_too_large_for_their_topics_become_dead_letters_and_no_loop(
    stage: Stage, undisturbed: Told
) -> None:
    def talkative(request: ChatRequest) -> str:
        if "host-1" not in request.messages[-1].content:
            return judge(request)
        return json.dumps({"verdict": "benign", "why": "on and on " * 2_000})

    model = ScriptedModel(talkative)
    summary = await stage.play(stage.broker(record_bytes_max=16_000), model)
    told = await stage.told()
    letters = await stage.records(stage.pipeline.plan.dead_topic)
    assert (summary.exit_code, summary.counts["dead", "refused"]) == (0, len(letters))
    lost = {(header(letter, "penstock-dead-id").rpartition("/")[0], "final") for letter in letters}
    assert lost
    assert undisturbed.outcomes.keys() - told.outcomes.keys() == lost
    assert {letter.key for letter in letters} == {b"host-1"}


async def test_a_busy_endpoint_pauses_intake_until_it_answers_and_no_run_fails(stage: Stage, undisturbed: Told) -> None:
    def script(request: ChatRequest, before: int) -> Step:
        return Overloaded(1.0) if stage.clock.monotonic() < BUSY_SECONDS else None

    worker, running = await begun(stage, ScriptedModel(judge, script=script), batch=10)
    await until(lambda: paused(worker) == {"auth"})
    [keeper] = worker.keepers
    assert keeper.session is not None
    read = keeper.session.progress["auth"].position
    await stage.clock.sleep(BUSY_SECONDS / 2)
    assert paused(worker) == {"auth"}
    assert keeper.session.progress["auth"].position <= read + 2 * 10, "at most what was fetched already is read on"
    assert (await running).exit_code == 0
    assert (await stage.told()).outcomes == undisturbed.outcomes


async def test_a_long_queue_for_seats_pauses_intake_and_it_goes_on_when_the_queue_is_shorter(
    stage: Stage, undisturbed: Told
) -> None:
    limits = {"small": EndpointLimits(concurrency=1, queue=2)}
    worker, running = await begun(stage, ScriptedModel(judge, seconds_per_piece=0.05), batch=10, limits=limits)
    await until(lambda: paused(worker) == {"auth"})
    await until(lambda: not paused(worker))
    assert (await running).exit_code == 0
    assert (await stage.told()).outcomes == undisturbed.outcomes


async def test_a_second_deployment_under_the_same_name_ends_one_of_the_two_and_names_both(
    stage: Stage, undisturbed: Told
) -> None:
    rightful, ours = await begun(stage, owner="here/1")
    await until(lambda: bool(rightful.keepers and rightful.keepers[0].working))
    _, theirs = await begun(stage, owner="there/2", claimed=(TaskId(MAIN, 0),), until_idle=30.0)
    summary = await ours
    assert summary.exit_code == 4
    assert "here/1" in summary.problem
    assert "there/2" in summary.problem
    assert (await theirs).exit_code == 0
    assert (await stage.told()).outcomes == undisturbed.outcomes


async def test_a_log_that_somebody_else_wrote_to_stops_the_worker_for_good(stage: Stage) -> None:
    await stage.play()
    await stage.front.produce(stage.pipeline.layout.log, b"k", b"not ours")
    summary = await stage.play()
    assert summary.exit_code == 4
    assert stage.pipeline.layout.log in summary.problem


async def test_a_bug_ends_the_process_with_a_sentence_and_what_was_not_committed_is_done_by_the_next(
    stage: Stage, undisturbed: Told
) -> None:
    def wrong(request: ChatRequest) -> str:
        raise ZeroDivisionError("in the model's client")

    summary = await stage.play(model=ScriptedModel(wrong))
    assert summary.exit_code == 1
    assert "ZeroDivisionError: in the model's client" in summary.problem
    assert (await stage.play()).exit_code == 0
    assert (await stage.told()).outcomes == undisturbed.outcomes


async def begun(stage: Stage, model: ScriptedModel | None = None, **options: object) -> tuple[Worker, asyncio.Task]:  # type: ignore[type-arg]
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, model, **options)
    return worker, asyncio.create_task(worker.run())


def paused(worker: Worker) -> set[str]:
    sessions = [keeper.session for keeper in worker.keepers if keeper.session is not None]
    return {topic for session in sessions for topic in session.paused}


async def test_a_dead_letter_whose_key_alone_is_too_large_loses_its_key_and_does_not_stop_the_worker() -> None:
    stage = await Stage().open()
    await stage.front.produce("auth", b"k" * 20_000, b"not JSON")
    await stage.produce([("host-1", "odd")])
    summary = await stage.play(stage.broker(record_bytes_max=16_000))
    assert (summary.exit_code, summary.problem) == (0, "")
    assert [record["state"] for record in (await stage.told()).results] == ["final"]
    [letter] = await stage.records(stage.pipeline.plan.dead_topic)
    assert (letter.key, header(letter, "penstock-dead-id")) == (None, "auth/0@0")
