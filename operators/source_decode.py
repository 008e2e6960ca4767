"""From a record, or many, to events with key and time: what a source's settings were compiled to, put together.

raw ── parse ──▶ event ── derive ──▶ key ──▶ time ──▶ (key, time, event)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter

from penstock.operators.decode import VALUE_BYTES_MAX, Event, Format, Parse, ParseAll, Read, refused
from penstock.operators.expression import UNKNOWN, Unknown
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source_key import SURELY_SHORT, KeyOf, Look
from penstock.operators.source_time import TimeOf
from penstock.operators.timestamp import LATEST_MS

AT_ONCE = 64
"""So many records are decoded before the first of them is fed: few enough that what they become still lies in the cache."""

Decode = Callable[[Raw], Read | DeadLetter]
DecodeAll = Callable[[Sequence[Raw]], Iterator[Read | DeadLetter]]
Placed = Callable[[Raw, Event], Read | DeadLetter]
"""A parsed event with its key and time, or why it has none."""


def placing(key_of: KeyOf, time_of: TimeOf) -> Placed:
    """It never asks `isinstance(…, DeadLetter)`: for a class with a metaclass that takes 0.1 µs, twice per record."""

    def place(raw: Raw, event: Event) -> Read | DeadLetter:
        key = key_of(raw, event)
        if not isinstance(key, str):
            return key
        time = time_of(raw, event)
        if not isinstance(time, int):
            return time
        return key, time, event

    return place


def decoders(parse: Parse, derived: Sequence[tuple[str, Look]], place: Placed) -> tuple[Decode, DecodeAll]:
    """For one record, and for many."""

    def decode(raw: Raw) -> Read | DeadLetter:
        value = raw.value
        if value is None or len(value) > VALUE_BYTES_MAX:
            return refused(value)
        event = parse(value)
        if type(event) is DeadLetter:
            return event
        for attribute, look in derived:
            found = look(raw, event)
            setattr(event, attribute, UNKNOWN if isinstance(found, Unknown) else found)
        return place(raw, event)

    return decode, partial(map, decode)


def plain_decoders(
    form: Format, events: type[Event], fields: tuple[str, str], ahead: int, otherwise: Placed
) -> tuple[Decode, DecodeAll]:
    """Two fields are key and time. An event of which they are not plainly right goes to `otherwise`, which knows why."""
    decode = _plain_decoder(form.parse(events), fields, ahead, otherwise)
    if form.parse_all is None:
        return decode, partial(map, decode)
    return decode, _plain_decoder_of_all(form.parse_all(events), fields, ahead, otherwise, decode)


def _plain_decoder(parse: Parse, fields: tuple[str, str], ahead: int, otherwise: Placed) -> Decode:
    look = attrgetter(*fields)

    def decode(raw: Raw) -> Read | DeadLetter:
        value = raw.value
        if value is None or len(value) > VALUE_BYTES_MAX:
            return refused(value)
        event = parse(value)
        if type(event) is DeadLetter:
            return event
        key, time = look(event)
        if type(key) is not str or len(key) > SURELY_SHORT or type(time) is not int:
            return otherwise(raw, event)
        return (key, time, event) if 0 <= time <= raw.timestamp + ahead and time <= LATEST_MS else otherwise(raw, event)

    return decode


def _plain_decoder_of_all(
    parse_all: ParseAll, fields: tuple[str, str], ahead: int, otherwise: Placed, decode: Decode
) -> DecodeAll:
    """As `decode`, with fewer calls per record."""
    look = attrgetter(*fields)

    def decode_some(records: Sequence[Raw]) -> Iterable[Read | DeadLetter]:
        events = parse_all([raw.value or b"" for raw in records])
        if events is None:
            return map(decode, records)
        return [
            (key, time, event)
            if type(key) is str
            and len(key) <= SURELY_SHORT
            and type(time) is int
            and 0 <= time <= LATEST_MS
            and time <= raw.timestamp + ahead
            else otherwise(raw, event)
            for raw, event, (key, time) in zip(records, events, map(look, events), strict=True)
        ]

    return lambda records: chain.from_iterable(
        decode_some(records[at : at + AT_ONCE]) for at in range(0, len(records), AT_ONCE)
    )
