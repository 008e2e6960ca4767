"""`absence`, recomputed from all events of a key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

from tests.oracle.formula import Formula, Kept, Sight
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, field_text, named_values


@dataclass(frozen=True)
class Absence(Rule):
    episodic: ClassVar[bool] = True

    name: str
    condition: Formula
    silence: int
    cooldown: int = 0
    expects: bool = False

    @property
    def text(self) -> str:
        cooldown = field_text("cooldown", self.cooldown)
        expect = ", expect: tables.hosts" if self.expects else ""
        return f"absence: '{self.condition.text}', {cooldown}for: {self.silence}ms{expect}"

    @property
    def lasts(self) -> int:
        return max(self.silence, self.cooldown)

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        watch = _Watch(self, key, outcome, life)
        for step in life.steps:
            watch.take(step)
        if life.over is not None and watch.on is not None:
            watch.close(watch.on, life.over, forgotten=True)


class _Watch:
    """Every satisfying event is an entry of an agenda twice: when it comes, and when its silence would be over."""

    def __init__(self, rule: Absence, key: str, outcome: Outcome, life: Life) -> None:
        self.has_row, self.first = life.has_row, life.first
        self.waiting: int | None = None
        """The timestamp of a row that came before time began."""
        self.rule, self.key, self.outcome = rule, key, outcome
        self.events: list[Kept] = []
        self.satisfying: set[int] = set()
        self.came: set[int] = set()
        self.judged: set[int] = set()
        self.on: Firing | None = None
        self.told = True
        """What is on was told of, and its end will be."""
        self.step = Step(-inf, -inf)
        self.now: Instant = -inf
        self.quiet_until: Instant = -inf

    def take(self, step: Step) -> None:
        self.step = step
        self.now = max(self.now, step.reached, -inf if step.kept is None else step.kept.time)
        if step.kept is not None:
            self.events.append(step.kept)
            if self.rule.condition.value(self._sight()) is True:
                self._expectation_met(step.kept.time, step.before)
        if self.rule.expects:
            self._look_up(step)
        while (instant := self._next_instant()) < step.after:
            self._pass(int(instant), ended=step.ended)

    def _expectation_met(self, time: int, watermark: Instant) -> None:
        """What is fed behind W counts only if it is later than everything that came. Where nothing came yet and its silence is
        over, it counts as the last thing that W has passed."""
        if not self.came and time + self.rule.silence < watermark:
            time = int(watermark) - 1
        if time >= watermark or time > max(self.came, default=-inf):
            self.satisfying.add(time)

    def _look_up(self, step: Step) -> None:
        """A row that is there for the first time counts as a sign of life where there was none; before time began only the
        newest version is known for sure, because a compacted topic need have no other."""
        if step.row is not None and step.row[0] == "gone":
            self._give_up(step.after)
        elif step.row is not None and (self.waiting is not None or not self.has_row):
            self.has_row, self.waiting = True, step.row[1]
        if self.waiting is not None and not step.ended and step.after > -inf:
            at, self.waiting = max(self.waiting, self.first), None
            if not self.satisfying:
                self.satisfying.add(int(at if at + self.rule.silence >= step.after else step.after - 1))

    def _give_up(self, watermark: Instant) -> None:
        if self.has_row and self.on is not None:
            self.close(self.on, int(watermark))
        if self.has_row:
            self.satisfying, self.came, self.judged, self.quiet_until = set(), set(), set(), -inf
        self.has_row, self.waiting = False, None

    def _next_instant(self) -> Instant:
        ends = {time + self.rule.silence for time in self.satisfying}
        return min((self.satisfying - self.came) | (ends - self.judged), default=inf)

    def _pass(self, instant: int, *, ended: bool) -> None:
        if instant in self.satisfying - self.came:
            self.came.add(instant)
            if self.on is not None:
                self.close(self.on, instant)
        if instant - self.rule.silence in self.satisfying:
            self.judged.add(instant)
            if not any(instant - self.rule.silence < time <= instant for time in self.satisfying):
                self._silent(instant, ended=ended)

    def _silent(self, at: int, *, ended: bool) -> None:
        if at < self.quiet_until:
            self.outcome.suppressed[self.rule.name] += 1
            return
        values = named_values([self.rule.condition], self._sight()) if self.events else ()
        self.on = Firing(self.rule.name, self.key, at, f"timer@{at}", values, ended)
        self.told = self.outcome.passes(self.on, self.step.passed(at))
        if self.told:
            self.quiet_until = at + self.rule.cooldown

    def close(self, on: Firing, at: int, *, forgotten: bool = False) -> None:
        """An episode does not end before it began. What W had passed already when it came is taken as it comes."""
        if self.told:
            kept = self.step.kept
            at_once = kept is not None and kept.time == at and at < self.step.before
            turn = self.step.look(self.now) if at_once else self.step.passed(at)
            self.outcome.ended(on, replace(on, ends_at=max(at, on.at), forgotten=forgotten), turn)
        self.on = None

    def _sight(self) -> Sight:
        return Sight(self.events, 0)
