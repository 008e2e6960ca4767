"""What an aggregate holds: the events of its span, of which time takes away the oldest.

N − span          N
   │ ·  ·   ·  ·  │        content: events with time in (N − span, N], in whatever order they came
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Protocol, TypeVar

FEW_MAX = 8
"""So many are kept in a list or a tuple: of the very many counts of very many keys nearly all hold few events or none. A deque
takes 700 bytes from its first one on; taking away the first of many is what it is for."""

Item = TypeVar("Item")
Kept = list[Item] | deque[Item]
"""What both can do is all that is asked of it."""
NOTHING: deque[Any] = deque(maxlen=0)
"""Of every aggregate that is empty. It takes nothing, so nobody can fill it by mistake."""


def kept(items: Iterable[Item]) -> Kept[Item]:
    """In the container that fits their number."""
    found = list(items)
    if len(found) > FEW_MAX:
        return deque(found)
    return found or NOTHING


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
    """How many events. Only their times are kept: few in a tuple, which all counts share that hold the same, many in a deque.

    A pipeline that counts over ten spans counts every event ten times: what they share is looked up once in cold memory.
    """

    __slots__ = ("_span", "_times")

    def __init__(self, span: int) -> None:
        self._span = span
        self._times: tuple[int, ...] | deque[int] = ()

    def add(self, time: int, value: Any, now: int) -> None:
        times: Any = self._times
        edge = now - self._span
        if time <= edge:
            return
        if times.__class__ is deque:
            if time >= times[-1]:
                times.append(time)
            else:
                times.insert(place_of(times, time), time)
            while times[0] <= edge:
                times.popleft()
        elif not times or (time >= times[-1] and times[0] > edge and len(times) < FEW_MAX):
            if _joined.times is not times or _joined.time is not time:
                _joined.times, _joined.time, _joined.after = times, time, (*times, time)
            self._times = _joined.after
        else:
            self._add_to_few(times, time, edge)

    def _add_to_few(self, times: Sequence[int], time: int, edge: int) -> None:
        """One comes too late, others go, or they become many."""
        place = bisect_right(times, time)
        held = (*times[bisect_right(times, edge) : place], time, *times[place:])
        self._times = held if len(held) <= FEW_MAX else deque(held)

    def value(self, now: int) -> Any:
        times, edge = self._times, now - self._span
        if times and times[0] <= edge:
            times = self._times = self._within(edge)
        return len(times)

    def _within(self, edge: int) -> tuple[int, ...] | deque[int]:
        """What is left of them."""
        times = self._times
        if isinstance(times, tuple):
            return times[bisect_right(times, edge) :]
        while times and times[0] <= edge:
            times.popleft()
        return times or ()

    def next_change(self, now: int) -> int | None:
        self.value(now)
        return self._times[0] + self._span if self._times else None

    def dump(self) -> Any:
        return steps_of(self._times)

    def load(self, dumped: Any) -> None:
        times = tuple(accumulate(dumped))
        self._times = times if len(times) <= FEW_MAX else deque(times)


class _Joined:
    """The tuple that was made last, and what of: the next count of the same event mostly makes the same. Whether one is found
    here changes nothing but where it lies."""

    __slots__ = ("after", "time", "times")

    def __init__(self) -> None:
        self.times: tuple[int, ...] | None = None
        self.time = 0
        self.after: tuple[int, ...] = ()


_joined = _Joined()


class OfValues(ABC):
    """Keeps the values beside the times, and tells its child what enters and what leaves."""

    __slots__ = ("_span", "_times", "_values")

    def __init__(self, span: int) -> None:
        self._span = span
        self._times: Kept[int] = NOTHING
        self._values: Kept[Any] = NOTHING

    def add(self, time: int, value: Any, now: int) -> None:
        times, edge = self._times, now - self._span
        if time <= edge or not self._takes(value):
            return
        if not times:
            self._times, self._values = [time], [value]
        elif time >= times[-1]:
            times.append(time)
            self._values.append(value)
        else:
            place = place_of(times, time)
            times.insert(place, time)
            self._values.insert(place, value)
        self._enter(value)
        self._drop(edge)
        if len(self._times) > FEW_MAX and self._times.__class__ is list:
            self._times, self._values = deque(self._times), deque(self._values)

    def _drop(self, edge: int) -> None:
        times, values = self._times, self._values
        if not times or times[0] > edge:
            return
        while times and times[0] <= edge:
            del times[0]
            self._leave(values[0])
            del values[0]
        if not times:
            self._times = self._values = NOTHING

    def value(self, now: int) -> Any:
        self._drop(now - self._span)
        return self._result()

    def next_change(self, now: int) -> int | None:
        self._drop(now - self._span)
        return self._times[0] + self._span if self._times else None

    def dump(self) -> Any:
        return [steps_of(self._times), list(self._values)]

    def load(self, dumped: Any) -> None:
        steps, values = dumped
        self._times, self._values = kept(accumulate(steps)), kept(values)
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


def place_of(times: Kept[int], time: int) -> int:
    """Where a late event goes: behind those of its time. Late events are mostly a little late, so look from the end."""
    place = len(times)
    for _ in range(32):
        if not place or times[place - 1] <= time:
            return place
        place -= 1
    return bisect_right(times, time, 0, place)


def steps_of(times: Iterable[int]) -> list[int]:
    """The first time and the differences; `accumulate` undoes it. Small numbers take few bytes in the log."""
    steps, last = [], 0
    for time in times:
        steps.append(time - last)
        last = time
    return steps
