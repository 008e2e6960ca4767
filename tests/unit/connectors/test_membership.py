"""Who works on which partition, and who is told what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.membership import Seat, Standing, alive, settle
from penstock.connectors.port import MAIN, Asked, Given, Taken, TaskId

HANDOVER = 1_000


def task(partition: int) -> TaskId:
    return TaskId(MAIN, partition)


def test_the_first_member_gets_everything() -> None:
    assert settle({}, ["a"], 3, 0, HANDOVER) == {number: Seat("a") for number in range(3)}


def test_without_members_nobody_has_anything() -> None:
    assert settle({0: Seat("a")}, [], 2, 0, HANDOVER) == {0: Seat(), 1: Seat()}


#  a a a a ──b joins──▶ a a a→b a→b ──1 s──▶ a a b b
def test_who_joins_is_heir_first_and_owner_when_the_time_is_over() -> None:
    alone = settle({}, ["a"], 4, 0, HANDOVER)
    asked = settle(alone, ["a", "b"], 4, 500, HANDOVER)
    assert asked == {0: Seat("a"), 1: Seat("a"), 2: Seat("a", "b", 1_500), 3: Seat("a", "b", 1_500)}
    assert settle(asked, ["a", "b"], 4, 1_499, HANDOVER) == asked
    assert settle(asked, ["a", "b"], 4, 1_500, HANDOVER) == {0: Seat("a"), 1: Seat("a"), 2: Seat("b"), 3: Seat("b")}


def test_a_seat_that_was_given_up_goes_to_its_heir() -> None:
    seats = {0: Seat("a"), 1: Seat(None, "b", 1_500)}
    assert settle(seats, ["a", "b"], 2, 600, HANDOVER) == {0: Seat("a"), 1: Seat("b")}


def test_what_the_dead_had_goes_to_the_living_at_once() -> None:
    seats = {0: Seat("a"), 1: Seat("b"), 2: Seat("a"), 3: Seat("b")}
    assert settle(seats, ["b"], 4, 0, HANDOVER) == {number: Seat("b") for number in range(4)}


def test_a_handover_ends_when_the_heir_dies() -> None:
    assert settle({0: Seat("a", "b", 1_500)}, ["a"], 1, 600, HANDOVER) == {0: Seat("a")}


def test_more_members_than_partitions_leave_some_without_work() -> None:
    settled = settle({0: Seat("b")}, ["a", "b", "c"], 1, 0, HANDOVER)
    assert settled == {0: Seat("b")}


def test_the_dead_and_those_from_the_future_are_not_alive() -> None:
    assert alive({"new": 900, "old": 0, "future": 5_000, "edge": 1}, 1_000, 1_000) == ["edge", "new"]


seats = st.builds(
    Seat, st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, "a", "b", "c"]), st.integers(0, 3_000)
)


@given(st.dictionaries(st.integers(0, 6), seats), st.sets(st.sampled_from("abcd"), min_size=1), st.integers(1, 7))
def test_settling_twice_changes_nothing_and_shares_are_equal(
    before: dict[int, Seat], members: set[str], partitions: int
) -> None:
    settled = settle(before, members, partitions, 1_000, HANDOVER)
    assert settle(settled, members, partitions, 1_000, HANDOVER) == settled
    late = settle(settled, members, partitions, 10_000, HANDOVER)
    shares = [sum(seat == Seat(member) for seat in late.values()) for member in members]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.sets(st.sampled_from("abcd"), min_size=1))
def test_who_lives_keeps_what_fits_into_an_equal_share(owners: list[str], members: set[str]) -> None:
    settled = settle({number: Seat(owner) for number, owner in enumerate(owners)}, members, len(owners), 0, HANDOVER)
    for member in members:
        kept = sum(owner == member and settled[number] == Seat(member) for number, owner in enumerate(owners))
        assert kept >= min(owners.count(member), len(owners) // len(members))


def test_a_member_is_told_each_change_once() -> None:
    standing = Standing("a")
    assert standing.changes({0: Seat("a"), 1: Seat("b")}, 0) == [Given(task(0))]
    assert standing.changes({0: Seat("a"), 1: Seat("b")}, 0) == []
    assert standing.changes({0: Seat("a", "b", 1_500), 1: Seat("b")}, 1_000) == [Asked(task(0), 0.5)]
    assert standing.is_asked(0)
    assert standing.changes({0: Seat("a", "b", 1_500), 1: Seat("b")}, 1_200) == []
    assert standing.changes({0: Seat("b"), 1: Seat("a")}, 2_000) == [Taken(task(0)), Given(task(1))]
    assert not standing.is_asked(0)


def test_a_member_that_was_asked_in_vain_is_given_the_task_again() -> None:
    standing = Standing("a")
    standing.changes({0: Seat("a")}, 0)
    standing.changes({0: Seat("a", "b", 1_000)}, 0)
    assert standing.changes({0: Seat("a")}, 500) == [Given(task(0))]


def test_who_joins_late_is_not_given_what_another_still_finishes() -> None:
    assert Standing("b").changes({0: Seat("a", "b", 1_000)}, 0) == []
