"""How long things took, from histories that are made by hand."""

from __future__ import annotations

from penstock.pipelines.torture_chain import Chain, Commit
from penstock.pipelines.torture_times import (
    Interval,
    Loss,
    handovers_ms,
    longest_ms,
    longest_stall_ms,
    longest_takeover_ms,
    quantile,
    restored_ms,
    takeovers_ms,
)

#   partition 0   a ─ a ───────── b ─ b          a is killed at 2
#   partition 1   b ─ b ─ b ─ ─ ─ b ─ b
#   seconds       0   1   2   3   4   5
FORMER, OTHER = "host/1", "host/2"
FLOWS = [Interval(0.0, 10.0)]


def chain(*commits: tuple[float, int, str | None]) -> Chain:
    return Chain([Commit(at, 0, incarnation, owner) for at, incarnation, owner in commits])


def chains() -> dict[int, Chain]:
    moved = chain((0.0, 1, FORMER), (1.0, 1, None), (4.0, 2, OTHER), (5.0, 2, None))
    stayed = chain((0.0, 1, OTHER), (1.0, 1, None), (2.0, 1, None), (4.0, 1, None), (5.0, 1, None))
    return {0: moved, 1: stayed}


def test_a_takeover_lasts_from_the_kill_to_the_successors_first_commit() -> None:
    assert takeovers_ms([Loss(2.0, FORMER)], chains()) == [2000.0]
    assert takeovers_ms([Loss(2.0, OTHER)], chains()) == [], "nobody took over what it had"
    assert takeovers_ms([Loss(2.0, "host/3")], chains()) == [], "it had nothing"


def test_a_takeover_that_met_a_fault_of_the_brokers_says_nothing() -> None:
    assert takeovers_ms([Loss(2.0, FORMER)], chains(), [Interval(3.0, 9.0)]) == []
    assert takeovers_ms([Loss(2.0, FORMER)], chains(), [Interval(4.5, 9.0)]) == [2000.0]


def test_a_takeover_during_which_another_was_killed_counts_for_the_longest_only() -> None:
    losses = [Loss(2.0, FORMER), Loss(3.0, "host/3")]
    assert takeovers_ms(losses, chains()) == []
    assert longest_takeover_ms(losses, chains()) == 2000.0
    assert takeovers_ms([Loss(2.0, FORMER), Loss(4.5, "host/3")], chains()) == [2000.0]
    assert longest_takeover_ms([], chains()) is None


def test_a_hand_over_lasts_from_an_owners_last_commit_to_the_first_one_of_another() -> None:
    assert handovers_ms([], chains(), FLOWS) == [3000.0]
    assert handovers_ms([Loss(2.0, FORMER)], chains(), FLOWS) == [], "a kill is no hand-over"
    assert handovers_ms([], chains(), FLOWS, [Interval(2.0, 2.5)]) == []
    assert handovers_ms([], chains(), [Interval(0.0, 3.0)]) == [], "no events came in"


def test_that_its_owner_opened_a_task_anew_is_a_stall() -> None:
    reopened = chain((0.0, 1, FORMER), (1.0, 1, None), (5.0, 2, FORMER), (6.0, 2, None))
    assert longest_stall_ms([], {0: reopened}, FLOWS, {}) == 4000.0


def test_what_was_on_its_way_to_somebody_who_was_killed_is_no_stall() -> None:
    reopened = chain((0.0, 1, FORMER), (1.0, 1, None), (5.0, 2, FORMER), (6.0, 2, None))
    assert longest_stall_ms([Loss(3.0, OTHER)], {0: reopened}, FLOWS, {}) == 1000.0
    assert longest_stall_ms([], {0: reopened}, FLOWS, {}, [Interval(3.0, 4.0)]) == 1000.0
    stayed = chain((0.0, 1, FORMER), (4.0, 1, None))
    assert longest_stall_ms([Loss(3.0, OTHER)], {0: stayed}, FLOWS, {}) == 4000.0


def test_the_longest_of_some_times_leaves_out_what_met_something_else() -> None:
    writes = [Interval(0.0, 0.5), Interval(2.0, 4.0)]
    assert longest_ms(writes) == 2000.0
    assert longest_ms(writes, [Interval(3.0, 9.0)]) == 500.0
    assert longest_ms([]) is None


def test_a_stall_is_a_pause_of_what_stayed_where_it_was() -> None:
    assert longest_stall_ms([], chains(), FLOWS, {}) == 2000.0, "the pause of 3 s is a takeover"


def test_a_pause_of_a_process_that_was_struck_is_no_stall() -> None:
    assert longest_stall_ms([], chains(), FLOWS, {OTHER: [Interval(3.0, 3.5)]}) == 1000.0


def test_a_pause_without_events_is_no_stall() -> None:
    assert longest_stall_ms([], chains(), [Interval(0.0, 3.0)], {}) == 1000.0
    assert longest_stall_ms([], chains(), [], {}) is None


def test_restoring_is_timed_by_the_workers_logs() -> None:
    log = "2026-01-01 00:00:00,000 INFO t.torture/3 opened in 41 ms\n… INFO t.torture/4 is not open: opened in\n"
    assert restored_ms([log, log]) == [41, 41]


def test_quantiles_are_by_nearest_rank() -> None:
    assert [quantile([3.0, 1.0, 2.0, 4.0], part) for part in (0.5, 0.99)] == [3, 4]
    assert quantile([], 0.5) is None
