"""The simulated model's rules: every schema that it accepts is satisfied, and equal prompts get equal answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.error import Misused, Rejected
from penstock.operators.event import Message
from penstock.pipelines.fake_answer import Rule, load_rules, simulated_answer
from penstock.pipelines.fake_evidence import evidence
from penstock.pipelines.fake_fault import FaultRates, parse_faults
from penstock.pipelines.fake_schema import Unsupported, satisfy
from penstock.pipelines.fake_text import NoSuchText, matching

FAILED = "Failed password for root from 10.0.0.1\n"
ACCEPTED = "Accepted publickey for deploy\n"


def answer(events: str, schema: dict[str, Any] | None) -> Any:
    text = simulated_answer([Message("system", "error error"), Message("user", events)], schema)
    return text if schema is None else json.loads(text)


def leaf() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(0, 100)).map(lambda pair: (pair[0], pair[0] + pair[1]))
    return st.one_of(
        st.lists(st.sampled_from(["attack", "benign", "a", "b", 1, None]), min_size=1).map(
            lambda values: {"enum": values}
        ),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["null", "string"]}, {"const": 3}, {}]),
        bounds.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}),
        bounds.map(lambda pair: {"type": "number", "minimum": pair[0], "maximum": pair[1]}),
        st.sampled_from([{"type": "integer"}, {"type": "number"}, {"type": "integer", "exclusiveMinimum": 3}]),
        st.integers(1, 20).map(lambda step: {"type": "integer", "multipleOf": step, "minimum": 0, "maximum": 100}),
        st.tuples(st.integers(0, 20), st.integers(20, 400)).map(
            lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[1]}
        ),
        st.sampled_from(
            [{"type": "string", "pattern": p} for p in (r"^[A-Z]{2}-\d{4}$", r"^(GET|POST) /", r"[^a-z0-9]+$")]
        ),
        st.sampled_from(["date", "date-time", "ipv4", "email", "uuid"]).map(
            lambda form: {"type": "string", "format": form}
        ),
    )


NAMES = st.sampled_from(["verdict", "confidence", "count", "why", "action", "severity", "benign", "x"])
SCHEMAS = st.recursive(
    leaf(),
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=4).map(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": list(parts),
                "additionalProperties": False,
            }
        ),
        st.tuples(inner, st.integers(0, 3)).map(lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1]}),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda part: {"$defs": {"part": part}, "allOf": [part]}),
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.integers(0, 30), st.integers(0, 30))
def test_every_answer_satisfies_its_schema(schema: dict[str, Any], failed: int, accepted: int) -> None:
    value = satisfy(schema, evidence([FAILED * failed + ACCEPTED * accepted]))
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())


def test_references_within_the_schema_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"verdict": {"$ref": "#/$defs/verdict"}},
        "$defs": {"verdict": {"enum": ["benign", "attack"]}},
    }
    assert answer(FAILED * 9, schema) == {"verdict": "attack"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "cat"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"type": "string", "format": "zip"},
        {"type": "string", "pattern": "(?=look)ahead"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "^[a-z]{9}$", "maxLength": 4},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5},
        {"type": "array", "items": {}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "properties": {"x": False}},
        {"anyOf": [{"type": "cat"}]},
    ],
)
def test_what_cannot_be_satisfied_is_said_and_not_answered_wrongly(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        satisfy(schema, evidence([]))


@pytest.mark.parametrize(
    ("options", "failed", "unclear", "accepted"),
    [
        (["attack", "benign", "unclear"], "attack", "unclear", "benign"),
        (["benign", "unclear", "attack"], "attack", "unclear", "benign"),
        (["low", "medium", "high", "critical"], "critical", "medium", "low"),
        (["yes", "no"], "yes", "yes", "no"),
        (["no_incident", "incident"], "incident", "no_incident", "no_incident"),
        (["red", "amber", "green"], "green", "amber", "red"),
        (["ignore", "watch", "escalate"], "escalate", "watch", "ignore"),
    ],
)
def test_an_enum_is_answered_by_how_alarming_its_words_are(
    options: list[str], failed: str, unclear: str, accepted: str
) -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": options}}}
    assert answer(FAILED * 30, schema) == {"verdict": failed}
    assert answer("tick\n" * 30, schema) == {"verdict": unclear}
    assert answer(ACCEPTED * 30, schema) == {"verdict": accepted}


def test_numbers_and_flags_follow_the_counts() -> None:
    properties = {
        "failures": {"type": "integer", "minimum": 0}, "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "attack": {"type": "boolean"}, "healthy": {"type": "boolean"}, "risk": {"type": "integer", "minimum": 0, "maximum": 10},
    }  # fmt: skip
    schema = {"type": "object", "properties": properties}
    assert answer(FAILED * 12, schema) == {
        "failures": 12,
        "confidence": 0.88,
        "attack": True,
        "healthy": False,
        "risk": 9,
    }
    assert answer(ACCEPTED * 12, schema) == {
        "failures": 0,
        "confidence": 0.88,
        "attack": False,
        "healthy": True,
        "risk": 1,
    }


def test_sentences_cite_the_numbers() -> None:
    assert answer(FAILED * 12 + ACCEPTED, None) == (
        '12 of 13 lines show trouble, mostly "failed" (12 times). 12 of them name 10.0.0.1.'
    )
    assert answer("tick\n", None) == "Nothing in 1 lines speaks of trouble."


def test_the_keys_of_an_event_and_the_question_are_no_evidence() -> None:
    found = evidence(['{"error": null, "failed": 0, "message": "ok"}\nIs this an attack?'])
    assert (found.troubled, found.calm, found.lines) == (0, 1, 1)


def test_a_series_that_leaps_is_trouble_and_one_that_does_not_is_none() -> None:
    steady = "".join(f'{{"ts": {n}, "latency": {40 + n % 5}}}\n' for n in range(40))
    assert evidence([steady]).alarm < 0.5
    leapt = evidence([steady + '{"ts": 41, "latency": 900}\n' * 4])
    assert leapt.alarm == 1.0
    assert leapt.leap is not None
    assert (leapt.leap.name, leapt.leap.newest) == ("latency", 900)


@pytest.mark.parametrize(
    "pattern", [r"^[a-z]{4}$", r"^\d{3}-\w+$", r"(?:ab|cd)+x?", r"^[^\s\d]+$", "", r"\S\s\D\W", "^.{3,5}$"]
)
def test_a_text_for_a_pattern_matches_it(pattern: str) -> None:
    assert re.search(pattern, matching(pattern))


def test_a_text_for_a_pattern_grows_where_repetition_allows_it() -> None:
    assert len(matching("^[a-z]+$", length_min=12)) >= 12
    with pytest.raises(NoSuchText):
        matching("^[a-z]{3}$", length_min=12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {when: a}", "answer"),
        ("- {when: a, matches: b, answer: c}", "not both"),
        ("- {matches: '(', answer: c}", "no RE2 expression"),
        ("- {when: a, then: b, answer: c}", "then"),
        ("verdict: attack", "write a list"),
        ("- [", "cannot be read"),
    ],
)
def test_a_wrong_answers_file_is_rejected_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    with pytest.raises(Rejected, match=r"answers\.yaml") as rejected:
        load_rules(path)
    assert said in str(rejected.value)


def test_an_answers_file_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text("- when: root\n  answer: {verdict: attack}\n- answer: nothing\n")
    assert load_rules(path) == (Rule(when="root", answer={"verdict": "attack"}), Rule(answer="nothing"))
    with pytest.raises(Rejected, match="cannot be read"):
        load_rules(tmp_path / "missing.yaml")


def test_fault_rates_are_read_and_drawn_at_about_their_rates() -> None:
    rates = parse_faults("cut=0.25, busy=0.5", seed=3)
    assert rates == FaultRates((("cut", 0.25), ("busy", 0.5)), 3)
    drawn = [rates.of(str(number).encode(), 0) for number in range(2000)]
    assert 400 < drawn.count("cut") < 600
    assert 900 < drawn.count("busy") < 1100
    assert parse_faults("").of(b"x", 0) is None


@pytest.mark.parametrize("spec", ["cut", "cut=x", "cut=-1", "fire=0.1", "cut=0.6,busy=0.6"])
def test_wrong_fault_rates_are_rejected(spec: str) -> None:
    with pytest.raises(Misused, match="--fault"):
        parse_faults(spec)
