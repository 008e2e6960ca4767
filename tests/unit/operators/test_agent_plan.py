from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.operators.agent_plan import AgentPlan, AgentSettings, build_agent
from penstock.operators.error import Rejected
from penstock.operators.model import ModelSettings

MODELS = {
    name: ModelSettings(base_url="http://localhost/v1", model=f"org/{name}", request={"seed": 1}) for name in ("b", "a")
}
FILES = {
    "system.md": "From a file.\n",
    "answer.json": '{"type": "object", "properties": {"x": {"type": "integer"}}}',
    "broken.json": "{",
}


def settings(**changed: Any) -> AgentSettings:
    return AgentSettings.model_validate({"ask": "What now?", **changed})


def build(**changed: Any) -> AgentPlan:
    return build_agent("watch", settings(**changed), MODELS, FILES.__getitem__)


def test_the_defaults_are_those_of_a_careful_operator() -> None:
    plan = build()
    assert [endpoint.name for endpoint in plan.endpoints] == ["b", "a"]
    assert plan.endpoints[0].model == "org/b"
    assert plan.endpoints[0].parameters == {"temperature": 0, "seed": 1, "max_tokens": 1024}
    assert (plan.time_limit, plan.partial_every, plan.preview, plan.fallback) == (60_000, None, False, None)


def test_models_are_tried_in_the_order_of_the_agent() -> None:
    assert [endpoint.name for endpoint in build(models=["a"]).endpoints] == ["a"]


def test_texts_and_schemas_may_stand_in_files() -> None:
    plan = build(system={"file": "system.md"}, answer={"file": "answer.json"}, fallback={"x": 1})
    assert plan.system.startswith("From a file.\n\nAnswer with one JSON object")
    assert plan.shape is not None
    assert list(plan.shape.fields) == ["x"]


def test_an_answer_may_have_a_field_called_file() -> None:
    plan = build(answer={"file": {"type": "string"}})
    assert plan.shape is not None
    assert list(plan.shape.fields) == ["file"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answer": {"verdict": {"type": "text"}}}, "verdict: 'text' is no type"),
        ({"answer": {}}, "needs `properties`"),
        ({"answer": {"a": {"type": "string"}}, "fallback": {"a": 1}}, "`fallback` does not fit `answer`: it's 'a'"),
        ({"fallback": {"a": 1}}, "`fallback` needs `answer`"),
        ({"models": []}, "at least 1 item"),
        ({"limits": {"steps": 3}}, "Extra inputs"),
        ({"limits": {"time": "0s"}}, "greater than 0"),
        ({"stale": "merge"}, "Input should be 'queue'"),
        ({"loop": "plan"}, "Input should be 'once'"),
        ({"system": {"file": "x", "other": "y"}}, "valid string"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ["a", "c"]}, "agents.watch.models: there is no model 'c'"),
        ({"answer": {"file": "broken.json"}}, "agents.watch.answer: broken.json: "),
        ({"answer": {"file": "answer.json"}, "fallback": {"x": ""}}, "agents.watch: `fallback` does not fit"),
    ],
)
def test_what_only_the_whole_file_shows_is_refused_with_its_place(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        build(**changed)


def test_without_any_model_there_is_nobody_to_ask() -> None:
    with pytest.raises(Rejected, match="there is no model to ask"):
        build_agent("watch", settings(), {}, FILES.__getitem__)
