"""`late: correct`, for `when` and `absence`: every firing is judged again after every later event that belongs before it.

Nothing is kept from one judgement to the next but what was said last: each goes over all that was fed by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.oracle.formula import UNKNOWN, Kept, Sight
from tests.oracle.oracle import Correction, Firing, Instant, Life, Outcome, Rule, Step, Turn, longest_span
from tests.oracle.rule_absence import Absence
from tests.oracle.rule_when import When

MOST = 4
"""So many firings are held."""
Said = tuple[bool, tuple[tuple[str, Any], ...]]
"""Whether it is withdrawn, and its values."""


@dataclass(frozen=True)
class Correct(Rule):
    """`lateness` is that of the source."""

    rule: When | Absence
    lateness: int
    late = True

    @property
    def name(self) -> str:  # type: ignore[override] # it has that of its rule
        return self.rule.name

    @property
    def episodic(self) -> bool:  # type: ignore[override] # so has this
        return self.rule.episodic

    @property
    def text(self) -> str:
        return f"{self.rule.text}, late: correct"

    @property
    def lasts(self) -> int:
        return self.rule.lasts

    @property
    def held_for(self) -> int:
        if isinstance(self.rule, Absence):
            return self.lateness + self.rule.silence
        named = self.rule.condition.names() | ({} if self.rule.until is None else self.rule.until.names())
        return self.lateness + longest_span([self.rule.condition, *named.values()])

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        heard = _Heard(suppressed=outcome.suppressed, noted=outcome.noted, whole=outcome)
        self.rule.expect(key, life, heard)
        said: dict[Firing, Said] = {}
        now: Instant = -inf
        for step in life.steps:
            now = max(now, step.reached, -inf if step.kept is None else step.kept.time)
            before = [each for each in heard.decided if each[1].record < step.number][-MOST:]
            for firing, turn in before:
                event, last = step.kept, said.get(firing, (False, firing.values))
                if event is None or now >= firing.at + self.held_for or not _belongs_before(firing, event):
                    continue
                said[firing] = self._judge(firing, [*_known(life, turn)], [*_later(life, firing, turn, step)], last)
                if said[firing] != last:
                    withdrawn, values = said[firing]
                    edge = Firing(self.name, key, int(now), event.cause, values, end=False)
                    outcome.corrected(Correction(edge, firing.cause, withdrawn))

    def _judge(self, firing: Firing, known: list[Kept], later: list[Kept], last: Said) -> Said:
        if isinstance(self.rule, Absence):
            began = firing.at - self.rule.silence
            came = [event for event in later if self.rule.condition.value(Sight([event], 0)) is True]
            return any(event.time > began for event in came), firing.values
        then = _Then([*known, *later], firing.at, last=known[-1])
        holds = self.rule.condition.value(then)
        if holds is UNKNOWN:
            return last
        values = dict(last[1])
        for formula in [self.rule.condition] if self.rule.until is None else [self.rule.condition, self.rule.until]:
            for name, meaning in formula.names().items():
                if meaning.spans():
                    values.pop(name, None)
                    values |= {} if (value := meaning.value(then)) is UNKNOWN else {name: value}
        return holds is not True, tuple(sorted(values.items()))


@dataclass
class _Heard(Outcome):
    """Firings as they pass, each with its turn."""

    whole: Outcome = field(default_factory=Outcome)
    decided: list[tuple[Firing, Turn]] = field(default_factory=list)

    def passes(self, edge: Firing, turn: Turn, now: Instant | None = None) -> bool:
        passed = self.whole.passes(edge, turn, now)
        if passed:
            self.decided.append((edge, turn))
        return passed

    def ended(self, firing: Firing, over: Firing, turn: Turn) -> None:
        self.whole.ended(firing, over, turn)


@dataclass(frozen=True)
class _Then(Sight):
    """The last event is the one that was the last when it was decided."""

    last: Kept | None = None

    @property
    def event(self) -> Kept:
        assert self.last is not None
        return self.last


def _belongs_before(firing: Firing, event: Kept) -> bool:
    """What stands at the very instant comes after it, unless it was time that decided."""
    return event.time < firing.at or (event.time == firing.at and firing.cause.startswith("timer@"))


def _known(life: Life, turn: Turn) -> Iterator[Kept]:
    """What was fed when it was decided."""
    for step in life.steps:
        with_it = step.number == turn.record and (turn.own or turn.by_watermark)
        if step.kept is not None and (step.number < turn.record or with_it):
            yield step.kept


def _later(life: Life, firing: Firing, turn: Turn, until: Step) -> Iterator[Kept]:
    """What was fed since, and belongs before."""
    for step in life.steps:
        if step.kept is not None and turn.record < step.number <= until.number and _belongs_before(firing, step.kept):
            yield step.kept
