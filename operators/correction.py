"""`late: correct`: what was decided is decided again when an event comes that belongs before it.

n: count(event.x == "a", 10s)         when: n >= 3

    second           1  2  3  4  5  6
    event            a  a  a  ·  a  ·
    fed as           1  2  5     3  4
    firing                       F            {n: 3}: nothing was known of the `a` of second 3
    correction                      C         {n: 4}, and names the run of F

A decision is a firing that got through its gates. With it is remembered what it was taken upon, so that it can be taken again
at its own instant, with what has come since. If that comes out otherwise than was said last, there is a correction. What the
trigger does now is another matter, and comes after it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from penstock.operators.aggregate import AggregateCall, new_aggregate
from penstock.operators.condition import Definitions, known_values
from penstock.operators.expression import Unknown
from penstock.operators.key_state import KeyState
from penstock.operators.last_event import LastEvents
from penstock.operators.run import Correction, carried
from penstock.operators.trigger import (
    Asked,
    Corrected,
    Corrections,
    EpisodicTrigger,
    Fired,
    Single,
    Transition,
    Trigger,
)
from penstock.operators.trigger_absence import Absence
from penstock.operators.trigger_when import When

DECISIONS_MAX = 4
"""So many are remembered per trigger, key and part: each may hold a copy of the trigger's spans."""


class Decision(NamedTuple):
    """A firing with event time `at` (ms), and what was said of it last. `run` is empty until it is known.

    `timed`: it fired because time had come, so that events of that very instant belong before it. `basis` is what it was taken
    upon, as builtins.
    """

    run: str
    at: int
    timed: bool
    basis: Any
    withdrawn: bool
    values: dict[str, Any]

    def follows(self, time: int) -> bool:
        """An event with this time, fed after it, belongs before it."""
        return time < self.at or (self.timed and time == self.at)

    def says(self, other: Decision) -> bool:
        return (self.withdrawn, self.values) == (other.withdrawn, other.values)


class CorrectingCell(NamedTuple):
    """`inner` is the cell of the trigger that decides; the oldest decision comes first."""

    inner: Any
    decisions: tuple[Decision, ...]


NOTHING = CorrectingCell(None, ())


class Correcting(EpisodicTrigger):
    """A trigger that decides by another one, and corrects what that decided. Subclasses know how to decide again.

    A decision is held until N is `lateness` and the kind's own `reach` beyond it (ms).
    """

    def __init__(self, inner: EpisodicTrigger, lateness: int) -> None:
        self.inner, self.lateness, self.cooldown = inner, lateness, inner.cooldown
        self.condition, self.conditions = inner.condition, inner.conditions
        self.idle_unless, self.sleeps = inner.idle_unless, inner.sleeps

    @property
    @abstractmethod
    def reach(self) -> int:
        """No event that is older than this before a decision can change it (ms)."""

    @abstractmethod
    def basis(self, key: KeyState, fired: Fired) -> Any:
        """What the firing at the key's present instant was decided upon."""

    @abstractmethod
    def taken(self, key: KeyState) -> Mapping[int, Any]:
        """What the event just added means to decisions; empty: nothing."""

    @abstractmethod
    def concerned(self, taken: Mapping[int, Any]) -> bool:
        """Whether such an event may change decisions. Where there is no cell, others are not shown."""

    @abstractmethod
    def again(self, key: KeyState, decision: Decision, time: int, taken: Mapping[int, Any]) -> Decision:
        """The decision with the event just added, which belongs before it, known."""

    @cached_property
    def held_for(self) -> int:
        return self.lateness + self.reach

    def fed(
        self, key: KeyState, cell: CorrectingCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[CorrectingCell | None, Transition | None]:
        known = NOTHING if cell is None else cell
        decisions = self._held(key, known.decisions)
        corrected: list[Corrected] = []
        if time <= key.now - self.held_for or any(decision.follows(time) for decision in decisions):
            decisions, corrected = self._decided_again(key, decisions, time)
        inner, then = self.inner.fed(key, known.inner, time, watermark, due)
        assert not isinstance(then, Corrections | Asked)
        after = self._after(key, cell, inner, decisions, then)
        return after, Corrections(tuple(corrected), then) if corrected else then

    def passed(
        self, key: KeyState, cell: CorrectingCell | None, deadline: int
    ) -> tuple[CorrectingCell | None, Transition | None]:
        known = NOTHING if cell is None else cell
        inner, then = self.inner.passed(key, known.inner, deadline)
        assert not isinstance(then, Corrections | Asked)
        return self._after(key, cell, inner, self._held(key, known.decisions), then), then

    def _held(self, key: KeyState, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
        if decisions and (len(decisions) > DECISIONS_MAX or key.now >= decisions[0].at + self.held_for):
            held = [decision for decision in decisions if key.now < decision.at + self.held_for]
            key.counters["decisions_dropped", self.name] += max(0, len(held) - DECISIONS_MAX)
            return tuple(held[-DECISIONS_MAX:])
        return decisions

    def _decided_again(
        self, key: KeyState, decisions: Sequence[Decision], time: int
    ) -> tuple[tuple[Decision, ...], list[Corrected]]:
        """Those with the event just added, and what of them is said otherwise."""
        taken = self.taken(key)
        if time <= key.now - self.held_for and self.concerned(taken):
            key.counters["beyond_correction", self.name] += 1
        after = tuple(
            self.again(key, each, time, taken) if taken and each.follows(time) else each for each in decisions
        )
        changed = [(old, new) for old, new in zip(decisions, after, strict=True) if not old.says(new)]
        return after, [
            Corrected(Correction(old.run, old.at, old.values, new.withdrawn), new.values) for old, new in changed
        ]

    def _after(
        self,
        key: KeyState,
        cell: CorrectingCell | None,
        inner: Any,
        decisions: tuple[Decision, ...],
        then: Single | None,
    ) -> CorrectingCell | None:
        if isinstance(then, Fired):
            values = carried(known_values(self.definitions, key))
            decision = Decision("", then.at, then.due is not None, self.basis(key, then), False, values)
            decisions = (*decisions, decision)
        if inner is None and not decisions:
            return None
        if cell is not None and inner is cell.inner and decisions == cell.decisions:
            return cell
        return CorrectingCell(inner, decisions)

    def opened(self, cell: CorrectingCell, run: str) -> CorrectingCell:
        *before, last = cell.decisions
        return CorrectingCell(self.inner.opened(cell.inner, run), (*before, last._replace(run=run)))

    def skipped(self, before: CorrectingCell | None, after: CorrectingCell) -> CorrectingCell:
        """What was skipped is no decision: nobody was told."""
        former = NOTHING if before is None else before
        return CorrectingCell(self.inner.skipped(former.inner, after.inner), after.decisions[:-1])

    def episode(self, cell: CorrectingCell | None) -> str | None:
        return None if cell is None else self.inner.episode(cell.inner)

    def deadline(self, key: KeyState, cell: CorrectingCell | None) -> int | None:
        return self.inner.deadline(key, None if cell is None else cell.inner)

    def would_fire(self, key: KeyState, cell: CorrectingCell | None) -> bool:
        return self.inner.would_fire(key, None if cell is None else cell.inner)

    def forgets(self, cell: CorrectingCell) -> int | None:
        over = max((decision.at + self.held_for for decision in cell.decisions), default=None)
        if cell.inner is None:
            return over
        own = self.inner.forgets(cell.inner)
        return own if own is None or over is None else max(own, over)

    def dump(self, cell: CorrectingCell | None) -> Any:
        if cell is None:
            return None
        return [self.inner.dump(cell.inner), [list(decision) for decision in cell.decisions]]

    def load(self, dumped: Any) -> CorrectingCell | None:
        if not dumped:
            return None
        inner, decisions = dumped
        return CorrectingCell(self.inner.load(inner), tuple(Decision(*decision) for decision in decisions))


class CorrectingWhen(Correcting):
    """Decides again whether `when` held, and what the definitions were that count something. What counts nothing is about the
    event with which it was decided, and no other event changes it.

    The basis: what is read of that event and its record, and a copy of the trigger's spans.
    """

    inner: When

    @cached_property
    def _counted(self) -> Definitions:
        """Those that an event may change."""
        return tuple((name, condition) for name, condition in self.definitions if condition.slots)

    @cached_property
    def _calls(self) -> Mapping[int, AggregateCall]:
        """By their places among the key's aggregates."""
        counted = [self.inner.when, *(condition for _, condition in self._counted)]
        return {slot: call for each in counted for slot, call in zip(each.slots, each.compiled.aggregates, strict=True)}

    @cached_property
    def _last(self) -> LastEvents:
        read = [self.inner.when.compiled, *(condition.compiled for _, condition in self._counted)]
        fields = frozenset().union(*(compiled.own_fields for compiled in read))
        return LastEvents(sorted(fields), any(compiled.own_moment for compiled in read), {})

    @property
    def reach(self) -> int:
        return max((call.span_ms for call in self._calls.values()), default=0)

    def basis(self, key: KeyState, fired: Fired) -> Any:
        last = None if key.event is None else self._last.dump(key)
        return [last, [key.slots[slot].dump() for slot in self._calls]]

    def taken(self, key: KeyState) -> Mapping[int, Any]:
        return dict(self._taken(key))

    def _taken(self, key: KeyState) -> Iterator[tuple[int, Any]]:
        for slot, call in self._calls.items():
            if call.where is None or call.where.evaluate(key.event, (), key.moment) is True:
                value = None if call.value is None else call.value.evaluate(key.event, (), key.moment)
                if value.__class__ is not Unknown:
                    yield slot, value

    def concerned(self, taken: Mapping[int, Any]) -> bool:
        return not taken.keys().isdisjoint(self.inner.when.slots)

    def again(self, key: KeyState, decision: Decision, time: int, taken: Mapping[int, Any]) -> Decision:
        if time <= decision.at - self.reach:
            return decision
        then = self._as_it_was(key, decision)
        for slot, value in taken.items():
            then.slots[slot].add(time, value, decision.at)
        basis = [decision.basis[0], [then.slots[slot].dump() for slot in self._calls]]
        holds = self.inner.when.value(then)
        if not isinstance(holds, bool):
            return decision._replace(basis=basis)
        counted = dict(self._counted)
        kept = {name: value for name, value in decision.values.items() if name not in counted}
        values = kept | carried(known_values(self._counted, then))
        return decision._replace(basis=basis, withdrawn=not holds, values=values)

    def _as_it_was(self, key: KeyState, decision: Decision) -> KeyState:
        """The key at the instant of the decision, as far as that looked. Rows of tables are those of now."""
        last, contents = decision.basis
        slots = list(key.slots)
        for (slot, call), content in zip(self._calls.items(), contents, strict=True):
            slots[slot] = new_aggregate(call)
            slots[slot].load(content)
        then = KeyState(key.name, key.context, tuple(slots), (), key.counters)
        then.now = decision.at
        if last is not None:
            self._last.load(then, last)
        if then.moment is not None and key.moment is not None:
            then.moment.labels, then.moment.tables = key.moment.labels, key.moment.tables
        return then


class CorrectingAbsence(Correcting):
    """Withdraws a silence when a satisfying event turns up that lay in it. The basis: the event time at which it began (ms)."""

    by_watermark: ClassVar[bool] = True
    inner: Absence

    @property
    def reach(self) -> int:
        return self.inner.silence

    def basis(self, key: KeyState, fired: Fired) -> Any:
        return fired.at - self.inner.silence

    def taken(self, key: KeyState) -> Mapping[int, Any]:
        return {0: True} if self.inner.satisfies.value(key) is True else {}

    def concerned(self, taken: Mapping[int, Any]) -> bool:
        return bool(taken)

    def again(self, key: KeyState, decision: Decision, time: int, taken: Mapping[int, Any]) -> Decision:
        return decision._replace(withdrawn=decision.withdrawn or time > decision.basis)


def correcting(trigger: Trigger, lateness: int) -> Correcting:
    """The same trigger with `late: correct`; `lateness` is the longest of the sources (ms)."""
    if isinstance(trigger, Absence):
        return CorrectingAbsence(trigger, lateness)
    assert isinstance(trigger, When)
    return CorrectingWhen(trigger, lateness)
