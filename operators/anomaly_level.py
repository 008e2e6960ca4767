"""The methods of `anomaly` that compare with a level: `ewma` and `change_point`.

The level is the mean of all numbers so far, and the spread their standard deviation, each number with half the weight of
the one that came `half_life` numbers after it. Kept in three floats: West, "Updating Mean and Variance Estimates", CACM 22(9),
1979; Finch, "Incremental calculation of weighted mean and variance", 2009. The classic mistake is to begin with a mean of 0
and a weight of 1: the level then has to climb to the data first.

    ewma           ·  ·  ·  ·  x  ·  ·           score: (number − mean) / standard deviation
    change_point   ·  ·  ·  ·  x  x  x  x        score: the sum of those, as far as it exceeds what chance adds up to

`change_point` is the two-sided CUSUM: Page, "Continuous Inspection Schemes", Biometrika 41, 1954.

**What is unusual does not spoil the level.** Its deviation is cut (winsorised), so that one number, however wild, moves the
level by a few spreads times its own share. But what lasts is no outlier: after `half_life` cut numbers in a row they count as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt, ulp
from typing import Any, NamedTuple

from penstock.operators.anomaly import Reading, score_of, within

DRIFT = 0.5
"""What a score may exceed 0 by without adding up: shifts of twice as much are found soonest."""
SHARE_MAX = 4.0
"""No single number adds more to a sum than this: a change point needs several."""


class Level(NamedTuple):
    """`weight`: the sum of all weights, the newest counting 1. `cut`: how many numbers in a row were cut."""

    weight: float = 0.0
    mean: float = 0.0
    variance: float = 0.0
    cut: int = 0


def deviation_from(level: Level, number: float) -> float:
    """How far off it is. A mean stays where it is when a number's share of that is less than half of its last place: this is no
    deviation, else a series that has become constant would be off to one side for ever."""
    deviation = number - level.mean
    return 0.0 if abs(deviation) <= level.weight * ulp(level.mean) else deviation


def moved(level: Level, deviation: float, fading: float, limit: float, cuts_max: int) -> Level:
    """The level after a number with this deviation; `fading` is what is left of a weight one number later.

    Deviations beyond the limit are cut, `cuts_max` of them in a row.
    """
    weight, mean, variance, cut = level
    beyond = not -limit <= deviation <= limit
    pull = within(deviation, limit) if beyond and cut < cuts_max else deviation
    weight = fading * weight + 1.0
    share = 1.0 / weight
    variance = (1.0 - share) * (variance + share * pull * pull)
    return Level(weight, mean + share * pull, variance, min(cut + 1, cuts_max) if beyond else 0)


class Ewma:
    """Numbers beyond `threshold` are cut to it."""

    def __init__(self, half_life: int, threshold: float) -> None:
        self.half_life, self.threshold = half_life, threshold
        self.fading = 0.5 ** (1.0 / half_life)

    def fresh(self) -> Level:
        return Level()

    def take(self, state: Level, time: int, number: float, warm: bool) -> tuple[Level, Reading | None]:
        if not state.weight:
            return Level(1.0, number), None
        deviation, spread = deviation_from(state, number), sqrt(state.variance)
        after = moved(state, deviation, self.fading, self.threshold * spread if warm else inf, self.half_life)
        return after, Reading(score_of(deviation, spread), state.mean)

    def load(self, dumped: Sequence[Any]) -> Level:
        return Level(*dumped)


class Sums(NamedTuple):
    """How far the numbers have lately been above and below the level, in standard deviations, beyond what chance adds up to."""

    level: Level = Level()
    above: float = 0.0
    below: float = 0.0


class ChangePoint:
    """The sums grow to twice the threshold at most, so that they are gone soon after the level has come to what is new."""

    def __init__(self, half_life: int, threshold: float) -> None:
        self.half_life, self.threshold = half_life, threshold
        self.fading = 0.5 ** (1.0 / half_life)

    def fresh(self) -> Sums:
        return Sums()

    def take(self, state: Sums, time: int, number: float, warm: bool) -> tuple[Sums, Reading | None]:
        level = state.level
        if not level.weight:
            return Sums(Level(1.0, number)), None
        deviation, spread = deviation_from(level, number), sqrt(level.variance)
        after = moved(level, deviation, self.fading, SHARE_MAX * spread if warm else inf, self.half_life)
        if not warm:
            return Sums(after), None
        step = within(score_of(deviation, spread), SHARE_MAX)
        above, below = self._grown(state.above, step), self._grown(state.below, -step)
        return Sums(after, above, below), Reading(above if above >= below else -below, level.mean)

    def _grown(self, total: float, step: float) -> float:
        return min(max(0.0, total + step - DRIFT), 2.0 * self.threshold)

    def load(self, dumped: Sequence[Any]) -> Sums:
        level, above, below = dumped
        return Sums(Level(*level), above, below)
