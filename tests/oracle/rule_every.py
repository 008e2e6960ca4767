"""`every`, recomputed from all events of a key."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.oracle import Firing, Life, Outcome, Rule, Turn


@dataclass(frozen=True)
class Every(Rule):
    name: str
    period: int

    @property
    def text(self) -> str:
        return f"every: {self.period}ms"

    @property
    def lasts(self) -> int:
        return self.period

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        dues: set[int] = set()
        for step in life.steps:
            if step.kept is not None:
                earliest = int(max(step.kept.time, step.before))
                dues.add(-(-earliest // self.period) * self.period)
            for due in sorted(due for due in dues if step.after > due):
                dues.remove(due)
                firing = Firing(self.name, key, due, f"timer@{due}", (), end=step.ended)
                outcome.passes(firing, Turn(step.number, True, due + 1))
