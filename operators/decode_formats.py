"""The table of formats: what the file may say under `format:`, and what builds the decoder of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, assert_never

from pydantic import Discriminator, Tag

from penstock.operators import decode_avro, decode_csv, decode_json, decode_protobuf, decode_text
from penstock.operators.decode import Format
from penstock.operators.decode_avro import AvroFormat
from penstock.operators.decode_csv import CsvFormat
from penstock.operators.decode_protobuf import ProtobufFormat
from penstock.operators.decode_text import TextFormat

Word = Literal["json", "text", "avro", "protobuf"]
REGISTERED = ("avro", "protobuf")
"""Words whose records name schemas of a registry."""
_EXPECTED = (
    "expected json, text, avro, protobuf, {csv: {columns: [...]}}, {text: [patterns]}, {avro: {schema: FILE}} "
    "or {protobuf: {descriptor: FILE, message: NAME}}"
)


def _which(value: Any) -> str | None:
    match value:
        case "json" | "text" | "avro" | "protobuf":
            return "<word>"
        case CsvFormat() | {"csv": _}:
            return "<csv>"
        case TextFormat() | {"text": _}:
            return "<text>"
        case AvroFormat() | {"avro": _}:
            return "<avro>"
        case ProtobufFormat() | {"protobuf": _}:
            return "<protobuf>"
        case _:
            return None


FormatSettings = Annotated[
    Annotated[Word, Tag("<word>")]
    | Annotated[CsvFormat, Tag("<csv>")]
    | Annotated[TextFormat, Tag("<text>")]
    | Annotated[AvroFormat, Tag("<avro>")]
    | Annotated[ProtobufFormat, Tag("<protobuf>")],
    Discriminator(_which, custom_error_type="format", custom_error_message=_EXPECTED),
]
ReadFile = Callable[[str], str]
"""Path to content; bytes come as base64."""


def build_format(settings: Word | CsvFormat | TextFormat | AvroFormat | ProtobufFormat, read_file: ReadFile) -> Format:
    """Raises schemas.Unusable for a schema file with which no record can be read."""
    match settings:
        case "json":
            return decode_json.build()
        case "text":
            return decode_text.build(())
        case "avro":
            return decode_avro.build_registered()
        case "protobuf":
            return decode_protobuf.build_registered()
        case CsvFormat():
            return decode_csv.build(settings.csv)
        case TextFormat():
            return decode_text.build(settings.text)
        case AvroFormat():
            return decode_avro.build(read_file(settings.avro.schema_file))
        case ProtobufFormat():
            return decode_protobuf.build(settings.protobuf.message, read_file(settings.protobuf.descriptor))
        case _:
            assert_never(settings)
