"""What an aggregate holds, and how much memory that takes."""

from __future__ import annotations

import tracemalloc

import pytest

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression_value import UNKNOWN

MINUTE = 60_000


@pytest.mark.parametrize("name", ["count", "sum"])
def test_few_events_of_very_many_keys_take_little_memory(name: str) -> None:
    """A deque takes 700 bytes for its first event."""
    build = AGGREGATES[name].build
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        many = [build(MINUTE) for _ in range(1_000)]
        empty, _ = tracemalloc.get_traced_memory()
        for aggregate in many:
            aggregate.add(1_000, 1, 1_000)
        one, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (empty - before) / len(many) < 250
    assert (one - empty) / len(many) < 250


@pytest.mark.parametrize("name", ["count", "sum", "last", "first"])
def test_however_many_come_and_go_the_content_is_that_of_the_span(name: str) -> None:
    aggregate = AGGREGATES[name].build(MINUTE)
    for number in range(40):
        aggregate.add(number * 5_000, number, number * 5_000)
    held = [number for number in range(40) if number * 5_000 > 39 * 5_000 - MINUTE]
    expected = {"count": len(held), "sum": sum(held), "last": held[-1], "first": held[0]}
    assert aggregate.value(39 * 5_000) == expected[name]
    again = AGGREGATES[name].build(MINUTE)
    again.load(aggregate.dump())
    assert again.value(39 * 5_000) == expected[name]
    assert again.next_change(39 * 5_000) == held[0] * 5_000 + MINUTE
    assert again.value(100 * 5_000) in (0, UNKNOWN)
