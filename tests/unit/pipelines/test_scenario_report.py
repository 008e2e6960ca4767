"""How scenarios went, as people and machines read it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.scenarios import FAILED, suite_of, verdict_of, verdicts_of

from penstock.pipelines.scenario_report import Report, as_json, explanation, json_text, junit, lines
from penstock.pipelines.scenario_verdict import TIME


def why(folder: Path, events: str, expect: str, answers: str = "{judge: {verdict: attack, why: x}}") -> list[str]:
    return [line.plain for line in explanation(verdict_of(folder, events, expect, answers))]


def test_a_difference_is_told_with_nothing_but_what_differs(tmp_path: Path) -> None:
    assert why(tmp_path, f"[{FAILED}]", "{firings: [{trigger: many, key: web-1, at: 9s, values: {failures: 10}}]}") == [
        'firing 1, many on web-1 at 2s  {"failures":3}',
        "  at               expected 9s  found 2s",
        "  values.failures  expected 10  found 3",
    ]


def test_what_did_not_happen_and_what_was_not_expected_are_named(tmp_path: Path) -> None:
    assert why(tmp_path, f"[{FAILED}]", "{firings: [{trigger: root, at: 1s}], resolved: [{reason: forgotten}]}") == [
        "firing 1 did not happen: root at 1s",
        'not expected: firing many on web-1 at 2s  {"failures":3}',
        'end 1 did not happen: "forgotten"',
        f"note: {TIME.format('2s')}",
    ]
    assert why(tmp_path, f"[{FAILED}]", "{none: true}") == ['not expected: firing many on web-1 at 2s  {"failures":3}']


def test_what_was_looked_for_is_told_where_there_is_nothing_to_compare_it_with(tmp_path: Path) -> None:
    assert why(tmp_path, "[{event: {host: a}}]", "{prompts: [{contains: attack}], results: [{triggers: many}]}") == [
        'prompt 1 did not happen: "attack"',
        "result 1 did not happen: many",
        f"note: {TIME.format('0s')}",
    ]


def test_what_must_never_happen_is_told_when_it_does(tmp_path: Path) -> None:
    assert why(tmp_path, f"[{FAILED}]", "{results: {never: [{triggers: [many]}]}}") == [
        'must never happen: result final many on web-1 at 2s  {"verdict":"attack","why":"x"}'
    ]


def test_a_prompt_shows_the_line_that_is_nearest(tmp_path: Path) -> None:
    assert why(tmp_path, f"[{FAILED}]", "{prompts: [{contains: Is web-2 under attack?, lacks: 'Trigger: many'}]}") == [
        "prompt 1, judge about web-1 because of many",
        '  contains  lacks "Is web-2 under attack?"  nearest is "Is web-1 under attack?"',
        '  lacks     contains "Trigger: many"        in "Trigger: many"',
    ]


def test_a_long_value_stands_below_the_other_one(tmp_path: Path) -> None:
    told = why(tmp_path, f"[{FAILED}]", f"{{results: [{{answer: {{why: {'w' * 100}}}}}]}}")
    assert told[1:] == [f'  answer.why  expected "{"w" * 100}"', '              found    "x"']


def test_of_many_that_were_not_expected_some_are_listed(tmp_path: Path) -> None:
    told = why(tmp_path, "[{event: {host: web-1, user: root}, repeat: {times: 9, every: 1s}}]", "{none: true}")
    assert len(told) == 6
    assert told[-1] == "and 4 firings more that were not expected"


def test_what_explains_the_rest_comes_first_and_notes_come_last(tmp_path: Path) -> None:
    events = "[{event: {}}, {event: {host: a, outcome: test}}]"
    told = why(tmp_path, events, "{firings: [{trigger: many}], results: []}")
    assert [line.split(":")[0].split(",")[0] for line in told] == [
        "not expected",
        "firing 1 did not happen",
        "note",
        "note",
    ]


def report(folder: Path) -> Report:
    one = f"events: [{FAILED}], expect: {{firings: [{{trigger: %s}}]}}"
    text = f"scenarios:\n  - {{name: good, {one % 'many'}}}\n  - {{name: bad <, {one % 'root'}}}\n"
    return Report(verdicts_of(folder, text), [])


def test_a_line_per_scenario_below_its_file_and_the_sum(tmp_path: Path) -> None:
    file = tmp_path / "logins.test.yaml"
    told = [line.plain for line in lines(report(tmp_path))]
    assert told[:3] == [str(file), "  passed  good", f"  FAILED  bad <  {file}:4"]
    assert told[-1] == "1 passed, 1 failed"


def test_files_with_errors_are_in_the_sum(tmp_path: Path) -> None:
    problems = suite_of(tmp_path, "scenarios: []\nother: 1\n").problems
    assert len(problems) == 2
    assert [line.plain for line in lines(Report([], problems))] == ["0 passed, 1 file with errors"]
    assert not Report([], problems).ok


def test_machines_get_every_difference_with_its_values(tmp_path: Path) -> None:
    told = json.loads(json_text(report(tmp_path)))
    assert (told["ok"], told["passed"], told["failed"], told["problems"]) == (False, 1, 1, [])
    good, bad = told["scenarios"]
    assert (good["ok"], good["differences"], good["complaints"], good["notes"]) == (True, [], [], [])
    assert [(each["section"], each["kind"], each["place"]) for each in bad["differences"]] == [
        ("firings", "missing", 0),
        ("firings", "extra", 0),
    ]
    assert (bad["line"], bad["differences"][1]["item"]["at"]) == (4, "2s")


def test_a_value_that_is_not_there_is_left_out_for_machines(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, f"[{FAILED}]", "{results: [{answer: {x: 1}}]}", "{judge: {verdict: attack, why: x}}")
    (scenario,) = as_json(Report([found], []))["scenarios"]
    assert scenario["differences"][0]["fields"] == [{"path": "answer.x", "expected": 1}]


def test_junit_has_a_suite_per_file_with_failures_and_errors(tmp_path: Path) -> None:
    played = report(tmp_path)
    problems = suite_of(tmp_path, "scenarios: []\n").problems
    (suite,) = ElementTree.fromstring(junit(Report(played.verdicts, problems)))
    assert (suite.get("name"), suite.get("tests")) == (str(tmp_path / "logins.test.yaml"), "3")
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")
    good, bad, broken = suite
    assert (good.get("name"), len(good), bad.get("name"), broken.get("name")) == ("good", 0, "bad <", "line 2: PS012")
    assert (bad[0].text or "").startswith("firing 1 did not happen: root\nnot expected: firing many on web-1")
    assert broken[0].get("message") == "`scenarios` is empty; expected at least 1"


def test_characters_that_xml_cannot_hold_are_replaced(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, '[{event: {host: "a\\u0008"}, repeat: {times: 2}}]', '{firings: [{key: "\\u0008"}]}')
    ElementTree.fromstring(junit(Report([found], [])))
