"""Mistakes in expressions: each is found before any event is read, with the character where it stands and what to do."""

from __future__ import annotations

import pytest

from penstock.operators.expression import RESERVED_NAMES, ExpressionError, Scope, compile_expression

DEFINES = {"failed": 'event.outcome == "failed"', "failures": "count(failed, 60s)", "broken": "1 +", "typed": "1 < 'a'"}


def error_of(text: str, *, aggregates: bool = True, defines: dict[str, str] | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, Scope(DEFINES if defines is None else defines, aggregates))
    assert 0 <= caught.value.offset <= len(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "offset", "part"),
    [
        ("", 0, "expected a value, found the end"),
        ("1 +", 3, "expected a value, found the end"),
        ("(1", 2, "expected `)`"),
        ("1 2", 2, "expected an operator or the end, found `2`"),
        ("event.", 6, "name of a field"),
        ("event.outcome = 'a'", 14, "write =="),
        ("event.a & event.b", 8, "write &&"),
        ("event.a and event.b", 8, "write &&"),
        ("event.a or event.b", 8, "write ||"),
        ("not event.a", 4, "expected an operator"),
        ("event.a == 'x", 11, "no closing '"),
        ('event.a == "x\ny"', 11, 'no closing "'),
        (r'"\q"', 1, "no escape"),
        (r'"\ud800"', 1, "no escape"),
        ("1 < 2 < 3", 6, "`&&` between two comparisons"),
        ("60sec", 0, "neither a number nor a duration"),
        ("1.5h", 0, "neither a number nor a duration"),
        ("30m1h", 0, "not a duration"),
        ("9223372036854775808", 0, "too large"),
        ("1e999", 0, "too large"),
        ("{'a': 1}", 0, "no map literals"),
        ("event.a # b", 8, "no meaning"),
        ("[1,, 2]", 3, "expected a value"),
        ("x ? 1", 5, "expected `:`"),
        ("in", 0, "expected a value"),
    ],
)
def test_what_cannot_be_read_is_reported_where_it_begins(text: str, offset: int, part: str) -> None:
    error = error_of(text)
    assert (error.offset, part in error.message) == (offset, True), str(error)


@pytest.mark.parametrize(
    ("text", "offset", "hint", "part"),
    [
        ("failurs > 3", 0, "failures", "nothing here is called `failurs`"),
        ("outcome == 'x'", 0, None, "written `event.outcome`"),
        ("1 + evnt.a", 4, "event", "nothing here is called `evnt`"),
        ("cuont(true, 1m) > 1", 0, "count", "no function `cuont`"),
        ("event.a.startswith('x')", 8, "startsWith", "no function `startswith`"),
        ("record.offest > 1", 7, "offset", "a record has no `offest`"),
        ("count > 3", 0, None, "is a function; write count("),
        ("event.items.all(x, x > 1)", 12, None, "no part of this language"),
        ("tables.hosts[key]", 0, None, "rows of tables cannot be read here"),
        ("quantil(event.a, 0.5, 1m) > 1", 0, "quantile", "no function `quantil`"),
        ("failed(1)", 0, None, "is no function"),
    ],
)
def test_unknown_names_come_with_the_nearest_one(text: str, offset: int, hint: str | None, part: str) -> None:
    error = error_of(text)
    assert (error.offset, error.hint, part in error.message) == (offset, hint, True), str(error)
    assert (hint is None) or f"did you mean `{hint}`?" in str(error)


@pytest.mark.parametrize(
    ("text", "offset", "part"),
    [
        ("count(failed)", 0, "count(condition, span), such as count(event.outcome"),
        ("count(failed, 60s, failed)", 0, "count(condition, span)"),
        (
            "quantile(event.a, 1m) > 1",
            0,
            "quantile(value, share, span[, condition]), such as quantile(event.latency_ms, 0.99",
        ),
        ("quantile(event.a, 0.5, 1m, true, 1) > 1", 0, "quantile(value, share, span[, condition])"),
        ("quantile(event.a, 99, 1m) > 1", 18, "a number from 0 to 1, written out, such as 0.99"),
        ("quantile(event.a, event.b, 1m) > 1", 18, "a number from 0 to 1"),
        ("quantile(event.a, true, 1m) > 1", 18, "a number from 0 to 1"),
        ("quantile(event.a, -0.1, 1m) > 1", 18, "a number from 0 to 1"),
        ("quantile(event.a, 0.5, 60) > 1", 23, "the span of `quantile` is a duration"),
        ("quantile('a', 0.5, 60s) > 1", 9, "`quantile` takes numbers, found a text"),
        ("first(event.a) > 1", 0, "first(value, span[, condition])"),
        ("sum(event.a)", 0, "sum(value, span[, condition]), such as sum(event.bytes, 5m)"),
        ("count(60s, failed)", 11, "the span of `count` is a duration"),
        ("count(failed, 60)", 14, "the span of `count` is a duration"),
        ("count(failed, event.span)", 14, "the span of `count` is a duration"),
        ("count(failed, 0s)", 14, "the span of `count` is a duration"),
        ('count(failed, duration("60sec"))', 23, "not a duration"),
        ("count(5, 60s)", 6, "a condition is true, found a number"),
        ("sum(event.a, 60s, 'x')", 18, "a condition is true, found a text"),
        ("sum(event.a > 1, 60s)", 4, "count(condition, span) counts events"),
        ("avg('a', 60s)", 4, "takes numbers, found a text"),
        ("count(failures > 1, 60s)", 6, "stands inside `count`"),
        ("sum(count(failed, 1m), 60s)", 4, "stands inside `sum`"),
        ("event.a.count(60s)", 8, "no method"),
    ],
)
def test_aggregates_are_written_in_one_way(text: str, offset: int, part: str) -> None:
    error = error_of(text)
    assert (error.offset, part in error.message) == (offset, True), str(error)


@pytest.mark.parametrize("text", ["count(failed, 60s) > 1", "event.a > 1 && failures > 1"])
def test_aggregates_are_refused_outside_of_when_and_until(text: str) -> None:
    assert "`when` and `until` only" in error_of(text, aggregates=False).message


@pytest.mark.parametrize(
    ("text", "offset", "part"),
    [
        ("1 < 'a'", 2, "found a number and a text"),
        ("event.a > null", 8, "numbers with numbers"),
        ("1 + 'a'", 2, "`+` adds numbers and joins texts or lists"),
        ("event.a * 'a'", 8, "`*` takes numbers"),
        ("true + true", 5, "`+` adds"),
        ("1 && event.a", 0, "takes conditions, found a number"),
        ("event.a || 'x'", 11, "takes conditions, found a text"),
        ("!1", 0, "takes a condition"),
        ("-'a'", 0, "takes a number"),
        ("1 ? 2 : 3", 0, "takes conditions"),
        ("event.a in 'abc'", 8, "text.contains(part)"),
        ("event.a in 5", 8, "found a number"),
        ("'a'.b", 4, "a text has no field `b`"),
        ("5[0]", 0, "cannot be indexed"),
        ("event.a.matches('(')", 16, "no RE2 pattern"),
        ("event.a.matches('(?=x)')", 16, "look-around"),
        ("event.a.matches(5)", 16, "takes a text, found a number"),
        ("matches(event.a)", 0, "takes 2 values, found 1"),
        ("event.a.contains()", 8, "takes one value, found 0"),
        ("event.a.lowerAscii(1)", 8, "takes nothing, found 1"),
        ("contains(event.a, 'x')", 0, "is written event.text.contains("),
        ("event.a.int()", 8, "is written int("),
        ("has(event)", 0, "write has(event.user)"),
        ("has(failed)", 0, "write has(event.user)"),
        ("has(event.a, event.b)", 0, "write has(event.user)"),
        ("event == 1", 0, "field by field"),
        ("event[key]", 0, "field by field"),
        ("record", 0, "part by part"),
        ("record.headers == 1", 7, "one by one"),
    ],
)
def test_what_can_never_work_is_refused_at_its_place(text: str, offset: int, part: str) -> None:
    error = error_of(text)
    assert (error.offset, part in error.message) == (offset, True), str(error)


@pytest.mark.parametrize(("text", "define"), [("event.a && broken", "broken"), ("event.a || typed", "typed")])
def test_a_mistake_in_a_definition_is_reported_where_it_is_named(text: str, define: str) -> None:
    error = error_of(text)
    assert (error.offset, error.define) == (11, define)
    assert error.message.startswith(f"in the definition of `{define}`: ")


@pytest.mark.parametrize("entry", ["a", "b", "c", "outer"])
def test_a_cycle_of_definitions_is_named_from_its_first_member(entry: str) -> None:
    defines = {"outer": "c", "a": "b + 1", "b": "c", "c": "[a]"}
    error = error_of(f"1 + {entry}", defines=defines)
    assert "`a` is defined by itself: a → b → c → a" in error.message
    assert (error.offset, error.define) == (4, "a")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1" * 4097, "4097 characters"),
        ("(" * 33 + "1" + ")" * 33, "deeper than 32"),
        ("!" * 40 + "event.a", "deeper than 32"),
        ("-" * 4000 + "1", "deeper than 32"),
        ("[" * 4000, "deeper than 32"),
        ("event" + ".a" * 40, "deeper than 32"),
        ("1" + "+1" * 1500, "more than 256 parts"),
        ("[" + ",".join("1" * 300) + "]", "more than 256 parts"),
    ],
)
def test_an_expression_has_a_largest_size(text: str, part: str) -> None:
    assert part in error_of(text).message


def test_definitions_count_as_often_as_they_are_named() -> None:
    doubling = {f"d{level}": f"[d{level + 1}, d{level + 1}, d{level + 1}]" for level in range(9)} | {"d9": "1"}
    assert "more than 256 parts, definitions included" in error_of("d0", defines=doubling).message
    aliases = {f"d{level}": f"d{level + 1}" for level in range(2000)} | {"d2000": "1"}
    assert "deeper than 32" in error_of("d0", defines=aliases).message


def test_a_long_chain_of_conditions_is_not_deep() -> None:
    chain = " || ".join(f"event.code == {code}" for code in range(2, 62))
    assert compile_expression(chain, Scope()).kind == "bool"


def test_the_words_of_the_language_are_reserved() -> None:
    assert {"event", "count", "size", "has", "true", "tables", "answer", "matches"} <= RESERVED_NAMES
