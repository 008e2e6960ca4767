"""Runs in numbers and in conditions that nobody hopes for: each of them still ends once."""

from __future__ import annotations

import asyncio

from tests.stage import WATCH, Stage, Told, compiled, judge

from penstock.connectors.scripted import CutAfter, Refuse, ScriptedModel, Step, Wait

VIRTUAL_TIME = True
UNASKABLE = WATCH.replace(
    "ask: Is {{ key }} under attack?",
    "ask: '{% if trigger.name == \"odd\" %}{{ key.nothing.at.all }}{% endif %}Is {{ key }} under attack?'",
).replace("agent: none", "agent: judge")
"""The question about odd events cannot be written down."""
MANY = 1_500


async def test_thousands_of_runs_that_cannot_be_asked_end_behind_one_that_is_slow() -> None:
    stage = await Stage(UNASKABLE).open()
    await stage.produce([("host-1", "failed"), *[("host-1", "odd")] * MANY])
    summary = await stage.play()
    assert (summary.exit_code, summary.problem) == (0, "")
    states = [record["state"] for record in (await stage.told()).results]
    assert states == ["final", *["failed"] * MANY]


MODEL = 'small: {base_url: "http://127.0.0.1:9/v1", model: tiny}'
TWO_MODELS = WATCH.replace(MODEL, f"{MODEL}\n  {MODEL.replace('small', 'large')}")


async def told_after_change(before: str, after: str, script: list[Step]) -> Told:
    """Two logins of one host fail; while the first is asked about, the process is stopped and the file changed."""
    stage = await Stage(before).open()
    await stage.produce([("host-1", "failed")] * 2)
    broker = stage.broker()
    await broker.start()
    worker = stage.worker(broker, ScriptedModel(judge, script=script), until_idle=None)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(5)
    worker.stop()
    await working
    await broker.close()
    stage.pipeline = compiled(after)
    summary = await stage.play()
    assert (summary.exit_code, summary.problem) == (0, "")
    told = await stage.told()
    told.check()
    return told


async def test_runs_whose_agent_was_taken_out_of_the_file_finish_as_they_began() -> None:
    told = await told_after_change(WATCH, WATCH.replace("judge", "umpire"), [Wait(30)])
    assert [(record["state"], record["agent"]) for record in told.results] == [("final", "judge")] * 2
    assert {record["definition"] for record in told.results} == {compiled(WATCH).plan.digest}


async def test_runs_whose_models_were_all_taken_out_of_the_file_fail_and_say_so() -> None:
    told = await told_after_change(WATCH, WATCH.replace("small:", "large:"), [Wait(30)])
    assert [(record["state"], record["reason"]) for record in told.results] == [
        (
            "failed",
            "the definition that it began under cannot be had any more: the file has no model 'small' any more",
        )
    ] * 2


async def test_a_run_whose_model_was_taken_out_of_the_file_goes_on_with_the_last_one_left() -> None:
    told = await told_after_change(TWO_MODELS, WATCH, [Refuse(), Wait(30)])
    assert [record["state"] for record in told.results] == ["final", "final"]
    assert [call["model"] for call in told.results[0]["why"]["route"]] == ["small", "small"]


async def test_an_answer_that_does_not_go_on_from_what_was_shown_is_a_new_attempt() -> None:
    """The stream breaks after its verdict was shown; asked once more the model says the opposite, faster than it is shown."""
    answers = iter(['{"verdict": "attack", "why": "' + "so " * 60 + '"}', '{"verdict": "benign", "why": ""}'])
    model = ScriptedModel(lambda request: next(answers), script=[CutAfter(40)], seconds_per_piece=0.02)
    stage = await Stage().open()
    await stage.produce([("host-1", "failed")])
    await stage.play(model=model)
    seen = [(record["attempt"], record["answer"]["verdict"]) for record in (await stage.told()).revisions]
    assert seen == [(1, "attack"), (2, "benign")]
