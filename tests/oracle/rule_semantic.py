"""`semantic`, recomputed from all events of a key and a table of what the model says of each text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import cos, inf, radians
from typing import Any, ClassVar

from tests.oracle.formula import Field, Formula, Kept, Sight
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, named_values

FURY: Mapping[str, float] = {"a": 0.75, "b": 0.125, "c": 0.5, "d": 1.0}
"""How likely it is that a text is furious; a text that is not here is one of which the model says nothing."""
ANGLES: Mapping[str, int] = {"a": 0, "b": 15, "c": 60, "d": 90, "e": 180, "f": 240}
"""The direction of a text; as above."""


class Nearly(float):
    """A distance that was found with one byte per number."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and abs(self - other) <= 0.01

    __hash__ = float.__hash__


@dataclass(frozen=True)
class Judged:
    """An event of which the model says something, at N `now`."""

    step: Step
    event: Kept
    now: Instant
    text: str
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Semantic(Rule):
    """`unlike` 0: with options."""

    reads: ClassVar[Formula] = Field("x")

    name: str
    where: Formula | None
    threshold: float
    cooldown: int
    unlike: int = 0

    @property
    def text(self) -> str:
        where = "" if self.where is None else f"where: '{self.where.text}', "
        form = (
            f"model: embed, unlike: {self.unlike}ms"
            if self.unlike
            else "model: small, options: [calm, furious], is: furious"
        )
        rest = f"threshold: {self.threshold}, cooldown: {self.cooldown}ms"
        return f"semantic: {self.reads.text}, {where}{form}, {rest}"

    @property
    def lasts(self) -> int:
        return max(self.cooldown, self.unlike)

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        judged = list(self._judged(life, outcome))
        quiet_until: Instant = -inf
        for place, each in enumerate(judged):
            own = self._distance(judged[: place + 1]) if self.unlike else self._likely(each.text)
            if own is None:
                continue
            values = tuple(sorted([*each.values, *own.items()]))
            firing = Firing(self.name, key, each.event.time, each.event.cause, values, end=False)
            if each.now < quiet_until:
                outcome.suppressed[self.name] += 1
            elif outcome.passes(firing, each.step.look(each.now), each.now):
                quiet_until = each.now + self.cooldown

    def _judged(self, life: Life, outcome: Outcome) -> Iterator[Judged]:
        said = ANGLES if self.unlike else FURY
        events: list[Kept] = []
        now: Instant = -inf
        for step in life.steps:
            now = max(now, step.reached)
            if step.kept is None:
                continue
            events.append(step.kept)
            now = max(now, step.kept.time)
            sight = Sight(events, int(now))
            text = self.reads.value(sight)
            if not isinstance(text, str) or not (self.where is None or self.where.value(sight) is True):
                continue
            if text in said:
                formulas = [self.reads] if self.where is None else [self.reads, self.where]
                yield Judged(step, step.kept, now, text, named_values(formulas, sight))
            else:
                outcome.noted["unjudged", self.name] += 1

    def _likely(self, text: str) -> dict[str, Any] | None:
        return {"label": "furious", "probability": FURY[text]} if FURY[text] >= self.threshold else None

    def _distance(self, judged: list[Judged]) -> dict[str, Any] | None:
        """Of the last one: it stands for itself, unless one that stood there before is as good as the same."""
        stood: list[tuple[str, list[Instant]]] = []
        found: dict[str, Any] | None = None
        for each in judged:
            fresh = [one for one in stood if one[1][-1] > each.now - self.unlike]
            fresh.sort(key=lambda one: one[1][-1], reverse=True)
            same = [one for one in fresh if _apart(one[0], each.text) <= self.threshold / 10]
            nearest = min((_apart(one[0], each.text) for one in fresh), default=1.0)
            found = {"distance": Nearly(nearest)} if not same and nearest > self.threshold else None
            stood = [one for one in stood if one in fresh]
            if same:
                same[0][1].append(each.now)
            else:
                stood.append((each.text, [each.now]))
        return found


def _apart(one: str, other: str) -> float:
    return 1 - cos(radians(ANGLES[one] - ANGLES[other]))
