"""One text for equal values: what keys and groups are called that are no text."""

from __future__ import annotations

from typing import Any

import msgspec


def canonical_json(value: Any) -> str:
    """JSON with sorted names, no white space, and one spelling per number: equal values give equal text.

    `1` and `1.0` are the same number, so they must not become two keys.
    """
    return msgspec.json.encode(_one_spelling(value), order="sorted").decode()


def _one_spelling(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_one_spelling(item) for item in value]
    if isinstance(value, dict):
        return {name: _one_spelling(item) for name, item in value.items()}
    return value
