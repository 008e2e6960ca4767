"""What `inhibited_by` may say, each mistake at its place."""

from __future__ import annotations

from pathlib import Path

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

HEAD = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
triggers:
"""


def problems(tmp_path: Path, *triggers: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(HEAD + "".join(f"  {trigger}\n" for trigger in triggers))
    return load_pipeline([path], environ={}).problems


def each(name: str, *inhibitors: str) -> str:
    return f"{name}: {{each: event.a == 1, inhibited_by: [{', '.join(inhibitors)}], agent: none}}"


def test_inhibitors_may_stand_anywhere(tmp_path: Path) -> None:
    assert problems(tmp_path, each("a", "b"), each("b", "c"), each("c")) == []


def test_an_unknown_name_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, each("a", "takover"), each("takeover"))
    assert (problem.code, problem.place.line, problem.nearest) == (Code.UNRESOLVED, 6, "takeover")
    assert problem.sentence() == (
        'there is no "takover" under `triggers:`; expected takeover; did you mean "takeover"?'
    )


def test_a_circle_is_told_with_all_its_members_at_the_first(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, each("x"), each("c", "b"), each("a", "c", "x"), each("b", "a"))
    assert (problem.code, problem.place.line, problem.place.column) == (Code.INHIBITION_CYCLE, 7, 27)
    assert problem.message == "these triggers would inhibit one another in a circle: `c`, `b`, `a`"


def test_a_trigger_does_not_inhibit_itself(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, each("a", "a"))
    assert (problem.code, problem.message) == (Code.INHIBITION_CYCLE, "trigger `a` would inhibit itself")


def test_what_waits_for_the_watermark_comes_too_late_for_what_does_not(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, each("a", "b"), "b: {every: 1h, agent: none}")
    assert (problem.code, problem.severity, problem.place.line) == (Code.INHIBITS_LATER, "warning", 6)
    assert problems(tmp_path, "a: {every: 1h, inhibited_by: [b], agent: none}", each("b")) == []


def test_what_is_made_of_others_comes_too_late_for_what_is_not(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, each("a", "b"), each("m"), "b: {any: [m], agent: none}")
    assert (problem.code, problem.severity, problem.place.line) == (Code.INHIBITS_LATER, "warning", 6)
    assert problem.message == (
        "trigger `b` is made of others and looks after all of them, `a` does not: `b` inhibits only what comes later"
    )
    assert (
        problems(tmp_path, each("a"), "b: {any: [a], inhibited_by: [m], agent: none}", "m: {every: 1h, agent: none}")
        == []
    )


def test_what_waits_for_an_answer_comes_too_late_for_what_waits_for_none(tmp_path: Path) -> None:
    agents = (
        'c: {each: event.b, agent: j}\nmodels: {m: {base_url: "http://localhost:1/v1", model: x}}\n'
        "agents: {j: {ask: Well?}}"
    )
    [problem] = problems(tmp_path, each("a", "b"), "b: {after: j, agent: none}", agents)
    assert (problem.code, problem.severity, problem.place.line) == (Code.INHIBITS_LATER, "warning", 6)
    assert "trigger `b` fires when an answer has come, `a` waits for none" in problem.message
    assert (
        problems(tmp_path, "a: {after: j, inhibited_by: [b], agent: none}", "b: {after: j, agent: none}", agents) == []
    )


def test_one_name_alone_is_no_list(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "a: {each: event.a == 1, inhibited_by: b, agent: none}", each("b"))
    assert problem.code == Code.WRONG_VALUE


def test_a_sequence_that_ends_with_not_takes_no_late_events(tmp_path: Path) -> None:
    """Whether it has told of that silence before is forgotten by then."""
    steps = "sequence: [{where: event.a == 1}, {not: event.b == 1, within: 1m}], agent: none"
    [problem] = problems(tmp_path, f"a: {{{steps}, late: reason}}")
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 6)
    assert problems(tmp_path, f"a: {{{steps}, late: reason, fire: arrival}}") == []


def test_schedules_take_no_late_events(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "a: {every: 1h, late: reason, agent: none}")
    assert problem.code == Code.UNKNOWN_FIELD
