"""Aggregates over (N − span, N]. Times in the tests are small; the span is 10 unless said."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from penstock.operators.aggregate import AGGREGATES, Aggregate, new_aggregate
from penstock.operators.exact_sum import ExactSum
from penstock.operators.expression import TYPE_ERROR, UNKNOWN, Scope, compile_expression

TOTALS = {"count": 0, "sum": 0, "distinct": 0, "rate": 0}


def build(name: str, span: int = 10) -> Aggregate:
    return AGGREGATES[name].build(span)


def filled(name: str, *values: Any, span: int = 10) -> Aggregate:
    """An aggregate with these values at the times 1, 2, 3, …"""
    aggregate = build(name, span)
    for time, value in enumerate(values, start=1):
        aggregate.add(time, value, time)
    return aggregate


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_empty_span_is_zero_or_unknown(name: str) -> None:
    aggregate = build(name)
    assert aggregate.value(100) == TOTALS[name] if name in TOTALS else aggregate.value(100) is UNKNOWN
    assert aggregate.next_change(100) is None


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_event_leaves_exactly_when_its_time_plus_the_span_is_reached(name: str) -> None:
    #   time   5 ········· 14  15
    #          in            out
    aggregate = build(name)
    empty = aggregate.value(4)
    aggregate.add(5, 3, 5)
    assert aggregate.next_change(5) == 15
    assert aggregate.value(14) != empty
    assert aggregate.value(15) == empty
    assert aggregate.next_change(15) is None


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_event_that_comes_too_late_for_the_span_is_ignored(name: str) -> None:
    aggregate = build(name)
    aggregate.add(20, 3, 20)
    before = aggregate.value(20)
    aggregate.add(10, 99, 20)
    assert aggregate.value(20) == before
    assert aggregate.next_change(20) == 30


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_event_that_comes_late_counts_and_leaves_in_its_own_time(name: str) -> None:
    in_order, late = build(name), build(name)
    for aggregate, times in ((in_order, (11, 15, 20)), (late, (20, 11, 15))):
        for time in times:
            aggregate.add(time, time, 20)
    for now in range(20, 32):
        assert in_order.next_change(now) == late.next_change(now)
        assert in_order.value(now) is late.value(now) or in_order.value(now) == late.value(now)


@pytest.mark.parametrize("name", AGGREGATES)
def test_content_that_nobody_asks_for_does_not_pile_up(name: str) -> None:
    aggregate = build(name)
    for time in range(1, 1000):
        aggregate.add(time, time % 7, time)
    assert len(msgspec.msgpack.encode(aggregate.dump())) < 200


@pytest.mark.parametrize("name", AGGREGATES)
def test_what_was_dumped_and_loaded_goes_on_as_before(name: str) -> None:
    aggregate, restored = filled(name, 3, 1.5, 2, 2, 7), build(name)
    restored.load(msgspec.msgpack.decode(msgspec.msgpack.encode(aggregate.dump())))
    for each in (aggregate, restored):
        each.add(4, 9, 8)
    for now in range(8, 20):
        assert restored.next_change(now) == aggregate.next_change(now)
        assert restored.value(now) is aggregate.value(now) or restored.value(now) == aggregate.value(now)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], 6),
        ([0.1] * 10, 1.0),
        ([1e16, 1, -1e16], 1.0),
        ([1e308, 1e308, -1e308], 1e308),
        ([2**62, 2**62], float(2**63)),
        ([2**62, 2**62, -(2**61)], 2**63 - 2**61),
        ([2**53, 1], 2**53 + 1),
        ([2**53, 1, 0.0], float(2**53)),
        ([5e-324, 5e-324], 1e-323),
        ([1, "2", True, None, [3]], 1),
    ],
)
def test_a_sum_is_as_if_exact_and_rounded_once(values: list[Any], expected: float) -> None:
    found = filled("sum", *values, span=100).value(len(values))
    assert (found, type(found)) == (expected, type(expected))


def test_a_sum_forgets_without_a_trace() -> None:
    total = ExactSum()
    total.add(0.1)
    for number in (1e300, 5e-324, 3, -7.25):
        total.add(number)
    for number in (3, 1e300, -7.25, 5e-324):
        total.remove(number)
    assert total.value() == 0.1
    total.remove(0.1)
    total.add(2)
    assert (total.value(), type(total.value())) == (2, int)


def test_a_sum_beyond_the_doubles_is_a_type_error() -> None:
    assert filled("sum", 1e308, 1e308).value(2) is TYPE_ERROR
    assert filled("sum", 10**400).value(1) is TYPE_ERROR


def test_an_average_is_rounded_once_and_leaves_out_what_is_no_number() -> None:
    assert filled("avg", 1, 2, "x", None, True).value(5) == 1.5
    assert filled("avg", 1e308, 1e308).value(2) == 1e308
    assert filled("avg", "x").value(1) is UNKNOWN
    assert filled("avg", 0.1, 0.2, 0.3).value(3) == 0.2
    assert math.fsum([0.1, 0.2, 0.3]) / 3 == 0.19999999999999998, "a sum that is rounded first"


@pytest.mark.parametrize(
    ("values", "least", "most"),
    [
        ([3, 1, 2.5], 1, 3),
        (["b", "a", "c"], "a", "c"),
        ([True, False], False, True),
        ([1, "a"], TYPE_ERROR, TYPE_ERROR),
        ([1, True], TYPE_ERROR, TYPE_ERROR),
        ([1, None], TYPE_ERROR, TYPE_ERROR),
        ([None, None], TYPE_ERROR, TYPE_ERROR),
        ([[1], [2]], TYPE_ERROR, TYPE_ERROR),
    ],
)
def test_extremes_are_of_values_that_have_an_order(values: list[Any], least: Any, most: Any) -> None:
    assert filled("min", *values).value(len(values)) == least
    assert filled("max", *values).value(len(values)) == most


def test_extremes_come_back_when_what_does_not_go_with_them_has_left() -> None:
    largest = filled("max", "a", 5, 3)
    assert largest.value(3) is TYPE_ERROR
    assert largest.value(11) == 5
    assert largest.value(12) == 3
    assert largest.value(13) is UNKNOWN


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a"], 2),
        ([1, 1.0, True, "1"], 3),
        ([None, None, 0, False], 3),
        ([[1], [1.0], [True]], 2),
        ([{"a": 1}, {"a": 1.0}, {"a": True}, {}], 3),
        ([[], {}, "", None], 4),
    ],
)
def test_distinct_values_differ_by_type_and_value(values: list[Any], expected: int) -> None:
    assert filled("distinct", *values).value(len(values)) == expected


def test_a_rate_divides_by_the_whole_span_however_young_the_key() -> None:
    assert filled("rate", "a", "b", "c", span=60_000).value(3) == 3 / 60


def test_an_aggregate_is_built_from_its_call() -> None:
    (call,) = compile_expression("sum(event.bytes, 5m) > 1", Scope(aggregates=True)).aggregates
    aggregate = new_aggregate(call)
    aggregate.add(1, 7, 1)
    assert (aggregate.value(1), aggregate.next_change(1)) == (7, 300_001)


@pytest.mark.parametrize("name", AGGREGATES)
def test_the_example_of_every_aggregate_compiles(name: str) -> None:
    (call,) = compile_expression(AGGREGATES[name].example, Scope(aggregates=True)).aggregates
    assert call.name == name
