"""What a syntax error of YAML means to somebody who wrote an expression, and the text with that one mistake mended.

YAML gives a meaning to most characters of an expression: `: ` begins a value, `{ [ ] }` and `,` make maps and lists, `!`
`&` `*` `%` `@` and a backtick mean something at the beginning. The parser stops at the first such place and names its own
rule. Here the line is looked at again; the mended text lets the reader find the *other* problems of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

from penstock.pipelines.problem import LINE_BREAK, Code, Place, Problem

_BLOCK_VALUE = re.compile(
    r"^(?P<head>[ \t]*(?:- +)*(?:[\w.-]+|'[^']*'|\"[^\"]*\")[ \t]*:[ \t]+)(?P<value>\S.*?)[ \t]*$"
)
_FLOW_HEAD = re.compile(r"[{,][ \t]*[\w.-]+:[ \t]+(?=[^\s'\"])")
_KEY_LINE = re.compile(r"^[ \t]*(?:- +)*[\w.-]+:(?:[ \t]|$)")
_FIRST = {
    "!": "a tag",
    "&": "an anchor",
    "*": "an alias",
    "{": "a map",
    "[": "a list",
    "%": "a directive",
    "@": "a reserved character",
    "`": "a reserved character",
    '"': "quoted text that ends at the next quote",
    "'": "quoted text that ends at the next quote",
}


class Diagnosis(NamedTuple):
    """`mended` is the text without this mistake, None where nobody can know what was meant."""

    problem: Problem
    mended: str | None


class _Spot(NamedTuple):
    """A value on a line (0-based): `line[begin:end]`."""

    number: int
    begin: int
    end: int
    in_braces: bool


def diagnose(text: str, file: str, error: MarkedYAMLError | None, message: str) -> Diagnosis:
    """`error` is the parser's; None, with a message, where the parser itself failed."""
    lines = LINE_BREAK.split(text)
    mark = error.problem_mark or error.context_mark if error is not None else None
    if error is None or mark is None:
        return Diagnosis(
            Problem(Code.NOT_YAML, _odd_character(lines, file), f"YAML cannot read the file: {message}"), None
        )
    opened = _unclosed_quote(error, lines)
    if opened is not None:
        number, column = opened
        place = Place(file, number + 1, column + 1)
        return Diagnosis(Problem(Code.UNCLOSED_QUOTE, place, "the quote that opens here is not closed"), None)
    tab = _tab(error, lines[min(mark.line, len(lines) - 1)])
    if tab is not None:
        place = Place(file, mark.line + 1, tab + 1)
        return Diagnosis(Problem(Code.NOT_YAML, place, "a tab; YAML indents with spaces"), None)
    if "unknown escape" in (error.problem or ""):
        place = Place(file, mark.line + 1, mark.column + 1)
        message = "in double quotes a backslash begins an escape that YAML must know; use single quotes, or double it"
        return Diagnosis(
            Problem(Code.YAML_ATE_EXPRESSION, place, message), _backslash_doubled(lines, mark.line, mark.column)
        )
    spot = _spot(lines, mark.line, mark.column)
    if spot is not None:
        return Diagnosis(_expression_problem(file, lines, spot), _mended(lines, spot))
    sentence = f"YAML cannot read this: {error.problem or error.context or message}{_indentation_hint(error)}"
    return Diagnosis(Problem(Code.NOT_YAML, Place(file, mark.line + 1, mark.column + 1), sentence), None)


def _indentation_hint(error: MarkedYAMLError) -> str:
    """What these two complaints of YAML's come from, nearly always."""
    problem = error.problem or ""
    if "mapping values are not allowed" in problem or "expected <block end>" in problem:
        return "; most often the line is not indented as its neighbours are"
    return ""


def _odd_character(lines: list[str], file: str) -> Place:
    """Where the first character stands that YAML does not print; the beginning if there is none."""
    for number, line in enumerate(lines):
        for column, character in enumerate(line):
            if not (character.isprintable() or character in "\t\u00a0\u3000"):
                return Place(file, number + 1, column + 1)
    return Place(file, 1, 1)


def _unclosed_quote(error: MarkedYAMLError, lines: list[str]) -> tuple[int, int] | None:
    """Line and column at which the quote opens, when that is what is wrong."""
    context = error.context or ""
    if "quoted scalar" in context and error.context_mark is not None and "escape" not in (error.problem or ""):
        return error.context_mark.line, error.context_mark.column
    if error.problem_mark is None:
        return None
    return _swallowed(lines, error.problem_mark.line)


def _swallowed(lines: list[str], last: int) -> tuple[int, int] | None:
    """A quote that opened as a value and closed lines later, at the opening quote of another value.

    Looked for above the line with the error: a value with one quote of its kind, and lines in between that look like keys.
    """
    for number in range(min(last, len(lines) - 1), -1, -1):
        match = _BLOCK_VALUE.match(lines[number])
        if match is None or match["value"][0] not in "'\"":
            continue
        value = match["value"]
        if value.count(value[0]) % 2 == 0 or not any(_KEY_LINE.match(line) for line in lines[number + 1 : last + 1]):
            continue
        if all(value[0] not in line for line in lines[number + 1 : last]):
            return number, match.start("value")
    return None


def _tab(error: MarkedYAMLError, line: str) -> int | None:
    """Column of a tab in the indentation."""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation or "'\\t'" in (error.problem or ""):
        return max(line.find("\t"), 0)
    return None


def _spot(lines: list[str], number: int, column: int) -> _Spot | None:
    """The unquoted value on the line of the error that YAML took apart."""
    if number >= len(lines):
        return None
    line = lines[number]
    block = _BLOCK_VALUE.match(line)
    if block is not None and _goes_on_behind_bracket(block["value"]):
        return _Spot(number, block.start("value"), block.end("value"), in_braces=False)
    flow = [match.end() for match in _FLOW_HEAD.finditer(line) if match.end() <= column]
    if flow:
        begin, end = flow[-1], _end_in_braces(line, flow[-1])
        return _Spot(number, begin, end, in_braces=True) if begin < end else None
    if block is None or block.start("value") > column:
        return None
    value = re.split(r"\s+#", block["value"], maxsplit=1)[0]
    if value[0] in "|>" or not (value[0] in _FIRST or re.search(r":(\s|$)", value)):
        return None
    return _Spot(number, block.start("value"), block.start("value") + len(value), in_braces=False)


def _goes_on_behind_bracket(value: str) -> bool:
    """`[1, 2][0] == 1`: for YAML the value ends with the first bracket that closes."""
    if value[0] not in "[{":
        return False
    rest = value[_behind_bracket(value) :].strip()
    return bool(rest) and not rest.startswith("#")


def _behind_bracket(value: str) -> int:
    """Where the text goes on behind the bracket that opens it: behind all of it if that one is not closed."""
    depth = 0
    for at, character in _unquoted(value):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(value)


def _end_in_braces(line: str, begin: int) -> int:
    """Where the value ends that begins here: at a comma or brace that closes nothing of its own."""
    depth = 0
    for at, character in _unquoted(line, begin):
        if character in "([{":
            depth += 1
        elif character in ")]}" and depth > 0:
            depth -= 1
        elif character in ",)]}":
            return len(line[:at].rstrip())
    return len(line.rstrip())


def _unquoted(text: str, begin: int = 0) -> Iterator[tuple[int, str]]:
    """What stands outside of quotes, with its places."""
    quote = ""
    for at in range(begin, len(text)):
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            yield at, character


def _expression_problem(file: str, lines: list[str], spot: _Spot) -> Problem:
    value = lines[spot.number][spot.begin : spot.end]
    if value[0] in _FIRST:
        why = f"at the beginning of a value YAML takes `{value[0]}` as {_FIRST[value[0]]}"
    elif spot.in_braces:
        why = "inside braces YAML gives `,` `[` `]` `{` `}` and `: ` a meaning of their own"
    else:
        why = "YAML reads `: ` inside an unquoted value as the end of a key"
    message = f"{why}; put the value in quotes: {_quoted(value)}"
    return Problem(Code.YAML_ATE_EXPRESSION, Place(file, spot.number + 1, spot.begin + 1), message)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _mended(lines: list[str], spot: _Spot) -> str:
    """The text with the value in quotes; line breaks become plain ones, which moves nothing."""
    line = lines[spot.number]
    return _with_line(lines, spot.number, line[: spot.begin] + _quoted(line[spot.begin : spot.end]) + line[spot.end :])


def _backslash_doubled(lines: list[str], number: int, column: int) -> str | None:
    line = lines[number]
    before = line.rfind("\\", 0, column + 1)
    return None if before < 0 else _with_line(lines, number, line[:before] + "\\" + line[before:])


def _with_line(lines: list[str], number: int, line: str) -> str:
    return "\n".join([*lines[:number], line, *lines[number + 1 :]])
