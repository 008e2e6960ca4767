"""Layouts of times, in the letters of strptime but in nobody's language: `%b` reads English month names on every machine.

The library's strptime would read `Dec` or `Dez` depending on where the process runs, and takes 1900 for a missing year.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?"
)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_NAMES = "mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
_CENTURY_PIVOT = 69
"""`%y`: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068, as POSIX has it."""

_DIRECTIVES: Mapping[str, str] = {
    "Y": r"(?P<year>\d{4})",
    "y": r"(?P<short_year>\d{2})",
    "m": r"(?P<month>\d{1,2})",
    "b": f"(?P<month_name>{_MONTH_NAMES})",
    "d": r"(?P<day>\d{1,2})",
    "a": f"(?P<weekday>{_DAY_NAMES})",
    "H": r"(?P<hour>\d{1,2})",
    "I": r"(?P<hour_of_half>\d{1,2})",
    "p": "(?P<half>am|pm)",
    "M": r"(?P<minute>\d{1,2})",
    "S": r"(?P<second>\d{1,2})",
    "f": r"(?P<fraction>\d{1,9})",
    "z": r"(?P<offset>Z|[+-]\d{2}(?::?\d{2})?)",
    "%": "%",
}
_SHORTHANDS: Mapping[str, str] = {
    "B": "%b", "h": "%b", "A": "%a", "e": "%d", "T": "%H:%M:%S", "R": "%H:%M", "F": "%Y-%m-%d", "D": "%m/%d/%y",
}  # fmt: skip
_WRITTEN: Mapping[str, Callable[[datetime], str]] = {
    "Y": lambda time: f"{time.year:04}",
    "y": lambda time: f"{time.year % 100:02}",
    "m": lambda time: f"{time.month:02}",
    "b": lambda time: _MONTHS[time.month - 1].title(),
    "d": lambda time: f"{time.day:02}",
    "a": lambda time: _DAYS[time.weekday()].title(),
    "H": lambda time: f"{time.hour:02}",
    "I": lambda time: f"{(time.hour - 1) % 12 + 1:02}",
    "p": lambda time: "AM" if time.hour < 12 else "PM",
    "M": lambda time: f"{time.minute:02}",
    "S": lambda time: f"{time.second:02}",
    "f": lambda time: f"{time.microsecond // 1000:03}",
    "z": lambda time: time.strftime("%z"),
    "%": lambda time: "%",
}


class Parts(NamedTuple):
    """What a text says about a time. `year` None: it does not say. `offset` empty: local time. Not checked for ranges."""

    year: int | None
    month: int
    day: int
    hour: int
    minute: int
    second: int
    millisecond: int
    offset: str


class Layout(NamedTuple):
    pattern: re.Pattern[str]

    def parse(self, text: str) -> Parts | None:
        """None: the text is not written so."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        found = match.groupdict()
        hour = _hour(found)
        if hour is None:
            return None
        minute, second = int(found.get("minute") or 0), int(found.get("second") or 0)
        millisecond = int(((found.get("fraction") or "") + "000")[:3])
        return Parts(
            _year(found), _month(found), int(found["day"]), hour, minute, second, millisecond, found.get("offset") or ""
        )


def compile_layout(text: str) -> Layout:
    """Raises ValueError with a sentence for the writer of the file."""
    pattern = "".join(_literal(literal) if literal else _directive(letter) for literal, letter in _pieces(text))
    _check_fields(pattern, text)
    return Layout(re.compile(pattern, re.ASCII | re.IGNORECASE))


def write_layout(text: str, time: datetime) -> str:
    """A time as a layout that `compile_layout` took reads it again, to the millisecond where it has a fraction."""
    return "".join(literal or _WRITTEN[letter](time) for literal, letter in _pieces(text))


def _pieces(text: str) -> list[tuple[str, str]]:
    """Literal texts and letters, one of the two each."""
    spelled = re.sub(r"%(.)", lambda part: _SHORTHANDS.get(part[1], part[0]), text)
    return re.findall(r"([^%]+)|%(.?)", spelled)


def _literal(text: str) -> str:
    """White space stands for any amount of it: syslog pads the day, `Dec  1`."""
    return r"\s+".join(map(re.escape, re.split(r"\s+", text)))


def _directive(letter: str) -> str:
    if letter not in _DIRECTIVES:
        known = " ".join(f"%{known}" for known in sorted({*_DIRECTIVES, *_SHORTHANDS}))
        raise ValueError(f"%{letter} is not a part of a layout; there are {known}")
    return _DIRECTIVES[letter]


def _check_fields(pattern: str, text: str) -> None:
    names = re.findall(r"\(\?P<(\w+)>", pattern)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or {"year", "short_year"} <= {*names} or {"month", "month_name"} <= {*names}:
        raise ValueError(f"{text!r} reads the same part of a time twice")
    if not {"month", "month_name"} & {*names} or "day" not in names:
        raise ValueError(f"{text!r} has no date; a layout needs a month (%m or %b) and a day (%d)")
    if ("hour_of_half" in names) != ("half" in names):
        raise ValueError(f"{text!r}: %I and %p belong together; hours from 0 to 23 are %H")


def _year(found: Mapping[str, str | None]) -> int | None:
    if year := found.get("year"):
        return int(year)
    if short := found.get("short_year"):
        return int(short) + (1900 if int(short) >= _CENTURY_PIVOT else 2000)
    return None


def _month(found: Mapping[str, str | None]) -> int:
    name = found.get("month_name")
    return _MONTHS.index(name[:3].lower()) + 1 if name else int(found["month"] or 0)


def _hour(found: Mapping[str, str | None]) -> int | None:
    half = found.get("half")
    if half is None:
        return int(found.get("hour") or 0)
    hour = int(found["hour_of_half"] or 0)
    return hour % 12 + (12 if half.lower() == "pm" else 0) if 1 <= hour <= 12 else None
