"""Events that a model judges, in a whole worker: answers come late, models go away, processes end in between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.stage import Stage

from penstock.connectors.fault import FaultyBroker, LostAfter, LostBefore
from penstock.connectors.scripted import CutAfter, Overloaded, Refuse, ScriptedModel, Wait
from penstock.operators.event import ChatRequest, EmbedRequest
from penstock.pipelines.fake_vector import simulated_vector

VIRTUAL_TIME = True
DESK = """
penstock: v1
name: desk
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 0s}}
triggers:
  bad: {semantic: event.outcome, model: small, options: [odd, failed, ok], is: failed, agent: none}
  new: {semantic: event.outcome, where: event.outcome != "ok", model: embed, unlike: 1h, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
  embed: {base_url: "http://127.0.0.1:9/v1", model: bge, kind: embedding}
context: {forget: 2h}
"""
LOGINS = [("a", "ok"), ("a", "failed"), ("b", "odd"), ("a", "failed"), ("b", "failed"), ("a", "odd"), ("b", "ok")]
BAD = {("bad", "a", 1), ("bad", "a", 3), ("bad", "b", 4)}
NEW = {("new", "a", 1), ("new", "a", 5), ("new", "b", 2), ("new", "b", 4)}


def said(request: ChatRequest) -> str:
    text = request.messages[-1].content
    return json.dumps(simulated_vector(text)) if isinstance(request, EmbedRequest) else text


def scripted(script: Any = (), **options: Any) -> ScriptedModel:
    return ScriptedModel(said, script=script, **options)


async def told(stage: Stage) -> list[Mapping[str, Any]]:
    """Each result once. Between two triggers it is the faster model that comes first."""
    found = await stage.told()
    assert len(found.outcomes) == len(found.results)
    return [*found.results]


def fired(results: list[Mapping[str, Any]]) -> set[tuple[str, str, int]]:
    return {(each["triggers"][0], each["key"], int(each["why"]["fired_by"].rpartition("@")[2])) for each in results}


async def test_a_bounded_input_is_over_when_all_of_it_is_judged() -> None:
    """Once it is over, time has passed everything, and its keys are forgotten."""
    stage = await Stage(DESK).open()
    await stage.produce(LOGINS)
    model = scripted(seconds_per_piece=0.5)
    await stage.play(model=model, bounded=True)
    results = await told(stage)
    assert fired(results) == BAD | NEW
    assert all(each["simulated"] and not each["end"] for each in results)
    assert len(model.calls) == 5, "three texts are asked about once, two of them also for their vectors"


async def test_a_model_that_is_away_for_a_while_is_waited_for() -> None:
    stage = await Stage(DESK).open()
    await stage.produce(LOGINS)
    script = [Overloaded(3.0), CutAfter(0), Wait(5), CutAfter(0), Overloaded(None), CutAfter(0)]
    await stage.play(model=scripted(script))
    assert fired(await told(stage)) == BAD | NEW


async def test_what_no_model_judges_holds_nothing_up() -> None:
    def refusing(request: ChatRequest, before: int) -> Refuse | None:
        return Refuse() if request.messages[-1].content == "failed" else None

    stage = await Stage(DESK).open()
    await stage.produce(LOGINS)
    await stage.play(model=scripted(refusing))
    assert fired(await told(stage)) == {("new", "a", 5), ("new", "b", 2)}


@pytest.mark.parametrize("fault", [LostBefore(), LostAfter()])
async def test_who_opens_the_task_next_asks_again_and_tells_the_same(fault: LostBefore | LostAfter) -> None:
    for before in range(1, 7):
        stage = await Stage(DESK).open()
        await stage.produce(LOGINS)
        broker = FaultyBroker(stage.broker(), commits=[*[None] * before, fault])
        await stage.play(broker, scripted(seconds_per_piece=0.3), until_idle=60.0)
        assert fired(await told(stage)) == BAD | NEW, f"lost after {before} commits"
