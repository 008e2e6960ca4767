"""What expressions are worth: operators, functions, paths, and what is unknown."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.operators.expression import TYPE_ERROR, UNKNOWN, Scope, Unknown, attribute_of, compile_expression
from penstock.operators.expression_operator import same

EVENT: dict[str, Any] = {
    "outcome": "failed", "n": 1, "yes": True, "no": False, "nothing": None, "ms": 750.5, "zero": 0, "count": 20,
    "tags": ["a", 1, True, None], "resource": {"service": "api", "deep": {"n": 5}}, "a-b": 7, "class": "x",
    "__class__": "y", "text": "Failed password for root from 10.0.0.1", "big": 2**63 - 1, "huge": 2**70, "é": "accent",
}  # fmt: skip
MISSING = "event.missing"


def value_of(text: str, event: Mapping[str, Any] = EVENT) -> Any:
    compiled = compile_expression(text, Scope())
    fields = {attribute_of(name): event.get(name, UNKNOWN) for name in compiled.fields}
    return compiled.evaluate(SimpleNamespace(**fields), (), None)


def check(text: str, expected: Any) -> None:
    found = value_of(text)
    if isinstance(expected, Unknown):
        assert found is expected
    else:
        assert not isinstance(found, Unknown)
        assert same(found, expected), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000), ("2.5e-1", 0.25), ("-7", -7),
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("true", True), ("false", False),
        ("null", None), ("[1, 'a', [null]]", [1, "a", [None]]), ("[]", []), ("60s", 60_000), ("1h30m", 5_400_000),
        ("250ms", 250), ('duration("60s")', 60_000), ("1m + 30s", 90_000), ("event.ms < 1s", True), ("// why\n 1", 1),
        ("'a\"b'", 'a"b'), ('"a\'b"', "a'b"),
        (r'"\n\t\\\"\x41\u00e9\U0001F600\101"', '\n\t\\"Aé😀A'), (r"r'\d+'", r"\d+"), (r'R"\"', "\\"),
    ],
)  # fmt: skip
def test_literals_are_worth_what_they_say(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.outcome == 'failed'", True), ("event.outcome != 'failed'", False), ("'failed' == event.outcome", True),
        ("event.n == 1", True), ("event.n == 1.0", True), ("event.yes == 1", False), ("1 == event.yes", False),
        ("event.yes != 1", True), ("event.no == 0", False), ("event.no != 0", True), ("event.zero == false", False),
        ("event.n == true", False), ("event.yes == true", True), ("event.yes != true", False), ("event.n == '1'", False),
        ("event.nothing == null", True), ("event.nothing != null", False), ("event.n == null", False),
        ("event.tags == ['a', 1, true, null]", True), ("event.tags == ['a', 1, 1, null]", False),
        ("[1, true] == [1.0, true]", True), ("[true] == [1]", False), ("event.resource == event.resource", True),
        ("event.resource != event.resource", False), ("event.n == event.yes", False), ("null == null", True),
        ("1 == 'a'", False), ("1 != 'a'", True), ("event.big == 9223372036854775807", True),
        ("event.big == 9223372036854775807.0", False), ("event.huge > event.big", True),
        (f"{MISSING} == 1", UNKNOWN), (f"{MISSING} != 1", UNKNOWN), (f"{MISSING} == null", UNKNOWN),
        (f"{MISSING} == event.n", UNKNOWN), (f"{MISSING} == {MISSING}", UNKNOWN), ("event.n.x == 1", TYPE_ERROR),
    ],
)  # fmt: skip
def test_equality_is_by_type_and_value(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.ms > 500", True), ("500 < event.ms", True), ("event.ms <= 750.5", True), ("event.n >= 2", False),
        ("event.n < event.ms", True), ("event.outcome < 'g'", True), ("'g' > event.outcome", True), ("'Z' < 'a'", True),
        ("event.no < event.yes", True), ("event.no < true", True), ("1 < 1.5", True), ("false < true", True),
        ("event.yes > 0", TYPE_ERROR), ("event.outcome > 0", TYPE_ERROR), ("event.n > 'a'", TYPE_ERROR),
        ("event.nothing < 1", TYPE_ERROR), ("event.nothing < event.nothing", TYPE_ERROR),
        ("event.tags < event.tags", TYPE_ERROR), (f"{MISSING} > 0", UNKNOWN), (f"{MISSING} < event.outcome", UNKNOWN),
        (f"{MISSING} < 'a'", UNKNOWN), ("event.n.x < 1", TYPE_ERROR), ("event.n + 1 > 1", True),
        (f"{MISSING} + 1 > 1", UNKNOWN),
    ],
)  # fmt: skip
def test_order_is_within_one_type(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 / 2", 3.5), ("6 / 3", 2), ("7 % 3", 1), ("-7 % 3", -1), ("7 % -3", 1),
        ("5.5 % 2", 1.5), ("-5.5 % 2", -1.5), ("1 - -1", 2), ("--1", 1), ("-event.n", -1), ("- event.n", -1),
        ("event.big + 0", 2**63 - 1), ("'a' + event.outcome", "afailed"), ("[1] + event.tags", [1, "a", 1, True, None]),
        ("8 - 4 - 2", 2), ("16 / 4 / 2", 2), ("1 / 0", UNKNOWN), ("1 % 0", UNKNOWN), ("1.5 % 0.0", UNKNOWN),
        ("0.0 / 0", UNKNOWN), ("event.big + 1", TYPE_ERROR), ("-9223372036854775808 - 1", TYPE_ERROR),
        ("event.big * 2", TYPE_ERROR), ("-(-9223372036854775808)", TYPE_ERROR), ("event.huge + 0", TYPE_ERROR),
        ("1e308 * 10", TYPE_ERROR), ("1e308 + 1e308", TYPE_ERROR), ("event.huge * 1.5", 2**70 * 1.5),
        ("event.yes + 1", TYPE_ERROR), ("event.outcome * 2", TYPE_ERROR), ("event.outcome + 2", TYPE_ERROR),
        ("-event.yes", TYPE_ERROR), ("event.nothing + 1", TYPE_ERROR), (f"{MISSING} * 2", UNKNOWN),
        (f"-{MISSING}", UNKNOWN), (f"{MISSING} + event.n.x", TYPE_ERROR),
    ],
)  # fmt: skip
def test_arithmetic_knows_one_kind_of_number(text: str, expected: Any) -> None:
    check(text, expected)


def test_whole_numbers_beyond_the_range_of_doubles_do_not_raise() -> None:
    event = {"n": 10**4000}
    assert value_of("event.n * 1.5", event) is TYPE_ERROR
    assert value_of("event.n / 2", event) is TYPE_ERROR
    assert value_of("event.n % 2.5", event) is TYPE_ERROR
    assert value_of("double(event.n)", event) is TYPE_ERROR
    assert value_of("int(event.n)", event) is TYPE_ERROR
    assert value_of("event.n > 1.5", event) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.resource.service", "api"), ('event.resource["service"]', "api"), ("event.resource.deep.n == 5", True),
        ('event["a-b"]', 7), ('event["class"]', "x"), ("event.class", "x"), ("event.__class__", "y"), ('event["é"]', "accent"),
        ("event.tags[0]", "a"), ("event.tags[1.0]", 1), ("event.tags[4]", UNKNOWN), ("event.tags[-1]", UNKNOWN),
        ("event.tags[0.5]", TYPE_ERROR), ("event.tags['a']", TYPE_ERROR), ("event.tags[true]", TYPE_ERROR),
        ("event.tags[event.n]", 1), ("event.resource[event.outcome]", UNKNOWN), ("event.resource[1]", TYPE_ERROR),
        ("event.resource.nobody", UNKNOWN), ("event.nothing.x", TYPE_ERROR), ("event.outcome.x", TYPE_ERROR),
        (f"{MISSING}.x", UNKNOWN), (f"{MISSING}[0]", UNKNOWN), (f"event.tags[{MISSING}]", UNKNOWN), ("[5, 6][1]", 6),
        (f"[1, {MISSING}]", UNKNOWN), (f"[1, {MISSING}, event.n.x]", TYPE_ERROR),
        ("event.outcome in ['failed', 'error']", True), ("event.outcome in ['ok']", False), ("event.n in [2, 3]", False),
        ("event.n in [1]", True), ("event.yes in [1, 2]", False), ("event.yes in [0, 1]", False), ("event.n in [true]", False),
        ("event.nothing in [null]", True), ("event.tags in ['a']", False), ("event.tags in [['a', 1, true, null]]", True),
        ("1.0 in event.tags", True), ("2 in event.tags", False), ("'service' in event.resource", True),
        ("1 in event.resource", False), ("1 in event.outcome", TYPE_ERROR), (f"{MISSING} in ['a']", UNKNOWN),
        (f"'a' in {MISSING}", UNKNOWN), ("event.n.x in ['a']", TYPE_ERROR),
    ],
)  # fmt: skip
def test_paths_and_membership(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(event.n)", True), ("has(event.nothing)", True), ("has(event.missing)", False), ('has(event["a-b"])', True),
        ("has(event.resource.deep.n)", True), ("has(event.resource.deep.m)", False), ("has(event.missing.x.y)", False),
        ("has(event.n.x)", False), ("has(event.nothing.x)", False), ("has(event.tags[9].x)", False),
        ("has(event.missing) ? event.missing : 1", 1), ("!has(event.missing)", True),
    ],
)  # fmt: skip
def test_has_is_never_unknown(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size('aé😀')", 3), ("event.tags.size()", 4), ("size(event.resource)", 2), ("size(event.n)", TYPE_ERROR),
        (f"size({MISSING})", UNKNOWN), ("event.text.matches('^Failed \\\\w+')", True), ("matches(event.text, '[0-9]$')", True),
        ("event.text.matches('root$')", False), ("'é'.matches('^\\\\w$')", False), ("event.n.matches('1')", TYPE_ERROR),
        (f"{MISSING}.matches('1')", UNKNOWN), ("event.text.matches(event.outcome)", False), ("'a'.matches('a' + '')", True),
        ("'a'.matches('(' + '')", TYPE_ERROR), (f"'a'.matches({MISSING})", UNKNOWN),
        ("event.text.startsWith('Failed')", True), ("event.text.endsWith('.1')", True), ("event.text.contains('root')", True),
        ("event.text.contains(event.outcome)", False), ("event.n.contains('1')", TYPE_ERROR),
        (f"event.text.startsWith({MISSING})", UNKNOWN), ("'ÄbC'.lowerAscii()", "Äbc"), ("'äbC'.upperAscii()", "äBC"),
        ("event.n.lowerAscii()", TYPE_ERROR),
        ("int('12')", 12), ("int('-12')", -12), ("int('+5')", 5), ("int(' 5')", TYPE_ERROR), ("int('1_000')", TYPE_ERROR),
        ("int('٣')", TYPE_ERROR), ("int('')", TYPE_ERROR), ("int(1.9)", 1), ("int(-1.9)", -1), ("int(1e30)", TYPE_ERROR),
        ("int('9223372036854775808')", TYPE_ERROR), ("int(event.yes)", TYPE_ERROR), ("int(event.nothing)", TYPE_ERROR),
        ("double('1.5e3')", 1500), ("double('.5')", 0.5), ("double('5.')", 5), ("double('nan')", TYPE_ERROR),
        ("double('1e999')", TYPE_ERROR), ("double('inf')", TYPE_ERROR), ("double(event.n)", 1), ("double(event.yes)", TYPE_ERROR),
        ("string(1.0)", "1"), ("string(1)", "1"), ("string(-0.5)", "-0.5"), ("string(1e300)", "1e+300"),
        ("string(event.yes)", "true"), ("string(event.no)", "false"), ("string(event.nothing)", TYPE_ERROR),
        ("string(event.outcome)", "failed"), ("string(event.tags)", TYPE_ERROR), (f"string({MISSING})", UNKNOWN),
        ("duration('1' + 'm')", 60_000), ("duration(event.outcome)", TYPE_ERROR), (f"duration({MISSING})", UNKNOWN),
    ],
)  # fmt: skip
def test_functions(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.yes ? 1 : 2", 1), ("event.no ? 1 : 2", 2), (f"{MISSING} ? 1 : 2", UNKNOWN), ("event.n ? 1 : 2", TYPE_ERROR),
        (f"event.yes ? 1 : {MISSING}", 1), (f"event.yes ? {MISSING} : 1", UNKNOWN), ("has(event.n) ? 'a' : 1", "a"),
        ("event.no ? 1 : event.no ? 2 : 3", 3), ("event.no ? 1 : event.yes ? 2 : 3", 2),
    ],
)  # fmt: skip
def test_a_choice_looks_at_one_branch_only(text: str, expected: Any) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("event.no && event.no || event.yes", "(event.no && event.no) || event.yes"),
        ("event.yes || event.no && event.no", "event.yes || (event.no && event.no)"),
        ("!event.no && event.no", "(!event.no) && event.no"),
        ("1 + 1 == 2 && event.yes", "((1 + 1) == 2) && event.yes"),
        ("event.yes || event.yes ? 1 : 2", "(event.yes || event.yes) ? 1 : 2"),
        ("2 + 3 in [5]", "(2 + 3) in [5]"),
        ("-event.count % 6", "(-event.count) % 6"),
        ("2 * 6 % 5", "(2 * 6) % 5"),
    ],
)
def test_precedence_is_that_of_cel(text: str, grouped: str) -> None:
    check(text, value_of(grouped))


TRUTHS: dict[str, Any] = {
    "event.yes": True, "event.no": False, "event.missing": UNKNOWN, "event.n": TYPE_ERROR, "event.n.x": TYPE_ERROR,
    "has(event.n)": True, "has(event.missing)": False, "event.n == 2": False, f"{MISSING} == 2": UNKNOWN,
}  # fmt: skip
RISING = [False, TYPE_ERROR, UNKNOWN, True]
"""The order of truth for `&&`: the lowest of its parts. A value that is no condition is a type error."""
FALLING = [False, UNKNOWN, TYPE_ERROR, True]
"""The order of truth for `||`: the highest of its parts."""


def lowest(parts: list[Any]) -> Any:
    return RISING[min(map(RISING.index, parts))]


def highest(parts: list[Any]) -> Any:
    return FALLING[max(map(FALLING.index, parts))]


@pytest.mark.parametrize("parts", list(itertools.product(TRUTHS, repeat=2)))
def test_two_parts_of_logic_in_every_combination_and_order(parts: tuple[str, ...]) -> None:
    truths = [TRUTHS[part] for part in parts]
    assert value_of(" && ".join(parts)) is lowest(truths)
    assert value_of(" || ".join(parts)) is highest(truths)


@pytest.mark.parametrize(
    "parts", list(itertools.product(["event.yes", "event.no", "event.missing", "event.n"], repeat=3))
)
def test_three_parts_of_logic_in_every_combination_and_order(parts: tuple[str, ...]) -> None:
    truths = [TRUTHS[part] for part in parts]
    assert value_of(" && ".join(parts)) is lowest(truths)
    assert value_of(" || ".join(parts)) is highest(truths)


@pytest.mark.parametrize("part", TRUTHS)
def test_not_turns_what_is_known(part: str) -> None:
    truth = TRUTHS[part]
    assert value_of(f"!{part}" if "==" not in part else f"!({part})") is (
        truth if isinstance(truth, Unknown) else not truth
    )


def test_unknown_refuses_to_be_a_truth_value_and_stays_one_instance() -> None:
    with pytest.raises(TypeError, match="is True"):
        bool(UNKNOWN)
    assert copy.deepcopy([UNKNOWN, TYPE_ERROR]) == [UNKNOWN, TYPE_ERROR]
    assert copy.copy(UNKNOWN) is UNKNOWN
    assert repr(TYPE_ERROR) == "TYPE_ERROR"


def test_attributes_of_fields_are_identifiers_and_different() -> None:
    names = ["a", "class", "__dict__", "a-b", "a.b", "", " ", "é", "f_a", "x_61", "None", "1", "ﬁ", "fi"]
    attributes = [attribute_of(name) for name in names]
    assert len(set(attributes)) == len(names)
    assert all(
        attribute.isidentifier() and attribute.isascii() and not attribute.startswith("__") for attribute in attributes
    )


def test_there_is_neither_infinity_nor_nan() -> None:
    largest = 1.7976931348623157e308
    assert math.isinf(largest * 2)
    assert value_of("event.x * 2", {"x": largest}) is TYPE_ERROR
    assert value_of("event.x - event.x", {"x": largest}) == 0
