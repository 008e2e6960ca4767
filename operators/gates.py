"""What stands between the edge of a trigger and its run.

    edge ─▶ cooldown ─▶ inhibited? ─▶ its limit? ─▶ the pipeline's limit? ─▶ firing ─▶ in the sample? ─▶ run
            (trigger)       └──────────────┴──────────────────┴─▶ `skipped` record         └─▶ counted

A trigger holds back by itself what falls into its cooldown. An edge that is refused here is no firing: it starts no cooldown
and inhibits nobody, and what it would have begun ends without a record. What the sample leaves out is a firing in all but its
run: a sample is a share of what there would be without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from penstock.operators.inhibition import Inhibition, Inhibitions, Inhibitor, begun, ended, inhibits, load
from penstock.operators.limit import Limits
from penstock.operators.run import Firing
from penstock.operators.unsaved import Unsaved
from penstock.operators.watermark import NEVER

INHIBITS = "/inhibits"
"""Ends the names of such memories. They are not carried through definitions that do not know them."""
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

    `inhibits`, where others name this one, is what the log calls the memory of when it kept them quiet; `cooldown` (ms) is for
    how long it does where it has no episodes. `limits` are the names of those that count its firings, `run_limits` of those that
    count the runs which begin. `sample` is the share of its firings that begin runs.
    """

    inhibited_by: tuple[Inhibitor, ...] = ()
    inhibits: str | None = None
    cooldown: int = 0
    limits: tuple[str, ...] = ()
    run_limits: tuple[str, ...] = ()
    sample: float = 1.0


NO_GATE = Gate()


class Gates:
    """The gates of one task, by the names of its triggers. `lateness` is how far behind the watermark an edge may lie (ms)."""

    def __init__(self, gates: Mapping[str, Gate], lateness: int, limits: Limits, unsaved: Unsaved) -> None:
        self._gates, self._lateness, self._unsaved = gates, lateness, unsaved
        self._names = {gate.inhibits: name for name, gate in gates.items() if gate.inhibits is not None}
        self._inhibitions: dict[str, dict[str, Inhibitions]] = {}
        """By key and trigger: when it kept others quiet, and still does."""
        self._settled = self._floor = NEVER
        self.limits = limits

    def settle(self, watermark: int) -> None:
        """Whatever was due at the watermark has been decided: what follows lies at most `lateness` behind it."""
        self._settled = watermark - self._lateness
        self.limits.settle(self._settled)

    @contextmanager
    def late(self, watermark: int) -> Iterator[None]:
        """An event is taken in that is late at this watermark: it may lie anywhere before, so what it does counts as of the
        earliest time at which it would not have been late."""
        self._floor = watermark - self._lateness
        yield
        self._floor = NEVER

    def edge(self, instant: int, at: int, *, sampled: bool) -> Edge:
        return Edge(max(instant, self._floor), max(at, self._floor), sampled)

    def refusal(self, firing: Firing, edge: Edge) -> Refusal | None:
        """Why an edge that would be this firing begins no run; None: it is one."""
        gate = self._gates[firing.trigger]
        return self._inhibited(firing, gate, edge.instant) or self._limited(gate, edge)

    def _limited(self, gate: Gate, edge: Edge) -> Refusal | None:
        asked = gate.limits + gate.run_limits if edge.sampled else gate.limits
        return Refusal("limit") if any(self.limits.reached(name, edge.at) for name in asked) else None

    def _inhibited(self, firing: Firing, gate: Gate, instant: int) -> Refusal | None:
        known = self._inhibitions.get(firing.key)
        if not gate.inhibited_by or known is None:
            return None
        by = tuple(
            name
            for name, apart in gate.inhibited_by
            if inhibits(known.get(name, ()), instant, firing.group if apart else None)
        )
        return Refusal("inhibited", by) if by else None

    def fired(self, firing: Firing, edge: Edge) -> None:
        """The edge is this firing. A correction counts for limits, but is nothing that begins."""
        gate = self._gates[firing.trigger]
        for name in gate.limits + gate.run_limits if edge.sampled else gate.limits:
            self.limits.add(name, edge.at)
            self._unsaved.counted.append((name, edge.at))
        if gate.inhibits is not None and firing.corrects is None:
            opens = firing.episode is not None
            until = None if opens else edge.instant + max(gate.cooldown, 1)
            inhibition = Inhibition(edge.instant, until, firing.run if opens else None, firing.group)
            known = self._known(firing.key, firing.trigger)
            self._note(firing.key, firing.trigger, begun(known, inhibition, self._settled))

    def resolved(self, key: str, trigger: str, run: str, at: int) -> None:
        """The episode of the run was over at `at`."""
        if self._gates[trigger].inhibits is not None:
            self._note(key, trigger, ended(self._known(key, trigger), run, at))

    def _known(self, key: str, trigger: str) -> Inhibitions:
        return self._inhibitions.get(key, {}).get(trigger, ())

    def _note(self, key: str, trigger: str, inhibitions: Inhibitions) -> None:
        self._inhibitions.setdefault(key, {})[trigger] = inhibitions
        self._unsaved.inhibited.setdefault(key, set()).add(trigger)

    # --- in the log -----------------------------------------------------------------------------------------------

    def dump(self, key: str) -> dict[str, Inhibitions]:
        """By the names that the log has for them."""
        return self._named(self._inhibitions.get(key, {}))

    def changed(self, key: str, triggers: Collection[str]) -> dict[str, Inhibitions]:
        return self._named({name: self._known(key, name) for name in sorted(triggers)})

    def _named(self, inhibitions: Mapping[str, Inhibitions]) -> dict[str, Inhibitions]:
        return {identity: inhibitions[name] for identity, name in self._names.items() if name in inhibitions}

    def load(self, key: str, identity: str, dumped: Sequence[Sequence[Any]]) -> bool:
        """Whether this is such a memory. One that nobody knows here is dropped: what ended meanwhile would not be noticed."""
        if not identity.endswith(INHIBITS):
            return False
        name = self._names.get(identity)
        if name is not None:
            self._inhibitions.setdefault(key, {})[name] = load(dumped)
        return True

    def begin_anew(self, identities: Collection[str]) -> None:
        """What was restored of these is forgotten."""
        anew = {name for identity, name in self._names.items() if identity in identities}
        for key, known in self._inhibitions.items():
            for name in anew & known.keys():
                self._note(key, name, ())

    def drop(self, key: str) -> None:
        """It is forgotten, or replaced by what the log says."""
        self._inhibitions.pop(key, None)
