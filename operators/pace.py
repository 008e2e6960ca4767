"""`show_every: d`: a prompt sees at most one line per d of a source and key; triggers see every event.

    since 1970   0 s            5 s            10 s           15 s
    fed, d = 5s  │──●───○──○──○─│─────────●──○─│──────────────│●──○──▶      ● shown      ○ for triggers only

Of the events whose times fall into one stretch of d, counted from 1970, the first one fed is shown. So what is shown depends
on the order of the topic alone: an event that comes late to an empty stretch is shown, and none takes back what was shown.
What `hide` hides takes no stretch.

Which stretches of a key are taken is kept as one more of its aggregates: it is saved, restored and carried through as they are.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any, NamedTuple

from penstock.operators.aggregate import AggregateCall
from penstock.operators.aggregate_content import steps_of
from penstock.operators.expression import Compiled
from penstock.operators.key_state import KeyState, Moment

_SWEEP_FIRST = 4


class Taken:
    """The stretches of which a line was shown, by their numbers. Keeps the promises of `Aggregate`."""

    __slots__ = ("_every", "_numbers", "_sweep_at")

    def __init__(self, every: int) -> None:
        self._every = every
        self._numbers: set[int] = set()
        self._sweep_at = _SWEEP_FIRST

    def add(self, time: int, value: Any, now: int) -> None:
        self._numbers.add(time // self._every)

    def has(self, time: int, oldest: int) -> bool:
        """Whether a line of this stretch was shown; from now on nobody asks for a time before `oldest`. O(1), amortised."""
        edge = oldest // self._every
        if len(self._numbers) >= self._sweep_at:
            self._numbers = {number for number in self._numbers if number >= edge}
            self._sweep_at = 2 * len(self._numbers) + _SWEEP_FIRST
        return time // self._every in self._numbers

    def value(self, now: int) -> Any:
        return len(self._numbers)

    def next_change(self, now: int) -> int | None:
        return None

    def dump(self) -> Any:
        return steps_of(sorted(self._numbers))

    def load(self, dumped: Any) -> None:
        self._numbers.update(accumulate(dumped))


class Pace(NamedTuple):
    """How rarely a prompt sees one source: `slot` is the place of `Taken` among the aggregates of a key."""

    slot: int

    def passes_over(self, key: KeyState | None, time: int, oldest: int) -> bool:
        """A line of this stretch was shown before. `oldest`: what lies before it is late."""
        if key is None:
            return False
        taken: Any = key.slots[self.slot]
        return bool(taken.has(time, oldest))


def pace_call(source: str, every: int, where: Compiled | None, hide: Compiled | None) -> AggregateCall:
    """`where` is true for events of this source, `hide` for hidden ones; None: there are no others, there are none.

    With another `every` the memory begins anew; with another `hide` it goes on.
    """
    return AggregateCall(f"show_every {source}: {every}", "show_every", None, every, _shown(where, hide), build=Taken)


def _shown(where: Compiled | None, hide: Compiled | None) -> Compiled | None:
    """True for events that the source does not hide, as `where` of an aggregate."""
    if hide is None:
        return where
    of_source, hides = None if where is None else where.evaluate, hide.evaluate

    def shown(event: Any, values: Any, moment: Moment | None) -> bool:
        own = of_source is None or of_source(event, values, moment) is True
        return own and hides(event, values, moment) is not True

    return replace(hide, evaluate=shown)
