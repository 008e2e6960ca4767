"""What has to be told of a story, whatever goes wrong in it: the core fed by hand, with no broker and no time in between.

events ──▶ partitions ──▶ one core each: record by record, every question answered at once ──▶ outcomes

Of several inputs the events come in the order of their times, whichever input they belong to, and no merge has a say in it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from tests.simulation.messages import Record, Sent

from penstock.connectors.partition import partition_of
from penstock.operators.event import Answered, Arrived, Ask, ChatRequest, Event, Progress, Ticked, Usage
from penstock.operators.task import Task
from penstock.pipelines.compile import Pipeline

DAY_MS = 86_400_000
NOTHING_MORE = Progress(0, 0, 0)
"""Of an input: nobody has to wait for it, and it has not been silent."""

Parsed = Mapping[str, Any]
"""A result."""
Outcomes = dict[tuple[str, str], Any]
"""(run, state) → answer, as `Told.outcomes` has it."""


def placed(partitions: int, events: Iterable[tuple[str, Sent]]) -> list[list[Record]]:
    """The records of the inputs, partition by partition, when these events are written one after the other."""
    found: list[list[Record]] = [[] for _ in range(partitions)]
    ends: Counter[tuple[str, int]] = Counter()
    for topic, sent in events:
        number = partition_of(sent.key or b"", partitions)
        offset = ends[topic, number]
        ends[topic, number] += 1
        found[number].append(Record(topic, number, offset, sent.timestamp, sent.key, sent.value, sent.headers))
    return found


def expected(pipeline: Pipeline, records: Sequence[Sequence[Record]], answer: Callable[[ChatRequest], str]) -> Outcomes:
    """When a day has passed since the last record."""
    outcomes: Outcomes = {}
    for partition, each in enumerate(records):
        outcomes |= outcomes_of(results_of(Task(pipeline.plan, partition), each, answer))
    return outcomes


def outcomes_of(results: Iterable[Parsed]) -> Outcomes:
    return {(result["run"], result["state"]): result["answer"] for result in results}


def results_of(core: Task, records: Sequence[Record], answer: Callable[[ChatRequest], str]) -> list[Parsed]:
    """All that a new core says of these records, and of the day after the last one."""
    for _ in core.opening({}, 0):
        pass
    inputs = [source.topic for source in core.plan.sources]
    for record in records:
        _feed(core, Arrived({record.topic: [record]}, dict.fromkeys(inputs, NOTHING_MORE), record.timestamp), answer)
    if records:
        later = records[-1].timestamp + DAY_MS
        _feed(core, Ticked(later, dict.fromkeys(inputs, Progress(0, 0, later))), answer)
    cut = core.cut(seq=0, incarnation=1, owner="", build="", sent={})
    return [orjson.loads(each.value or b"") for each in cut.outputs if each.topic == core.plan.results.results]


def _feed(core: Task, event: Event, answer: Callable[[ChatRequest], str]) -> None:
    asked = deque(core.feed(event))
    while asked:
        effect = asked.popleft()
        if isinstance(effect, Ask):
            asked += core.feed(Answered(effect.call_id, answer(effect.request), "stop", Usage()))
