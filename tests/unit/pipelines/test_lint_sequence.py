"""Sequences that do not hang together are told where, and what to do."""

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
  failed: event.outcome == "failed"
triggers:
  t:
    sequence:
{steps}
{more}
    agent: {agent}
models: {{m: {{base_url: "http://localhost:8000/v1", model: x}}}}
agents: {{a: {{ask: "{ask}"}}}}
"""
GUESS, ENTRY = "{as: guess, where: failed}", "{as: entry, where: event.ok}"


def problems(
    tmp_path: Path, *steps: str, more: str = "within: 10m", agent: str = "a", ask: str = "Well?"
) -> list[Problem]:
    path = tmp_path / "f.yaml"
    lines = "\n".join(f"      - {step}" for step in steps)
    path.write_text(FILE.format(steps=lines, more=f"    {more}", agent=agent, ask=ask))
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize(
    ("steps", "more"),
    [
        ((GUESS, ENTRY), "within: 10m"),
        (
            (GUESS, "{not: event.ok}", "{as: entry, where: event.ip == guess.ip}"),
            ["within: 10m", " strict: true"][0],
        ),
        ((GUESS, "{not: event.ip == guess.ip, within: 5m}"), "cooldown: 5m"),
        (("{where: failed, times: 64}",), "within: 10m"),
        (("{where: failed}", "{where: 'has(event.x)', times: 1000}"), "within: 10m"),
    ],
)
def test_what_hangs_together_is_fine(tmp_path: Path, steps: tuple[str, ...], more: str) -> None:
    assert problems(tmp_path, *steps, more=more) == []


@pytest.mark.parametrize(
    ("steps", "code", "place", "sentence"),
    [
        (("{not: failed}", ENTRY), Code.WRONG_VALUE, (10, 10), "a sequence cannot begin with `not`"),
        ((GUESS, "{not: event.a}", "{not: event.b}", ENTRY), Code.WRONG_VALUE, (12, 10), "joined by `||`"),
        ((GUESS, "{not: event.a}"), Code.MISSING_FIELD, (11, 10), "the `not` at the end of a sequence lacks `within`"),
        (("{where: failed, times: 65}",), Code.WRONG_VALUE, (10, 25), "expected `count`, as in `when: count(…, 10m) >= 65`"),
        (("{as: key, where: failed}",), Code.RESERVED_NAME, (10, 10), "`key` means something already"),
        (("{as: failed, where: failed}",), Code.RESERVED_NAME, (10, 10), "`failed` is a definition"),
        (("{as: tables, where: failed}",), Code.RESERVED_NAME, (10, 10), "`tables` means something already"),
        ((GUESS, "{as: guess, where: event.ok}"), Code.RESERVED_NAME, (11, 10), "two steps are called `guess`"),
        (("{as: 1a, where: failed}",), Code.WRONG_VALUE, (10, 14), "text that matches"),
        (("{as: _a, where: failed}",), Code.WRONG_VALUE, (10, 14), "text that matches"),
        (("{where: failed, times: 0}",), Code.WRONG_VALUE, (10, 32), "at least 1"),
        (("{as: guess}",), Code.MISSING_FIELD, (10, 9), "item 1 of `sequence` lacks `where`"),
        (("{where: failed, within: 5m}",), Code.UNKNOWN_FIELD, (10, 25), 'unknown field "within"'),
        (("failed",), Code.WRONG_VALUE, (10, 9), "expected a step such as"),
        (("{where: 'count(failed, 5m) > 3'}",), Code.EXPRESSION, (10, 18), "can stand in `when` and `until` only"),
        ((GUESS, "{where: event.ip == gess.ip}"), Code.EXPRESSION, (11, 29), 'did you mean "guess"?'),
        ((GUESS, "{where: event.ip == guess}"), Code.EXPRESSION, (11, 29), "a step's event is read field by field"),
        (("{where: event.a == entry.a}", ENTRY), Code.EXPRESSION, (10, 28), "`entry` is no step before this one"),
        (("{as: x, where: event.a == x.a}",), Code.EXPRESSION, (10, 35), "`x` is no step before this one"),
        ((GUESS, "{not: guess2.a, within: 5m}"), Code.EXPRESSION, (11, 15), 'did you mean "guess"?'),
    ],
)  # fmt: skip
def test_a_mistake_is_told_once_and_where_it_stands(
    tmp_path: Path, steps: tuple[str, ...], code: Code, place: tuple[int, int], sentence: str
) -> None:
    (problem,) = problems(tmp_path, *steps)
    assert (problem.code, problem.place.line, problem.place.column) == (code, *place), problem.to_text()
    assert sentence in problem.sentence()


def test_a_sequence_has_a_step(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "penstock: v1\nname: file\nsources: {s: {topic: t, key: event.host}}\n"
        "triggers: {t: {sequence: [], agent: none}}\n"
    )
    (problem,) = load_pipeline([path], environ={}).problems
    assert (problem.place.column, problem.message) == (16, "the sequence is empty")


def test_a_sequence_of_several_events_needs_to_know_how_long_it_may_take(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GUESS, ENTRY, more="strict: true")
    assert (problem.code, problem.place.line) == (Code.MISSING_FIELD, 9)
    assert "lacks `within`: how long it may take from the first event to the last" in problem.message


def test_other_kinds_do_not_take_its_words(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "penstock: v1\nname: file\nsources: {s: {topic: t, key: event.host}}\n"
        "triggers: {t: {each: event.a, within: 5m, agent: none}}\n"
    )
    (problem,) = load_pipeline([path], environ={}).problems
    assert (problem.code, problem.place.column) == (Code.UNKNOWN_FIELD, 31)


@pytest.mark.parametrize(
    ("steps", "more", "line"),
    [
        ((GUESS, ENTRY), "within: 2h", 12),
        ((GUESS, "{not: event.ok, within: 2h}"), "strict: false", 11),
        ((GUESS,), "cooldown: 2h", 11),
    ],
)
def test_nothing_in_it_lasts_longer_than_its_key_is_remembered(
    tmp_path: Path, steps: tuple[str, ...], more: str, line: int
) -> None:
    (problem,) = problems(tmp_path, *steps, more=more, agent="a\ncontext: {forget: 1h}")
    assert (problem.code, problem.place.line) == (Code.FORGETS_TOO_SOON, line)


def test_a_not_at_the_end_needs_a_key_to_be_remembered_for_as_long_as_an_event_of_it_may_come(tmp_path: Path) -> None:
    steps, agent = (GUESS, "{not: event.ok, within: 1m}"), "a\ncontext: {forget: 5m}"
    (problem,) = problems(tmp_path, *steps, more="strict: false", agent=agent)
    assert (problem.code, problem.place.line, problem.place.column) == (Code.FORGETS_TOO_SOON, 14, 19)
    assert (
        "the `lateness` of source `s`, 10m, which the `not` of trigger `t` needs, is longer than `forget`"
        in problem.message
    )
    assert problems(tmp_path, GUESS, ENTRY, more="within: 1m", agent=agent) == []


def test_a_template_names_steps_that_its_trigger_has(tmp_path: Path) -> None:
    assert problems(tmp_path, GUESS, ENTRY, ask="{{ steps.guess[0].ip }} {{ steps | tojson }}") == []
    (problem,) = problems(tmp_path, GUESS, ENTRY, ask="{{ steps.gues }}")
    assert (problem.code, problem.place.line, problem.nearest) == (Code.TEMPLATE, 15, "guess")
    more = "within: 10m\n    annotations: {a: '{{ steps.entri }}'}"
    (problem,) = problems(tmp_path, GUESS, ENTRY, more=more)
    assert (problem.code, problem.nearest) == (Code.TEMPLATE, "entry")
