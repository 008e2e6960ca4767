"""The decoders give what slower, independent ways of reading the same bytes give."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators import decode_csv, decode_json
from penstock.operators.decode import encoder, event_class, render_line
from penstock.operators.decode_csv import CsvSettings
from penstock.operators.expression import UNKNOWN, attribute_of
from penstock.operators.timestamp import TimeSettings, time_reader

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FIELDS = ("a", "class", "größe")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(st.sampled_from(FIELDS) | texts, json_values, max_size=6)
json_texts = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(),
    objects, st.booleans(), st.sampled_from([None, 2]),
)  # fmt: skip

SAVE = msgspec.msgpack.Encoder().encode
DECODE_JSON = decode_json.build().parse(event_class(FIELDS))
parse_lines = decode_json.build().parse_lines
assert parse_lines is not None, "JSON has a way to read many at once"
DECODE_LINES = parse_lines(event_class(FIELDS))


@given(document=json_texts)
def test_json_fields_are_those_of_the_standard_library(document: bytes) -> None:
    event, expected = DECODE_JSON(document), json.loads(document)
    for field in FIELDS:
        value = getattr(event, attribute_of(field))
        assert value == expected[field] if field in expected else value is UNKNOWN


@given(value=st.recursive(st.integers() | st.just(0), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_every_decoded_value_can_be_saved(value: Any) -> None:
    event = DECODE_JSON(json.dumps({"a": value}).encode())
    SAVE(getattr(event, attribute_of("a")))


@given(document=json_texts)
def test_a_rendered_line_means_what_the_producer_wrote_and_is_a_fixed_point(document: bytes) -> None:
    rendered = render_line(document)
    assert json.loads(rendered) == json.loads(document)
    assert list(json.loads(rendered)) == list(json.loads(document))
    assert render_line(rendered) == rendered


@given(document=json_texts, order=st.permutations(FIELDS))
def test_a_line_holds_the_shown_fields_in_their_order(document: bytes, order: list[str]) -> None:
    expected = json.loads(document)
    shown = json.loads(encoder(order)(DECODE_JSON(document)))
    assert shown == {field: expected[field] for field in order if field in expected}
    assert list(shown) == [field for field in order if field in expected]


@given(
    cells=st.lists(texts, min_size=2, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_cells_are_those_that_the_standard_library_wrote(cells: list[str], delimiter: str, quoting: Any) -> None:
    row = io.StringIO(newline="")
    csv.writer(row, delimiter=delimiter, quoting=quoting).writerow(cells)
    columns = tuple(f"c{index}" for index in range(len(cells)))
    parse = decode_csv.build(CsvSettings(columns=columns, delimiter=delimiter)).parse(event_class(columns))
    event = parse(row.getvalue().encode())
    read = [getattr(event, attribute_of(column)) for column in columns]
    assert read == [cell or UNKNOWN for cell in cells]


@given(
    moment=st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30")),
    offset=st.integers(-14 * 60, 14 * 60),
    digits=st.integers(0, 6),
)
def test_iso_times_are_floored_to_the_millisecond(moment: datetime, offset: int, digits: int) -> None:
    fraction = f".{moment.microsecond:06}"[: digits + 1] if digits else ""
    sign = "-" if offset < 0 else "+"
    text = f"{moment.replace(microsecond=0).isoformat()}{fraction}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    kept = int((fraction[1:] + "000")[:3])
    expected = (moment.replace(microsecond=0, tzinfo=UTC) - EPOCH) // timedelta(seconds=1) * 1_000 + kept
    assert time_reader(TimeSettings(at="event.t"))(text, 0) == expected - offset * 60_000


@given(value=st.integers(-(10**17), 10**17))
def test_numbers_are_floored_to_the_millisecond(value: int) -> None:
    read = time_reader(TimeSettings(at="event.t", unit="us"))
    time = read(value, 0)
    assert time in (None, math.floor(value / 1_000), value // 1_000)
    assert read(str(value), 0) == time


@given(
    moment=st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2199-12-31")).map(
        lambda at: at.replace(microsecond=0)
    ),
    distance=st.integers(-181 * 86_400, 181 * 86_400),
)
def test_a_layout_without_a_year_finds_the_year_of_a_record_near_by(moment: datetime, distance: int) -> None:
    time = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    text = f"{MONTHS[moment.month - 1]} {moment.day:>2} {moment:%H:%M:%S}"
    read = time_reader(TimeSettings(at="event.t", layout="%b %d %H:%M:%S"))
    assert read(text, time + distance * 1_000) == time


rough = json_texts | st.sampled_from(
    [b"", b"{", b"{}", b"{}{}", b'{"a":\n1}', b"[" * 300, b'{"a":' * 250, b"\xff", b'{"x": 1e999}', b'{"a": 1e999}', b"{} "]
) | st.integers(0, 2**70).map(lambda number: b'{"a": %d}' % number)  # fmt: skip


@given(documents=st.lists(rough, min_size=1, max_size=5) | st.lists(json_texts, min_size=1, max_size=5))
def test_many_documents_at_once_are_what_each_is_by_itself_or_are_left_to_be_looked_at(documents: list[bytes]) -> None:
    events = DECODE_LINES(documents)
    if events is not None:
        singly = [DECODE_JSON(document) for document in documents]
        assert [msgspec.structs.asdict(event) for event in events] == [
            msgspec.structs.asdict(event) for event in singly
        ]
