"""`format: avro`: records with schemas in a registry; `format: {avro: {schema: FILE}}`: records of one schema, without a header.

Read with the schema that wrote them. What the values of a record become is in docs/sources.md. The library is an extra
(`penstock[avro]`), so nothing here imports it before a schema is at hand.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydantic import Field

from penstock.operators.decode import Format
from penstock.operators.decode_binary import binary_format
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Read, Schema, Schemas
from penstock.operators.setting import FilePath, Settings

MODULE = "fastavro"
"""What the extra brings."""


class AvroSettings(Settings):
    """Records of one schema, each without a header."""

    schema_file: FilePath = Field(
        alias="schema", description="The schema, as JSON; relative to the pipeline's file.", examples=["reading.avsc"]
    )


class AvroFormat(Settings):
    avro: AvroSettings


def build_registered() -> Format:
    schemas = Schemas("AVRO")
    return binary_format(schemas.reader(reader), schemas)


def build(text: str) -> Format:
    """Raises Unusable for a text that is no schema, or one that cannot be read with."""
    return binary_format(reader(Schema("AVRO", text.encode(), {})))


def reader(schema: Schema) -> Read:
    """Raises Unusable."""
    import fastavro

    from penstock.operators.avro_schema import VALUE, readable

    ready, read_one = readable(schema), fastavro.schemaless_reader

    def read(payload: bytes) -> dict[str, Any] | DeadLetter:
        file = BytesIO(payload)
        try:
            found = read_one(file, ready, None)[VALUE]  # type: ignore[call-overload, index]  # it is a record
        except Exception as problem:  # noqa: BLE001 - whatever the library meets in bytes that were not written so
            return DeadLetter("undecodable", f"expected Avro of its schema: {type(problem).__name__}: {problem}")
        if left := len(payload) - file.tell():
            return DeadLetter("undecodable", f"{left} bytes are left over behind what its schema describes")
        if not isinstance(found, dict):
            return DeadLetter("undecodable", f"its schema is of {type(found).__name__}; expected a record with fields")
        return found

    return read
