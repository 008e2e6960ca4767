"""Pipelines and scenarios for tests of `penstock test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import written

from penstock.pipelines.scenario_file import Options, Suite, load_suite
from penstock.pipelines.scenario_verdict import Verdict, verdict

LOGINS = """
penstock: v1
name: logins
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 0s}, ignore: event.outcome == "test"}
define: {failures: 'count(event.outcome == "failed", 60s)'}
triggers:
  many: {when: failures >= 3, agent: judge, cooldown: 5m, labels: {severity: critical}}
  root: {each: event.user == "root", agent: none}
  hourly: {every: 1h, agent: report}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
  large: {base_url: "http://127.0.0.1:9/v1", model: huge}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
    fallback: {verdict: benign, why: nobody knows}
  report: {ask: Sum it up.}
"""
"""An episode with an agent that has a fallback, a rule without a model, a schedule with a free text."""
FAILED = "{event: {host: web-1, outcome: failed}, repeat: {times: 3, every: 1s}}"
"""What makes `many` fire at 2s."""


def suite_of(folder: Path, scenarios: str, pipeline: str = LOGINS, options: Options | None = None) -> Suite:
    """`scenarios` is the file without its first line."""
    written(folder, pipeline, "logins.yaml")
    file = written(folder, f"penstock: test/v1\n{scenarios}", "logins.test.yaml")
    return load_suite(file, options or Options())


def verdicts_of(folder: Path, scenarios: str, pipeline: str = LOGINS) -> list[Verdict]:
    suite = suite_of(folder, scenarios, pipeline)
    assert suite.checked is not None, [problem.to_text() for problem in suite.problems]
    return [verdict(suite.path, suite.lines[each.name], suite.checked, each) for each in suite.scenarios]


def verdict_of(folder: Path, events: str, expect: str, answers: str = "{}", pipeline: str = LOGINS) -> Verdict:
    """One scenario, in flow style."""
    scenario = f"  - {{name: one, answers: {answers}, events: {events}, expect: {expect}}}\n"
    (only,) = verdicts_of(folder, f"scenarios:\n{scenario}", pipeline)
    return only


def told(verdict: Verdict) -> list[tuple[str, str, dict[str, Any]]]:
    """Section, kind, and the fields with what was found."""
    return [
        (each.section, each.kind, {field.path: field.actual for field in each.fields}) for each in verdict.differences
    ]
