"""Everything that the tasks of a world have ever committed, as the partitions and the coordinator of transactions kept it.

    partition   d1 d1 d2 C1 …        the k-th commit of a producer is decided once, and marked in every partition
                └────────┴─▶ Commit(at, log, told): what became visible together

Nothing here goes through the product's own reading. What was trimmed from a log is still here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.structs import TopicPartition
from tests.simulation.cluster import Cluster
from tests.simulation.messages import Record
from tests.simulation.partition_log import Batch
from tests.simulation.transactions import CommitDecision

from penstock.connectors.port import Layout
from penstock.state.codec import Joiner
from penstock.state.delta import Delta, Entry


class Written(NamedTuple):
    """A record of a transaction, and when it was written."""

    at: float
    record: Record


@dataclass(slots=True)
class Commit:
    """What one transaction made visible; each list in the order of offsets. `at`: when that was decided."""

    at: float
    log: list[Written] = field(default_factory=list)
    told: list[Written] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @property
    def delta(self) -> Delta | None:
        return next((entry for entry in self.entries if isinstance(entry, Delta)), None)


class Chronicle:
    """Of a pipeline whose tasks write to partitions of their own number."""

    def __init__(self, cluster: Cluster, layout: Layout, partitions: int) -> None:
        self._cluster, self._layout = cluster, layout
        self._decisions: dict[int, list[CommitDecision]] = defaultdict(list)
        for decision in cluster.transactions.commits:
            self._decisions[decision.producer].append(decision)
        self.commits: list[list[Commit]] = [self._of_task(partition) for partition in range(partitions)]
        """By task, in the order of decisions."""

    def _of_task(self, partition: int) -> list[Commit]:
        found: dict[CommitDecision, Commit] = {}
        for topic in (self._layout.log, *sorted(self._layout.outputs)):
            for decision, batches in self._decided(TopicPartition(topic, partition)):
                commit = found.setdefault(decision, Commit(decision.at))
                written = [Written(batch.written_at, record) for batch in batches for record in batch.records]
                (commit.log if topic == self._layout.log else commit.told).extend(written)
        commits = sorted(found.values(), key=lambda commit: commit.at)
        joiner = Joiner()
        for commit in commits:
            joined = [joiner.add(record) for _, record in commit.log]
            commit.entries = [each.entry for each in joined if each is not None]
        return commits

    def _decided(self, partition: TopicPartition) -> Iterator[tuple[CommitDecision, list[Batch]]]:
        """The committed transactions in one partition, each with what it wrote there."""
        found = self._cluster.topics.find(partition)
        open_ones: dict[int, list[Batch]] = defaultdict(list)
        for batch in found.log.history if found is not None else ():
            if batch.commit is None:
                open_ones[batch.producer].append(batch)
                continue
            batches = open_ones.pop(batch.producer, [])
            if batches and batch.commit:
                yield self._decision(batch.producer, batch.written_at), batches

    def _decision(self, producer: int, marked_at: float) -> CommitDecision:
        """A producer begins nothing new before all markers are written: the last decision before a marker is its own."""
        decisions = self._decisions[producer]
        return decisions[bisect_right(decisions, marked_at, key=lambda decision: decision.at) - 1]

    def read(self, topic: str) -> list[Record]:
        """What a committed reader finds who has read from the beginning, partition by partition."""
        found = (self._cluster.topics.find(TopicPartition(topic, number)) for number in range(len(self.commits)))
        histories = [each.log.history for each in found if each is not None]
        return [record for history in histories for batch in history if not batch.aborted for record in batch.records]
