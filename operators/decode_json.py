"""`format: json`: one JSON object per record. Only the fields that the pipeline uses are decoded, the rest is skipped.

What the standard leaves open is decided here. Of two fields with one name the last counts. `NaN` and `Infinity` are not
JSON. Integers are exact within 64 bits, signed or not; larger ones are read as the nearest double, because no log could
save them. A document nested deeper than NESTING_MAX is undecodable: without a limit of our own the outcome would depend on
how deep the interpreter's stack happens to be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any

import msgspec

from penstock.operators.decode import Event, Format, Parse, ParseAll, event_class, not_utf8
from penstock.operators.record import DeadLetter

NESTING_MAX = 200
USUAL_BYTES_MAX = 4096
"""What it takes to read a longer value is not spent on calls."""

_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BESIDES_BRACKETS = bytes(set(range(256)) - set(_STEP))


def build() -> Format:
    return Format(parse=_parser, shown=None, parse_all=_parser_of_all)


def _usual(levels: int) -> Any:
    """The type of values nested at most so deep, with integers of 64 bits at most (as far as msgspec can bound them)."""
    scalar = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float | str | bool | None
    if not levels:
        return scalar
    inner = _usual(levels - 1)
    return scalar | list[inner] | dict[str, inner]  # type: ignore[valid-type]  # a type made at run time


@lru_cache(maxsize=100)
def _usual_decoder(fields: tuple[str, ...]) -> Callable[[bytes], Event]:
    """Types let msgspec find for nothing what is unusual. To make such a decoder takes milliseconds."""
    return msgspec.json.Decoder(event_class(fields, _usual(levels=5))).decode


def _parser(events: type[Event]) -> Parse:
    """Only what is unusual is looked at field by field."""
    decode_usual = _usual_decoder(events.__struct_encode_fields__)
    decode_any = msgspec.json.Decoder(events).decode

    def parse(value: bytes) -> Event:
        try:
            if not value.isascii():
                str(value, "utf-8")  # msgspec does not look into what it skips, and the prompt shows all of it
            try:
                event = decode_usual(value)
            except msgspec.ValidationError:
                event = _within_doubles(decode_any(value))
        except UnicodeDecodeError as problem:
            return not_utf8(problem)
        except (msgspec.DecodeError, OverflowError) as problem:
            return _undecodable(value, problem)
        except RecursionError:
            return _too_deep()
        return _too_deep() if len(value) > 2 * NESTING_MAX and _nesting(value) > NESTING_MAX else event

    return parse


def _parser_of_all(events: type[Event]) -> ParseAll:
    """Values of plain ASCII that are short, or have few brackets, need no look but msgspec's."""
    decode_usual = _usual_decoder(events.__struct_encode_fields__)

    def parse_all(values: Sequence[bytes]) -> list[Event] | None:
        longest = max(map(len, values))
        if longest > USUAL_BYTES_MAX:
            return None
        together = b"".join(values)
        deep = longest > 2 * NESTING_MAX and together.count(b"[") + together.count(b"{") > NESTING_MAX
        if deep or not together.isascii():
            return None
        try:
            return list(map(decode_usual, values))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    return parse_all


def whole_object(value: bytes) -> dict[str, Any]:
    """All fields of an object that `parse` has read."""
    fields: dict[str, Any] = _within_double(msgspec.json.decode(value))
    return fields


def _within_doubles(event: Event) -> Event:
    """Raises OverflowError for an integer beyond the range of a double."""
    for attribute in event.__struct_fields__:
        setattr(event, attribute, _within_double(getattr(event, attribute)))
    return event


def _within_double(value: Any) -> Any:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, list):
        return [_within_double(item) for item in value]
    if isinstance(value, dict):
        return {name: _within_double(item) for name, item in value.items()}
    return value


def _undecodable(value: bytes, problem: Exception) -> DeadLetter:
    if not value:
        return DeadLetter("empty", "the value is empty; expected a JSON object")
    return DeadLetter("undecodable", f"expected a JSON object: {problem}")


def _too_deep() -> DeadLetter:
    return DeadLetter("undecodable", f"the JSON object is nested deeper than {NESTING_MAX} levels")


def _nesting(document: bytes) -> int:
    """How deep a well-formed document is nested, or NESTING_MAX where it cannot be more. O(bytes)."""
    if document.count(b"[") + document.count(b"{") <= NESTING_MAX:
        return NESTING_MAX
    brackets = _STRING.sub(b"", document).translate(None, _BESIDES_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)))
