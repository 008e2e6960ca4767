"""Answers that were paid for and not committed when the task was lost: the process that lives on does not ask again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.stage import Stage, judge

from penstock.connectors.fault import CommitFault, FaultyBroker, FencedBefore, LostAfter, LostBefore
from penstock.connectors.scripted import CutAfter, Say, ScriptedModel, Step

VIRTUAL_TIME = True
COMMITS = 10
"""About as many as these runs make."""


async def asked(stage: Stage, commits: Sequence[CommitFault], script: Sequence[Step] = ()) -> ScriptedModel:
    """One process that lives on, whatever becomes of its commits."""
    model = ScriptedModel(judge, script=script, seconds_per_piece=0.02)
    summary = await stage.play(FaultyBroker(stage.broker(), commits=commits), model, until_idle=60.0)
    assert (summary.exit_code, summary.problem) == (0, "")
    return model


@pytest.mark.parametrize("fault", [LostBefore(), LostAfter(), FencedBefore()], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("position", range(COMMITS))
async def test_no_answer_is_paid_for_twice(fault: CommitFault, position: int) -> None:
    stage = await Stage().open()
    await stage.produce([("host-1", "failed"), ("host-2", "failed")])
    model = await asked(stage, [*[None] * position, fault, fault])
    assert model.count("finished") == 2
    told = await stage.told()
    told.check()
    assert [result["state"] for result in told.results] == ["final", "final"]


@pytest.mark.parametrize("position", range(COMMITS))
async def test_neither_is_a_repair_nor_what_it_repairs(position: int) -> None:
    stage = await Stage().open()
    await stage.produce([("host-1", "failed")])
    model = await asked(stage, [*[None] * position, LostBefore()], [Say("no JSON")])
    texts = [call.text for call in model.calls if call.state == "finished"]
    assert len(texts) == len(set(texts)) == 2
    [result] = (await stage.told()).results
    assert [call["outcome"] for call in result["why"]["route"]] == ["unusable", "answered"]


async def test_what_is_given_again_is_a_new_attempt_to_those_who_watched_the_stream() -> None:
    """The stream breaks after its verdict was shown, and its successor says the opposite: both are one call."""
    answers = iter(['{"verdict": "attack", "why": "' + "so " * 60 + '"}', '{"verdict": "benign", "why": ""}'])
    model = ScriptedModel(lambda request: next(answers), script=[CutAfter(40)], seconds_per_piece=0.02)
    stage = await Stage().open()
    await stage.produce([("host-1", "failed")])
    broker = FaultyBroker(stage.broker(), commits=[None, None, LostBefore()])
    assert (await stage.play(broker, model, until_idle=60.0)).exit_code == 0
    seen = [(record["attempt"], record["answer"]["verdict"]) for record in (await stage.told()).revisions]
    assert seen == [(1, "attack"), (2, "benign")]
