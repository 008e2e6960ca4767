"""One process's view of topics that lie in a store: the port's `Broker` for memory and for SQLite."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import assert_never

from penstock.connectors.embedded_input import InputLog, KeyOf
from penstock.connectors.embedded_log import EmbeddedLog, Ground, bounds_of, records_between
from penstock.connectors.embedded_store import Store, Write, other_partitions
from penstock.connectors.lease import Lease
from penstock.connectors.membership import TERMS, Standing, Terms
from penstock.connectors.partition import partition_of
from penstock.connectors.port import Asked, Assignment, Given, Layout, Taken, TaskId, TaskLog, Tenure, WallClock
from penstock.operators.error import NotOurs, PenstockError, Unreachable
from penstock.operators.record import Output, Raw

RECORD_BYTES_MAX = 8 << 20
"""As in the topics that Penstock creates on Kafka: what a pipeline may write does not depend on where it runs."""
FOLLOW_SECONDS = 1.0
SETTLE_SECONDS = 0.01

_log = logging.getLogger(__name__)


class EmbeddedBroker:
    """`Broker` over a store. `member` names this process among all that share the store: no two may have the same."""

    def __init__(
        self,
        store: Store,
        layout: Layout,
        member: str,
        clock: WallClock,
        *,
        terms: Terms = TERMS,
        record_bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        self._store, self._layout, self._member, self._clock = store, layout, member, clock
        self.terms, self._record_bytes_max = terms, record_bytes_max
        self._counts: dict[str, int] = {}
        self._standing = Standing(member)
        self._lease = Lease(terms.session / 1000)
        self._attending = self._feeding = False
        self._keyless: Counter[str] = Counter()

    async def create_topic(self, topic: str, partitions: int) -> None:
        """A source, or an output that is to have another number of partitions. Raises Unreachable if it has another."""
        await self._store.create_topic(topic, partitions)

    async def partitions(self, topic: str) -> int | None:
        """None: there is no such topic."""
        return await self._store.partitions(topic)

    async def start(self) -> None:
        counts = {topic: await self._existing(topic) for topic in self._layout.inputs}
        partitions = await self._wanted(counts)
        await self._store.create_topic(self._layout.log, partitions)
        for topic in self._layout.own:
            if topic in self._layout.rekeyed.values() or await self._store.partitions(topic) is None:
                await self._store.create_topic(topic, partitions)
            counts[topic] = await self._existing(topic)
        self._counts = counts | await self._tables(partitions)

    async def _wanted(self, counts: Mapping[str, int]) -> int:
        """How many tasks there are to be. Where all sources are rekeyed, that is free as long as there is no log."""
        alike = {topic: counts[topic] for topic in self._layout.partitioned_alike}
        if alike:
            return self._common(alike)
        return await self._store.partitions(self._layout.log) or max(counts.values())

    async def _tables(self, partitions: int) -> dict[str, int]:
        """How many partitions they have. Raises Unreachable for one that must have as many as the sources."""
        counts = {topic: await self._existing(topic) for topic in self._layout.tables.values()}
        self._check_partitioned(counts, partitions)
        return counts

    def _check_partitioned(self, counts: Mapping[str, int | None], partitions: int) -> None:
        """Of tables that are there."""
        for topic in sorted(self._layout.partitioned):
            if counts[topic] not in (None, partitions):
                raise Unreachable(
                    f"the table has {counts[topic]} partitions, the sources have {partitions}",
                    where=topic,
                    remedy="a table that `expect` names is partitioned as the sources are: make them equal",
                )

    async def missing(self) -> list[str]:
        """Sources among them: nobody else makes topics here, and those that are made get one partition."""
        topics = (*sorted(self._layout.read), *self._layout.own)
        found = {topic: await self._store.partitions(topic) for topic in topics}
        partitions = await self._wanted({topic: found[topic] or 1 for topic in self._layout.inputs})
        self._check_partitioned(found, partitions)
        log = found[self._layout.log] or partitions
        if log != partitions:
            raise other_partitions(self._layout.log, log, partitions)
        return [topic for topic, count in found.items() if count is None]

    async def connect(self, topic: str) -> None:
        self._counts[topic] = await self._existing(topic)

    def _common(self, counts: Mapping[str, int]) -> int:
        """The number of partitions that all of these have."""
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{topic} has {count}" for topic, count in sorted(counts.items()))
            raise Unreachable(
                f"the sources have different numbers of partitions: {found}",
                where=self._layout.prefix,
                remedy="records of one key must meet in one partition: make them equal",
            )
        return next(iter(counts.values()))

    async def _existing(self, topic: str) -> int:
        count = self._counts.get(topic) or await self._store.partitions(topic)
        if count is None:
            raise Unreachable(
                "there is no such topic",
                where=topic,
                remedy="`penstock run` and `penstock feed` create what is missing",
            )
        return count

    async def tasks(self) -> AsyncIterator[Assignment]:
        partitions = self._counts[self._layout.log]
        while True:
            known, at, self._attending = self._store.seats.version, self._clock.monotonic(), True
            seats = await self._store.attend(self._layout.group, self._member, partitions, self.terms)
            self._lease.renew(at)
            for change in self._standing.changes(seats, self._clock.now()):
                self._note(change, at)
                yield change
            await self._store.seats.wait(known, self.terms.beat / 1000)

    def _note(self, change: Assignment, at: float) -> None:
        match change:
            case Given(task):
                self._lease.given(task.partition, at)
            case Asked(task, _) | Taken(task):
                self._lease.taken(task.partition)
            case _:
                assert_never(change)

    def lease(self) -> float:
        return self._lease.left(self._clock.monotonic())

    def tenure(self, task: TaskId) -> Tenure | None:
        return self._lease.tenure(task.partition)

    def unsettled(self, tasks: int) -> float:
        """The last heartbeat of the dead, and two rounds: one in which they are missed, one in which that shows."""
        return 0.0 if tasks == self._counts[self._layout.log] else (self.terms.session + 2 * self.terms.beat) / 1000

    async def open(self, task: TaskId) -> TaskLog:
        if self._attending and self.lease() <= 0:
            raise NotOurs("the seats were not seen for too long", where=f"{self._layout.log}/{task.partition}")
        log = self._layout.log
        fence = await self._store.fence(f"{self._layout.prefix}.{task.stage}.{task.partition}")
        bounds = await bounds_of(self._store, log, task.partition)
        end = bounds.end
        while bounds.stable < end:
            await self._store.records.wait(self._store.records.version, SETTLE_SECONDS)
            bounds = await bounds_of(self._store, log, task.partition)
        ground = Ground(self._store, self._layout, self._clock, self._counts, self._record_bytes_max)
        return EmbeddedLog(ground, task, fence, bounds, self._note_closed)

    async def input_turns(self) -> AsyncIterator[bool]:
        """Whether this process is the one that runs the inputs of the pipeline: now, and at every beat, for ever."""
        while True:
            known, self._feeding = self._store.seats.version, True
            seats = await self._store.attend(self._input_group, self._member, 1, self.terms)
            yield seats[0].owner == self._member and seats[0].heir is None
            await self._store.seats.wait(known, self.terms.beat / 1000)

    async def leave_inputs(self) -> None:
        """Let another process have them at once. Never raises."""
        if self._feeding:
            await self._quietly_give_up(None, self._input_group)

    @property
    def _input_group(self) -> str:
        return f"{self._layout.prefix}.inputs"

    async def open_input(self, source: str, topic: str, key_of: KeyOf, *, shared: bool = False) -> InputLog:
        """Fence whoever had the input of this source; of one that is `shared`, every process has its own, and none has marks.

        Raises Unreachable where there is no such topic.
        """
        partitions, task = await self._existing(topic), f"{self._layout.prefix}.input.{source}"
        fence = None if shared else await self._store.fence(task)
        marks = {} if shared else await self._store.marks(task)
        return InputLog(self._store, self._clock, topic, partitions, key_of, fence, marks)

    async def _note_closed(self, task: TaskId) -> None:
        """A task that was asked for need not be waited for any longer."""
        if self._standing.is_asked(task.partition):
            await self._quietly_give_up(task.partition, self._layout.group)

    async def _quietly_give_up(self, partition: int | None, group: str) -> None:
        try:
            await self._store.give_up(group, self._member, partition)
        except PenstockError as error:
            _log.info("others learn by time-out that %s has left: %s", self._member, error)

    async def preview(self, output: Output, partition: int) -> None:
        try:
            place = partition % await self._existing(output.topic)
            write = Write(output.topic, place, output.key, output.value, output.headers, self._clock.now())
            await self._store.append(write, durable=False)
        except PenstockError as error:
            _log.info("a preview was lost: %s", error)

    async def read(
        self, topic: str, partition: int, start: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Raw]:
        if end is None:
            bounds = await bounds_of(self._store, topic, partition)
            end = bounds.stable if committed else bounds.end
        async for record in records_between(self._store, topic, partition, start, end, committed=committed):
            yield record

    async def follow(self, topic: str) -> AsyncIterator[Raw]:
        positions = dict.fromkeys(range(await self._existing(topic)), 0)
        while True:
            known = self._store.records.version
            for partition, position in positions.items():
                stable = (await bounds_of(self._store, topic, partition)).stable
                async for record in records_between(self._store, topic, partition, position, stable):
                    yield record
                positions[partition] = max(position, stable)
            await self._store.records.wait(known, FOLLOW_SECONDS)

    async def produce(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int | None = None) -> None:
        """Records without a key go round the partitions."""
        partitions = await self._existing(topic)
        if key is None:
            partition = self._keyless[topic] % partitions
            self._keyless[topic] += 1
        else:
            partition = partition_of(key, partitions)
        at = self._clock.now() if timestamp is None else timestamp
        await self._store.append(Write(topic, partition, key, value, (), at))

    async def close(self) -> None:
        if self._attending:
            await self._quietly_give_up(None, self._layout.group)
        await self._store.close()
