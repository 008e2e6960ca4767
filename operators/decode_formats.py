"""The table of formats: what the file may say under `format:`, and what builds the decoder of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, assert_never

from pydantic import Discriminator, Tag

from penstock.operators import decode_csv, decode_json, decode_text
from penstock.operators.decode import Format
from penstock.operators.decode_csv import CsvFormat
from penstock.operators.decode_text import TextFormat

_EXPECTED = "expected json, text, {csv: {columns: [...]}} or {text: [patterns]}; avro and protobuf come with 0.3"


def _which(value: Any) -> str | None:
    match value:
        case "json" | "text":
            return "<word>"
        case CsvFormat() | {"csv": _}:
            return "<csv>"
        case TextFormat() | {"text": _}:
            return "<text>"
        case _:
            return None


FormatSettings = Annotated[
    Annotated[Literal["json", "text"], Tag("<word>")]
    | Annotated[CsvFormat, Tag("<csv>")]
    | Annotated[TextFormat, Tag("<text>")],
    Discriminator(_which, custom_error_type="format", custom_error_message=_EXPECTED),
]


def build_format(settings: Literal["json", "text"] | CsvFormat | TextFormat) -> Format:
    match settings:
        case "json":
            return decode_json.build()
        case "text":
            return decode_text.build(())
        case CsvFormat():
            return decode_csv.build(settings.csv)
        case TextFormat():
            return decode_text.build(settings.text)
        case _:
            assert_never(settings)
