"""The product, driven as a worker drives it: from the text of a file, in batches, with commits, snapshots and restarts.

    feed ─ feed ─ cut ───▶ log: delta [bucket] delta delta bucket …
                                  └─ trimmed by protocol rule 5 ─▶ a new task reads it and goes on

What a task did since its last cut is lost when it dies: its outputs too, so they must come again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from penstock.operators.event import Arrived, Ended, Progress, Ticked
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.operators.task import Task
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.state.codec import decode, encode
from penstock.state.delta import Bucket, Entry, EntryKind, Position

PARTITION = 0
TOPIC = "in"
FOLDER = TemporaryDirectory(prefix="penstock-oracle-")


@lru_cache(maxsize=1_000)
def plan_of(text: str) -> Plan:
    """Compiles a file as `penstock run` does."""
    path = Path(FOLDER.name, "pipeline.yaml")
    path.write_text(text, encoding="utf-8")
    loaded = load_pipeline([path], environ={})
    assert loaded.spec is not None, f"{text}\n{[problem.message for problem in loaded.problems]}"
    return compile_pipeline(loaded).plan


@dataclass
class Log:
    """What was committed, as bytes. Forgets what protocol rule 5 lets go."""

    entries: list[bytes] = field(default_factory=list)

    def append(self, entry: Entry) -> None:
        self.entries.append(encode(entry))

    def read(self) -> list[Entry]:
        return [decode(data) for data in self.entries]

    def trim(self) -> None:
        """Keeps from the oldest newest snapshot on, and never drops the last delta. Without a full set nothing goes."""
        entries = self.read()
        finest = max((entry.of for entry in entries if isinstance(entry, Bucket)), default=1)
        needed = [_newest_snapshot(entries, index) for index in range(finest)]
        if None in needed:
            return
        deltas = [place for place, entry in enumerate(entries) if not isinstance(entry, Bucket)]
        del self.entries[: min([*(place for place in needed if place is not None), deltas[-1]])]


def _newest_snapshot(entries: Sequence[Entry], index: int) -> int | None:
    covering = [
        place for place, entry in enumerate(entries) if isinstance(entry, Bucket) and index % entry.of == entry.index
    ]
    return covering[-1] if covering else None


def restored(plan: Plan, log: Log) -> tuple[Task, dict[str, Position]]:
    """A task that has read the log, and where it goes on."""
    task, positions = Task(plan, PARTITION), dict[str, Position]()
    for entry in log.read():
        task.apply(entry)
        if not isinstance(entry, Bucket):
            positions = entry.header.positions
    return task, positions


class Worker:
    """One partition of one pipeline, over as many incarnations as its test wants."""

    def __init__(self, plan: Plan, records: Sequence[Record]) -> None:
        self.plan, self.records = plan, records
        self.log = Log()
        self.outputs: list[Output] = []
        self.counters: Counter[tuple[str, ...]] = Counter()
        """Of everything committed, over all incarnations."""
        self._now, self._seq, self._incarnation = 1_000_000, 0, 0
        self._start()

    @property
    def at(self) -> int:
        """The next record to be fed."""
        return self._at

    @property
    def watermark(self) -> int | None:
        return self._task.watermark

    def shown(self, key: str) -> list[bytes]:
        """What a prompt about the key would show now."""
        state = self._task.key(key)
        view = None if state is None else state.context.view(state.now)
        return [] if state is None or view is None else state.context.lines(view.first, view.last)

    def feed(self, count: int, elapsed: int) -> None:
        """The next `count` records in one batch, `elapsed` ms of processing time later."""
        batch = self.records[self._at : self._at + count]
        self._now += elapsed
        for part in _rows_first(batch) or [{}]:
            self._at += sum(map(len, part.values()))
            records = {self._input(topic): records for topic, records in part.items()}
            self._heed(self._task.feed(Arrived(records, self._progress(), self._now)))

    def _input(self, topic: str) -> str:
        table = next((table for table in self.plan.tables if table.topic == topic), None)
        return topic if table is None else table.input(PARTITION)

    def tick(self, elapsed: int) -> None:
        self._now += elapsed
        self._heed(self._task.feed(Ticked(self._now, self._progress())))

    def end(self) -> None:
        self._heed(self._task.feed(Ended(self._now)))

    def commit(self, snapshot: tuple[int, int] | None = None, kind: EntryKind = "delta") -> None:
        """Cuts; `snapshot` is the (index, of) of a bucket that travels with the delta."""
        self._seq += 1
        cut = self._task.cut(
            seq=self._seq, incarnation=self._incarnation, owner="test", build="test", sent={}, kind=kind
        )
        self.log.append(cut.delta)
        if snapshot is not None:
            self.log.append(self._task.image(*snapshot, self._seq))
        self.outputs += cut.outputs
        self.counters += self._task.counters
        self._task.counters.clear()

    def restart(self) -> None:
        """Dies with everything that was not committed; the next incarnation reads the log and goes on."""
        self._start()

    def _start(self) -> None:
        self._task, positions = restored(self.plan, self.log)
        self._at = sum(position.offset for position in positions.values())
        self._incarnation += 1
        self._heed(self._task.opened(positions, self._now))
        self.commit(kind="opened")

    def _progress(self) -> Mapping[str, Progress]:
        topics = {TOPIC, *(table.topic for table in self.plan.tables)}
        return {self._input(topic): self._progress_of(topic) for topic in topics}

    def _progress_of(self, topic: str) -> Progress:
        """All inputs are read in the one order of `records`."""
        read = [sum(record.topic == topic for record in part) for part in (self.records[: self._at], self.records)]
        return Progress(read[0], read[1], self._now)

    def _heed(self, effects: Sequence[object]) -> None:
        assert not effects, "no agent is asked in these tests"


def _rows_first(batch: Sequence[Record]) -> list[dict[str, list[Record]]]:
    """Batches of which each has its rows before its events, as a task takes them."""
    parts: list[dict[str, list[Record]]] = []
    for record in batch:
        if not parts or (record.topic != TOPIC and TOPIC in parts[-1]):
            parts.append({})
        parts[-1].setdefault(record.topic, []).append(record)
    return parts


def results(outputs: Sequence[Output], topic: str) -> list[dict[str, Any]]:
    """The results on `topic`, in the order in which they left. Every id leaves once."""
    mine = [output for output in outputs if output.topic == topic]
    assert len({output.id for output in mine}) == len(mine), "a result left twice"
    return [json.loads(output.value or b"") for output in mine]


def milliseconds(text: str) -> int:
    """Event time as results write it."""
    moment = datetime.fromisoformat(text)
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    days_and_more = moment - epoch
    return (days_and_more.days * 86_400 + days_and_more.seconds) * 1000 + days_and_more.microseconds // 1000
