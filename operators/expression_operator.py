"""What the operators of expressions mean for any two values. The compiler inlines the common cases of these functions.

Every function takes JSON values or an Unknown and returns one; none raises.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.operators.expression_value import INT_MAX, INT_MIN, TYPE_ERROR, UNKNOWN, Unknown, unsure

Operator = Callable[[Any, Any], Any]
_NUMBERS = (int, float)


def same(a: Any, b: Any) -> bool:
    """Equality of two known values: by type and value, at every depth; 1 is 1.0, but `true` is not 1. O(size)."""
    kind = type(a)
    if kind in _NUMBERS:
        return type(b) in _NUMBERS and bool(a == b)
    if kind is not type(b):
        return False
    if kind is list:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is dict:
        return len(a) == len(b) and all(name in b and same(value, b[name]) for name, value in a.items())
    return bool(a == b)


def equal(a: Any, b: Any) -> Any:
    if type(a) is Unknown or type(b) is Unknown:
        return unsure(a, b)
    return same(a, b)


def unequal(a: Any, b: Any) -> Any:
    if type(a) is Unknown or type(b) is Unknown:
        return unsure(a, b)
    return not same(a, b)


def _ordering(compare: Operator) -> Operator:
    """Numbers by value, texts by code point, false before true; anything else has no order."""

    def apply(a: Any, b: Any) -> Any:
        kind = type(a)
        comparable = type(b) in _NUMBERS if kind in _NUMBERS else kind is type(b) and kind in (str, bool)
        return compare(a, b) if comparable else unsure(a, b)

    return apply


less, at_most = _ordering(operator.lt), _ordering(operator.le)
more, at_least = _ordering(operator.gt), _ordering(operator.ge)


def in_range(number: float) -> Any:
    """The number, or a type error for a whole number beyond 64 bits, an infinity or NaN: expressions have none of these."""
    fits = INT_MIN <= number <= INT_MAX if type(number) is int else math.isfinite(number)
    return number if fits else TYPE_ERROR


def _arithmetic(compute: Operator) -> Operator:
    def apply(a: Any, b: Any) -> Any:
        if type(a) not in _NUMBERS or type(b) not in _NUMBERS:
            return unsure(a, b)
        try:
            return in_range(compute(a, b))
        except ZeroDivisionError:
            return UNKNOWN
        except OverflowError:
            return TYPE_ERROR

    return apply


def _remainder(a: Any, b: Any) -> Any:
    """With the sign of the dividend, as in C and CEL; Python's own has that of the divisor."""
    if type(a) is int and type(b) is int:
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    if b == 0:
        raise ZeroDivisionError
    return math.fmod(a, b)


subtract, multiply = _arithmetic(operator.sub), _arithmetic(operator.mul)
divide, modulo = _arithmetic(operator.truediv), _arithmetic(_remainder)
_add_numbers = _arithmetic(operator.add)


def add(a: Any, b: Any) -> Any:
    """The sum of numbers; texts and lists are joined."""
    kind = type(a)
    return a + b if kind is type(b) and kind in (str, list) else _add_numbers(a, b)


def negate(a: Any) -> Any:
    return in_range(-a) if type(a) in _NUMBERS else unsure(a)


def all_of(*parts: Any) -> Any:
    """`&&`: false if one is false, whatever the others are, in any order."""
    if any(part is False for part in parts):
        return False
    return True if all(part is True for part in parts) else _no_verdict(parts)


def any_of(*parts: Any) -> Any:
    """`||`: true if one is true, whatever the others are, in any order."""
    if any(part is True for part in parts):
        return True
    return False if all(part is False for part in parts) else _no_verdict(parts)


def _no_verdict(parts: Sequence[Any]) -> Unknown:
    missing = all(part is UNKNOWN or type(part) is bool for part in parts)
    return UNKNOWN if missing else TYPE_ERROR


def contains(item: Any, container: Any) -> Any:
    """`in`: an element of a list, or a name of a map."""
    if type(item) is Unknown or type(container) is Unknown:
        return unsure(item, container)
    if type(container) is list:
        return any(same(item, element) for element in container)
    return type(item) is str and item in container if type(container) is dict else TYPE_ERROR


def select(value: Any, name: str) -> Any:
    """`value.name`: UNKNOWN where the map has no such name."""
    return value.get(name, UNKNOWN) if type(value) is dict else unsure(value)


def index(value: Any, key: Any) -> Any:
    """`value[key]`: UNKNOWN beyond the ends of a list (there is no counting from the end) and for names that a map lacks."""
    if type(value) is dict and type(key) is str:
        return value.get(key, UNKNOWN)
    if type(value) is list and type(key) in _NUMBERS and key == key // 1:
        return value[int(key)] if 0 <= key < len(value) else UNKNOWN
    return unsure(value, key)


def listed(*items: Any) -> Any:
    """A list; not known if one of its elements is not."""
    return unsure(*items) if any(type(item) is Unknown for item in items) else list(items)


def decoded(value: bytes | None) -> Any:
    """A record's key or a header's value as text; none is null, and what is not UTF-8 is a type error."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return TYPE_ERROR


def header(headers: Sequence[tuple[str, bytes]], name: str) -> Any:
    """The last header of this name, as Kafka's own clients have it."""
    return next((decoded(value) for key, value in reversed(headers) if key == name), UNKNOWN)


def as_map(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(labels)


OPERATORS: Mapping[str, Operator] = {
    "==": equal,
    "!=": unequal,
    "<": less,
    "<=": at_most,
    ">": more,
    ">=": at_least,
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "in": contains,
}
