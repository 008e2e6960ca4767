"""Which answers go on where they stopped, and which are asked for anew. How that is done is in `test_agent`."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.operators.agent_plan import AgentPlan, AgentSettings, build_agent
from penstock.operators.continuation import Continues, begun_text, is_continued, never
from penstock.operators.model import ModelSettings
from penstock.operators.run import Firing, Run, call_id
from penstock.operators.view import View

FIELDS = {"verdict": {"enum": ["attack", "benign"]}}
QUESTION = "1f0c"


def always(endpoint: str, question: str) -> bool:
    return True


def agent(request: dict[str, Any] | None = None, **settings: Any) -> AgentPlan:
    model = {"base_url": "http://localhost/v1", "model": "m", "request": request or {}}
    models = {"small": ModelSettings.model_validate(model)}
    return build_agent("judge", AgentSettings.model_validate({"ask": "Well?", **settings}), models, str)


def begun(**changes: Any) -> Run:
    """A run that had said something in its second attempt."""
    firing = Firing(run="0-a", trigger="t", agent="judge", key="k", at=0, cause="c", condition="")
    run = Run(firing=firing, view=View(0, 0, None, None, ""), version="1", definition="d", phase="asking", attempt=2)
    return replace(run, **{"call_id": call_id(QUESTION, 2), "streamed": "It looks like ", **changes})


def test_free_text_of_which_something_is_committed_goes_on() -> None:
    for run in (begun(), begun(phase="repairing"), begun(continued=5)):
        assert is_continued(run, agent(), lambda: QUESTION, always)


@pytest.mark.parametrize(
    ("run", "asked", "question", "continues"),
    [
        pytest.param(begun(streamed=""), agent(), QUESTION, always, id="nothing is committed"),
        pytest.param(begun(streamed=" \n"), agent(), QUESTION, always, id="nothing but space is committed"),
        pytest.param(begun(), agent(), "another", always, id="the question is another one"),
        pytest.param(begun(attempt=3), agent(), QUESTION, always, id="the stream began afresh within its call"),
        pytest.param(begun(), agent(answer=FIELDS), QUESTION, always, id="the answer has fields"),
        pytest.param(begun(), agent({"structured_outputs": {"regex": "a+"}}), QUESTION, always, id="a grammar"),
        pytest.param(begun(), agent({"guided_regex": "a+"}), QUESTION, always, id="a grammar by its former name"),
        pytest.param(begun(streamed="<think> It"), agent(), QUESTION, always, id="thoughts"),
        pytest.param(begun(streamed="so.</think> It"), agent(), QUESTION, always, id="thoughts without a beginning"),
        pytest.param(begun(), agent(), QUESTION, never, id="its endpoint cannot"),
    ],
)
def test_one_reason_is_enough_to_begin_afresh(run: Run, asked: AgentPlan, question: str, continues: Continues) -> None:
    assert not is_continued(run, asked, lambda: question, continues)


def test_the_process_is_asked_about_the_endpoint_and_the_question() -> None:
    assert is_continued(begun(), agent(), lambda: QUESTION, lambda *about: about == ("small", QUESTION))


def test_what_is_given_to_the_call_ends_with_a_word_and_leaves_out_what_was_said_since() -> None:
    assert begun_text(begun()) == ""
    assert begun_text(begun(continued=14)) == "It looks like"
    assert begun_text(begun(continued=9)) == "It looks"
