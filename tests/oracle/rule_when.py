"""`when`, recomputed from all events of a key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, ClassVar

from tests.oracle.formula import Formula, Kept, Not, Sight
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, Turn, field_text, longest_span, named_values


@dataclass(frozen=True)
class When(Rule):
    """`rises_after` is `for`, `falls_after` is `keep_firing_for`."""

    episodic: ClassVar[bool] = True

    name: str
    condition: Formula
    until: Formula | None
    cooldown: int
    rises_after: int = 0
    falls_after: int = 0

    @property
    def text(self) -> str:
        until = "" if self.until is None else f"until: '{self.until.text}', "
        waits = field_text("for", self.rises_after) + field_text("keep_firing_for", self.falls_after)
        return f"when: '{self.condition.text}', {until}{waits}cooldown: {self.cooldown}ms"

    @property
    def lasts(self) -> int:
        formulas = [self.condition] if self.until is None else [self.condition, self.until]
        return max(self.cooldown, self.rises_after, self.falls_after, longest_span(formulas))

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        episode = _Episode(self, key, outcome)
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
        self.told = True
        """What is on was told of, and its end will be."""
        self.step = Step(-inf, -inf)
        self.waiting = False
        self.quiet_until: Instant = -inf
        self.seen: list[tuple[Instant, Any]] = []
        """Since it went on or off: every evaluation, and what the condition was that could have changed that."""

    def take(self, step: Step) -> None:
        """First the instants before the event, then one evaluation with it; without an event whatever W reaches."""
        self.step = step
        if step.kept is None:
            self._pass(step.reached, inclusive=True, ended=step.ended)
            self.now = max(self.now, step.reached)
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
        self.on = Firing(self.rule.name, self.key, sight.now, cause, named_values(formulas, sight), ended)
        self.told = self.outcome.passes(self.on, self._turn(), self.now)
        self.waiting = False
        self.seen = []
        if self.told:
            self.quiet_until = self.now + self.rule.cooldown

    def close(self, on: Firing, at: int, *, forgotten: bool = False) -> None:
        if self.told:
            self.outcome.ended(on, replace(on, ends_at=at, forgotten=forgotten), self._turn())
        self.on = None
        self.seen = []

    def _turn(self) -> Turn:
        looks = self.step.kept is not None and self.now >= self.step.kept.time
        return self.step.look(self.now) if looks else self.step.at(self.now)

    def _sight(self) -> Sight:
        return Sight(self.events, int(self.now))
