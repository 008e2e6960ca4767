"""What stands between the edge of a trigger and its run.

    edge ─▶ cooldown ─▶ inhibited? ─▶ its limit? ─▶ the pipeline's limit? ─▶ firing ─▶ in the sample? ─▶ run
            (trigger)       └──────────────┴──────────────────┴─▶ `skipped` record         └─▶ counted

A trigger holds back by itself what falls into its cooldown. An edge that is refused here is no firing: it starts no cooldown
and inhibits nobody, and what it would have begun ends without a record. What the sample leaves out is a firing in all but its
run: a sample is a share of what there would be without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.operators.inhibition import Inhibition, Inhibitions, begun, ended, inhibits
from penstock.operators.key_state import KeyState
from penstock.operators.limit import Limits
from penstock.operators.trigger import NO_RUN
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import NEVER

SkipReason = Literal["inhibited", "limit"]


class Refusal(NamedTuple):
    """Why an edge begins no run; `inhibited_by` names the triggers."""

    reason: SkipReason
    inhibited_by: tuple[str, ...] = ()


class Edge(NamedTuple):
    """`instant` is what inhibitions are compared with, `at` what limits count by (ms). `sampled`: it would begin a run."""

    instant: int
    at: int
    sampled: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """What the file puts between the edges of one trigger and its runs.

    `inhibited_by` are the places of other triggers. `inhibits`: others name this one; `cooldown` (ms) is for how long it
    inhibits where it has no episodes. `limits` are the names of those that count its firings, `run_limits` of those that
    count the runs which begin. `sample` is the share of its firings that begin runs.
    """

    inhibited_by: tuple[int, ...] = ()
    inhibits: bool = False
    cooldown: int = 0
    limits: tuple[str, ...] = ()
    run_limits: tuple[str, ...] = ()
    sample: float = 1.0


class Gates:
    """The gates of one task. `names` are its triggers', `lateness` is how far behind the watermark an edge may lie (ms)."""

    def __init__(self, names: tuple[str, ...], lateness: int, limits: Limits, unsaved: Unsaved) -> None:
        self._names, self._lateness, self._unsaved = names, lateness, unsaved
        self._settled = NEVER
        self.limits = limits
        self.floor = NEVER
        """Edges before it count as of it: those of late events, which may lie anywhere before."""

    def settle(self, watermark: int) -> None:
        """Whatever was due at the watermark has been decided: what follows lies at most so far behind it."""
        self._settled = watermark - self._lateness
        self.limits.settle(self._settled)

    @contextmanager
    def late(self, watermark: int) -> Iterator[None]:
        """An event is taken in that is late at this watermark."""
        self.floor = watermark - self._lateness
        yield
        self.floor = NEVER

    def refusal(self, key: KeyState, gate: Gate, edge: Edge) -> Refusal | None:
        """Why an edge begins no run; None: it is a firing."""
        return self._inhibited(key, gate, edge.instant) or self._limited(gate, edge)

    def _limited(self, gate: Gate, edge: Edge) -> Refusal | None:
        asked = gate.limits + gate.run_limits if edge.sampled else gate.limits
        return Refusal("limit") if any(self.limits.reached(name, edge.at) for name in asked) else None

    def _inhibited(self, key: KeyState, gate: Gate, instant: int) -> Refusal | None:
        known = key.inhibitions
        if gate.inhibited_by and known:
            by = [self._names[place] for place in gate.inhibited_by if inhibits(known.get(place, ()), instant)]
            if by:
                return Refusal("inhibited", tuple(by))
        return None

    def fired(self, key: KeyState, place: int, gate: Gate, edge: Edge, episode: str | None) -> None:
        """The trigger at `place` fired; `episode` is the run whose episode began, None if none did."""
        for name in gate.limits + gate.run_limits if edge.sampled else gate.limits:
            self.limits.add(name, edge.at)
            self._unsaved.counted.append((name, edge.at))
        if gate.inhibits:
            until = None if episode is not None else edge.instant + max(gate.cooldown, 1)
            inhibition = Inhibition(edge.instant, until, episode)
            self._unsaved.inhibit(key, place, begun(_known(key, place), inhibition, self._settled))

    def resolved(self, key: KeyState, place: int, gate: Gate, run: str, at: int) -> None:
        """The episode of the run was over at `at`."""
        if gate.inhibits and run != NO_RUN:
            self._unsaved.inhibit(key, place, ended(_known(key, place), run, at))


def _known(key: KeyState, place: int) -> Inhibitions:
    return () if key.inhibitions is None else key.inhibitions.get(place, ())
