"""How unusual the last of some numbers is, recomputed from all of them, with exact fractions.

Each method is its definition: weights written out, medians of whole lists. Nothing is carried from one number to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import sqrt
from statistics import median
from typing import NamedTuple

Numbers = Sequence[tuple[int, float]]
"""(event time in ms, number) as they came."""
INFINITELY = 1e6
"""A score where there is a deviation and no spread."""


class Told(NamedTuple):
    score: float
    expected: float


class Around(NamedTuple):
    """What a number is compared with."""

    mean: Fraction
    spread: float

    def off(self, number: float) -> float:
        """In spreads."""
        deviation = float(Fraction(number) - self.mean)
        if deviation == 0:
            return 0
        return (
            max(-INFINITELY, min(INFINITELY, deviation / self.spread)) if self.spread else INFINITELY * sign(deviation)
        )


def sign(number: float) -> int:
    return 1 if number > 0 else -1


def weighted(counted: Sequence[Fraction], half_life: int) -> Around:
    """Mean and standard deviation; the newest weighs 1, and so much less the older."""
    fading = Fraction(0.5 ** (1 / half_life)).limit_denominator(10**7)
    weights = [fading**age for age in range(len(counted))][::-1]
    whole = sum(weights)
    mean = sum((weight * number for weight, number in zip(weights, counted, strict=True)), Fraction()) / whole
    squares = (weight * (number - mean) ** 2 for weight, number in zip(weights, counted, strict=True))
    return Around(mean, sqrt(sum(squares, Fraction()) / whole))


def levels(numbers: Sequence[float], half_life: int, limit: float, warmup: int) -> list[Around]:
    """What each number but the first was compared with. Those beyond the limit count as if they were at it, unless `half_life`
    others before them, in a row, were beyond it, too."""
    counted, around, beyond = [Fraction(numbers[0])], [], list[bool]()
    for place, number in enumerate(numbers[1:], start=1):
        level = weighted(counted, half_life)
        around.append(level)
        beyond.append(place >= warmup and abs(level.off(number)) > limit)
        lasting = len(beyond) > half_life and all(beyond[-1 - half_life :])
        edge = level.mean + sign(level.off(number)) * Fraction(limit) * Fraction(level.spread)
        counted.append(edge if beyond[-1] and not lasting else Fraction(number))
    return around


def ewma(numbers: Numbers, threshold: float, warmup: int, half_life: int) -> Told | None:
    values = [number for _, number in numbers]
    if len(values) <= max(warmup, 1):
        return None
    level = levels(values, half_life, threshold, warmup)[-1]
    return Told(level.off(values[-1]), float(level.mean))


def change_point(numbers: Numbers, threshold: float, warmup: int, half_life: int) -> Told | None:
    values = [number for _, number in numbers]
    if len(values) <= max(warmup, 1):
        return None
    around = levels(values, half_life, 4, warmup)
    steps = [max(-4.0, min(4.0, level.off(value))) for level, value in zip(around, values[1:], strict=True)]
    above, below = (reach(way, steps[max(warmup, 1) - 1 :], threshold) for way in (1, -1))
    return Told(above if above >= below else -below, float(around[-1].mean))


def reach(way: int, steps: Sequence[float], threshold: float) -> float:
    """What the steps one way add up to, half a spread each apart, never below 0 and never beyond twice the threshold."""
    return list(accumulate(steps, lambda sum_, step: min(max(sum_ + way * step - 0.5, 0), 2 * threshold), initial=0.0))[
        -1
    ]


def robust_seasonal(numbers: Numbers, season: int, warmup: int) -> Told | None:
    """The slots of a season are hours, but never fewer than 24 or more than 168."""
    slots = min(max(season // 3_600_000, 24), 168)
    visits = [time * slots // season for time, _ in numbers]
    latest = list(accumulate(visits, max))
    usual, own, level = Fraction(), dict[int, Fraction](), dict[int, Fraction]()
    distances = list[Fraction]()
    for visit in sorted(set(latest) - {latest[-1]}):
        content = [
            Fraction(n) for (_, n), v, newest in zip(numbers, visits, latest, strict=True) if v == newest == visit
        ]
        middle, slot = median(thinned(content)), visit % slots
        if slot not in level:
            level[slot], own[slot] = middle, Fraction()
            continue
        distances.append(median(abs(number - level[slot]) for number in thinned(content)))
        usual = median(distances[-24:])
        limit = 4 * Fraction(1.4826) * max(usual, own[slot])
        step, distance = middle - level[slot], distances[-1]
        level[slot] += (max(-limit, min(limit, step)) if limit else step) / 4
        own[slot] += ((min(distance, limit) if limit else distance) - own[slot]) / 4
    slot = visits[-1] % slots
    if slot not in level or not distances or len(numbers) <= warmup:
        return None
    spread = float(Fraction(1.4826) * max(usual, own[slot]))
    return Told(Around(level[slot], spread).off(numbers[-1][1]), float(level[slot]))


def thinned(content: Sequence[Fraction]) -> Sequence[Fraction]:
    """Every number, or every second, fourth, … so that they are 16 at most."""
    return next(part for part in (content[:: 2**power] for power in range(64)) if len(part) <= 16)
