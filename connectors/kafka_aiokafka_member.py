"""A member of a consumer group through aiokafka 0.14, which tells nobody when a request was sent or a heartbeat answered.

So the methods of its coordinator that send are wrapped, on the one instance.

aiokafka also sends no heartbeats while it waits for a rebalance, which takes as long as the session time-out of a member
that died. They are sent here: whoever hears nothing for so long takes itself for lost, and drops its work for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError, NoError, RebalanceInProgressError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_port import Assigned, Heard
from penstock.connectors.port import WallClock

_STILL_OURS = (NoError, RebalanceInProgressError)


def sticky_assignor() -> type[StickyPartitionAssignor]:
    """aiokafka's remembers in class attributes what it was given: a class of its own for every member."""
    return type("Sticky", (StickyPartitionAssignor,), {})


class AiokafkaMember(ConsumerRebalanceListener):
    """`GroupMember` of kafka_port.py. `consumer` is this member's own, and not started."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str, topic: str, clock: WallClock) -> None:
        self._consumer, self._group, self._topic, self._clock = consumer, group, topic, clock
        self._asked_at = float("-inf")
        self._assigned: Assigned | None = None
        self._heard: Heard | None = None

    async def join(self, assigned: Assigned, heard: Heard) -> None:
        await self._consumer.start()
        self._assigned, self._heard = assigned, heard
        coordinator = self._consumer._coordinator
        assert coordinator is not None
        self._watch_rebalances(coordinator)
        self._listen_for_heartbeats(coordinator)
        self._consumer.subscribe([self._topic], listener=self)

    def _watch_rebalances(self, coordinator: Any) -> None:
        """JoinGroup comes first, then SyncGroup; the coordinator counts the session from when it answers that."""
        send = coordinator._send_req

        async def watched(request: Any) -> Any:
            if not isinstance(request, JoinGroupRequest | SyncGroupRequest):
                return await send(request)
            self._asked_at = self._clock.monotonic()
            beating = asyncio.create_task(self._beat_meanwhile(coordinator), name="kafka-heartbeats-of-rebalance")
            try:
                return await send(request)
            finally:
                beating.cancel()

        coordinator._send_req = watched

    async def _beat_meanwhile(self, coordinator: Any) -> None:
        """On another connection: where a broker keeps somebody waiting for an answer, it reads nothing else."""
        beat = HeartbeatRequest(self._group, coordinator.generation, coordinator.member_id)
        while coordinator.generation >= 0:
            await asyncio.sleep(coordinator._heartbeat_interval_ms / 1_000)
            sent_at = self._clock.monotonic()
            try:
                answer = await coordinator._client.send(coordinator.coordinator_id, beat)
            except KafkaError:
                continue
            if for_code(answer.error_code) in _STILL_OURS and self._heard is not None:
                self._heard(sent_at)

    def _listen_for_heartbeats(self, coordinator: Any) -> None:
        beat = coordinator._do_heartbeat

        async def heard() -> bool:
            sent_at = self._clock.monotonic()
            alive = bool(await beat())
            if alive and self._heard is not None:
                self._heard(sent_at)
            return alive

        coordinator._do_heartbeat = heard

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing: most of them come back at once."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        if self._assigned is not None:
            self._assigned(frozenset(each.partition for each in assigned), self._asked_at)

    async def poll(self, seconds: float) -> None:
        await self._consumer.getmany(timeout_ms=int(seconds * 1_000))

    async def report(self, offsets: Mapping[TopicPartition, int]) -> None:
        """`AIOKafkaConsumer.commit` refuses topics that the member does not subscribe to, so the request is made here."""
        coordinator = self._consumer._coordinator
        if coordinator is None or coordinator.generation < 0:
            return
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for each, offset in offsets.items():
            topics.setdefault(each.topic, []).append((each.partition, offset, ""))
        request = OffsetCommitRequest(
            self._group, coordinator.generation, coordinator.member_id, OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            list(topics.items()),
        )  # fmt: skip
        await coordinator._send_req(request)

    async def leave(self) -> None:
        self._assigned = self._heard = None
        await self._consumer.stop()
