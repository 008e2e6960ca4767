"""`each`, recomputed from all events of a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from tests.oracle.formula import Formula, Kept, Sight
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, Turn, field_text, named_values


@dataclass(frozen=True)
class Each(Rule):
    name: str
    condition: Formula
    cooldown: int = 0
    debounce: int = 0

    @property
    def text(self) -> str:
        return f"each: '{self.condition.text}', {field_text('debounce', self.debounce)}cooldown: {self.cooldown}ms"

    @property
    def lasts(self) -> int:
        return max(self.cooldown, self.debounce)

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        told = _settled(self, life) if self.debounce else _at_once(self, life)
        quiet_until: Instant = -inf
        for turn, now, firing in told:
            if now < quiet_until:
                outcome.suppressed[self.name] += 1
            elif outcome.passes(replace(firing, key=key), turn, now):
                quiet_until = now + self.cooldown


@dataclass(frozen=True)
class Match:
    """An event that satisfies an `each`, at N `now`, with what there was to tell of it then."""

    event: Kept
    now: Instant
    values: tuple[tuple[str, Any], ...]


def _matches(rule: Each, life: Life) -> Iterator[tuple[Step, Instant, Match | None]]:
    """Every step with N after it, and the match that it brought."""
    events: list[Kept] = []
    now: Instant = -inf
    for step in life.steps:
        now = max(now, step.reached)
        match = None
        if step.kept is not None:
            events.append(step.kept)
            now = max(now, step.kept.time)
            sight = Sight(events, int(now))
            if rule.condition.value(sight) is True:
                match = Match(step.kept, now, named_values([rule.condition], sight))
        yield step, now, match


def _at_once(rule: Each, life: Life) -> Iterator[tuple[Turn, Instant, Firing]]:
    for step, now, match in _matches(rule, life):
        if match is not None:
            yield (
                step.look(now),
                now,
                Firing(rule.name, "", match.event.time, match.event.cause, match.values, end=False),
            )


def _settled(rule: Each, life: Life) -> Iterator[tuple[Turn, Instant, Firing]]:
    """With `debounce`: of the matches, those after which N comes so far without another one, which may stand at the very end."""
    last: Match | None = None
    for step, now, match in _matches(rule, life):
        if last is not None:
            due = last.now + rule.debounce
            before_it = due < step.kept.time if step.kept is not None else due <= now
            if before_it or (due <= now and match is None):
                turn = step.at(due) if before_it or step.kept is None else step.look(due)
                yield turn, due, Firing(rule.name, "", int(due), f"timer@{int(due)}", last.values, step.ended)
                last = None
        last = match or last
