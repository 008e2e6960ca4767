"""The Kafka broker: Kafka's own partitions, groups and transactions are the distributed engine (`docs/protocol.md`).

Every task has its own producer, because the transactional id is its fence, and its own reader (`kafka_inputs.py` says
why). What a process shares: the membership, one admin client, one reader that looks up ends, one plain producer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial

from aiokafka.structs import TopicPartition

from penstock.connectors.clock import MachineClock
from penstock.connectors.failpoint import failpoint
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_error import reached
from penstock.connectors.kafka_fence import Fence, Tail
from penstock.connectors.kafka_inputs import read
from penstock.connectors.kafka_keys import check_keys
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_membership import Membership
from penstock.connectors.kafka_port import (
    BATCH_BYTES,
    REQUEST_BYTES_MAX,
    Admin,
    Clients,
    PlainProducer,
    Reader,
    Sending,
)
from penstock.connectors.kafka_read import follow, partitions_of, read_range
from penstock.connectors.kafka_repair import Span
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.kafka_topics import Found, TopicPlan, World, absent, apply, look, not_compacted, plan, refuse
from penstock.connectors.kafka_writer import Writer
from penstock.connectors.port import Assignment, Layout, TaskId, Tenure, WallClock
from penstock.operators.error import NotOurs, Unreachable
from penstock.operators.record import Output, Raw

PREVIEW_SECONDS = 1.0
PREVIEWS_UNDER_WAY_MAX = 500
CLOSE_SECONDS = 5.0
TRIM_SECONDS = 10.0
RELEASE_POLL_SECONDS = 0.05
REBALANCE_SECONDS = 5.0
"""From the end of a dead member's session until the others have its tasks, at the longest."""

_log = logging.getLogger(__name__)


class KafkaBroker:
    """One process's view of a cluster, for one pipeline. `member` names the process to the brokers.

    `clients` reaches the cluster; without it aiokafka's are made as the settings say.
    `created` and `warnings` say after `start` which topics were made, and what a person should know.
    The options that begin with `unsafe` break the protocol on purpose, for tests that must catch it: opening tasks that
    the group gave to others, and reading the log before the fence stands.
    """

    def __init__(
        self, layout: Layout, settings: KafkaSettings, member: str = "penstock", clock: WallClock | None = None,
        clients: Clients | None = None, *, trim_seconds: float = TRIM_SECONDS, unsafe_open_any_task: bool = False,
        unsafe_read_before_fence: bool = False,
    ) -> None:  # fmt: skip
        """Connects to nothing. Raises Unreachable for certificates that cannot be read."""
        self._layout, self._settings = layout, settings
        self._clients: Clients = clients or KafkaClients(settings, member)
        self._clock = clock or MachineClock()
        self._trim_seconds = trim_seconds
        self._open_any_task, self._read_before_fence = unsafe_open_any_task, unsafe_read_before_fence
        self._membership = Membership(self._clients, layout.group, layout.log, settings.session_timeout, self._clock)
        self._joined = False
        self._admin: Admin | None = None
        self._ends: Reader | None = None
        self._plain: PlainProducer | None = None
        self._logs: dict[KafkaTaskLog, None] = {}  # in the order of opening, so that a simulated run can be repeated
        self._limits: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._partitions = self._preview_partitions = 1
        self._previews_under_way = 0
        self.created: list[str] = []
        self.warnings: list[str] = []

    async def start(self) -> None:
        """As `Broker.start`; may be called again when it failed."""
        try:
            await self._start()
        except BaseException:
            await self._disconnect()
            raise

    async def _start(self) -> None:
        topics = await self._topics()
        # What a topic would take and our producers would not send is refused here, too, or it would be tried for ever.
        self._limits = {
            topic: min(topics[topic].message_bytes_max, REQUEST_BYTES_MAX) for topic in self._layout.outputs
        }
        self._partitions = topics[self._layout.log].partitions
        self._counts = {topic: topics[topic].partitions for topic in self._layout.outputs}
        if self._layout.previews is not None:
            self._preview_partitions = topics[self._layout.previews].partitions
        await self._look_for_doubts(topics)
        self._ends, self._plain = self._clients.reader(committed=False), self._clients.producer()
        await reached(self._clients, self._ends.start(), "connecting")
        await reached(self._clients, self._plain.start(), "connecting")
        self._tell()

    async def missing(self) -> list[str]:
        world, plans = await self._looked(await self._reach())
        await self._look_for_doubts(world.topics)
        self._tell()
        return [each.topic for each in plans if each.action == "create"]

    async def connect(self, topic: str) -> None:
        admin = await self._reach()
        await reached(self._clients, partitions_of(self._clients, admin, topic), "looking at the topics")
        self._plain = self._clients.producer()
        await reached(self._clients, self._plain.start(), "connecting")

    async def _reach(self) -> Admin:
        await self._clients.probe()
        self._admin = self._clients.admin()
        await reached(self._clients, self._admin.start(), "connecting")
        return self._admin

    async def _look_for_doubts(self, topics: Mapping[str, Found]) -> None:
        """What does not keep us from working goes to `warnings`. Raises Unreachable for what does."""
        inputs = sorted({*self._layout.partitioned_alike, *self._layout.partitioned})
        if inputs and not self._layout.spread:  # a first stage takes keys as they come
            partitions = topics[inputs[0]].partitions
            doubts = await check_keys(self._clients, self._clock, inputs, partitions, self._layout.rekeyed)
        else:
            doubts = []
        self.warnings = [*self._clients.warnings, *doubts, *not_compacted(self._layout, topics)]

    def _tell(self) -> None:
        if self.created:
            _log.info("created topics %s", ", ".join(self.created))
        for warning in self.warnings:
            _log.warning("%s", warning)

    async def _topics(self) -> Mapping[str, Found]:
        """Every topic of the layout, created where it is missing and may be."""
        admin = await self._reach()
        world, plans = await self._looked(admin)
        self.created = await apply(self._clients, admin, plans, world)
        if self.created:
            world, _ = await self._looked(admin)
        return world.topics

    async def _looked(self, admin: Admin) -> tuple[World, list[TopicPlan]]:
        """What is there, and what is to be done. Raises Unreachable where that is nothing that we may do."""
        world = await look(self._clients, admin, self._layout)
        plans, where = plan(self._layout, world), f"kafka {self._clients.address}"
        refuse(plans, where)
        missing = [each.topic for each in plans if each.action == "create"]
        if missing and not self._settings.create_topics:
            remedy = "run `penstock topics apply`, or set kafka.create_topics: true"
            raise Unreachable(absent(missing), where=where, remedy=remedy)
        return world, plans

    async def tasks(self) -> AsyncIterator[Assignment]:
        """Joins the group when it is first iterated, and again when that was lost."""
        await reached(self._clients, self._membership.start(), "joining the group")
        self._joined = True
        async for change in self._membership.changes():
            yield change

    def lease(self) -> float:
        """0 until the group was joined: a process that nobody counts on may not act on the outside."""
        return self._membership.lease()

    def tenure(self, task: TaskId) -> Tenure | None:
        return self._membership.tenure(task)

    def unsettled(self, tasks: int) -> float:
        return 0.0 if tasks == self._partitions else self._settings.session_timeout / 1_000 + REBALANCE_SECONDS

    async def open(self, task: TaskId) -> KafkaTaskLog:
        """As `Broker.open`: a producer of the task's stable id fences, and only then the log's end is looked at."""
        self._check_ours(task)
        assert self._admin is not None, "start the broker first"
        assert self._ends is not None, "start the broker first"
        fence, reader, careless = self._fence_of(task), self._clients.reader(), None
        partition = TopicPartition(self._layout.log, task.partition)
        writer = Writer(
            fence,
            self._layout.log,
            task.partition,
            self._limits,
            self._counts,
            self._settings.transaction_timeout / 1_000,
        )
        try:
            await reached(self._clients, reader.start(), "connecting")
            await self._await_release(task, reader)
            if self._read_before_fence:
                careless = await self._careless(reader, partition)
            await writer.start()
            failpoint("fenced")
            spans = await self._spans(task.partition)
        except BaseException:
            await stop_within(CLOSE_SECONDS, writer.close, reader.stop)
            raise
        log = KafkaTaskLog(
            task, self._layout, self._clients, self._clock, self._membership,
            reader=reader, ends=self._ends, admin=self._admin, writer=writer,
            partitions=self._partitions, counts=self._counts, spans=spans, trim_seconds=self._trim_seconds,
            before_fence=careless, on_closed=self._forget,
        )  # fmt: skip
        self._logs[log] = None
        return log

    async def _await_release(self, task: TaskId, reader: Reader) -> None:
        """Protocol rule 8: whoever had the task may be finishing. So nothing is lost, and nobody is fenced at work."""
        log = TopicPartition(self._layout.log, task.partition)
        tail = Tail(reader, log)
        while (left := self._membership.handover_left(task)) > 0 and not self._open_any_task:
            if await reached(self._clients, tail.is_released(), f"looking at {log.topic}/{log.partition}"):
                return
            failpoint("release_awaited")
            await self._clock.sleep(min(left, RELEASE_POLL_SECONDS))
            self._check_ours(task)

    async def _spans(self, partition: int) -> dict[str, Span]:
        """What there is of the log and of the output topics, the fence standing.

        The log's end is looked at last: a successor that fences us meanwhile writes its deltas before its outputs, so no
        output is seen without its delta.
        """
        assert self._ends is not None, "start the broker first"
        ends, doing = self._ends, "looking for the log"
        log = TopicPartition(self._layout.log, partition)
        own = sorted(self._layout.outputs - self._layout.spread)
        outputs = [TopicPartition(topic, partition % self._counts[topic]) for topic in own]
        starts = await reached(self._clients, ends.beginning_offsets([log, *outputs]), doing)
        following = await reached(self._clients, ends.end_offsets(outputs), doing) if outputs else {}
        following = {**following, **await reached(self._clients, ends.end_offsets([log]), doing)}
        return {each.topic: Span(starts[each], following[each]) for each in (log, *outputs)}

    def _fence_of(self, task: TaskId) -> Fence:
        batch_bytes = min(self._limits.values(), default=BATCH_BYTES)
        transactional_id = f"{self._layout.prefix}.{task.stage}.{task.partition}"
        return Fence(self._clients, transactional_id, batch_bytes, partial(self._check_ours, task))

    def _forget(self, log: KafkaTaskLog) -> None:
        self._logs.pop(log, None)

    def _check_ours(self, task: TaskId) -> None:
        if not self._joined or self._open_any_task:
            return
        if not self._membership.owns(task):
            raise NotOurs("the task was given to another process", where=f"{self._layout.log}/{task.partition}")
        if self._membership.lease() <= 0:
            raise NotOurs("the group was not heard of for too long", where=f"{self._layout.log}/{task.partition}")

    async def _careless(self, reader: Reader, partition: TopicPartition) -> list[Raw]:
        start = (await reader.beginning_offsets([partition]))[partition]
        end = (await reader.end_offsets([partition]))[partition]
        return [raw async for raw in read(reader, partition, start, end)]

    async def preview(self, output: Output, partition: int) -> None:
        if self._plain is None or self._previews_under_way >= PREVIEWS_UNDER_WAY_MAX:
            return
        self._previews_under_way += 1
        try:
            async with asyncio.timeout(PREVIEW_SECONDS):
                sending = await self._plain.send(
                    output.topic, output.value or b"", output.key, partition % self._preview_partitions,
                    headers=list(output.headers),
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - a preview is worth nothing a second later
            self._previews_under_way -= 1
            _log.debug("a preview was not sent: %r", error)
        else:
            sending.add_done_callback(self._preview_ended)

    def _preview_ended(self, sending: Sending) -> None:
        self._previews_under_way -= 1
        if not sending.cancelled() and sending.exception() is not None:
            _log.debug("a preview was not sent: %r", sending.exception())

    def read(
        self, topic: str, partition: int, start: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Raw]:
        assert self._admin is not None, "start the broker first"
        return read_range(self._clients, self._admin, topic, partition, start, end, committed=committed)

    def follow(self, topic: str) -> AsyncIterator[Raw]:
        assert self._admin is not None, "start the broker first"
        return follow(self._clients, self._admin, topic)

    async def produce(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int | None = None) -> None:
        await reached(self._clients, self._acknowledged(topic, value, key, timestamp), f"writing to {topic}")

    async def _acknowledged(self, topic: str, value: bytes | None, key: bytes | None, timestamp: int | None) -> None:
        assert self._plain is not None, "start the broker first"
        await (await self._plain.send(topic, value, key, timestamp_ms=timestamp))

    async def close(self) -> None:
        await asyncio.gather(*(log.close() for log in list(self._logs)))
        await stop_within(CLOSE_SECONDS, self._membership.close)
        await self._disconnect()

    async def _disconnect(self) -> None:
        stops = [each.stop for each in (self._ends, self._plain, self._admin) if each is not None]
        self._ends = self._plain = self._admin = None
        await stop_within(CLOSE_SECONDS, *stops)
