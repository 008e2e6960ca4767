from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.operators.timestamp import LATEST_MS, TimeSettings, expected_time, instant, time_reader, time_writer

NOVEMBER_20 = 1_795_166_047_000
"""2026-11-20T09:14:07Z in ms."""


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000  # type: ignore[misc, arg-type]  # parts are a date


def read(value: Any, timestamp: int = NOVEMBER_20, **settings: Any) -> int | None:
    return time_reader(TimeSettings(at="event.ts", **settings))(value, timestamp)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T09:14:07Z", NOVEMBER_20),
        ("2026-11-20T09:14:07", NOVEMBER_20),
        ("2026-11-20 09:14:07", NOVEMBER_20),
        ("2026-11-20T09:14:07.123Z", NOVEMBER_20 + 123),
        ("2026-11-20T09:14:07.123999999Z", NOVEMBER_20 + 123),
        ("2026-11-20T09:14:07,5Z", NOVEMBER_20 + 500),
        ("2026-11-20T11:14:07+02:00", NOVEMBER_20),
        ("2026-11-20T11:14:07.25+0200", NOVEMBER_20 + 250),
        ("2026-11-20T01:14:07-08", NOVEMBER_20),
        ("20261120T091407Z", NOVEMBER_20),
        ("2026-11-20T09:14Z", NOVEMBER_20 - 7_000),
        ("2026-11-20", ms(2026, 11, 20)),
    ],
)
def test_iso_8601_is_read_in_its_usual_forms(text: str, expected: int) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "2026-13-01", "2026-02-29", "2026-11-20T25:00:00Z", "2026-11-20x09:14:07Z", " 2026-11-20",
        "2026-11-20T09:14:07+25:00", "0000-01-01", "0001-01-01T00:00:00+14:00", "٢٠٢٦-١١-٢٠", "\ud800",
        1_795_166_047, 1.5, True, None, ["2026-11-20"], {"at": "2026-11-20"},
    ],
)  # fmt: skip
def test_what_is_no_iso_8601_time_cannot_be_read(value: Any) -> None:
    assert read(value) is None


def test_a_leap_second_cannot_be_read() -> None:
    assert read("2016-12-31T23:59:60Z") is None


def test_a_number_of_milliseconds_is_not_mistaken_for_a_compact_date() -> None:
    assert read("1709112211445") is None  # the library alone reads 1709-11-22, separator 1, 14:45


def test_times_before_1970_are_floored_too() -> None:
    assert read("1969-12-31T23:59:59.9999Z") == -1
    assert read(-0.0001, unit="s") == -1
    assert read(-1, unit="us") == -1


def test_a_time_without_offset_is_local_to_the_zone() -> None:
    assert read("2026-07-01T12:00:00", zone="Europe/Berlin") == ms(2026, 7, 1, 10)
    assert read("2026-07-01T12:00:00Z", zone="Europe/Berlin") == ms(2026, 7, 1, 12)


def test_a_local_time_that_occurs_twice_is_the_first() -> None:
    assert read("2026-10-25T02:30:00", zone="Europe/Berlin") == ms(2026, 10, 25, 0, 30)


def test_a_local_time_that_does_not_exist_takes_the_offset_before_the_gap() -> None:
    assert read("2026-03-29T02:30:00", zone="Europe/Berlin") == ms(2026, 3, 29, 1, 30)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("s", 1_795_166_047, NOVEMBER_20),
        ("s", 1_795_166_047.123, NOVEMBER_20 + 123),
        ("s", "1795166047", NOVEMBER_20),
        ("ms", 1_795_166_047_123, NOVEMBER_20 + 123),
        ("ms", 1_795_166_047_123.9, NOVEMBER_20 + 123),
        ("us", 1_795_166_047_123_999, NOVEMBER_20 + 123),
        ("ns", "1795166047123999999", NOVEMBER_20 + 123),
        ("ms", "-1", -1),
        ("ms", 0, 0),
    ],
)
def test_units_take_numbers_and_digits(unit: str, value: Any, expected: int) -> None:
    assert read(value, unit=unit) == expected


@pytest.mark.parametrize("value", [True, None, "", "12.5", "1_000", " 1", "+1", "0x10", "٣", 1e300, -1e300, "9" * 31])
def test_units_refuse_what_is_no_number_or_no_time(value: Any) -> None:
    assert read(value, unit="s") is None


def test_a_fraction_means_what_it_says_in_decimal() -> None:
    for millisecond in range(1_000):
        assert read(float(f"1700000000.{millisecond:03}"), unit="s") == 1_700_000_000_000 + millisecond


def test_a_wrong_unit_is_found_by_its_year() -> None:
    assert read(LATEST_MS, unit="ms") == LATEST_MS
    assert read(LATEST_MS + 1, unit="ms") is None
    assert read(1_795_166_047_123_999_000, unit="ms") is None


SYSLOG = "%b %d %H:%M:%S"


@pytest.mark.parametrize(
    ("layout", "text", "expected"),
    [
        (SYSLOG, "Nov 20 09:14:07", NOVEMBER_20),
        (SYSLOG, "Nov  2 09:14:07", ms(2026, 11, 2, 9, 14, 7)),
        ("%a %b %d %H:%M:%S %Y", "Sun Dec 04 04:47:44 2005", ms(2005, 12, 4, 4, 47, 44)),
        ("%y%m%d %H%M%S", "081109 203615", ms(2008, 11, 9, 20, 36, 15)),
        ("%d/%b/%Y:%H:%M:%S %z", "20/Nov/2026:11:14:07 +0200", NOVEMBER_20),
        ("%m/%d/%Y %I:%M %p", "11/20/2026 12:05 AM", ms(2026, 11, 20, 0, 5)),
        ("%m/%d/%Y %I:%M %p", "11/20/2026 12:05 pm", ms(2026, 11, 20, 12, 5)),
        ("%FT%T.%f%z", "2026-11-20T09:14:07.1239Z", NOVEMBER_20 + 123),
        ("100%% %F", "100% 2026-11-20", ms(2026, 11, 20)),
        ("%d. %B %y", "1. september 69", ms(1969, 9, 1)),
    ],
)
def test_layouts_read_what_strptime_reads(layout: str, text: str, expected: int) -> None:
    assert read(text, layout=layout) == expected


@pytest.mark.parametrize(
    "value", ["", "Nov 20", "Nov 31 09:14:07", "Nov 20 24:00:00", "Nov 20 09:14:60", "20 Nov 09:14:07", 20, None, True]
)
def test_what_is_not_written_as_the_layout_says_cannot_be_read(value: Any) -> None:
    assert read(value, layout=SYSLOG) is None


@pytest.mark.parametrize(
    ("record", "text", "year"),
    [
        (ms(2027, 1, 1), "Dec 31 23:59:59", 2026),
        (ms(2026, 12, 31, 23), "Jan  1 00:00:01", 2027),
        (ms(2026, 3, 1), "Nov 20 09:14:07", 2025),
        (ms(2026, 9, 1), "Nov 20 09:14:07", 2026),
        (ms(2026, 11, 20), "Feb 29 00:00:00", 2028),
        (ms(2026, 1, 20), "Feb 29 00:00:00", 2024),
        (ms(2101, 1, 1), "Feb 29 00:00:00", 2104),
    ],
)
def test_a_layout_without_a_year_takes_the_one_nearest_to_the_record(record: int, text: str, year: int) -> None:
    time = read(text, record, layout=SYSLOG)
    assert time is not None
    assert datetime.fromtimestamp(time / 1_000, UTC).year == year


def test_the_year_follows_the_record_although_the_text_is_the_same() -> None:
    reader = time_reader(TimeSettings(at="event.ts", layout=SYSLOG))
    years = [reader("Nov 20 09:14:07", ms(year, 12, 1)) for year in (2024, 2026, 2025)]
    assert years == [ms(year, 11, 20, 9, 14, 7) for year in (2024, 2026, 2025)]


def test_an_impossible_timestamp_of_the_record_has_no_nearest_year() -> None:
    assert read("Nov 20 09:14:07", 2**63 - 1, layout=SYSLOG) is None


def test_a_layout_reads_local_time_in_its_zone() -> None:
    assert read("Jul 01 12:00:00", layout=SYSLOG, zone="Europe/Berlin") == ms(2026, 7, 1, 10)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layout": "%Q"}, "%Q is not a part of a layout"),
        ({"layout": "%b %d %"}, "% is not a part of a layout"),
        ({"layout": "%H:%M"}, "needs a month"),
        ({"layout": "%b %d %d"}, "twice"),
        ({"layout": "%F %b"}, "twice"),
        ({"layout": "%b %d %I:%M"}, "belong together"),
        ({"zone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"zone": "../etc/passwd"}, "not a time zone"),
        ({"unit": "ms", "layout": SYSLOG}, "neither"),
        ({"unit": "min"}, "'s', 'ms', 'us' or 'ns'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_with_a_sentence(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence.replace("(", r"\(")):
        TimeSettings(at="event.ts", **settings)  # type: ignore[arg-type]  # the mistakes are the point


def test_the_expectation_is_a_sentence_for_each_way_of_writing_time() -> None:
    assert "unit" in expected_time(TimeSettings(at="event.ts"))
    assert "number of us" in expected_time(TimeSettings(at="event.ts", unit="us"))
    assert SYSLOG in expected_time(TimeSettings(at="event.ts", layout=SYSLOG))


def test_an_instant_is_iso_8601_in_utc() -> None:
    assert instant("2026-11-20T09:14:07Z") == NOVEMBER_20
    assert instant("tomorrow") is None


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({}, "2026-11-20T09:14:07.250Z"),
        ({"zone": "Europe/Berlin"}, "2026-11-20T09:14:07.250Z"),
        ({"unit": "s"}, 1_795_166_047.25),
        ({"unit": "ms"}, 1_795_166_047_250),
        ({"unit": "us"}, 1_795_166_047_250_000),
        ({"layout": "%a %b %d %H:%M:%S.%f", "zone": "Europe/Berlin"}, "Fri Nov 20 10:14:07.250"),
        ({"layout": "%D %I:%M:%S.%f %p %z"}, "11/20/26 09:14:07.250 AM +0000"),
        ({"layout": "%F %T.%f %%"}, "2026-11-20 09:14:07.250 %"),
    ],
)
def test_a_time_is_written_as_it_is_read(settings: dict[str, Any], written: str | float) -> None:
    time = NOVEMBER_20 + 250
    found = time_writer(TimeSettings(at="event.ts", **settings))(time)
    assert found == written
    assert read(found, time, **settings) == time


def test_whole_seconds_are_written_as_whole_numbers() -> None:
    assert repr(time_writer(TimeSettings(at="event.ts", unit="s"))(NOVEMBER_20)) == "1795166047"
