"""One task in its place, for tests of what it does with every kind of event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.oracle.product import plan_of

from penstock.operators.continuation import Continues, never
from penstock.operators.event import Arrived, Effect, Progress, Ticked
from penstock.operators.plan import Plan
from penstock.operators.record import Record
from penstock.operators.task import Cut, Task
from penstock.state.codec import decode, encode
from penstock.state.delta import Bucket, Entry, EntryKind, Position


class Stand:
    """A task in its place: counts offsets and commits, keeps the log, can die."""

    def __init__(self, text: str) -> None:
        self.plan: Plan = plan_of(text)
        self.log: list[bytes] = []
        self.now = 1_000_000
        self._offsets: dict[str, int] = {}
        self._seq = 0
        self.task = Task(self.plan, 3)

    def event(self, time: int, topic: str = "auth", **fields: Any) -> Record:
        return self.raw(json.dumps({"host": "h", "t": time, **fields}).encode(), 1000 * time, topic)

    def raw(self, value: bytes | None, timestamp: int = 0, topic: str = "auth") -> Record:
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + 1
        return Record(topic, 3, offset, timestamp, b"key", value)

    def feed(self, *records: Record, lags: Sequence[str] = ()) -> list[Effect]:
        """Everything that there is was fetched, but for the topics that lag."""
        topics = {self._input(topic): [each for each in records if each.topic == topic] for topic in self._offsets}
        return self.task.feed(Arrived(topics, self.progress(*lags), self.now))

    def row(self, key: str, topic: str = "cmdb", timestamp: int = 0, **fields: Any) -> Record:
        """A record of a table."""
        value = json.dumps(fields).encode() if fields else None
        return replace(self.raw(value, timestamp, topic), key=key.encode())

    def _input(self, topic: str) -> str:
        """The name of the task's input."""
        table = next((table for table in self.plan.tables if table.topic == topic), None)
        return topic if table is None else table.input(3)

    def progress(self, *lags: str) -> dict[str, Progress]:
        topics = [*(source.topic for source in self.plan.sources), *(table.topic for table in self.plan.tables)]
        return {
            self._input(topic): Progress(
                self._offsets.get(topic, 0), self._offsets.get(topic, 0) + (topic in lags), self.now
            )
            for topic in topics
        }

    def tick(self, elapsed: int, *lags: str) -> list[Effect]:
        self.now += elapsed
        return self.task.feed(Ticked(self.now, self.progress(*lags)))

    def cut(self, kind: EntryKind = "delta") -> Cut:
        self._seq += 1
        cut = self.task.cut(seq=self._seq, incarnation=1, owner="o", build="b", sent={}, kind=kind)
        self.log.append(encode(cut.delta))
        return cut

    def snapshot(self, index: int, of: int) -> None:
        self.log.append(encode(self.task.image(index, of, self._seq)))

    def trim(self) -> None:
        """Keep what the last snapshot needs, if it was one of everything: itself, and the delta before it."""
        del self.log[:-2]

    def reopen(self, plan: Plan | None = None, continues: Continues = never) -> list[Effect]:
        """A new task reads the log, perhaps by another definition."""
        self.plan = plan or self.plan
        self.task = Task(self.plan, 3)
        positions: dict[str, Position] = {}
        for entry in self.entries():
            self.task.apply(entry)
            positions = positions if isinstance(entry, Bucket) else entry.header.positions
        return self.task.opened(positions, self.now, continues)

    def entries(self) -> list[Entry]:
        return [decode(data) for data in self.log]

    def results(self, cut: Cut) -> list[dict[str, Any]]:
        return [json.loads(output.value or b"") for output in cut.outputs if output.topic == self.plan.results.results]
