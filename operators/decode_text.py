"""`format: {text: [pattern, …]}`: one line of text per record; the first pattern found in it gives the fields.

Patterns are RE2: searched, not anchored, ASCII classes, and unable to hang on any input. The named groups become fields
of text, a group that took no part is missing. `text` is always the whole line, without its line end. A line that no
pattern matches is an event with `text` only, so that a filter can see it: it is no dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import re2
from pydantic import AfterValidator

from penstock.operators.decode import Event, Format, Parse, not_utf8
from penstock.operators.expression import attribute_of
from penstock.operators.setting import Settings, Text

WHOLE = "text"
"""The field that holds the whole line."""


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options=options)


def _usable(pattern: str) -> str:
    try:
        groups = _compile(pattern).groupindex
    except re2.error as problem:
        said = problem.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        raise ValueError(f"not an RE2 pattern: {reason}; look-around and back-references do not exist in it") from None
    if WHOLE in groups:
        raise ValueError(f"a group cannot be called {WHOLE!r}: that field is the whole line; choose another name")
    return pattern


class TextFormat(Settings):
    text: tuple[Annotated[Text, AfterValidator(_usable)], ...]


def build(patterns: Sequence[str]) -> Format:
    def parser(event_class: type[Event]) -> Parse:
        return _parser(patterns, event_class)

    return Format(parse=parser, shown=(WHOLE,))


def _parser(patterns: Sequence[str], event_class: type[Event]) -> Parse:
    searches = [_search(pattern, event_class) for pattern in patterns]
    whole = attribute_of(WHOLE)
    shows_whole = whole in event_class.__struct_fields__

    def parse(value: bytes) -> Event:
        line = value.rstrip(b"\r\n")
        try:
            text = str(line, "utf-8")
        except UnicodeDecodeError as problem:
            return not_utf8(problem)
        event = event_class(**{whole: text}) if shows_whole else event_class()
        for search, groups in searches:
            if (match := search(line)) is not None:
                for attribute, group in groups:
                    if (found := match[group]) is not None:
                        setattr(event, attribute, found.decode("utf-8", "replace"))
                break
        return event

    return parse


def _search(pattern: str, event_class: type[Event]) -> tuple[Any, list[tuple[str, int]]]:
    """What searches a line, and which of its groups the pipeline uses: (attribute, number of the group)."""
    compiled = _compile(pattern)
    groups = [(attribute_of(name), number) for name, number in compiled.groupindex.items()]
    return compiled.search, [pair for pair in groups if pair[0] in event_class.__struct_fields__]
