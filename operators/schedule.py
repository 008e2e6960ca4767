"""When a schedule is due: every so often since the epoch, or at times of the local day.

    Periodic     every 6h                ·──D──────D──────D──────D──▶      UTC
    LocalTimes   02:30 on some days      ·──────D──────────────D────▶      in a zone

Local time is not always one hour after the other. Where a clock is set forward local times are skipped, where it is set back
they occur twice. This is what Vixie's and Debian's cron make of it:

    times        skipped 02:30                     02:30 occurs twice
    fixed        at once when it is 03:00          the first
    elapsing     not on that day                   both: half an hour past each hour that really passes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise, takewhile

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DAY = timedelta(days=1)
DAY_MINUTES = 1440
MINUTE_MS = 60_000
DAYS_AT_HAND = 8
"""So many days' dues are kept: those around the watermark."""
_FROM, _UNTIL = date(2000, 1, 1), date(2028, 1, 1)
"""After 28 years the calendar begins again, nearly always."""

NextDay = Callable[[date], date]
"""The first day at or after this one on which something is due. Raises OverflowError where the calendar ends."""


class Schedule(ABC):
    """Instants, in ms since the epoch."""

    @abstractmethod
    def due_of(self, time: int) -> int | None:
        """The first due time at or after `time`; None where the calendar ends."""

    @abstractmethod
    def longest_pause(self) -> int:
        """The longest time between two dues (ms). A day of which the clock leaves out every time is not reckoned with."""


class Periodic(Schedule):
    """Every `period` (ms), counted from `phase`."""

    def __init__(self, period: int, phase: int = 0) -> None:
        self.period, self.phase = period, phase

    def due_of(self, time: int) -> int:
        return -((self.phase - time) // self.period) * self.period + self.phase

    def longest_pause(self) -> int:
        return self.period


class LocalTimes(Schedule):
    """At `minutes` of the local day (sorted, from 0), on days that `next_day` gives.

    The last answer is kept with the time that asked for it: whatever lies between the two has the same due. So an event costs two
    comparisons, and a day is worked out once, however many keys there are.
    """

    def __init__(self, zone: tzinfo, next_day: NextDay, minutes: tuple[int, ...], *, elapsing: bool) -> None:
        self._zone, self._next_day, self._minutes, self._elapsing = zone, next_day, minutes, elapsing
        self._dues_on = lru_cache(DAYS_AT_HAND)(self._work_out)
        self._asked, self._due = 0, -1

    def due_of(self, time: int) -> int | None:
        if self._asked <= time <= self._due:
            return self._due
        try:
            due = self._first(time)
        except (OverflowError, ValueError):
            return None
        self._asked, self._due = time, due
        return due

    def _first(self, time: int) -> int:
        """A clock may be set back over midnight: so it begins the day before, and also looks at the day after."""
        day = _local(time, self._zone).date() - DAY
        while True:
            day = self._next_day(day)
            if found := [*self._dues_from(day, time), *self._dues_from(day + DAY, time)]:
                return min(found)
            day += DAY

    def _dues_from(self, day: date, time: int) -> tuple[int, ...]:
        """The first one on this day, if it is one of the schedule's."""
        if self._next_day(day) != day:
            return ()
        dues = self._dues_on(day)
        place = bisect_left(dues, time)
        return dues[place : place + 1]

    def _work_out(self, day: date) -> tuple[int, ...]:
        midnight = datetime.combine(day, time())
        begins = [_instant(midnight, self._zone, fold) for fold in (0, 1)]
        ends = [_instant(midnight + DAY, self._zone, fold) for fold in (0, 1)]
        if ends == [begin + DAY_MINUTES * MINUTE_MS for begin in begins] and begins[0] == begins[1]:
            return tuple(begins[0] + minute * MINUTE_MS for minute in self._minutes)
        return tuple(sorted(self._where_it_is_set(midnight)))

    def _where_it_is_set(self, midnight: datetime) -> set[int]:
        """On a day on which the clock is set, every minute has to be looked at."""
        instants = _elapsing if self._elapsing else _fixed
        minutes = (midnight + timedelta(minutes=minute) for minute in self._minutes)
        return {due for minute in minutes for due in instants(minute, self._zone)}

    def longest_pause(self) -> int:
        first, last = self._minutes[0], self._minutes[-1]
        within = max((later - earlier for earlier, later in pairwise(self._minutes)), default=0)
        days = max(
            ((later - earlier) // DAY for earlier, later in pairwise(takewhile(_UNTIL.__gt__, self._days()))),
            default=(_UNTIL - _FROM) // DAY,
        )
        minutes = max(within, days * DAY_MINUTES - last + first)
        return minutes * MINUTE_MS + _set_back(self._zone)

    def _days(self) -> Iterator[date]:
        day = _FROM
        with suppress(OverflowError):
            while True:
                yield (day := self._next_day(day))
                day += DAY


def _local(instant: int, zone: tzinfo) -> datetime:
    return (EPOCH + instant * MILLISECOND).astimezone(zone).replace(tzinfo=None)


def _instant(local: datetime, zone: tzinfo, fold: int) -> int:
    return (local.replace(tzinfo=zone, fold=fold) - EPOCH) // MILLISECOND


def _elapsing(local: datetime, zone: tzinfo) -> list[int]:
    """Every instant at which the clock shows this time."""
    instants = [_instant(local, zone, fold) for fold in (0, 1)]
    return [instant for instant in instants if _local(instant, zone) == local]


def _fixed(local: datetime, zone: tzinfo) -> list[int]:
    """The first instant at which the clock shows this time, or from which it shows a later one."""
    instant = _instant(local, zone, 0)
    if _local(instant, zone) == local:
        return [instant]
    return [_end_of_gap(_instant(local, zone, 1), instant, zone)]


def _end_of_gap(before: int, after: int, zone: tzinfo) -> int:
    """The instant at which the clock was set forward, which lies behind `before` and at `after` at the latest."""
    offset = _local(before, zone) - _local(before, UTC)
    while after - before > 1:
        middle = (before + after) // 2
        if _local(middle, zone) - _local(middle, UTC) == offset:
            before = middle
        else:
            after = middle
    return after


def _set_back(zone: tzinfo) -> int:
    """By how much the zone's clocks are set back at most (ms)."""
    days = (datetime.combine(_FROM, time(), UTC) + number * DAY for number in range((_UNTIL - _FROM).days))
    offsets = [(zone.utcoffset(day.astimezone(zone)) or timedelta()) for day in days]
    return max((before - after for before, after in pairwise(offsets)), default=timedelta()) // MILLISECOND
