"""Messages of protobuf from descriptors: the pool that knows their types, and their fields as JSON values.

Fields are called as in the .proto file. What has presence and is not set is missing: messages, members of a oneof, `optional`
fields, all single fields of proto2. Any other field has a value, if only its default. The library's own JSON mapping does not
do: it writes 64-bit integers as text and leaves defaults out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from penstock.operators.plain_value import base64_text, double, instant, key_text, shortest_float
from penstock.operators.schemas import Unusable

_BUILT_IN: Mapping[str, Any] = {
    module.DESCRIPTOR.name: module.DESCRIPTOR
    for module in (
        descriptor_pb2, source_context_pb2, any_pb2, type_pb2, api_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2,
        timestamp_pb2, wrappers_pb2,
    )
}  # fmt: skip
"""Files that every compiler knows, so that no registry holds them and few descriptor sets do."""
_NANOS = 10**9

Convert = Callable[[Any], Any]


def parsed_file(content: bytes, name: str = "") -> Any:
    """A serialized FileDescriptorProto. `name` is what others import it as. Raises Unusable."""
    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(content)
    except DecodeError as problem:
        raise Unusable(f"it is no serialized FileDescriptorProto: {problem}") from None
    file.name = name or file.name or "record.proto"
    return file


def parsed_set(content: bytes) -> list[Any]:
    """The files of a serialized FileDescriptorSet. Raises Unusable."""
    try:
        return list(descriptor_pb2.FileDescriptorSet.FromString(content).file)
    except DecodeError as problem:
        raise Unusable(f"it is no FileDescriptorSet: {problem}; write it with protoc --descriptor_set_out") from None


def loaded(files: Iterable[Any]) -> DescriptorPool:
    """A pool with these files and what they build upon. Raises Unusable."""
    pool, known = DescriptorPool(), {file.name: file for file in files}
    try:
        for file in list(known.values()):
            _load(file, known, pool, set())
    except (TypeError, ValueError) as problem:
        raise Unusable(f"its types do not fit together: {problem}") from None
    return pool


def _load(file: Any, known: Mapping[str, Any], pool: DescriptorPool, done: set[str]) -> None:
    """What a file imports comes first. An import that nobody has holds options only, or a type whose absence is told."""
    if file.name in done or _has(pool, file.name):
        return
    done.add(file.name)
    for name in file.dependency:
        if name in known or name in _BUILT_IN:
            _load(known.get(name) or _built_in(name), known, pool, done)
    pool.Add(_without_missing(file, pool))  # type: ignore[no-untyped-call, unused-ignore]


def _has(pool: DescriptorPool, name: str) -> bool:
    try:
        pool.FindFileByName(name)
    except KeyError:
        return False
    return True


def _built_in(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    _BUILT_IN[name].CopyToProto(file)
    return file


def _without_missing(file: Any, pool: DescriptorPool) -> Any:
    kept = [name for name in file.dependency if _has(pool, name)]
    if len(kept) == len(file.dependency):
        return file
    public = [kept.index(file.dependency[at]) for at in file.public_dependency if file.dependency[at] in kept]
    lean = descriptor_pb2.FileDescriptorProto()
    lean.CopyFrom(file)
    for field in ("dependency", "public_dependency", "weak_dependency"):
        lean.ClearField(field)
    lean.dependency.extend(kept)
    lean.public_dependency.extend(public)
    return lean


def message_at(file: FileDescriptor, path: Iterable[int]) -> Descriptor | None:
    """The message at these indices: of the file's messages, then of those within. None: there is none."""
    parts: list[Descriptor] = list(file.message_types_by_name.values())
    found: Descriptor | None = None
    for index in path:
        if not 0 <= index < len(parts):
            return None
        found = parts[index]
        parts = list(found.nested_types)
    return found


class Fields:
    """Turns messages into maps of JSON values. One for all messages of a pool."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[str, bool, Convert]]] = {}

    def __call__(self, message: Any) -> dict[str, Any]:
        """As deep as the message is, which the library bounds at 100 levels."""
        descriptor = message.DESCRIPTOR
        known = self._of.get(descriptor.full_name)
        if known is None:
            known = [(field.name, field.has_presence, self._convert(field)) for field in descriptor.fields]
            self._of[descriptor.full_name] = known
        return {
            name: convert(getattr(message, name))
            for name, has_presence, convert in known
            if not has_presence or message.HasField(name)
        }

    def _convert(self, field: FieldDescriptor) -> Convert:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            value = self._single(inner.fields_by_name["value"])
            return lambda found: {key_text(key): value(found[key]) for key in sorted(found)}
        single = self._single(field)
        return (lambda found: [single(item) for item in found]) if field.is_repeated else single

    def _single(self, field: FieldDescriptor) -> Convert:
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE | FieldDescriptor.TYPE_GROUP:
                return self._message(field.message_type.full_name)
            case FieldDescriptor.TYPE_ENUM:
                names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
                return lambda number: names.get(number, number)
            case FieldDescriptor.TYPE_BYTES:
                return base64_text
            case FieldDescriptor.TYPE_FLOAT:
                return shortest_float
            case FieldDescriptor.TYPE_DOUBLE:
                return double
            case _:
                return lambda value: value

    def _message(self, name: str) -> Convert:
        match name:
            case "google.protobuf.Timestamp":
                return _instant
            case "google.protobuf.Duration":
                return lambda message: message.seconds + message.nanos / _NANOS if message.nanos else message.seconds
            case "google.protobuf.Struct":
                return lambda message: {key: self._value(message.fields[key]) for key in sorted(message.fields)}
            case "google.protobuf.ListValue":
                return lambda message: [self._value(value) for value in message.values]
            case "google.protobuf.Value":
                return self._value
            case _:
                return self._wrapped if name in _WRAPPERS else self

    def _wrapped(self, message: Any) -> Any:
        """`value` of google.protobuf.Int64Value and its like."""
        return self._single(message.DESCRIPTOR.fields_by_name["value"])(message.value)

    def _value(self, message: Any) -> Any:
        """google.protobuf.Value is JSON itself."""
        kind = message.WhichOneof("kind")
        match kind:
            case None | "null_value":
                return None
            case "struct_value" | "list_value":
                inner = getattr(message, kind)
                return self._message(inner.DESCRIPTOR.full_name)(inner)
            case _:
                return double(message.number_value) if kind == "number_value" else getattr(message, kind)


_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


def _instant(message: Any) -> str | int:
    """With as many digits as it needs: 3, 6 or 9."""
    nanos = message.nanos
    digits = 3 if nanos % 1_000_000 == 0 else 6 if nanos % 1_000 == 0 else 9
    return instant((message.seconds * _NANOS + nanos) // 10 ** (9 - digits), digits, "Z")
