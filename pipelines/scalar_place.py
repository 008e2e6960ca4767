"""From an offset in a scalar's value to the line and column in the file.

The value is what YAML made of the text: quotes undone, lines folded, indentation cut, variables put in. An error in the
middle of an expression must still be shown under the right character.
"""

from __future__ import annotations

import re

from penstock.pipelines.document import Scalar
from penstock.pipelines.problem import LINE_BREAK, Place

_BLANKS = re.compile(r"[ \t\r\n\x85\u2028\u2029]*")
_CONTINUATION = re.compile(r"\\(\r\n|[\n\r\x85\u2028\u2029])[ \t]*")
"""A backslash at the end of a line of a double-quoted value joins it to the next line."""
_ESCAPE_LENGTH = {"x": 4, "u": 6, "U": 10}


def place_in(scalar: Scalar, offset: int) -> Place:
    """Line and column of the character at `offset` (0-based) of the value; what a variable gave stands at its `${`."""
    written = scalar.text if scalar.written is None else scalar.written
    return _advanced(scalar.place, scalar.raw, raw_offset(scalar, written, _written_offset(scalar, offset)))


def _written_offset(scalar: Scalar, offset: int) -> int:
    shift = 0
    for piece in scalar.pieces:
        if offset < piece.begin:
            break
        if offset < piece.end:
            return piece.written
        shift = piece.written_end - piece.end
    return offset + shift


def raw_offset(scalar: Scalar, written: str, offset: int) -> int:
    """Offset in `raw` of the character at `offset` of `written`: both are walked side by side."""
    raw, at, done = scalar.raw, _content_start(scalar), 0
    while done < min(offset, len(written)) and at < len(raw):
        blanks = _BLANKS.match(raw, at)
        joined = _CONTINUATION.match(raw, at) if scalar.style == '"' else None
        if joined is not None:
            at = joined.end()
        elif written[done] in " \n" and blanks is not None and blanks.end() > at:
            folded = _BLANKS.match(written, done)
            together = LINE_BREAK.search(blanks[0]) is not None and folded is not None
            at = blanks.end() if together else at + 1
            done = folded.end() if together and folded is not None else done + 1
        else:
            at += _unit_length(scalar.style, raw, at)
            done += 1
    return min(at, len(raw))


def _content_start(scalar: Scalar) -> int:
    """Behind the quote, or behind the line with `|` or `>` and the indentation of the first line."""
    if scalar.style in ("'", '"'):
        return 1
    if scalar.style == "plain":
        return 0
    header = LINE_BREAK.search(scalar.raw)
    if header is None:
        return len(scalar.raw)
    first_line = LINE_BREAK.split(scalar.raw[header.end() :], maxsplit=1)[0]
    if not first_line.strip():
        return header.end()
    kept = len(scalar.text) - len(scalar.text.lstrip(" "))
    return header.end() + len(first_line) - len(first_line.lstrip(" ")) - kept


def _unit_length(style: str, raw: str, at: int) -> int:
    """How many characters of the file make the next character of the value."""
    if style == "'" and raw.startswith("''", at):
        return 2
    if style == '"' and raw[at] == "\\":
        return _ESCAPE_LENGTH.get(raw[at + 1 : at + 2], 2)
    return 1


def _advanced(start: Place, raw: str, offset: int) -> Place:
    breaks = list(LINE_BREAK.finditer(raw, 0, offset))
    if not breaks:
        return Place(start.file, start.line, start.column + offset)
    return Place(start.file, start.line + len(breaks), offset - breaks[-1].end() + 1)
