"""Schedules of local time, where the clock is set and where it is not."""

from __future__ import annotations

import pytest

from penstock.operators.instant import iso_text
from penstock.operators.schedule import Schedule
from penstock.operators.timestamp import LATEST_MS, instant
from penstock.operators.trigger_cron import CronSettings
from penstock.operators.trigger_every import EverySettings

HOUR_MS = 3_600_000


def cron(expression: str, zone: str = "Europe/Berlin") -> Schedule:
    return CronSettings.model_validate({"cron": expression, "zone": zone}).schedule()


def every(period: str, zone: str | None = "Europe/Berlin") -> Schedule:
    return EverySettings.model_validate({"every": period, "zone": zone}).schedule()


def dues(schedule: Schedule, begin: str, count: int) -> list[str]:
    """The next due times, as `day hour:minute` in UTC."""
    time, found = instant(begin), []
    assert time is not None
    for _ in range(count):
        due = schedule.due_of(time)
        assert due is not None
        found.append(iso_text(due)[8:16].replace("T", " "))
        time = due + 1
    return found


def test_times_are_those_of_the_zone() -> None:
    """In winter Berlin is one hour ahead."""
    assert dues(cron("0 6,22 * * *"), "2026-11-20", 3) == ["20 05:00", "20 21:00", "21 05:00"]
    assert dues(cron("0 6,22 * * *", "UTC"), "2026-11-20", 3) == ["20 06:00", "20 22:00", "21 06:00"]


def test_a_due_time_is_its_own() -> None:
    schedule = cron("0 6 * * *", "UTC")
    assert dues(schedule, "2026-11-20T06:00:00Z", 1) == ["20 06:00"]
    assert dues(schedule, "2026-11-20T06:00:00.001Z", 1) == ["21 06:00"]


def test_a_shift_ends_by_local_time_twice_a_year_at_another_hour() -> None:
    assert dues(cron("0 6 * * MON-SAT"), "2026-03-28", 3) == ["28 05:00", "30 04:00", "31 04:00"]
    assert dues(cron("0 6 * * MON-SAT"), "2026-10-24", 3) == ["24 04:00", "26 05:00", "27 05:00"]


# --- at 02:00 on 29 March 2026 the clock is set forward to 03:00, at 01:00 in UTC ---------------------------------------


def test_a_fixed_time_that_does_not_exist_is_due_as_soon_as_the_clock_was_set() -> None:
    assert dues(cron("30 2 * * *"), "2026-03-28", 3) == ["28 01:30", "29 01:00", "30 00:30"]


def test_several_of_them_fall_together() -> None:
    assert dues(cron("0,15,30 2,3 * * *"), "2026-03-29", 4) == ["29 01:00", "29 01:15", "29 01:30", "30 00:00"]


def test_what_goes_by_passing_time_leaves_out_what_does_not_exist() -> None:
    assert dues(cron("30 * * * *"), "2026-03-29", 3) == ["29 00:30", "29 01:30", "29 02:30"]
    assert dues(cron("*/30 2 * * *"), "2026-03-28", 4) == ["28 01:00", "28 01:30", "30 00:00", "30 00:30"]


# --- at 03:00 on 25 October 2026 the clock is set back to 02:00, at 01:00 in UTC -----------------------------------------


def test_a_fixed_time_that_occurs_twice_is_due_the_first_time() -> None:
    assert dues(cron("30 2 * * *"), "2026-10-24", 3) == ["24 00:30", "25 00:30", "26 01:30"]


def test_it_is_not_due_again_for_what_comes_between_the_two() -> None:
    assert dues(cron("30 2 * * *"), "2026-10-25T01:10:00Z", 1) == ["26 01:30"]


def test_what_goes_by_passing_time_is_due_both_times() -> None:
    assert dues(cron("30 * * * *"), "2026-10-25", 4) == ["25 00:30", "25 01:30", "25 02:30", "25 03:30"]
    assert dues(cron("*/30 2 * * *"), "2026-10-25", 5) == ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "26 01:00"]


# --- days and weeks ------------------------------------------------------------------------------------------------------


def test_days_begin_at_midnight_of_the_zone() -> None:
    assert dues(every("1d"), "2026-03-28", 4) == ["28 23:00", "29 22:00", "30 22:00", "31 22:00"]
    assert dues(every("1d", "Asia/Kolkata"), "2026-03-28", 2) == ["28 18:30", "29 18:30"]


def test_weeks_begin_on_monday_of_the_zone() -> None:
    """The 22nd is a Sunday, and Monday in Berlin from 23:00 on."""
    assert dues(every("1w"), "2026-11-18", 2) == ["22 23:00", "29 23:00"]


def test_several_days_are_counted_from_the_beginning_of_1970() -> None:
    """2026-11-20 is day 20,777, and the next of which three are whole is the one after it."""
    assert dues(every("3d", "UTC"), "2026-11-20T01:00:00Z", 2) == dues(every("3d", None), "2026-11-20T01:00:00Z", 2)
    assert dues(every("2w", "UTC"), "2026-11-20", 2) == dues(every("2w", None), "2026-11-20", 2)


def test_a_day_without_a_midnight_begins_when_the_clock_was_set() -> None:
    """In São Paulo 4 November 2018 began at 01:00, at 03:00 in UTC."""
    assert dues(every("1d", "America/Sao_Paulo"), "2018-11-03T12:00:00Z", 2) == ["04 03:00", "05 02:00"]


def test_a_midnight_that_occurs_twice_begins_the_day_once() -> None:
    """In Havana 1 November 2026 has it at 04:00 and at 05:00 in UTC."""
    assert dues(every("1d", "America/Havana"), "2026-11-01T00:00:00Z", 2) == ["01 04:00", "02 05:00"]
    assert dues(every("1d", "America/Havana"), "2026-11-01T04:30:00Z", 1) == ["02 05:00"]


# --- limits ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_behind_the_end_of_the_calendar_nothing_is_due(zone: str) -> None:
    assert cron("0 6 * * *", zone).due_of(LATEST_MS) is None
    assert every("1d", zone).due_of(LATEST_MS) is None


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        (every("6h", None), 6),
        (every("1d"), 25),
        (every("1d", "UTC"), 24),
        (every("1w"), 7 * 24 + 1),
        (cron("0 6,14,22 * * *", "UTC"), 8),
        (cron("0 6,14,22 * * *"), 9),
        (cron("0 6 * * MON-SAT", "UTC"), 48),
        (cron("0 0 29 2 *", "UTC"), 4 * 365 * 24 + 24),
        (every("5000w", "UTC"), 28 * 365 * 24 + 7 * 24),
    ],
)
def test_the_longest_time_between_two_of_them_is_known(schedule: Schedule, hours: int) -> None:
    assert schedule.longest_pause() == hours * HOUR_MS
