"""From the bytes of a record to an event: what every format shares. The formats are in `decode_<format>.py`.

    raw.value ── parse ──▶ event ── derive ──▶ key, time ──▶ Read
                   └──────────────────┴────────────┴───────▶ DeadLetter(reason, detail)

An event is an object with one attribute per field that the pipeline uses, UNKNOWN where the record has none. Bad data is a
value, never an exception: whatever bytes stand in a topic, the stream goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import orjson

from penstock.operators.canonical import canonical_json as canonical_json  # exported: most know it from here
from penstock.operators.expression import UNKNOWN, attribute_of
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Schemas

VALUE_BYTES_MAX = 1 << 20
"""A larger record is a dead letter: one of them could fill a prompt many times over."""

REASONS: Mapping[str, str] = {
    "tombstone": "The record has no value.",
    "empty": "The value is empty where a JSON object or a CSV row should be.",
    "too_large": "The value is larger than 1 MiB.",
    "not_utf8": "The value is not UTF-8 text.",
    "undecodable": "The value is not what `format` says.",
    "unknown_schema": "The schema registry has no schema with the id that the value names.",
    "schema": "The schema that the value names cannot be used: of another type, damaged, or with a type that holds itself.",
    "columns": "The CSV row has another number of cells than `columns` names.",
    "keyless": "The key is missing or null.",
    "key_not_utf8": "The record's key is not UTF-8 text.",
    "key_too_large": "The key is longer than 32 KiB.",
    "time": "The event time is missing or cannot be read as `time` says.",
    "ahead": "The event time lies further after the record's timestamp than `watermark.ahead` allows.",
    "poison": "Taking it in alone ended the process twice.",
}
"""Every reason why a record becomes a dead letter before a trigger sees it."""

Event = Any
"""An instance of the pipeline's event class (`event_class`)."""

Read = tuple[str, int, Event]
"""Key, event time in ms since the epoch, event."""

Parse = Callable[[bytes], Event]
"""A value of at most VALUE_BYTES_MAX to an event or a DeadLetter. Never raises for bad data."""

ParseAll = Callable[[Sequence[bytes]], list[Event] | None]
"""Many values at once; None where one of them, which may be empty or of any size, takes a closer look, as `Parse` has."""

Encode = Callable[[Event], bytes]


class Format(NamedTuple):
    """One format, set up for one source."""

    parse: Callable[[type[Event]], Parse]
    """Given the event class, which holds the fields that are used and no others."""
    shown: tuple[str, ...] | None
    """The fields that a prompt shows by default; None: the bytes as they came."""
    parse_all: Callable[[type[Event]], ParseAll] | None = None
    """The same of many values, where that is quicker."""
    binary: bool = False
    """Its records are no lines of text: no recording of lines holds them."""
    schemas: Schemas | None = None
    """What is known of the registry's schemas, where records name them by id."""


def event_class(fields: Iterable[str], value_type: Any = Any) -> type[Event]:
    """The class of a source's events. `value_type` is what a decoder of msgspec accepts as the value of a field.

    `gc=False` is safe because a decoded JSON value cannot hold a cycle, and spares the collector every event kept.
    """
    names = sorted(set(fields))
    return msgspec.defstruct(
        "Event",
        [(attribute_of(name), value_type, UNKNOWN) for name in names],
        rename={attribute_of(name): name for name in names},
        gc=False,
    )


def encoder(fields: Sequence[str]) -> Encode:
    """Canonical JSON of these fields in this order; missing ones are left out."""
    line_class = msgspec.defstruct(
        "Line",
        [(attribute_of(name), Any, UNKNOWN) for name in fields],
        rename={attribute_of(name): name for name in fields},
        omit_defaults=True,
        gc=False,
    )
    pick, encode = _picker(fields), msgspec.json.Encoder().encode

    def line(event: Event) -> bytes:
        return encode(line_class(*pick(event)))

    return line


def _picker(fields: Sequence[str]) -> Callable[[Event], tuple[Any, ...]]:
    if len(fields) == 1:
        only = attrgetter(attribute_of(fields[0]))
        return lambda event: (only(event),)
    return attrgetter(*map(attribute_of, fields))


def render_line(line: bytes) -> bytes:
    """A stored line as the prompt shows it: one line of JSON without white space, whatever the producer wrote.

    What is no JSON becomes a JSON string of itself. The classic mistake is to join raw lines: a producer that writes
    indented JSON would break one event into twenty lines.
    """
    try:
        return orjson.dumps(orjson.loads(line))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return orjson.dumps(line.decode("utf-8", "replace"))


def each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a list of names that holds one twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands twice; name every field once")
    return names


def excerpt(value: Any) -> str:
    """A value as a sentence may quote it: never more than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def refused(value: bytes | None) -> DeadLetter:
    """The dead letter of a value that no format reads: none at all, or one beyond VALUE_BYTES_MAX."""
    if value is None:
        return DeadLetter("tombstone", "the record has no value; a source expects one event per record")
    return DeadLetter("too_large", f"the value has {len(value)} bytes; at most {VALUE_BYTES_MAX} are read")


def not_utf8(problem: UnicodeDecodeError) -> DeadLetter:
    return DeadLetter("not_utf8", f"the value is not UTF-8 text: {problem.reason} at byte {problem.start}")
