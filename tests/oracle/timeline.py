"""Triggers played over a drawing: every character is a second of event time.

events    a·a·|    a letter is an event of key `k` whose field `x` is that letter, · is nothing
                   | is an event of another key: it says what time it is, and nothing else
fired     ··F·R    F: fired, R: resolved, at the second that the result names
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.oracle.product import PARTITION, TOPIC, Worker, milliseconds, plan_of, results

from penstock.operators.record import Record

HEAD = """
penstock: v1
name: timeline
sources:
  in: {topic: in, key: event.key, time: {at: event.t, unit: s}, watermark: {delay: %s, idle: never}}
triggers:
  played: {%s, agent: none}
"""


@dataclass(frozen=True)
class Played:
    """`marks` is a drawing as long as that of the events, `causes` names what fired, `values` per firing."""

    marks: str
    causes: list[str]
    suppressed: int
    results: list[dict[str, Any]]


def play(trigger: str, events: str, *, delay: str = "0s", ended: bool = False) -> Played:
    """Event time of the drawing's first character is 0."""
    return play_records(trigger, _drawn(events), length=len(events), delay=delay, ended=ended)


def play_records(
    trigger: str, events: Sequence[tuple[int, str]], *, length: int, delay: str = "0s", ended: bool = False
) -> Played:
    """The same for events in any order: (second, character)."""
    worker = Worker(plan_of(HEAD % (delay, trigger)), [_record(offset, *event) for offset, event in enumerate(events)])
    worker.feed(len(events), 0)
    if ended:
        worker.end()
    worker.commit()
    every = results(worker.outputs, worker.plan.results.results)
    told = [result for result in every if (result["key"], result["triggers"]) == ("k", ["played"])]
    headers = {output.id: dict(output.headers) for output in worker.outputs}
    marks = ["·"] * length
    for result in told:
        if result["state"] == "resolved":
            marks[milliseconds(result["episode"]["ends_at"]) // 1000] = "R"
        else:
            marks[milliseconds(headers[f"{result['run']}/{result['rev']}"]["ce_time"].decode()) // 1000] = "F"
    causes = [result["why"]["fired_by"] for result in told if result["state"] != "resolved"]
    return Played("".join(marks), causes, worker.counters["suppressed", "played"], told)


def _drawn(events: str) -> list[tuple[int, str]]:
    return [(second, character) for second, character in enumerate(events) if character != "·"]


def drawn(events: str) -> list[Record]:
    """The records of a drawing."""
    return [_record(offset, *event) for offset, event in enumerate(_drawn(events))]


def _record(offset: int, second: int, character: str) -> Record:
    event = {"key": "other", "t": second} if character == "|" else {"key": "k", "t": second, "x": character}
    return Record(TOPIC, PARTITION, offset, 1000 * second, None, json.dumps(event).encode())
