"""Event time: whole milliseconds since the epoch from what a record says, floored (also before 1970).

    time: event.ts                                    ISO 8601; without an offset it is UTC
    time: {at: event.ts, zone: Europe/Berlin}         … or local time there
    time: {at: event.t, unit: ms}                     a number, or text of digits
    time: {at: event.ts, layout: "%b %d %H:%M:%S"}    a layout of its own (`timestamp_layout.py`)

A local time that occurs twice is the first one; one that does not exist takes the offset before the gap: this is what
`fold=0` of PEP 495 means. Leap seconds are refused, because no clock of Kafka's knows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from math import floor
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from penstock.operators.instant import iso_text
from penstock.operators.setting import Settings, Text, Value, Zone
from penstock.operators.timestamp_layout import Layout, Parts, compile_layout, write_layout

Unit = Literal["s", "ms", "us", "ns"]

ReadTime = Callable[[Any, int], int | None]
"""(value of the field, the record's timestamp in ms) to event time in ms; None: cannot be read."""
WriteTime = Callable[[int], str | float]
"""Event time in ms to a value of the field."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
EARLIEST_MS = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND
LATEST_MS = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - EPOCH) // MILLISECOND
"""Years 1 to 9999: beyond them a number is no time but a wrong unit."""


def _known_layout(text: str) -> str:
    compile_layout(text)
    return text


class TimeSettings(Settings):
    """Where a record says when its event happened, and how it is written there."""

    at: Value = Field(description="The field that holds the time.", examples=["event.ts"])
    unit: Unit | None = Field(default=None, description="The time is a number (or digits) of these since 1970.")
    layout: Annotated[Text, AfterValidator(_known_layout)] | None = Field(
        default=None,
        description="How the time is written, in the letters of strptime. Without a year, the nearest one is taken.",
        examples=["%b %d %H:%M:%S"],
    )
    zone: Zone | None = Field(
        default=None, description="Zone of times that name none; default UTC.", examples=["Europe/Berlin"]
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.unit is not None and (self.layout is not None or self.zone is not None):
            raise ValueError("`unit` counts from 1970 in UTC: it goes with neither `layout` nor `zone`")
        return self


def time_reader(settings: TimeSettings) -> ReadTime:
    """What reads the value of `at`."""
    zone = ZoneInfo(settings.zone) if settings.zone else UTC
    if settings.unit is not None:
        return _number_reader(settings.unit)
    if settings.layout is not None:
        return _layout_reader(compile_layout(settings.layout), zone)
    return iso_reader(zone)


def time_writer(settings: TimeSettings) -> WriteTime:
    """The opposite of `time_reader`: a value from which it reads this time, to what the layout or the zone can say."""
    if settings.unit is not None:
        per_second = _PER_SECOND[settings.unit]
        return lambda time: time * per_second // 1_000 if time * per_second % 1_000 == 0 else time / 1_000
    layout, zone = settings.layout, ZoneInfo(settings.zone) if settings.zone else UTC
    if layout is None:
        return iso_text
    return lambda time: write_layout(layout, (EPOCH + time * MILLISECOND).astimezone(zone))


def expected_time(settings: TimeSettings) -> str:
    """What a value has to look like, for the sentence that says it does not."""
    if settings.unit is not None:
        return f"a number of {settings.unit} since 1970 (years 1 to 9999)"
    if settings.layout is not None:
        return f"a time like {settings.layout!r}"
    return "an ISO 8601 time such as 2026-11-20T09:14:07Z (a number needs a `unit`)"


_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DIGITS = re.compile(r"-?[0-9]{1,30}")


def _number_reader(unit: Unit) -> ReadTime:
    per_second = _PER_SECOND[unit]

    def read(value: Any, timestamp: int) -> int | None:
        if type(value) is str:
            value = int(value) if _DIGITS.fullmatch(value) else None
        if type(value) is int:
            time = value * 1_000 // per_second
        elif type(value) is float and abs(value) < 1e30:
            time = _floored(value, per_second)
        else:
            return None
        return time if EARLIEST_MS <= time <= LATEST_MS else None

    return read


def _floored(value: float, per_second: int) -> int:
    """A fraction as it was written in decimal: 1700000000.123 s end in 123 ms, although the binary number lies below."""
    return floor(Decimal(repr(value)) * 1_000 / per_second)


def iso_reader(zone: tzinfo) -> ReadTime:
    """ISO 8601, extended or basic: a date, or a date and a time with or without seconds, a fraction, an offset.

    The library takes any character between date and time, and so reads some numbers of 13 digits as a day in 1709: only
    `T` and a space may stand there.
    """

    def read(value: Any, timestamp: int) -> int | None:
        if type(value) is not str or (value[10:11] not in "T " and value[8:9] != "T"):
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return _since_epoch(moment if moment.tzinfo else moment.replace(tzinfo=zone))

    return read


def instant(text: str) -> int | None:
    """An ISO 8601 time in ms since the epoch (UTC where it names no offset); None: it is none."""
    return iso_reader(UTC)(text, 0)


_YEAR_IS_SURE_MS = 182 * 86_400_000
"""A day nearer than this to the record's timestamp is nearer than the same day of any other year."""


def _layout_reader(layout: Layout, zone: tzinfo) -> ReadTime:
    """Remembers the last text read: times of one second are written alike."""
    last_text, last_time, year_given = "", 0, False

    def read(value: Any, timestamp: int) -> int | None:
        nonlocal last_text, last_time, year_given
        if type(value) is not str:
            return None
        if value == last_text and (year_given or abs(last_time - timestamp) < _YEAR_IS_SURE_MS):
            return last_time
        parts = layout.parse(value)
        if parts is None:
            return None
        time = _in_nearest_year(parts, timestamp, zone) if parts.year is None else _in_year(parts, parts.year, zone)
        if time is not None:
            last_text, last_time, year_given = value, time, parts.year is not None
        return time

    return read


def _in_nearest_year(parts: Parts, timestamp: int, zone: tzinfo) -> int | None:
    """The year that brings the time nearest to the record's timestamp; of two equally near ones the earlier."""
    if not EARLIEST_MS <= timestamp <= LATEST_MS:
        return None
    middle = (EPOCH + timestamp * MILLISECOND).year
    candidates = _in_years(parts, middle, 1, zone) or _in_years(parts, middle, _LEAP_YEAR_WITHIN, zone)
    return min(candidates, key=lambda time: (abs(time - timestamp), time), default=None)


_LEAP_YEAR_WITHIN = 8
"""A 29 February may be this many years away: 2100 is no leap year."""


def _in_years(parts: Parts, middle: int, reach: int, zone: tzinfo) -> list[int]:
    times = (_in_year(parts, year, zone) for year in range(middle - reach, middle + reach + 1))
    return [time for time in times if time is not None]


def _in_year(parts: Parts, year: int, zone: tzinfo) -> int | None:
    """Ms since the epoch; None where the calendar or the clock has no such time."""
    try:
        where = _offset(parts.offset) if parts.offset else zone
        local = datetime(year, *parts[1:6], parts.millisecond * 1_000, tzinfo=where)
    except ValueError:
        return None
    return _since_epoch(local)


def _since_epoch(moment: datetime) -> int | None:
    """Floored: `//` of time differences rounds down, while a cast of seconds to int would round up before 1970."""
    time = (moment - EPOCH) // MILLISECOND
    return time if EARLIEST_MS <= time <= LATEST_MS else None


def _offset(text: str) -> tzinfo | None:
    """`Z`, `+02`, `+0200` or `+02:00`. Raises ValueError beyond a day."""
    return datetime.fromisoformat(f"2000-01-01T00:00{text.upper()}").tzinfo
