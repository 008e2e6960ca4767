"""Cron expressions: what they say, and what is none."""

from __future__ import annotations

import re
from datetime import date

import pytest

from penstock.operators.cron import parse_cron


def days(expression: str, begin: date, count: int) -> list[str]:
    """The next days on which it is due."""
    cron, found, day = parse_cron(expression), [], begin
    for _ in range(count):
        day = cron.next_day(day)
        found.append(day.isoformat()[5:])
        day = date.fromordinal(day.toordinal() + 1)
    return found


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("0 6,14,22 * * *", (360, 840, 1320)),
        ("30 2 * * *", (150,)),
        ("*/20 1 * * *", (60, 80, 100)),
        ("10-14/2,50 0 * * *", (10, 12, 14, 50)),
        ("0 */8 * * *", (0, 480, 960)),
        ("0,0,0 0-1 * * *", (0, 60)),
    ],
)
def test_minutes_and_hours_make_times_of_the_day(expression: str, minutes: tuple[int, ...]) -> None:
    assert parse_cron(expression).minutes == minutes


NOVEMBER = date(2026, 11, 19)
"""A Thursday."""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 * * MON-SAT", ["11-19", "11-20", "11-21", "11-23"]),
        ("0 0 * * mon,Wed", ["11-23", "11-25", "11-30", "12-02"]),
        ("0 0 * * 0", ["11-22", "11-29", "12-06", "12-13"]),
        ("0 0 * * 7", ["11-22", "11-29", "12-06", "12-13"]),
        ("0 0 * * FRI-SUN", ["11-20", "11-21", "11-22", "11-27"]),
        ("0 0 * JAN-FEB/1 SUN", ["01-03", "01-10", "01-17", "01-24"]),
        ("0 0 31 * *", ["12-31", "01-31", "03-31", "05-31"]),
        ("0 0 29 2 *", ["02-29", "02-29", "02-29", "02-29"]),
        ("0 0 1 4,10 *", ["04-01", "10-01", "04-01", "10-01"]),
    ],
)
def test_names_lists_ranges_and_steps_say_which_days(expression: str, expected: list[str]) -> None:
    assert days(expression, NOVEMBER, 4) == expected


def test_of_two_kinds_of_days_one_is_enough() -> None:
    assert days("0 0 1,24 * FRI", NOVEMBER, 4) == ["11-20", "11-24", "11-27", "12-01"]


def test_where_one_kind_of_days_begins_with_a_star_both_have_to_fit() -> None:
    assert days("0 0 */2 * FRI", NOVEMBER, 3) == ["11-27", "12-11", "12-25"]
    assert days("0 0 1-7 * */7", NOVEMBER, 3) == ["12-06", "01-03", "02-07"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 6 * *", "4 fields; a cron expression has five: minute, hour, day of the month, month, day of the week; in"),
        ("0 0 6 * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
        ("0 24 * * *", "hour: '24' is not a number from 0 to 23"),
        ("0 0 0 * *", "day of the month: '0' is not a number from 1 to 31"),
        ("0 0 * SEPT *", "month: 'SEPT' is not a number from 1 to 12 or JAN to DEC"),
        ("0 0 * * 8", "day of the week: '8' is not a number from 0 to 7 or SUN to SAT"),
        ("0 0 * * MO", "day of the week: 'MO' is not"),
        ("0 0 L * *", "day of the month: 'L' is not"),
        ("0 0 * * MON#2", "'MON#2' is none of `*`, a number, a range such as 1-5, and these with a step"),
        ("? 0 * * *", "minute: '?' is none of"),
        ("1, * * * *", "minute: '' is none of"),
        ("-1 * * * *", "minute: '-1' is none of"),
        ("1-2-3 * * * *", "minute: '1-2-3' is none of"),
        ("٣ * * * *", "minute: '٣' is none of"),
        ("*/0 * * * *", "minute: a step of 0 leads nowhere"),
        ("5/15 * * * *", "minute: a step needs a range; write 5-59/15 for '5/15'"),
        ("0 22-6 * * *", "hour: '22-6' runs backwards; write 22-23,0-6"),
        ("0 0 30 FEB *", "never happens: no such month has a day 30"),
        ("0 0 31 4,6,9,11 *", "never happens: no such month has a day 31"),
        ("@daily", "write '0 0 * * *' for '@daily'"),
    ],
)
def test_what_is_no_cron_expression_says_which_field_and_what_to_write(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_cron(expression)


def test_a_day_that_no_month_has_may_be_beside_days_of_the_week() -> None:
    assert days("0 0 30 2 MON", date(2027, 2, 1), 2) == ["02-01", "02-08"]
