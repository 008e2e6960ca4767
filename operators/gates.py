"""What stands between the edge of a trigger and its run.

    edge ─▶ cooldown ─▶ inhibited? ─▶ firing ─▶ in the sample? ─▶ run
            (trigger)       └─▶ `skipped` record    └─▶ counted

A trigger holds back by itself what falls into its cooldown. An edge that is refused here is no firing: it starts no cooldown
and inhibits nobody, and what it would have begun ends without a record. What the sample leaves out is a firing in all but its
run: a sample is a share of what there would be without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.operators.inhibition import Inhibition, Inhibitions, begun, ended, inhibits
from penstock.operators.key_state import KeyState
from penstock.operators.trigger import NO_RUN
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import NEVER

SkipReason = Literal["inhibited"]


class Refusal(NamedTuple):
    """Why an edge begins no run; `inhibited_by` names the triggers."""

    reason: SkipReason
    inhibited_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """What the file puts between the edges of one trigger and its runs.

    `inhibited_by` are the places of other triggers. `inhibits`: others name this one; `cooldown` (ms) is for how long it
    inhibits where it has no episodes. `sample` is the share of its firings that begin runs.
    """

    inhibited_by: tuple[int, ...] = ()
    inhibits: bool = False
    cooldown: int = 0
    sample: float = 1.0


class Gates:
    """The gates of one task. `names` are its triggers', `lateness` is how far behind the watermark an edge may lie (ms)."""

    def __init__(self, names: tuple[str, ...], lateness: int, unsaved: Unsaved) -> None:
        self._names, self._lateness, self._unsaved = names, lateness, unsaved
        self._settled = NEVER

    def settle(self, watermark: int) -> None:
        """Whatever was due at the watermark has been decided: what follows lies at most so far behind it."""
        self._settled = watermark - self._lateness

    def refusal(self, key: KeyState, gate: Gate, instant: int) -> Refusal | None:
        """Why an edge of that instant begins no run; None: it is a firing."""
        known = key.inhibitions
        if gate.inhibited_by and known:
            by = [self._names[place] for place in gate.inhibited_by if inhibits(known.get(place, ()), instant)]
            if by:
                return Refusal("inhibited", tuple(by))
        return None

    def fired(self, key: KeyState, place: int, gate: Gate, instant: int, episode: str | None) -> None:
        """The trigger at `place` fired; `episode` is the run whose episode began, None if none did."""
        if gate.inhibits:
            until = None if episode is not None else instant + max(gate.cooldown, 1)
            inhibition = Inhibition(instant, until, episode)
            self._unsaved.inhibit(key, place, begun(_known(key, place), inhibition, self._settled))

    def resolved(self, key: KeyState, place: int, gate: Gate, run: str, at: int) -> None:
        """The episode of the run was over at `at`."""
        if gate.inhibits and run != NO_RUN:
            self._unsaved.inhibit(key, place, ended(_known(key, place), run, at))


def _known(key: KeyState, place: int) -> Inhibitions:
    return () if key.inhibitions is None else key.inhibitions.get(place, ())
