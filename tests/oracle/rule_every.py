"""`every` and `cron`, recomputed from all events of a key."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from tests.oracle.oracle import Firing, Life, Outcome, Rule
from tests.oracle.wall_clock import DAY, HORIZON, begins, first_from, is_due


@dataclass(frozen=True)
class Schedule(Rule):
    name: str

    @abstractmethod
    def first_from(self, time: int) -> int:
        """The first due time at or after `time`."""

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        dues: set[int] = set()
        for step in life.steps:
            if step.kept is not None:
                dues.add(self.first_from(int(max(step.kept.time, step.before))))
            for due in sorted(due for due in dues if step.after > due):
                dues.remove(due)
                outcome.passes(Firing(self.name, key, due, f"timer@{due}", (), end=step.ended), step.passed(due))


@dataclass(frozen=True)
class Every(Schedule):
    period: int

    @property
    def text(self) -> str:
        return f"every: {self.period}ms"

    @property
    def lasts(self) -> int:
        return self.period

    def first_from(self, time: int) -> int:
        return -(-time // self.period) * self.period


@dataclass(frozen=True)
class EveryDay(Schedule):
    """Every so many days of a zone."""

    days: int
    zone: str

    @property
    def text(self) -> str:
        return f"every: {self.days}d, zone: {self.zone}"

    @property
    def lasts(self) -> int:
        return (self.days + 1) * DAY

    def first_from(self, time: int) -> int:
        due = first_from(time, lambda instant: begins(self.days, instant, self.zone))
        assert due is not None
        return due


@dataclass(frozen=True)
class Cron(Schedule):
    """An expression of which something is due within the oracle's horizon."""

    expression: str
    zone: str

    @property
    def text(self) -> str:
        return f"cron: '{self.expression}', zone: {self.zone}, over: active_keys"

    @property
    def lasts(self) -> int:
        return HORIZON

    def first_from(self, time: int) -> int:
        due = first_from(time, lambda instant: is_due(self.expression, instant, self.zone))
        assert due is not None
        return due
