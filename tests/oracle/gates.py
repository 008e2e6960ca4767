"""What stands between edges and runs, decided one edge after the other over everything that happened before it.

The rules are played without any gate first. The earliest edge that should not have passed is refused, and everything is played
again, until nothing is left to refuse: so an edge is judged when all that came before it is settled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from tests.oracle.formula import Formula
from tests.oracle.oracle import (
    Firing,
    Incoming,
    Instant,
    Life,
    Outcome,
    Rule,
    Settings,
    Skipped,
    Turn,
    expect,
    steps_of,
)
from tests.oracle.product import PARTITION, TOPIC
from tests.oracle.rule_combination import Combination
from tests.oracle.rule_parted import Parted

from penstock.operators.decode import canonical_json
from penstock.operators.run import Cause, RecordCause, RunCause, TimerCause, run_id

PIPELINE = "oracle"
Place = tuple[int, bool, Instant, str, bool, int, bool]
"""The turn, the key, whether the trigger goes by the watermark, its rank; an event's own look comes last."""
Identity = tuple[str, str, str, str, str]
"""Trigger, key, part, cause, and what is told of it: one instant may be the cause of a combination by two of its members."""


@dataclass(frozen=True)
class Gated(Rule):
    """A trigger with what stands before its runs."""

    name: str
    rule: Rule
    inhibited_by: tuple[str, ...] = ()
    late: bool = False
    limit: str = ""
    sample: int = 100
    """Percent."""

    @property
    def text(self) -> str:
        names = f", inhibited_by: [{', '.join(self.inhibited_by)}]" if self.inhibited_by else ""
        late = ", late: reason" if self.late else ""
        sample = f", sample: {self.sample}%" if self.sample < 100 else ""
        limit = f", limit: {self.limit}" if self.limit else ""
        return f"{self.rule.text}{names}{late}{limit}{sample}"

    @property
    def lasts(self) -> int:
        return self.rule.lasts

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        if isinstance(outcome, Judged):
            outcome.over = life.over
        self.rule.expect(key, life, outcome)

    @property
    def by(self) -> Formula | None:
        return self.rule.by if isinstance(self.rule, Parted) else None

    @property
    def inhibits_for(self) -> int:
        rule = self.rule.rule if isinstance(self.rule, Parted) else self.rule
        return max(getattr(rule, "cooldown", 0), 1)


class Edge(NamedTuple):
    """`instant` is what it is compared by; `place` orders all edges as they are decided. `over`: when its key was forgotten."""

    place: tuple[Place, str]
    firing: Firing
    instant: Instant
    over: int | None

    @property
    def identity(self) -> Identity:
        return identity_of(self.firing)


def identity_of(firing: Firing) -> Identity:
    return firing.trigger, firing.key, firing.part, firing.cause, str(firing.values)


@dataclass
class Refusing(Outcome):
    """Edges pass unless they are among those that are refused."""

    refused: Collection[Identity] = ()

    def passes(self, edge: Firing, turn: Turn, now: Instant | None = None) -> bool:
        return identity_of(edge) not in self.refused and super().passes(edge, turn, now)


@dataclass
class Judged(Outcome):
    """One play of the rules, with everything refused that was found to be so far."""

    rules: dict[str, Gated] = field(default_factory=dict)
    refused: dict[Identity, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    floors: Sequence[Instant] = ()
    """By record: before this is late, if the record is; edges that it brings count as of this at least."""
    ranks: dict[str, int] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    ends: dict[Identity, Edge] = field(default_factory=dict)
    over: int | None = None
    """When the key that is being played is forgotten: whatever was known of it goes with it."""

    def passes(self, edge: Firing, turn: Turn, now: Instant | None = None) -> bool:
        return self._passes(self._edge(edge, turn, now), _cause(edge))

    def combines(self, edge: Firing, turn: Turn, last: Firing, now: Instant | None) -> bool:
        """After everything else that is decided at the same instant."""
        found = self._edge(edge, turn, last.at if now is None else now)
        (record, by_watermark, at, key, _, rank, own), part = found.place
        place = (record, by_watermark, at, key, now is None, rank, own)
        return self._passes(found._replace(place=(place, part)), RunCause(_run(last, _cause(last))))

    def _passes(self, found: Edge, cause: Cause) -> bool:
        edge = found.firing
        self.edges.append(found)
        if found.identity not in self.refused:
            if _is_in(_run(edge, cause), self.rules[edge.trigger].sample):
                self.firings.append(edge)
            else:
                self.sampled_out[edge.trigger] = self.sampled_out.get(edge.trigger, 0) + 1
            return True
        self.skipped.append(Skipped(edge, *self.refused[found.identity]))
        return False

    def alone(self) -> Outcome:
        return Refusing(suppressed=Counter(), refused=self.refused)

    def ended(self, firing: Firing, over: Firing, turn: Turn) -> None:
        if firing in self.firings:
            super().ended(firing, over, turn)
        assert over.ends_at is not None
        if over.forgotten:  # what is due at that instant comes first
            turn = Turn(turn.record, by_watermark=True, instant=over.ends_at + 1.5)
        self.ends[identity_of(firing)] = self._edge(firing, turn, over.ends_at)

    def _edge(self, firing: Firing, turn: Turn, now: Instant | None) -> Edge:
        rank, waits = self.ranks[firing.trigger], now is None
        place = (turn.record, turn.by_watermark, turn.instant, firing.key, waits, rank, turn.own)
        instant = firing.at if now is None else now
        return Edge((place, firing.part), firing, max(instant, self.floors[turn.record]), self.over)


def expect_gated(settings: Settings, records: Sequence[Incoming]) -> Outcome:
    """What has to leave triggers that stand behind gates."""
    rules = {rule.name: rule for rule in settings.rules if isinstance(rule, Gated)}
    steps = steps_of(settings, records, Outcome())
    floors = [step.before - settings.lateness if step.late else -inf for step in steps]
    judged = Judged(ranks=_ranks(rules), rules=rules, floors=floors)
    while True:
        expect(settings, records, judged)
        wrong = next(_wrong(judged, rules, floors), None)
        if wrong is None:
            return Outcome(**{each.name: getattr(judged, each.name) for each in fields(Outcome)})
        refused = judged.refused | dict([wrong])
        judged = Judged(ranks=judged.ranks, rules=rules, floors=floors, refused=refused)


def _ranks(rules: dict[str, Gated]) -> dict[str, int]:
    """Whoever waits for nobody is next, in the order of the file; what is made of others looks when all others have looked."""
    order: list[str] = []
    while len(order) < len(rules):
        order.append(next(n for n, rule in rules.items() if n not in order and set(rule.inhibited_by) <= set(order)))
    ranks = {name: rank for rank, name in enumerate(order)}
    return {name: rank + len(rules) * isinstance(rules[name].rule, Combination) for name, rank in ranks.items()}


def _wrong(
    judged: Judged, rules: dict[str, Gated], floors: Sequence[Instant]
) -> Iterator[tuple[Identity, tuple[str, tuple[str, ...]]]]:
    """Edges that passed and should not have, earliest first, and why."""
    passed: list[Edge] = []
    for edge in sorted(judged.edges, key=lambda edge: edge.place):
        if edge.identity in judged.refused:
            continue
        rule = rules[edge.firing.trigger]
        active = {each.firing.trigger for each in passed if _inhibits(judged, rules, each, edge)}
        if by := tuple(name for name in rule.inhibited_by if name in active):
            yield edge.identity, ("inhibited", by)
        counted = [_counted_at(each, floors) for each in passed if each.firing.trigger == rule.name]
        if rule.limit and _is_one_too_many(rule.limit, counted, _counted_at(edge, floors)):
            yield edge.identity, ("limit", ())
        passed.append(edge)


def _inhibits(judged: Judged, rules: dict[str, Gated], earlier: Edge, edge: Edge) -> bool:
    if (earlier.firing.key, earlier.over) != (edge.firing.key, edge.over) or earlier.instant > edge.instant:
        return False
    rule, other = rules[earlier.firing.trigger], rules[edge.firing.trigger]
    if rule.by is not None and rule.by == other.by and earlier.firing.part != edge.firing.part:
        return False
    if not rule.rule.episodic:
        return edge.instant < earlier.instant + rule.inhibits_for
    end = judged.ends.get(earlier.identity)
    return end is None or not (end.instant <= edge.instant and end.place < edge.place)


def _cause(edge: Firing) -> Cause:
    """Run ids are the product's own: what they are made of is decided elsewhere, what they decide is not."""
    kind, _, number = edge.cause.rpartition("@")
    return TimerCause(int(number)) if kind == "timer" else RecordCause(TOPIC, 0, PARTITION, int(number))


def _run(edge: Firing, cause: Cause) -> str:
    group = canonical_json(json.loads(edge.part)) if edge.part else None
    return run_id(PARTITION, PIPELINE, edge.trigger, edge.key, cause, group)


def _is_in(run: str, percent: int) -> bool:
    digest = blake2b(run.encode(), digest_size=8)
    return Fraction(int(digest.hexdigest(), 16), 2**64) < Fraction(percent, 100)


def _counted_at(edge: Edge, floors: Sequence[Instant]) -> int:
    """A late event counts as of the earliest instant at which it would not have been."""
    return int(max(edge.firing.at, floors[edge.place[0][0]]))


def _is_one_too_many(limit: str, counted: Sequence[int], at: int) -> bool:
    most, _, per = limit.partition("/")
    if per.endswith("ms"):
        return sum(at - int(per[:-2]) < each <= at for each in counted) >= int(most)
    return sum(_calendar(each, per) == _calendar(at, per) for each in counted) >= int(most)


def _calendar(at: int, per: str) -> tuple[int, ...]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    if per == "week":
        return moment.isocalendar()[:2]
    return (moment.year, moment.month, moment.day, moment.hour)[: {"month": 2, "day": 3, "hour": 4}[per]]
