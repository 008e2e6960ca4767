"""What the log keeps of a file's agents, and what becomes of it under another file."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline

PIPELINE = """
penstock: v1
name: kept
sources: {any: {topic: any}}
triggers: {any: {each: has(event.x), agent: judge}}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, api_key: "${file:key}"}
  large: {base_url: "http://127.0.0.1:9/v1", model: huge}
agents:
  judge:
    system: {file: system.md}
    ask: Is it ${WHAT}?
    answer: {file: answer.json}
"""
SCHEMA = (
    '{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false}'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "system.md": "Be brief.",
        "answer.json": SCHEMA,
        "key": "hush-hush",
        "words": "secret words",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def plan_of(folder: Path, text: str = PIPELINE, what: str = "bad") -> Plan:
    (folder / "pipeline.yaml").write_text(text)
    loaded = load_pipeline([folder / "pipeline.yaml"], environ={"WHAT": what})
    assert loaded.spec is not None, [problem.message for problem in loaded.problems]
    return compile_pipeline(loaded).plan


def test_an_agent_comes_back_as_it_was_with_the_files_that_it_named(folder: Path) -> None:
    former = plan_of(folder)
    (folder / "system.md").write_text("Be verbose.")
    (folder / "answer.json").write_text(SCHEMA.replace("ok", "fine"))
    present = plan_of(folder, what="good")
    revived, known = present.revive(former.agents_text, "judge"), former.agents["judge"]
    assert (revived.system, revived.ask.text, revived.shape and revived.shape.schema) == (
        known.system, known.ask.text, known.shape and known.shape.schema,
    )  # fmt: skip
    assert "Be brief." in revived.system
    assert [endpoint.name for endpoint in revived.endpoints] == ["small", "large"]


def test_an_agent_that_did_not_change_is_the_present_one(folder: Path) -> None:
    former = plan_of(folder)
    present = plan_of(folder, PIPELINE.replace("has(event.x)", "has(event.y)"))
    assert present.digest != former.digest
    assert present.revive(former.agents_text, "judge") is present.agents["judge"]


def test_neither_keys_nor_contents_of_secret_files_are_kept(folder: Path) -> None:
    text = PIPELINE.replace("{file: system.md}", "'Know this: ${file:words}'")
    plan = plan_of(folder, text)
    assert "secret words" in plan.agents["judge"].system
    assert "secret words" not in plan.agents_text
    assert "hush-hush" not in plan.agents_text
    assert "127.0.0.1" not in plan.agents_text


def test_an_agent_with_a_secret_comes_back_only_while_it_is_as_it_was(folder: Path) -> None:
    text = PIPELINE.replace("{file: system.md}", "'${file:words}'")
    former = plan_of(folder, text)
    (folder / "words").write_text("rotated")
    present = plan_of(folder, text.replace("has(event.x)", "has(event.y)"))
    assert present.revive(former.agents_text, "judge").system.startswith("rotated")
    other = plan_of(folder, text, what="good")
    with pytest.raises(Rejected, match="secret file, which the log does not keep"):
        other.revive(former.agents_text, "judge")


def test_the_models_of_an_agent_that_names_none_are_those_of_its_file(folder: Path) -> None:
    former = plan_of(folder)
    third = '  third: {base_url: "http://127.0.0.1:9/v1", model: third}\nagents:'
    present = plan_of(folder, PIPELINE.replace("agents:", third))
    assert [endpoint.name for endpoint in present.revive(former.agents_text, "judge").endpoints] == ["small", "large"]
    assert [endpoint.name for endpoint in present.agents["judge"].endpoints] == ["small", "large", "third"]


def test_what_this_version_does_not_understand_is_said(folder: Path) -> None:
    plan = plan_of(folder)
    with pytest.raises(Rejected, match="this version of Penstock does not understand it"):
        plan.revive(plan.agents_text.replace('"ask"', '"question"'), "judge")
    with pytest.raises(Rejected, match="no such agent"):
        plan.revive(plan.agents_text, "jury")


def test_a_file_without_agents_keeps_next_to_nothing(folder: Path) -> None:
    text = PIPELINE[: PIPELINE.index("models:")].replace("judge", "none")
    assert plan_of(folder, text).agents_text == "{}"
