"""One run of torture: load, faults and readers side by side, until everything has been told; then the books are compared.

cycles: events ║ strikes ║ reader      settle: nothing is missing      rest: workers end, nothing is open, all is read again
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from penstock.connectors.clock import MachineClock
from penstock.operators.error import Unreachable
from penstock.pipelines.torture_calls import Bill, Judged, bill, read_calls
from penstock.pipelines.torture_faults import Arena
from penstock.pipelines.torture_ledger import Ledger, Seen
from penstock.pipelines.torture_load import PARTITIONS, SOURCE, Oracle, Topics, events
from penstock.pipelines.torture_plan import Cycle
from penstock.pipelines.torture_producer import PacedProducer
from penstock.pipelines.torture_reader import Reader, read_again
from penstock.pipelines.torture_story import Problem
from penstock.pipelines.torture_times import Interval

QUIET_SECONDS_MAX = 60.0
"""What is missing is lost when nothing has come for so long."""
POLL_SECONDS = 0.5
LATE_SECONDS = 1.5
"""What comes although all has been told comes within so long."""
REST_SECONDS_MAX = 30.0
BEGIN_SECONDS_MAX, LOG_CHARACTERS_MAX = 60.0, 2000
REPLICAS_MAX = 3
SEEN, CALLS = "seen.jsonl", "calls.jsonl"
"""Files of evidence: what was read from the outputs, and what the model server noted."""


async def create_source(bootstrap: str, topic: str) -> None:
    """Raises Unreachable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        replicas = min(REPLICAS_MAX, len((await admin.describe_cluster())["brokers"]))
        in_sync = {"min.insync.replicas": str(max(1, replicas - 1))}
        await admin.create_topics([NewTopic(topic, PARTITIONS, replicas, topic_configs=in_sync)])
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unreachable(f"no topic can be made there: {error}", where=f"kafka {bootstrap}") from error
    finally:
        await admin.close()


async def delete_topics(bootstrap: str, topics: list[str]) -> None:
    """Leave the Kafka of somebody else as it was found. Never raises: what stays behind has a name that nobody else uses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.delete_topics(topics)
    except (KafkaError, OSError, TimeoutError):
        return
    finally:
        await admin.close()


@dataclass
class Trial:
    """`folder` keeps what was seen; `show` is called whenever there is something new to show, with the cycles that are over."""

    bootstrap: str
    topics: Topics
    arena: Arena
    folder: Path
    seed: int
    per_cycle: int
    show: Callable[[int], None] = lambda cycles: None
    flows: list[Interval] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    bill: Bill = field(default_factory=Bill)

    def __post_init__(self) -> None:
        self._clock = MachineClock()
        self._wall_minus_monotonic = self._clock.now() / 1000 - self._clock.monotonic()
        self.ledger = Ledger(self.topics, Oracle(SOURCE))
        self._reader = Reader(self.bootstrap, dict.fromkeys(self.topics, PARTITIONS), self._saw, self.ledger.skipped)
        self._producer = PacedProducer(self.bootstrap, self.topics.source, self.ledger.acknowledged)
        self._seen: BufferedWriter | None = None

    @property
    def found(self) -> list[Problem]:
        """Everything that is wrong, as far as it is known."""
        return [*self.ledger.problems, *self.arena.problems, *self.problems, *self.bill.problems]

    @property
    def slow_writes(self) -> list[Interval]:
        """Of events: how long brokers and machine take for one record, where that is long."""
        return self._producer.slow

    async def run(self, plan: Sequence[Cycle]) -> None:
        """Raises NoKafka when the brokers do not come back, and ExceptionGroup for what is a bug."""
        with (self.folder / SEEN).open("wb") as self._seen:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._reader.run())
                watching = group.create_task(self.arena.watch())
                await self._strike_through(plan)
                await self._settle(len(plan))
                watching.cancel()
                await self.arena.dismiss_all()
                await self._come_to_rest()
                reading.cancel()
            await self._read_again()
        self.problems += self.ledger.faults_at_rest()
        self.bill = self._bill()

    async def _strike_through(self, plan: Sequence[Cycle]) -> None:
        producer = self._producer
        stream = events(self.seed, self.per_cycle)
        try:
            await self._begin()
            for number, cycle in enumerate(plan):
                self.show(number)
                began = self._clock.monotonic()
                await asyncio.gather(producer.produce(stream, cycle.seconds, self.per_cycle), self.arena.endure(cycle))
                self.flows.append(Interval(began, min(self._clock.monotonic(), began + cycle.seconds)))
            await producer.flush()
        finally:
            await producer.close()

    async def _begin(self) -> None:
        """Until every task has been opened once. Raises Unreachable: what does not work undisturbed is not worth a strike."""
        await self.arena.fill()
        deadline = self._clock.monotonic() + BEGIN_SECONDS_MAX
        while len(self.ledger.chains) < PARTITIONS:
            if self._clock.monotonic() > deadline:
                said = self.arena.workers.log()[-LOG_CHARACTERS_MAX:]
                raise Unreachable(f"the workers do not get to work: {said}", where="penstock torture")
            await asyncio.sleep(POLL_SECONDS)

    async def _settle(self, cycles: int) -> None:
        """Until all has been told, or nothing comes any more."""
        await self.arena.fill()
        told, since = -1, self._clock.monotonic()
        while self.ledger.unread or self.ledger.missing():
            self.show(cycles)
            now, progress = self._clock.monotonic(), self.ledger.told + self.ledger.events
            if progress != told:
                told, since = progress, now
            if now - since > QUIET_SECONDS_MAX:
                return
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(LATE_SECONDS)

    async def _come_to_rest(self) -> None:
        """No transaction is open, and everything was read."""
        deadline, behind = self._clock.monotonic() + REST_SECONDS_MAX, ["no broker answers"]
        while behind and self._clock.monotonic() < deadline:
            try:
                behind = await self._reader.behind()
            except (KafkaError, OSError, TimeoutError) as error:
                behind = [f"no broker answers: {error}"]
            await asyncio.sleep(POLL_SECONDS)
        self.problems += [Problem("contradicted", f"at rest, {each}") for each in behind]

    async def _read_again(self) -> None:
        for topic in self.topics.outputs:
            for partition in range(PARTITIONS):
                read = await read_again(self.bootstrap, topic, partition)
                self.problems += self.ledger.reread(topic, partition, read)

    def _saw(self, seen: Seen) -> None:
        self.ledger.saw(seen)
        if seen.topic in self.topics.outputs and self._seen is not None:
            place = {"at": seen.at, "topic": seen.topic, "partition": seen.partition, "offset": seen.offset}
            self._seen.write(orjson.dumps({**place, "value": (seen.value or b"").decode(errors="replace")}) + b"\n")

    def _bill(self) -> Bill:
        with (self.folder / CALLS).open("rb") as lines:
            return bill(read_calls(lines), dict(self._judged()))

    def _judged(self) -> Iterator[tuple[str, Judged]]:
        opened = {
            partition: sorted(
                min(commit.timestamp / 1000 - self._wall_minus_monotonic, commit.at) for commit in chain.opened
            )
            for partition, chain in self.ledger.chains.items()
        }
        for run, outcome in self.ledger.outcomes.items():
            firing = self.ledger.oracle.firings.get(outcome.cause)
            if firing is not None and firing.judged:
                yield run, Judged(outcome.at, outcome.answer, opened.get(outcome.partition, []))
