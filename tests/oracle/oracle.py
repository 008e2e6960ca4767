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
    debounce: int = 0


@dataclass(frozen=True)
class When:
    """`rises_after` is `for`, `falls_after` is `keep_firing_for`."""

    name: str
    condition: Formula
    until: Formula | None
    cooldown: int
    rises_after: int = 0
    falls_after: int = 0


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


@dataclass(frozen=True)
class Match:
    """An event that satisfies an `each`, at N `now`, with what there was to tell of it then."""

    event: Kept
    now: Instant
    values: tuple[tuple[str, Any], ...]


def _each(rule: Each, key: str, life: Life, outcome: Outcome) -> None:
    told = _settled(rule, life) if rule.debounce else _at_once(rule, life)
    quiet_until: Instant = -inf
    for now, firing in told:
        if now < quiet_until:
            outcome.suppressed[rule.name] += 1
            continue
        outcome.firings.append(replace(firing, key=key))
        quiet_until = now + rule.cooldown


def _matches(rule: Each, life: Life) -> Iterator[tuple[Step, Instant, Match | None]]:
    """Every step with N after it, and the match that it brought."""
    events: list[Kept] = []
    now: Instant = -inf
    for step in life.steps:
        now = max(now, step.after)
        match = None
        if step.kept is not None:
            events.append(step.kept)
            now = max(now, step.kept.time)
            sight = Sight(events, int(now))
            if rule.condition.value(sight) is True:
                match = Match(step.kept, now, _values([rule.condition], sight))
        yield step, now, match


def _at_once(rule: Each, life: Life) -> Iterator[tuple[Instant, Firing]]:
    for _, now, match in _matches(rule, life):
        if match is not None:
            yield now, Firing(rule.name, "", match.event.time, match.event.cause, match.values, end=False)


def _settled(rule: Each, life: Life) -> Iterator[tuple[Instant, Firing]]:
    """With `debounce`: of the matches, those after which N comes so far without another one, which may stand at the very end."""
    last: Match | None = None
    for step, now, match in _matches(rule, life):
        if last is not None:
            due = last.now + rule.debounce
            before_it = due < step.kept.time if step.kept is not None else due <= now
            if before_it or (due <= now and match is None):
                yield due, Firing(rule.name, "", int(due), f"timer@{int(due)}", last.values, step.ended)
                last = None
        last = match or last


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
        self.seen: list[tuple[Instant, Any]] = []
        """Since it went on or off: every evaluation, and what the condition was that could have changed that."""

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
        if self.on is None:
            instants.add(self.quiet_until)
        instants.add(self._held_since() + self._delay())
        return {instant for instant in instants if instant > self.now}

    def _delay(self) -> int:
        return self.rule.rises_after if self.on is None else self.rule.falls_after

    def _held_since(self) -> Instant:
        """The first true one of the latest evaluations of which none is false: unknown changes nothing."""
        since: Instant = inf
        for instant, value in reversed(self.seen):
            if value is False:
                break
            since = instant if value is True else since
        return since

    def _held_for_long(self) -> bool:
        """It is true now, and has been for as long as it takes."""
        return self.seen[-1][1] is True and self.now >= self._held_since() + self._delay()

    def _fires_without(self, instant: int) -> bool:
        """Is it because `instant` has come that it fires there? So it is at the end of `for` or of a cooldown that held it back;
        else if it would fire without the event that stands there."""
        if instant not in self._instants() or self.on is not None or instant < self.quiet_until:
            return False
        if instant == self._held_since() + self.rule.rises_after or (self.waiting and instant == self.quiet_until):
            return True
        held = instant >= self._held_since() + self.rule.rises_after or not self.rule.rises_after
        return held and self.rule.condition.value(Sight(self.events, instant)) is True

    def _evaluate(self, cause: str, *, ended: bool) -> None:
        """Off, it looks at `when`; on, at `until`."""
        sight = self._sight()
        holds = (self.rule.condition if self.on is None else self.until).value(sight)
        self.seen.append((self.now, holds))
        if self.on is not None:
            if self._held_for_long():
                self.close(self.on, int(self.now))
        elif self._held_for_long() and self.now < self.quiet_until:
            self.waiting = True
        elif self._held_for_long():
            self._fire(cause, sight, ended=ended)
        elif holds is False and self.waiting:
            self.waiting = False
            self.outcome.suppressed[self.rule.name] += 1

    def _fire(self, cause: str, sight: Sight, *, ended: bool) -> None:
        formulas = [self.rule.condition, self.until]
        self.on = Firing(self.rule.name, self.key, sight.now, cause, _values(formulas, sight), ended)
        self.outcome.firings.append(self.on)
        self.waiting = False
        self.seen = []
        self.quiet_until = self.now + self.rule.cooldown

    def close(self, on: Firing, at: int, *, forgotten: bool = False) -> None:
        where = self.outcome.firings.index(on)
        self.outcome.firings[where] = replace(on, ends_at=at, forgotten=forgotten)
        self.on = None
        self.seen = []

    def _sight(self) -> Sight:
        return Sight(self.events, int(self.now))


_PER_RULE: dict[type, Callable[[Any, str, Life, Outcome], None]] = {Each: _each, Every: _every, When: _when}
