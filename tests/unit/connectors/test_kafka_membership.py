from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.structs import TopicPartition

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_membership import Membership
from penstock.connectors.kafka_port import Assigned, GroupMember, Heard
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Asked, Assignment, Given, Taken, TaskId, WallClock
from penstock.operators.error import Unreachable

CLOCK = MachineClock()
TASK = [TaskId("main", partition) for partition in range(3)]


class Member:
    """What the group says is said by the test; polls fail with `error`, if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def join(self, assigned: Assigned, heard: Heard) -> None:
        self.assigned, self.heard = assigned, heard

    async def poll(self, seconds: float) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.sleep(seconds)

    async def report(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    async def leave(self) -> None: ...


class Clients(KafkaClients):
    """Of a cluster of which only the group is used."""

    def __init__(self, member: GroupMember) -> None:
        super().__init__(KafkaSettings(bootstrap="127.0.0.1:1"), "test")
        self._member = member

    def member(self, group: str, topic: str, session_ms: int, clock: WallClock) -> GroupMember:
        return self._member


class NoTimeOfDay(MachineClock):
    """Of a machine whose clock may jump at any moment: whoever asks it is wrong."""

    def now(self) -> int:
        raise AssertionError("a lease must not depend on the time of day")


async def joined(member: Member) -> Membership:
    """The session is 10 s, and 3 s of it are margin."""
    membership = Membership(Clients(member), "group", "topic", 10_000, NoTimeOfDay())
    await membership.start()
    return membership


async def told(membership: Membership, count: int) -> list[Assignment]:
    changes: AsyncIterator[Assignment] = membership.changes()
    async with asyncio.timeout(5):
        return [await anext(changes) for _ in range(count)]


@pytest.fixture
async def member() -> Member:
    return Member()


@pytest.fixture
async def membership(member: Member) -> AsyncIterator[Membership]:
    membership = await joined(member)
    yield membership
    await membership.close()


async def test_a_member_that_is_not_allowed_is_told_so() -> None:
    membership = await joined(Member(GroupAuthorizationFailedError("watch")))
    with pytest.raises(Unreachable, match="not allowed: reading group watch"):
        await told(membership, 1)
    await membership.close()


async def test_a_bug_in_a_member_reaches_whoever_follows_it() -> None:
    """Else the process would go on as if it were one, and fight for tasks that others were given."""
    membership = await joined(Member(ZeroDivisionError("in the client")))
    with pytest.raises(ZeroDivisionError):
        await told(membership, 1)
    await membership.close()


async def test_only_the_difference_between_two_assignments_is_told(member: Member, membership: Membership) -> None:
    member.assigned(frozenset({0, 1}), CLOCK.monotonic())
    member.assigned(frozenset({1, 2}), CLOCK.monotonic())
    member.assigned(frozenset({1, 2}), CLOCK.monotonic())
    assert await told(membership, 4) == [Given(TASK[0]), Given(TASK[1]), Asked(TASK[0], 1.0), Given(TASK[2])]
    assert not membership.owns(TASK[0])
    assert membership.owns(TASK[2])


async def test_whoever_was_not_heard_of_for_too_long_has_nothing_to_hand_over(
    member: Member, membership: Membership
) -> None:
    member.assigned(frozenset({0, 1}), CLOCK.monotonic() - 60)
    member.assigned(frozenset({1}), CLOCK.monotonic())
    assert await told(membership, 3) == [Given(TASK[0]), Given(TASK[1]), Taken(TASK[0])]


async def test_what_was_given_just_now_may_still_be_handed_over_and_what_stayed_is_ours(
    member: Member, membership: Membership
) -> None:
    member.assigned(frozenset({0}), CLOCK.monotonic() - 60)
    assert membership.handover_left(TASK[0]) == pytest.approx(1, abs=0.2)
    await asyncio.sleep(0.3)
    member.assigned(frozenset({0, 1}), CLOCK.monotonic() - 55)
    assert membership.handover_left(TASK[0]) < 0.8
    assert membership.handover_left(TASK[1]) == pytest.approx(1, abs=0.2)
    assert membership.handover_left(TASK[2]) == 0
    member.assigned(frozenset({0, 1}), CLOCK.monotonic())
    assert membership.handover_left(TASK[0]) == pytest.approx(1, abs=0.2), "meanwhile somebody else may have had it"


async def test_what_is_given_back_after_the_lease_ran_out_is_taken_first(
    member: Member, membership: Membership
) -> None:
    """Somebody else may have had it meanwhile: what is held in memory, and calls that wait for a lease, are worth nothing."""
    began = CLOCK.monotonic() - 60
    member.assigned(frozenset({0, 1}), began)
    member.heard(began + 6)
    member.assigned(frozenset({0, 1}), began + 12)
    member.assigned(frozenset({1, 2}), began + 20)
    task = [TaskId("main", partition) for partition in range(3)]
    first, again = [Given(task[0]), Given(task[1])], [Taken(task[0]), Taken(task[1]), Given(task[1]), Given(task[2])]
    assert await told(membership, 6) == [*first, *again]


async def test_a_lease_counts_from_when_the_group_was_asked_and_not_from_its_answer(
    member: Member, membership: Membership
) -> None:
    """A process that was stopped between the two would take itself for a member whose session is long over."""
    assert membership.lease() == 0
    member.assigned(frozenset({0}), CLOCK.monotonic() - 5)
    assert membership.lease() == pytest.approx(2, abs=0.5)
    member.heard(CLOCK.monotonic() - 1)
    assert membership.lease() == pytest.approx(6, abs=0.5)
    member.assigned(frozenset({0}), CLOCK.monotonic() - 4)
    assert membership.lease() == pytest.approx(6, abs=0.5), "an older question says nothing new"
    member.heard(CLOCK.monotonic() - 60)
    assert membership.lease() == pytest.approx(6, abs=0.5)
