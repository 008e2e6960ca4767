"""What is wrong with a file of scenarios is said with its place, and with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios import suite_of

TWO = """
penstock: v1
name: two
sources:
  lines: {topic: lines, format: text}
  rows: {topic: rows, format: {csv: {columns: [time, value]}}}
triggers: {any: {each: 'has(event.value)', agent: none}}
"""


def problem(folder: Path, line: str, pipeline: str | None = None) -> tuple[int, int, str]:
    """The only one of a file whose last line is this."""
    text = f"scenarios:\n  - name: one\n{line}\n"
    suite = suite_of(folder, text) if pipeline is None else suite_of(folder, text, pipeline)
    assert suite.checked is None
    (only,) = suite.problems
    return only.place.line, only.place.column, f"{only.code.value} {only.sentence()}"


@pytest.mark.parametrize(
    ("events", "column", "told"),
    [
        ("{at: 5, event: {}}", 9, "PS012 `at`: 5 has no unit; write how long after the scenario's beginning"),
        ("{evnt: {}}", 5, 'PS010 unknown field "evnt"'),
        ("{at: 1s}", 4, "PS012 item 1 of `events`: it is one of `event`, `text`, `file`, `advance` or `end`"),
        ("{source: auht, event: {}}", 13, "PS023 there is no source 'auht'; expected one of auth; did you mean \"auth\"?"),
        ("{file: none.log}", 11, "PS009 `none.log` is no file; the path is relative to that of the scenarios"),
        ("{end: yes}", 10, "PS012 `end` is 'yes'; expected true"),
        ("{event: {}, repeat: {times: 0}}", 32, "PS012 `times` is 0; expected at least 1"),
    ],
)  # fmt: skip
def test_events(events: str, column: int, told: str, tmp_path: Path) -> None:
    line, found, sentence = problem(tmp_path, f"    expect: {{none: true}}\n    events:\n    - {events}")
    assert (line, found, sentence[: len(told)]) == (6, column + 3, told)


@pytest.mark.parametrize(
    ("expect", "column", "told"),
    [
        ("{nnone: true}", 14, 'PS010 unknown field "nnone"; expected one of none, firings, prompts'),
        ("{firings: [{trigger: mny}]}", 34, "PS023 there is no trigger 'mny'; expected one of many, root, hourly; did you"),
        ("{firings: [{at: soon}]}", 29, "PS012 `at`: 'soon' is not a time"),
        ("{firings: [{key: 5}]}", 30, "PS012 `key`: expected text, found 5"),
        ("{firings: {any: [{trigger: mny}]}}", 40, "PS023 there is no trigger 'mny'"),
        ("{firings: [{trigger: many, values: {failurs: 3}}]}", 49, "PS023 many reports no definition 'failurs'; expected one"),
        ("{firings: [{trigger: root, values: {failures: 3}}]}", 49, "PS023 root reports no definition 'failures'"),
        ("{results: [{anwser: {}}]}", 25, "PS023 there is no field of a result 'anwser'"),
        ("{results: [{triggers: [mny]}]}", 36, "PS023 there is no trigger 'mny'"),
        ("{results: [{triggers: [{a: b}]}]}", 36, "PS023 there is no trigger"),
        ("{results: [{trigger: [many]}]}", 25, "PS023 there is no trigger"),
        ("{prompts: [{agent: juge}]}", 32, "PS023 there is no agent 'juge'; expected one of judge, report; did you"),
        ("{prompts: [{model: smal}]}", 32, "PS023 there is no model 'smal'"),
        ("{resolved: [{trigger: root}]}", 35, "PS012 what root begins never ends: its kind of trigger has no `resolved`"),
        ("{counts: {lat: 1}}", 23, "PS023 there is no count 'lat'; expected one of events,"),
        ("{}", 5, "PS012 `expect`: say what has to happen"),
        ("{none: true, firings: []}", 5, "PS012 `expect`: `none` says that nothing fires"),
    ],
)  # fmt: skip
def test_expectations(expect: str, column: int, told: str, tmp_path: Path) -> None:
    line, found, sentence = problem(tmp_path, f"    events: [{{event: {{}}}}]\n    expect: {expect}")
    assert (line, found, sentence[: len(told)]) == (5, column, told)


@pytest.mark.parametrize(
    ("answers", "column", "told"),
    [
        ("{juge: cut}", 15, "PS023 there is no agent 'juge'; expected one of judge, report; did you mean \"judge\"?"),
        ("{judge: {verdict: atack, why: x}}", 15, "PS012 judge cannot answer this: the answer's 'verdict' is none of"),
        ("{judge: [cut, {verdict: attack}]}", 15, "PS012 judge cannot answer this: the answer lacks 'why'"),
        ("{judge: attack}", 22, "PS012 judge cannot answer this: it answers with a map of verdict, why, or it is"),
        ("{report: {text: x}}", 15, "PS012 report cannot answer this: it answers with text"),
    ],
)  # fmt: skip
def test_answers(answers: str, column: int, told: str, tmp_path: Path) -> None:
    line, found, sentence = problem(
        tmp_path, f"    events: [{{event: {{}}}}]\n    expect: {{none: true}}\n    answers: {answers}"
    )
    assert (line, sentence[: len(told)]) == (6, told)
    assert found >= column


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ("{text: x}", "PS023 there are several sources; expected `source:` with one of lines, rows"),
        ("{source: lines, event: {a: 1}}", "PS012 source 'lines' reads lines of text; expected `text:` with the line as it is"),
        ("{source: rows, event: {valu: 1}}", "PS023 source 'rows' has no column 'valu'; expected one of time, value; did you"),
    ],
)  # fmt: skip
def test_an_event_is_one_that_its_source_can_read(events: str, told: str, tmp_path: Path) -> None:
    _, _, sentence = problem(tmp_path, f"    events: [{events}]\n    expect: {{none: true}}", TWO)
    assert sentence.startswith(told)


def test_nothing_happens_after_the_end(tmp_path: Path) -> None:
    told = problem(tmp_path, "    events: [{end: true}, {advance: 1m}]\n    expect: {none: true}")
    assert told == (4, 27, "PS012 after `end: true` nothing happens any more")


def test_every_scenario_has_a_name_of_its_own(tmp_path: Path) -> None:
    one = "  - {name: one, events: [{event: {}}], expect: {none: true}}\n"
    (only,) = suite_of(tmp_path, f"scenarios:\n{one}{one}").problems
    assert (only.place.line, only.message) == (4, "a scenario before this one is called 'one', too")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """scenarios:
  - {name: one, events: [{event: {}, source: x}], expect: {firings: [{trigger: y}], counts: {z: 1}}}
answers: {w: cut}
"""
    assert len(suite_of(tmp_path, text).problems) == 4


def test_what_a_kind_of_trigger_reports_by_itself_can_be_expected(tmp_path: Path) -> None:
    pipeline = """
penstock: v1
name: spikes
sources: {any: {topic: any, key: '"one"'}}
triggers: {spike: {anomaly: event.value, agent: none}}
"""
    text = "scenarios:\n- {name: one, events: [{event: {}}], expect: {firings: [{trigger: spike, values: {observed: 5}}]}}\n"
    assert suite_of(tmp_path, text, pipeline).problems == []
    line = "    events: [{event: {}}]\n    expect: {firings: [{trigger: spike, values: {seen: 5}}]}"
    assert problem(tmp_path, line, pipeline)[2] == (
        "PS023 spike reports no definition 'seen'; expected one of expected, observed, score"
    )
