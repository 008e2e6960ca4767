"""A member of a consumer group through aiokafka 0.14, which tells nobody when a request was sent or a heartbeat answered.

So the methods of its coordinator that send are wrapped, on the one instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import SyncGroupRequest
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_port import Assigned, Heard
from penstock.connectors.port import WallClock


def sticky_assignor() -> type[StickyPartitionAssignor]:
    """aiokafka's remembers in class attributes what it was given: a class of its own for every member."""
    return type("Sticky", (StickyPartitionAssignor,), {})


class AiokafkaMember(ConsumerRebalanceListener):
    """`GroupMember` of kafka_port.py. `consumer` is this member's own, and not started."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str, topic: str, clock: WallClock) -> None:
        self._consumer, self._group, self._topic, self._clock = consumer, group, topic, clock
        self._synced_at = float("-inf")
        self._assigned: Assigned | None = None
        self._heard: Heard | None = None

    async def join(self, assigned: Assigned, heard: Heard) -> None:
        await self._consumer.start()
        self._assigned, self._heard = assigned, heard
        coordinator = self._consumer._coordinator
        assert coordinator is not None
        self._note_syncs(coordinator)
        self._listen_for_heartbeats(coordinator)
        self._consumer.subscribe([self._topic], listener=self)

    def _note_syncs(self, coordinator: Any) -> None:
        """The answer to SyncGroup brings the assignment, and the coordinator counts the session from it."""
        send = coordinator._send_req

        async def noted(request: Any) -> Any:
            if isinstance(request, SyncGroupRequest):
                self._synced_at = self._clock.monotonic()
            return await send(request)

        coordinator._send_req = noted

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
            self._assigned(frozenset(each.partition for each in assigned), self._synced_at)

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
