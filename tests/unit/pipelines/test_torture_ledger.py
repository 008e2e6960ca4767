"""The judge of a torture run sees what it has to see: a history without a fault, and every way to damage it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from penstock.operators.record import Headers
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.torture_ledger import Ledger, Seen, checksum
from penstock.pipelines.torture_load import (
    EVERY,
    JUDGED,
    Oracle,
    all_topics,
    events,
    number_of,
    pipeline_text,
    topics_of,
)
from penstock.pipelines.torture_story import Problem
from penstock.state.codec import records_of
from penstock.state.delta import Delta, Header

TOPICS = topics_of("t")
EVENTS = 120
History = list[Seen]


def seen(topic: str, offset: int, value: bytes, key: bytes = b"k", headers: Headers = (), at: float = 0.0) -> Seen:
    return Seen(topic, 0, offset, at, 0, key, value, headers)


def event(number: int) -> Seen:
    return seen(TOPICS.source, number, orjson.dumps({"number": number}), b"k")


def result(run: str, rev: int, state: str, trigger: str, nth: int, **more: Any) -> dict[str, Any]:
    judged = trigger == "hundredth"
    return {
        "run": run, "rev": rev, "attempt": 1 if judged else None, "state": state, "triggers": [trigger], "key": "k",
        "why": {"fired_by": f"{TOPICS.source}/0@{nth - 1}", "values": {"n": nth}}, "degraded": [], "text": None,
        "answer": {"verdict": "fine"} if judged else None, **more,
    }  # fmt: skip


def commit(seq: int, incarnation: int, owner: str = "host/1") -> Seen:
    delta = Delta(header=Header(seq=seq, incarnation=incarnation, owner=owner))
    (record,) = records_of(delta, incarnation)
    return seen(TOPICS.log, seq, record.value, record.key, record.headers)


def told(records: Sequence[dict[str, Any]]) -> History:
    """On results what is no partial, on partials everything."""
    outcomes = [record for record in records if record["state"] != "partial"]
    return [
        seen(topic, offset, orjson.dumps(record))
        for topic, each in ((TOPICS.results, outcomes), (TOPICS.partials, records))
        for offset, record in enumerate(each)
    ]


def stories() -> list[dict[str, Any]]:
    """120 events of one key: six results by themselves, of which the last may still hold, and one that was judged."""
    found = []
    for nth in range(20, EVENTS + 1, 20):
        found.append(result(f"0-{nth}", 1, "final", "twentieth", nth))
        if nth < EVENTS:
            found.append(result(f"0-{nth}", 2, "resolved", "twentieth", nth))
        if nth == 100:
            found.append(result("0-j", 1, "partial", "hundredth", nth, answer={}))
            found.append(result("0-j", 2, "final", "hundredth", nth))
            found.append(result("0-j", 3, "resolved", "hundredth", nth))
    return found


def history() -> History:
    chain = [commit(0, 1), commit(1, 1), commit(2, 2, "host/2"), commit(3, 2, "host/2")]
    return [*map(event, range(EVENTS)), *chain, *told(stories())]


def ledger_of(history: History) -> Ledger:
    ledger = Ledger(TOPICS, Oracle(TOPICS.source))
    for number in range(EVENTS):
        ledger.acknowledged(0, number, number)
    for each in history:
        ledger.saw(each)
    return ledger


def faults(history: History) -> list[Problem]:
    ledger = ledger_of(history)
    return [*ledger.problems, *ledger.faults_at_rest()]


def of_stories(change: Callable[[list[dict[str, Any]]], object]) -> History:
    """The history with the results changed, on both topics alike."""
    records = stories()
    change(records)
    return [each for each in history() if each.topic not in TOPICS.outputs] + told(records)


def without(topic: str, offset: int) -> History:
    return [each for each in history() if (each.topic, each.offset) != (topic, offset)]


def with_log(*commits: Seen) -> History:
    return [*(each for each in history() if each.topic != TOPICS.log), *commits]


def invented() -> dict[str, Any]:
    record = result("0-x", 1, "final", "twentieth", 20)
    return record | {"why": {"fired_by": f"{TOPICS.source}/0@7", "values": {"n": 20}}}


WRONG: dict[str, tuple[str, Callable[[], History]]] = {
    "a firing that was never told": ("lost", lambda: of_stories(lambda told: [told.pop(0), told.pop(0)])),
    "one that was never resolved": ("lost", lambda: of_stories(lambda told: told.pop(1))),
    "an outcome that comes again": ("duplicated", lambda: of_stories(lambda told: told.append(told[0]))),
    "a resolved record that comes again": ("duplicated", lambda: of_stories(lambda told: told.append(told[1]))),
    "a firing with two runs": (
        "duplicated",
        lambda: of_stories(lambda told: told.append(result("0-y", 1, "final", "twentieth", EVENTS))),
    ),
    "a run that nothing fires": ("contradicted", lambda: of_stories(lambda told: told.append(invented()))),
    "a run that counted wrongly": (
        "contradicted",
        lambda: of_stories(lambda told: told[0].update(why=told[0]["why"] | {"values": {"n": 21}})),
    ),
    "a run of another key": ("contradicted", lambda: of_stories(lambda told: told[0].update(key="other"))),
    "a run that failed": ("contradicted", lambda: of_stories(lambda told: told[0].update(state="failed"))),
    "an answer where nobody was asked": ("contradicted", lambda: of_stories(lambda told: told[0].update(answer={}))),
    "a judgement without an answer": ("contradicted", lambda: of_stories(lambda told: told[-3].update(answer=None))),
    "a fallback": ("contradicted", lambda: of_stories(lambda told: told[0].update(degraded=[{"step": "fallback"}]))),
    "resolved though it still holds": (
        "contradicted",
        lambda: of_stories(lambda told: told.append(result(f"0-{EVENTS}", 2, "resolved", "twentieth", EVENTS))),
    ),
    "outcomes of a key in the wrong order": (
        "contradicted",
        lambda: of_stories(lambda told: told.insert(0, told.pop(2))),
    ),
    "a story that never ends": (
        "contradicted",
        lambda: of_stories(lambda told: told.append(result("0-z", 1, "partial", "hundredth", 100))),
    ),
    "a record on results only": ("contradicted", lambda: without(TOPICS.partials, 1)),
    "a record on partials only": ("lost", lambda: without(TOPICS.results, 1)),
    "a dead letter": ("contradicted", lambda: [*history(), seen(TOPICS.dead, 0, b"?")]),
    "records in the wrong order of offsets": ("contradicted", lambda: [*history(), history()[-1]]),
    "a commit that is missing in the log": ("lost", lambda: with_log(commit(0, 1), commit(2, 1))),
    "a commit that is there twice": ("duplicated", lambda: with_log(commit(0, 1), commit(0, 1))),
    "a commit of somebody who was fenced": (
        "contradicted",
        lambda: with_log(commit(0, 1), commit(1, 2), commit(2, 1)),
    ),
    "an acknowledged event that Kafka lost": ("lost", lambda: without(TOPICS.source, EVENTS - 1)),
    "another event where one was acknowledged": (
        "lost",
        lambda: [event(0)._replace(value=b'{"number": 9}'), *history()[1:]],
    ),
}  # fmt: skip


def test_a_history_as_it_should_be_has_no_fault() -> None:
    assert faults(history()) == []
    ledger = ledger_of(history())
    assert (ledger.events, len(ledger.outcomes), ledger.resolved, ledger.missing(), ledger.unread) == (120, 7, 6, 0, 0)


@pytest.mark.parametrize("name", WRONG)
def test_damage_is_seen(name: str) -> None:
    kind, damaged = WRONG[name]
    assert kind in [problem.kind for problem in faults(damaged())]


def test_an_event_that_was_not_acknowledged_may_be_there_all_the_same() -> None:
    ledger = Ledger(TOPICS, Oracle(TOPICS.source))
    ledger.saw(event(0))
    assert [*ledger.problems, *ledger.faults_at_rest()] == []


def test_what_is_not_told_yet_is_missing_and_no_fault() -> None:
    ledger = ledger_of([each for each in history() if each.topic not in TOPICS.outputs])
    assert ledger.missing() == 7 + 6
    assert ledger.problems == []


def test_what_was_told_and_is_not_there_any_more_is_seen() -> None:
    ledger = ledger_of(history())
    there = [(each.offset, checksum(each.key, each.value)) for each in history() if each.topic == TOPICS.results]
    assert list(ledger.reread(TOPICS.results, 0, there)) == []
    changed = [(offset, crc + (offset == 3)) for offset, crc in there]
    for damaged, what in ((there[1:], "taken back"), (changed, "changed"), ([*there, (99, 1)], "before what was read")):
        (problem,) = ledger.reread(TOPICS.results, 0, damaged)
        assert problem.kind == "contradicted"
        assert what in problem.text


def test_a_log_may_be_trimmed_before_it_is_read_but_no_result() -> None:
    ledger = ledger_of([commit(0, 1)])
    ledger.skipped(TOPICS.log, 0)
    ledger.saw(commit(5, 1))
    assert ledger.problems == []
    ledger.skipped(TOPICS.results, 0)
    assert [problem.kind for problem in ledger.problems] == ["lost"]


def test_the_oracle_counts_per_key_and_knows_what_is_over() -> None:
    oracle = Oracle("events")
    for offset in range(41):
        oracle.saw(3, offset, "even" if offset % 2 == 0 else "odd")
    assert [(cause.fired_by, firing.key, firing.nth) for cause, firing in oracle.firings.items()] == [
        ("events/3@38", "even", 20), ("events/3@39", "odd", 20),
    ]  # fmt: skip
    assert [cause.fired_by for cause in oracle.resolved] == ["events/3@38"]
    assert not any(firing.judged for firing in oracle.firings.values())


def test_who_opened_a_task_is_read_from_the_log_compressed_or_not() -> None:
    many = Delta(header=Header(seq=1, incarnation=2, owner="host/2"), partials=[("r", 1, 1, "x" * 5000)])
    (record,) = records_of(many, 2)
    assert record.value[0] & 0x80
    assert zstandard.frame_content_size(record.value[1:]) > 5000
    chain = ledger_of([commit(0, 1), seen(TOPICS.log, 1, record.value, record.key, record.headers, at=5.0)]).chains[0]
    assert [each.owner for each in chain.opened] == ["host/1", "host/2"]
    assert (chain.owner_at(4.9), chain.owner_at(5.0), chain.owner_at(-1.0)) == ("host/1", "host/2", None)


def test_the_pipeline_that_is_tortured_loads_and_fires_as_the_oracle_says(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(pipeline_text("t", "127.0.0.1:1", "http://127.0.0.1:2/v1"), encoding="utf-8")
    loaded = load_pipeline([file], environ={})
    assert [problem.to_text() for problem in loaded.problems] == []
    pipeline = compile_pipeline(loaded)
    assert {trigger.name: trigger.trigger.condition for trigger in pipeline.plan.triggers} == {
        name: f"n % {every} == 0" for name, every in EVERY.items()
    }
    assert {trigger.name for trigger in pipeline.plan.triggers if trigger.agent is not None} == JUDGED
    made = {*pipeline.layout.inputs, pipeline.layout.log, *pipeline.layout.outputs}
    assert (made, made | {pipeline.layout.previews}) == (set(TOPICS), set(all_topics("t")))


def test_events_depend_on_the_seed_alone() -> None:
    one, same, other = (list(islice(events(seed, 2000), 100)) for seed in (1, 1, 2))
    assert one == same != other
    assert [number_of(each.value) for each in one] == list(range(100))
    assert (number_of(b"{}"), number_of(b"no JSON"), number_of(None)) == (-1, -1, -1)
