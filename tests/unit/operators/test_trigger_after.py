"""Runs that follow others: what fires them, what they know, and that they begin with the outcome or not at all.

fed          e(1) e(2) e(3)
judge        └─ asked ─ ─ ─ ─ ─ ─ ─ ─▶ answered
ticket                                 └─ asked of what was there at e(1) ─ ─▶ answered
page                                                                          └▶ a result without a model
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, CallLost, Effect, Usage
from penstock.operators.record import Output

CHAIN = """
penstock: v1
name: chain
labels: {team: ops}
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never, lateness: 5s}}
define:
  failures: count(event.outcome == "failed", 60s)
  seen: count(true, 60s)
triggers:
  failed: {each: event.outcome == "failed", agent: judge, labels: {severity: error}}
  many: {when: failures >= 2, agent: judge}
  ticket: {after: judge, where: 'answer.verdict == "attack" && values.failures >= 1', agent: write, labels: {kind: ticket}}
  page:
    after: write
    where: trigger.name == "ticket" && text != ""
    agent: none
    annotations: {summary: "{{ key }}: {{ text }} ({{ values.seen }})"}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: Is it one?, answer: {verdict: {enum: [attack, benign]}, sure: {type: boolean}}}
  write: {ask: "Write about {{ answer.verdict }} at {{ trigger.time }}. {{ answer | tojson }}"}
"""


def asked(effects: list[Effect]) -> Ask:
    [ask] = [effect for effect in effects if isinstance(effect, Ask)]
    return ask


def judged(ask: Ask, verdict: str = "attack") -> Answered:
    return Answered(ask.call_id, json.dumps({"verdict": verdict, "sure": True}), "stop", Usage())


def written(ask: Ask, text: str = "Look.") -> Answered:
    return Answered(ask.call_id, text, "stop", Usage())


def headers(outputs: list[Output], result: dict[str, Any]) -> dict[str, str]:
    [found] = {output.headers for output in outputs if output.id == f"{result['run']}/{result['rev']}"}
    return {name: value.decode() for name, value in found}


def test_an_answer_begins_the_next_run_in_the_same_delta() -> None:
    stand = Stand(CHAIN)
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    stand.cut()
    following = asked(stand.task.feed(judged(question)))
    cut = stand.cut()
    [result] = stand.results(cut)
    assert result["triggers"] == ["failed"]
    assert list(cut.delta.runs) == [question.run, following.run]


def test_what_follows_knows_what_the_run_before_knew_and_nothing_else() -> None:
    stand = Stand(CHAIN)
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    stand.feed(stand.event(50, outcome="ok"), stand.event(90, outcome="ok"))
    following = asked(stand.task.feed(judged(question)))
    before, after = (ask.request.messages[-1].content for ask in (question, following))
    assert before.partition("\nKey:")[0] == after.partition("\nKey:")[0]
    assert after.endswith('Write about attack at 1970-01-01T00:00:01.000Z. {"sure": true, "verdict": "attack"}')
    assert 'Values: {"failures":1,"seen":1}' in after


def test_its_result_says_what_it_follows() -> None:
    stand = Stand(CHAIN)
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    stand.task.feed(written(asked(stand.task.feed(judged(question)))))
    cut = stand.cut()
    first, ticket, page = stand.results(cut)
    assert [result["triggers"] for result in (first, ticket, page)] == [["failed"], ["ticket"], ["page"]]
    assert ticket["why"]["fired_by"] == f"{first['run']}/{first['rev']}"
    assert ticket["why"]["condition"] == 'after: judge, where: answer.verdict == "attack" && values.failures >= 1'
    assert (ticket["labels"], page["labels"]) == ({"team": "ops", "kind": "ticket"}, {"team": "ops"})
    assert (ticket["text"], page["annotations"]["summary"], page["text"]) == ("Look.", "h: Look. (1)", None)
    told = headers(cut.outputs, page)
    assert (told["ce_time"], told["ce_causationid"]) == ("1970-01-01T00:00:01.000Z", f"{ticket['run']}/{ticket['rev']}")
    assert "ce_correlationid" not in told


def test_a_chain_is_correlated_with_the_episode_with_which_it_began() -> None:
    stand = Stand(CHAIN.replace('"failed", agent: judge', '"failed", agent: none'))
    question = asked(stand.feed(stand.event(1, outcome="failed"), stand.event(2, outcome="failed")))
    stand.task.feed(written(asked(stand.task.feed(judged(question)))))
    cut = stand.cut()
    opened = next(result for result in stand.results(cut) if result["triggers"] == ["many"])
    for trigger in ("ticket", "page"):
        result = next(result for result in stand.results(cut) if result["triggers"] == [trigger])
        assert result["episode"] is None
        assert headers(cut.outputs, result)["ce_correlationid"] == opened["episode"]["id"]


@pytest.mark.parametrize("verdict", ["benign", "nonsense"])
def test_what_does_not_match_and_what_failed_is_not_followed(verdict: str) -> None:
    stand = Stand(CHAIN)
    effects = stand.feed(stand.event(1, outcome="failed"))
    for _ in range(2):  # what cannot be used is asked for once more
        effects = stand.task.feed(judged(asked(effects), verdict)) if effects else []
    assert [result["triggers"] for result in stand.results(stand.cut())] == [["failed"]]
    assert stand.task.counters["fired", "ticket"] == 0


def test_a_run_that_failed_is_not_followed_even_where_every_answer_is() -> None:
    stand = Stand(CHAIN.replace(", where: 'answer.verdict == \"attack\" && values.failures >= 1'", ""))
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    assert stand.task.feed(CallLost(question.call_id, "failed", "gone")) == []
    assert [result["state"] for result in stand.results(stand.cut())] == ["failed"]


def test_what_a_condition_cannot_find_follows_nothing_and_is_counted() -> None:
    stand = Stand(CHAIN.replace('text != ""', 'answer.title != ""'))
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    stand.task.feed(written(asked(stand.task.feed(judged(question)))))
    assert stand.task.counters["fired", "page"] == 0
    condition = 'trigger.name == "ticket" && answer.title != ""'
    assert stand.task.counters["expression_unknown", condition] == 1


def test_the_same_answer_after_a_crash_begins_the_same_run() -> None:
    runs = set()
    for crashes in range(2):
        stand = Stand(CHAIN)
        question = asked(stand.feed(stand.event(1, outcome="failed")))
        stand.cut()
        following = asked(stand.task.feed(judged(question)))
        if crashes:
            again = asked(stand.reopen())
            following = asked(stand.task.feed(judged(again)))
        runs.add(following.run)
    assert len(runs) == 1


def test_after_a_restart_it_is_asked_about_the_events_of_the_run_before_though_the_window_let_them_go() -> None:
    stand = Stand(CHAIN.replace("triggers:", "context: {window: {events: 2}}\ntriggers:", 1))
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    stand.feed(*(stand.event(time, outcome="ok") for time in range(2, 9)))
    stand.cut()
    following = asked(stand.task.feed(judged(question)))
    stand.cut()
    assert asked(stand.reopen()).request.messages == following.request.messages
    stand.snapshot(0, 1)
    stand.trim()
    assert asked(stand.reopen()).request.messages == following.request.messages


def test_a_part_of_a_key_stays_the_part_that_it_is_about() -> None:
    stand = Stand(CHAIN.replace('"failed", agent: judge', '"failed", by: event.ip, agent: judge'))
    question = asked(stand.feed(stand.event(1, outcome="failed", ip="::1")))
    stand.task.feed(written(asked(stand.task.feed(judged(question)))))
    results = stand.results(stand.cut())
    assert [(result["by"], result["why"]["by"]) for result in results] == [("::1", "event.ip")] * 3


def test_an_agent_is_asked_once_per_answer_by_every_trigger_that_is_after_it() -> None:
    stand = Stand(CHAIN.replace("  page:", "  note: {after: judge, agent: none}\n  page:"))
    question = asked(stand.feed(stand.event(1, outcome="failed")))
    following = asked(stand.task.feed(judged(question)))
    note, ticket = stand.task.counters["fired", "note"], stand.task.counters["fired", "ticket"]
    assert (note, ticket) == (1, 1)
    assert stand.task.feed(judged(question)) == []
    assert following.run != question.run
