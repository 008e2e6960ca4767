"""`robust_seasonal`: the same time of former days, and what does not count."""

from __future__ import annotations

from penstock.operators.anomaly import SCORE_MAX, Reading
from penstock.operators.anomaly_season import HOUR_MS, KEPT_MAX, RobustSeasonal, Season

DAY_MS = 24 * HOUR_MS


def daily(hour: int) -> float:
    """High by day, low by night."""
    return 100.0 if 8 <= hour % 24 < 18 else 10.0


class Played:
    """Hours one after the other, four numbers each, which differ a little from what is usual."""

    def __init__(self, season: int = DAY_MS) -> None:
        self.method, self.hour = RobustSeasonal(season), 0
        self.state: Season = self.method.fresh()

    def hours(self, count: int, more: float = 0.0) -> list[float | None]:
        found: list[float | None] = []
        for _ in range(count):
            for quarter, offset in enumerate((0.0, 1.0, -1.0, 0.5)):
                reading = self.take(daily(self.hour) + offset + more, quarter)
                found.append(None if reading is None else reading.score)
            self.hour += 1
        return found

    def take(self, number: float, quarter: int = 0, ago: int = 0) -> Reading | None:
        time = (self.hour - ago) * HOUR_MS + quarter * HOUR_MS // 4
        self.state, reading = self.method.take(self.state, time, number, True)
        return reading


def test_before_a_season_has_passed_nothing_is_expected() -> None:
    played = Played()
    assert set(played.hours(25)) == {None}
    assert None not in played.hours(1)


def test_what_is_usual_by_day_is_unusual_by_night() -> None:
    played = Played()
    played.hours(24 * 5)
    by_night = played.take(100.0)
    played.hours(12)
    by_day = played.take(100.0)
    assert by_night is not None
    assert by_day is not None
    assert by_night.score > 50
    assert abs(by_day.score) < 2
    assert abs(by_day.expected - 100) < 1


def test_a_bad_day_does_not_spoil_the_days_after_it() -> None:
    played = Played()
    played.hours(24 * 5)
    bad = played.hours(8, more=500.0)
    after = played.hours(48)
    assert all(score is not None and score > 100 for score in bad)
    assert all(score is not None and abs(score) < 5 for score in after)


def test_a_level_that_has_moved_for_good_is_taken_up_within_days() -> None:
    played = Played()
    played.hours(24 * 5)
    played.hours(24 * 10, more=50.0)
    assert all(score is not None and abs(score) < 2.5 for score in played.hours(24, more=50.0))


def test_an_hour_that_is_restless_every_day_is_measured_by_itself() -> None:
    played = Played()
    for day in range(12):
        played.hours(9)
        assert not day or abs(played.state.usual) < 1.1
        for quarter, number in enumerate((60.0, 140.0, 80.0, 120.0)):
            reading = played.take(number, quarter)
        played.hour += 1
        played.hours(14)
    assert reading is not None
    assert abs(reading.score) < 2
    assert reading.expected == 100


def test_a_number_of_an_hour_that_is_over_is_compared_and_leaves_no_trace() -> None:
    played = Played()
    played.hours(24 * 3)
    played.take(10.0)
    before = played.state
    late = played.take(500.0, ago=2)
    assert late is not None
    assert late.score > 100
    assert played.state == before


def test_of_many_numbers_every_second_fourth_is_kept() -> None:
    played = Played()
    for number in range(1000):
        played.state, _ = played.method.take(played.state, number, float(number), True)
    assert played.state.stride == 64
    assert played.state.kept == tuple(float(number) for number in range(0, 1000, 64))
    assert len(played.state.kept) <= KEPT_MAX


def test_a_day_has_24_slots_a_week_168_and_nothing_more_or_less() -> None:
    slots = [RobustSeasonal(season).slots for season in (1, HOUR_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS, 365 * DAY_MS)]
    assert slots == [24, 24, 24, 48, 168, 168]


def test_a_single_hour_that_was_constant_takes_up_another_constant() -> None:
    """All other hours stay as they are, so that there is no usual spread."""
    played, found = Played(), list[float]()
    for day in range(20):
        for hour in range(24):
            reading = played.take(6.5 if hour == 5 and day >= 10 else 0.1)
            played.hour += 1
            if hour == 5 and reading is not None:
                found.append(abs(reading.score))
    assert found[:10] == [0] * 9 + [SCORE_MAX]
    assert max(found[10:]) < 2.5


def test_the_usual_spread_is_that_of_the_latest_24_hours() -> None:
    played = Played()
    played.hours(24 * 3)
    played.hours(11, more=7.0)
    assert (len(played.state.recent), played.state.usual) == (24, 0.5)
    played.hours(3, more=7.0)
    assert (len(played.state.recent), played.state.usual) == (24, 7.0)


def test_a_pattern_of_constants_is_never_unusual_after_it_has_changed_once() -> None:
    played = Played()
    for day in range(200):
        for hour in range(24):
            reading = played.take(hour / 7 + (0.3 if day >= 3 else 0.0))
            played.hour += 1
            if day > 150:
                assert reading is not None
                assert abs(reading.score) < 1, (day, hour)
