"""What may be wrong with a `semantic`, and with models of another kind, each told at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.problem import Code

BASE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
context: {forget: 30d}
triggers:
  t: {semantic: event.text, OWN, agent: ask}
models:
  m: {base_url: "http://localhost:8000/v1", model: x}
  v: {base_url: "http://localhost:8000/v1", model: y, kind: embedding}
agents:
  ask: {ask: "{{ trigger.name }}?"}
"""
OPTIONS = "model: m, options: [calm, furious], is: furious"


def loaded(folder: Path, own: str, *changes: tuple[str, str]) -> Loaded:
    text = BASE.replace("OWN", own)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={})


@pytest.mark.parametrize(
    "own",
    [
        OPTIONS,
        f"{OPTIONS}, threshold: 0.9, where: event.role == 'customer', cooldown: 5m, by: event.ip, limit: 3/hour",
        "model: v, unlike: 24h",
        "model: v, unlike: 24h, threshold: 1.5, from: s, sample: 10%, priority: high",
    ],
)
def test_one_that_is_well_written_has_no_problem(tmp_path: Path, own: str) -> None:
    found = loaded(tmp_path, own)
    assert found.problems == []
    assert compile_pipeline(found).plan.triggers[0].name == "t"


@pytest.mark.parametrize(
    ("own", "part"),
    [
        ("model: m", "it takes either `options` and `is`, or `unlike`"),
        ("model: v, unlike: 24h, options: [a, b], is: a", "it takes either `options` and `is`, or `unlike`"),
        ("model: m, options: [a, b]", "`options` and `is` go together"),
        ("model: v, unlike: 24h, is: a", "`options` and `is` go together"),
        ("options: [a, b], is: a", "`semantic` lacks `model`"),
        ("model: m, options: [calm, furious], is: angry", "'angry' is none of the options; write one of calm, furious"),
        ("model: m, options: [calm, calmer], is: calm", "'calm' is how another option begins"),
        ("model: m, options: [Calm, calm], is: calm", "'calm' is how another option begins"),
        ("model: m, options: ['a, b', c], is: c", "'a, b' is no word"),
        ("model: m, options: [calm], is: calm", "at least 2"),
        (f"{OPTIONS}, threshold: 1.5", "it says how likely the option has to be: 1 at most"),
        ("model: v, unlike: 24h, threshold: 3", "expected at most 2.0"),
        ("model: v, unlike: 24", "has no unit"),
        (f"{OPTIONS}, late: reason", "expected ignore"),
        (f"{OPTIONS}, for: 5m", 'unknown field "for" of `semantic`'),
        ("model: mm, options: [a, b], is: a", 'there is no "mm" under `models:`'),
        ("model: v, options: [a, b], is: a", "`options` are words, and this model has only vectors"),
        ("model: m, unlike: 24h", "`unlike` compares vectors"),
        ("model: v, unlike: 5w", "a memory of texts of 5w is longer than `forget`"),
        (f"{OPTIONS}, cooldown: 5w", "a cooldown of 5w is longer than `forget`"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(tmp_path: Path, own: str, part: str) -> None:
    found = [problem for problem in loaded(tmp_path, own).problems if problem.severity == "error"]
    assert any(part in problem.sentence() for problem in found), [problem.sentence() for problem in found]
    assert {problem.place.line for problem in found} == {7}


def test_an_agent_cannot_ask_a_model_that_gives_vectors(tmp_path: Path) -> None:
    [problem] = loaded(tmp_path, OPTIONS, ('ask: "{{ trigger.name }}?"', "models: [m, v], ask: Well?")).problems
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 12)
    assert problem.sentence() == "`v` gives vectors and cannot answer agent `ask`; expected m"


def test_where_all_models_give_vectors_an_agent_has_none(tmp_path: Path) -> None:
    chatting = '  m: {base_url: "http://localhost:8000/v1", model: x}\n'
    [problem] = loaded(tmp_path, "model: v, unlike: 24h", (chatting, "")).problems
    assert problem.sentence() == "agent `ask` has no model to ask: all of them give vectors"


def test_an_agent_asks_all_models_that_answer(tmp_path: Path) -> None:
    plan = compile_pipeline(loaded(tmp_path, OPTIONS)).plan
    assert [endpoint.name for endpoint in plan.agents["ask"].endpoints] == ["m"]


def test_with_another_model_it_begins_anew(tmp_path: Path) -> None:
    def identity(*changes: tuple[str, str]) -> str:
        return compile_pipeline(loaded(tmp_path, OPTIONS, *changes)).plan.triggers[0].identity

    assert identity() != identity(("model: x", "model: z"))
    assert identity() == identity(("8000/v1", "8001/v1"))


def test_it_decides_later_than_what_needs_no_answer(tmp_path: Path) -> None:
    each = ("triggers:\n", "triggers:\n  e: {each: event.a, inhibited_by: [t], agent: none}\n")
    [problem] = loaded(tmp_path, OPTIONS, each).problems
    assert problem.code == Code.INHIBITS_LATER
    assert "trigger `t` fires when an answer has come" in problem.message
