"""What is known about a key's recent past: a number, or a value, of its events within a span of time.

    N − span          N
       │ ·  ·   ·  ·  │        content: events with time in (N − span, N], in whatever order they came

An aggregate takes events one by one, forgets them when N passes their time + span, and gives its value in (amortised)
constant time. What it gives depends on its content only: not on the order of arrival, nor on how often it was asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from penstock.operators.exact_sum import ExactSum
from penstock.operators.expression_value import TYPE_ERROR, UNKNOWN, Kind, kind_of

if TYPE_CHECKING:
    from penstock.operators.expression_compile import Compiled


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate of an expression. Calls of equal identity are the same aggregate.

    `value` and `where` are expressions over one event: an event is taken if `where` is true and `value` is known.
    `identity` is the canonical text with definitions written out; the log names aggregates by it. `late`: it takes late
    events, too, and is another aggregate than the one that does not.
    """

    identity: str
    name: str = field(compare=False)
    value: Compiled | None = field(compare=False)
    span_ms: int = field(compare=False)
    where: Compiled | None = field(compare=False)
    late: bool = field(default=False, compare=False)

    @property
    def with_late(self) -> AggregateCall:
        return replace(self, identity=f"{self.identity} with late events", late=True)


class Aggregate(Protocol):
    """One aggregate of one key. Times are ms; `now` is N of the key and never goes back."""

    def add(self, time: int, value: Any, now: int) -> None:
        """Take an event, in any order of time; one that is out of the span at `now` is ignored."""

    def value(self, now: int) -> Any:
        """A JSON value, UNKNOWN of an empty span (`count sum distinct rate`: 0), TYPE_ERROR of values that do not go together."""

    def next_change(self, now: int) -> int | None:
        """The N at which the content shrinks next: its oldest time + span. None: it is empty."""

    def dump(self) -> Any:
        """The content as lists, numbers and texts."""

    def load(self, dumped: Any) -> None:
        """Take up the content of `dump`; only while empty."""


class Count:
    """How many events. Only their times are kept."""

    __slots__ = ("_span", "_times")

    def __init__(self, span: int) -> None:
        self._span = span
        self._times: deque[int] = deque()

    def add(self, time: int, value: Any, now: int) -> None:
        times, edge = self._times, now - self._span
        if time <= edge:
            return
        if not times or time >= times[-1]:
            times.append(time)
        else:
            times.insert(_place(times, time), time)
        while times[0] <= edge:
            times.popleft()

    def value(self, now: int) -> Any:
        times, edge = self._times, now - self._span
        while times and times[0] <= edge:
            times.popleft()
        return len(times)

    def next_change(self, now: int) -> int | None:
        self.value(now)
        return self._times[0] + self._span if self._times else None

    def dump(self) -> Any:
        return _steps(self._times)

    def load(self, dumped: Any) -> None:
        self._times = deque(accumulate(dumped))


class Rate(Count):
    """Events per second over the whole span, however short the key has been known.

    What is counted is events with a known value, as in PromQL a rate is that of observations; the size of the value does
    not matter. So `rate(event.bytes, 60s)` is not bytes per second: that is `sum(event.bytes, 60s) / 60`.
    """

    __slots__ = ()

    def value(self, now: int) -> Any:
        return Count.value(self, now) * 1000 / self._span


class _OfValues(ABC):
    """Keeps the values beside the times, and tells its child what enters and what leaves."""

    __slots__ = ("_span", "_times", "_values")

    def __init__(self, span: int) -> None:
        self._span = span
        self._times: deque[int] = deque()
        self._values: deque[Any] = deque()

    def add(self, time: int, value: Any, now: int) -> None:
        times, edge = self._times, now - self._span
        if time <= edge or not self._takes(value):
            return
        if not times or time >= times[-1]:
            times.append(time)
            self._values.append(value)
        else:
            place = _place(times, time)
            times.insert(place, time)
            self._values.insert(place, value)
        self._enter(value)
        self._drop(edge)

    def _drop(self, edge: int) -> None:
        times = self._times
        while times and times[0] <= edge:
            times.popleft()
            self._leave(self._values.popleft())

    def value(self, now: int) -> Any:
        self._drop(now - self._span)
        return self._result()

    def next_change(self, now: int) -> int | None:
        self._drop(now - self._span)
        return self._times[0] + self._span if self._times else None

    def dump(self) -> Any:
        return [_steps(self._times), list(self._values)]

    def load(self, dumped: Any) -> None:
        steps, values = dumped
        self._times.extend(accumulate(steps))
        self._values.extend(values)
        for value in values:
            self._enter(value)

    def _takes(self, value: Any) -> bool:
        return True

    @abstractmethod
    def _enter(self, value: Any) -> None: ...

    @abstractmethod
    def _leave(self, value: Any) -> None: ...

    @abstractmethod
    def _result(self) -> Any: ...


class Sum(_OfValues):
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


class Distinct(_OfValues):
    """How many different values, by type and value: 1 is 1.0, `true` is not 1, null is a value."""

    __slots__ = ("_counts",)

    def __init__(self, span: int) -> None:
        super().__init__(span)
        self._counts: Counter[Any] = Counter()

    def _enter(self, value: Any) -> None:
        self._counts[_typed(value)] += 1

    def _leave(self, value: Any) -> None:
        typed = _typed(value)
        self._counts[typed] -= 1
        if not self._counts[typed]:
            del self._counts[typed]

    def _result(self) -> Any:
        return len(self._counts)


def _typed(value: Any) -> Any:
    """A hashable value; two are equal if the JSON values are."""
    match value:
        case bool():
            return (bool, value)
        case list():
            return (list, tuple(map(_typed, value)))
        case dict():
            return (dict, frozenset((name, _typed(item)) for name, item in value.items()))
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
        kept = [[_steps(candidates.times), list(candidates.values)] for candidates in self._candidates.values()]
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
        place = _place(times, time)
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


def _place(times: deque[int], time: int) -> int:
    """Where a late event goes: behind those of its time. Late events are mostly a little late, so look from the end."""
    place = len(times)
    for _ in range(32):
        if not place or times[place - 1] <= time:
            return place
        place -= 1
    return bisect_right(times, time, 0, place)


def _steps(times: Iterable[int]) -> list[int]:
    """The first time and the differences; `accumulate` undoes it. Small numbers take few bytes in the log."""
    steps, last = [], 0
    for time in times:
        steps.append(time - last)
        last = time
    return steps


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """One entry of the table: how it is written, what it gives, and how it is built.

    `of_value`: it is `f(value, span[, where])`; else `f(where, span)`. `total`: it has a value for every content.
    `of_numbers`: a value that is no number is left out. `falls`: without events its value can only fall.
    """

    build: Callable[[int], Aggregate]
    example: str
    gives: Kind = "number"
    of_value: bool = True
    of_numbers: bool = False
    total: bool = False
    falls: bool = False


AGGREGATES: Mapping[str, AggregateKind] = {
    "count": AggregateKind(Count, 'count(event.outcome == "failed", 60s)', of_value=False, total=True, falls=True),
    "sum": AggregateKind(Sum, "sum(event.bytes, 5m)", of_numbers=True),
    "avg": AggregateKind(Average, "avg(event.latency_ms, 5m)", of_numbers=True),
    "min": AggregateKind(Minimum, "min(event.free_bytes, 5m)", gives="any"),
    "max": AggregateKind(Maximum, "max(event.latency_ms, 5m)", gives="any"),
    "distinct": AggregateKind(Distinct, "distinct(event.user, 10m)", total=True, falls=True),
    "rate": AggregateKind(Rate, "rate(event.status, 5m, event.status >= 500)", total=True, falls=True),
}


def new_aggregate(call: AggregateCall) -> Aggregate:
    """An empty one."""
    return AGGREGATES[call.name].build(call.span_ms)
