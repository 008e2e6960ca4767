"""Schemas that a registry holds and records name by id: what of them is known, and how a record begins.

    0x00 │ id, 4 bytes, big-endian │ what the schema describes          the wire format of Confluent's serializers

An id never changes its meaning, so what is known is known for ever, and reading a record stays a function of its bytes.
Whoever feeds records asks the registry first: for what is `named` and nobody `knows`; `learn` takes the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.operators.record import DeadLetter

Kind = Literal["AVRO", "PROTOBUF"]
HEADER_BYTES = 5
UNKNOWN_SCHEMA = "unknown_schema"
_NO_HEADER = DeadLetter(
    "undecodable",
    "the value does not begin with a zero byte and a schema id of 4 bytes, as the registry's serializers write",
)


class Unusable(ValueError):
    """A schema that cannot be read with; the message says why."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`content` is Avro's JSON text, or a serialized FileDescriptorProto.

    `references` are the schemas that it builds upon, by the names that it has for them, each behind those that it needs itself.
    """

    kind: str
    content: bytes
    references: Mapping[str, bytes]


Read = Callable[[bytes], dict[str, Any] | DeadLetter]
"""Bytes without a header to fields. Never raises for bad data."""


class Schemas:
    """What one source knows about the schemas of its records."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._known: dict[int, Schema | DeadLetter] = {}

    @staticmethod
    def named(values: Iterable[bytes | None]) -> set[int]:
        """The ids that these values name."""
        heads = {value[1:HEADER_BYTES] for value in values if value and value[0] == 0 and len(value) >= HEADER_BYTES}
        return {int.from_bytes(head, "big") for head in heads}

    def knows(self, number: int) -> bool:
        return number in self._known

    def learn(self, number: int, schema: Schema | DeadLetter) -> None:
        """What the registry says of an id: its schema, or why records that name it cannot be read."""
        self._known[number] = schema

    def forget(self, number: int) -> None:
        """As if it had never been asked for. No record that names it may wait to be fed."""
        self._known.pop(number, None)

    def reader(self, make: Callable[[Schema], Read]) -> Read:
        """Reads values with their headers. `make` gives the reader of one schema, or raises Unusable."""
        readers: dict[int, Read] = {}

        def read(value: bytes) -> dict[str, Any] | DeadLetter:
            if len(value) < HEADER_BYTES or value[0] != 0:
                return _NO_HEADER
            number = int.from_bytes(value[1:HEADER_BYTES], "big")
            use = readers.get(number)
            if use is None:
                schema = self._known[number]  # a KeyError is a bug of whoever fed the record
                if isinstance(schema, DeadLetter):
                    return schema
                use = readers[number] = self._made(number, schema, make)
            return use(value[HEADER_BYTES:])

        return read

    def _made(self, number: int, schema: Schema, make: Callable[[Schema], Read]) -> Read:
        try:
            if schema.kind != self.kind:
                raise Unusable(f"it is of type {schema.kind}; expected {self.kind}")
            return make(schema)
        except Unusable as problem:
            letter = DeadLetter("schema", f"schema {number} of the registry cannot be used: {problem}")
            return lambda payload: letter


def unknown_schema(number: int) -> DeadLetter:
    return DeadLetter(UNKNOWN_SCHEMA, f"the registry has no schema {number}")
