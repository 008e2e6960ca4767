"""Topics in memory: a cluster that several brokers share, as processes share a Kafka. For tests, scenarios and simulation.

    cluster = MemoryCluster(clock, script=[None, Late(3), Undecided()])
    here, there = MemoryBroker(cluster, layout, "here"), MemoryBroker(cluster, layout, "there")

It is as awkward as the real thing: every transaction leaves a marker, so offsets have gaps; what is undecided holds back
committed readers; what is decided may become visible later. Faults are a list, one step per commit. No threads, and no
time but the clock's: the same calls in the same order give the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from penstock.connectors.embedded_broker import RECORD_BYTES_MAX, EmbeddedBroker
from penstock.connectors.embedded_store import (
    Bounds,
    Fence,
    Marks,
    News,
    Page,
    Trim,
    Write,
    no_such_partition,
    other_partitions,
)
from penstock.connectors.membership import TERMS, Seat, Seats, Terms, alive, settle
from penstock.connectors.port import Layout, WallClock
from penstock.operators.error import Fenced, Indefinite
from penstock.operators.record import Record


@dataclass(frozen=True, slots=True)
class Undecided:
    """The process dies between its writes and the decision: they lie there until the next opening undoes them."""


@dataclass(frozen=True, slots=True)
class Late:
    """Decided at once, visible after so many reads of its partitions. `lost`: the answer never arrives (Indefinite)."""

    reads: int
    lost: bool = False


CommitStep = Undecided | Late | None
"""What one commit meets; None: nothing."""
Place = tuple[str, int]


@dataclass(slots=True)
class _Transaction:
    task: str
    written: dict[Place, list[int]] = field(default_factory=dict)
    reads_left: int | None = None
    """None while it is undecided."""


@dataclass(slots=True)
class _Partition:
    """`slots` from offset `start` on; None where a marker lies. `undone` are the offsets of aborted records."""

    start: int = 0
    slots: list[Record | None] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        return self.start + len(self.slots)

    def page(self, start: int, end: int, limit: int, *, committed: bool) -> tuple[list[Record], int]:
        """Records of [start, end), and the offset behind the last slot looked at."""
        offset, found = max(start, self.start), list[Record]()
        while offset < end and len(found) < limit:
            record = self.slots[offset - self.start]
            if record is not None and not (committed and offset in self.undone):
                found.append(record)
            offset += 1
        return found, max(start, offset)

    def trim(self, before: int) -> None:
        del self.slots[: max(0, before - self.start)]
        self.start = max(self.start, before)
        self.undone = {offset for offset in self.undone if offset >= before}


@dataclass(slots=True)
class _Group:
    heartbeats: dict[str, int] = field(default_factory=dict)
    seats: Seats = field(default_factory=dict)


class MemoryCluster:
    """The `Store` of every `MemoryBroker` made from it. `script` gives one step to each commit, whoever commits."""

    def __init__(self, clock: WallClock, script: Iterable[CommitStep] = ()) -> None:
        self.clock = clock
        self.records, self.seats = News(), News()
        self._script = iter(script)
        self._topics: dict[str, list[_Partition]] = {}
        self._epochs: dict[str, int] = {}
        self._pending: list[_Transaction] = []
        self._groups: dict[str, _Group] = {}
        self._marks: dict[str, dict[str, bytes]] = {}

    async def partitions(self, topic: str) -> int | None:
        return len(self._topics[topic]) if topic in self._topics else None

    async def create_topic(self, topic: str, partitions: int) -> None:
        existing = self._topics.setdefault(topic, [_Partition() for _ in range(partitions)])
        if len(existing) != partitions:
            raise other_partitions(topic, len(existing), partitions)

    async def read(self, topic: str, partition: int, start: int, limit: int, *, committed: bool = True) -> Page:
        found = self._partition(topic, partition)
        self._count_read((topic, partition))
        bounds = Bounds(found.start, self._stable((topic, partition), found), found.end)
        end = bounds.stable if committed else bounds.end
        records, following = found.page(start, end, limit, committed=committed)
        return Page(records, following, bounds)

    async def first_since(self, topic: str, partition: int, timestamp: int) -> int:
        found = self._partition(topic, partition)
        later = (each.offset for each in found.slots if each is not None and each.timestamp >= timestamp)
        return next(later, found.end)

    async def fence(self, task: str) -> Fence:
        self._epochs[task] = self._epochs.get(task, 0) + 1
        for left in [each for each in self._pending if each.task == task and each.reads_left is None]:
            self._end(left, committed=False)
        return Fence(task, self._epochs[task])

    async def commit(
        self, fence: Fence, writes: Sequence[Write], trim: Trim | None = None, marks: Marks | None = None
    ) -> list[int]:
        if self._epochs[fence.task] != fence.epoch:
            raise Fenced("somebody else has opened this task since", where=fence.task)
        for former in [each for each in self._pending if each.task == fence.task]:
            self._end(former, committed=True)
        transaction = _Transaction(fence.task)
        offsets = [self._append(write, transaction) for write in writes]
        step = next(self._script, None)
        if marks is not None and not isinstance(step, Undecided):
            self._mark(fence.task, marks)
        self._decide(transaction, step)
        if trim is not None:
            self._partition(trim.topic, trim.partition).trim(trim.before)
        return offsets

    async def marks(self, task: str) -> dict[str, bytes]:
        return dict(sorted(self._marks.get(task, {}).items()))

    def _mark(self, task: str, marks: Marks) -> None:
        kept = {name: value for name, value in self._marks.get(task, {}).items() if name not in marks.drop}
        self._marks[task] = {**kept, **marks.put}

    async def append(self, write: Write, *, durable: bool = True) -> int:
        offset = self._append(write, None)
        self.records.publish()
        return offset

    async def attend(self, group: str, member: str, partitions: int, terms: Terms) -> Seats:
        found, now = self._groups.setdefault(group, _Group()), self.clock.now()
        found.heartbeats[member] = now
        members = alive(found.heartbeats, now, terms.session)
        before, found.seats = found.seats, settle(found.seats, members, partitions, now, terms.notice)
        if before != found.seats:
            self.seats.publish()
        return found.seats

    async def give_up(self, group: str, member: str, partition: int | None = None) -> None:
        found = self._groups.setdefault(group, _Group())
        if partition is None:
            found.heartbeats.pop(member, None)
        left = {number for number, seat in found.seats.items() if seat.owner == member and partition in (None, number)}
        found.seats = {
            number: Seat(None, seat.heir) if number in left else seat for number, seat in found.seats.items()
        }
        self.seats.publish()

    async def close(self) -> None:
        """Nothing: the other brokers go on."""

    def _partition(self, topic: str, partition: int) -> _Partition:
        partitions = self._topics.get(topic)
        if partitions is None or not 0 <= partition < len(partitions):
            raise no_such_partition(topic, partition)
        return partitions[partition]

    def _append(self, write: Write, transaction: _Transaction | None) -> int:
        partition = self._partition(write.topic, write.partition)
        offset = partition.end
        partition.slots.append(
            Record(write.topic, write.partition, offset, write.timestamp, write.key, write.value, write.headers)
        )
        if transaction is not None:
            transaction.written.setdefault((write.topic, write.partition), []).append(offset)
        return offset

    def _decide(self, transaction: _Transaction, step: CommitStep) -> None:
        match step:
            case None:
                self._end(transaction, committed=True)
            case Late(reads, lost):
                transaction.reads_left = reads
                self._pending.append(transaction)
                if lost:
                    raise Indefinite("the answer to a commit was lost", where=transaction.task)
            case Undecided():
                self._pending.append(transaction)
                raise Indefinite("a commit was not answered", where=transaction.task)
            case _:
                assert_never(step)

    def _end(self, transaction: _Transaction, *, committed: bool) -> None:
        """Write the markers."""
        for (topic, number), offsets in transaction.written.items():
            partition = self._partition(topic, number)
            partition.slots.append(None)
            if not committed:
                partition.undone.update(offsets)
        if transaction in self._pending:
            self._pending.remove(transaction)
        self.records.publish()

    def _stable(self, place: Place, partition: _Partition) -> int:
        return min((each.written[place][0] for each in self._pending if place in each.written), default=partition.end)

    def _count_read(self, place: Place) -> None:
        for late in [each for each in self._pending if place in each.written and each.reads_left is not None]:
            assert late.reads_left is not None
            late.reads_left -= 1
            if late.reads_left < 0:
                self._end(late, committed=True)


class MemoryBroker(EmbeddedBroker):
    """One process on a cluster in memory."""

    def __init__(
        self,
        cluster: MemoryCluster,
        layout: Layout,
        member: str,
        *,
        terms: Terms = TERMS,
        record_bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        super().__init__(cluster, layout, member, cluster.clock, terms=terms, record_bytes_max=record_bytes_max)
