"""The time of an event: the record's own, or what a field says."""

from __future__ import annotations

from collections.abc import Callable

from penstock.operators.decode import Event, excerpt
from penstock.operators.expression import Unknown
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source_key import Look
from penstock.operators.timestamp import LATEST_MS, TimeSettings, expected_time, time_reader
from penstock.operators.unit import duration_text

TimeOf = Callable[[Raw, Event], int | DeadLetter]
"""Event time in ms since the epoch."""


def record_time(raw: Raw, event: Event) -> int | DeadLetter:
    """The record's timestamp: the default. Kafka writes −1 for none."""
    if 0 <= raw.timestamp <= LATEST_MS:
        return raw.timestamp
    return DeadLetter("time", f"the record's timestamp is {raw.timestamp}; expected ms since 1970 (years 1970 to 9999)")


def value_time(look: Look, settings: TimeSettings, ahead: int) -> TimeOf:
    """What `settings` read from the value of `settings.at`, at most `ahead` ms after the record's timestamp (if it has one)."""
    read, text, expected = time_reader(settings), settings.at, expected_time(settings)

    def time_of(raw: Raw, event: Event) -> int | DeadLetter:
        value, timestamp = look(raw, event), raw.timestamp
        time = read(value, timestamp)
        if time is None:
            found = "missing" if isinstance(value, Unknown) else excerpt(value)
            return DeadLetter("time", f"the time `{text}` is {found}; expected {expected}")
        if time - timestamp > ahead and timestamp >= 0:
            late = duration_text(time - timestamp)
            limit = duration_text(ahead)
            return DeadLetter(
                "ahead", f"the event's time lies {late} after the record's timestamp; at most {limit} is allowed"
            )
        return time

    return time_of
