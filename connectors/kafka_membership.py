"""Which tasks this process should work on: a consumer group that only shares out partitions (protocol rule 8).

The member is given partitions of the pipeline's log topic and never reads. So a new source never disturbs the group, and
the inputs of one task cannot be torn apart.

With every rebalance all partitions are taken and given again. What counts is the difference between before and after; in
between tasks go on, because the fence of their logs decides, not the group. What does not come back is handed over: its
owner is asked, and whoever was given it waits for that. After a lease that ran out nothing counts as kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from penstock.connectors.failpoint import failpoint
from penstock.connectors.kafka_port import Clients, GroupMember
from penstock.connectors.kafka_stop import stop_within
from penstock.connectors.lease import Lease, handover
from penstock.connectors.port import MAIN, Asked, Assignment, Given, Taken, TaskId, Tenure, WallClock

POLL_SECONDS = 0.5
RETRY_SECONDS = 0.5
REPORT_SECONDS = 5.0
STOP_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Membership:
    """One process in the group of one pipeline."""

    def __init__(self, clients: Clients, group: str, topic: str, session_ms: int, clock: WallClock) -> None:
        self._clients, self._group, self._topic = clients, group, topic
        self._session_ms, self._clock = session_ms, clock
        self._changes: asyncio.Queue[Assignment | Exception] = asyncio.Queue()
        self._owned: frozenset[int] = frozenset()
        self._lease, self._handover = Lease(session_ms / 1_000), handover(session_ms / 1_000)
        self._handed_over_at: dict[int, float] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._reported_at = float("-inf")
        self._member: GroupMember | None = None
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
        """As `Broker.lease`. A heartbeat that is answered with "rebalancing" counts: the coordinator still holds our place."""
        return self._lease.left(self._clock.monotonic())

    def tenure(self, task: TaskId) -> Tenure | None:
        """As `Broker.tenure`. While the group rebalances nobody was given anything new: what was ours is."""
        return self._lease.tenure(task.partition) if task.stage == MAIN else None

    def handover_left(self, task: TaskId) -> float:
        """Seconds for which whoever had the task before us may be finishing; 0: it was told long ago, or it is ours for long."""
        return max(0.0, self._handed_over_at.get(task.partition, 0.0) - self._clock.monotonic())

    def report(self, partition: int, positions: Mapping[str, int]) -> None:
        """Group offsets for dashboards, sent at most every 5 s; nothing rests on them (protocol rule 7)."""
        self._positions |= {TopicPartition(topic, partition): offset for topic, offset in positions.items()}

    async def close(self) -> None:
        """Leave the group, so that others need not wait for the session time-out. Never raises."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        await self._leave()

    def _assigned(self, given: frozenset[int], asked_at: float) -> None:
        """What was ours while the lease had run out is taken first: somebody else may have had it meanwhile."""
        unbroken = self._lease.renew(asked_at)
        before, self._owned = self._owned, given
        kept = before & given if unbroken else frozenset()
        for partition in sorted(before - kept):
            self._lease.taken(partition)
            task = TaskId(MAIN, partition)
            self._changes.put_nowait(Asked(task, self._handover) if unbroken else Taken(task))
        for partition in sorted(given - kept):
            self._lease.given(partition, asked_at)
            self._changes.put_nowait(Given(TaskId(MAIN, partition)))
        self._handed_over_at |= dict.fromkeys(given - kept, self._clock.monotonic() + self._handover)

    def _heard(self, asked_at: float) -> None:
        self._lease.renew(asked_at)

    async def _join(self) -> GroupMember:
        self._member = member = self._clients.member(self._group, self._topic, self._session_ms, self._clock)
        try:
            await member.join(self._assigned, self._heard)
        except BaseException:
            await self._leave()
            raise
        return member

    async def _serve(self, member: GroupMember) -> None:
        """Polls, which keeps the membership alive, brings errors to light, and is the occasion for reports."""
        try:
            while True:
                await self._poll_patiently(member)
        except KafkaError as error:
            self._changes.put_nowait(self._clients.unreachable(error, "taking part in the group"))
        except Exception as bug:  # noqa: BLE001 - it is raised where somebody listens
            self._changes.put_nowait(bug)
        await self._leave()

    async def _poll_patiently(self, member: GroupMember) -> None:
        try:
            await self._poll(member)
        except KafkaError as error:
            if not error.retriable:
                raise
            _log.info("group %s: %s; going on", self._group, error)
            await self._clock.sleep(RETRY_SECONDS)

    async def _poll(self, member: GroupMember) -> None:
        await member.poll(POLL_SECONDS)
        if self._positions and self._clock.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = self._clock.monotonic()
            positions, self._positions = self._positions, {}
            await self._send_report(member, positions)

    async def _send_report(self, member: GroupMember, positions: Mapping[TopicPartition, int]) -> None:
        try:
            await member.report(positions)
            failpoint("offsets_reported")
        except KafkaError as error:
            _log.info("group offsets were not reported: %s", error)

    async def _leave(self) -> None:
        member, self._member = self._member, None
        self._lease.end()
        if member is not None:
            await stop_within(STOP_SECONDS, member.leave)
