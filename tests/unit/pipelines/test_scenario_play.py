"""Scenarios played against the real core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.scenarios import FAILED, LOGINS, told, verdict_of, verdicts_of

from penstock.pipelines.scenario_report import Report, json_text
from penstock.pipelines.scenario_verdict import NO_TIME, TIME

SESSIONS = """
penstock: v1
name: sessions
sources:
  a: {topic: a, key: event.k, watermark: {delay: 0s, idle: 1m}}
  b: {topic: b, watermark: {delay: 0s, idle: 1m, lateness: 1m}}
triggers:
  many: {when: 'count(event.x == 1, 60s) >= 3', agent: none}
  often: {every: 10m, agent: none}
"""
EXPECTED = """
penstock: v1
name: expected
sources:
  a: {topic: a, key: event.k, watermark: {delay: 0s, idle: 30s}}
  b: {topic: b, key: event.k, watermark: {delay: 0s, idle: 1m}}
tables: {all: {topic: all}}
triggers:
  quiet: {absence: source == "b", for: 1m, expect: tables.all, agent: none}
"""


def holds(folder: Path, events: str, expect: str, answers: str = "{}", pipeline: str = LOGINS) -> None:
    found = verdict_of(folder, events, expect, answers, pipeline)
    assert (told(found), found.complaints) == ([], ())


def test_what_fires_is_told_with_its_time_and_its_values(tmp_path: Path) -> None:
    firing = (
        "{trigger: many, key: web-1, by: null, at: 2s, values: {failures: 3}, labels: {severity: critical}, events: 3}"
    )
    holds(tmp_path, f"[{FAILED}]", f"{{firings: [{firing}]}}")


def test_nothing_fires_where_nothing_should(tmp_path: Path) -> None:
    holds(tmp_path, "[{event: {host: web-1, outcome: failed}}]", "{none: true}")


def test_silence_ends_an_episode_at_the_time_that_the_file_says(tmp_path: Path) -> None:
    """The third failure leaves the span at 61s; the watermark of an idle input is there after two minutes of silence."""
    holds(tmp_path, f"[{FAILED}, {{advance: 2m}}]", "{resolved: [{trigger: many, at: 1m, reason: null}]}")
    holds(tmp_path, f"[{FAILED}, {{advance: 1m}}]", "{resolved: []}")


def test_the_end_of_the_input_makes_everything_due(tmp_path: Path) -> None:
    holds(
        tmp_path,
        f"[{FAILED}, {{end: true}}]",
        "{firings: [{trigger: many, end: false}, {trigger: hourly, end: true}], resolved: [{at: 1m}]}",
    )


def test_a_rule_without_a_model_asks_nobody(tmp_path: Path) -> None:
    expect = "{prompts: [], results: [{state: final, trigger: root, agent: null, answer: null}]}"
    holds(tmp_path, "[{event: {host: web-1, user: root}}]", expect)


def test_a_firing_that_is_skipped_is_a_result_with_its_reason_and_no_firing(tmp_path: Path) -> None:
    pipeline = SESSIONS + (
        "  first: {each: 'event.x == 2', cooldown: 1m, limit: 1/hour, agent: none}\n"
        "  after: {each: 'event.x == 3', inhibited_by: [first], agent: none}\n"
    )
    events = "[{at: 0s, source: a, event: {k: h, x: 2}}, {at: 1s, source: a, event: {k: h, x: 3}}, {advance: 5m}]"
    skipped = "{trigger: after, at: 1s, state: skipped, reason: inhibited, why: {inhibited_by: [first]}}"
    expect = f"{{firings: [{{trigger: first}}], results: [{{state: final}}, {skipped}], counts: {{inhibited: 1}}}}"
    holds(tmp_path, events, expect, pipeline=pipeline)
    limited = "[{at: 0s, source: a, event: {k: h, x: 2}, repeat: {times: 2, every: 2m}}, {advance: 5m}]"
    results = "{any: [{trigger: first, state: skipped, reason: limit}]}"
    holds(tmp_path, limited, f"{{results: {results}, counts: {{limit: 1}}}}", pipeline=pipeline)


CORRECTED = """
penstock: v1
name: payments
sources:
  paid: {topic: paid, key: event.card, watermark: {delay: 0s, idle: 1m, lateness: 10s}}
define:
  spent: sum(event.amount, 1m)
  refunds: count(event.amount < 0, 1m)
triggers:
  velocity: {when: spent > 100 && refunds < 1, until: spent < 1, late: correct, agent: none}
"""


def test_a_correction_is_no_firing_and_is_told_with_what_it_changes(tmp_path: Path) -> None:
    events = (
        "[{at: 0s, event: {card: c, amount: 60}}, {at: 20s, event: {card: c, amount: 50}}, {at: 40s, event: {card: d}},"
        " {at: 10s, event: {card: c, amount: 7}}, {at: 15s, event: {card: c, amount: -5}}]"
    )
    fired = "{trigger: velocity, key: c, at: 20s, values: {spent: 110, refunds: 0}}"
    changed = "{trigger: velocity, key: c, by: null, at: 40s, values: {spent: 117}, withdrawn: false}"
    withdrawn = "{trigger: velocity, at: 40s, values: {spent: 112, refunds: 1}, withdrawn: true}"
    expect = f"{{firings: [{fired}], corrections: [{changed}, {withdrawn}], counts: {{late: 2, corrected: 2}}}}"
    holds(tmp_path, events, expect, pipeline=CORRECTED)
    missing = verdict_of(tmp_path, events, f"{{corrections: [{changed}]}}", pipeline=CORRECTED)
    assert [difference.kind for difference in missing.differences] == ["extra"]


def test_answers_are_given_call_by_call(tmp_path: Path) -> None:
    answers = "{judge: [{verdict: attack, why: one}, {verdict: benign, why: two}]}"
    events = f"[{FAILED}, {{at: 10m, event: {{host: web-1, outcome: failed}}, repeat: {{times: 3, every: 1s}}}}]"
    holds(tmp_path, events, "{results: [{answer: {why: one}}, {answer: {why: two}}]}", answers)


def test_one_answer_is_given_to_every_call(tmp_path: Path) -> None:
    answers = "{judge: {verdict: attack, why: always}}"
    events = f"[{FAILED}, {FAILED.replace('web-1', 'web-2')}]"
    holds(tmp_path, events, "{results: [{key: web-1, answer: {why: always}}, {key: web-2}]}", answers)


@pytest.mark.parametrize(
    ("script", "states", "route"),
    [
        ("[refuse, {verdict: attack, why: x}]", "attack", ["invalid", "answered"]),
        ("[cut, {verdict: attack, why: x}]", "attack", ["failed", "answered"]),
        ("[unusable, {verdict: attack, why: x}]", "attack", ["unusable", "answered"]),
        ("[unusable, unusable]", "benign", ["unusable", "unusable"]),
        ("refuse", "benign", ["invalid", "invalid"]),
        ("timeout", "benign", ["timed_out"]),
    ],
)
def test_faults_show_repair_the_next_model_and_the_fallback(
    script: str, states: str, route: list[str], tmp_path: Path
) -> None:
    outcomes = ", ".join(f"{{outcome: {each}}}" for each in route)
    expect = f"{{results: [{{state: final, answer: {{verdict: {states}}}, why: {{route: [{outcomes}]}}}}]}}"
    holds(tmp_path, f"[{FAILED}]", expect, f"{{judge: {script}}}")


def test_a_free_text_is_an_answer_and_nothing_is_an_unusable_one(tmp_path: Path) -> None:
    events = "[{event: {host: web-1}}, {advance: 2h}]"
    holds(tmp_path, events, "{results: [{state: final, text: All quiet.}]}", "{report: All quiet.}")
    reason = "the answer was not usable: it was empty"
    holds(tmp_path, events, f"{{results: [{{state: failed, reason: '{reason}'}}]}}", "{report: unusable}")


def test_what_is_asked_can_be_looked_at_whoever_answers(tmp_path: Path) -> None:
    prompt = (
        "{agent: judge, trigger: many, key: web-1, model: small, question: Is web-1 under attack?, contains: failed}"
    )
    other = "{model: large, lacks: [web-2, benign-]}"
    holds(tmp_path, f"[{FAILED}]", f"{{prompts: [{prompt}, {other}]}}")


def test_a_repair_is_a_prompt_of_its_own(tmp_path: Path) -> None:
    expect = "{prompts: [{lacks: not usable}, {contains: The last answer was not usable}]}"
    holds(tmp_path, f"[{FAILED}]", expect, "{judge: unusable}")


def test_results_are_compared_with_times_from_the_beginning(tmp_path: Path) -> None:
    expect = "{results: [{at: 2s, episode: {status: firing, starts_at: 2s, ends_at: null}, why: {from: 0s, to: 2s}}]}"
    holds(tmp_path, f"[{FAILED}]", expect, "{judge: {verdict: attack, why: x}}")


def test_what_is_left_out_or_held_back_is_counted(tmp_path: Path) -> None:
    events = (
        f"[{FAILED}, {{at: 1h, event: {{host: web-1, outcome: test}}}}, {{at: 1s, event: {{host: web-1}}}},"
        " {event: {x: 1}}, {event: null}]"
    )
    expect = (
        "{counts: {ignored: 1, late: {auth: 1}, dead: {keyless: 1, tombstone: 1}, suppressed: 0, fired: {many: 1}}}"
    )
    holds(tmp_path, events, expect)


def test_sources_are_merged_and_one_that_is_silent_holds_time_back_until_it_is_idle(tmp_path: Path) -> None:
    one = "source: a, event: {k: z, x: 1}"
    events = f"[{{{one}}}, {{source: b, at: 1s, event: {{x: 1}}, key: z}}, {{at: 2s, {one}}}]"
    holds(tmp_path, events, "{firings: [{trigger: many, at: 2s}]}", pipeline=SESSIONS)
    silent = "[{source: a, event: {k: z}}, {source: a, at: 30m, event: {k: z}}%s]"
    due = "{firings: [{trigger: often, at: 5m4s}]}"
    holds(tmp_path, silent % "", due, pipeline=SESSIONS)
    holds(tmp_path, silent % ", {advance: 1m}", due, pipeline=SESSIONS)


def test_dead_letters_that_nobody_expects_are_a_complaint(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, "[{event: {hots: web-1}, repeat: {times: 2}}]", "{none: true}")
    (complaint,) = found.complaints
    assert complaint.startswith("not expected: 2 dead letters, keyless: the key `event.host` is missing")
    assert not found.ok


def test_a_result_needs_an_answer_and_the_complaint_says_what_to_write(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, f"[{FAILED}]", "{results: [{answer: {verdict: benign}}]}")
    assert found.differences == ()
    assert found.complaints == (
        'judge was asked 2 times without an answer; write `answers: {judge: {verdict: "attack", why: …}}`',
    )
    free = verdict_of(tmp_path, "[{event: {host: web-1}}, {advance: 2h}]", "{results: [{state: failed}]}")
    assert free.complaints == ("report was asked 2 times without an answer; write `answers: {report: some text}`",)


def test_a_list_of_answers_that_is_used_up_is_no_answer(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, f"[{FAILED}]", "{results: [{state: final}]}", "{judge: [refuse]}")
    assert [each.split(";")[0] for each in found.complaints] == ["judge was asked once without an answer"]


def test_events_that_were_not_seen_are_noted(tmp_path: Path) -> None:
    found = verdict_of(
        tmp_path,
        f"[{FAILED}, {{at: 1h, event: {{host: a, outcome: test}}}}, {{at: 1s, event: {{host: a}}}}]",
        "{none: true}",
    )
    assert found.notes == (
        "1 event came later than `watermark.lateness` allows",
        "1 event fell under `ignore`",
    )


def test_what_did_not_happen_may_wait_for_time_and_is_told_how_far_time_had_come(tmp_path: Path) -> None:
    missing = "{resolved: [{trigger: many}]}"
    assert verdict_of(tmp_path, f"[{FAILED}]", missing).notes == (TIME.format("2s"),)
    never = "{firings: [{trigger: root}]}"
    assert verdict_of(tmp_path, f"[{FAILED}, {{end: true}}]", never).notes == ()
    assert verdict_of(tmp_path, f"[{FAILED}, {{advance: 1h}}]", "{none: true}").notes == ()


def test_an_input_without_an_event_holds_time_and_that_is_told(tmp_path: Path) -> None:
    events = "{source: a, event: {k: x, x: 1}, repeat: {times: 3, every: 1s}}, {advance: 30s}"
    found = verdict_of(tmp_path, f"[{events}]", "{resolved: [{trigger: many}]}", pipeline=SESSIONS)
    assert found.notes == (NO_TIME,)


def test_whoever_is_expected_and_never_spoke_is_missed_from_the_first_instant_of_time(tmp_path: Path) -> None:
    """The second input is left out after a minute, when the first one has been idle for 30s: event time begins there."""
    events = "[{source: a, event: {k: x}}, {advance: 10m}]"
    expect = "{firings: [{trigger: quiet, key: y, at: 1m30s}]}"
    assert (
        told(verdict_of(tmp_path, f"[{{row: {{}}, table: all, key: y}}, {events[1:]}", expect, pipeline=EXPECTED)) == []
    )


def test_scenarios_share_answers_and_a_beginning_and_may_have_their_own(tmp_path: Path) -> None:
    one = f"events: [{FAILED}], expect: {{results: [{{answer: {{why: %s}}, episode: {{starts_at: '%s'}}}}]}}"
    text = (
        "start: 2026-05-01T10:00:30Z\nanswers: {judge: {verdict: attack, why: shared}}\nscenarios:\n"
        f"  - {{name: shared, {one % ('shared', '2026-05-01T10:00:32Z')}}}\n"
        f"  - {{name: own, start: '1999-01-01T01:02:03Z', answers: {{judge: {{verdict: attack, why: own}}}},"
        f" {one % ('own', '1999-01-01T01:02:05Z')}}}\n"
    )
    assert [(each.name, told(each)) for each in verdicts_of(tmp_path, text)] == [("shared", []), ("own", [])]


def test_the_same_scenario_has_the_same_verdict_every_time(tmp_path: Path) -> None:
    def differences() -> Any:
        return verdict_of(tmp_path, f"[{FAILED}, {{end: true}}]", "{results: []}", "{judge: cut, report: x}")

    assert differences() == differences()


def test_a_recording_that_cannot_be_played_makes_its_scenario_fail(tmp_path: Path) -> None:
    (tmp_path / "rec.jsonl").touch()
    found = verdict_of(tmp_path, "[{file: rec.jsonl}]", "{none: true}")
    assert found.complaints == (f"{tmp_path / 'rec.jsonl'}: it has no lines (a recording holds one record a line)",)


def test_numbers_of_any_size_can_be_written(tmp_path: Path) -> None:
    huge = "1" * 40
    events = f"[{{event: {{host: a, x: {huge}, user: root}}}}]"
    found = verdict_of(tmp_path, events, f"{{results: [{{key: a, usage: {{calls: {huge}}}}}]}}")
    assert told(found) == [("results", "differs", {"usage.calls": 0})]
    assert huge in json_text(Report([found], []))
