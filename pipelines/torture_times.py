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


def takeovers_ms(losses: Sequence[Loss], chains: Mapping[int, Chain], struck: Sequence[Interval] = ()) -> list[float]:
    """From each kill until the next commit of each partition that the victim had became visible.

    Left out is one during which something else was `struck` or killed: the group waits for each of the silent, one after the
    other. So is one that never came: that is a loss, and found elsewhere.
    """
    return [
        _ms(takeover)
        for loss, takeover in _takeovers(losses, chains)
        if not _meets_any(takeover, [*struck, *_moments(losses, besides=loss)])
    ]


def longest_takeover_ms(losses: Sequence[Loss], chains: Mapping[int, Chain]) -> float | None:
    """Of all, whatever else was struck meanwhile."""
    return longest_ms(takeover for _, takeover in _takeovers(losses, chains))


def _takeovers(losses: Iterable[Loss], chains: Mapping[int, Chain]) -> Iterator[tuple[Loss, Interval]]:
    for loss in losses:
        for chain in chains.values():
            back = _taken_over_at(chain, loss)
            if back is not None:
                yield loss, Interval(loss.at, back)


def _taken_over_at(chain: Chain, loss: Loss) -> float | None:
    """When somebody else's first commit was seen; None where the victim did not have the task."""
    if chain.owner_at(loss.at) != loss.owner:
        return None
    return next((commit.at for commit in chain.opened if commit.at > loss.at), None)


def handovers_ms(
    losses: Sequence[Loss], chains: Mapping[int, Chain], flows: Sequence[Interval], struck: Sequence[Interval] = ()
) -> list[float]:
    """From the last commit of an owner until the first one of another, while events came in, and nobody was killed or struck."""
    disturbed = [*struck, *_moments(losses)]
    return [
        _ms(gap.interval)
        for gap in _gaps(chains)
        if gap.former != gap.later
        and not _meets_any(gap.interval, disturbed)
        and any(flow.holds(gap.interval) for flow in flows)
    ]


def longest_stall_ms(
    losses: Sequence[Loss],
    chains: Mapping[int, Chain],
    flows: Sequence[Interval],
    disturbed: Mapping[str, Sequence[Interval]],
    struck: Sequence[Interval] = (),
) -> float | None:
    """The longest gap between two commits of a task whose owner stayed the same, while events came in and nobody struck it.

    `disturbed`: by owner, when its process or the brokers were struck. What was opened anew while any process was killed or
    `struck` may have been on its way to that one. None where there is no such gap.
    """
    fallen = [*struck, *_moments(losses)]
    return longest_ms(
        gap.interval
        for gap in _gaps(chains)
        if gap.former == gap.later
        and not _meets_any(gap.interval, [*disturbed.get(gap.former, ()), *(fallen if gap.opened else ())])
        and any(flow.holds(gap.interval) for flow in flows)
    )


def longest_ms(intervals: Iterable[Interval], disturbed: Sequence[Interval] = ()) -> float | None:
    """Of those that met nothing of what is `disturbed`."""
    return max((_ms(each) for each in intervals if not _meets_any(each, disturbed)), default=None)


class _Gap(NamedTuple):
    """Between two commits: whose they are, and whether the later one opened the task."""

    former: str
    later: str
    opened: bool
    interval: Interval


def _gaps(chains: Mapping[int, Chain]) -> Iterator[_Gap]:
    for chain in chains.values():
        owner = ""
        for former, later in pairwise(chain.commits):
            owner = former.owner or owner
            yield _Gap(owner, later.owner or owner, later.owner is not None, Interval(former.at, later.at))


def _moments(losses: Iterable[Loss], besides: Loss | None = None) -> list[Interval]:
    return [Interval(loss.at, loss.at) for loss in losses if loss != besides]


def _meets_any(interval: Interval, others: Iterable[Interval]) -> bool:
    return any(interval.meets(other) for other in others)


def _ms(interval: Interval) -> float:
    return 1000 * (interval.ended - interval.begun)


def quantile(values: Iterable[float], part: float) -> int | None:
    """Nearest rank, rounded; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))])
