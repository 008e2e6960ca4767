"""`ewma` and `change_point`: what moves a level, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.operators.anomaly import SCORE_MAX, Method
from penstock.operators.anomaly_level import ChangePoint, Ewma

STEADY = [10.0, 11.0, 9.0, 10.5, 9.5] * 20


def scores(method: Method, numbers: Sequence[float], warmup: int = 50) -> list[float]:
    """Of every number; 0 before there were enough."""
    state, found = method.fresh(), []
    for seen, number in enumerate(numbers):
        state, reading = method.take(state, 0, number, seen >= warmup)
        found.append(0.0 if reading is None or seen < warmup else reading.score)
    return found


def places(found: Iterable[float], threshold: float) -> list[int]:
    return [place for place, score in enumerate(found) if abs(score) >= threshold]


def test_one_wild_number_is_told_and_hardly_moves_the_level() -> None:
    for wild in (1e3, 1e9, -1e150):
        found = scores(Ewma(100, 4.0), [*STEADY, wild, *STEADY])
        assert places(found, 4.0) == [100]
        assert abs(found[101]) < 1


def test_a_level_that_has_moved_for_good_is_taken_up_after_so_many_numbers_as_the_half_life() -> None:
    found = scores(Ewma(20, 4.0), [*STEADY, *(number + 1e6 for number in STEADY)])
    high = places(found, 4.0)
    assert high[0] == 100
    assert high[-1] < 125
    assert abs(found[140]) < 2


def test_a_series_that_was_constant_takes_up_another_constant() -> None:
    found = scores(Ewma(20, 4.0), [5.0] * 100 + [6.0] * 60)
    assert found[99] == 0
    assert found[100:121] == [SCORE_MAX] * 21
    assert abs(found[140]) < 2


def test_a_series_that_has_become_constant_is_never_unusual_whatever_rounding_leaves_in_its_mean() -> None:
    numbers = [*STEADY, *[3.7] * 60_000]
    for method in (Ewma(100, 4.0), ChangePoint(100, 10.0), ChangePoint(1000, 10.0)):
        assert places(scores(method, numbers)[10_000:], 1.0) == []


def test_large_numbers_that_differ_a_little_are_told_apart() -> None:
    offset = 1_795_166_047_000.0
    found = scores(Ewma(100, 4.0), [*(offset + number for number in STEADY), offset + 20])
    assert places(found, 4.0) == [100]


def test_a_change_point_needs_several_numbers_and_a_wild_one_is_none() -> None:
    found = scores(ChangePoint(100, 10.0), [*STEADY, 1e9, *STEADY])
    assert places(found, 10.0) == []
    assert places(scores(ChangePoint(100, 10.0), [*STEADY, 1e9, 1e9, 1e9, *STEADY]), 10.0)[0] == 102


def test_a_change_point_finds_a_shift_that_no_single_number_shows() -> None:
    shifted = [*STEADY, *(number + 1.5 for number in STEADY)]
    assert places(scores(Ewma(100, 4.0), shifted), 4.0) == []
    found = places(scores(ChangePoint(100, 10.0), shifted), 10.0)
    assert 104 <= found[0] <= 112
    assert scores(ChangePoint(100, 10.0), [-number for number in shifted])[found[0]] < 0


def test_a_change_point_is_over_once_the_level_has_come_to_what_is_new() -> None:
    found = scores(ChangePoint(20, 10.0), [*STEADY, *(number + 5 for number in STEADY * 3)])
    high = places(found, 5.0)
    assert 100 <= high[0] < high[-1] < 220
    assert max(found) == 20
    assert abs(found[-1]) < 3
