from __future__ import annotations

import datetime
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from tests.binary_records import avro, framed, text

from penstock.operators.decode_avro import reader
from penstock.operators.expression import Scope
from penstock.operators.record import DeadLetter, Record
from penstock.operators.schemas import Schema, Unusable, unknown_schema
from penstock.operators.source import Source, SourceSettings, build_source


def record(**fields: Any) -> dict[str, Any]:
    return {
        "type": "record", "name": "Reading", "namespace": "plant",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }  # fmt: skip


def read(schema: Any, payload: bytes, **references: Any) -> Any:
    known = {name: text(each) for name, each in references.items()}
    return reader(Schema("AVRO", text(schema), known))(payload)


def value_of(kind: Any, value: Any) -> Any:
    """What a field of this type becomes."""
    schema = record(field=kind)
    return read(schema, avro(schema, {"field": value}))["field"]


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def fixed(size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "Ätna", "Ätna"),
        ("boolean", True, True),
        ("null", None, None),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("double", 0.1, 0.1),
        ("double", float("nan"), None),
        ("float", float("inf"), None),
        ("float", 0.1, 0.1),
        ("float", 3.4028234663852886e38, 3.4028235e38),
        ("bytes", b"\x00\xff", "AP8="),
        (fixed(2), b"ab", "YWI="),
        ({"type": "enum", "name": "E", "symbols": ["UP", "DOWN"]}, "DOWN", "DOWN"),
        (["null", "bytes"], b"x", "eA=="),
        (["null", "bytes"], None, None),
        ({"type": "array", "items": "bytes"}, [b"x", b""], ["eA==", ""]),
        ({"type": "map", "values": "long"}, {"a": 1}, {"a": 1}),
        (logical("bytes", "decimal", precision=9, scale=2), Decimal("19.99"), 19.99),
        (logical("bytes", "decimal", precision=9, scale=2), Decimal("-0.05"), -0.05),
        (logical("bytes", "decimal", precision=30), Decimal(2**63), 2**63),
        (logical("bytes", "decimal", precision=30), Decimal(2**70), float(2**70)),
        (logical("int", "date"), datetime.date(1969, 12, 31), "1969-12-31"),
        (logical("int", "time-millis"), 33_247_123, "09:14:07.123"),
        (logical("long", "time-micros"), 33_247_123_456, "09:14:07.123456"),
        (logical("long", "timestamp-millis"), -1, "1969-12-31T23:59:59.999Z"),
        (logical("long", "timestamp-micros"), 1_795_000_000_123_456, "2026-11-18T11:06:40.123456Z"),
        (logical("long", "timestamp-nanos"), 1_795_000_000_123_456_789, "2026-11-18T11:06:40.123456789Z"),
        (logical("long", "local-timestamp-millis"), 0, "1970-01-01T00:00:00.000"),
        (logical("long", "timestamp-millis"), 2**62, 2**62),
        (logical("string", "uuid"), UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ({**fixed(16), "logicalType": "uuid"}, UUID(int=5).bytes, "00000000-0000-0000-0000-000000000005"),
        (logical("string", "made-up"), "x", "x"),
    ],
)
def test_a_value_becomes_what_json_has_for_it(kind: Any, value: Any, expected: Any) -> None:
    found = value_of(kind, value)
    assert (type(found), found) == (type(expected), expected)


def test_a_type_that_is_named_again_is_read_as_where_it_was_defined() -> None:
    schema = record(a={"type": "fixed", "name": "Four", "size": 4}, b=["null", "plant.Four"])
    assert read(schema, avro(schema, {"a": b"aaaa", "b": b"bbbb"})) == {"a": "YWFhYQ==", "b": "YmJiYg=="}


def test_types_may_come_from_other_schemas() -> None:
    place = {"type": "record", "name": "Place", "namespace": "geo", "fields": [{"name": "raw", "type": "bytes"}]}
    schema = record(at="geo.Place", then="geo.Place")
    whole = record(at=place, then="geo.Place")
    payload = avro(whole, {"at": {"raw": b"x"}, "then": {"raw": b"y"}})
    assert read(schema, payload, place=place) == {"at": {"raw": "eA=="}, "then": {"raw": "eQ=="}}


def test_one_topic_may_hold_records_of_several_types() -> None:
    opened, closed = ({**record(door="string"), "name": name} for name in ("Opened", "Closed"))
    assert read([opened, closed], b"\x02\x02a") == {"door": "a"}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}, "holds itself"),
        ({"type": "array", "items": "null"}, "nothing would bound"),
        ({"type": "array", "items": {"type": "record", "name": "Z", "fields": []}}, "nothing would bound"),
        ({"type": "array", "items": fixed(0)}, "nothing would bound"),
        ("Missing", "no schema of Avro"),
        (17, "no schema of Avro"),
        ({"type": "enum", "name": "E"}, "no schema of Avro"),
    ],
)
def test_a_schema_with_which_nobody_can_read_safely_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        reader(Schema("AVRO", text(schema), {}))


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: Any = "int"
    for _ in range(150):
        schema = {"type": "array", "items": schema}
    with pytest.raises(Unusable, match="nested deeper than 100"):
        reader(Schema("AVRO", text(schema), {}))


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        ("string", b"\x08abc", "EOFError"),
        ("string", b"\x02\xff", "UnicodeDecodeError"),
        ("long", b"\x02\x02", "1 bytes are left over"),
        ("long", b"", "EOFError"),
        (["null", "long"], b"\x08", "IndexError"),
    ],
)
def test_bytes_that_were_not_written_so_are_a_dead_letter(kind: Any, payload: bytes, why: str) -> None:
    letter = read(record(field=kind), payload)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "undecodable"
    assert why in letter.detail


def test_a_record_without_fields_is_a_dead_letter() -> None:
    assert read("long", b"\x02") == DeadLetter("undecodable", "its schema is of int; expected a record with fields")


# --- as a source ------------------------------------------------------------------------------------------------------

SCHEMA = record(host="string", at=logical("long", "timestamp-millis"), user=["null", "string"], load="float")
VALUE = {"host": "a", "at": 1_795_000_000_123, "user": None, "load": 0.1}
PAYLOAD = avro(SCHEMA, VALUE)


def source(**settings: Any) -> Source:
    parsed = SourceSettings.model_validate({"topic": "t", "format": "avro", "key": "event.host", **settings})
    scope = Scope(defines={}, aggregates=False)
    return build_source("s", parsed, frozenset({"host"}), scope, {}, {"r.avsc": text(SCHEMA).decode()}.__getitem__)


def raw(value: bytes) -> Record:
    return Record("t", 0, 0, 1_795_000_000_200, None, value)


def registered(**settings: Any) -> Source:
    made = source(**settings)
    assert made.schemas is not None
    made.schemas.learn(7, Schema("AVRO", text(SCHEMA), {}))
    return made


def outcome(source: Source, value: bytes) -> tuple[Any, ...]:
    read = source.decode(raw(value))
    assert not isinstance(read, DeadLetter), read
    return read


def test_a_timestamp_is_an_event_time_as_it_is() -> None:
    key, time, _ = outcome(registered(time="event.at"), framed(7, PAYLOAD))
    assert (key, time) == ("a", 1_795_000_000_123)


WHOLE = {"host": "a", "at": "2026-11-18T11:06:40.123Z", "user": None, "load": 0.1}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, WHOLE),
        ({"show": ["load", "host"]}, {"load": 0.1, "host": "a"}),
        ({"derive": {"twice": "event.load * 2"}}, WHOLE),
        ({"derive": {"twice": "event.load * 2"}, "show": ["twice"]}, {"twice": 0.2}),
        ({"hide": "false"}, WHOLE),
    ],
)
def test_a_prompt_shows_all_fields_or_those_that_are_named(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    made = registered(**settings)
    _, _, event = outcome(made, framed(7, PAYLOAD))
    assert made.line is not None
    line = made.line(raw(PAYLOAD), event)
    assert line is not None
    assert orjson.loads(line) == expected


def test_a_hidden_event_has_no_line() -> None:
    made = registered(hide="event.host == 'a'")
    assert made.line is not None
    assert made.line(raw(PAYLOAD), outcome(made, framed(7, PAYLOAD))[2]) is None


def test_the_schema_of_a_file_reads_records_without_a_header() -> None:
    assert outcome(source(format={"avro": {"schema": "r.avsc"}}), PAYLOAD)[0] == "a"


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x07a", b"{}"])
def test_a_value_without_a_header_is_a_dead_letter(value: bytes) -> None:
    letter = registered().decode(raw(value))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "undecodable"


def test_what_the_registry_does_not_have_is_a_dead_letter_until_it_has() -> None:
    made = source()
    assert made.schemas is not None
    made.schemas.learn(8, unknown_schema(8))
    assert made.decode(raw(framed(8, PAYLOAD))) == DeadLetter("unknown_schema", "the registry has no schema 8")
    made.schemas.learn(8, Schema("AVRO", text(SCHEMA), {}))
    assert outcome(made, framed(8, PAYLOAD))[0] == "a"


def test_a_schema_of_another_type_is_a_dead_letter() -> None:
    made = source()
    assert made.schemas is not None
    made.schemas.learn(9, Schema("JSON", b"{}", {}))
    letter = made.decode(raw(framed(9, PAYLOAD)))
    assert letter == DeadLetter("schema", "schema 9 of the registry cannot be used: it is of type JSON; expected AVRO")


def test_which_schemas_records_name_is_read_off_their_headers() -> None:
    made = source()
    assert made.schemas is not None
    values = [framed(7, b"x"), framed(7, b"y"), framed(2**32 - 1, b""), b"\x01\x00\x00\x00\x02", b"\x00\x01", b"", None]
    assert made.schemas.named(values) == {7, 2**32 - 1}


def test_a_timestamp_with_utc_is_the_same_instant() -> None:
    schema = record(field=logical("long", "timestamp-millis"))
    moment = datetime.datetime(2026, 11, 20, 9, 14, 7, 123_000, tzinfo=UTC)
    assert read(schema, avro(schema, {"field": moment})) == {"field": "2026-11-20T09:14:07.123Z"}
