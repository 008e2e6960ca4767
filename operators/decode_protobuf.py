"""`format: protobuf`: messages with schemas in a registry; `{protobuf: {descriptor: FILE, message: NAME}}`: messages of one type.

    0x00 │ id │ how many, then indices (zigzag varints) │ message          with a registry; a single 0 is the first message
                                                          message          with a descriptor

The library is an extra (`penstock[protobuf]`), so nothing here imports it before a schema is at hand.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from pydantic import Field

from penstock.operators.decode import Format
from penstock.operators.decode_binary import binary_format
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Read, Schema, Schemas, Unusable
from penstock.operators.setting import BinaryFilePath, Settings, Text

MODULE = "google.protobuf"
"""What the extra brings."""
_VARINT_BYTES_MAX = 10
_INDICES_MAX = 100
_NO_INDEX = DeadLetter("undecodable", "behind the schema id there is no index of a message")


class ProtobufSettings(Settings):
    """Messages of one type, each without a header."""

    descriptor: BinaryFilePath = Field(
        description="A FileDescriptorSet, as protoc --include_imports --descriptor_set_out writes it.",
        examples=["press.desc"],
    )
    message: Text = Field(min_length=1, description="The type, with its package.", examples=["press.v1.Vibration"])


class ProtobufFormat(Settings):
    protobuf: ProtobufSettings


def build_registered() -> Format:
    schemas = Schemas("PROTOBUF")
    return binary_format(schemas.reader(registered_reader), schemas)


def build(message: str, descriptor: str) -> Format:
    """`descriptor` is the file's content as base64. Raises Unusable for one without the message."""
    return binary_format(described_reader(message, b64decode(descriptor)))


def described_reader(message: str, content: bytes) -> Read:
    """Raises Unusable."""
    from penstock.operators.protobuf_schema import Fields, loaded, parsed_set

    pool = loaded(parsed_set(content))
    try:
        found = pool.FindMessageTypeByName(message)
    except KeyError:
        raise Unusable(f"it has no message {message!r}") from None
    return _reader(found, Fields())


def registered_reader(schema: Schema) -> Read:
    """Raises Unusable."""
    from penstock.operators.protobuf_schema import Fields, loaded, message_at, parsed_file

    own = parsed_file(schema.content)
    others = [parsed_file(content, name) for name, content in schema.references.items()]
    file, fields = loaded([*others, own]).FindFileByName(own.name), Fields()
    readers: dict[tuple[int, ...], Read] = {}

    def read(payload: bytes) -> dict[str, Any] | DeadLetter:
        header = _indices(payload)
        if header is None:
            return _NO_INDEX
        path, begin = header
        if path not in readers:
            found = message_at(file, path)
            if found is None:
                return DeadLetter("undecodable", f"its schema has no message {'.'.join(map(str, path))}")
            readers[path] = _reader(found, fields)
        return readers[path](payload[begin:])

    return read


def _reader(descriptor: Any, fields: Callable[[Any], dict[str, Any]]) -> Read:
    from google.protobuf.message import DecodeError
    from google.protobuf.message_factory import GetMessageClass

    parse = GetMessageClass(descriptor).FromString

    def read(payload: bytes) -> dict[str, Any] | DeadLetter:
        try:
            return fields(parse(payload))
        except (DecodeError, ValueError) as problem:
            return DeadLetter("undecodable", f"expected a message {descriptor.full_name}: {problem}")

    return read


def _indices(payload: bytes) -> tuple[tuple[int, ...], int] | None:
    """Which message it is, and where it begins; None: the bytes end before, or make no sense."""
    count = _varint(payload, 0)
    if count is None or not 0 <= count[0] <= _INDICES_MAX:
        return None
    left, at = count
    path: list[int] = [] if left else [0]
    for _ in range(left):
        index = _varint(payload, at)
        if index is None:
            return None
        path.append(index[0])
        at = index[1]
    return tuple(path), at


def _varint(payload: bytes, at: int) -> tuple[int, int] | None:
    """A zigzag varint, and where it ends."""
    value = 0
    for place, byte in enumerate(payload[at : at + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + place + 1
    return None
