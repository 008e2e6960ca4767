"""`any` and `all`, recomputed: what the members do is worked out anew for every beginning of a key's life.

What a member does between one beginning and the next, it does in that step; what happens at one instant is one evaluation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import ClassVar

from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, Turn, field_text
from tests.oracle.rule_absence import Absence


@dataclass(frozen=True)
class Deed:
    """A member fired, or (`ends`) what it began is over, at `at`. `when` is the evaluation in which it did, in their order."""

    when: tuple[int, int, Instant, int]
    member: str
    at: int
    cause: str
    end: bool
    ends: bool
    firing: Firing
    now: Instant | None
    """N, where the member goes by that."""
    turn: Turn


@dataclass(frozen=True)
class Edge:
    """The members come to a firing, by what one of them did; in the evaluation `off` to its end."""

    firing: Firing
    by: Deed
    off: Sequence[Deed] | None = None


@dataclass(frozen=True)
class Combination(Rule):
    """`members` in the order of the file."""

    name: str
    members: tuple[Rule, ...]
    cooldown: int = 0

    @property
    def names(self) -> str:
        return f"[{', '.join(member.name for member in self.members)}]"

    @property
    def lasts(self) -> int:
        return self.cooldown

    def expect(self, key: str, life: Life, outcome: Outcome) -> None:
        deeds = sorted(_deeds(self.members, key, life, outcome), key=lambda deed: deed.when)
        evaluations = [list(same) for _, same in groupby(deeds, key=lambda deed: deed.when)]
        last: int | None = None
        for edge in self.edges(key, evaluations):
            firing = edge.firing
            if self.cooldown and last is not None and firing.at < last + self.cooldown:
                outcome.suppressed[self.name] += 1
            elif outcome.combines(firing, edge.by.turn, edge.by.firing, edge.by.now):
                last = firing.at
                self._end(edge, life, outcome)

    def _end(self, edge: Edge, life: Life, outcome: Outcome) -> None:
        firing = edge.firing
        if edge.off is not None:
            ended = min(deed.at for deed in edge.off if deed.ends)
            outcome.ended(firing, replace(firing, ends_at=max(ended, firing.at)), edge.off[0].turn)
        elif self.episodic and life.over is not None:
            over = replace(firing, ends_at=max(life.over, firing.at), forgotten=True)
            outcome.ended(firing, over, life.steps[-1].passed(life.over))

    @abstractmethod
    def edges(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Edge]:
        """As if there were no cooldown, and nothing else in the way."""

    def told(self, key: str, last: Deed, fired: dict[str, int]) -> Firing:
        """At the time of the last of them."""
        values = (("fired", {member: _iso(at) for member, at in fired.items()}),)
        return Firing(self.name, key, max(fired.values()), last.cause, values, last.end)


@dataclass(frozen=True)
class AnyOf(Combination):
    @property
    def text(self) -> str:
        return f"any: {self.names}, cooldown: {self.cooldown}ms"

    def edges(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Edge]:
        for deeds in evaluations:
            fired = [deed for deed in deeds if not deed.ends]
            if fired:
                firing = self.told(key, fired[0], {deed.member: deed.at for deed in fired})
                yield Edge(replace(firing, at=fired[0].at), fired[0])


@dataclass(frozen=True)
class AllWithin(Combination):
    within: int = 0

    @property
    def text(self) -> str:
        return f"all: {self.names}, {field_text('within', self.within)}cooldown: {self.cooldown}ms"

    @property
    def lasts(self) -> int:
        return max(self.within, self.cooldown)

    def edges(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Edge]:
        """Every firing since the last one that was used; of them the latest of each member."""
        unused: list[Deed] = []
        for deeds in evaluations:
            fired = [deed for deed in deeds if not deed.ends]
            unused += fired
            times = {
                member.name: max(deed.at for deed in unused if deed.member == member.name)
                for member in self.members
                if any(deed.member == member.name for deed in unused)
            }
            complete = fired and len(times) == len(self.members)
            if complete and max(times.values()) - min(times.values()) <= self.within:
                yield Edge(self.told(key, fired[-1], times), fired[-1])
                unused = []


@dataclass(frozen=True)
class AllAtOnce(Combination):
    episodic: ClassVar[bool] = True

    @property
    def text(self) -> str:
        return f"all: {self.names}, cooldown: {self.cooldown}ms"

    def edges(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Edge]:
        """From an evaluation after which all are on, and before which they were not, to the first after which they are not."""
        states = [self._on(evaluations[: count + 1]) for count in range(len(evaluations))]
        for place, state in enumerate(states):
            if state is None or (place > 0 and states[place - 1] is not None):
                continue
            off = next((evaluations[later] for later in range(place, len(states)) if states[later] is None), None)
            yield Edge(self.told(key, evaluations[place][-1], state), evaluations[place][-1], off)

    def _on(self, evaluations: Sequence[Sequence[Deed]]) -> dict[str, int] | None:
        """When each began that is on after these; None unless all are."""
        last = {deed.member: deed for deeds in evaluations for deed in deeds}
        on = {member.name: last.get(member.name) for member in self.members}
        return None if any(deed is None or deed.ends for deed in on.values()) else {
            name: deed.at for name, deed in on.items() if deed is not None
        }  # fmt: skip


def _deeds(members: Sequence[Rule], key: str, life: Life, outcome: Outcome) -> Iterator[Deed]:
    for member in members:
        before: list[Firing] = []
        for count in range(1, len(life.steps) + 1):
            steps = life.steps[:count]
            after = _firings(member, key, steps, outcome.alone())
            yield from _news(member, steps, before, after)
            before = after


def _firings(member: Rule, key: str, steps: list[Step], alone: Outcome) -> list[Firing]:
    member.expect(key, Life(steps, None), alone)
    return alone.firings


def _news(member: Rule, steps: list[Step], before: list[Firing], after: list[Firing]) -> Iterator[Deed]:
    """What the last of the steps brought."""
    for place, firing in enumerate(after):
        known = before[place] if place < len(before) else None
        if known is None:
            yield _deed(member, steps, firing, firing.at, timer=firing.cause.startswith("timer"), ends=False)
        if firing.ends_at is not None and (known is None or known.ends_at is None):
            timer = not _is_met_at_once(member, steps[-1])
            yield _deed(member, steps, firing, firing.ends_at, timer=timer, ends=True)


def _deed(member: Rule, steps: list[Step], firing: Firing, at: int, *, timer: bool, ends: bool) -> Deed:
    when = _when(member, steps, at, timer=timer)
    _, by_watermark, instant, waits = when
    turn = Turn(steps[-1].number, bool(by_watermark), instant, own=True)
    return Deed(when, member.name, at, firing.cause, firing.end, ends, firing, None if waits else instant, turn)


def _when(member: Rule, steps: list[Step], at: int, *, timer: bool) -> tuple[int, int, Instant, int]:
    """The step, what comes with an event of the key before what W brings, the instant: W has passed one a millisecond later."""
    event = steps[-1].kept is not None
    if isinstance(member, Absence) and timer:
        return len(steps), 1, at + 1, 1
    times = [step.kept.time for step in steps if step.kept is not None]
    now = max([*times, *(step.reached for step in steps)])
    return len(steps), 0 if event else 1, at if timer else now, 0


def _is_met_at_once(member: Rule, step: Step) -> bool:
    """What an absence waited for comes behind W: it is over with this event."""
    return isinstance(member, Absence) and step.kept is not None and step.kept.time < step.after


def _iso(at: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
