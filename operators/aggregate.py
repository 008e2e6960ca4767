"""What is known about a key's recent past: a number, or a value, of its events within a span of time.

    N − span          N
       │ ·  ·   ·  ·  │        content: events with time in (N − span, N], in whatever order they came

An aggregate takes events one by one, forgets them when N passes their time + span, and gives its value in (amortised)
constant time, but for `quantile`, which takes a search. What it gives depends on its content only: not on how often it was
asked, and not on the order of arrival, which tells apart only what has one time (`first`, `last`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from penstock.operators.aggregate_content import Aggregate as Aggregate  # exported: the table is of these
from penstock.operators.aggregate_content import Count, OfValues, place_of, steps_of
from penstock.operators.aggregate_order import First, Last, Quantile
from penstock.operators.exact_sum import ExactSum
from penstock.operators.expression_value import TYPE_ERROR, UNKNOWN, Kind, kind_of

if TYPE_CHECKING:
    from penstock.operators.expression_compile import Compiled


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate of an expression. Calls of equal identity are the same aggregate.

    `value` and `where` are expressions over one event: an event is taken if `where` is true and `value` is known.
    `share` is what a quantile is of. `identity` is the canonical text with definitions written out; the log names aggregates
    by it.
    """

    identity: str
    name: str = field(compare=False)
    value: Compiled | None = field(compare=False)
    span_ms: int = field(compare=False)
    where: Compiled | None = field(compare=False)
    share: Fraction | None = field(default=None, compare=False)
    build: Callable[[int], Aggregate] | None = field(default=None, compare=False)
    """What makes one of a span, where it is no function of the language."""


class Rate(Count):
    """Events per second over the whole span, however short the key has been known.

    What is counted is events with a known value, as in PromQL a rate is that of observations; the size of the value does
    not matter. So `rate(event.bytes, 60s)` is not bytes per second: that is `sum(event.bytes, 60s) / 60`.
    """

    __slots__ = ()

    def value(self, now: int) -> Any:
        return Count.value(self, now) * 1000 / self._span


class Sum(OfValues):
    """The sum of the numbers, as if exact and rounded once. What is no number is not part of the content."""

    __slots__ = ("_total",)

    def __init__(self, span: int) -> None:
        super().__init__(span)
        self._total = ExactSum()

    def _takes(self, value: Any) -> bool:
        return type(value) is int or type(value) is float

    def _enter(self, value: Any) -> None:
        self._total.add(value)

    def _leave(self, value: Any) -> None:
        self._total.remove(value)

    def _result(self) -> Any:
        return self._total.value()


class Average(Sum):
    """The mean of the numbers, as if exact and rounded once."""

    __slots__ = ()

    def _result(self) -> Any:
        return self._total.mean() if self._times else UNKNOWN


class Distinct(OfValues):
    """How many different values, by type and value: 1 is 1.0, `true` is not 1, null is a value."""

    __slots__ = ("_counts",)

    def __init__(self, span: int) -> None:
        super().__init__(span)
        self._counts: Counter[Any] = Counter()

    def _enter(self, value: Any) -> None:
        self._counts[typed(value)] += 1

    def _leave(self, value: Any) -> None:
        known = typed(value)
        self._counts[known] -= 1
        if not self._counts[known]:
            del self._counts[known]

    def _result(self) -> Any:
        return len(self._counts)


def typed(value: Any) -> Any:
    """A hashable value; two are equal if the JSON values are."""
    match value:
        case bool():
            return (bool, value)
        case list():
            return (list, tuple(map(typed, value)))
        case dict():
            return (dict, frozenset((name, typed(item)) for name, item in value.items()))
        case _:
            return value


class _Extreme(ABC):
    """The smallest or the largest value, of numbers, of texts or of truth values; of different kinds there is none.

    Per kind it keeps only events that may still become the extreme: an event that is younger than another and at least
    as extreme outlives it. Their values fall away from the extreme as their times rise, so the first is the extreme, and
    the last is the youngest event of the kind: the kind is there as long as that one is.
    """

    __slots__ = ("_candidates", "_count", "_span")

    def __init__(self, span: int) -> None:
        self._span = span
        self._count = Count(span)
        self._candidates: dict[Kind, _Candidates] = {}

    @staticmethod
    @abstractmethod
    def _outlives(value: Any, other: Any) -> bool:
        """Is `value` at least as extreme as `other`?"""

    def add(self, time: int, value: Any, now: int) -> None:
        if time <= now - self._span:
            return
        self._count.add(time, value, now)
        kind = kind_of(value)
        candidates = self._candidates.setdefault(kind, _Candidates())
        candidates.add(time, value, self._outlives if kind in _ORDERED else _always)

    def value(self, now: int) -> Any:
        edge = now - self._span
        kinds = [kind for kind, candidates in self._candidates.items() if candidates.present(edge)]
        if not kinds:
            return UNKNOWN
        if len(kinds) > 1 or kinds[0] not in _ORDERED:
            return TYPE_ERROR
        return self._candidates[kinds[0]].values[0]

    def next_change(self, now: int) -> int | None:
        return self._count.next_change(now)

    def dump(self) -> Any:
        kept = [[steps_of(candidates.times), list(candidates.values)] for candidates in self._candidates.values()]
        return [self._count.dump(), kept]

    def load(self, dumped: Any) -> None:
        times, kept = dumped
        self._count.load(times)
        self._candidates = {
            kind_of(values[0]): _Candidates(accumulate(steps), values) for steps, values in kept if values
        }


_ORDERED = frozenset({"number", "text", "bool"})


def _always(value: Any, other: Any) -> bool:
    """Of values without an order only the youngest is worth keeping."""
    return True


class _Candidates:
    """Events by time whose values fall away from the extreme."""

    __slots__ = ("times", "values")

    def __init__(self, times: Iterable[int] = (), values: Iterable[Any] = ()) -> None:
        self.times, self.values = deque(times), deque(values)

    def add(self, time: int, value: Any, outlives: Callable[[Any, Any], bool]) -> None:
        times, values = self.times, self.values
        place = place_of(times, time)
        if place < len(times) and outlives(values[place], value):
            return
        while place and outlives(value, values[place - 1]):
            place -= 1
            del times[place], values[place]
        times.insert(place, time)
        values.insert(place, value)

    def present(self, edge: int) -> bool:
        while self.times and self.times[0] <= edge:
            self.times.popleft()
            self.values.popleft()
        return bool(self.times)


class Minimum(_Extreme):
    __slots__ = ()

    @staticmethod
    def _outlives(value: Any, other: Any) -> bool:
        return bool(value <= other)


class Maximum(_Extreme):
    __slots__ = ()

    @staticmethod
    def _outlives(value: Any, other: Any) -> bool:
        return bool(value >= other)


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """One entry of the table: how it is written, what it gives, and how it is built.

    `of_value`: it is `f(value, span[, where])`; else `f(where, span)`. `of_share`: `f(value, share, span[, where])`.
    `total`: it has a value for every content. `of_numbers`: a value that is no number is left out. `falls`: without events
    its value can only fall.
    """

    build: Callable[..., Aggregate]
    """Of the span (ms) and, where there is one, the share."""
    example: str
    gives: Kind = "number"
    of_value: bool = True
    of_share: bool = False
    of_numbers: bool = False
    total: bool = False
    falls: bool = False


AGGREGATES: Mapping[str, AggregateKind] = {
    "count": AggregateKind(Count, 'count(event.outcome == "failed", 60s)', of_value=False, total=True, falls=True),
    "sum": AggregateKind(Sum, "sum(event.bytes, 5m)", of_numbers=True),
    "avg": AggregateKind(Average, "avg(event.latency_ms, 5m)", of_numbers=True),
    "min": AggregateKind(Minimum, "min(event.free_bytes, 5m)", gives="any"),
    "max": AggregateKind(Maximum, "max(event.latency_ms, 5m)", gives="any"),
    "first": AggregateKind(First, "first(event.price, 1h)", gives="any"),
    "last": AggregateKind(Last, "last(event.state, 10m)", gives="any"),
    "quantile": AggregateKind(Quantile, "quantile(event.latency_ms, 0.99, 5m)", of_share=True, of_numbers=True),
    "distinct": AggregateKind(Distinct, "distinct(event.user, 10m)", total=True, falls=True),
    "rate": AggregateKind(Rate, "rate(event.status, 5m, event.status >= 500)", total=True, falls=True),
}


def new_aggregate(call: AggregateCall) -> Aggregate:
    """An empty one."""
    if call.build is not None:
        return call.build(call.span_ms)
    build = AGGREGATES[call.name].build
    return build(call.span_ms) if call.share is None else build(call.span_ms, call.share)
