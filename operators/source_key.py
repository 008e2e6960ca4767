"""The key of an event: what belongs together is remembered together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from penstock.operators.decode import Event, canonical_json
from penstock.operators.expression import Unknown
from penstock.operators.record import DeadLetter, Raw

KEY_BYTES_MAX = 32 * 1024
SURELY_SHORT = KEY_BYTES_MAX // 4
"""A text of so many characters fits in any script."""

Look = Callable[[Raw, Event], Any]
"""The value of one of the source's expressions for one event; may be an Unknown."""

KeyOf = Callable[[Raw, Event], str | DeadLetter]


def record_key(raw: Raw, event: Event) -> str | DeadLetter:
    """The record's own key: the default."""
    if raw.key is None:
        return DeadLetter("keyless", "the record has no key; give it one, or name a field under `key`")
    try:
        return _short_enough(str(raw.key, "utf-8"))
    except UnicodeDecodeError as problem:
        return DeadLetter(
            "key_not_utf8", f"the record's key is not UTF-8 text: {problem.reason} at byte {problem.start}"
        )


def field_key(attribute: str, text: str) -> KeyOf:
    """`event.<field>`: by far the most common key, so it is read without an expression."""
    get = attrgetter(attribute)

    def read(raw: Raw, event: Event) -> str | DeadLetter:
        value = get(event)
        if type(value) is str and len(value) <= SURELY_SHORT:
            return value
        return _key_text(value, text)

    return read


def expression_key(look: Look, text: str) -> KeyOf:
    return lambda raw, event: _key_text(look(raw, event), text)


def composite_key(looks: Sequence[Look], texts: Sequence[str]) -> KeyOf:
    """Several values as one JSON array, never as joined text: `["a:b", "c"]` and `["a", "b:c"]` are two keys."""

    def read(raw: Raw, event: Event) -> str | DeadLetter:
        values = [look(raw, event) for look in looks]
        for value, text in zip(values, texts, strict=True):
            if value is None or isinstance(value, Unknown):
                return _keyless(value, text)
        return _short_enough(canonical_json(values))

    return read


def _key_text(value: Any, text: str) -> str | DeadLetter:
    """Text as it is, anything else as canonical JSON."""
    if value is None or isinstance(value, Unknown):
        return _keyless(value, text)
    return _short_enough(value if isinstance(value, str) else canonical_json(value))


def _keyless(value: Unknown | None, text: str) -> DeadLetter:
    return DeadLetter("keyless", f"the key `{text}` is {'null' if value is None else 'missing'}; expected a value")


def _short_enough(key: str) -> str | DeadLetter:
    if len(key) <= SURELY_SHORT or (size := len(key.encode())) <= KEY_BYTES_MAX:
        return key
    return DeadLetter("key_too_large", f"the key has {size} bytes; at most {KEY_BYTES_MAX} are allowed")
