"""Waiting for the world to be there: only where waiting can help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
from tests.stage import judge
from tests.virtual_time import VirtualClock

from penstock.connectors.scripted import ScriptedModel
from penstock.operators.error import Unanswered, Unreachable
from penstock.operators.plan import Plan
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.starting import ATTEMPTS, find_models, patiently

VIRTUAL_TIME = True
PIPELINE = """
penstock: v1
name: watch
sources:
  auth: {topic: auth, key: event.host}
triggers:
  failed: {each: 'event.outcome == "failed"', agent: judge}
  odd: {each: event.outcome == "odd", agent: clerk}
  plain: {each: event.outcome == "ok", agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
  large: {base_url: "http://127.0.0.1:9/v1", model: huge}
  spare: {base_url: "http://127.0.0.1:9/v1", model: old}
agents:
  judge: {models: [small, large], ask: "Is {{ key }} under attack?"}
  clerk: {models: [small], ask: "What is {{ key }}?"}
  idle: {models: [spare], ask: Why?}
"""
CLOSED = Unanswered("cannot be reached: connection refused", where="model small at http://s/v1", remedy="start it")
OTHER = Unreachable("does not serve huge", where="model large at http://l/v1", remedy="write another `model`")


def failing(*errors: Unreachable) -> Callable[[], Awaitable[str]]:
    """Raises one after the other, then works."""
    waiting = list(errors)

    async def attempt() -> str:
        if waiting:
            raise waiting.pop(0)
        return "there"

    return attempt


async def test_somebody_who_does_not_answer_yet_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    attempt = failing(*[Unanswered("no broker answers", where="kafka here")] * (ATTEMPTS - 1))
    assert await patiently(attempt, clock, Random(1)) == "there"
    assert caplog.messages == ["kafka here: no broker answers; trying again"] * (ATTEMPTS - 1)
    assert clock.monotonic() > 0


async def test_somebody_who_never_answers_is_given_up_after_a_few_tries() -> None:
    with pytest.raises(Unanswered):
        await patiently(failing(*[Unanswered("no broker answers")] * ATTEMPTS), VirtualClock(), Random(1))


async def test_what_answers_and_is_not_as_needed_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unreachable, match="topic auth does not exist"):
        await patiently(failing(Unreachable("topic auth does not exist")), VirtualClock(), Random(1))
    assert caplog.messages == []


class Probed(ScriptedModel):
    """Counts who asks whether it is there; `trouble` is what they hear."""

    def __init__(self, trouble: Unreachable | None = None) -> None:
        super().__init__(judge)
        self.trouble, self.probes = trouble, 0

    async def probe(self) -> str:
        self.probes += 1
        if self.trouble is not None:
            raise self.trouble
        return await super().probe()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return compile_pipeline(load_pipeline([tmp_path / "pipeline.yaml"], environ={})).plan


async def test_every_model_that_may_be_asked_is_asked_once_whether_it_is_there(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    models = {"small": Probed(), "large": Probed(), "spare": Probed(CLOSED)}
    await find_models(plan, models)
    assert [model.probes for model in models.values()] == [1, 1, 0], (
        "no trigger asks the agent that would ask the spare"
    )
    assert caplog.messages == []


async def test_a_model_that_is_away_is_a_warning_as_long_as_every_agent_has_another(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    await find_models(plan, {"small": Probed(), "large": Probed(OTHER), "spare": Probed()})
    assert caplog.messages == [f"{OTHER}; the agents that would ask it have another model"]


async def test_an_agent_without_any_model_is_named_with_its_models_and_what_to_do(plan: Plan) -> None:
    with pytest.raises(Unanswered) as refused:
        await find_models(plan, {"small": Probed(CLOSED), "large": Probed(), "spare": Probed()})
    assert str(refused.value) == (
        "agent clerk: no model to ask: model small at http://s/v1 cannot be reached: connection refused (start it)"
    )


async def test_of_several_agents_without_a_model_each_model_is_named_once(plan: Plan) -> None:
    with pytest.raises(Unanswered) as refused:
        await find_models(plan, {"small": Probed(CLOSED), "large": Probed(OTHER), "spare": Probed()})
    assert str(refused.value) == (
        "agents judge, clerk: no model to ask: model small at http://s/v1 cannot be reached: connection refused; "
        "model large at http://l/v1 does not serve huge (start it; write another `model`)"
    )


async def test_waiting_is_of_no_use_to_an_agent_whose_models_all_answer_and_refuse(plan: Plan) -> None:
    with pytest.raises(Unreachable) as refused:
        await find_models(plan, {"small": Probed(OTHER), "large": Probed(CLOSED), "spare": Probed()})
    assert type(refused.value) is Unreachable


async def test_a_model_server_that_starts_beside_us_is_waited_for(plan: Plan) -> None:
    late = Probed(CLOSED)
    models = {"small": late, "large": Probed(), "spare": Probed()}

    async def attempt() -> None:
        late.trouble = CLOSED if late.probes < 2 else None
        await find_models(plan, models)

    await patiently(attempt, VirtualClock(), Random(1))
    assert late.probes == 3
