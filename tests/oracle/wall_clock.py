"""Schedules of local time, found by looking at the clock on the wall once a minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = 60_000
DAY = 1440 * MINUTE
HORIZON = 5 * DAY
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE = timedelta(minutes=1)
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {
    name: str(number)
    for first, names in ((0, "SUN MON TUE WED THU FRI SAT"), (1, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"))
    for number, name in enumerate(names.split(), start=first)
}


@cache
def wall(instant: int, zone: str) -> datetime:
    """What the clock shows."""
    return (EPOCH + timedelta(milliseconds=instant)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def came(instant: int, zone: str, fits: Callable[[datetime], bool]) -> bool:
    """Does the clock come to a fitting minute now, which it had not come to before? One that it leaves out counts, too."""
    before, now = wall(instant - MINUTE, zone), wall(instant, zone)
    passed = [before + count * ONE for count in range(1, 1 + (now - before) // ONE)] or [now]
    return any(fits(minute) and not _shown_before(minute, instant, zone) for minute in passed)


def _shown_before(minute: datetime, instant: int, zone: str) -> bool:
    return any(wall(earlier, zone) == minute for earlier in range(instant - DAY, instant, MINUTE))


@cache
def _values(field: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for term in field.split(","):
        body, _, step = term.partition("/")
        first, _, last = body.replace("*", f"{least}-{most}").partition("-")
        begin, end = (int(NAMES.get(text, text)) for text in (first, last or first))
        found |= set(range(begin, (end if end >= begin else 7) + 1, int(step or 1)))
    return found


def fits_cron(expression: str, shown: datetime) -> bool:
    fields = expression.split()
    minutes, hours, days, months, weekdays = (
        _values(field, *limits) for field, limits in zip(fields, RANGES, strict=True)
    )
    today = [shown.day in days, bool({shown.isoweekday(), shown.isoweekday() % 7} & weekdays)]
    fitting = all(today) if "*" in (fields[2][0], fields[4][0]) else any(today)
    return fitting and shown.minute in minutes and shown.hour in hours and shown.month in months


def is_due(expression: str, instant: int, zone: str) -> bool:
    minute, hour, *_ = expression.split()
    if "*" in (minute[0], hour[0]):
        return fits_cron(expression, wall(instant, zone))
    return came(instant, zone, lambda shown: fits_cron(expression, shown))


def begins(days: int, instant: int, zone: str) -> bool:
    """Does a period of so many local days begin now?"""
    first = date(1970, 1, 5) if days % 7 == 0 else date(1970, 1, 1)
    return came(
        instant, zone, lambda shown: (shown.hour, shown.minute) == (0, 0) and (shown.date() - first).days % days == 0
    )


def first_from(time: int, due: Callable[[int], bool]) -> int | None:
    """The first instant at or after `time` that is due; None: there is none within the horizon."""
    beginning = -(-time // MINUTE) * MINUTE
    return next((instant for instant in range(beginning, beginning + HORIZON, MINUTE) if due(instant)), None)
