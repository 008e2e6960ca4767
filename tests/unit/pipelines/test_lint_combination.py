"""Combinations that cannot be are told where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

FILE = """penstock: v1
name: file
sources:
  s: {topic: t, key: event.host}
triggers:
  a: {each: event.a}
  b: {when: 'count(event.b, 60s) > 2'}
  c: {absence: event.c, for: 5m}
  d: {each: event.a, by: event.ip}
  f: {after: z, agent: none}
  t:
    %s
models: {m: {base_url: "http://localhost:8000/v1", model: x}}
agents: {z: {ask: What?}}
"""


def problems(tmp_path: Path, lines: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(FILE % lines)
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize(
    "lines",
    [
        "any: [a, b]",
        "any: [a]",
        "all: [b, c]",
        "{all: [a, b], within: 10m, cooldown: 1h, annotations: {x: '{{ values.fired.a }}'}}",
        "{all: [c, b], within: 10m, agent: none, labels: {severity: critical}}",
    ],
)
def test_what_can_be_combined_is_fine(tmp_path: Path, lines: str) -> None:
    assert [problem.message for problem in problems(tmp_path, lines)] == []


@pytest.mark.parametrize(
    ("lines", "code", "place", "sentence"),
    [
        ("any: [a, bb]", Code.UNRESOLVED, (12, 14), 'there is no "bb" under `triggers:`'),
        ("any: [a, t]", Code.MEMBER, (12, 14), "trigger `t` is made of other triggers itself"),
        ("any: [a, f]", Code.MEMBER, (12, 14), "trigger `f` looks at answers"),
        ("any: [a, d]", Code.MEMBER, (12, 14), "trigger `d` watches parts of the key (`by`)"),
        ("any: [a, a]", Code.MEMBER, (12, 14), "trigger `a` stands there twice"),
        ("all: [a, b]", Code.MISSING_FIELD, (12, 5), "lacks `within`: `a` is of the kind `each`"),
        ("all: [b]", Code.WRONG_VALUE, (12, 5), "at least 2"),
        ("any: []", Code.WRONG_VALUE, (12, 5), "at least 1"),
        ("any: a", Code.WRONG_VALUE, (12, 10), "list"),
        ("{any: [a, b], within: 5m}", Code.UNKNOWN_FIELD, (12, 19), 'unknown field "within" of `any`'),
        ("{any: [a, b], by: event.ip}", Code.UNKNOWN_FIELD, (12, 19), 'unknown field "by" of `any`'),
        ("{any: [a, b], from: s}", Code.WRONG_VALUE, (12, 25), "it looks at what other triggers do, not at events"),
    ],
)
def test_what_cannot_is_told_where_it_stands(
    tmp_path: Path, lines: str, code: Code, place: tuple[int, int], sentence: str
) -> None:
    [found] = problems(tmp_path, lines)
    assert (found.code, found.place.line, found.place.column) == (code, *place)
    assert sentence in f"{found.message} {found.expected}"


def test_what_lasts_longer_than_a_key_is_remembered_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("triggers:", "context: {forget: 1h}\ntriggers:", 1) % "{all: [a, b], within: 2h}"
    path = tmp_path / "f.yaml"
    path.write_text(text)
    [found] = load_pipeline([path], environ={}).problems
    assert (found.code, found.place.line) == (Code.FORGETS_TOO_SOON, 13)
