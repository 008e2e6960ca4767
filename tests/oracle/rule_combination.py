"""`any` and `all`, recomputed: what the members do is worked out anew for every beginning of a key's life.

What a member does between one beginning and the next, it does in that step; what happens at one instant is one evaluation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from tests.oracle.oracle import Firing, Instant, Life, Outcome, Rule, Step, field_text
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
        deeds = sorted(_deeds(self.members, key, life), key=lambda deed: deed.when)
        evaluations = [list(same) for _, same in groupby(deeds, key=lambda deed: deed.when)]
        last: int | None = None
        for firing in self.firings(key, evaluations):
            if self.cooldown and last is not None and firing.at < last + self.cooldown:
                outcome.suppressed[self.name] += 1
                continue
            last = firing.at
            open_now = firing.ends_at is None and self.lasting and life.over is not None
            over = replace(firing, ends_at=max(life.over or 0, firing.at), forgotten=True)
            outcome.firings.append(over if open_now else firing)

    @property
    def lasting(self) -> bool:
        return False

    @abstractmethod
    def firings(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Firing]:
        """As if there were no cooldown."""

    def told(self, key: str, last: Deed, fired: dict[str, int]) -> Firing:
        """At the time of the last of them."""
        values = (("fired", {member: _iso(at) for member, at in fired.items()}),)
        return Firing(self.name, key, max(fired.values()), last.cause, values, last.end)


@dataclass(frozen=True)
class AnyOf(Combination):
    @property
    def text(self) -> str:
        return f"any: {self.names}, cooldown: {self.cooldown}ms"

    def firings(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Firing]:
        for deeds in evaluations:
            fired = [deed for deed in deeds if not deed.ends]
            if fired:
                firing = self.told(key, fired[0], {deed.member: deed.at for deed in fired})
                yield replace(firing, at=fired[0].at)


@dataclass(frozen=True)
class AllWithin(Combination):
    within: int = 0

    @property
    def text(self) -> str:
        return f"all: {self.names}, {field_text('within', self.within)}cooldown: {self.cooldown}ms"

    @property
    def lasts(self) -> int:
        return max(self.within, self.cooldown)

    def firings(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Firing]:
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
                yield self.told(key, fired[-1], times)
                unused = []


@dataclass(frozen=True)
class AllAtOnce(Combination):
    @property
    def text(self) -> str:
        return f"all: {self.names}, cooldown: {self.cooldown}ms"

    @property
    def lasting(self) -> bool:
        return True

    def firings(self, key: str, evaluations: Sequence[Sequence[Deed]]) -> Iterator[Firing]:
        """From an evaluation after which all are on, and before which they were not, to the first after which they are not."""
        states = [self._on(evaluations[: count + 1]) for count in range(len(evaluations))]
        for place, state in enumerate(states):
            if state is None or (place > 0 and states[place - 1] is not None):
                continue
            firing = self.told(key, evaluations[place][-1], state)
            off = next((later for later in range(place, len(states)) if states[later] is None), None)
            if off is not None:
                ended = min(deed.at for deed in evaluations[off] if deed.ends)
                firing = replace(firing, ends_at=max(ended, firing.at))
            yield firing

    def _on(self, evaluations: Sequence[Sequence[Deed]]) -> dict[str, int] | None:
        """When each began that is on after these; None unless all are."""
        last = {deed.member: deed for deeds in evaluations for deed in deeds}
        on = {member.name: last.get(member.name) for member in self.members}
        return None if any(deed is None or deed.ends for deed in on.values()) else {
            name: deed.at for name, deed in on.items() if deed is not None
        }  # fmt: skip


def _deeds(members: Sequence[Rule], key: str, life: Life) -> Iterator[Deed]:
    for member in members:
        before: list[Firing] = []
        for count in range(1, len(life.steps) + 1):
            steps = life.steps[:count]
            after = _firings(member, key, steps)
            yield from _news(member, steps, before, after)
            before = after


def _firings(member: Rule, key: str, steps: list[Step]) -> list[Firing]:
    outcome = Outcome(suppressed=Counter())
    member.expect(key, Life(steps, None), outcome)
    return outcome.firings


def _news(member: Rule, steps: list[Step], before: list[Firing], after: list[Firing]) -> Iterator[Deed]:
    """What the last of the steps brought."""
    for place, firing in enumerate(after):
        known = before[place] if place < len(before) else None
        if known is None:
            when = _when(member, steps, firing.at, timer=firing.cause.startswith("timer"))
            yield Deed(when, member.name, firing.at, firing.cause, firing.end, ends=False)
        if firing.ends_at is not None and (known is None or known.ends_at is None):
            when = _when(member, steps, firing.ends_at, timer=not _is_met_at_once(member, steps[-1]))
            yield Deed(when, member.name, firing.ends_at, "", False, ends=True)


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
