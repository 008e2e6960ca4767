"""`dedupe: {by, within}`: the same thing told twice is one event. Per source and key, in event time.

    by           a     b  a        a                b
    time       ──●─────●──○────────●────────────────●──▶      ○ is a duplicate of the first `a`: they lie within `within`
                 └─ within ─┘

A duplicate is dropped for triggers and prompts and is not remembered itself, so that a stream of them does not silence a value
for ever. Records that are ignored or late are none. What is unknown is never a duplicate.

What a key has seen is kept as one more of its aggregates: it is saved, restored and carried through as they are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

from pydantic import Field

from penstock.operators.aggregate import AggregateCall, typed
from penstock.operators.aggregate_content import steps_of
from penstock.operators.expression import Compiled, Unknown
from penstock.operators.key_state import KeyState, Moment
from penstock.operators.setting import Settings, Value, Wait

_SWEEP_FIRST = 4


class DedupeSettings(Settings):
    """What makes two records of a key the same event."""

    by: Value = Field(description="What is equal in all of them.", examples=["event.message_id"])
    within: Wait = Field(description="How far apart in event time they may lie.", examples=["24h"])


class Seen:
    """The times at which a key kept each value. Keeps the promises of `Aggregate`; its span is `within`, both ways."""

    __slots__ = ("_count", "_sweep_at", "_times", "_within")

    def __init__(self, within: int) -> None:
        self._within = within
        self._times: dict[Any, tuple[Any, list[int]]] = {}
        self._count, self._sweep_at = 0, _SWEEP_FIRST

    def add(self, time: int, value: Any, now: int) -> None:
        insort(self._times.setdefault(typed(value), (value, []))[1], time)
        self._count += 1

    def has(self, value: Any, time: int, oldest: int) -> bool:
        """Whether an equal value was kept close by; from now on nobody asks for a time before `oldest`.

        O(log of its times); forgetting costs O(1), amortised.
        """
        if self._count >= self._sweep_at:
            self._forget(oldest - self._within)
        found = self._times.get(typed(value))
        if found is None:
            return False
        place = bisect_left(found[1], time - self._within)
        return place < len(found[1]) and found[1][place] <= time + self._within

    def _forget(self, edge: int) -> None:
        """Times before `edge`, which no event can lie close to any more."""
        kept = ((key, value, times[bisect_left(times, edge) :]) for key, (value, times) in self._times.items())
        self._times = {key: (value, times) for key, value, times in kept if times}
        self._count = sum(len(times) for _, times in self._times.values())
        self._sweep_at = 2 * self._count + _SWEEP_FIRST

    def value(self, now: int) -> Any:
        return self._count

    def next_change(self, now: int) -> int | None:
        return None

    def dump(self) -> Any:
        return [part for value, times in self._times.values() for part in (value, steps_of(times))]

    def load(self, dumped: Any) -> None:
        for place in range(0, len(dumped), 2):
            times = list(accumulate(dumped[place + 1]))
            self._times[typed(dumped[place])] = dumped[place], times
            self._count += len(times)


class Dedupe(NamedTuple):
    """How the records of one source are recognised: `slot` is the place of `Seen` among the aggregates of a key."""

    source: str
    slot: int
    by: Callable[[Any, Any, Moment | None], Any]

    def passes(self, key: KeyState | None, event: Any, moment: Moment | None, time: int, oldest: int) -> bool:
        """False for a duplicate, which is counted. `oldest`: what lies before it is late."""
        if key is None:
            return True
        value = self.by(event, (), moment)
        seen: Any = key.slots[self.slot]
        if value.__class__ is Unknown or not seen.has(value, time, oldest):
            return True
        key.counters["duplicate", self.source] += 1
        return False


def dedupe_call(source: str, settings: DedupeSettings, by: Compiled, where: Compiled | None) -> AggregateCall:
    """`where` is true for events of this source; None: there are no others. Another `within` goes on with what is known."""
    identity = f"dedupe {source}: {by.identity}"
    return AggregateCall(identity, "dedupe", by, settings.within, where, build=Seen)
