"""One task of the product without a broker: records go in, what it would commit is thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from tests.bench.throughput import Sample

from penstock.operators.event import Arrived, Progress
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.operators.task import Task

BATCH = 2_000
TOPIC = "events"
Batch = Sequence[Record]


def batches(samples: Iterable[Sample]) -> Iterator[Batch]:
    """As a worker would fetch them."""
    records = (Record(TOPIC, 0, offset, time, None, value) for offset, (_, time, value) in enumerate(samples))
    while batch := list(islice(records, BATCH)):
        yield batch


class Fed:
    """A task that is fed batch by batch and cut after each."""

    def __init__(self, plan: Plan) -> None:
        self.task = Task(plan, 0)
        self.outputs: list[Output] = []
        self.keeps_outputs = False
        self._seq = 0

    def feed(self, fetched: Iterable[Batch]) -> float:
        """CPU seconds of this process."""
        began = time.process_time()
        for batch in fetched:
            self._feed(batch)
        return time.process_time() - began

    @property
    def fired(self) -> int:
        return sum(number for (what, *_), number in self.task.counters.items() if what == "fired")

    def _feed(self, batch: Batch) -> None:
        last = batch[-1]
        self.task.feed(
            Arrived({TOPIC: batch}, {TOPIC: Progress(last.offset + 1, last.offset + 1, last.timestamp)}, last.timestamp)
        )
        self._seq += 1
        cut = self.task.cut(seq=self._seq, incarnation=1, owner="bench", build="", sent={})
        if self.keeps_outputs:
            self.outputs += cut.outputs
