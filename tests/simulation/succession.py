"""What has to be told of a story in which the file changes: every run by the definition of the record that fired it.

    log      opened by A ─────────── opened by B ──────────── opened by A
    record   0   1   2   3   4   5   6   7   8   9   10   11  12  13  …
    by       A   A   A   A   A   A   B   B   B   B   B    B   A   A

At which record a definition begins only the log knows: where a task was opened by it. Nothing else is taken from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tests.simulation.chronicle import Commit
from tests.simulation.expectation import Outcomes, Parsed, outcomes_of, results_of
from tests.simulation.messages import Record

from penstock.operators.event import ChatRequest
from penstock.operators.task import Task
from penstock.pipelines.compile import Pipeline

Answer = Callable[[ChatRequest], str]


class Stage(NamedTuple):
    """From the record at offset `first` of the input on a partition went by this definition, until the next stage."""

    pipeline: Pipeline
    first: int


def stages_of(commits: Iterable[Commit], pipelines: Iterable[Pipeline], topic: str) -> list[Stage]:
    """Of one task."""
    by_digest = {pipeline.plan.digest: pipeline for pipeline in pipelines}
    found: list[Stage] = []
    for header in (commit.delta.header for commit in commits if commit.delta is not None):
        pipeline = by_digest[header.definition]
        if not found or found[-1].pipeline is not pipeline:
            found.append(Stage(pipeline, header.positions[topic].offset))
    return found


def expected_in_stages(partition: int, stages: Sequence[Stage], records: Sequence[Record], answer: Answer) -> Outcomes:
    """Of one partition with one input.

    Whether a trigger fires does not depend on when definitions changed if all of them know it, or if it remembers nothing.
    """
    pipelines = list({id(stage.pipeline): stage.pipeline for stage in stages}.values())
    outcomes: Outcomes = {}
    for pipeline in pipelines:
        own = _own_memories(pipeline, pipelines)
        results = results_of(Task(pipeline.plan, partition), records, answer)
        begun = [each for each in results if _at(_offset(each), stages).pipeline is pipeline]
        outcomes |= outcomes_of(each for each in begun if _trigger(each) not in own)
        for trigger in own:
            outcomes |= outcomes_of(_Memory(pipeline, trigger, partition, answer).results(stages, records))
    return outcomes


def _own_memories(pipeline: Pipeline, pipelines: Iterable[Pipeline]) -> list[str]:
    """Triggers that remember something and are not known to all."""
    known = set.intersection(*({each.identity for each in other.plan.triggers} for other in pipelines))
    return [each.name for each in pipeline.plan.triggers if each.trigger.episodic and each.identity not in known]


def _trigger(result: Parsed) -> str:
    return str(result["triggers"][0])


def _offset(result: Parsed) -> int:
    """Of the record that fired it."""
    return int(result["why"]["fired_by"].rpartition("@")[2])


def _at(offset: int, stages: Sequence[Stage]) -> Stage:
    return next(stage for stage in reversed(stages) if stage.first <= offset)


class _Memory(NamedTuple):
    """Of a trigger that counts up and never goes off: it is taken up again when its definition comes back.

    What it has counted is not, if it missed an event of the key meanwhile: then it begins anew. Once on it stays on.
    """

    pipeline: Pipeline
    trigger: str
    partition: int
    answer: Answer

    def results(self, stages: Sequence[Stage], records: Iterable[Record]) -> Iterator[Parsed]:
        by_key: dict[bytes | None, list[Record]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(record)
        for of_key in by_key.values():
            yield from self._fired(self._known(stages, of_key))

    def _known(self, stages: Sequence[Stage], records: Iterable[Record]) -> list[Record]:
        """The records of one key that count."""
        known: list[Record] = []
        for stage, fed in groupby(records, lambda record: _at(record.offset, stages)):
            if stage.pipeline is self.pipeline:
                known += fed
            elif not self._fired(known):
                known = []
        return known

    def _fired(self, records: Sequence[Record]) -> list[Parsed]:
        results = results_of(Task(self.pipeline.plan, self.partition), records, self.answer)
        return [each for each in results if _trigger(each) == self.trigger]
