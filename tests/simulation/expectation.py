"""What has to be told of a story, whatever goes wrong in it: the core fed by hand, with no broker and no time in between.

events ──▶ partitions ──▶ one core each: record by record, every question answered at once ──▶ outcomes
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from tests.simulation.messages import Record, Sent

from penstock.connectors.partition import partition_of
from penstock.operators.event import Answered, Arrived, Ask, ChatRequest, Event, Progress, Ticked, Usage
from penstock.operators.task import Task
from penstock.pipelines.compile import Pipeline

DAY_MS = 86_400_000

Outcomes = dict[tuple[str, str], Any]
"""(run, state) → answer, as `Told.outcomes` has it."""


def placed(topic: str, partitions: int, events: Iterable[Sent]) -> list[list[Record]]:
    """The records of a topic, partition by partition, when these events are written to it one after the other."""
    found: list[list[Record]] = [[] for _ in range(partitions)]
    for sent in events:
        number = partition_of(sent.key or b"", partitions)
        offset = len(found[number])
        found[number].append(Record(topic, number, offset, sent.timestamp, sent.key, sent.value, sent.headers))
    return found


def expected(pipeline: Pipeline, records: Sequence[Sequence[Record]], answer: Callable[[ChatRequest], str]) -> Outcomes:
    """Of a pipeline with one input, when a day has passed since the last record."""
    outcomes: Outcomes = {}
    for partition, each in enumerate(records):
        outcomes |= _of_partition(Task(pipeline.plan, partition), each, answer)
    return outcomes


def _of_partition(core: Task, records: Sequence[Record], answer: Callable[[ChatRequest], str]) -> Outcomes:
    for _ in core.opening({}, 0):
        pass
    for record in records:
        _feed(core, Arrived({record.topic: [record]}, {}, record.timestamp), answer)
    if records:
        end, later = len(records), records[-1].timestamp + DAY_MS
        _feed(core, Ticked(later, {records[-1].topic: Progress(end, end, later)}), answer)
    cut = core.cut(seq=0, incarnation=1, owner="", build="", sent={})
    results = [orjson.loads(each.value or b"") for each in cut.outputs if each.topic == core.plan.results.results]
    return {(result["run"], result["state"]): result["answer"] for result in results}


def _feed(core: Task, event: Event, answer: Callable[[ChatRequest], str]) -> None:
    asked = deque(core.feed(event))
    while asked:
        effect = asked.popleft()
        if isinstance(effect, Ask):
            asked += core.feed(Answered(effect.call_id, answer(effect.request), "stop", Usage()))
