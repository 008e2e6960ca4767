"""Model text to a typed answer, or the reason why it is not one.

Models wrap their JSON in fences, begin with a sentence, think aloud first, let raw control characters through, stop in the
middle. What can be read without guessing is read; everything else is a reason that a repair call can quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Any, NoReturn

import orjson

from penstock.operators.answer_schema import FILE_ONLY, AnswerError, Schema, closed, misfit

_OBJECT_BEGINS = re.compile(r'\{\s*["}]')
_SPACE = " \t\n\r"
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"
LENGTH = "length"
"""The server's reason for stopping when `max_tokens` was reached."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The text is not an answer; `reason` completes the sentence "The last answer was not usable: …"."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What an answer must look like; `schema` is a closed JSON Schema object, sent to the server as it is."""

    schema: Schema

    @property
    def fields(self) -> Mapping[str, Schema]:
        fields: Mapping[str, Schema] = self.schema["properties"]
        return fields

    def instruction(self) -> str:
        """What the prompt says about it. Depends on nothing but the shape, so it belongs into the stable prefix."""
        fields = [f"- {_json_text(name)}: {_json_text(part)}" for name, part in self.fields.items()]
        head = (
            "Answer with one JSON object and nothing else. It has exactly these fields, each described in JSON Schema:"
        )
        return "\n".join([head, *fields])

    def parse(self, text: str, finish: str) -> dict[str, Any] | Unusable:
        """The first JSON object in the text, if it fits. Never raises."""
        begin = _object_begin(text)
        if begin is None:
            return Unusable(_nothing_there(text, finish))
        try:
            value, _ = _DECODER.raw_decode(text, begin)
            orjson.dumps(value)
        except (ValueError, RecursionError, orjson.JSONEncodeError) as error:
            return Unusable("it was cut before the JSON object ended" if finish == LENGTH else _complaint(error))
        problem = misfit(self.schema, value)
        return value if problem is None else Unusable(problem)

    def completed(self, text: str) -> dict[str, Any]:
        """The fields that a text so far has completed and that fit. Grows with the text, never takes back, never raises."""
        return {
            name: value
            for name, value in completed_fields(text).items()
            if name in self.fields and misfit(self.fields[name], value) is None
        }

    def check(self, answer: Any) -> None:
        """Raises AnswerError if an answer of our own, such as `fallback`, does not fit."""
        problem = misfit(self.schema, answer, "it")
        if problem is not None:
            raise AnswerError("", f"does not fit `answer`: {problem}")


def shape_of_fields(fields: Mapping[str, Any]) -> AnswerShape:
    """From `answer:` as the file has it, the properties of an object. Raises AnswerError."""
    return AnswerShape(closed({"type": "object", "properties": dict(fields)}))


def shape_of_schema(schema: Any) -> AnswerShape:
    """From the JSON Schema of a whole object, as a schema file holds it. Raises AnswerError."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise AnswerError("", "expected a JSON Schema with `type: object`")
    return AnswerShape(closed({word: part for word, part in schema.items() if word not in FILE_ONLY}))


def thinks_aloud(text: str) -> bool:
    """Whether the text, which may end anywhere, holds thoughts that are no part of the answer."""
    return _THOUGHT_BEGINS in text or _THOUGHT_ENDS in text


def completed_fields(text: str) -> dict[str, Any]:
    """Top-level fields of the first JSON object of a text that may end anywhere.

    A field counts once a comma or brace follows its value: `12` may be the beginning of `128`. Of a repeated name the first
    value stands.
    """
    fields: dict[str, Any] = {}
    begin = _object_begin(text)
    if begin is None:
        return fields
    place = begin + 1
    while (member := _member(text, place)) is not None:
        name, value, place, closing = member
        fields.setdefault(name, value)
        if closing:
            break
    return fields


def _member(text: str, place: int) -> tuple[str, Any, int, bool] | None:
    """One `"name": value` with the comma or brace behind it: (name, value, where the next begins, the brace came)."""
    try:
        name, place = _DECODER.raw_decode(text, _skip_space(text, place))
        place = _skip_space(text, place)
        if not isinstance(name, str) or text[place : place + 1] != ":":
            return None
        value, place = _DECODER.raw_decode(text, _skip_space(text, place + 1))
        orjson.dumps({name: value})
    except (ValueError, RecursionError, orjson.JSONEncodeError):
        return None
    place = _skip_space(text, place)
    delimiter = text[place : place + 1]
    return (name, value, place + 1, delimiter == "}") if delimiter in ("}", ",") else None


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _object_begin(text: str) -> int | None:
    """Where the first JSON object begins: a brace in prose is followed by neither quote nor brace.

    What a model thinks aloud first does not count. Once found, the place stays the same however the text goes on.
    """
    begin = 0
    if text.lstrip().startswith(_THOUGHT_BEGINS):
        begin = text.find(_THOUGHT_ENDS)
        if begin < 0:
            return None
    found = _OBJECT_BEGINS.search(text, begin)
    return found.start() if found else None


def _nothing_there(text: str, finish: str) -> str:
    if not text.strip():
        return "it was empty"
    return "it was cut before a JSON object began" if finish == LENGTH else "it holds no JSON object"


def _complaint(error: Exception) -> str:
    match error:
        case JSONDecodeError():
            return f"its JSON is broken at character {error.pos}: {error.msg}"
        case RecursionError():
            return "its JSON is nested too deeply"
        case orjson.JSONEncodeError():
            return "it holds a number or a character that JSON cannot carry"
    return f"its JSON is broken: {error}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands there twice")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


_DECODER = JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_number, strict=False)
