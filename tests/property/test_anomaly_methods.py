"""The methods of `anomaly` against their definitions, over longer series than whole pipelines are tried with.

The state goes through the log's encoding at some point: what is read from it is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.anomaly_readings import Numbers, Told, change_point, ewma, robust_seasonal

from penstock.operators.anomaly import NUMBER_MAX, SCORE_MAX, Method, Reading
from penstock.operators.anomaly_level import ChangePoint, Ewma
from penstock.operators.anomaly_season import RobustSeasonal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SERIES = st.sampled_from([[1.0], [1.0, 1.5], [0.1, 0.2, 0.3], [-2.0, 0.0, 2.0], [1e6, 1e6 + 3]])


@st.composite
def series(draw: st.DrawFn, length: int) -> list[float]:
    """Around a level, with some numbers far off it, and levels that come and go."""
    usual, shift = draw(SERIES), 0.0
    found = []
    for kind in draw(st.lists(st.integers(0, 19), min_size=3, max_size=length)):
        shift = shift + 20.0 if kind == 19 else 0.0 if kind == 18 else shift
        found.append(usual[kind % len(usual)] + shift + (-35.0 if kind == 17 else 0.0))
    return found


def readings(method: Method, numbers: Numbers, warmup: int, saved_at: int) -> list[Reading | None]:
    """Of every number, None before there were enough."""
    state, found = method.fresh(), list[Reading | None]()
    for seen, (time, number) in enumerate(numbers):
        if seen == saved_at:
            state = method.load(msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
        state, reading = method.take(state, time, number, seen >= warmup)
        found.append(reading if seen >= warmup else None)
    return found


def agree(found: Sequence[Reading | None], expected: Sequence[Told | None]) -> None:
    assert [reading is None for reading in found] == [told is None for told in expected]
    for reading, told in zip(found, expected, strict=True):
        if reading is not None and told is not None:
            assert reading.expected == pytest.approx(told.expected, rel=1e-7, abs=1e-9)
            assert reading.score == pytest.approx(told.score, rel=1e-5, abs=1e-5)


@given(series(40), st.integers(1, 8), st.sampled_from([1.37, 3.3]), st.integers(2, 6), st.integers(0, 40))
def test_ewma_is_a_weighted_mean_and_deviation(
    values: list[float], half_life: int, threshold: float, warmup: int, saved_at: int
) -> None:
    numbers = [(0, value) for value in values]
    expected = [ewma(numbers[: place + 1], threshold, warmup, half_life) for place in range(len(numbers))]
    agree(readings(Ewma(half_life, threshold), numbers, warmup, saved_at), expected)


@given(series(30), st.integers(1, 8), st.sampled_from([3.3, 7.7]), st.integers(2, 6), st.integers(0, 30))
def test_change_point_adds_up_what_exceeds_chance(
    values: list[float], half_life: int, threshold: float, warmup: int, saved_at: int
) -> None:
    numbers = [(0, value) for value in values]
    expected = [change_point(numbers[: place + 1], threshold, warmup, half_life) for place in range(len(numbers))]
    agree(readings(ChangePoint(half_life, threshold), numbers, warmup, saved_at), expected)


@st.composite
def of_seasons(draw: st.DrawFn) -> Numbers:
    """Dense visits and sparse ones; now and then a number comes late."""
    step = draw(st.sampled_from([HOUR_MS // 40, HOUR_MS // 7, HOUR_MS, 5 * HOUR_MS]))
    time, numbers = draw(st.integers(-3 * DAY_MS, 3 * DAY_MS)), []
    for value in draw(series(160)):
        time += step * draw(st.sampled_from([1, 1, 1, 1, 2, 24, -3]))
        numbers.append((time, value))
    return numbers


@given(of_seasons(), st.sampled_from([2 * HOUR_MS, 24 * HOUR_MS, 168 * HOUR_MS]), st.integers(0, 160))
def test_robust_seasonal_is_medians_of_visits(numbers: Numbers, season: int, saved_at: int) -> None:
    expected = [robust_seasonal(numbers[: place + 1], season, 2) for place in range(len(numbers))]
    agree(readings(RobustSeasonal(season), numbers, 2, saved_at), expected)


WILD = st.one_of(
    st.floats(-NUMBER_MAX, NUMBER_MAX), st.sampled_from([0.0, -0.0, 5e-324, 1e-160, NUMBER_MAX, -NUMBER_MAX, 1.0])
)
METHODS: SearchStrategy[Method] = st.sampled_from(
    [Ewma(1, 3.3), Ewma(100_000, 4.0), ChangePoint(5, 10.0), RobustSeasonal(24_000)]
)


@given(METHODS, st.lists(st.tuples(st.integers(-9_000, 90_000), WILD), max_size=60))
def test_whatever_comes_scores_are_numbers_and_the_state_can_be_saved(method: Method, numbers: Numbers) -> None:
    for reading in readings(method, numbers, 2, 30):
        if reading is not None:
            assert abs(reading.score) <= SCORE_MAX
            assert isfinite(reading.expected)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -0.75, 60.0, -900.0]), min_size=90, max_size=150))
def test_robust_seasonal_goes_on_like_this_for_many_seasons(values: list[float]) -> None:
    """Two hours are a season here, of 24 slots, and every third of them is visited: eight numbers a season."""
    numbers = [(place * HOUR_MS // 4, value) for place, value in enumerate(values)]
    found = readings(RobustSeasonal(2 * HOUR_MS), numbers, 2, 50)
    for place in range(60, len(numbers), 15):
        agree([found[place]], [robust_seasonal(numbers[: place + 1], 2 * HOUR_MS, 2)])
