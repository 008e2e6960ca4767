"""The functions of expressions: one entry of a table each.

Functions work on known values of the right kinds; for anything else the answer is unknown or a type error. Patterns are
RE2: searched, not anchored, with ASCII classes, and in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import re2

from penstock.operators.expression_operator import in_range
from penstock.operators.expression_value import TYPE_ERROR, Kind, Unknown, kind_of, unsure
from penstock.operators.unit import duration_ms

Form = Literal["function", "method", "both"]
_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EXACT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` are the kinds of its arguments, the receiver of a method first. `prepare` makes, once, the function of the
    receiver for a last argument that is a literal text, and raises ValueError if that text is of no use. `path` is where a
    function of the user's own was imported from: part of the meaning of what calls it."""

    apply: Callable[..., Any]
    takes: tuple[Kind, ...]
    gives: Kind
    form: Form
    example: str
    prepare: Callable[[str], Callable[[Any], Any]] | None = None
    path: str = ""


def function_of(called: Callable[..., Any], arguments: int, example: str, path: str) -> Function:
    """A function of the user's own. It sees known values only; whatever it raises, and whatever it gives that is no JSON
    value, is a type error."""

    def apply(*values: Any) -> Any:
        if any(type(value) is Unknown for value in values):
            return unsure(*values)
        try:
            return _json(called(*values))
        except Exception:  # noqa: BLE001 - it is somebody else's code
            return TYPE_ERROR

    takes = tuple[Kind, ...](["any"] * arguments)
    return Function(apply, takes, "any", "function", example, path=path)


def _json(value: Any) -> Any:
    match value:
        case None | str() | bool():
            return value
        case int() | float():
            return in_range(value)
        case list():
            return TYPE_ERROR if any(_json(item) is TYPE_ERROR for item in value) else value
        case dict():
            return (
                TYPE_ERROR if any(type(key) is not str or _json(value[key]) is TYPE_ERROR for key in value) else value
            )
        case _:
            return TYPE_ERROR


def _of_text(compute: Callable[[str], str]) -> Callable[..., Any]:
    return lambda text: compute(text) if type(text) is str else unsure(text)


def _of_two_texts(compute: Callable[[str, str], bool]) -> Callable[..., Any]:
    def apply(text: Any, part: Any) -> Any:
        return compute(text, part) if type(text) is str and type(part) is str else unsure(text, part)

    return apply


def _size(value: Any) -> Any:
    return len(value) if type(value) in (str, list, dict) else unsure(value)


def _int(value: Any) -> Any:
    """Toward zero, as CEL has it."""
    match kind_of(value):
        case "number":
            return in_range(int(value))
        case "text" if _WHOLE.fullmatch(value):
            return in_range(int(value))
        case _:
            return unsure(value)


def _double(value: Any) -> Any:
    if kind_of(value) != "number" and not (type(value) is str and _DECIMAL.fullmatch(value)):
        return unsure(value)
    try:
        return in_range(float(value))
    except OverflowError:
        return TYPE_ERROR


def _string(value: Any) -> Any:
    """Equal numbers have equal texts: `1.0` gives `1`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < _EXACT_MAX:
            return str(int(value))
        case int() | float():
            return repr(value)
        case _:
            return unsure(value)


def _duration(text: Any) -> Any:
    if type(text) is not str:
        return unsure(text)
    try:
        return in_range(duration_ms(text))
    except ValueError:
        return TYPE_ERROR


def _pattern(pattern: str) -> Any:
    """The compiled pattern; raises ValueError."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"no RE2 pattern: {text}; look-around and back-references do not exist in it") from None


def _matcher(pattern: str) -> Callable[[Any], Any]:
    search = _pattern(pattern).search

    def apply(text: Any) -> Any:
        return search(text.encode("utf-8", "surrogatepass")) is not None if type(text) is str else unsure(text)

    return apply


def _matches(text: Any, pattern: Any) -> Any:
    if type(text) is not str or type(pattern) is not str:
        return unsure(text, pattern)
    try:
        return _matcher(pattern)(text)
    except ValueError:
        return TYPE_ERROR


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code + 32: code for code in range(ord("A"), ord("Z") + 1)}

FUNCTIONS: Mapping[str, Function] = {
    "size": Function(_size, ("any",), "number", "both", "size(event.items)"),
    "matches": Function(
        _matches, ("text", "text"), "bool", "both", r'event.text.matches("^Failed \\w+")', prepare=_matcher
    ),
    "startsWith": Function(
        _of_two_texts(str.startswith), ("text", "text"), "bool", "method", 'event.path.startsWith("/api/")'
    ),
    "endsWith": Function(
        _of_two_texts(str.endswith), ("text", "text"), "bool", "method", 'event.host.endsWith(".local")'
    ),
    "contains": Function(
        _of_two_texts(str.__contains__), ("text", "text"), "bool", "method", 'event.text.contains("root")'
    ),
    "lowerAscii": Function(
        _of_text(lambda text: text.translate(_LOWER)), ("text",), "text", "method", "event.user.lowerAscii()"
    ),
    "upperAscii": Function(
        _of_text(lambda text: text.translate(_UPPER)), ("text",), "text", "method", "event.user.upperAscii()"
    ),
    "int": Function(_int, ("any",), "number", "function", "int(event.repeat)"),
    "double": Function(_double, ("any",), "number", "function", "double(event.value)"),
    "string": Function(_string, ("any",), "text", "function", "string(event.code)"),
    "duration": Function(_duration, ("text",), "number", "function", 'duration("60s")'),
}
"""By name. `has` is not among them: it looks at the way to a value, not at a value."""
