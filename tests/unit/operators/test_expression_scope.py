"""What an expression may name, and what it says about itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression import TYPE_ERROR, UNKNOWN, Scope, attribute_of, compile_expression
from penstock.operators.expression_function import FUNCTIONS
from penstock.operators.record import Record

DEFINES = {
    "failed": 'event.outcome == "failed"',
    "failures": "count(failed, 60s)",
    "slow": "event.ms > limit",
    "limit": "500",
}
SPANS = Scope(DEFINES, aggregates=True)


def event(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{attribute_of(name): value for name, value in fields.items()})


def test_definitions_stand_for_their_expressions() -> None:
    evaluate = compile_expression("failed && slow", Scope(DEFINES)).evaluate
    assert evaluate(event(outcome="failed", ms=600), (), None) is True
    assert evaluate(event(outcome="failed", ms=400), (), None) is False


def test_a_definition_is_one_operand_whatever_it_holds() -> None:
    scope = Scope({"sum": "1", "total": "1 + 2"})
    assert compile_expression("total * 2", scope).evaluate(None, (), None) == 6


def test_the_definitions_that_the_text_itself_names_are_reported_in_order() -> None:
    compiled = compile_expression("slow && (failures > 3 || slow) && count(failed, 5m) > 1", SPANS)
    assert compiled.defines == ("slow", "failures", "failed")


def test_fields_are_told_apart_by_who_reads_them() -> None:
    compiled = compile_expression("sum(event.bytes, 1m, failed) > 10 && event.ms > 5", SPANS)
    assert compiled.fields == {"bytes", "outcome", "ms"}
    assert compiled.own_fields == {"ms"}
    assert compiled.uses_event
    assert not compile_expression("failures > 1", SPANS).uses_event


def test_equal_aggregates_are_one_whatever_the_spaces_and_the_names() -> None:
    text = "failures > 1 && count(event . outcome=='failed',1m) < 9 && sum(1, 60s) > 0"
    compiled = compile_expression(text, SPANS)
    assert [call.identity for call in compiled.aggregates] == ['count(event.outcome == "failed", 1m)', "sum(1, 1m)"]
    assert compiled.evaluate(event(), (5, 1), None) is True
    assert compiled.evaluate(event(), (1, 1), None) is False


def test_an_aggregate_says_what_it_takes() -> None:
    (call,) = compile_expression("avg(event.ms, 5m, failed) > 1", SPANS).aggregates
    assert (call.name, call.span_ms) == ("avg", 300_000)
    assert call.value is not None
    assert call.where is not None
    assert call.value.evaluate(event(ms=7), (), None) == 7
    assert call.where.evaluate(event(outcome="ok"), (), None) is False


def test_an_aggregate_that_may_be_unknown_is_unknown_in_a_comparison() -> None:
    evaluate = compile_expression("avg(event.ms, 5m) > 1", SPANS).evaluate
    assert evaluate(None, (UNKNOWN,), None) is UNKNOWN
    assert evaluate(None, (TYPE_ERROR,), None) is TYPE_ERROR
    assert evaluate(None, (1.5,), None) is True


@pytest.mark.parametrize(
    ("text", "rising"),
    [
        ("failures >= 20", True),
        ("20 < failures", True),
        ("failures > 2 && event.ms > 5", True),
        ("failures > 2 || distinct(event.user, 1m) > 5 && rate(1, 1m) > 3", True),
        ("event.ms > 5", True),
        ("failures + count(true, 1h) + rate(1, 1m) > 3", True),
        ("20 <= failures + count(true, 1h)", True),
        ("failures + sum(event.ms, 1m) > 3", False),
        ("failures + event.ms > 3", False),
        ("failures - count(true, 1h) > 3", False),
        ("failures < 3", False),
        ("failures == 0", False),
        ("!(failures > 3)", False),
        ("sum(event.ms, 1m) > 3", False),
        ("max(event.ms, 1m) > 3", False),
        ("failures > count(true, 1m)", False),
        ("failures / count(true, 1m) > 0.5", False),
    ],
)
def test_rising_says_whether_time_alone_can_make_it_true(text: str, rising: bool) -> None:
    assert compile_expression(text, SPANS).rising is rising


RECORD = Record(
    "auth", 2, 1841, 1_700_000_000_000, b"web1", b"{}", (("trace", b"old"), ("trace", b"new"), ("raw", b"\xff"))
)
MOMENT = SimpleNamespace(key="LabSZ", source="auth", record=RECORD, time=1_700_000_000_500, labels={"env": "prod"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key", "LabSZ"),
        ("source == 'auth'", True),
        ("labels.env", "prod"),
        ("labels.team", UNKNOWN),
        ("has(labels.team)", False),
        ("'env' in labels", True),
        ("size(labels)", 1),
        ("record.topic", "auth"),
        ("record.partition", 2),
        ("record.offset", 1841),
        ("record.timestamp", 1_700_000_000_000),
        ("record.time - record.timestamp < 1s", True),
        ("record.key", "web1"),
        ("record.headers.trace", "new"),
        ('record.headers["trace"] == "new"', True),
        ('has(record.headers["span"])', False),
        ("record.headers.raw", TYPE_ERROR),
    ],
)
def test_the_record_and_its_surroundings_can_be_asked(text: str, expected: Any) -> None:
    compiled = compile_expression(text, Scope())
    assert compiled.uses_moment
    assert compiled.evaluate(None, (), MOMENT) is expected or compiled.evaluate(None, (), MOMENT) == expected


def test_a_record_without_a_key_has_the_key_null() -> None:
    moment = SimpleNamespace(record=Record("auth", 0, 0, 0, None, b""))
    assert compile_expression("record.key == null", Scope()).evaluate(None, (), moment) is True


def test_an_expression_over_the_event_alone_needs_no_moment() -> None:
    assert not compile_expression("event.n > 1", Scope()).uses_moment
    assert compile_expression("count(source == 'auth', 1m) > 1", SPANS).uses_moment


def test_other_scopes_have_other_roots() -> None:
    scope = Scope(roots=frozenset({"answer", "labels"}))
    compiled = compile_expression("answer.confidence < 0.7", scope)
    assert compiled.evaluate(None, (), SimpleNamespace(answer={"confidence": 0.5})) is True
    assert compiled.evaluate(None, (), SimpleNamespace(answer={})) is UNKNOWN


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("event.n", "any"),
        ("event.n > 1", "bool"),
        ("event.n * 2", "number"),
        ("key", "text"),
        ("[1]", "list"),
        ("null", "null"),
    ],
)
def test_the_kind_of_an_expression_is_known_where_its_text_tells(text: str, kind: str) -> None:
    assert compile_expression(text, Scope()).kind == kind


REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "expressions.md"


@pytest.mark.parametrize("name", [*FUNCTIONS, *AGGREGATES])
def test_the_reference_lists_every_function_and_aggregate(name: str) -> None:
    assert f"{name}(" in REFERENCE.read_text()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_every_function_compiles(name: str) -> None:
    assert compile_expression(FUNCTIONS[name].example, Scope()).kind == FUNCTIONS[name].gives


def test_an_earlier_step_is_read_field_by_field_and_what_it_lacks_is_unknown() -> None:
    scope = Scope(captures=("first_one", "p"), coming=frozenset({"q"}))
    compiled = compile_expression('event.v > p.v && !has(p["a-b"])', scope)
    assert compiled.captured == {("p", "v"), ("p", "a-b")}
    assert compiled.own_fields == {"v"}
    assert compiled.fields == {"v", "a-b"}
    now, before, lacking = event(v=2), event(v=1, **{"a-b": UNKNOWN}), event(v=UNKNOWN, **{"a-b": 1})
    assert compiled.evaluate(now, [lacking, before], None) is True
    assert compiled.evaluate(now, [before, lacking], None) is False
    assert compile_expression("event.v > p.v", scope).evaluate(now, [before, lacking], None) is UNKNOWN
    assert not compiled.uses_moment
