"""How long things took, from what others noted: the workers' logs and the commits that a reader saw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from penstock.pipelines.torture_chain import Chain

_OPENED = re.compile(r" opened in (\d+) ms$", re.MULTILINE)


class Interval(NamedTuple):
    """Monotonic seconds."""

    begun: float
    ended: float

    def meets(self, other: Interval) -> bool:
        return self.begun <= other.ended and other.begun <= self.ended

    def holds(self, other: Interval) -> bool:
        return self.begun <= other.begun and other.ended <= self.ended


class Loss(NamedTuple):
    """A worker was killed: when, and how it is called in the log."""

    at: float
    owner: str


def restored_ms(logs: Iterable[str]) -> list[int]:
    """From the beginning of the opening of a task until its `opened` was committed, as the workers' logs say it."""
    return [int(found) for log in logs for found in _OPENED.findall(log)]


def takeovers_ms(
    losses: Iterable[Loss], chains: Mapping[int, Chain], disturbed: Sequence[Interval] = ()
) -> list[float]:
    """From each kill until the next commit of each partition that the victim had became visible.

    One that met a fault of the brokers is left out, and so is one that never came: that is a loss, and found elsewhere.
    """
    found = []
    for loss in losses:
        for chain in chains.values():
            back = _taken_over_at(chain, loss)
            if back is not None and not any(Interval(loss.at, back).meets(each) for each in disturbed):
                found.append(1000 * (back - loss.at))
    return found


def _taken_over_at(chain: Chain, loss: Loss) -> float | None:
    """When somebody else's first commit was seen; None where the victim did not have the task."""
    if chain.owner_at(loss.at) != loss.owner:
        return None
    return next((commit.at for commit in chain.opened if commit.at > loss.at), None)


def longest_stall_ms(
    chains: Mapping[int, Chain], flows: Sequence[Interval], disturbed: Mapping[str, Sequence[Interval]]
) -> float | None:
    """The longest gap between two commits of a task that stayed where it was, while events came in and nobody struck its process.

    `disturbed`: by owner, when its process or the brokers were struck. None where there is no such gap.
    """
    for owner, gap in sorted(_gaps(chains), key=lambda each: each[1].begun - each[1].ended):
        struck = any(gap.meets(each) for each in disturbed.get(owner, ()))
        if not struck and any(flow.holds(gap) for flow in flows):
            return 1000 * (gap.ended - gap.begun)
    return None


def _gaps(chains: Mapping[int, Chain]) -> Iterator[tuple[str, Interval]]:
    """Between commits of one incarnation, with its owner."""
    for chain in chains.values():
        owner = ""
        for former, later in pairwise(chain.commits):
            owner = former.owner or owner
            if former.incarnation == later.incarnation:
                yield owner, Interval(former.at, later.at)


def quantile(values: Iterable[float], part: float) -> int | None:
    """Nearest rank, rounded; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))])
