"""What becomes of partial matches of a sequence with each event: pure matching, one event after the other.

steps        a  [not c]  b  b              `b` with `times: 2`, guarded by a `not` for the gap before it

events       a    a    x    b    b
partials     1────────────▸ 1b ─▸ 1bb      each event that satisfies the first step begins one, and every partial
                  2───────▸ 2b ─▸ 2bb      takes the first event that satisfies its next step: both are complete here
                                   └─ fires: the one that started latest; then all that began before are dropped

partial      begins ─▶ waits for step 1, 2, … ─▶ complete: a match
                        │ expired: beyond `within`       └─▶ with a `not` as the last step: waits until nothing came
                        │ killed: a guard holds, or `strict` and the next event does not satisfy the next step
                        ▼
                       gone
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from penstock.operators.key_state import Moment
from penstock.operators.run import RecordCause
from penstock.operators.watermark import NEVER

PARTIALS_MAX = 64

Event = Any
"""What is kept of an event: an instance of an event class."""
Values = dict[str, Any]


class Seen(NamedTuple):
    """An event, as far as a sequence needs it.

    `at` is where it stands in time: with `fire: arrival` N, else its own `time` (ms). Bit n of `holds`: condition n holds, or
    may hold, for it reads events of earlier steps. `values`: what definitions were at it, if it may be the last event. `moment`
    is there if a condition that is evaluated later needs it.
    """

    at: int
    time: int
    event: Event
    holds: int
    record: RecordCause
    values: Values | None = None
    moment: Moment | None = None


class Guard(NamedTuple):
    """A `not`: the condition of that number must not hold within `within` ms (None: until the next step is taken)."""

    condition: int
    within: int | None

    def covers(self, since: int, at: int) -> bool:
        return since < at and (self.within is None or at <= since + self.within)


class Step(NamedTuple):
    """Takes `times` events for which the condition of that number holds; `guard` stands before it."""

    condition: int
    times: int
    guard: Guard | None


class Partial(NamedTuple):
    """One beginning of a match.

    It began at `began` with the event of that `number`, waits for `step` and `has` so many events of it. The last event of the
    step before stood at `since`; once complete, that is its last one, with its number in `upto` and its `values`. `taken`
    holds the events of every step begun.
    """

    began: int
    number: int
    step: int = 0
    has: int = 0
    since: int = 0
    upto: int = 0
    taken: tuple[tuple[Event, ...], ...] = ()
    values: Values | None = None


Partials = tuple[Partial, ...]
"""In the order in which they began."""
Holds = Callable[[int, Partial], bool]
"""(number of a condition, a partial, whose events it may read) to whether it holds of the event being taken."""


class Outcome(NamedTuple):
    """What an event or an instant did. `match` is complete; `dropped` partials were too many."""

    partials: Partials
    match: Partial | None = None
    dropped: int = 0


@dataclass(frozen=True)
class Pattern:
    """`last` is a `not` at the end, which has a `within`. `lists`: partials keep every event of a step, not just the last."""

    steps: tuple[Step, ...]
    last: Guard | None
    within: int
    strict: bool
    lists: bool = False

    def take(self, partials: Partials, seen: Seen, number: int, holds: Holds) -> Outcome:
        """The next event; `number` counts those taken. O(partials)."""
        alive = [after for before in partials if (after := self._after(before, seen, number, holds)) is not None]
        begun = Partial(seen.at, number)
        if holds(self.steps[0].condition, begun):
            alive.append(self._with(begun, seen, number))
        matches = [partial for partial in alive if self._waits(partial)] if self.last is None else []
        if matches:
            return Outcome((), matches[-1])
        dropped = max(0, len(alive) - PARTIALS_MAX)
        return Outcome(tuple(alive[dropped:]), None, dropped)

    def _after(self, partial: Partial, seen: Seen, number: int, holds: Holds) -> Partial | None:
        """None: it is killed or expired."""
        waits = self._waits(partial)
        if not waits and seen.at > partial.began + self.within:
            return None
        guard = self.last if waits else self.steps[partial.step].guard
        if guard is not None and guard.covers(partial.since, seen.at) and holds(guard.condition, partial):
            return None
        if waits:
            return partial
        if holds(self.steps[partial.step].condition, partial):
            return self._with(partial, seen, number)
        return None if self.strict else partial

    def _waits(self, partial: Partial) -> bool:
        """It has all its events."""
        return partial.step == len(self.steps)

    def _with(self, partial: Partial, seen: Seen, number: int) -> Partial:
        before = partial.taken[partial.step] if partial.has and self.lists else ()
        taken = (*partial.taken[: partial.step], (*before, seen.event))
        if partial.has + 1 < self.steps[partial.step].times:
            return partial._replace(has=partial.has + 1, taken=taken)
        step = partial.step + 1
        values = seen.values if step == len(self.steps) else None
        return partial._replace(step=step, has=0, since=seen.at, upto=number, taken=taken, values=values)

    @cached_property
    def events(self) -> int:
        """So many belong to a match."""
        return sum(step.times for step in self.steps)

    @cached_property
    def _before(self) -> tuple[int, ...]:
        """So many of them belong to earlier steps, by step."""
        return (0, *accumulate(step.times for step in self.steps))

    def progress(self, partials: Partials) -> int:
        """The most events that one of them has, of those that lack some; 0: there are none."""
        return max(
            (self._before[partial.step] + partial.has for partial in partials if not self._waits(partial)), default=0
        )

    def due(self, partials: Partials) -> int | None:
        """The instant at which the `not` at the end lets the first partial fire."""
        if self.last is None or self.last.within is None:
            return None
        since = min((partial.since for partial in partials if self._waits(partial)), default=None)
        return None if since is None else since + self.last.within

    def settle(self, partials: Partials) -> Outcome:
        """Nothing came until `due`: of the partials that waited for it, the one that started latest is the match."""
        waiting = [partial for partial in partials if self._waits(partial)]
        since = min(partial.since for partial in waiting)
        match = [partial for partial in waiting if partial.since == since][-1]
        return Outcome(tuple(partial for partial in partials if partial.number > match.upto), match)

    def open_until(self, partials: Partials) -> int:
        """The last instant at which an event can still belong to one of them; NEVER: there is none that lacks one."""
        return max((partial.began + self.within for partial in partials if not self._waits(partial)), default=NEVER)
