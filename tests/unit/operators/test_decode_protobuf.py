from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, empty_pb2
from tests.binary_records import CLASSES, PRESS, descriptor_set, framed, vibration

from penstock.operators.decode_protobuf import described_reader, registered_reader
from penstock.operators.expression import Scope
from penstock.operators.record import DeadLetter, Record
from penstock.operators.schemas import Schema, Unusable
from penstock.operators.source import SourceSettings, build_source

DEFAULTS = {
    "machine": "", "t_us": 0, "serial": 0, "rms": 0.0, "peak": 0.0, "on": False, "frame": "", "state": "UNKNOWN",
    "samples": [], "counts": {},
}  # fmt: skip
FIRST = b"\x00"


def read(message: Any) -> Any:
    return described_reader("press.v1.Vibration", descriptor_set())(message.SerializeToString())


def test_a_field_without_presence_has_its_default_and_any_other_is_missing() -> None:
    assert read(vibration()) == DEFAULTS


def test_an_optional_field_that_is_set_to_its_default_is_there() -> None:
    assert read(vibration(note="")) == DEFAULTS | {"note": ""}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"t_us": -(2**63)}, {"t_us": -(2**63)}),
        ({"serial": 2**64 - 1}, {"serial": 2**64 - 1}),
        ({"rms": 0.1}, {"rms": 0.1}),
        ({"rms": float("nan"), "peak": float("-inf")}, {"rms": None, "peak": None}),
        ({"frame": b"\x00\xff"}, {"frame": "AP8="}),
        ({"state": 1}, {"state": "RUNNING"}),
        ({"state": 99}, {"state": 99}),
        ({"at": {"seconds": -1, "nanos": 5_000_000}}, {"at": "1969-12-31T23:59:59.005Z"}),
        ({"at": {"seconds": 1, "nanos": 5_000}}, {"at": "1970-01-01T00:00:01.000005Z"}),
        ({"at": {"seconds": 1, "nanos": 5}}, {"at": "1970-01-01T00:00:01.000000005Z"}),
        ({"limit": {"value": 0}}, {"limit": 0}),
        ({"part": {"id": "p"}}, {"part": {"id": "p"}}),
        ({"part": {}}, {"part": {"id": ""}}),
        ({"samples": [0.1, 2]}, {"samples": [0.1, 2.0]}),
        ({"counts": {2: 20, 1: 10}}, {"counts": {"1": 10, "2": 20}}),
        ({"inner": {"on": True}}, {"inner": DEFAULTS | {"on": True}}),
    ],
)
def test_a_value_becomes_what_json_has_for_it(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = read(vibration(**fields))
    assert orjson.dumps(found, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        DEFAULTS | expected, option=orjson.OPT_SORT_KEYS
    )


def test_a_struct_is_json_itself() -> None:
    message = vibration()
    message.more.update({"b": [1, None, {"c": "x"}], "a": True})
    assert read(message)["more"] == {"a": True, "b": [1.0, None, {"c": "x"}]}


def test_fields_that_the_schema_does_not_know_are_left_out() -> None:
    notice = CLASSES["press.v1.Notice"](text="a")
    assert read(notice) == DEFAULTS | {"machine": "a"}


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff"])
def test_bytes_that_are_no_message_are_a_dead_letter(payload: bytes) -> None:
    letter: Any = described_reader("press.v1.Vibration", descriptor_set())(payload)
    assert letter.reason == "undecodable"


def test_a_message_that_is_nested_without_end_is_a_dead_letter() -> None:
    payload = b""
    for _ in range(120):
        payload = b"\x6a" + _length(len(payload)) + payload
    letter: Any = described_reader("press.v1.Vibration", descriptor_set())(payload)
    assert letter.reason == "undecodable"


def _length(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


@pytest.mark.parametrize(
    ("message", "content", "why"),
    [
        ("press.v1.Vibratoin", descriptor_set(), "no message 'press.v1.Vibratoin'"),
        ("press.v1.Vibration", b"\xff", "no FileDescriptorSet"),
        ("press.v1.Vibration", b"", "no message"),
    ],
)
def test_a_descriptor_without_the_message_is_refused(message: str, content: bytes, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        described_reader(message, content)


# --- with a registry --------------------------------------------------------------------------------------------------


def registered(payload: bytes, file: Any = PRESS, **references: bytes) -> Any:
    return registered_reader(Schema("PROTOBUF", file.SerializeToString(), references))(payload)


@pytest.mark.parametrize("header", [FIRST, b"\x02\x00"], ids=["short", "long"])
def test_the_first_message_of_a_file_has_a_short_index_and_a_long_one(header: bytes) -> None:
    assert registered(header + vibration(machine="a").SerializeToString())["machine"] == "a"


def test_other_messages_are_found_by_their_place() -> None:
    assert registered(b"\x02\x02" + CLASSES["press.v1.Notice"](text="x").SerializeToString()) == {"text": "x"}
    assert registered(b"\x04\x00\x02" + b"\x0a\x01p") == {"id": "p"}


@pytest.mark.parametrize("payload", [b"", b"\x02", b"\x02\x08", b"\x01", b"\x80", b"\x80" * 20, b"\x06\x00\x00\x00"])
def test_an_index_that_leads_nowhere_is_a_dead_letter(payload: bytes) -> None:
    assert registered(payload).reason == "undecodable"


def test_types_may_come_from_other_files_of_the_registry() -> None:
    common = descriptor_pb2.FileDescriptorProto(name="whatever", package="common", syntax="proto3")
    common.message_type.add(name="Host").field.add(name="name", number=1, type=9, label=1)
    using = descriptor_pb2.FileDescriptorProto(
        name="default", package="logs", syntax="proto3", dependency=["common.proto", "confluent/meta.proto"]
    )
    using.message_type.add(name="Line").field.add(name="host", number=1, type=11, label=1, type_name=".common.Host")
    payload = FIRST + b"\x0a\x03\x0a\x01a"
    assert registered(payload, using, **{"common.proto": common.SerializeToString()}) == {"host": {"name": "a"}}


def test_a_type_that_nobody_has_makes_the_schema_unusable() -> None:
    using = descriptor_pb2.FileDescriptorProto(name="default", syntax="proto3", dependency=["gone.proto"])
    using.message_type.add(name="Line").field.add(name="host", number=1, type=11, label=1, type_name=".gone.Host")
    with pytest.raises(Unusable, match="do not fit together"):
        registered(FIRST, using)


def test_what_is_no_descriptor_is_unusable() -> None:
    with pytest.raises(Unusable, match="FileDescriptorProto"):
        registered_reader(Schema("PROTOBUF", b'syntax = "proto3";', {}))


def test_a_source_reads_framed_messages_and_shows_them_as_json() -> None:
    settings = {"topic": "t", "format": "protobuf", "key": "event.machine", "time": {"at": "event.t_us", "unit": "us"}}
    source = build_source(
        "s", SourceSettings.model_validate({**settings, "show": ["rms", "note"]}), frozenset(), Scope()
    )
    assert source.schemas is not None
    source.schemas.learn(3, Schema("PROTOBUF", PRESS.SerializeToString(), {}))
    value = framed(3, FIRST + vibration(machine="m", t_us=1_795_000_000_123_456, rms=0.1).SerializeToString())
    raw = Record("t", 0, 0, 1_795_000_000_200, None, value)
    read = source.decode(raw)
    assert not isinstance(read, DeadLetter)
    assert read[:2] == ("m", 1_795_000_000_123)
    assert source.line is not None
    assert source.line(raw, read[2]) == b'{"rms":0.1}'


def test_a_source_reads_messages_of_one_type_with_a_descriptor() -> None:
    form = {"protobuf": {"descriptor": "press.desc", "message": "press.v1.Vibration"}}
    files = {"press.desc": b64encode(descriptor_set()).decode()}
    settings = SourceSettings.model_validate({"topic": "t", "format": form, "key": "event.machine"})
    source = build_source("s", settings, frozenset(), Scope(), {}, files.__getitem__)
    read = source.decode(Record("t", 0, 0, 5, None, vibration(machine="m").SerializeToString()))
    assert not isinstance(read, DeadLetter)
    assert read[:2] == ("m", 5)
    assert source.schemas is None


def test_an_empty_message_is_an_event_without_fields() -> None:
    file = descriptor_pb2.FileDescriptorProto()
    empty_pb2.DESCRIPTOR.CopyToProto(file)  # type: ignore[no-untyped-call, unused-ignore]
    assert registered(FIRST, file) == {}
