"""What is wrong with a file: where, what was expected, and which name was probably meant.

A problem is a value. Nothing in the loader raises for bad input: every stage adds problems and goes on with what it
could read, so that a person sees all of them at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

Severity = Literal["error", "warning"]
LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""Line breaks as the YAML parser counts them."""
SHOWN_CHARACTERS = 120
"""So much of a line is shown below a problem."""
_IGNORE = re.compile(r"#\s*penstock:\s*ignore\s+((?:PS\d{3}[,\s]*)+)")


class Code(StrEnum):
    """One code per kind of mistake; each has a section of this name in docs/errors.md. Codes are never reused."""

    UNREADABLE = "PS001"
    NOT_YAML = "PS002"
    YAML_ATE_EXPRESSION = "PS003"
    UNCLOSED_QUOTE = "PS004"
    DUPLICATE_KEY = "PS005"
    YAML_REFUSED = "PS006"
    NOT_A_PIPELINE = "PS007"
    SUBSTITUTION = "PS008"
    FILE_REFERENCE = "PS009"
    UNKNOWN_FIELD = "PS010"
    MISSING_FIELD = "PS011"
    WRONG_VALUE = "PS012"
    NOT_BUILT_YET = "PS013"
    TRIGGER_KIND = "PS014"
    BAD_SET = "PS015"
    EXPRESSION = "PS020"
    USE_EACH = "PS021"
    TEMPLATE = "PS022"
    UNRESOLVED = "PS023"
    WHICH_AGENT = "PS024"
    SAME_TOPIC = "PS025"
    ANSWER_SCHEMA = "PS027"
    RESERVED_NAME = "PS028"
    KEY_OVER_HTTP = "PS030"
    NEVER_RESOLVES = "PS031"
    FORGETS_TOO_SOON = "PS032"
    INHIBITION_CYCLE = "PS035"
    INHIBITS_LATER = "PS036"
    CHAIN_CYCLE = "PS037"
    ANSWER_IN_QUESTION = "PS038"
    MEMBER = "PS039"
    NOT_INSTALLED = "PS040"
    RECORD_SCHEMA = "PS041"
    OPEN_INPUT = "PS042"
    CONSTANT_KEY = "PS044"
    NO_FUNCTION = "PS050"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; line and column count characters from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `source` is the line it stands on, as text, for the caret; it is no part of the JSON."""

    code: Code
    place: Place
    message: str
    severity: Severity = "error"
    expected: str | None = None
    nearest: str | None = None
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of `check --json`."""
        return {
            "code": self.code.value,
            "severity": self.severity,
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "message": self.message,
            "expected": self.expected,
            "nearest": self.nearest,
        }

    def sentence(self) -> str:
        """The message with what was expected and what was probably meant."""
        text = self.message
        if self.expected:
            text += f"; expected {self.expected}"
        if self.nearest:
            text += f'; did you mean "{self.nearest}"?'
        return text

    def to_text(self) -> str:
        """`ssh.yaml:14:7 error PS010: …` with the line below it and a caret under the column."""
        place = self.place
        head = f"{place.file}:{place.line}:{place.column} {self.severity} {self.code.value}: {self.sentence()}"
        if not self.source.strip():
            return head
        number = str(place.line)
        shown, column = _around(self.source, place.column - 1)
        indent = "".join("\t" if character == "\t" else " " for character in shown[:column])
        return f"{head}\n  {number} | {shown}\n  {' ' * len(number)} | {indent}^"

    def to_github(self) -> str:
        """A workflow command that GitHub shows at the line."""
        place = self.place
        where = f"file={_property(place.file)},line={place.line},col={place.column},title={self.code.value}"
        return f"::{self.severity} {where}::{_data(self.sentence())}"


def _around(line: str, column: int) -> tuple[str, int]:
    """The part of a long line that holds this column, and where in it the column is."""
    begin = max(0, min(column - SHOWN_CHARACTERS // 2, len(line) - SHOWN_CHARACTERS))
    end = begin + SHOWN_CHARACTERS
    before, after = "…" if begin else "", "…" if end < len(line) else ""
    return f"{before}{line[begin:end]}{after}", column - begin + len(before)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def has_errors(problems: Iterable[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def problems_to_json(problems: Iterable[Problem]) -> dict[str, Any]:
    """`{"ok": …, "problems": […]}`; warnings leave `ok` true."""
    listed = list(problems)
    return {"ok": not has_errors(listed), "problems": [problem.to_json() for problem in listed]}


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """The one that was probably meant, or None."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def settled(problems: Iterable[Problem], texts: Mapping[str, str]) -> list[Problem]:
    """Problems as a reader wants them: each once, inside its file, with its line, by position, without the ignored ones.

    `texts` maps each file to its text; warnings are ignored where the line says `# penstock: ignore PS030`.
    """
    lines = {file: LINE_BREAK.split(text) for file, text in texts.items()}
    order = {file: number for number, file in enumerate(texts)}
    located = {_located(problem, lines.get(problem.place.file, [""])): None for problem in problems}
    return sorted(
        (problem for problem in located if not _ignored(problem)),
        key=lambda problem: (order.get(problem.place.file, -1), problem.place, problem.code),
    )


def _located(problem: Problem, lines: list[str]) -> Problem:
    line = min(max(problem.place.line, 1), len(lines))
    source = lines[line - 1]
    column = min(max(problem.place.column, 1), len(source) + 1)
    return replace(problem, place=Place(problem.place.file, line, column), source=source)


def _ignored(problem: Problem) -> bool:
    if problem.severity == "error":
        return False
    match = _IGNORE.search(problem.source)
    return match is not None and problem.code.value in match[1]
