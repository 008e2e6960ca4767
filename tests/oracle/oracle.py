"""What triggers have to do, recomputed from the full list of records: as slow and as simple as possible.

Nothing is incremental, nothing is saved, every span is gone through again at every evaluation. Agreement with the
product means that two quite different programs read the rules in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from tests.oracle.formula import UNKNOWN, Formula, Kept, Not, Sight

Instant = float
"""Whole milliseconds, or −∞ before everything and +∞ at the end of a bounded input."""


@dataclass(frozen=True)
class Incoming:
    """A record of the source in feed order. One that is `dead` has no key, no time or no readable value."""

    key: str
    time: int
    fields: dict[str, Any]
    cause: str
    ignored: bool = False
    dead: bool = False


@dataclass(frozen=True)
class Each:
    name: str
    condition: Formula
    cooldown: int = 0


@dataclass(frozen=True)
class When:
    name: str
    condition: Formula
    until: Formula | None
    cooldown: int


@dataclass(frozen=True)
class Every:
    name: str
    period: int


Rule = Each | When | Every


@dataclass(frozen=True)
class Settings:
    """`delay` and `lateness` of the source (ms), the triggers, whether the input is over after its last record, and how long a
    key is remembered (ms; None: for ever)."""

    delay: int
    lateness: int
    rules: tuple[Rule, ...]
    bounded: bool
    forget: int | None = None


@dataclass(frozen=True)
class Firing:
    trigger: str
    key: str
    at: int
    cause: str
    values: tuple[tuple[str, Any], ...]
    end: bool
    ends_at: int | None = None
    """Where its episode ended."""
    forgotten: bool = False
    """It ended because its key was forgotten."""


@dataclass
class Outcome:
    """`firings` per (trigger, key) in the order in which they happen; `suppressed` per trigger."""

    firings: list[Firing] = field(default_factory=list)
    suppressed: dict[str, int] = field(default_factory=dict)
    late: int = 0
    ignored: int = 0
    dead: int = 0


@dataclass(frozen=True)
class Step:
    """What one record does to time, for every key: W before and after it. `kept` is the event, for `key` alone.

    `ended`: it is no record, but the end of a bounded input.
    """

    before: Instant
    after: Instant
    key: str = ""
    kept: Kept | None = None
    ended: bool = False


@dataclass(frozen=True)
class Life:
    """What happens to one key until it is forgotten; `over` is the instant after which it was, None if it never was."""

    steps: list[Step]
    over: int | None


def expect(settings: Settings, records: Sequence[Incoming]) -> Outcome:
    """Everything that has to leave the triggers, and what has to be counted."""
    outcome = Outcome()
    steps = list(_steps(settings, records, outcome))
    keys = sorted({step.key for step in steps if step.kept is not None})
    for rule in settings.rules:
        outcome.suppressed[rule.name] = 0
        for key in keys:
            own = [step if step.key == key else replace(step, kept=None) for step in steps]
            for life in _lives(own, settings.forget):
                _PER_RULE[type(rule)](rule, key, life, outcome)
    return outcome


def _lives(steps: Sequence[Step], forget: int | None) -> Iterator[Life]:
    """A key begins anew once W has passed its last event by so much. An event that W had passed counts as of W."""
    lived: list[Step] = []
    now, last = -inf, inf
    for step in steps:
        now = max(now, step.after, -inf if step.kept is None else step.kept.time)
        last = now if step.kept is not None else last
        if forget is None or step.after <= last + forget:
            lived.append(step)
            continue
        over = int(last) + forget
        yield Life([*lived, replace(step, after=over + 1)], over)
        lived, last = [replace(step, before=over + 1)], inf
    yield Life(lived, None)


def _steps(settings: Settings, records: Sequence[Incoming], outcome: Outcome) -> Iterator[Step]:
    largest: Instant = -inf
    for record in records:
        if record.dead:
            outcome.dead += 1
            continue
        before = largest - settings.delay
        largest = max(largest, record.time)
        late = record.time < before - settings.lateness
        outcome.ignored += record.ignored
        outcome.late += late and not record.ignored
        keeps = not late and not record.ignored
        kept = Kept(record.time, record.fields, record.cause) if keeps else None
        yield Step(before, largest - settings.delay, record.key, kept)
    if settings.bounded:
        yield Step(largest - settings.delay, inf, ended=True)


def _values(formulas: Sequence[Formula], sight: Sight) -> tuple[tuple[str, Any], ...]:
    named = {name: meaning for formula in formulas for name, meaning in formula.names().items()}
    known = {name: meaning.value(sight) for name, meaning in named.items()}
    return tuple(sorted((name, value) for name, value in known.items() if value is not UNKNOWN))


def _each(rule: Each, key: str, life: Life, outcome: Outcome) -> None:
    events: list[Kept] = []
    now: Instant = -inf
    quiet_until: Instant = -inf
    for step in life.steps:
        now = max(now, step.after)
        if step.kept is None:
            continue
        events.append(step.kept)
        now = max(now, step.kept.time)
        sight = Sight(events, int(now))
        if rule.condition.value(sight) is not True:
            continue
        if now < quiet_until:
            outcome.suppressed[rule.name] += 1
            continue
        values = _values([rule.condition], sight)
        outcome.firings.append(Firing(rule.name, key, step.kept.time, step.kept.cause, values, end=False))
        quiet_until = now + rule.cooldown


def _every(rule: Every, key: str, life: Life, outcome: Outcome) -> None:
    dues: set[int] = set()
    for step in life.steps:
        if step.kept is not None:
            earliest = int(max(step.kept.time, step.before))
            dues.add(-(-earliest // rule.period) * rule.period)
        for due in sorted(due for due in dues if step.after > due):
            dues.remove(due)
            outcome.firings.append(Firing(rule.name, key, due, f"timer@{due}", (), end=step.ended))


def _when(rule: When, key: str, life: Life, outcome: Outcome) -> None:
    episode = _Episode(rule, key, outcome)
    for step in life.steps:
        episode.take(step)
    if life.over is not None and episode.on is not None:
        episode.close(episode.on, max(life.over, episode.on.at), forgotten=True)


class _Episode:
    """One `when` of one key, led from instant to instant."""

    def __init__(self, rule: When, key: str, outcome: Outcome) -> None:
        self.rule, self.key, self.outcome = rule, key, outcome
        self.until = Not(rule.condition) if rule.until is None else rule.until
        self.spans = [*rule.condition.spans(), *self.until.spans()]
        self.events: list[Kept] = []
        self.now: Instant = -inf
        self.on: Firing | None = None
        self.waiting = False
        self.quiet_until: Instant = -inf

    def take(self, step: Step) -> None:
        """First the instants before the event, then one evaluation with it; without an event whatever W reaches."""
        if step.kept is None:
            self._pass(step.after, inclusive=True, ended=step.ended)
            self.now = max(self.now, step.after)
            return
        self._pass(step.kept.time, inclusive=False, ended=False)
        by_time = step.kept.time > self.now and self._fires_without(step.kept.time)
        self.events.append(step.kept)
        self.now = max(self.now, step.kept.time, step.after)
        self._evaluate(f"timer@{step.kept.time}" if by_time else step.kept.cause, ended=False)

    def _pass(self, limit: Instant, *, inclusive: bool, ended: bool) -> None:
        while True:
            instant = min(self._instants(), default=inf)
            if instant > limit or instant == inf or (instant == limit and not inclusive):
                return
            self.now = instant
            self._evaluate(f"timer@{int(instant)}", ended=ended)

    def _instants(self) -> set[Instant]:
        """When time alone makes an evaluation necessary: a span loses an event, or an edge may no longer be held back."""
        if not self.events:
            return set()
        sight = self._sight()
        instants: set[Instant] = {change for span in self.spans for change in span.changes(sight)}
        if self.on is None and self.now < self.quiet_until:
            instants.add(self.quiet_until)
        return instants

    def _fires_without(self, instant: int) -> bool:
        """Would it fire at `instant` if the event that stands there did not? An edge that was held back until then does."""
        if self.waiting and instant == self.quiet_until:
            return True
        if instant not in self._instants() or self.on is not None or instant < self.quiet_until:
            return False
        return self.rule.condition.value(Sight(self.events, instant)) is True

    def _evaluate(self, cause: str, *, ended: bool) -> None:
        sight = self._sight()
        holds = self.rule.condition.value(sight)
        if self.on is not None:
            if self.until.value(sight) is True:
                self.close(self.on, int(self.now))
        elif holds is True and self.now < self.quiet_until:
            self.waiting = True
        elif holds is True:
            self._fire(cause, sight, ended=ended)
        elif holds is False and self.waiting:
            self.waiting = False
            self.outcome.suppressed[self.rule.name] += 1

    def _fire(self, cause: str, sight: Sight, *, ended: bool) -> None:
        formulas = [self.rule.condition, self.until]
        self.on = Firing(self.rule.name, self.key, sight.now, cause, _values(formulas, sight), ended)
        self.outcome.firings.append(self.on)
        self.waiting = False
        self.quiet_until = self.now + self.rule.cooldown

    def close(self, on: Firing, at: int, *, forgotten: bool = False) -> None:
        where = self.outcome.firings.index(on)
        self.outcome.firings[where] = replace(on, ends_at=at, forgotten=forgotten)
        self.on = None

    def _sight(self) -> Sight:
        return Sight(self.events, int(self.now))


_PER_RULE: dict[type, Callable[[Any, str, Life, Outcome], None]] = {Each: _each, Every: _every, When: _when}
