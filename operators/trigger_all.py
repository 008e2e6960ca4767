"""`all`: fires when each of several other triggers has fired within a time, or while all of them are in an episode at once.

With `within` the firings count, each of them once: the latest of every member since it fired before.

    disk_full       F   F            F          F
    latency_high              F          F          F
    within: 8s                F  (first to last: 6s)  F: the firings before are used up
                        ├─────┤                  ├───┤

Without it the episodes count: it fires when the last of its members goes on, and its own ends with the first that goes off.

    disk_full       F──────────────────────R
    latency_high              F──────────────────R
    all                       F────────────R
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from penstock.operators.combination import Combination, CombinationSettings, Heard, Members
from penstock.operators.key_state import KeyState
from penstock.operators.setting import Wait
from penstock.operators.trigger import NO_RUN, Bind, EpisodicTrigger, Resolved, Suppressed, Transition
from penstock.operators.unit import duration_text


class AllSettings(CombinationSettings):
    """Fires when each of these triggers has fired within a time; or while all are in an episode at once, until one is over."""

    all: Members = Field(
        min_length=2, description="Other triggers of the file, by name.", examples=[["disk_full", "latency_high"]]
    )
    within: Wait | None = Field(
        default=None,
        description="From the first of their firings to the last. Default: all of them are in an episode at once.",
        examples=["10m"],
    )


class AllCell(NamedTuple):
    """`fired`: event times of those members that fired and are not used up, or not over. `run`: the open episode's. `since`: that
    of the firing before."""

    fired: Mapping[str, int]
    run: str | None = None
    since: int | None = None


class AllWithin(Combination):
    """Of every member the firing with the latest event time counts, whatever order they were found in."""

    def __init__(self, members: Members, within: int, cooldown: int) -> None:
        super().__init__(members, cooldown)
        self.within = within
        self.condition = f"all: [{', '.join(members)}], within: {duration_text(within)}"

    def heard(
        self, key: KeyState, cell: AllCell | None, heard: Sequence[Heard]
    ) -> tuple[AllCell | None, Transition | None]:
        before = AllCell({}) if cell is None else cell
        fired, last = dict(before.fired), None
        for each in heard:
            if each.run is not None:
                fired[each.member], last = max(each.at, fired.get(each.member, each.at)), each
        if last is None:
            return cell, None
        at = max(fired.values())
        if len(fired) < len(self.members) or at - min(fired.values()) > self.within:
            return before._replace(fired=fired), None
        if self.rests(at, before.since):
            return before._replace(fired={}), Suppressed()
        after = AllCell({}, since=at) if self.cooldown else None
        return after, self.firing(key, at, last, sorted(fired.items()))

    def skipped(self, before: AllCell | None, after: AllCell | None) -> AllCell | None:
        """What its members did is used up even so."""
        since = None if before is None else before.since
        return None if since is None else AllCell({}, since=since)

    def load(self, dumped: list[Any] | None) -> AllCell | None:
        return AllCell(*dumped) if dumped else None


class AllAtOnce(Combination, EpisodicTrigger):
    """A cooldown that is not over when the last member goes on lets this time pass: only a `when` waits for its end."""

    def __init__(self, members: Members, cooldown: int) -> None:
        super().__init__(members, cooldown)
        self.condition = f"all: [{', '.join(members)}]"

    def heard(
        self, key: KeyState, cell: AllCell | None, heard: Sequence[Heard]
    ) -> tuple[AllCell | None, Transition | None]:
        before = AllCell({}) if cell is None else cell
        fired = dict(before.fired)
        for each in heard:
            if each.run is None:
                fired.pop(each.member, None)
            else:
                fired[each.member] = each.at
        after = before._replace(fired=fired)
        if len(fired) < len(self.members):
            return self._off(after, heard)
        return (after, None) if before.run is not None else self._rise(key, after, heard[-1])

    def _off(self, cell: AllCell, heard: Sequence[Heard]) -> tuple[AllCell, Transition | None]:
        if cell.run is None:
            return cell, None
        ended = min(each.at for each in heard if each.run is None)
        began = ended if cell.since is None else cell.since  # one that was skipped: its end has no record
        return cell._replace(run=None), Resolved(cell.run, max(ended, began))

    def _rise(self, key: KeyState, cell: AllCell, last: Heard) -> tuple[AllCell, Transition | None]:
        at = max(cell.fired.values())
        if self.rests(at, cell.since):
            return cell, Suppressed()
        return cell._replace(since=at), self.firing(key, at, last, sorted(cell.fired.items()))

    def skipped(self, before: AllCell | None, after: AllCell) -> AllCell:
        return after._replace(run=NO_RUN, since=None if before is None else before.since)

    def load(self, dumped: list[Any] | None) -> AllCell | None:
        return AllCell(*dumped) if dumped else None


def build(settings: AllSettings, bind: Bind) -> Combination:
    """Nothing of it is an expression."""
    if settings.within is None:
        return AllAtOnce(settings.all, settings.cooldown)
    return AllWithin(settings.all, settings.within, settings.cooldown)
