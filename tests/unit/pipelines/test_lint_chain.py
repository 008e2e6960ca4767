"""Chains that do not hang together are told where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

FILE = """penstock: v1
name: file
sources:
  s: {{topic: t, key: event.host}}
define:
  failed: count(event.failed, 60s)
triggers:
  t: {{when: failed >= 2, agent: a}}
{triggers}
models: {{m: {{base_url: "http://localhost:8000/v1", model: x}}}}
agents:
  a: {{ask: What?, answer: {{verdict: {{type: string}}, sure: {{type: boolean}}}}}}
  b: {{ask: '{ask}'}}
  c: {{ask: 'About {{{{ text }}}}'}}
"""
ASK = "Is {{ answer.verdict }} so?"


def problems(tmp_path: Path, *triggers: str, ask: str = ASK) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(FILE.format(triggers="\n".join(f"  {each}" for each in triggers), ask=ask))
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize(
    "triggers",
    [
        ("f: {after: a, agent: b}",),
        ("f: {after: a, where: 'answer.verdict == \"x\" && !answer.sure', agent: b}", "g: {after: b, agent: c}"),
        ("f: {after: a, where: values.failed > 3 && trigger.name == key, agent: b}",),
        ("f: {after: a, agent: b}", "g: {after: a, agent: none, annotations: {x: '{{ answer.sure }}'}}"),
        ("f: {after: a, agent: b}", "g: {after: a, agent: c}", "h: {after: b, agent: c}"),
    ],
)
def test_what_hangs_together_is_fine(tmp_path: Path, triggers: tuple[str, ...]) -> None:
    several = [] if len(triggers) > 2 or "agent: c" in triggers[-1] else ["z: {after: b, agent: c}"]
    assert [problem.message for problem in problems(tmp_path, *triggers, *several)] == []


@pytest.mark.parametrize(
    ("triggers", "code", "place", "sentence"),
    [
        (("f: {after: aa, agent: b}",), Code.UNRESOLVED, (9, 14), 'there is no "aa" under `agents:`'),
        (("f: {after: none, agent: b}",), Code.UNRESOLVED, (9, 14), 'there is no "none" under `agents:`'),
        (
            ("f: {after: b, agent: b}",),
            Code.CHAIN_CYCLE,
            (9, 14),
            "agent `b` would follow itself for ever: trigger `f`",
        ),
        (
            ("f: {after: a, agent: b}", "g: {after: b, agent: c}", "h: {after: c, agent: a}"),
            Code.CHAIN_CYCLE,
            (9, 14),
            "agents would follow each other for ever: a → b → c → a",
        ),
        (
            ("f: {after: a, where: answer.verdct == key, agent: b}",),
            Code.EXPRESSION,
            (9, 31),
            "the answer of agent `a` has no field `verdct`",
        ),
        (
            ("f: {after: a, where: values.faild > 2, agent: b}",),
            Code.EXPRESSION,
            (9, 31),
            "`values.faild` is not defined",
        ),
        (("f: {after: a, where: failed > 2, agent: b}",), Code.EXPRESSION, (9, 24), "nothing here is called `failed`"),
        (
            ("f: {after: a, where: 'count(answer.sure, 5m) > 2', agent: b}",),
            Code.EXPRESSION,
            (9, 25),
            "looks back over a span",
        ),
        (("f: {after: a, from: s, agent: b}",), Code.WRONG_VALUE, (9, 23), "`after` looks at answers, not at events"),
        (("f: {after: a, by: event.ip, agent: b}",), Code.UNKNOWN_FIELD, (9, 17), "`after` takes no `by`: it is about"),
        (("f: {after: a, cooldown: 5m, agent: b}",), Code.UNKNOWN_FIELD, (9, 17), "it fires once per run"),
        (
            ("f: {after: a, agent: none, annotations: {x: '{{ answer.sur }}'}}", "g: {after: a, agent: b}"),
            Code.TEMPLATE,
            (9, 51),
            "the answer of agent `a` has no field `sur`",
        ),
        (
            ("f: {each: event.x, agent: none, annotations: {x: '{{ answer.x }}'}}", "g: {after: a, agent: b}"),
            Code.TEMPLATE,
            (9, 56),
            "there is no `answer` here: nothing was answered before",
        ),
    ],
)
def test_what_does_not_is_told_where_it_stands(
    tmp_path: Path, triggers: tuple[str, ...], code: Code, place: tuple[int, int], sentence: str
) -> None:
    ask = "And?" if "b" not in {trigger[-2] for trigger in triggers} else ASK
    found = [each for each in problems(tmp_path, *triggers, "z: {after: b, agent: c}", ask=ask) if each.code is code]
    assert [(each.place.line, each.place.column) for each in found] == [place]
    assert sentence in found[0].message


def test_a_question_that_does_not_show_the_answer_gives_a_warning(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "f: {after: a, agent: b}", "z: {after: b, agent: c}", ask="And?")
    assert (found.code, found.severity) == (Code.ANSWER_IN_QUESTION, "warning")
    assert found.message == "trigger `f` asks agent `b`, and its question does not show what `a` answered"
    assert "{{ answer | tojson }}" in (found.expected or "")


def test_a_question_shows_only_what_was_answered_before(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "f: {after: a, agent: b}", "z: {after: b, agent: c}", ask="{{ answer.verdic }}?")
    assert (found.code, found.nearest) == (Code.TEMPLATE, "verdict")
    unasked = problems(tmp_path, "f: {each: event.x, agent: b}", "z: {after: b, agent: c}")
    assert [each.message for each in unasked] == ["there is no `answer` here: nothing was answered before"]


def test_a_question_that_shows_an_answer_is_not_asked_when_there_was_none(tmp_path: Path) -> None:
    triggers = ("f: {after: a, agent: b}", "g: {each: event.x, agent: b}", "z: {after: b, agent: c}")
    [found] = problems(tmp_path, *triggers)
    assert (found.code, found.severity, found.place.line) == (Code.ANSWER_IN_QUESTION, "warning", 15)
    assert found.message == (
        "the question of agent `b` shows `answer`, and trigger `g` asks it when nothing was answered before"
    )
    assert "`{% if answer %}` around it" in (found.expected or "")
    assert problems(tmp_path, *triggers, ask="{% if answer %}{{ answer.verdict }}{% endif %}?") == []
