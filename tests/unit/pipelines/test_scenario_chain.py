"""Scenarios of chains: answers are given, and what follows them is told."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios import FAILED, LOGINS, told, verdict_of

TICKET = "ticket: {after: judge, where: answer.verdict == 'attack', agent: report}"
CHAIN = LOGINS.replace("hourly: {every: 1h, agent: report}", TICKET).replace("Sum it up.", "'Sum up: {{ answer.why }}'")


def holds(folder: Path, events: str, expect: str, answers: str) -> None:
    found = verdict_of(folder, events, expect, answers, CHAIN)
    assert (told(found), found.complaints) == ([], ())


def test_an_answer_is_followed_by_the_next_question(tmp_path: Path) -> None:
    answers = "{judge: {verdict: attack, why: many}, report: 'A ticket.'}"
    ticket = "{trigger: ticket, key: web-1, at: 2s, values: {failures: 3}, events: 3}"
    expect = (
        f"{{firings: [{{trigger: many}}, {ticket}], results: [{{agent: judge}}, {{agent: report, text: 'A ticket.'}}]}}"
    )
    holds(tmp_path, f"[{FAILED}]", expect, answers)


def test_another_answer_is_not(tmp_path: Path) -> None:
    answers = "{judge: {verdict: benign, why: few}}"
    holds(tmp_path, f"[{FAILED}]", "{firings: [{trigger: many}], results: [{agent: judge}]}", answers)


def test_a_combination_tells_its_members(tmp_path: Path) -> None:
    both = "both: {all: [many, root], within: 1m, agent: none, labels: {kind: both}}"
    pipeline = LOGINS.replace("hourly: {every: 1h, agent: report}", both)
    events = f"[{FAILED}, {{at: 7s, event: {{host: web-1, user: root}}}}]"
    found = verdict_of(
        tmp_path, events, "{firings: [{trigger: many}, {trigger: root}, {trigger: both, at: 7s}]}", pipeline=pipeline
    )
    assert (told(found), found.complaints) == ([], ())
