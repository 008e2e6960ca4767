"""`anomaly`, recomputed from all numbers of a key at every event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, ClassVar

from tests.oracle.anomaly_readings import Numbers, Told, change_point, ewma, robust_seasonal
from tests.oracle.formula import Field, Formula, Kept, Sight, kind
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, named_values


class Near(float):
    """A number that two programs may find with different rounding."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and abs(self - other) <= 1e-6 * max(1.0, abs(self))

    __hash__ = float.__hash__


@dataclass(frozen=True)
class Anomaly(Rule):
    """`season` is of `robust_seasonal`, `half_life` of the others."""

    episodic: ClassVar[bool] = True

    name: str
    method: str
    threshold: float
    warmup: int
    half_life: int
    season: int
    where: Formula | None
    cooldown: int
    number: Formula = Field("v")  # noqa: RUF009  # frozen

    @property
    def text(self) -> str:
        where = "" if self.where is None else f"where: '{self.where.text}', "
        memory = f"season: {self.season}ms" if self.method == "robust_seasonal" else f"half_life: {self.half_life}"
        rest = f"threshold: {self.threshold}, warmup: {self.warmup}, {where}cooldown: {self.cooldown}ms"
        return f"anomaly: {self.number.text}, method: {self.method}, {memory}, {rest}"

    @property
    def lasts(self) -> int:
        return max(self.cooldown, self.season)

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        course = _Course(self, key, outcome)
        for step in life.steps:
            course.take(step)
        if life.over is not None and course.on is not None:
            course.close(max(life.over, course.on.at), forgotten=True)

    def told(self, numbers: Numbers) -> Told | None:
        match self.method:
            case "ewma":
                return ewma(numbers, self.threshold, self.warmup, self.half_life)
            case "change_point":
                return change_point(numbers, self.threshold, self.warmup, self.half_life)
            case _:
                return robust_seasonal(numbers, self.season, self.warmup)


class _Course:
    """One `anomaly` of one key, event by event."""

    def __init__(self, rule: Anomaly, key: str, outcome: Outcome) -> None:
        self.rule, self.key, self.outcome = rule, key, outcome
        self.events: list[Kept] = []
        self.numbers: list[tuple[int, float]] = []
        self.now: Instant = -inf
        self.on: Firing | None = None
        self.held = False
        self.told = True
        """What is on was told of, and its end will be."""
        self.step = Step(-inf, -inf)
        self.quiet_until: Instant = -inf

    def take(self, step: Step) -> None:
        self.step = step
        self.now = max(self.now, step.reached)
        if step.kept is not None:
            self._take(step.kept)

    def _take(self, event: Kept) -> None:
        self.events.append(event)
        self.now = max(self.now, event.time)
        sight = Sight(self.events, int(self.now))
        number = self.rule.number.value(sight)
        if kind(number) != "number" or not (self.rule.where is None or self.rule.where.value(sight) is True):
            return
        self.numbers.append((event.time, number))
        told = self.rule.told(self.numbers)
        if told is not None:
            self._judge(told, number, sight)

    def _judge(self, told: Told, number: Any, sight: Sight) -> None:
        calm = abs(told.score) < self.rule.threshold / 2
        far = abs(told.score) >= self.rule.threshold
        if self.on is not None:
            if calm:
                self.close(int(self.now))
        elif far and self.now < self.quiet_until:
            self.held = True
        elif far:
            self._fire(told, number, sight)
        elif calm and self.held:
            self.held = False
            self.outcome.suppressed[self.rule.name] += 1

    def _fire(self, told: Told, number: Any, sight: Sight) -> None:
        own = [("expected", Near(told.expected)), ("observed", number), ("score", Near(told.score))]
        formulas = [self.rule.number] if self.rule.where is None else [self.rule.number, self.rule.where]
        values = tuple(sorted([*named_values(formulas, sight), *own]))
        self.on = Firing(self.rule.name, self.key, int(self.now), sight.event.cause, values, end=False)
        self.told = self.outcome.passes(self.on, self.step.look(self.now), self.now)
        self.held = False
        if self.told:
            self.quiet_until = self.now + self.rule.cooldown

    def close(self, at: int, *, forgotten: bool = False) -> None:
        assert self.on is not None
        if self.told:
            over = replace(self.on, ends_at=at, forgotten=forgotten)
            self.outcome.ended(self.on, over, self.step.look(self.now))
        self.on = None
