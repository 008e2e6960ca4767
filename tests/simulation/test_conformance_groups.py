"""Consumer groups, asked through the port of the simulation and of a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise

import pytest
from aiokafka.structs import TopicPartition
from tests.simulation.conformance import Corner, on_every_kafka

pytestmark = pytest.mark.timeout(90)


def shared(*assigned: list[frozenset[int]]) -> Iterable[int]:
    """What all members have together, by their newest assignments."""
    return sorted(partition for each in assigned if each for partition in each[-1])


@on_every_kafka
async def test_who_is_alone_is_given_everything(kafka: Corner) -> None:
    topic = await kafka.create(partitions=3)
    _, assigned = await kafka.member("g", topic)
    await kafka.soon(lambda: bool(assigned))
    assert assigned == [frozenset({0, 1, 2})]


@on_every_kafka
async def test_a_second_member_is_given_half_and_the_first_keeps_the_other_half(kafka: Corner) -> None:
    topic = await kafka.create(partitions=4)
    _, first = await kafka.member("g", topic, name="a")
    await kafka.soon(lambda: bool(first))
    _, second = await kafka.member("g", topic, name="b")
    await kafka.soon(lambda: len(first) == 2 and bool(second))
    assert [len(first[-1]), len(second[-1])] == [2, 2]
    assert shared(first, second) == [0, 1, 2, 3]


@on_every_kafka
async def test_of_a_third_members_coming_and_going_the_others_notice_as_little_as_can_be(kafka: Corner) -> None:
    topic = await kafka.create(partitions=6)
    _, first = await kafka.member("g", topic, name="a")
    await kafka.soon(lambda: bool(first))
    _, second = await kafka.member("g", topic, name="b")
    await kafka.soon(lambda: len(first) == 2 and bool(second))
    third, last = await kafka.member("g", topic, name="c")
    await kafka.soon(lambda: bool(last) and len(first) == 3)
    assert [len(each[-1]) for each in (first, second, last)] == [2, 2, 2]
    assert first[2] < first[1]
    assert second[-1] < second[-2]
    await third.leave()
    await kafka.soon(lambda: len(first) == 4 and shared(first, second) == [0, 1, 2, 3, 4, 5])
    assert first[3] > first[2]
    assert second[-1] > second[-2]


@on_every_kafka
async def test_who_leaves_is_replaced_at_once(kafka: Corner) -> None:
    topic = await kafka.create(partitions=2)
    leaver, first = await kafka.member("g", topic, name="a", session_ms=60_000)
    await kafka.soon(lambda: bool(first))
    _, second = await kafka.member("g", topic, name="b", session_ms=60_000)
    await kafka.soon(lambda: shared(first, second) == [0, 1] and bool(second))
    await leaver.leave()
    await kafka.soon(lambda: second[-1] == {0, 1}, seconds=30)


@on_every_kafka
async def test_who_is_silent_loses_its_place_after_the_session_time_out(kafka: Corner) -> None:
    topic = await kafka.create(partitions=2)
    silent, first = await kafka.member("g", topic, name="a", session_ms=2_000)
    await kafka.soon(lambda: bool(first))
    _, second = await kafka.member("g", topic, name="b", session_ms=2_000)
    await kafka.soon(lambda: len(first) == 2 and bool(second))
    kafka.place.silence(silent)
    stopped_at = kafka.clock.monotonic()
    await kafka.soon(lambda: second[-1] == {0, 1})
    assert 1.5 <= kafka.clock.monotonic() - stopped_at <= 6.5
    assert len(first) == 2


@on_every_kafka
async def test_members_beyond_the_number_of_partitions_are_given_nothing(kafka: Corner) -> None:
    topic = await kafka.create()
    _, first = await kafka.member("g", topic, name="a")
    await kafka.soon(lambda: bool(first))
    _, second = await kafka.member("g", topic, name="b")
    await kafka.soon(lambda: bool(second))
    await kafka.soon(lambda: len(first) == 2)
    assert sorted([len(first[-1]), len(second[-1])]) == [0, 1]
    assert first[-1] == {0}


@on_every_kafka
async def test_heartbeats_are_told_with_the_time_of_asking(kafka: Corner) -> None:
    topic = await kafka.create()
    heard: list[float] = []
    assigned: list[float] = []
    member = kafka.clients().member(f"{kafka.name}.g", topic, 1_000, kafka.clock)
    began = kafka.clock.monotonic()
    await member.join(lambda _, asked_at: assigned.append(asked_at), heard.append)
    await kafka.soon(lambda: len(heard) >= 5)
    await member.leave()
    assert began <= assigned[0] < heard[0]
    assert heard == sorted(heard)
    between = [after - before for before, after in pairwise(heard)]
    assert all(0.08 <= each <= 0.5 for each in between)


@on_every_kafka
async def test_who_waits_for_a_rebalance_goes_on_hearing_of_its_place(kafka: Corner) -> None:
    """It waits for a member that is silent, and would otherwise take itself for lost before the group does."""
    topic, session_ms = await kafka.create(partitions=3), 6_000
    heard: list[float] = []
    waiting: list[frozenset[int]] = []
    member = kafka.clients("a").member(f"{kafka.name}.g", topic, session_ms, kafka.clock)
    await member.join(lambda partitions, _: waiting.append(partitions), heard.append)
    await kafka.soon(lambda: bool(waiting))
    silent, _ = await kafka.member("g", topic, name="b", session_ms=session_ms)
    await kafka.soon(lambda: len(waiting) == 2)
    kafka.place.silence(silent)
    silent_at = kafka.clock.monotonic()
    _, late = await kafka.member("g", topic, name="c", session_ms=session_ms)
    await kafka.soon(lambda: bool(late) and len(waiting) == 3)
    rebalanced_at = kafka.clock.monotonic()
    await member.leave()
    assert rebalanced_at - silent_at > 4, "the silent member was waited for"
    times = [at for at in heard if silent_at < at < rebalanced_at]
    assert max(after - before for before, after in pairwise([silent_at, *times, rebalanced_at])) < 2


@on_every_kafka
async def test_groups_do_not_disturb_each_other(kafka: Corner) -> None:
    topic = await kafka.create(partitions=2)
    _, first = await kafka.member("g", topic, name="a")
    _, second = await kafka.member("h", topic, name="b")
    await kafka.soon(lambda: bool(first) and bool(second))
    await asyncio.sleep(0.5)
    assert first == second == [frozenset({0, 1})]


@on_every_kafka
async def test_polling_and_reporting_offsets_of_any_topic_says_nothing_when_all_is_well(kafka: Corner) -> None:
    topic, other = await kafka.create(), await kafka.create("other")
    member, assigned = await kafka.member("g", topic)
    await member.report({TopicPartition(other, 0): 1})
    await kafka.soon(lambda: bool(assigned))
    await member.report({TopicPartition(other, 0): 7})
    await member.poll(0.2)


@on_every_kafka
async def test_two_who_join_together_are_both_given_something(kafka: Corner) -> None:
    topic = await kafka.create(partitions=4)
    (_, first), (_, second) = await asyncio.gather(
        kafka.member("g", topic, name="a"), kafka.member("g", topic, name="b")
    )
    await kafka.soon(lambda: bool(first and second) and shared(first, second) == [0, 1, 2, 3])
    assert [len(first[-1]), len(second[-1])] == [2, 2]
