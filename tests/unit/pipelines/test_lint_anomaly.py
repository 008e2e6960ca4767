"""What may be wrong with an `anomaly`, each told at its place."""

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
define:
  level: event.ms / 1000
context: {forget: 30d}
triggers:
  spike: {anomaly: event.ms, agent: ask}
models:
  m: {base_url: "http://localhost:8000/v1", model: x}
agents:
  ask: {ask: Well?}
"""


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[Problem]:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={}).problems


def spike(fields: str) -> tuple[str, str]:
    return "anomaly: event.ms", fields


@pytest.mark.parametrize(
    "fields",
    [
        "anomaly: event.ms",
        "anomaly: level, method: ewma, threshold: 4, warmup: 200, half_life: 50, where: event.status < 500",
        "anomaly: event.ms, method: change_point, threshold: 7.5, cooldown: 10m",
        "anomaly: event.rms, method: robust_seasonal, season: 1w, threshold: 5",
    ],
)
def test_an_anomaly_that_is_well_written_has_no_problem(tmp_path: Path, fields: str) -> None:
    assert problems(tmp_path, spike(fields)) == []


@pytest.mark.parametrize(
    ("fields", "code", "column", "part"),
    [
        ("anomaly: event.a == 'b'", Code.EXPRESSION, 20, "this is to be a number, and it is a truth value"),
        ("anomaly: '\"text\"'", Code.EXPRESSION, 21, "this is to be a number, and it is a text"),
        ("anomaly: 'avg(event.ms, 5m)'", Code.EXPRESSION, 21, "can stand in `when` and `until` only"),
        ("anomaly: event.ms, where: event.a + 1", Code.EXPRESSION, 37, "a condition is true or false"),
        ("anomaly: event.ms, method: holt", Code.WRONG_VALUE, 38, "'holt'"),
        ("anomaly: event.ms, threshold: 0", Code.WRONG_VALUE, 41, "more than 0"),
        ("anomaly: event.ms, threshold: 5000", Code.WRONG_VALUE, 41, "at most 1000"),
        ("anomaly: event.ms, warmup: 1", Code.WRONG_VALUE, 38, "at least 2"),
        ("anomaly: event.ms, half_life: 5m", Code.WRONG_VALUE, 41, "a whole number"),
        ("anomaly: event.ms, season: 1d", Code.WRONG_VALUE, 38, "goes with `method: robust_seasonal`"),
        ("anomaly: event.ms, method: robust_seasonal, half_life: 9", Code.WRONG_VALUE, 66, "goes with `ewma` and"),
        ("anomaly: event.ms, method: robust_seasonal, season: 0s", Code.WRONG_VALUE, 63, "more than 0"),
        ("anomaly: event.ms, until: event.ms < 5", Code.UNKNOWN_FIELD, 30, "it goes with `when`"),
        ("each: event.a == 1, where: event.b == 1", Code.UNKNOWN_FIELD, 31, "it goes with `anomaly`"),
        ("anomaly: event.ms, cooldown: 40d", Code.FORGETS_TOO_SOON, 40, "a cooldown of"),
        ("anomaly: event.ms, method: robust_seasonal, season: 52w", Code.FORGETS_TOO_SOON, 63, "a season of"),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, fields: str, code: Code, column: int, part: str) -> None:
    [problem] = problems(tmp_path, spike(fields))
    assert (problem.code, problem.place.line, problem.place.column) == (code, 9, column), problem.sentence()
    assert part in problem.sentence()


def test_for_is_refused_with_a_way_out(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, spike("anomaly: event.ms, for: 20s"))
    assert (problem.code, problem.place.line, problem.place.column) == (Code.UNKNOWN_FIELD, 9, 30)
    assert problem.sentence() == (
        "`anomaly` takes no `for`: what it would count, time or numbers, is not defined yet; "
        "`method: change_point` fires for a shift that lasts, not for a single number"
    )


def test_a_season_that_is_not_written_counts_too(tmp_path: Path) -> None:
    seasonal = spike("anomaly: event.ms, method: robust_seasonal")
    assert problems(tmp_path, seasonal, ("forget: 30d", "forget: 1d")) == []
    [problem] = problems(tmp_path, seasonal, ("forget: 30d", "forget: 12h"))
    assert (problem.code, problem.place.line, problem.place.column) == (Code.FORGETS_TOO_SOON, 9, 3)
    assert "the season of trigger `spike`, which is 1d unless it says otherwise" in problem.message


def test_no_definition_takes_a_name_that_an_anomaly_reports(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, ("level:", "score: event.ms\n  level:"))
    assert (problem.code, problem.place.line, problem.place.column) == (Code.RESERVED_NAME, 6, 3)
    assert "`score` is what trigger `spike` reports by itself" in problem.message
    assert problems(tmp_path, ("level:", "score: event.ms\n  level:"), spike("each: event.ms > 5")) == []


def test_templates_may_name_what_an_anomaly_reports(tmp_path: Path) -> None:
    told = "{{ values.observed }} for {{ values.expected }}, {{ values.score }}"
    annotated = ("agent: ask}", f"agent: ask, annotations: {{s: '{told}'}}}}")
    assert problems(tmp_path, annotated, ("Well?", f"'{told}'")) == []
    [problem] = problems(tmp_path, annotated, spike("each: event.ms > 5"), ("Well?", "'{{ values.level }}'"))[:1]
    assert problem.code is Code.TEMPLATE
