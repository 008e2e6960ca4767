"""A key that is always the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

BASE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
triggers:
  all: {each: has(event.x), agent: none}
"""


def problems(tmp_path: Path, key: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(BASE.replace("key: event.host", f"key: {key}"))
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize("key", ["""'"all"'""", "'1 + 1'", """['"a"', '"b"']""", """'"all"', rekey: false"""])
def test_a_constant_key_without_rekey_is_warned_of(tmp_path: Path, key: str) -> None:
    (problem,) = problems(tmp_path, key)
    assert (problem.code, problem.severity) == (Code.CONSTANT_KEY, "warning")
    assert (
        problem.message
        == "the key of source `s` is always the same: every partition of the topic has a context of its own"
    )
    assert problem.expected == "`rekey: true`, for one context of all"
    assert problem.place.line == 4


@pytest.mark.parametrize(
    "key", ["""'"all"', rekey: true""", "event.host", "event.host, rekey: true", """['"a"', event.b]"""]
)
def test_other_keys_are_not(tmp_path: Path, key: str) -> None:
    assert problems(tmp_path, key) == []


def test_rekey_is_yes_or_no(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "event.host, rekey: event.user")
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 4)
