"""`format: {csv: {columns: […]}}`: one row of comma-separated values per record (RFC 4180). Cells are text.

The names are declared, because a record is a single row: there is no first record that could hold them. An empty cell is
missing; numbers are made by `derive`.
"""

from __future__ import annotations

import csv
from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.operators.decode import Event, Format, Parse, each_once, not_utf8
from penstock.operators.expression import attribute_of
from penstock.operators.record import DeadLetter
from penstock.operators.setting import Settings, Text


def _can_delimit(delimiter: str) -> str:
    if delimiter in '"\r\n':
        raise ValueError(f"{delimiter!r} cannot separate cells; write one character such as ',' ';' or '\\t'")
    return delimiter


class CsvSettings(Settings):
    """Rows of comma-separated values."""

    columns: Annotated[tuple[Text, ...], AfterValidator(each_once)] = Field(
        min_length=1, description="Names of the columns, in order.", examples=[["timestamp", "value"]]
    )
    delimiter: Annotated[Text, AfterValidator(_can_delimit)] = Field(
        default=",", min_length=1, max_length=1, description="What separates the cells: one character."
    )


class CsvFormat(Settings):
    csv: CsvSettings


def build(settings: CsvSettings) -> Format:
    def parser(event_class: type[Event]) -> Parse:
        return _parser(settings, event_class)

    return Format(parse=parser, shown=settings.columns)


def _parser(settings: CsvSettings, event_class: type[Event]) -> Parse:
    wanted = set(event_class.__struct_fields__)
    attributes = [attribute_of(name) for name in settings.columns]
    used = [(index, attribute) for index, attribute in enumerate(attributes) if attribute in wanted]
    width, delimiter = len(settings.columns), settings.delimiter

    def parse(value: bytes) -> Event:
        try:
            cells = _cells(str(value, "utf-8").rstrip("\r\n"), delimiter)
        except UnicodeDecodeError as problem:
            return not_utf8(problem)
        except csv.Error as problem:
            return DeadLetter("undecodable", f"expected one row of comma-separated values: {problem}")
        if len(cells) != width:
            return _wrong_width(cells, width)
        event = event_class()
        for index, attribute in used:
            if cell := cells[index]:
                setattr(event, attribute, cell)
        return event

    return parse


def _cells(row: str, delimiter: str) -> list[str]:
    """The cells of a row without its line end; none of an empty row. Raises csv.Error."""
    if '"' in row:
        return next(csv.reader([row], delimiter=delimiter, strict=True))
    if "\n" in row or "\r" in row:
        raise csv.Error("a line end outside quotes; a record holds one row")
    return row.split(delimiter) if row else []


def _wrong_width(cells: list[str], width: int) -> DeadLetter:
    if not cells:
        return DeadLetter("empty", f"the value is empty; expected a row of {width} cells")
    return DeadLetter("columns", f"the row has {len(cells)} cells; `columns` names {width}")
