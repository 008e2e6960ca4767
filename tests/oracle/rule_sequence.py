"""`sequence`, recomputed as a search over all tuples of events, again and again, at every instant at which anything happens.

Nothing is carried from event to event but what was taken, in which order, and behind which of these the last match ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from tests.oracle.formula import Formula, Kept, Sight
from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, field_text, named_values

PARTIALS_MAX = 64


@dataclass(frozen=True)
class Takes:
    """A step: `{as: name, where: formula, times: times}`."""

    where: Formula
    name: str | None = None
    times: int = 1

    @property
    def text(self) -> str:
        named = "" if self.name is None else f"as: {self.name}, "
        return f"{{{named}where: '{self.where.text}', times: {self.times}}}"


@dataclass(frozen=True)
class Never:
    """`{not: formula, within: within}`; 0: without `within`."""

    what: Formula
    within: int = 0

    @property
    def text(self) -> str:
        within = f", within: {self.within}ms" if self.within else ""
        return f"{{not: '{self.what.text}'{within}}}"


@dataclass(frozen=True)
class InSequence(Rule):
    name: str
    items: tuple[Takes | Never, ...]
    within: int
    cooldown: int = 0
    strict: bool = False
    arrival: bool = False
    shows: bool = False
    """A template asks for the fields `x` and `v` of every step."""

    @property
    def text(self) -> str:
        words = field_text("within", self.within) + ("strict: true, " if self.strict else "")
        fire = "fire: arrival, " if self.arrival else ""
        items = ", ".join(item.text for item in self.items)
        told = 'annotations: {told: \'{{ [steps, "x", "v"] | tojson }}\'}, ' if self.shows else ""
        return f"sequence: [{items}], {words}{fire}{told}cooldown: {self.cooldown}ms"

    @property
    def lasts(self) -> int:
        return max(self.within, self.cooldown, *(item.within for item in self.items if isinstance(item, Never)))

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        story = _Story(self, key, outcome)
        play = _by_arrival if self.arrival else _by_watermark
        play(story, life.steps)

    @property
    def wanted(self) -> list[tuple[int, Takes]]:
        """Every event that a match has, as (item, what it has to be)."""
        return [(at, item) for at, item in enumerate(self.items) if isinstance(item, Takes) for _ in range(item.times)]

    @property
    def last(self) -> Never | None:
        return self.items[-1] if isinstance(self.items[-1], Never) else None


class Taken(NamedTuple):
    """An event where it stands in time."""

    at: int
    event: Kept


Tuple = tuple[int, ...]
"""Places in the list of what was taken, rising."""


def _by_watermark(story: _Story, steps: Sequence[Step]) -> None:
    waiting: list[Kept] = []
    reached: Instant = -inf
    for step in steps:
        story.step = step
        if step.kept is not None and step.kept.time >= reached:
            waiting.append(step.kept)
        elif step.kept is not None and any(step.kept.time < taken.at for taken in story.taken):
            story.outcome.noted["late_for_trigger", story.rule.name] += 1
        elif step.kept is not None:
            story.take(step.kept.time, step.kept, ended=False)
            story.let_pass(lambda due, reached=reached: due < reached, ended=False)
        reached = max(reached, step.after)
        for event in sorted((event for event in waiting if event.time < reached), key=lambda event: event.time):
            waiting.remove(event)
            story.let_pass(lambda due, event=event: due < event.time, ended=step.ended)
            story.take(event.time, event, ended=step.ended)
        story.let_pass(lambda due, reached=reached: due < reached, ended=step.ended)


def _by_arrival(story: _Story, steps: Sequence[Step]) -> None:
    now: Instant = -inf
    for step in steps:
        kept, story.step = step.kept, step
        if kept is not None:
            story.let_pass(lambda due, kept=kept: due < kept.time, ended=False)
            story.now = now = max(now, kept.time, step.after)
            story.take(int(now), kept, ended=False)
        now = max(now, step.reached)
        story.let_pass(lambda due, now=now: due <= now, ended=step.ended)


@dataclass
class _Story:
    """What one key's events came to. Matches begin at `begin` or later, but not at what was `given_up`."""

    rule: InSequence
    key: str
    outcome: Outcome
    taken: list[Taken] = field(default_factory=list)
    begin: int = 0
    given_up: set[int] = field(default_factory=set)
    quiet_until: Instant = -inf
    done: set[int] = field(default_factory=set)
    step: Step = field(default_factory=lambda: Step(-inf, -inf))
    now: Instant = -inf
    """N at the look at the last event, with `fire: arrival`."""

    def take(self, at: int, event: Kept, *, ended: bool) -> None:
        self.taken.append(Taken(at, event))
        place = len(self.taken) - 1
        if self.rule.last is None:
            found = [match for match in self._tuples(len(self.rule.wanted)) if match[-1] == place]
            if found:
                self._fire(at=event.time, cause=event.cause, match=max(found), ended=ended)
                return
        if self._is(self.rule.wanted[0][1].where, place, {}):
            self._keep_within_bounds()

    def _keep_within_bounds(self) -> None:
        """Of the beginnings from which there may still be a match only the newest are followed."""
        if len(self.taken) - self.begin <= PARTIALS_MAX:
            return
        alive = sorted({beginning[0] for beginning in self._open()})
        dropped = alive[:-PARTIALS_MAX] if len(alive) > PARTIALS_MAX else []
        self.given_up.update(dropped)
        if dropped:
            self.outcome.noted["partials_dropped", self.rule.name] += len(dropped)

    def let_pass(self, passed: Any, *, ended: bool) -> None:
        """The instants of which `passed` is true are over: whatever a `not` at the end waited for until then."""
        while True:
            waits = [(self._due(match), match) for match in self._complete()]
            over = [(due, match) for due, match in waits if passed(due)]
            if not over:
                return
            due = min(due for due, _ in over)
            match = max(match for each, match in over if each == due)
            if due in self.done:
                self.begin = match[-1] + 1
            else:
                self.done.add(due)
                self._fire(at=due, cause=f"timer@{due}", match=match, ended=ended)

    def _fire(self, *, at: int, cause: str, match: Tuple, ended: bool) -> None:
        self.begin = match[-1] + 1
        if at < self.quiet_until:
            self.outcome.suppressed[self.rule.name] += 1
            return
        formulas = [item.where if isinstance(item, Takes) else item.what for item in self.rule.items]
        event = self.taken[match[-1]].event
        values = named_values(formulas, Sight([event], event.time))
        told = [self._steps(match), "x", "v"] if self.rule.shows else None
        edge = Firing(self.rule.name, self.key, at, cause, values, ended, told=told)
        if self._passes(edge, by_record=not cause.startswith("timer")) and self.rule.cooldown:
            self.quiet_until = at + self.rule.cooldown

    def _passes(self, edge: Firing, *, by_record: bool) -> bool:
        if not self.rule.arrival:
            return self.outcome.passes(edge, self.step.passed(edge.at))
        if by_record:
            return self.outcome.passes(edge, self.step.look(self.now), self.now)
        looks = self.step.kept is not None and edge.at >= self.step.kept.time
        return self.outcome.passes(edge, self.step.look(edge.at) if looks else self.step.at(edge.at), edge.at)

    def _steps(self, match: Tuple) -> dict[str, list[Any]]:
        named = [(item.name, self.taken[place].event) for (_, item), place in zip(self.rule.wanted, match, strict=True)]
        names = {name for name, _ in named if name is not None}
        return {
            name: [
                {field: event.fields[field] for field in "xv" if field in event.fields}
                for each, event in named
                if each == name
            ]
            for name in names
        }

    # --- which tuples there are -------------------------------------------------------------------------------------

    def _tuples(self, length: int) -> Iterator[Tuple]:
        """All tuples of so many events that are what a match begins with."""
        if length == 0:
            yield ()
            return
        for before in self._tuples(length - 1):
            for place in range(before[-1] + 1 if before else self.begin, len(self.taken)):
                if (before or place not in self.given_up) and self._goes_on(before, place):
                    yield (*before, place)

    def _goes_on(self, before: Tuple, place: int) -> bool:
        """Is this event the next one of a match that begins like that?"""
        wanted = self.rule.wanted
        captures = self._captures(before)
        if not self._is(wanted[len(before)][1].where, place, captures):
            return False
        if not before:
            return True
        between = range(before[-1] + 1, place)
        if self.rule.strict and len(between):
            return False
        if any(self._is(wanted[len(before)][1].where, other, captures) for other in between):
            return False
        in_time = not self.rule.within or self.taken[place].at - self.taken[before[0]].at <= self.rule.within
        return in_time and not self._forbidden(before, place)

    def _forbidden(self, before: Tuple, place: int) -> bool:
        """Does what must not come stand between the step before and this event, or is it this event?"""
        wanted = self.rule.wanted
        item = wanted[len(before)][0]
        guard = self.rule.items[item - 1] if item else None
        if not isinstance(guard, Never):
            return False
        since = max(index for index in range(len(before)) if wanted[index][0] < item)
        return self._comes(guard, before[: since + 1], before[-1] + 1, place)

    def _comes(self, guard: Never, before: Tuple, first: int, last: int) -> bool:
        """Of the events at places `first` to `last`, in time after the last one of `before`."""
        since, captures = self.taken[before[-1]].at, self._captures(before)
        until = since + guard.within if guard.within else inf
        return any(
            since < self.taken[place].at <= until and self._is(guard.what, place, captures)
            for place in range(first, last + 1)
        )

    def _captures(self, before: Tuple) -> dict[str, Kept]:
        wanted = self.rule.wanted
        named = [(wanted[index][1].name, self.taken[place].event) for index, place in enumerate(before)]
        return {name: event for name, event in named if name is not None}

    def _is(self, formula: Formula, place: int, captures: dict[str, Kept]) -> bool:
        event = self.taken[place].event
        return formula.value(Sight([event], event.time, captures)) is True

    def _complete(self) -> list[Tuple]:
        """Those that only wait for nothing to come, and to which nothing has come."""
        last = self.rule.last
        if last is None:
            return []
        return [
            match
            for match in self._tuples(len(self.rule.wanted))
            if not self._comes(last, match, match[-1] + 1, len(self.taken) - 1)
        ]

    def _due(self, match: Tuple) -> int:
        assert self.rule.last is not None
        return self.taken[match[-1]].at + self.rule.last.within

    def _open(self) -> list[Tuple]:
        """Those of which there may still be a match, as far as they go; one for each beginning."""
        wanted, now = self.rule.wanted, self.taken[-1].at
        found = {match[0]: match for match in self._complete()}
        for length in range(1, len(wanted)):
            gone_on = {longer[:-1] for longer in self._tuples(length + 1)}
            for beginning in self._tuples(length):
                if beginning not in gone_on and self._may_go_on(beginning, now):
                    found[beginning[0]] = beginning
        return list(found.values())

    def _may_go_on(self, beginning: Tuple, now: int) -> bool:
        wanted, end = self.rule.wanted, len(self.taken) - 1
        item = wanted[len(beginning)][0]
        guard = self.rule.items[item - 1]
        since = (
            max(index for index in range(len(beginning)) if wanted[index][0] < item) if isinstance(guard, Never) else 0
        )
        killed = isinstance(guard, Never) and self._comes(guard, beginning[: since + 1], beginning[-1] + 1, end)
        broken = self.rule.strict and beginning[-1] < end
        return not killed and not broken and now <= self.taken[beginning[0]].at + self.rule.within
