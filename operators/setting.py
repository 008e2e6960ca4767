"""What every part of the file is made of: strict settings with descriptions, from which schema, lint and docs follow.

A field that holds an expression, a template or a duration says so by its type. The loader needs no table of such fields.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
)

from penstock.operators.unit import duration_text, length_ms, share, size_bytes


class Settings(BaseModel):
    """Unknown fields are refused; values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


class ExpressionMark:
    """Marks a field as a CEL expression. `condition`: must come out as true or false, `number`: as a number; `aggregates`: spans
    may be used; `of`: what it looks at."""

    def __init__(
        self,
        *,
        condition: bool = True,
        number: bool = False,
        aggregates: bool = False,
        of: Literal["event", "result", "outcome"] = "event",
    ) -> None:
        self.condition, self.number, self.aggregates, self.of = condition, number, aggregates, of


class TemplateMark:
    """Marks a field as a sandboxed Jinja template, rendered once per run."""


class FileMark:
    """Marks a field as the path of a file that is read at load. `binary`: it is kept as base64 text."""

    def __init__(self, *, binary: bool = False) -> None:
        self.binary = binary


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        found = str(value).lower() if isinstance(value, bool) else value
        raise ValueError(f"expected text, found {found}; put it in quotes if it is meant as text")
    return value


Text = Annotated[str, BeforeValidator(_text)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        nearest = get_close_matches(name, available_timezones(), n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "; write a name such as Europe/Berlin"
        raise ValueError(f"{name!r} is not a time zone of the IANA database{hint}") from None
    return name


Zone = Annotated[Text, AfterValidator(_known_zone)]
"""A name of the IANA database."""


def text_or_list(value: Any) -> str | None:
    """Tells the two apart."""
    return "<text>" if isinstance(value, str) else "<list>" if isinstance(value, list | tuple) else None


TextOrTexts = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[tuple[Text, ...], Field(min_length=1), Tag("<list>")],
    Discriminator(text_or_list, custom_error_type="names", custom_error_message="expected a name or a list of names"),
]
TABLE_PREFIX = "tables."


def _table_name(text: str) -> str:
    if not text.startswith(TABLE_PREFIX):
        raise ValueError(f"{text!r} is no table; write tables.<name>, such as tables.hosts")
    return text


TableName = Annotated[Text, AfterValidator(_table_name)]
"""A table of the file, as expressions call it."""
Condition = Annotated[str, ExpressionMark(), Field(min_length=1, max_length=4096)]
"""A condition over one event, without history."""
SpanCondition = Annotated[str, ExpressionMark(aggregates=True), Field(min_length=1, max_length=4096)]
"""A condition that may look back over spans: `count(event.failed, 60s) >= 20`."""
Value = Annotated[str, ExpressionMark(condition=False), Field(min_length=1, max_length=4096)]
"""An expression over one event whose value is used."""
Number = Annotated[str, ExpressionMark(condition=False, number=True), Field(min_length=1, max_length=4096)]
"""An expression over one event that gives a number."""
AnyExpression = Annotated[str, ExpressionMark(condition=False, aggregates=True), Field(min_length=1, max_length=4096)]
ResultCondition = Annotated[str, ExpressionMark(of="result"), Field(min_length=1, max_length=4096)]
"""A condition over one result record: `state == "final"`."""
OutcomeCondition = Annotated[str, ExpressionMark(of="outcome"), Field(min_length=1, max_length=4096)]
"""A condition over the answer of a run: `answer.verdict == "attack"`."""
Template = Annotated[str, TemplateMark()]
FilePath = Annotated[Text, FileMark(), Field(min_length=1)]
"""A file of text, relative to the pipeline's."""
BinaryFilePath = Annotated[Text, FileMark(binary=True), Field(min_length=1)]
"""A file of bytes, relative to the pipeline's."""


def _parsed(parse: Any, example: str) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} has no unit; write it with one, such as {example}")
        return parse(value)

    return BeforeValidator(read)


Duration = Annotated[
    int, _parsed(length_ms, "90s"), PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w))+$", "examples": ["90s", "1h30m"]}),
]  # fmt: skip
"""Milliseconds; written with a unit."""
Wait = Annotated[
    int, Field(gt=0), _parsed(length_ms, "90s"), PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w))+$", "examples": ["90s", "1h30m"]}),
]  # fmt: skip
"""A duration of more than nothing."""
Size = Annotated[
    int, _parsed(size_bytes, "512KiB"), WithJsonSchema({"type": "string", "pattern": r"^\d+(B|KB|MB|GB|KiB|MiB|GiB)$"}),
]  # fmt: skip
"""Bytes; written with a unit."""
Share = Annotated[float, _parsed(share, "25%"), WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?%$"})]
"""A fraction in (0, 1]; written as a percentage."""
