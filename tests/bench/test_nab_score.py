"""The scorer on small series: 200 rows, of which the first 30 do not count, with a window of rows 100 to 119.

rows    0 ────── 30 ─────────────── 100 ──── 119 ────────────── 199
        probation                   ├─ window ─┤
"""

from __future__ import annotations

import pytest
from tests.bench.nab_score import Window, probation, scored

ROWS = 200
WINDOW = Window(100, 119)


def score(*detections: int) -> float:
    return scored(ROWS, [WINDOW], detections).normalised


def test_the_first_row_of_every_window_and_nothing_else_is_perfect() -> None:
    assert scored(ROWS, [WINDOW, Window(150, 160)], [100, 150]).normalised == 100


def test_a_detector_that_says_nothing_has_nothing() -> None:
    assert score() == 0


@pytest.mark.parametrize(
    ("row", "worth"),
    [
        (100, 1.0),
        (110, 0.8598),  # half of the window: (2 / (1 + e^-2.5) - 1) / (2 / (1 + e^-5) - 1)
        (119, 0.1260),  # the last row is one before the end
    ],
)
def test_in_a_window_the_earlier_is_worth_more(row: int, worth: float) -> None:
    figures = scored(ROWS, [WINDOW], [row])
    assert figures.raw == pytest.approx(worth, abs=1e-4)
    assert (figures.windows, figures.detected, figures.false_alarms) == (1, 1, 0)


def test_in_a_window_only_the_first_detection_counts() -> None:
    assert score(104, 110, 118, 104) == score(104)


@pytest.mark.parametrize(
    ("row", "cost"),
    [
        (60, 0.11),  # before any window
        (120, 0.0144),  # right behind it: a nineteenth of its width
        (138, 0.1085),  # a width behind it
        (176, 0.11),  # three widths
    ],
)
def test_outside_of_windows_a_detection_costs_the_less_the_nearer_behind_one(row: int, cost: float) -> None:
    figures = scored(ROWS, [WINDOW], [row])
    assert figures.raw == pytest.approx(-1 - cost, abs=1e-4)
    assert (figures.detected, figures.false_alarms) == (0, 1)


def test_the_probation_does_not_count_neither_its_detections_nor_its_windows() -> None:
    assert scored(ROWS, [Window(10, 20), WINDOW], [5, 15, 29, 100]) == scored(ROWS, [WINDOW], [100])


def test_a_window_that_the_probation_cuts_counts_from_its_end_on() -> None:
    assert scored(ROWS, [Window(20, 39)], [20, 25]).detected == 0
    assert scored(ROWS, [Window(20, 39)], [30]).raw == pytest.approx(0.8598, abs=1e-4)


def test_the_probation_of_a_long_series_is_that_of_five_thousand_rows() -> None:
    assert (probation(200), probation(5_000), probation(22_695)) == (30, 750, 750)


def test_a_corpus_is_scored_as_the_sum_of_its_series() -> None:
    half = scored(ROWS, [WINDOW], [100]) + scored(ROWS, [WINDOW], [])
    assert (half.windows, half.detected, half.normalised) == (2, 1, 50)


def test_false_alarms_can_be_worse_than_silence() -> None:
    assert score(*range(40, 60, 2)) == pytest.approx(-55)
