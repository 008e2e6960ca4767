"""`by` and `from`, for any rule: each part of a key is recomputed as if it were a key, only that N is the whole key's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from tests.oracle.formula import UNKNOWN, Formula, Kept, Sight
from tests.oracle.oracle import Correction, Firing, Instant, Life, Outcome, Rule, Step, Turn


@dataclass
class _Part(Outcome):
    """What one part of a key adds to an outcome."""

    whole: Outcome = field(default_factory=Outcome)
    part: str = ""

    def passes(self, edge: Firing, turn: Turn, now: Instant | None = None) -> bool:
        return self.whole.passes(replace(edge, part=self.part), turn, now)

    def corrected(self, correction: Correction) -> None:
        self.whole.corrected(replace(correction, edge=replace(correction.edge, part=self.part)))

    def ended(self, firing: Firing, over: Firing, turn: Turn) -> None:
        self.whole.ended(replace(firing, part=self.part), replace(over, part=self.part), turn)


@dataclass(frozen=True)
class Parted(Rule):
    """`by` None: all events that it sees are one part. `only`: the source, as the file calls it, that it sees."""

    rule: Rule
    by: Formula | None
    only: str | None = None

    @property
    def name(self) -> str:  # type: ignore[override] # it has that of its rule
        return self.rule.name

    @property
    def text(self) -> str:
        by = "" if self.by is None else f", by: '{self.by.text}'"
        return f"{self.rule.text}{by}" + ("" if self.only is None else f", from: {self.only}")

    @property
    def lasts(self) -> int:
        return self.rule.lasts

    @property
    def episodic(self) -> bool:  # type: ignore[override] # so has this
        return self.rule.episodic

    @property
    def late(self) -> bool:  # type: ignore[override] # as well
        return self.rule.late

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        parts = [None if step.kept is None else self._part(step.kept) for step in life.steps]
        whole = {""} if self.by is None else set[str]()  # where nothing comes, something may be missed
        for part in sorted(whole.union(part for part in parts if part is not None)):
            own = [_seen(step, sees=found == part) for step, found in zip(life.steps, parts, strict=True)]
            alone = _Part(suppressed=outcome.suppressed, noted=outcome.noted, whole=outcome, part=part)
            self.rule.expect(key, replace(life, steps=own), alone)

    def _part(self, event: Kept) -> str | None:
        """JSON of the value, one spelling for equal ones; None: it takes no part."""
        if self.only is not None and not event.cause.startswith(f"{self.only}/"):
            return None
        if self.by is None:
            return ""
        value = self.by.value(Sight([event], event.time))
        return None if value is UNKNOWN else json.dumps(_spelled(value), sort_keys=True)


def _seen(step: Step, *, sees: bool) -> Step:
    if step.kept is None or sees:
        return step
    return replace(step, kept=None, others=step.kept.time)


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, dict):
        return {name: _spelled(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
