"""Times that count from the beginning of a scenario."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from penstock.operators.timestamp import instant
from penstock.pipelines.scenario_time import (
    START,
    EventTimeText,
    InstantText,
    Moment,
    TimeText,
    event_time_ms,
    relative_text,
    time_ms,
)

BEGIN = 1_000_000


def test_a_duration_counts_from_the_beginning_and_an_instant_from_nothing() -> None:
    assert time_ms("1m30s", BEGIN) == BEGIN + 90_000
    assert time_ms("1970-01-01T00:00:05Z", BEGIN) == 5_000


def test_an_event_may_count_from_the_latest_time_so_far() -> None:
    assert event_time_ms("+5s", BEGIN, BEGIN + 60_000) == BEGIN + 65_000
    assert event_time_ms("5s", BEGIN, BEGIN + 60_000) == BEGIN + 5_000


@pytest.mark.parametrize(("ms", "text"), [(0, "0s"), (90_000, "1m30s"), (-5_000, "-5s"), (250, "250ms")])
def test_times_are_shown_from_the_beginning(ms: int, text: str) -> None:
    assert relative_text(ms) == str(Moment(BEGIN + ms, BEGIN)) == text


def test_a_moment_knows_every_way_to_write_it_and_no_other() -> None:
    moment = Moment(BEGIN + 60_000, BEGIN)
    assert moment.is_written("60s")
    assert moment.is_written("1m")
    assert moment.is_written("1970-01-01T00:17:40Z")
    assert not any(moment.is_written(other) for other in ("61s", "soon", 60_000, None))


def test_scenarios_begin_where_no_hour_and_no_minute_does() -> None:
    start = instant(START)
    assert start is not None
    assert start % 60_000
    assert start % 5_000


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (TimeText, 5, "5 has no unit"),
        (TimeText, "soon", "'soon' is not a time"),
        (TimeText, "+5s", "'+5s' is not a time"),
        (EventTimeText, "+soon", "'soon' is not a duration"),
        (EventTimeText, "+2026-11-20T09:14:07Z", "is not a duration"),
        (InstantText, "90s", "'90s' is not an instant"),
    ],
)
def test_what_is_no_time_is_refused_with_what_to_write(kind: Any, text: object, told: str) -> None:
    with pytest.raises(ValidationError, match=told.replace("+", r"\+")):
        TypeAdapter(kind).validate_python(text)
