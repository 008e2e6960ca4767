"""Records as producers write them, by the official libraries; and a descriptor of protobuf made without a compiler."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClassesForFiles


def framed(schema_id: int, payload: bytes) -> bytes:
    """With the header of Confluent's serializers."""
    return b"\0" + schema_id.to_bytes(4, "big") + payload


def avro(schema: Any, value: Any) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), value)
    return file.getvalue()


def text(schema: Any) -> bytes:
    return json.dumps(schema).encode()


PRESS: Any = descriptor_pb2.FileDescriptorProto(
    name="press.proto",
    package="press.v1",
    syntax="proto3",
    dependency=["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto", "google/protobuf/struct.proto"],
)
"""Vibration { machine, t, rms, … } and, within it, Part { id }; State is its enum. Notice is the file's second message."""


def _field(message: Any, name: str, number: int, kind: int, **more: Any) -> None:
    label = more.pop("label", FieldDescriptorProto.LABEL_OPTIONAL)
    message.field.add(name=name, number=number, type=kind, label=label, **more)


def _fill() -> None:
    kinds, message = FieldDescriptorProto, PRESS.message_type.add(name="Vibration")
    PRESS.enum_type.add(name="State").value.add(name="UNKNOWN", number=0)
    PRESS.enum_type[0].value.add(name="RUNNING", number=1)
    for number, (name, kind) in enumerate(
        {
            "machine": kinds.TYPE_STRING, "t_us": kinds.TYPE_INT64, "serial": kinds.TYPE_UINT64, "rms": kinds.TYPE_FLOAT,
            "peak": kinds.TYPE_DOUBLE, "on": kinds.TYPE_BOOL, "frame": kinds.TYPE_BYTES,
        }.items(),
        start=1,
    ):  # fmt: skip
        _field(message, name, number, kind)
    _field(message, "state", 8, kinds.TYPE_ENUM, type_name=".press.v1.State")
    for number, (name, of) in enumerate(
        {
            "at": "google.protobuf.Timestamp", "limit": "google.protobuf.Int64Value", "more": "google.protobuf.Struct",
            "part": "press.v1.Vibration.Part", "inner": "press.v1.Vibration",
        }.items(),
        start=9,
    ):  # fmt: skip
        _field(message, name, number, kinds.TYPE_MESSAGE, type_name=f".{of}")
    message.oneof_decl.add(name="_note")
    _field(message, "note", 14, kinds.TYPE_STRING, oneof_index=0, proto3_optional=True)
    _field(message, "samples", 15, kinds.TYPE_FLOAT, label=kinds.LABEL_REPEATED)
    _field(
        message,
        "counts",
        16,
        kinds.TYPE_MESSAGE,
        label=kinds.LABEL_REPEATED,
        type_name=".press.v1.Vibration.CountsEntry",
    )
    entry = message.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    _field(entry, "key", 1, kinds.TYPE_INT32)
    _field(entry, "value", 2, kinds.TYPE_INT64)
    _field(message.nested_type.add(name="Part"), "id", 1, kinds.TYPE_STRING)
    _field(PRESS.message_type.add(name="Notice"), "text", 1, kinds.TYPE_STRING)


_fill()


def _classes() -> dict[str, Any]:
    import google.protobuf.descriptor_pool as pools
    from google.protobuf import struct_pb2, timestamp_pb2, wrappers_pb2

    pool: Any = DescriptorPool()
    for module in (timestamp_pb2, wrappers_pb2, struct_pb2):
        built_in = descriptor_pb2.FileDescriptorProto()
        pools.Default().FindFileByName(module.DESCRIPTOR.name).CopyToProto(built_in)
        pool.Add(built_in)
    pool.Add(PRESS)
    classes: dict[str, Any] = GetMessageClassesForFiles([PRESS.name], pool)
    return classes


CLASSES = _classes()
"""The message classes of PRESS by their full names."""


def vibration(**fields: Any) -> Any:
    return CLASSES["press.v1.Vibration"](**fields)


def descriptor_set() -> bytes:
    """As protoc without --include_imports writes it."""
    content: bytes = descriptor_pb2.FileDescriptorSet(file=[PRESS]).SerializeToString()
    return content
