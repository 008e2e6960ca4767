"""Which tasks this process should work on: a consumer group that only shares out partitions (protocol rule 8).

The member subscribes to the pipeline's log topic, pauses whatever it is given and never reads. So a new source never
disturbs the group, and the inputs of one task cannot be torn apart.

aiokafka has eager assignors only: with every rebalance all partitions are taken and given again. What counts is the
difference between before and after; in between tasks go on, because the fence of their logs decides, not the group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetCommitRequest

from penstock.connectors.kafka_client import KafkaClients, stop_within
from penstock.connectors.port import MAIN, Assignment, Given, Taken, TaskId, WallClock

LEASE_MARGIN_SECONDS = 3.0
POLL_MS = 500
RETRY_SECONDS = 0.5
REPORT_SECONDS = 5.0
STOP_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Membership(ConsumerRebalanceListener):
    """One process in the group of one pipeline."""

    def __init__(self, clients: KafkaClients, group: str, topic: str, session_ms: int, clock: WallClock) -> None:
        self._clients, self._group, self._topic = clients, group, topic
        self._session_ms, self._clock = session_ms, clock
        self._changes: asyncio.Queue[Assignment | Exception] = asyncio.Queue()
        self._owned: frozenset[int] = frozenset()
        self._heard_at = float("-inf")
        self._positions: dict[TopicPartition, int] = {}
        self._reported_at = float("-inf")
        self._consumer: AIOKafkaConsumer | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join, unless that is done; what is given comes through `changes`. Raises KafkaError when no broker answers."""
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(await self._join()), name="kafka-membership")

    async def changes(self) -> AsyncIterator[Assignment]:
        """For as long as the process lives. Raises Unreachable when the group cannot be used; `start` begins again.

        Raises whatever is a bug, too: unsaid, the process would go on as a member and fight for what others were given.
        """
        while True:
            change = await self._changes.get()
            if isinstance(change, Exception):
                raise change
            yield change

    def owns(self, task: TaskId) -> bool:
        """As far as is known here; the fence is what decides."""
        return task.stage == MAIN and task.partition in self._owned

    def lease(self) -> float:
        """Seconds until a successor may be at work, less a margin: session time-out since the last heartbeat answered.

        Counted from when that heartbeat was *sent*. A heartbeat that is answered with "rebalancing" counts: the
        coordinator still holds our place. The margin covers clocks that tick at different rates, and effects under way.
        """
        session = self._session_ms / 1_000
        return max(0.0, session - min(LEASE_MARGIN_SECONDS, session * 0.3) - (self._clock.monotonic() - self._heard_at))

    def report(self, partition: int, positions: Mapping[str, int]) -> None:
        """Group offsets for dashboards, sent at most every 5 s; nothing rests on them (protocol rule 7)."""
        self._positions |= {TopicPartition(topic, partition): offset for topic, offset in positions.items()}

    async def close(self) -> None:
        """Leave the group, so that others need not wait for the session time-out. Never raises."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        await self._leave()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing: most of them come back at once."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        consumer, given = self._consumer, frozenset(each.partition for each in assigned)
        if consumer is None:
            return
        for each in assigned:
            consumer.pause(each)
        self._heard_at = self._clock.monotonic()
        before, self._owned = self._owned, given
        for partition in sorted(before - given):
            self._changes.put_nowait(Taken(TaskId(MAIN, partition)))
        for partition in sorted(given - before):
            self._changes.put_nowait(Given(TaskId(MAIN, partition)))

    async def _join(self) -> AIOKafkaConsumer:
        # The assignor remembers in class attributes what it was given: a class of its own for every member.
        assignor = type("Sticky", (StickyPartitionAssignor,), {})
        self._consumer = consumer = self._clients.member(self._group, self._session_ms, assignor)
        try:
            await consumer.start()
        except BaseException:
            await self._leave()
            raise
        self._listen_for_heartbeats(consumer)
        consumer.subscribe([self._topic], listener=self)
        return consumer

    def _listen_for_heartbeats(self, consumer: AIOKafkaConsumer) -> None:
        """aiokafka tells nobody when a heartbeat was answered, so its coordinator's method is wrapped on this instance."""
        coordinator = consumer._coordinator
        assert coordinator is not None
        beat = coordinator._do_heartbeat

        async def heard() -> bool:
            sent_at = self._clock.monotonic()
            alive = bool(await beat())
            if alive:
                self._heard_at = max(self._heard_at, sent_at)
            return alive

        coordinator._do_heartbeat = heard

    async def _serve(self, consumer: AIOKafkaConsumer) -> None:
        """Polls, which keeps the membership alive, brings errors to light, and is the occasion for reports."""
        try:
            while True:
                await self._poll_patiently(consumer)
        except KafkaError as error:
            self._changes.put_nowait(self._clients.unreachable(error, "taking part in the group"))
        except Exception as bug:  # noqa: BLE001 - it is raised where somebody listens
            self._changes.put_nowait(bug)
        await self._leave()

    async def _poll_patiently(self, consumer: AIOKafkaConsumer) -> None:
        try:
            await self._poll(consumer)
        except KafkaError as error:
            if not error.retriable:
                raise
            _log.info("group %s: %s; going on", self._group, error)
            await self._clock.sleep(RETRY_SECONDS)

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.getmany(timeout_ms=POLL_MS)
        if self._positions and self._clock.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = self._clock.monotonic()
            positions, self._positions = self._positions, {}
            await self._send_report(consumer, positions)

    async def _send_report(self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
        """`consumer.commit` refuses topics that the member does not subscribe to, so the request is made here."""
        coordinator = consumer._coordinator
        if coordinator is None or coordinator.generation < 0:
            return
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for each, offset in positions.items():
            topics.setdefault(each.topic, []).append((each.partition, offset, ""))
        request = OffsetCommitRequest(
            self._group, coordinator.generation, coordinator.member_id, OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            list(topics.items()),
        )  # fmt: skip
        try:
            await coordinator._send_req(request)
        except KafkaError as error:
            _log.info("group offsets were not reported: %s", error)

    async def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._heard_at = float("-inf")
        if consumer is not None:
            await stop_within(STOP_SECONDS, consumer.stop)
