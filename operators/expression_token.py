"""The text of an expression, cut into words and signs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from penstock.operators.expression_error import ExpressionError, Place
from penstock.operators.unit import duration_ms

TokenKind = Literal["name", "text", "number", "duration", "sign", "end"]
Where = Callable[[int], Place]
"""From an offset of the text being cut to the place that errors name."""


class Token(NamedTuple):
    """`text` is as written; `value` that of a text, a number or a duration (ms)."""

    kind: TokenKind
    text: str
    offset: int
    value: str | int | float | None = None

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"`{self.text}`"


_BLANK = re.compile(r"(?:[ \t\r\n\f]|//[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9_]*")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdw]))+(?![A-Za-z0-9_])")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SIGN = re.compile(r"&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]]")
_INSTEAD = {"=": "==", "&": "&&", "|": "||"}
_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_CODE_ESCAPE = re.compile(r"[xX]([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})")


def tokens_of(text: str, where: Where) -> list[Token]:
    """The tokens, the last of kind `end`. Raises ExpressionError."""
    tokens: list[Token] = []
    offset = _skip_blank(text, 0)
    while offset < len(text):
        token = _token(text, offset, where)
        tokens.append(token)
        offset = _skip_blank(text, offset + len(token.text))
    tokens.append(Token("end", "", len(text)))
    return tokens


def _skip_blank(text: str, offset: int) -> int:
    blank = _BLANK.match(text, offset)
    return blank.end() if blank else offset


def _token(text: str, offset: int, where: Where) -> Token:
    first = text[offset]
    if first in "\"'" or (first in "rR" and text[offset + 1 : offset + 2] in ("'", '"')):
        return _text(text, offset, where)
    if first in "0123456789" or (first == "." and text[offset + 1 : offset + 2].isdecimal()):
        return _number(text, offset, where)
    if name := _NAME.match(text, offset):
        return Token("name", name[0], offset)
    if sign := _SIGN.match(text, offset):
        return Token("sign", sign[0], offset)
    if first in _INSTEAD:
        raise ExpressionError(f"`{first}` is no operator; write {_INSTEAD[first]}", where(offset))
    if first in "{}":
        raise ExpressionError("there are no map literals and no templates in expressions", where(offset))
    raise ExpressionError(f"{first!r} has no meaning in an expression", where(offset))


def _number(text: str, offset: int, where: Where) -> Token:
    if duration := _DURATION.match(text, offset):
        try:
            return Token("duration", duration[0], offset, duration_ms(duration[0]))
        except ValueError as error:
            raise ExpressionError(str(error), where(offset)) from None
    number = _NUMBER.match(text, offset)
    end = number.end() if number else offset
    word = _WORD.match(text, end)
    if number is None or (word and word[0]):
        written = text[offset : word.end() if word else end]
        message = f"`{written}` is neither a number nor a duration such as 250ms, 90s or 1h30m"
        raise ExpressionError(message, where(offset))
    return Token("number", number[0], offset, _value_of(number[0]))


def _value_of(digits: str) -> int | float:
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    return int(digits) if digits.isdecimal() else float(digits)


def _text(text: str, offset: int, where: Where) -> Token:
    """A text in either kind of quotes; after `r` a backslash is only a backslash."""
    raw = text[offset] in "rR"
    quote = text[offset + raw]
    place = offset + raw + 1
    value: list[str] = []
    while place < len(text) and text[place] not in "\r\n":
        character = text[place]
        if character == quote:
            return Token("text", text[offset : place + 1], offset, "".join(value))
        if character == "\\" and not raw:
            escaped, place = _escape(text, place, where)
            value.append(escaped)
        else:
            value.append(character)
            place += 1
    raise ExpressionError(f"the text that begins here has no closing {quote}", where(offset))


def _escape(text: str, offset: int, where: Where) -> tuple[str, int]:
    """The character that the escape at `offset` stands for, and where the text goes on."""
    following = text[offset + 1 : offset + 2]
    if following in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[following], offset + 2
    if code := _CODE_ESCAPE.match(text, offset + 1):
        point = int(code[4], 8) if code[4] else int(code[1] or code[2] or code[3], 16)
        if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            return chr(point), code.end()
    message = f"`\\{following}` is no escape; a backslash itself is `\\\\`, and r'…' takes every backslash as it is"
    raise ExpressionError(message, where(offset))
