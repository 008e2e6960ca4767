from __future__ import annotations

from penstock.pipelines.keeper import RIVAL_FENCES, Intrusion, Rivals
from penstock.state.delta import Header

OURS_SINCE = 100.0


def by(owner: str, incarnation: int = 8) -> Header:
    """The last header of a log."""
    return Header(seq=100, incarnation=incarnation, owner=owner)


def into(tenure_since: float = OURS_SINCE) -> Intrusion:
    return Intrusion(7, tenure_since)


def test_one_fence_is_a_process_that_was_stopped_at_a_bad_moment() -> None:
    assert not Rivals("us").intruded(into(), by("them"))


def test_a_second_one_by_the_same_process_while_the_task_was_ours_all_the_time_is_another_deployment() -> None:
    rivals = Rivals("us")
    assert [rivals.intruded(into(), by("them")) for _ in range(RIVAL_FENCES)] == [False, True]


def test_different_others_are_a_group_that_changes_hands() -> None:
    rivals = Rivals("us")
    assert not any(rivals.intruded(into(), by(f"worker-{number}")) for number in range(20))


def test_what_happened_before_the_task_became_ours_again_does_not_add_up() -> None:
    rivals = Rivals("us")
    assert not any(rivals.intruded(into(float(since)), by("them")) for since in range(20))


def test_a_fence_after_which_the_log_still_names_us_was_nobody_else() -> None:
    rivals = Rivals("us")
    assert not any(rivals.intruded(into(), by("us")) for _ in range(20))


def test_whoever_wrote_before_we_opened_did_not_fence_us() -> None:
    rivals = Rivals("us")
    assert not any(rivals.intruded(into(), by("them", incarnation=6)) for _ in range(20))
