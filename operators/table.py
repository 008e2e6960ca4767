"""A table of the file: a compacted topic whose newest record per key can be looked up.

    raw ── value? ── decode ──▶ key, fields        a row
             └── none ────────────────────────▶    the row of the record's key is gone

It is read as a source is, only that it has no event time: nothing of it moves a watermark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from pydantic import Field, field_validator

from penstock.operators.decode_formats import REGISTERED, FormatSettings, ReadFile
from penstock.operators.decode_json import whole_object
from penstock.operators.decode_text import TextFormat
from penstock.operators.expression import Scope
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.setting import Settings, Text
from penstock.operators.source import KeyChoice, Source, SourceSettings, build_source

IDENTITY_CHARACTERS = 8


class TableSettings(Settings):
    """A compacted topic; expressions and templates look up its newest record per key: `tables.hosts[key].owner`."""

    topic: Text = Field(min_length=1, description="The compacted topic to read.", examples=["cmdb-hosts"])
    format: FormatSettings = Field(default="json", description="How the bytes of a record become fields.")
    key: KeyChoice | None = Field(
        default=None,
        description="What a row is looked up by: an expression, or a list for a composite key. Default: the record's key.",
        examples=["event.hostname"],
    )

    @field_validator("format")
    @classmethod
    def _reads_alone(cls, form: Any) -> Any:
        if form == "text" or isinstance(form, TextFormat):
            raise ValueError("a row has fields; write json, {csv: …}, {avro: …} or {protobuf: …}")
        if form in REGISTERED:
            raise ValueError(f"a table cannot ask a schema registry yet; write {{{form}: …}} with the schema in a file")
        return form

    @property
    def as_source(self) -> SourceSettings:
        """It is decoded and keyed as one. When a row was written is no matter of whether it can be read."""
        anywhen = {"time": {"at": "0", "unit": "ms"}, "watermark": {"ahead": "36500d"}}
        return SourceSettings.model_validate({"topic": self.topic, "format": self.format, "key": self.key, **anywhen})


@dataclass(frozen=True, slots=True)
class Table:
    """`identity` names its rows and positions in the log: its name and a digest of what decides about keys and fields."""

    name: str
    topic: str
    identity: str
    source: Source

    def read(self, raw: Raw) -> tuple[str, dict[str, Any]] | DeadLetter:
        """Key and fields of a record that has a value. Never raises for bad data."""
        found = self.source.decode(raw)
        if isinstance(found, DeadLetter):
            return found
        key, _, event = found
        line = raw.value if self.source.line is None else self.source.line(raw, event)
        return key, whole_object(line or b"{}")

    def input(self, partition: int) -> str:
        """What this partition of its topic is called among a task's inputs. No topic has a slash in its name."""
        return f"{self.identity}/{partition}"


def build_table(name: str, settings: TableSettings, scope: Scope, read_file: ReadFile) -> Table:
    """Raises ExpressionError for a key that is no expression."""
    plain = replace(scope, aggregates=False, tables=None)
    source = build_source(name, settings.as_source, frozenset(), plain, read_file=read_file)
    meaning = "\0".join([settings.topic, source.keying["key"], settings.model_dump_json(include={"format"})])
    return Table(name, settings.topic, f"{name}:{sha256(meaning.encode()).hexdigest()[:IDENTITY_CHARACTERS]}", source)


def by_identity(tables: Mapping[str, Table]) -> dict[str, Table]:
    return {table.identity: table for table in tables.values()}
