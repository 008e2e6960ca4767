"""Feeding a recording to the core without a broker, a model or a clock: for `check --sample` and `render`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from penstock.operators.error import Misused, Rejected
from penstock.operators.event import Arrived, Ask, CallLost, Effect, Ended, Progress
from penstock.operators.plan import Plan
from penstock.operators.record import Raw
from penstock.operators.source import Source
from penstock.operators.task import Task
from penstock.pipelines.recording import as_records, recorded_at, recorded_values


def source_of(plan: Plan, name: str | None) -> Source:
    """The source that a recording is of. Raises Misused where the name is wrong, or missing and needed,
    Rejected where its records are no lines."""
    names = ", ".join(source.name for source in plan.sources)
    if name is None and len(plan.sources) > 1:
        raise Misused("there are several sources", where="--source", remedy=f"name one of: {names}")
    for source in plan.sources:
        if name in (None, source.name):
            return _of_lines(source)
    raise Misused(f"there is no source {name!r}", where="--source", remedy=f"name one of: {names}")


def _of_lines(source: Source) -> Source:
    if source.binary:
        raise Rejected(
            "its records are no lines of text, and a recording is a file of lines",
            where=f"source {source.name}",
            remedy="write what its records say as JSON lines, and name a file in which its `format` is json, such as "
            f"with --set sources.{source.name}.format=json",
        )
    return source


def sample_records(source: Source, path: Path) -> Iterator[Raw]:
    return as_records(source, recorded_values(path), recorded_at(source, path))


def keys_of(task: Task) -> int:
    """How many there were: where the file has a `forget`, the end of a recording takes them all away."""
    return task.keys + sum(count for name, count in task.counters.items() if name[0] == "forgotten")


class SampleTask:
    """One task fed record by record, as if its source were the only one: events would wait for those of the others.

    No model is asked: `asked` collects the first question of every run, which then fails.
    """

    def __init__(self, plan: Plan, source: Source) -> None:
        self._source = source
        asked_for = replace(plan, sources=(source,), keeps_moment=True)  # last events are read from outside
        self.task = Task(asked_for, 0)
        self.asked: list[Ask] = []
        self._seen: set[str] = set()
        self._now = 0

    def feed(self, raw: Raw) -> None:
        self._now = max(self._now, raw.timestamp)
        progress = {self._source.topic: Progress(raw.offset + 1, raw.offset + 1, self._now)}
        self._collect(self.task.feed(Arrived({self._source.topic: [raw]}, progress, self._now)))

    def end(self) -> None:
        """The recording is over: the watermark passes everything."""
        self._collect(self.task.feed(Ended(self._now)))

    def _collect(self, effects: list[Effect]) -> None:
        waiting = deque(effect for effect in effects if isinstance(effect, Ask))
        while waiting:
            ask = waiting.popleft()
            if ask.run not in self._seen and not ask.judges:
                self._seen.add(ask.run)
                self.asked.append(ask)
            lost = CallLost(ask.call_id, "invalid", "a sample is sent to no model")
            waiting += [effect for effect in self.task.feed(lost) if isinstance(effect, Ask)]
