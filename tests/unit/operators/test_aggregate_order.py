"""`first`, `last` and `quantile`: what depends on how the events of a span lie."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.aggregate import AGGREGATES, new_aggregate
from penstock.operators.aggregate_order import CHUNK_MAX, Quantile, SortedNumbers
from penstock.operators.expression import UNKNOWN, Scope, compile_expression


def taken(name: str, *events: tuple[int, Any], span: int = 10) -> Any:
    """The value after these events at their largest time."""
    now = max(time for time, _ in events)
    aggregate = AGGREGATES[name].build(span)
    for time, value in events:
        aggregate.add(time, value, now)
    return aggregate.value(now)


def quantile(share: str, values: list[Any]) -> Any:
    aggregate = Quantile(10, Fraction(share))
    for value in values:
        aggregate.add(1, value, 1)
    return aggregate.value(1)


def test_the_first_and_the_last_go_by_time_and_not_by_arrival() -> None:
    events = ((5, "b"), (7, "c"), (3, "a"), (6, "late"))
    assert (taken("first", *events), taken("last", *events)) == ("a", "c")


def test_of_one_time_the_order_of_arrival_decides() -> None:
    events = ((5, "a"), (5, "b"), (5, "c"))
    assert (taken("first", *events), taken("last", *events)) == ("a", "c")


def test_the_first_gives_way_to_the_next_and_the_last_stays_until_all_have_left() -> None:
    first, last = AGGREGATES["first"].build(10), AGGREGATES["last"].build(10)
    for aggregate in (first, last):
        for time, value in ((1, "a"), (2, None), (4, "c")):
            aggregate.add(time, value, time)
    assert [first.value(now) for now in (10, 11, 12, 13)] == ["a", None, "c", "c"]
    assert [last.value(now) for now in (10, 11, 12, 13)] == ["c"] * 4
    assert first.value(14) is UNKNOWN
    assert last.value(14) is UNKNOWN


def test_an_event_behind_the_last_does_not_become_it_when_the_span_is_empty() -> None:
    last = AGGREGATES["last"].build(10)
    last.add(20, "a", 20)
    last.add(5, "gone", 20)
    assert last.value(20) == "a"
    last.add(25, "late", 31)
    assert last.value(31) == "late"


@pytest.mark.parametrize(
    ("share", "expected"),
    [("0", 1), ("0.01", 1), ("0.25", 1), ("0.26", 2), ("0.5", 2), ("0.75", 3), ("0.76", 4), ("0.99", 4), ("1", 4)],
)
def test_a_quantile_is_a_number_of_the_span_by_nearest_rank(share: str, expected: int) -> None:
    assert quantile(share, [3, 1, 4, 2]) == expected


def test_a_share_is_what_is_written_and_not_the_double_next_to_it() -> None:
    assert 0.07 * 100 > 7
    (call,) = compile_expression("quantile(event.a, 0.07, 1s) > 1", Scope(aggregates=True)).aggregates
    aggregate = new_aggregate(call)
    for value in range(1, 101):
        aggregate.add(1, value, 1)
    assert aggregate.value(1) == 7


def test_a_quantile_leaves_out_what_is_no_number() -> None:
    assert quantile("1", [1, True, "9", None, [7], 2.5]) == 2.5
    assert quantile("1", [True, "9"]) is UNKNOWN


def test_a_quantile_does_not_depend_on_the_order_of_arrival() -> None:
    told = {repr(quantile("0.5", list(order))) for order in permutations([1, 1.0, 2, -0.0, 0])}
    assert told == {"1"}
    assert {repr(quantile("0", list(order))) for order in permutations([-0.0, 0, 3])} == {"0"}


def test_a_quantile_of_huge_numbers_is_one_of_them() -> None:
    assert quantile("1", [2**63 - 1, 2.0**63, 1e308]) == 1e308
    assert quantile("0.5", [2**63 - 1, float(2**63), 2**63 + 2048]) == 2**63
    assert quantile("0", [10**400, -(10**400)]) == -(10**400)


@pytest.mark.parametrize("count", [1_000, 1_001, 5 * CHUNK_MAX])
def test_a_quantile_is_exact_however_many_numbers_there_are(count: int) -> None:
    scrambled = [number * 7919 % count for number in range(count)]
    assert quantile("0.99", scrambled) == sorted(scrambled)[-(-99 * count // 100) - 1]


@given(st.lists(st.tuples(st.booleans(), st.integers(-5_000, 5_000)), max_size=60), st.integers(0, 4 * CHUNK_MAX))
def test_numbers_stay_sorted_whatever_comes_and_goes(steps: list[tuple[bool, int]], begun: int) -> None:
    numbers, plain = SortedNumbers(), [number * 31 % 997 for number in range(begun)]
    for number in plain:
        numbers.add(number)
    for adds, number in steps:
        if adds or not plain:
            numbers.add(number)
            plain.append(number)
        else:
            numbers.remove(plain.pop(number % len(plain)))
    assert list(numbers) == sorted(plain)
    assert [numbers[place] for place in range(0, len(plain), 97)] == sorted(plain)[::97]


def test_there_is_no_number_behind_the_last() -> None:
    numbers = SortedNumbers()
    numbers.add(1)
    with pytest.raises(IndexError):
        numbers[1]
