"""The values of expressions besides those of JSON: what is not known.

UNKNOWN      a part is missing, a span is empty, a division by zero: ordinary, silent
TYPE_ERROR   an operation on values that do not go with it: reads as unknown, too, but is counted as a mistake
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

Kind = Literal["bool", "number", "text", "null", "list", "map", "any"]
"""What a value is; `any` where only the event can tell. There is one kind of number, and `true` is none."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
"""Whole numbers are exact within 64 bits; arithmetic that leaves them is a type error."""


@final
class Unknown:
    """Neither true nor false. There are two instances; compare with `is`.

    The classic mistake is `if value:`, which would make unknown true; so `bool()` refuses.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __bool__(self) -> bool:
        raise TypeError(f"{self._name} is neither true nor false; write `is True`")

    def __reduce__(self) -> str:
        """Copies are the same instance."""
        return self._name


UNKNOWN = Unknown("UNKNOWN")
TYPE_ERROR = Unknown("TYPE_ERROR")


_KINDS: Mapping[type, Kind] = {
    bool: "bool", int: "number", float: "number", str: "text", type(None): "null", list: "list", dict: "map",
}  # fmt: skip


def kind_of(value: Any) -> Kind:
    """The kind of a JSON value."""
    return _KINDS.get(type(value), "any")


def unsure(*values: Any) -> Unknown:
    """What an operation gives that cannot be done: a type error, unless all that is wrong is that something is missing."""
    if any(value is TYPE_ERROR for value in values):
        return TYPE_ERROR
    return UNKNOWN if any(value is UNKNOWN for value in values) else TYPE_ERROR
