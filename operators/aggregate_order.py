"""Aggregates that go by an order: the first and the last event of a span, and how its numbers lie."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from penstock.operators.aggregate_content import Count, OfValues
from penstock.operators.expression_value import UNKNOWN

CHUNK_MAX = 4_000
"""A chunk that has more is halved."""
_MEDIAN = Fraction(1, 2)
_WHOLE_MAX = 2**64


class First(OfValues):
    """The value of the earliest event; of those of one time, of the one that was fed first."""

    __slots__ = ()

    def _enter(self, value: Any) -> None:
        """Its place is known from the time."""

    def _leave(self, value: Any) -> None:
        """Its place is known from the time."""

    def _result(self) -> Any:
        return self._values[0] if self._values else UNKNOWN


class Last(Count):
    """The value of the latest event; of those of one time, of the one that was fed last. It leaves the span last: only it
    is kept."""

    __slots__ = ("_latest",)

    def __init__(self, span: int) -> None:
        super().__init__(span)
        self._latest: Any = None

    def add(self, time: int, value: Any, now: int) -> None:
        if not self._times or time >= self._times[-1]:
            self._latest = value
        super().add(time, value, now)

    def value(self, now: int) -> Any:
        return self._latest if super().value(now) else UNKNOWN

    def dump(self) -> Any:
        return [super().dump(), [self._latest] if self._times else []]

    def load(self, dumped: Any) -> None:
        times, latest = dumped
        super().load(times)
        self._latest = latest[0] if latest else None


class Quantile(OfValues):
    """The least number that is at least as large as `share` of the numbers (nearest rank), exact however many there are.

    `share` is in [0, 1]; 0 is the least number. Equal numbers are one, `1.0` gives `1`: so what it gives depends on the numbers
    only, not on the order in which they came.
    """

    __slots__ = ("_numbers", "_share")

    def __init__(self, span: int, share: Fraction = _MEDIAN) -> None:
        super().__init__(span)
        self._share = share
        self._numbers = SortedNumbers()

    def _takes(self, value: Any) -> bool:
        return type(value) is int or type(value) is float

    def _enter(self, value: Any) -> None:
        self._numbers.add(value)

    def _leave(self, value: Any) -> None:
        self._numbers.remove(value)

    def _result(self) -> Any:
        """The rank is that of the share as it is written: 0.07 of 100 is the 7th, though 0.07 * 100 is a little more than 7."""
        count = len(self._values)
        if not count:
            return UNKNOWN
        rank = -(-self._share.numerator * count // self._share.denominator)
        found = self._numbers[max(rank, 1) - 1]
        return int(found) if -_WHOLE_MAX < found < _WHOLE_MAX and found == int(found) else found


class SortedNumbers:
    """Numbers in order, in chunks: of n numbers, one is added, removed or found in O(log n + n / CHUNK_MAX)."""

    __slots__ = ("_chunks", "_largest")

    def __init__(self) -> None:
        self._chunks: list[list[int | float]] = []
        self._largest: list[int | float] = []
        """The last number of each chunk; no chunk is empty."""

    def __iter__(self) -> Iterator[int | float]:
        return (number for chunk in self._chunks for number in chunk)

    def __getitem__(self, place: int) -> int | float:
        for chunk in self._chunks:
            if place < len(chunk):
                return chunk[place]
            place -= len(chunk)
        raise IndexError(place)

    def add(self, number: int | float) -> None:
        if not self._chunks:
            self._chunks.append([number])
            self._largest.append(number)
            return
        where = min(bisect_left(self._largest, number), len(self._chunks) - 1)
        chunk = self._chunks[where]
        insort(chunk, number)
        self._largest[where] = chunk[-1]
        if len(chunk) > CHUNK_MAX:
            self._halve(where)

    def _halve(self, where: int) -> None:
        chunk = self._chunks[where]
        half = len(chunk) // 2
        self._chunks[where : where + 1] = [chunk[:half], chunk[half:]]
        self._largest[where : where + 1] = [chunk[half - 1], chunk[-1]]

    def remove(self, number: int | float) -> None:
        """One that was added."""
        where = bisect_left(self._largest, number)
        chunk = self._chunks[where]
        del chunk[bisect_left(chunk, number)]
        if chunk:
            self._largest[where] = chunk[-1]
        else:
            del self._chunks[where], self._largest[where]
