"""Who works on what: a consumer group of which only the differences are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.kafka_world import TASK, KafkaWorld, delta

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_fence import Tail
from penstock.connectors.lease import HANDOVER_SECONDS
from penstock.connectors.port import Asked, Assignment, Given, Taken, TaskId
from penstock.operators.error import Fenced, NotOurs
from penstock.state.delta import Position

pytestmark = pytest.mark.timeout(60)


class Told:
    """What a process was told, and what it owns after that."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.log: list[Assignment] = []
        self.owned: set[int] = set()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._listen(broker.tasks()))

    async def _listen(self, assignments: AsyncIterator[Assignment]) -> None:
        async for each in assignments:
            self.log.append(each)
            match each:
                case Given(task):
                    self.owned.add(task.partition)
                case Asked(task) | Taken(task):
                    self.owned.remove(task.partition)
            self._changed.set()

    async def until_owning(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.owned) != count:
                self._changed.clear()
                await self._changed.wait()

    def end(self) -> None:
        self._task.cancel()


async def test_a_second_process_is_given_half_and_the_first_keeps_the_other_half_undisturbed(kafka: KafkaWorld) -> None:
    await kafka.create(partitions=4)
    first_broker, second_broker = await kafka.broker(), await kafka.broker()
    first = Told(first_broker)
    await first.until_owning(4)
    assert first_broker.lease() > 0
    assert second_broker.lease() == 0
    second = Told(second_broker)
    await second.until_owning(2)
    await first.until_owning(2)
    assert first.owned | second.owned == {0, 1, 2, 3}
    taken = [each.task.partition for each in first.log if isinstance(each, Asked)]
    assert sorted(taken) == sorted(second.owned)
    assert len(first.log) == 6, "what stayed was neither taken nor given again"
    with pytest.raises(NotOurs):
        await first_broker.open(TaskId("main", taken[0]))

    second.end()
    await second_broker.close()
    await first.until_owning(4)
    first.end()


class JumpingClock(MachineClock):
    """As if the process had been stopped for `ahead` seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def test_a_process_that_was_stopped_for_long_fences_nobody_before_it_has_asked_the_group(
    kafka: KafkaWorld,
) -> None:
    await kafka.create()
    other, clock = await kafka.broker(), JumpingClock()
    stopped = KafkaBroker(kafka.layout(), kafka.settings, clock=clock)
    kafka.brokers.append(stopped)
    await stopped.start()
    told = Told(stopped)
    await told.until_owning(1)
    owner, _, _ = await kafka.open(other)
    before = stopped.tenure(TASK)
    clock.ahead = 60.0
    with pytest.raises(NotOurs, match="not heard of for too long"):
        await stopped.open(TASK)
    await owner.commit(delta(owner), [])
    async with asyncio.timeout(20):
        while stopped.lease() == 0:  # noqa: ASYNC110 - nobody is told of a heartbeat
            await asyncio.sleep(0.1)
    after = stopped.tenure(TASK)
    assert before is not None
    assert after is not None
    assert after.since > before.since + 50, "it may have been somebody else's meanwhile"
    log = await stopped.open(TASK)
    await log.close()
    told.end()


async def opened_in(kafka: KafkaWorld, broker: KafkaBroker) -> float:
    """Seconds that the opening of the one task took."""
    began = time.monotonic()
    await kafka.open(broker)
    return time.monotonic() - began


async def test_who_is_given_a_task_lets_its_owner_finish_and_opens_it_as_soon_as_it_is_released(
    kafka: KafkaWorld,
) -> None:
    await kafka.create()
    former, heir = await kafka.broker(), await kafka.broker()
    log, _, _ = await kafka.open(former)
    told = Told(heir)
    await told.until_owning(1)
    opening = asyncio.create_task(opened_in(kafka, heir))
    await asyncio.sleep(0.3)
    await log.commit(delta(log), [])
    await log.commit(delta(log, "released"), [])
    assert await opening < HANDOVER_SECONDS
    told.end()


async def test_who_is_given_a_task_that_is_never_released_opens_it_after_the_time_for_that(kafka: KafkaWorld) -> None:
    await kafka.create()
    former, heir = await kafka.broker(), await kafka.broker()
    log, _, _ = await kafka.open(former)
    told = Told(heir)
    await told.until_owning(1)
    assert await opened_in(kafka, heir) > HANDOVER_SECONDS * 0.8
    with pytest.raises(Fenced):
        await log.commit(delta(log, "released"), [])
    again = await opened_in(kafka, heir)
    assert again < HANDOVER_SECONDS / 2, "it is ours for long"
    told.end()


async def test_a_log_that_is_trimmed_while_it_is_looked_at_was_not_released(kafka: KafkaWorld) -> None:
    """Its owner is at work: that is nothing to complain of."""
    await kafka.create()
    await kafka.open(await kafka.broker())
    log, reader = TopicPartition(kafka.layout().log, 0), kafka.clients.reader()
    await reader.start()
    look = reader.beginning_offsets

    async def look_and_trim(partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = await look(partitions)
        await kafka.delete_records(log.topic, (await reader.end_offsets(partitions))[log])
        return starts

    reader.beginning_offsets = look_and_trim  # type: ignore[method-assign]  # of this one
    try:
        assert not await Tail(reader, log).is_released()
    finally:
        await reader.stop()


async def test_a_task_that_nobody_ever_had_is_opened_at_once(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    told = Told(broker)
    await told.until_owning(1)
    assert await opened_in(kafka, broker) < HANDOVER_SECONDS
    told.end()


async def test_where_a_task_stands_is_shown_to_dashboards(kafka: KafkaWorld) -> None:
    topic = await kafka.create()
    await kafka.write(topic, b"1", b"2")
    broker = await kafka.broker()
    told = Told(broker)
    await told.until_owning(1)
    log, _, _ = await kafka.open(broker)
    await log.commit(delta(log, positions={topic: Position(2)}), [])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.cluster.bootstrap, group_id=broker._layout.group, enable_auto_commit=False
    )
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            while (shown := await consumer.committed(TopicPartition(topic, 0))) is None:
                continue
        assert shown in (0, 2)
    finally:
        await consumer.stop()
        told.end()
