"""The method of `anomaly` that compares with the same time of former days or weeks: `robust_seasonal`.

    season         ├── Monday ────────────┤├── Tuesday ───────────┤├── Wednesday ──
    slots           0  1  2  3  …      23   0  1  2  3  …      23   0  1  2           a slot of a season is a *visit*
    level of 3               └──────────────────────┴──────────────────────▶ x        x is compared with it

A visit leaves two numbers behind when the next one begins: the *median* of its numbers, towards which the slot's level goes
a quarter of the way, and the *median distance* of its numbers from the level that the slot had. The usual distance is the
median of those of the latest 24 visits, or that of the slot itself (a quarter of the way, too) where it is larger: a rush
hour may be restless every day. Times 1.4826 it is the spread: the standard deviation, if the numbers are normal. This is the
median absolute deviation (Hampel, "The Influence Curve and its Role in Robust Estimation", JASA 69, 1974) of what the season
leaves over (Hochenbaum, Vallis, Kejariwal, "Automatic Anomaly Detection in the Cloud via Statistical Learning", 2017).

**What is unusual does not spoil the levels**: medians do not see it while it is less than half of a visit; a whole visit of it
moves level and distance of its slot by one usual spread at most, and the spread of others only after half of 24 visits. Where
nothing was ever off by anything there is no usual spread: level and distance go the quarter of the whole way.

Memory: two floats per slot, 24 distances, and 16 numbers of the visit under way: every second, fourth, … of a longer one.
A number of a visit that is over is compared, and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, TypeVar

from penstock.operators.anomaly import Reading, score_of, within

HOUR_MS = 3_600_000
SLOTS_MIN, SLOTS_MAX = 24, 168
"""An hour of a day, an hour of a week; shorter seasons have 24 slots, longer ones 168."""
KEPT_MAX = 16
RECENT_MAX = 24
NORMAL = 1.4826
"""Standard deviations of normal numbers per median absolute deviation."""
GAIN = 0.25
STEP_MAX = 4.0
"""A level goes towards a median that is at most so many spreads away."""

_OfSlot = TypeVar("_OfSlot")


class Season(NamedTuple):
    """By slot: `levels`, None until it was visited, and usual `distances`, 0 until it was visited twice.

    `recent`: median distances of visits, the newest last; `usual`: their median. `kept`: every `stride`th of the numbers of the
    visit, of which there `came` so many.
    """

    levels: tuple[float | None, ...]
    distances: tuple[float, ...]
    recent: tuple[float, ...] = ()
    usual: float = 0.0
    visit: int | None = None
    came: int = 0
    stride: int = 1
    kept: tuple[float, ...] = ()


class RobustSeasonal:
    """`season` in ms. Seasons begin with the epoch, so those of days at midnight UTC."""

    def __init__(self, season: int) -> None:
        self.season = season
        self.slots = min(max(season // HOUR_MS, SLOTS_MIN), SLOTS_MAX)

    def fresh(self) -> Season:
        return Season((None,) * self.slots, (0.0,) * self.slots)

    def take(self, state: Season, time: int, number: float, warm: bool) -> tuple[Season, Reading | None]:
        visit = time * self.slots // self.season
        if state.visit is None or visit > state.visit:
            state = self._left(state)._replace(visit=visit, came=0, stride=1, kept=())
        after = _kept(state, number) if visit == state.visit else state
        slot = visit % self.slots
        level = state.levels[slot]
        if level is None or not state.recent:
            return after, None
        return after, Reading(score_of(number - level, _spread(state, slot)), level)

    def _left(self, state: Season) -> Season:
        """The visit is over."""
        if state.visit is None:
            return state
        slot, middle = state.visit % self.slots, _median(state.kept)
        level = state.levels[slot]
        if level is None:
            return state._replace(levels=_with(state.levels, slot, middle))
        distance = _median(abs(number - level) for number in state.kept)
        recent = (*state.recent, distance)[-RECENT_MAX:]
        state = state._replace(recent=recent, usual=_median(recent))
        limit = STEP_MAX * _spread(state, slot) or inf
        before = state.distances[slot]
        moved = before + GAIN * (min(distance, limit) - before)
        return state._replace(
            levels=_with(state.levels, slot, level + GAIN * within(middle - level, limit)),
            distances=_with(state.distances, slot, moved),
        )

    def load(self, dumped: Sequence[Any]) -> Season:
        levels, distances, recent, usual, visit, came, stride, kept = dumped
        return Season(tuple(levels), tuple(distances), tuple(recent), usual, visit, came, stride, tuple(kept))


def _spread(state: Season, slot: int) -> float:
    return NORMAL * max(state.usual, state.distances[slot])


def _kept(state: Season, number: float) -> Season:
    """With one number more of the visit; where they become too many, every second one goes."""
    stride, kept = state.stride, state.kept
    if state.came % stride == 0:
        kept = (*kept, number)
    if len(kept) > KEPT_MAX:
        stride, kept = 2 * stride, kept[::2]
    return state._replace(came=state.came + 1, stride=stride, kept=kept)


def _with(by_slot: tuple[_OfSlot, ...], slot: int, value: _OfSlot) -> tuple[_OfSlot, ...]:
    return (*by_slot[:slot], value, *by_slot[slot + 1 :])


def _median(numbers: Iterable[float]) -> float:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
