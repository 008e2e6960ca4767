"""Limits by themselves: how they are written, what they count, and what they may forget."""

from __future__ import annotations

import pytest

from penstock.operators.limit import CalendarCount, Limit, Limits, RollingCount, limit_of
from penstock.operators.watermark import END_OF_TIME, NEVER

HOUR, DAY = 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("6/hour", Limit(6, "hour")),
        ("20/24h", Limit(20, DAY)),
        ("1/1h30m", Limit(1, 3 * HOUR // 2)),
        ("5/month", Limit(5, "month")),
    ],
)
def test_limits_are_read_as_they_are_written(text: str, limit: Limit) -> None:
    assert limit_of(text) == limit


@pytest.mark.parametrize("text", ["0/hour", "6", "6/hours", "-1/hour", "6/0s", "6 / hour", "none", 6, None, "1/24"])
def test_what_is_no_limit_is_refused_with_examples(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a limit; write a number from 1 and a span, such as 6/hour"):
        limit_of(text)


@pytest.mark.parametrize(
    ("unit", "inside", "outside"),
    [
        ("hour", [0, HOUR - 1], [-1, HOUR]),
        ("day", [0, DAY - 1], [-1, DAY]),
        ("week", [-3 * DAY, 4 * DAY - 1], [-3 * DAY - 1, 4 * DAY]),
        ("month", [0, 31 * DAY - 1], [-1, 31 * DAY]),
    ],
)
def test_calendar_units_begin_where_the_calendar_says(unit: str, inside: list[int], outside: list[int]) -> None:
    """The epoch was a Thursday: its week began three days before."""
    count = CalendarCount(unit)
    count.add(0)
    assert [count.within(at) for at in inside] == [1] * len(inside)
    assert [count.within(at) for at in outside] == [0] * len(outside)


def test_a_rolling_span_leaves_out_its_beginning_and_what_comes_later() -> None:
    count = RollingCount(1000)
    for at in (3000, 1000, 2000):
        count.add(at)
    assert [count.within(at) for at in (999, 1000, 1999, 2000, 3000, 3999, 4000)] == [0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month", 5 * HOUR])
def test_what_nobody_can_ask_for_any_more_is_forgotten_and_nothing_else(unit: str | int) -> None:
    limits = Limits({"a": Limit(1, unit)}, 1)
    limits.add("a", 10 * HOUR)
    limits.settle(10 * HOUR)
    assert limits.reached("a", 10 * HOUR)
    limits.settle(100 * DAY)
    assert limits.dump() == {"a": []}


@pytest.mark.parametrize("unit", ["hour", "week", "month", HOUR])
def test_time_may_have_no_bounds(unit: str | int) -> None:
    limits = Limits({"a": Limit(1, unit)}, 1)
    limits.settle(NEVER)
    limits.add("a", 0)
    limits.settle(END_OF_TIME)
    assert limits.dump() == {"a": []}


def test_every_task_has_its_part_rounded_up() -> None:
    assert [Limit(7, "hour").share_of(partitions) for partitions in (1, 3, 7, 16)] == [7, 3, 1, 1]
