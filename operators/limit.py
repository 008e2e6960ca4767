"""At most so many firings in so long: by the firings' own times, over all keys of a task.

2/hour     │F  F  x│F       │        calendar: hours, days, weeks from Monday and months, in UTC
2/3h       F  F  x  ·  F             rolling: those in (at − 3h, at]

What is counted is what passed. Counts are kept for as long as a firing may still come that is compared with them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from penstock.operators.timestamp import EARLIEST_MS, EPOCH, LATEST_MS
from penstock.operators.unit import duration_ms, duration_text

HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 604_800_000
FIRST_MONDAY_MS = 4 * DAY_MS
MONTHS_OF_YEAR = 12
CALENDAR = ("hour", "day", "week", "month")
NO_LIMIT = "none"
_RATE = re.compile(r"(\d+)/(\w+)")


class Limit(NamedTuple):
    """`most` firings `per` calendar unit, or per so many ms."""

    most: int
    per: str | int

    @property
    def span(self) -> str:
        """What its counts are of; equal spans count the same."""
        return self.per if isinstance(self.per, str) else duration_text(self.per)

    def share_of(self, partitions: int) -> int:
        """What one of so many tasks may let through: its part, rounded up."""
        return -(-self.most // partitions)


def limit_of(text: Any) -> Limit:
    """`6/hour`, `100/day`, `20/week`, `5/month`, or `n/` and a duration. Raises ValueError."""
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    per = _span(match[2]) if match is not None else None
    if match is None or not per or int(match[1]) == 0:
        raise ValueError(
            f"{text!r} is not a limit; write a number from 1 and a span, such as 6/hour, 100/day or 20/24h"
        )
    return Limit(int(match[1]), per)


def _span(text: str) -> str | int | None:
    """None where it is neither a calendar unit nor a duration."""
    try:
        return text if text in CALENDAR else duration_ms(text)
    except ValueError:
        return None


def _limit_or_none(text: Any) -> Limit | None:
    return None if text == NO_LIMIT else limit_of(text)


_PATTERN = r"[1-9]\d*/(hour|day|week|month|(\d+(ms|s|m|h|d|w))+)"
LimitText = Annotated[
    Limit, BeforeValidator(limit_of), WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$"}),
]  # fmt: skip
LimitOrNone = Annotated[
    Limit | None, BeforeValidator(_limit_or_none),
    WithJsonSchema({"type": "string", "pattern": f"^({NO_LIMIT}|{_PATTERN})$"}),
]  # fmt: skip


class Count(ABC):
    """What one limit has let through."""

    @abstractmethod
    def within(self, at: int) -> int:
        """How many that a firing at `at` is counted with."""

    @abstractmethod
    def add(self, at: int) -> None: ...

    @abstractmethod
    def settle(self, at: int) -> None:
        """No firing comes any more from before `at`."""

    @abstractmethod
    def dump(self) -> Any:
        """As lists and numbers; what it is loaded from."""

    @abstractmethod
    def load(self, dumped: Any) -> None: ...


class CalendarCount(Count):
    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._counts: dict[int, int] = {}

    def within(self, at: int) -> int:
        return self._counts.get(_place(self._unit, at), 0)

    def add(self, at: int) -> None:
        place = _place(self._unit, at)
        self._counts[place] = self._counts.get(place, 0) + 1

    def settle(self, at: int) -> None:
        first = _place(self._unit, at)
        for place in [place for place in self._counts if place < first]:
            del self._counts[place]

    def dump(self) -> Any:
        return sorted(self._counts.items())

    def load(self, dumped: Sequence[tuple[int, int]]) -> None:
        self._counts = dict(dumped)


class RollingCount(Count):
    def __init__(self, span: int) -> None:
        self._span = span
        self._times: list[int] = []

    def within(self, at: int) -> int:
        return bisect_right(self._times, at) - bisect_right(self._times, at - self._span)

    def add(self, at: int) -> None:
        insort(self._times, at)

    def settle(self, at: int) -> None:
        del self._times[: bisect_right(self._times, at - self._span)]

    def dump(self) -> Any:
        return list(self._times)

    def load(self, dumped: Sequence[int]) -> None:
        self._times = list(dumped)


def _place(unit: str, at: int) -> int:
    """The number of the hour, day, week or month of an instant."""
    if unit == "month":
        moment = EPOCH + timedelta(milliseconds=min(max(at, EARLIEST_MS), LATEST_MS))
        return moment.year * MONTHS_OF_YEAR + moment.month
    if unit == "week":
        return (at - FIRST_MONDAY_MS) // WEEK_MS
    return at // (HOUR_MS if unit == "hour" else DAY_MS)


class Limits:
    """The limits of one of `partitions` tasks, by the names that the log has for them."""

    def __init__(self, limits: Mapping[str, Limit], partitions: int) -> None:
        self._most = {name: limit.share_of(partitions) for name, limit in limits.items()}
        self._counts: dict[str, Count] = {
            name: CalendarCount(limit.per) if isinstance(limit.per, str) else RollingCount(limit.per)
            for name, limit in limits.items()
        }

    def reached(self, name: str, at: int) -> bool:
        """A firing at `at` would be one too many."""
        return self._counts[name].within(at) >= self._most[name]

    def add(self, name: str, at: int) -> None:
        """A firing passed; one of a limit that another definition had is nobody's."""
        if name in self._counts:
            self._counts[name].add(at)

    def settle(self, at: int) -> None:
        for count in self._counts.values():
            count.settle(at)

    def dump(self) -> dict[str, Any] | None:
        """None where there are no limits."""
        return {name: count.dump() for name, count in self._counts.items()} or None

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Replaces all; a limit of which nothing is said has let nothing through."""
        for name, count in self._counts.items():
            count.load(dumped.get(name, ()))
