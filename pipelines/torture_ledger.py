"""What a committed reader sees while everything is struck, and what is wrong with it.

    source    ─▶ oracle: what has to fire
    partials  ─▶ a story per run
    results   ─▶ outcomes: one per firing, in the order of the key
    log       ─▶ chain of commits: no gap, and who opened the task when
    dead      ─▶ nothing may come

Nothing here is Penstock's: records are read as a stranger reads them. `saw` finds at once what can never become right again,
`missing` and `faults_at_rest` are for when everything has been said.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from penstock.operators.record import Headers
from penstock.pipelines.torture_chain import Chain, Commit, owner_of, tag_of
from penstock.pipelines.torture_load import Cause, Oracle, Topics, number_of
from penstock.pipelines.torture_story import OUTCOMES, Kind, Problem, Record, Story


class Seen(NamedTuple):
    """A record as a reader got it, `at` in monotonic seconds; `timestamp` is its writer's, in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    at: float
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(slots=True)
class Outcome:
    """Of one run."""

    cause: Cause
    key: str
    nth: int
    state: str
    degraded: bool
    answer: Mapping[str, Any] | None
    partition: int
    at: float
    resolved: bool = False


@dataclass
class Ledger:
    """`problems` is everything that is wrong for certain, as far as it has been read."""

    topics: Topics
    oracle: Oracle
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    runs: dict[Cause, str] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=lambda: defaultdict(Chain))
    problems: list[Problem] = field(default_factory=list)
    events: int = 0
    resolved: int = 0

    def __post_init__(self) -> None:
        self._stories: dict[str, Story] = {}
        self._nth: dict[tuple[str, str], int] = {}
        self._offsets: dict[tuple[str, int], array[int]] = defaultdict(lambda: array("q"))
        self._checksums: dict[tuple[str, int], array[int]] = defaultdict(lambda: array("L"))
        self._beside: dict[int, tuple[deque[int], deque[int]]] = defaultdict(lambda: (deque(), deque()))
        self._acknowledged: dict[tuple[int, int], int] = {}
        self._unconfirmed: dict[tuple[int, int], int] = {}

    @property
    def told(self) -> int:
        """How much has been told: it grows as long as anything comes."""
        return len(self.outcomes) + self.resolved

    @property
    def unread(self) -> int:
        """So many events were acknowledged and have not been read."""
        return len(self._acknowledged)

    def acknowledged(self, partition: int, offset: int, number: int) -> None:
        """The producer was told that the event of this number lies there."""
        self._meet(self._unconfirmed, self._acknowledged, (partition, offset), number)

    def saw(self, seen: Seen) -> None:
        """The next record of its partition, in offset order."""
        topics = self.topics
        if seen.topic == topics.source:
            self._saw_event(seen)
        elif seen.topic == topics.log:
            self._saw_log(seen)
        else:
            self._note_place(seen)
            if seen.topic == topics.results:
                self._saw_result(seen)
            elif seen.topic == topics.partials:
                self._saw_revision(seen)
            else:
                self._wrong("contradicted", f"a dead letter at {_place(seen)}")

    def skipped(self, topic: str, partition: int) -> None:
        """Records were deleted before they could be read. The log may be trimmed, what is told may not."""
        if topic == self.topics.log:
            self.chains[partition].skipped()
        else:
            self._wrong("lost", f"records of {topic}/{partition} were deleted before they could be read")

    def _saw_event(self, seen: Seen) -> None:
        self.events += 1
        self.oracle.saw(seen.partition, seen.offset, (seen.key or b"").decode())
        self._meet(self._acknowledged, self._unconfirmed, (seen.partition, seen.offset), number_of(seen.value))

    def _meet(
        self, there: dict[tuple[int, int], int], here: dict[tuple[int, int], int], place: tuple[int, int], number: int
    ) -> None:
        """What the producer and the reader say of one place is compared as soon as both have said it."""
        other = there.pop(place, None)
        if other is None:
            here[place] = number
        elif other != number:
            self._wrong("lost", f"Kafka itself: events {other} and {number} at {self.topics.source}/{place}")

    def _saw_log(self, seen: Seen) -> None:
        """Deltas only: images of the state come with them."""
        tag = tag_of(seen.headers) if seen.key == b"delta" else None
        if tag is None:
            return
        seq, incarnation = tag
        chain = self.chains[seen.partition]
        opens = incarnation != chain.incarnation
        commit = Commit(seen.at, seen.timestamp, incarnation, owner_of(seen.value) if opens else None)
        self.problems += chain.saw(commit, seq, _place(seen))

    def _note_place(self, seen: Seen) -> None:
        """For `reread`."""
        offsets = self._offsets[seen.topic, seen.partition]
        if offsets and seen.offset <= offsets[-1]:
            self._wrong("contradicted", f"{_place(seen)} was read after offset {offsets[-1]}")
        offsets.append(seen.offset)
        self._checksums[seen.topic, seen.partition].append(_checksum(seen))

    def _saw_result(self, seen: Seen) -> None:
        self._compare_beside(seen, 0)
        record = orjson.loads(seen.value or b"{}")
        run, state = record["run"], record["state"]
        if state in OUTCOMES:
            self._saw_outcome(seen, record, run)
        elif run not in self.outcomes:
            self._wrong("contradicted", f"{run} is {state} without an outcome before, at {_place(seen)}")
        elif self.outcomes[run].resolved:
            self._wrong("duplicated", f"{run} is resolved once more at {_place(seen)}")
        else:
            self.outcomes[run].resolved = True
            self.resolved += 1

    def _saw_outcome(self, seen: Seen, record: Record, run: str) -> None:
        why = record["why"]
        cause = Cause(record["triggers"][0], why["fired_by"])
        outcome = Outcome(
            cause, record["key"], why["values"].get("n", -1), record["state"], bool(record["degraded"]),
            record["answer"], seen.partition, seen.at,
        )  # fmt: skip
        if run in self.outcomes:
            self._wrong("duplicated", f"a second outcome of {run} at {_place(seen)}")
            return
        if cause in self.runs:
            self._wrong("duplicated", f"{cause.trigger} by {cause.fired_by} is run {self.runs[cause]} and run {run}")
        self.outcomes[run] = outcome
        self.runs[cause] = run
        before = self._nth.get((cause.trigger, outcome.key), 0)
        if outcome.nth < before:
            what = f"{outcome.key}: the outcome of event {outcome.nth} comes after that of {before}"
            self._wrong("contradicted", f"{what}, at {_place(seen)}")
        self._nth[cause.trigger, outcome.key] = outcome.nth

    def _saw_revision(self, seen: Seen) -> None:
        record = orjson.loads(seen.value or b"{}")
        if record["state"] != "partial":
            self._compare_beside(seen, 1)
        story = self._stories.setdefault(record["run"], Story())
        self.problems += story.told(record)

    def _compare_beside(self, seen: Seen, side: int) -> None:
        """What is on results is on partials, too, byte for byte and in the same order."""
        queues = self._beside[seen.partition]
        queues[side].append(_checksum(seen))
        while queues[0] and queues[1]:
            if queues[0].popleft() != queues[1].popleft():
                self._wrong("contradicted", f"results and partials tell different things at {_place(seen)}")

    def _wrong(self, kind: Kind, text: str) -> None:
        self.problems.append(Problem(kind, text))

    def missing(self) -> int:
        """So many records that have to be told have not been seen."""
        unresolved = sum(not self._is_resolved(cause) for cause in self.oracle.resolved)
        return sum(cause not in self.runs for cause in self.oracle.firings) + unresolved

    def _is_resolved(self, cause: Cause) -> bool:
        run = self.runs.get(cause)
        return run is not None and self.outcomes[run].resolved

    def faults_at_rest(self) -> Iterator[Problem]:
        """Everything has been told: what is missing, invented or different, and what only one side knows."""
        for cause, firing in self.oracle.firings.items():
            if cause not in self.runs:
                yield Problem("lost", f"{cause.trigger} of {firing.key} by {cause.fired_by} was never told")
            elif cause in self.oracle.resolved and not self._is_resolved(cause):
                yield Problem("lost", f"{self.runs[cause]} was never resolved")
        for run, outcome in self.outcomes.items():
            yield from self._compare(run, outcome)
        for run, story in self._stories.items():
            if run not in self.outcomes:
                yield Problem("contradicted", f"{run} is told of and has no outcome")
            elif not story.has_outcome:
                yield Problem("contradicted", f"the outcome of {run} is on one topic only")
        for (partition, offset), number in self._acknowledged.items():
            where = f"{self.topics.source}/{partition}@{offset}"
            yield Problem("lost", f"Kafka itself: event {number} was acknowledged at {where} and is not there")
        for partition, (results, partials) in self._beside.items():
            if results or partials:
                what = f"{len(results)} records of results/{partition} and {len(partials)} of partials/{partition}"
                yield Problem("contradicted", f"{what} are on one topic only")

    def _compare(self, run: str, outcome: Outcome) -> Iterator[Problem]:
        firing = self.oracle.firings.get(outcome.cause)
        if firing is None:
            yield Problem("contradicted", f"{run} was invented: nothing fires {outcome.cause}")
            return
        if (outcome.key, outcome.nth) != (firing.key, firing.nth):
            told, true = (outcome.key, outcome.nth), (firing.key, firing.nth)
            yield Problem("contradicted", f"{run} says {told} where the events say {true}")
        if outcome.state != "final" or outcome.degraded or (outcome.answer is not None) != firing.judged:
            yield Problem("contradicted", f"{run} has no proper answer: {outcome.state}, {outcome.answer}")
        if outcome.resolved and outcome.cause not in self.oracle.resolved:
            yield Problem("contradicted", f"{run} is resolved, and nothing came after it")

    def reread(self, topic: str, partition: int, read: Sequence[tuple[int, int]]) -> Iterator[Problem]:
        """Offsets and checksums as the topic has them at the end: what was told once stays."""
        offsets, checksums = self._offsets[topic, partition], self._checksums[topic, partition]
        told, there = dict(zip(offsets, checksums, strict=True)), dict(read)
        taken_back = sorted(told.keys() - there.keys())
        changed = sorted(offset for offset in told.keys() & there.keys() if told[offset] != there[offset])
        added = sorted(there.keys() - told.keys())
        for what, found in (("taken back", taken_back), ("changed", changed), ("put before what was read", added)):
            if found:
                yield Problem("contradicted", f"{what}: {topic}/{partition} at {found[:5]}, {len(found)} in all")


def checksum(key: bytes | None, value: bytes | None) -> int:
    return crc32(value or b"", crc32(key or b""))


def _checksum(seen: Seen) -> int:
    return checksum(seen.key, seen.value)


def _place(seen: Seen) -> str:
    return f"{seen.topic}/{seen.partition}@{seen.offset}"
