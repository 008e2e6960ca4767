from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.operators import decode_csv
from penstock.operators.decode import event_class
from penstock.operators.decode_csv import CsvSettings
from penstock.operators.expression import UNKNOWN, attribute_of
from penstock.operators.record import DeadLetter

COLUMNS = ("ts", "value", "note")


def parse(value: bytes, delimiter: str = ",", fields: tuple[str, ...] = COLUMNS) -> Any:
    return decode_csv.build(CsvSettings(columns=COLUMNS, delimiter=delimiter)).parse(event_class(fields))(value)


def cells(value: bytes, delimiter: str = ",") -> list[Any]:
    event = parse(value, delimiter)
    assert not isinstance(event, DeadLetter), event
    return [getattr(event, attribute_of(name)) for name in COLUMNS]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"2014-02-14 14:27:00,51.8,ok", ["2014-02-14 14:27:00", "51.8", "ok"]),
        (b"a,b,c\r\n", ["a", "b", "c"]),
        (b'"a,b","say ""hi""",c', ["a,b", 'say "hi"', "c"]),
        (b'"two\nlines",b,c\n', ["two\nlines", "b", "c"]),
        (b'"two\r\nlines",b,c', ["two\r\nlines", "b", "c"]),
        ("ä, ö,\u2028".encode(), ["ä", " ö", "\u2028"]),
    ],
)
def test_a_row_is_read_as_rfc_4180_says(row: bytes, expected: list[str]) -> None:
    assert cells(row) == expected


def test_an_empty_cell_is_missing_and_a_space_is_not() -> None:
    assert cells(b', ,""') == [UNKNOWN, " ", UNKNOWN]


def test_cells_are_text_and_never_numbers() -> None:
    assert cells(b"1,2.5,true") == ["1", "2.5", "true"]


def test_another_delimiter_is_possible() -> None:
    assert cells(b'a;"b;c";1,5', ";") == ["a", "b;c", "1,5"]
    assert cells(b"a\tb\tc", "\t") == ["a", "b", "c"]


@pytest.mark.parametrize("row", [b"a,b", b"a,b,c,d", b"a", b'"a,b,c"', b",,,"])
def test_another_number_of_cells_is_a_dead_letter_that_says_how_many(row: bytes) -> None:
    letter = parse(row)
    assert letter.reason == "columns"
    assert "`columns` names 3" in letter.detail


@pytest.mark.parametrize("row", [b"a,b,c\nd,e,f", b'"a,b,c', b'"a"b,c,d', b'"a",b\n,c'])
def test_what_is_not_one_row_is_undecodable(row: bytes) -> None:
    assert parse(row).reason == "undecodable"


@pytest.mark.parametrize("row", [b"", b"\r\n", b"\n"])
def test_an_empty_row_has_a_reason_of_its_own(row: bytes) -> None:
    assert parse(row).reason == "empty"


def test_invalid_utf8_is_refused() -> None:
    assert parse(b"a,\xff,c").reason == "not_utf8"


def test_only_the_columns_in_use_become_fields() -> None:
    event = parse(b"a,b,c", fields=("note", "elsewhere"))
    assert getattr(event, attribute_of("note")) == "c"
    assert getattr(event, attribute_of("elsewhere")) is UNKNOWN
    assert not hasattr(event, attribute_of("ts"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"columns": []}, "at least 1"),
        ({"columns": ["a", "b", "a"]}, "'a' stands twice"),
        ({"columns": ["a"], "delimiter": '"'}, "cannot separate cells"),
        ({"columns": ["a"], "delimiter": "||"}, "at most 1"),
        ({"columns": ["a"], "header": True}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        CsvSettings(**settings)
