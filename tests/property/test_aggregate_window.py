"""Aggregates against what they mean: the list of events of the span, looked at as a whole.

Events come in any order, N moves as it likes, and the aggregate is saved and restored at some point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.aggregate import AGGREGATES, AggregateKind
from penstock.operators.expression import TYPE_ERROR, UNKNOWN, Unknown
from penstock.operators.expression_operator import same
from penstock.operators.expression_value import kind_of

SPAN = 20
numbers = st.one_of(
    st.integers(-9, 9), st.integers(-(2**64), 2**64), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1e16, -1e16, 1e308, -1e308, 5e-324, 2**63 - 1]),
)  # fmt: skip
values = st.one_of(
    st.integers(-3, 3), st.sampled_from([0.5, 1.0, -1.0]), st.booleans(), st.none(), st.sampled_from(["a", "b"]),
    st.lists(st.integers(0, 1), max_size=2), numbers,
)  # fmt: skip
# What to draw from: often one kind only, or extremes would hardly ever be anything but a type error.
streams = st.sampled_from([numbers, values, st.integers(-3, 3), st.sampled_from(["a", "b", "c"])])

History = list[tuple[int, int | None, Any]]
"""(N, time of an event or None for a look without an event, its value)"""


@st.composite
def histories(draw: st.DrawFn) -> History:
    stream, now, history = draw(streams), 0, []
    for step, age, value in draw(
        st.lists(
            st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, SPAN + 3), st.just(0)), stream),
            max_size=40,
        )
    ):
        now += step
        history.append((now, None if age is None else now - age, value))
    return history


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def rounded(exact: Fraction) -> float | Unknown:
    try:
        return float(exact)
    except OverflowError:
        return TYPE_ERROR


def total(content: Sequence[Any]) -> Any:
    exact = sum(map(Fraction, content), Fraction(0))
    whole = all(type(value) is int for value in content) and -(2**63) <= exact < 2**63
    return int(exact) if whole else rounded(exact)


def mean(content: Sequence[Any]) -> Any:
    return rounded(sum(map(Fraction, content), Fraction(0)) / len(content)) if content else UNKNOWN


def extreme(choose: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
    def of(content: Sequence[Any]) -> Any:
        kinds = {kind_of(value) for value in content}
        if not kinds:
            return UNKNOWN
        return choose(content) if len(kinds) == 1 and kinds <= {"number", "text", "bool"} else TYPE_ERROR

    return of


def quantile(share: Fraction) -> Callable[[Sequence[Any]], Any]:
    """The least number that so large a share of the numbers does not exceed."""

    def of(content: Sequence[Any]) -> Any:
        enough = (each for each in sorted(content) if sum(other <= each for other in content) >= share * len(content))
        return next(enough, UNKNOWN)

    return of


def different(content: Sequence[Any]) -> int:
    seen: list[Any] = []
    for value in content:
        if not any(same(value, other) for other in seen):
            seen.append(value)
    return len(seen)


MEANING: dict[str, Callable[[Sequence[Any]], Any]] = {
    "count": len,
    "sum": total,
    "avg": mean,
    "min": extreme(min),
    "max": extreme(max),
    "distinct": different,
    "rate": lambda content: len(content) * 1000 / SPAN,
    "first": lambda content: content[0] if content else UNKNOWN,
    "last": lambda content: content[-1] if content else UNKNOWN,
    "quantile": quantile(Fraction(1, 2)),
}
"""Of the values of a span, by time and then in the order in which they came."""
SHARES = [Fraction(0), Fraction(1, 3), Fraction(3, 4), Fraction(99, 100), Fraction(1)]


@pytest.mark.parametrize("name", AGGREGATES)
@given(history=histories(), saved_at=st.integers(0, 40))
def test_an_aggregate_is_what_the_events_of_its_span_say(name: str, history: History, saved_at: int) -> None:
    agree(AGGREGATES[name], (), MEANING[name], history, saved_at)


@given(share=st.sampled_from(SHARES), history=histories(), saved_at=st.integers(0, 40))
def test_a_quantile_of_any_share_is_a_number_of_its_span(share: Fraction, history: History, saved_at: int) -> None:
    agree(AGGREGATES["quantile"], (share,), quantile(share), history, saved_at)


def agree(
    kind: AggregateKind,
    share: tuple[Fraction, ...],
    meaning: Callable[[Sequence[Any]], Any],
    history: History,
    saved_at: int,
) -> None:
    aggregate, fed = kind.build(SPAN, *share), []
    for step, (now, time, value) in enumerate(history):
        if step == saved_at:
            dumped = msgspec.msgpack.decode(msgspec.msgpack.encode(portable(aggregate.dump())))
            aggregate = kind.build(SPAN, *share)
            aggregate.load(restored(dumped))
        if time is not None:
            aggregate.add(time, value, now)
            if is_number(value) or not kind.of_numbers:
                fed.append((time, value))
        content = sorted(((time, value) for time, value in fed if now - SPAN < time <= now), key=itemgetter(0))
        check(aggregate.value(now), meaning([value for _, value in content]))
        assert aggregate.next_change(now) == min((time + SPAN for time, _ in content), default=None)


def check(found: Any, expected: Any) -> None:
    if isinstance(expected, Unknown):
        assert found is expected
    else:
        assert not isinstance(found, Unknown)
        assert same(found, expected)


def portable(dumped: Any) -> Any:
    """msgpack has 64 bits; whole numbers beyond them are wrapped for the way."""
    if isinstance(dumped, list):
        return [portable(item) for item in dumped]
    return {"int": str(dumped)} if type(dumped) is int and not -(2**63) <= dumped < 2**64 else dumped


def restored(dumped: Any) -> Any:
    if isinstance(dumped, list):
        return [restored(item) for item in dumped]
    return int(dumped["int"]) if isinstance(dumped, dict) else dumped
