"""One partition over as many processes as its test wants, with a model that answers when it is told to."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.product import PARTITION, TOPIC, Log, restored

from penstock.operators.event import Answered, Arrived, Ask, Effect, Ended, Progress, Usage
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.operators.task import Cut
from penstock.state.delta import EntryKind

LARGE = 10**9


@dataclass(frozen=True)
class Deed:
    """So many records in one batch, so many answers, then perhaps a commit, with images, and the end of the process."""

    records: int
    answers: int
    commits: bool
    images: int
    dies: bool


AT_ONCE = Deed(1, LARGE, commits=True, images=0, dies=False)
"""As it is where nothing is slow and nothing goes wrong."""


def any_deeds(answers_max: int) -> SearchStrategy[list[Deed]]:
    deed = st.builds(
        Deed,
        records=st.integers(0, 6),
        answers=st.integers(0, answers_max),
        commits=st.booleans(),
        images=st.sampled_from([0, 0, 1, 2]),
        dies=st.sampled_from([False, False, True]),
    )
    return st.lists(deed, max_size=12)


class Deployment(ABC):
    """Begins with the first `open`. `_asks` are the calls that wait for an answer, by run."""

    def __init__(self, records: list[Record]) -> None:
        self._records, self._log, self._now, self._seq, self._incarnation = records, Log(), 1_000_000, 0, 0
        self._outputs: list[Output] = []

    @abstractmethod
    def _said(self, ask: Ask) -> dict[str, Any]:
        """What the model answers."""

    def open(self, plan: Plan) -> None:
        """By another process, from what was committed."""
        self._plan = plan
        self.task, positions = restored(plan, self._log)
        self._at = positions[TOPIC].offset if TOPIC in positions else 0
        self._incarnation += 1
        self._asks: dict[str, Ask] = {}
        self._heed(self.task.opened(positions, self._now))
        self.commit(kind="opened")

    def feed(self, count: int) -> None:
        batch = self._records[self._at : self._at + count]
        self._at += len(batch)
        self._now += 1000
        progress = {TOPIC: Progress(self._at, len(self._records), self._now)}
        self._heed(self.task.feed(Arrived({TOPIC: batch}, progress, self._now)))

    def answer(self, most: int) -> None:
        for run in list(self._asks)[:most]:
            ask = self._asks.pop(run)
            self._heed(self.task.feed(Answered(ask.call_id, json.dumps(self._said(ask)), "stop", Usage())))

    def commit(self, images: int = 0, kind: EntryKind = "delta") -> Cut:
        self._seq += 1
        cut = self.task.cut(seq=self._seq, incarnation=self._incarnation, owner="o", build="b", sent={}, kind=kind)
        self._log.append(cut.delta)
        for index in range(images):
            self._log.append(self.task.image(index, images, self._seq))
        self._log.trim()
        self._outputs += cut.outputs
        return cut

    def play(self, plan: Plan, deeds: Iterable[Deed]) -> None:
        """From the first `open` to the end of the input."""
        self.open(plan)
        for deed in deeds:
            self.feed(deed.records)
            self.answer(deed.answers)
            if deed.commits:
                self.commit(deed.images)
            if deed.dies:
                self._die(committed=deed.commits)
        self.finish()

    def _die(self, *, committed: bool) -> None:
        """Another process goes on; `committed`: nothing happened since the last commit."""
        self.open(self._plan)

    def finish(self) -> None:
        """Everything is read and answered, and the input ends."""
        self.feed(LARGE)
        self._answer_all()
        self._end()
        self._answer_all()
        self.commit()

    def _end(self) -> None:
        self._heed(self.task.feed(Ended(self._now)))

    def _answer_all(self) -> None:
        while self._asks:
            self.answer(LARGE)

    def _heed(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Ask)
            self._asks[effect.run] = effect

    @property
    def results(self) -> list[dict[str, Any]]:
        mine = [output for output in self._outputs if output.topic == self._plan.results.results]
        assert len({output.id for output in mine}) == len(mine), "a result left twice"
        return [json.loads(output.value or b"") for output in mine]


def records_of(steps: list[tuple[str, int, str]]) -> list[Record]:
    """Time goes on by so many seconds from record to record, mostly forwards."""
    records, time = [], 1_000
    for offset, (key, step, x) in enumerate(steps):
        time += step
        value = json.dumps({"key": key, "t": time, "x": x}).encode()
        records.append(Record(TOPIC, PARTITION, offset, 1000 * time, None, value))
    return records
