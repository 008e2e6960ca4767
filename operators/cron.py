"""Cron expressions: five fields that say which minutes of which days.

    0 6,14,22 * * MON-SAT
    │ │       │ │ └─ day of the week    0-7 or SUN-SAT; 0 and 7 are Sunday
    │ │       │ └─── month              1-12 or JAN-DEC
    │ │       └───── day of the month   1-31
    │ └───────────── hour               0-23
    └─────────────── minute             0-59

A field is a list of `*`, numbers, names and ranges; `*` and ranges take a step: `*/15`, `9-17/2`. Where both kinds of days are
given one of them is enough; where one begins with `*` both have to fit. This is how Vixie's cron reads it, and Debian's.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)
SUNDAY = 7
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_TERM = re.compile(r"(\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * SUN",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
"""What others write for them; here there is one way."""
_DAYS_MAX = {month: monthrange(2000, month)[1] for month in range(1, 13)}


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """From `least` on."""


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, SUNDAY, _WEEKDAYS),
)


class Cron(NamedTuple):
    """`minutes` of the day, sorted. `elapsing`: minute or hour begins with `*`, so it goes by the time that passes, not by the
    clock on the wall."""

    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    elapsing: bool

    def next_day(self, day: date) -> date:
        """The first day at or after this one. Raises OverflowError where the calendar ends. O(days in between / 30)."""
        while not (day.month in self.months and self._fits(day)):
            day = day + DAY if day.month in self.months else (day.replace(day=28) + 4 * DAY).replace(day=1)
        return day

    def _fits(self, day: date) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % SUNDAY in self.weekdays
        return of_month and of_week if self.both_days else of_month or of_week


def parse_cron(text: str) -> Cron:
    """Raises ValueError that says which field is wrong, and what to write."""
    if text in _SHORT:
        raise ValueError(f"write {_SHORT[text]!r} for {text!r}")
    words = text.upper().split()
    if len(words) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        cut = "; in braces a comma ends a value that is not in quotes" if len(words) < len(_FIELDS) else ""
        raise ValueError(f"{text!r} has {len(words)} fields; a cron expression has five: {names}{cut}")
    minutes, hours, days, months, weekdays = (_values(*pair) for pair in zip(_FIELDS, words, strict=True))
    cron = Cron(
        minutes=tuple(sorted(60 * hour + minute for hour in hours for minute in minutes)),
        days=days,
        months=months,
        weekdays=frozenset(weekday % SUNDAY for weekday in weekdays),
        both_days=words[2].startswith("*") or words[4].startswith("*"),
        elapsing=words[0].startswith("*") or words[1].startswith("*"),
    )
    if cron.both_days and min(days) > max(_DAYS_MAX[month] for month in months):
        raise ValueError(f"{text!r} never happens: no such month has a day {min(days)}")
    return cron


def _values(field: _Field, word: str) -> frozenset[int]:
    return frozenset(value for term in word.split(",") for value in _term(field, term))


def _term(field: _Field, term: str) -> Iterable[int]:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError(f"{field.name}: {term!r} is none of `*`, a number, a range such as 1-5, and these with a step")
    step = int(found["step"] or 1)
    if step == 0:
        raise ValueError(f"{field.name}: a step of 0 leads nowhere")
    if found["first"] is None:
        return range(field.least, field.most + 1, step)
    first = _number(field, found["first"])
    if found["last"] is None:
        if found["step"]:
            raise ValueError(f"{field.name}: a step needs a range; write {first}-{field.most}/{step} for {term!r}")
        return (first,)
    last = _number(field, found["last"])
    if field.most == SUNDAY and last == 0 < first:
        last = SUNDAY
    if last < first:
        raise ValueError(
            f"{field.name}: {term!r} runs backwards; write {first}-{field.most},{field.least}-{last} if it goes over the end"
        )
    return range(first, last + 1, step)


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.least
    if not text.isdecimal() or not field.least <= int(text) <= field.most:
        names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
        raise ValueError(f"{field.name}: {text!r} is not a number from {field.least} to {field.most}{names}")
    return int(text)
