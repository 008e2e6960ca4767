"""Avro and protobuf: what the official libraries wrote is read as they read it; whatever else stands there is a dead letter."""

from __future__ import annotations

import math
from io import BytesIO
from struct import pack
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.binary_records import PRESS, avro, framed, text, vibration

from penstock.operators.decode import REASONS, render_line
from penstock.operators.decode_avro import reader
from penstock.operators.expression import Scope
from penstock.operators.plain_value import base64_text
from penstock.operators.record import DeadLetter, Record
from penstock.operators.schemas import Schema, Schemas, unknown_schema
from penstock.operators.source import Source, SourceSettings, build_source

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=20),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
}
Pair = tuple[Any, st.SearchStrategy[Any]]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """A schema and a strategy for its values. Names are new each time: no type may be defined twice."""
    count = iter(range(1_000))
    return draw(_pair(count, levels=3))


def _pair(count: Any, levels: int) -> st.SearchStrategy[Pair]:
    simple: st.SearchStrategy[Pair] = st.sampled_from(list(PRIMITIVES.items()))
    named = st.builds(lambda symbols: _enum(next(count), symbols), st.integers(1, 4)) | st.builds(
        lambda size: _fixed(next(count), size), st.integers(1, 9)
    )
    if not levels:
        return simple | named
    inner = _pair(count, levels - 1)
    heavy = inner.filter(lambda pair: pair[0] != "null" and not _is_empty(pair[0]))
    return (
        simple
        | named
        | heavy.map(lambda pair: ({"type": "array", "items": pair[0]}, st.lists(pair[1], max_size=4)))
        | inner.map(lambda pair: ({"type": "map", "values": pair[0]}, _texts_to(pair[1])))
        | heavy.filter(lambda pair: not isinstance(pair[0], list)).map(
            lambda pair: (["null", pair[0]], st.none() | pair[1])
        )
        | st.lists(inner, max_size=4).map(lambda each: _record(next(count), each))
    )


def _is_empty(schema: Any) -> bool:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return fields is not None and all(field["type"] == "null" or _is_empty(field["type"]) for field in fields)


def _texts_to(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(PRIMITIVES["string"], values, max_size=3)


def _enum(number: int, symbols: int) -> Pair:
    names = [f"S{each}" for each in range(symbols)]
    return {"type": "enum", "name": f"E{number}", "symbols": names}, st.sampled_from(names)


def _fixed(number: int, size: int) -> Pair:
    return {"type": "fixed", "name": f"F{number}", "size": size}, st.binary(min_size=size, max_size=size)


def _record(number: int, inner: list[Pair]) -> Pair:
    fields = [{"name": f"f{place}", "type": schema} for place, (schema, _) in enumerate(inner)]
    values = st.fixed_dictionaries({f"f{place}": value for place, (_, value) in enumerate(inner)})
    return {"type": "record", "name": f"R{number}", "fields": fields}, values


def as_json(value: Any) -> Any:
    """What fastavro read, in the words of docs/sources.md."""
    match value:
        case bytes():
            return base64_text(value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [as_json(item) for item in value]
        case dict():
            return {name: as_json(item) for name, item in value.items()}
        case _:
            return value


def same(found: Any, expected: Any) -> bool:
    """Equal; a float of 4 bytes may have been written shorter."""
    match found, expected:
        case float(), float():
            return found == expected or pack("<f", found) == pack("<f", expected)
        case list(), list():
            return len(found) == len(expected) and all(map(same, found, expected))
        case dict(), dict():
            return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in found)
        case _:
            return type(found) is type(expected) and bool(found == expected)


@st.composite
def written(draw: st.DrawFn) -> tuple[Any, bytes]:
    """A schema of a record, and a value of it as fastavro writes it."""
    schema, values = _record(1_000, draw(st.lists(pairs(), min_size=1, max_size=1)))
    return schema, avro(schema, draw(values))


@given(written())
def test_a_record_of_any_schema_is_read_as_fastavro_reads_it(each: tuple[Any, bytes]) -> None:
    schema, payload = each
    found = reader(Schema("AVRO", text(schema), {}))(payload)
    expected = fastavro.schemaless_reader(BytesIO(payload), fastavro.parse_schema(schema), None)
    assert same(found, as_json(expected)), (found, expected)
    orjson.loads(orjson.dumps(found))


@given(written(), st.data())
def test_a_record_that_lost_its_end_or_got_one_too_many_is_a_dead_letter(
    each: tuple[Any, bytes], data: st.DataObject
) -> None:
    schema, payload = each
    read = reader(Schema("AVRO", text(schema), {}))
    if payload:
        assert isinstance(read(payload[: data.draw(st.integers(0, len(payload) - 1))]), DeadLetter)
    assert isinstance(read(payload + data.draw(st.binary(min_size=1, max_size=3))), DeadLetter)


READING: Any = {
    "type": "record", "name": "Reading",
    "fields": [
        {"name": "a", "type": ["null", "string", "long"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "m", "type": {"type": "map", "values": {"type": "array", "items": "bytes"}}},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["UP", "DOWN"]}},
        {"name": "f", "type": "float"},
    ],
}  # fmt: skip


def source(form: str, schema: Schema) -> Source:
    settings = SourceSettings.model_validate({"topic": "t", "format": form, "key": "event.a", "time": "event.t"})
    made = build_source("s", settings, frozenset({"a"}), Scope(defines={}, aggregates=False))
    assert made.schemas is not None
    made.schemas.learn(1, schema)
    return made


SOURCES = {
    "avro": source("avro", Schema("AVRO", text(READING), {})),
    "protobuf": source("protobuf", Schema("PROTOBUF", PRESS.SerializeToString(), {})),
}
WRITTEN = {
    "avro": avro(READING, {"a": "x", "t": 5, "m": {"k": [b"1"]}, "d": b"\x01", "e": "UP", "f": 0.5}),
    "protobuf": b"\x00" + vibration(machine="x", at={"seconds": 1}, samples=[1], counts={1: 1}).SerializeToString(),
}


def damaged(payload: bytes) -> st.SearchStrategy[bytes]:
    """A part of it is something else."""
    places = st.integers(0, len(payload))
    return st.builds(lambda at, junk, to: payload[:at] + junk + payload[to:], places, st.binary(max_size=6), places)


@pytest.mark.parametrize("form", SOURCES)
@given(data=st.data(), schema_id=st.sampled_from([1, 1, 1, 2]))
def test_any_record_becomes_an_event_or_a_dead_letter(form: str, data: st.DataObject, schema_id: int) -> None:
    payload = data.draw(st.binary(max_size=60) | damaged(WRITTEN[form]))
    value = data.draw(st.just(framed(schema_id, payload)) | st.just(payload))
    each = SOURCES[form]
    _know_all(each.schemas, value)
    raw = Record("t", 0, 7, 1_795_000_000_000, None, value)
    outcome = each.decode(raw)
    if isinstance(outcome, DeadLetter):
        assert outcome.reason in REASONS
        assert outcome.detail
        return
    assert each.line is not None
    shown = each.line(raw, outcome[2])
    assert shown is not None
    orjson.loads(render_line(shown))


def _know_all(schemas: Schemas | None, value: bytes) -> None:
    assert schemas is not None
    for number in schemas.named([value]):
        if not schemas.knows(number):
            schemas.learn(number, unknown_schema(number))
