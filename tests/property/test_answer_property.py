"""Whatever a model says, reading it never fails, and what was shown of it is never taken back."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.operators.answer import Unusable, completed_fields, shape_of_fields
from penstock.operators.answer_schema import closed, misfit

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
objects = st.dictionaries(st.text(), values)
SHAPE = shape_of_fields({"a": {"type": ["string", "null"]}, "b": {"type": "integer", "minimum": 3}})
MODEL_PIECES = [
    '{"a": ',
    '"b": ',
    "null",
    "3",
    ", ",
    "}",
    "{",
    '"',
    "\\",
    "\\ud83d",
    "```",
    "<think>",
    "</think>",
    "1e999",
    "[",
    " ",
]
texts = st.text() | st.lists(st.sampled_from(MODEL_PIECES)).map("".join)


@given(objects, st.booleans(), st.sampled_from(["", "Well, ", "```json\n"]))
def test_every_prefix_shows_a_part_of_the_whole_and_more_of_it_each_time(
    answer: dict[str, Any], ascii_only: bool, prose: str
) -> None:
    text = prose + json.dumps(answer, ensure_ascii=ascii_only)
    before: dict[str, Any] = {}
    for end in range(len(text) + 1):
        shown = completed_fields(text[:end])
        assert shown.items() >= before.items() if _hashable(shown) else list(shown)[: len(before)] == list(before)
        assert all(answer[name] == value for name, value in shown.items())
        before = shown
    assert before == answer


def _hashable(fields: dict[str, Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in fields.values())


@given(texts, st.sampled_from(["stop", "length"]))
def test_any_text_is_an_answer_that_can_be_written_or_a_reason(text: str, finish: str) -> None:
    found = SHAPE.parse(text, finish)
    if isinstance(found, Unusable):
        assert found.reason
    else:
        orjson.dumps(found)
        assert misfit(SHAPE.schema, found) is None


@given(texts)
@example('{"a": null, </think> {"a": "x"}')
@example('<think>{"a": null, </think> {"a": "x"}')
def test_what_is_shown_of_any_text_can_be_written_and_is_never_taken_back(text: str) -> None:
    before: list[tuple[str, Any]] = []
    for end in range(len(text) + 1):
        shown = list(SHAPE.completed(text[:end]).items())
        orjson.dumps(dict(shown))
        assert shown[: len(before)] == before
        before = shown


constraints = st.fixed_dictionaries(
    {},
    optional={
        "enum": st.lists(scalars, min_size=1, max_size=3),
        "const": scalars,
        "minimum": st.integers(-5, 5),
        "exclusiveMaximum": st.floats(-5, 5),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
    },
)
types = st.sampled_from(["string", "number", "integer", "boolean", "null"])
leaf_schemas = st.builds(lambda kind, limits: {"type": kind, **limits}, types, constraints)
schemas = st.recursive(
    leaf_schemas,
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda properties: {"type": "object", "properties": properties}
        )
    ),
    max_leaves=4,
)
near_values = st.recursive(
    st.none() | st.booleans() | st.integers(-6, 6) | st.sampled_from([0.5, 1.0, "", "a", "abcd"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)


@given(schemas, near_values)
def test_fitting_means_what_json_schema_says(schema: dict[str, Any], value: Any) -> None:
    closed_schema = closed(schema)
    expected = jsonschema.Draft202012Validator(closed_schema).is_valid(value)
    assert (misfit(closed_schema, value) is None) == expected
