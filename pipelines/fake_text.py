"""A text that matches a regular expression: what a grammar-constrained model would be held to.

Covers what JSON Schemas use in practice: literals, classes, groups, alternatives, repetition, anchors. Anything else, and
every text that would not match after all, is `NoSuchText`.
"""

from __future__ import annotations

import re
import re._constants as code  # type: ignore[import-not-found]  # the parser of `re` is private, stable since Python 2
import re._parser as parser  # type: ignore[import-not-found]  # as above
from collections.abc import Callable, Iterable
from typing import Any

_REPEATS = frozenset({code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT})
_COMMON = "a0- _Z.é"
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    code.CATEGORY_DIGIT: str.isdigit,
    code.CATEGORY_SPACE: str.isspace,
    code.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
    code.CATEGORY_NOT_DIGIT: lambda character: not character.isdigit(),
    code.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
    code.CATEGORY_NOT_WORD: lambda character: not character.isalnum() and character != "_",
}


class NoSuchText(ValueError):
    """No text is known that matches."""


def matching(pattern: str, length_min: int = 0) -> str:
    """A short text in which `pattern` is found, at least `length_min` long where repetition allows it. Raises NoSuchText."""
    try:
        compiled = re.compile(pattern)
        text = _sequence(parser.parse(pattern), more=0)
        if len(text) < length_min:
            text = _sequence(parser.parse(pattern), more=length_min - len(text))
    except re.error as error:
        raise NoSuchText(f"{pattern!r} is no regular expression: {error}") from error
    if compiled.search(text) is None or len(text) < length_min:
        raise NoSuchText(f"no text is known that matches {pattern!r}")
    return text


def _sequence(items: Iterable[tuple[Any, Any]], more: int) -> str:
    return "".join(_item(operation, argument, more) for operation, argument in items)


def _item(operation: Any, argument: Any, more: int) -> str:
    if operation is code.LITERAL:
        return chr(int(argument))
    if operation is code.ANY:
        return "a"
    if operation is code.AT:
        return ""
    if operation is code.IN:
        return _member(argument)
    if operation is code.SUBPATTERN:
        return _sequence(argument[-1], more)
    if operation is code.BRANCH:
        return _sequence(argument[1][0], more)
    if operation in _REPEATS:
        least, most, inner = argument
        return _sequence(inner, 0) * min(int(least) + more, int(most))
    raise NoSuchText(f"{operation} is not supported in a pattern")


def _member(members: list[tuple[Any, Any]]) -> str:
    """A character of a class; of a negated one the first common character that it does not exclude."""
    operation, argument = members[0]
    if operation is code.NEGATE:
        allowed = [one for one in _COMMON if not any(_holds(member, one) for member in members[1:])]
        if not allowed:
            raise NoSuchText("a class of the pattern excludes every common character")
        return allowed[0]
    if operation is code.CATEGORY:
        return next(character for character in _COMMON if _CATEGORIES[argument](character))
    return chr(int(argument[0] if operation is code.RANGE else argument))


def _holds(member: tuple[Any, Any], character: str) -> bool:
    operation, argument = member
    if operation is code.RANGE:
        return bool(argument[0] <= ord(character) <= argument[1])
    if operation is code.CATEGORY:
        return bool(_CATEGORIES[argument](character))
    return bool(argument == ord(character))
