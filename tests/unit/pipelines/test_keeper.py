from __future__ import annotations

from penstock.pipelines.keeper import RIVAL_FENCES, RIVAL_SECONDS, Rivals
from penstock.state.delta import Header


def by(owner: str, incarnation: int = 8) -> Header:
    """The last header of a log."""
    return Header(seq=100, incarnation=incarnation, owner=owner)


def test_one_fence_by_another_process_is_a_hand_over() -> None:
    assert not Rivals("us").fenced(7, by("them"), 0.0)


def test_the_same_other_process_again_and_again_is_another_deployment() -> None:
    rivals = Rivals("us")
    verdicts = [rivals.fenced(7, by("them"), float(second)) for second in range(RIVAL_FENCES)]
    assert verdicts == [False] * (RIVAL_FENCES - 1) + [True]


def test_different_others_are_a_group_that_changes_hands() -> None:
    rivals = Rivals("us")
    assert not any(rivals.fenced(7, by(f"worker-{number}"), float(number)) for number in range(20))


def test_fences_far_apart_do_not_add_up() -> None:
    rivals = Rivals("us")
    assert not any(rivals.fenced(7, by("them"), number * RIVAL_SECONDS) for number in range(20))


def test_a_fence_after_which_the_log_still_names_us_was_nobody_else() -> None:
    rivals = Rivals("us")
    assert not any(rivals.fenced(7, by("us"), float(number)) for number in range(20))


def test_whoever_wrote_before_we_opened_did_not_fence_us() -> None:
    rivals = Rivals("us")
    assert not any(rivals.fenced(7, by("them", incarnation=6), float(number)) for number in range(20))
