from __future__ import annotations

from typing import Any

import pytest

from penstock.operators.answer_schema import AnswerError, closed, misfit


def test_every_object_is_closed_at_every_depth() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "integer"}}}
    schema = closed({"type": "object", "properties": {"a": inner, "b": {"type": "array", "items": inner}}})
    closed_inner = {**inner, "required": ["x"], "additionalProperties": False}
    assert schema["required"] == ["a", "b"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == closed_inner
    assert schema["properties"]["b"]["items"] == closed_inner


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("string", "a: expected a map"),
        ({}, "a: needs `type`, `enum` or `const`"),
        ({"type": "text"}, "a: 'text' is no type"),
        ({"type": "string", "format": "date"}, "a: 'format' is no keyword"),
        ({"type": "number", "minimum": "0"}, "a: `minimum` expects a number, found '0'"),
        ({"type": "number", "maximum": True}, "a: `maximum` expects a number"),
        ({"type": "string", "maxLength": -1}, "a: `maxLength` expects a number of characters"),
        ({"type": "string", "pattern": "(a"}, "a: `pattern` expects a regular expression"),
        ({"type": "string", "pattern": "(?=a)"}, "a: `pattern` expects a regular expression"),
        ({"enum": []}, "a: `enum` expects a list"),
        ({"enum": [[1]]}, "a: `enum` expects a list"),
        ({"type": "array"}, "a: an array needs `items`"),
        ({"type": "string", "items": {"type": "string"}}, "a: `items` stands without"),
        ({"type": "object"}, "a: an object needs `properties`"),
        ({"type": "string", "properties": {}}, "a: properties stands without"),
        ({"type": "object", "properties": {"b": {"type": "no"}}}, "a.b: 'no' is no type"),
        ({"type": "array", "items": {"type": "no"}}, r"a\[\]: 'no' is no type"),
        ({"type": "object", "properties": {"b": {"const": 1}}, "required": []}, "`required` must name every property"),
        ({"type": "object", "properties": {"b": {"const": 1}}, "additionalProperties": True}, "can only be false"),
    ],
)
def test_a_description_that_cannot_be_kept_is_refused_where_it_stands(schema: Any, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        closed({"type": "object", "properties": {"a": schema}})


FIT: list[tuple[dict[str, Any], Any]] = [
    ({"enum": ["a", None, 1]}, None),
    ({"const": 1}, 1.0),
    ({"type": "integer"}, 3.0),
    ({"type": ["string", "null"]}, None),
    ({"type": "number", "minimum": 0, "maximum": 1}, 1),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"type": "string", "minLength": 2, "maxLength": 2}, "äö"),
    ({"type": "string", "pattern": "b+"}, "abbc"),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}, [True]),
    ({"type": ["string", "null"], "maxLength": 3}, None),
]
MISFIT: list[tuple[dict[str, Any], Any, str]] = [
    ({"enum": ["a", "b"]}, "c", "the answer is none of ['a', 'b']"),
    ({"enum": [1]}, True, "the answer is none of [1]"),
    ({"const": 1}, 2, "the answer is not 1"),
    ({"type": "integer"}, 3.5, "the answer is not of type integer"),
    ({"type": "integer"}, True, "the answer is not of type integer"),
    ({"type": "number"}, "3", "the answer is not of type number"),
    ({"type": "string"}, None, "the answer is not of type string"),
    ({"type": "number", "minimum": 0}, -1, "the answer is below 0"),
    ({"type": "number", "maximum": 1}, 1.1, "the answer is above 1"),
    ({"type": "number", "exclusiveMinimum": 0}, 0, "the answer is not above 0"),
    ({"type": "number", "exclusiveMaximum": 1}, 1, "the answer is not below 1"),
    ({"type": "string", "minLength": 2}, "a", "the answer has less than 2 characters"),
    ({"type": "string", "maxLength": 2}, "abc", "the answer has more than 2 characters"),
    ({"type": "string", "pattern": "^b"}, "ab", "the answer does not match ^b"),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [], "the answer has less than 1 items"),
    ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a", "b"], "the answer has more than 1 items"),
    ({"type": "array", "items": {"type": "string"}}, ["a", 1], "the answer[1] is not of type string"),
]


@pytest.mark.parametrize(("schema", "value"), FIT)
def test_values_that_fit(schema: dict[str, Any], value: Any) -> None:
    assert misfit(closed(schema), value) is None


@pytest.mark.parametrize(("schema", "value", "problem"), MISFIT)
def test_values_that_do_not_fit_and_why(schema: dict[str, Any], value: Any, problem: str) -> None:
    assert misfit(closed(schema), value) == problem


def test_objects_have_all_their_fields_and_no_others() -> None:
    schema = closed({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}})
    assert misfit(schema, {"a": ""}) == "the answer lacks 'b'"
    assert misfit(schema, {"a": "", "b": "", "c": ""}) == "the answer has a field 'c' that nobody asked for"
    assert misfit(schema, {"a": 1, "b": ""}) == "the answer's 'a' is not of type string"
    assert misfit(schema, []) == "the answer is not of type object"
