"""What formats share whose records are bytes for machines: fields by name become an event and a line that people can read.

A prompt cannot show such a record as it came. It shows the fields named by `show`, or else all of them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.operators.decode import Encode, Event, Format, Parse
from penstock.operators.expression import attribute_of
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Read, Schemas

EVERYTHING = "*"
"""The field of an event that holds all fields of its record; no field of a record can be called so."""
NESTING_MAX = 100
"""Levels of a schema, or of a record where the schema knows no end."""


def binary_format(read: Read, schemas: Schemas | None = None) -> Format:
    """`read` turns a value into its fields; it knows the schemas of a registry by `schemas`."""

    def parser(event_class: type[Event]) -> Parse:
        return _parser(read, event_class)

    return Format(parse=parser, shown=(EVERYTHING,), binary=True, schemas=schemas)


def everything() -> Encode:
    """JSON of all fields of the record."""
    attribute, encode = attribute_of(EVERYTHING), msgspec.json.Encoder().encode
    return lambda event: encode(getattr(event, attribute))


def _parser(read: Read, event_class: type[Event]) -> Parse:
    attributes = dict(zip(event_class.__struct_encode_fields__, event_class.__struct_fields__, strict=True))
    whole = attributes.pop(EVERYTHING, None)
    wanted = list(attributes.items())

    def parse(value: bytes) -> Event:
        found: Any = read(value)
        if type(found) is DeadLetter:
            return found
        event = event_class()
        for name, attribute in wanted:
            if name in found:
                setattr(event, attribute, found[name])
        if whole is not None:
            setattr(event, whole, found)
        return event

    return parse
