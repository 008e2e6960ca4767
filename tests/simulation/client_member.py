"""A simulated member of a consumer group: joins, syncs, sends heartbeats, joins again; shares out, where it leads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaError,
    MemberIdRequired,
    NotCoordinatorError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.client_wire import BACKOFF_SECONDS, Wire

from penstock.connectors.kafka_port import Assigned, Heard
from penstock.connectors.port import WallClock

POLL_SECONDS_MAX = 300.0
_LOST = (UnknownMemberIdError, IllegalGenerationError)
_COORDINATOR_GONE = (CoordinatorNotAvailableError, NotCoordinatorError)


class SimulatedMember:
    """`GroupMember` of kafka_port.py."""

    def __init__(self, wire: Wire, group: str, topic: str, session_ms: int, clock: WallClock) -> None:
        self._wire, self._group, self._topic, self._clock = wire, group, topic, clock
        self._session = session_ms / 1_000
        self._beat_every = max(100, min(session_ms // 10, 3_000)) / 1_000
        self._assigned: Assigned | None = None
        self._heard: Heard | None = None
        self._name, self._generation, self._held = "", -1, m.Subscription(topic)
        self._coordinator: int | None = None
        self._polled_at = 0.0
        self._failed: KafkaError | None = None
        self._is_leaving = self._is_idle = False
        self._taking_part: asyncio.Task[None] | None = None

    async def join(self, assigned: Assigned, heard: Heard) -> None:
        await self._wire.start()
        self._wire.want([self._topic])
        self._assigned, self._heard = assigned, heard
        loop = asyncio.get_running_loop()
        self._polled_at = loop.time()
        self._taking_part = loop.create_task(self._take_part(), name=f"{self._wire.name} in {self._group}")

    async def poll(self, seconds: float) -> None:
        self._polled_at = asyncio.get_running_loop().time()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        await asyncio.sleep(seconds)

    async def report(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._generation >= 0 and self._coordinator is not None:
            await self._ask(m.CommitOffsets(self._group, self._name, self._generation, dict(offsets)))

    async def leave(self) -> None:
        self._assigned = self._heard = None
        self._is_leaving = True
        task = self._taking_part
        if task is not None:
            if self._is_idle:
                task.cancel()
            await asyncio.wait([task])
        if self._generation > 0 and self._coordinator is not None:
            with suppress(KafkaError):  # the session time-out will tell the others
                await self._ask(m.LeaveGroup(self._group, self._name))
        self._wire.close()

    # In the background.

    async def _take_part(self) -> None:
        while not self._is_leaving:
            try:
                if await self._join_once():
                    await self._stay()
                else:
                    await self._rest(BACKOFF_SECONDS)
            except KafkaError as error:
                self._failed = error
                await self._rest(BACKOFF_SECONDS)

    async def _rest(self, seconds: float) -> None:
        """While it rests it may be cancelled; while it waits for an answer it is waited for."""
        self._is_idle = True
        await asyncio.sleep(seconds)
        self._is_idle = False

    async def _ask(self, request: m.Message) -> m.Message:
        """Of the coordinator. Raises KafkaError, and looks for another one next time."""
        assert self._coordinator is not None
        try:
            answer: m.Message = await self._wire.ask(self._coordinator, request, "coordination")
        except KafkaError:
            self._coordinator = None
            raise
        return answer

    async def _ask_patiently(self, request: m.Message) -> m.Message:
        """What is answered when the group has come together. Heartbeats go on by another connection."""
        beating = asyncio.get_running_loop().create_task(self._beat_meanwhile(), name=f"{self._wire.name} waits")
        try:
            return await self._ask(request)
        finally:
            beating.cancel()

    async def _beat_meanwhile(self) -> None:
        beat = m.Heartbeat(self._group, self._name, self._generation)
        while self._generation >= 0 and self._coordinator is not None:
            await asyncio.sleep(self._beat_every)
            asked_at = self._clock.monotonic()
            with suppress(KafkaError):
                answer = await self._wire.ask(self._coordinator, beat)
                self._note_heartbeat(answer.error, asked_at)

    async def _find_coordinator(self) -> None:
        while self._coordinator is None and not self._is_leaving:
            try:
                self._coordinator = await self._wire.find_coordinator("group", self._group)
            except KafkaError:
                await self._wire.renew()
                await self._rest(BACKOFF_SECONDS)

    def _forget(self) -> None:
        self._name, self._generation = "", -1

    async def _join_once(self) -> bool:
        """Whether we are in, with an assignment. Raises KafkaError for what no other try would change."""
        if asyncio.get_running_loop().time() - self._polled_at >= POLL_SECONDS_MAX:
            return False
        await self._find_coordinator()
        if self._is_leaving:
            return False
        joined = await self._say_join()
        if joined is None:
            return False
        if joined.error is not None:
            self._take_note(joined.error)
            return False
        self._name, self._generation = joined.member, joined.generation
        shares = await self._shares(joined) if joined.leader == joined.member else {}
        return await self._sync(shares)

    async def _say_join(self) -> m.Joined | None:
        """None when there was no answer. Who has no name yet is given one, and asks again."""
        while True:
            request = m.JoinGroup(self._group, self._name, self._wire.name, self._session, self._session, self._held)
            try:
                answer = await self._ask_patiently(request)
            except KafkaError:
                return None
            joined = m.Joined(answer.error) if isinstance(answer, m.Failed) else answer
            assert isinstance(joined, m.Joined)
            if joined.error is not MemberIdRequired:
                return joined
            self._name = joined.member

    async def _shares(self, joined: m.Joined) -> dict[str, tuple[int, ...]]:
        await self._wire.renew_if_in_doubt()
        return shares(joined.members, self._wire.partitions(self._topic) or 0)

    async def _sync(self, assignments: Mapping[str, tuple[int, ...]]) -> bool:
        asked_at, generation = self._clock.monotonic(), self._generation
        try:
            answer = await self._ask_patiently(m.SyncGroup(self._group, self._name, generation, assignments))
        except KafkaError:
            return False
        assert isinstance(answer, m.Synced | m.Failed)
        if answer.error is not None or isinstance(answer, m.Failed):
            self._take_note(answer.error)
            return False
        self._held = m.Subscription(self._topic, answer.partitions, generation)
        if self._assigned is not None:
            self._assigned(frozenset(answer.partitions), asked_at)
        return True

    def _take_note(self, error: m.Error) -> None:
        """What an error means for our place. Raises those that mean nothing that another try would change."""
        if error in _LOST:
            self._forget()
        elif error in _COORDINATOR_GONE:
            self._coordinator = None
        elif error not in (None, RebalanceInProgressError, CoordinatorLoadInProgressError):
            assert error is not None
            raise error(self._group)

    async def _stay(self) -> None:
        """Send heartbeats until there is a reason to join again."""
        now = asyncio.get_running_loop().time
        heard_at, wait = now(), self._beat_every
        while not self._is_leaving:
            await self._rest(wait)
            await self._find_coordinator()
            if self._is_leaving:
                return
            asked_at = now()
            error = await self._beat()
            if error is None or error is RebalanceInProgressError:
                heard_at, wait = now(), max(0.0, self._beat_every - (now() - asked_at))
            else:
                wait = BACKOFF_SECONDS
            if error in _LOST or error is RebalanceInProgressError:
                return
            if now() - heard_at > self._session:
                self._coordinator = None
            if now() - self._polled_at >= POLL_SECONDS_MAX:
                await self._leave_unpolled()
                return

    async def _beat(self) -> m.Error:
        """What the coordinator says to a heartbeat; no answer is CoordinatorLoadInProgressError: try again."""
        asked_at = self._clock.monotonic()
        try:
            answer = await self._ask(m.Heartbeat(self._group, self._name, self._generation))
        except KafkaError:
            return CoordinatorLoadInProgressError
        assert isinstance(answer, m.Done | m.Failed)
        self._take_note(answer.error)
        self._note_heartbeat(answer.error, asked_at)
        return answer.error

    def _note_heartbeat(self, error: m.Error, asked_at: float) -> None:
        if error in (None, RebalanceInProgressError) and self._heard is not None:
            self._heard(asked_at)

    async def _leave_unpolled(self) -> None:
        with suppress(KafkaError):
            await self._ask(m.LeaveGroup(self._group, self._name))
        self._forget()


def shares(members: Mapping[str, m.Subscription], partitions: int) -> dict[str, tuple[int, ...]]:
    """Equal shares, give or take one; whoever held a partition last keeps it as far as that allows, as sticky assignors do."""
    held: dict[int, tuple[int, str]] = {}
    for name, subscription in members.items():
        for partition in subscription.held:
            if partition < partitions and held.get(partition, (-2, ""))[0] < subscription.generation:
                held[partition] = (subscription.generation, name)
    kept: dict[str, list[int]] = {name: [] for name in members}
    for partition, (_, name) in sorted(held.items()):
        kept[name].append(partition)
    least, more = divmod(partitions, len(members))
    order = sorted(members, key=lambda name: -len(kept[name]))
    room = {name: least + (place < more) for place, name in enumerate(order)}
    for name in members:
        kept[name] = kept[name][: room[name]]
    taken = {partition for each in kept.values() for partition in each}
    free = [partition for partition in range(partitions) if partition not in taken]
    for name in members:
        missing = room[name] - len(kept[name])
        kept[name] += free[:missing]
        del free[:missing]
    return {name: tuple(sorted(each)) for name, each in kept.items()}
