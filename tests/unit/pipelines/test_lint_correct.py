"""What `late: correct` may stand beside, each mistake at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

HEAD = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
triggers:
"""


def problems(tmp_path: Path, trigger: str, more: str = "") -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(f"{HEAD}  {trigger}\n{more}")
    return load_pipeline([path], environ={}).problems


KINDS_THAT_CORRECT_NOTHING = {
    "each": "each: event.a == 1",
    "sequence": "sequence: [{where: event.a == 1}, {where: event.a == 2}], within: 1m",
    "anomaly": "anomaly: event.a",
}


@pytest.mark.parametrize("kind", KINDS_THAT_CORRECT_NOTHING)
def test_kinds_that_correct_nothing_say_what_to_write(kind: str, tmp_path: Path) -> None:
    [problem] = problems(tmp_path, f"a: {{{KINDS_THAT_CORRECT_NOTHING[kind]}, late: correct, agent: none}}")
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 6)
    assert "only `when` and `absence` decide again" in problem.message
    assert "write `reason`" in problem.message


def test_schedules_correct_nothing(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "a: {every: 1h, late: correct, agent: none}")
    assert problem.code == Code.UNKNOWN_FIELD


def test_what_looks_at_one_event_has_nothing_to_correct(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "a: {when: event.a > 1, for: 1m, late: correct, agent: none}")
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 6)
    assert problem.message == (
        "the `when` of trigger `a` looks at one event only, and no other event can change what that says"
    )
    assert problems(tmp_path, "a: {when: 'count(true, 1m) > 1', late: correct, agent: none}") == []
    assert problems(tmp_path, "a: {absence: event.a == 1, for: 1m, late: correct, agent: none}") == []


def test_expected_keys_take_late_events_but_correct_nothing(tmp_path: Path) -> None:
    tables = "tables: {hosts: {topic: hosts}}"
    trigger = "a: {{absence: event.a == 1, for: 1m, expect: tables.hosts, late: {late}, agent: none}}"
    assert problems(tmp_path, trigger.format(late="reason"), tables) == []
    [problem] = problems(tmp_path, trigger.format(late="correct"), tables)
    assert problem.code == Code.WRONG_VALUE
    assert "`expect` cannot go with `late: correct` yet" in problem.message
