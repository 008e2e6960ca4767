from __future__ import annotations

from typing import Any

import pytest

from penstock.operators.answer import Unusable, completed_fields, shape_of_fields, shape_of_schema
from penstock.operators.answer_schema import AnswerError

SHAPE = shape_of_fields(
    {"verdict": {"enum": ["attack", "benign"]}, "sure": {"type": "number", "minimum": 0, "maximum": 1}}
)
GOOD = {"verdict": "attack", "sure": 0.5}
TEXT = '{"verdict": "attack", "sure": 0.5}'


def reason(text: str, finish: str = "stop") -> str:
    found = SHAPE.parse(text, finish)
    assert isinstance(found, Unusable)
    return found.reason


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"Here is my answer for {{key}}:\n\n{TEXT}\nI hope this helps {{}}.",
        f'<think>maybe {{"verdict": "benign"}}?</think>\n{TEXT}',
        '\ufeff{ "verdict" : "attack" , "sure" : 5e-1 }',
        f"{TEXT} and then it went on and on",
    ],
)
def test_the_answer_is_found_in_whatever_a_model_wraps_around_it(text: str) -> None:
    assert SHAPE.parse(text, "stop") == GOOD


def test_a_whole_answer_counts_even_if_the_model_was_cut_while_babbling_on() -> None:
    assert SHAPE.parse(f"{TEXT} blah", "length") == GOOD


def test_raw_control_characters_in_text_are_read() -> None:
    shape = shape_of_fields({"why": {"type": "string"}})
    assert shape.parse('{"why": "line\nline\ttab\x01"}', "stop") == {"why": "line\nline\ttab\x01"}


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("", "stop", "it was empty"),
        (" \n", "length", "it was empty"),
        ("I cannot help with that.", "stop", "it holds no JSON object"),
        ("Let me think about", "length", "it was cut before a JSON object began"),
        ('{"verdict": "att', "length", "it was cut before the JSON object ended"),
        ('{"verdict": attack}', "stop", "its JSON is broken at character 12: Expecting value"),
        ('{"verdict": "attack", "verdict": "benign"}', "stop", "'verdict' stands there twice"),
        ('{"verdict": "attack", "sure": NaN}', "stop", "NaN is no number in JSON"),
        ('{"verdict": "attack", "sure": 1e999}', "stop", "the number 1e999 is too large"),
        ('{"verdict": "attack", "sure": 1' + "0" * 30 + "}", "stop", "a number or a character that JSON cannot carry"),
        ('{"verdict": "attack", "sure": 1' + "0" * 5000 + "}", "stop", "its JSON is broken"),
        ('{"verdict": "\\ud800", "sure": 1}', "stop", "a number or a character that JSON cannot carry"),
        ('{"verdict": ' + "[" * 100_000, "stop", "nested too deeply"),
        ('{"verdict": "attack"}', "stop", "the answer lacks 'sure'"),
        ('{"verdict": "attack", "sure": "0.5"}', "stop", "the answer's 'sure' is not of type number"),
        ('{"verdict": "attack", "sure": 2}', "stop", "the answer's 'sure' is above 1"),
        ('{"verdict": "attack", "sure": 1, "also": 1}', "stop", "a field 'also' that nobody asked for"),
    ],
)
def test_what_is_no_answer_has_a_reason(text: str, finish: str, why: str) -> None:
    assert why in reason(text, finish)


def test_a_field_is_complete_when_something_follows_it() -> None:
    assert completed_fields('{"n": 12') == {}
    assert completed_fields('{"n": 12,') == {"n": 12}
    assert completed_fields('{"n": 12, "s": "a') == {"n": 12}
    assert completed_fields('Sure: {"n": 12, "s": "a"}') == {"n": 12, "s": "a"}


def test_while_a_model_thinks_aloud_nothing_is_complete() -> None:
    assert completed_fields('<think>{"n": 1, "m": 2}') == {}
    assert completed_fields('<think>{"n": 1}</think>{"n": 2}') == {"n": 2}


def test_of_a_repeated_field_the_first_value_stands_because_it_may_have_been_shown() -> None:
    assert completed_fields('{"n": 1, "n": 2}') == {"n": 1}


def test_completed_fields_that_do_not_fit_are_not_shown() -> None:
    assert SHAPE.completed('{"other": 1, "verdict": "unheard of", "sure": 0.5, ') == {"sure": 0.5}


def test_the_instruction_names_every_field_on_a_line_of_its_own() -> None:
    assert SHAPE.instruction().splitlines()[1:] == [
        '- "verdict": {"enum":["attack","benign"]}',
        '- "sure": {"type":"number","minimum":0,"maximum":1}',
    ]


def test_a_schema_file_describes_a_whole_object() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"a": {"type": "string"}},
    }
    assert shape_of_schema(schema).schema == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("schema", [[], {"type": "array"}, {"properties": {}}, {"type": "object", "properties": {}}])
def test_a_schema_file_that_describes_something_else_is_refused(schema: Any) -> None:
    with pytest.raises(AnswerError):
        shape_of_schema(schema)


def test_a_fallback_that_does_not_fit_is_refused() -> None:
    SHAPE.check(GOOD)
    with pytest.raises(AnswerError, match="does not fit `answer`: it lacks 'sure'"):
        SHAPE.check({"verdict": "attack"})
