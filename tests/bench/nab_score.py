"""The score of the Numenta Anomaly Benchmark, with its standard profile.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark", ICMLA 2015,
https://arxiv.org/abs/1510.03336. Where the paper leaves something open, it is as in the benchmark's own sweeper.py.

    rows            · · · · · ├─────────────┤ · · · · · · · ·        a window around what people have marked
    a detection       −0.11   1    0.86     0    −0.09  −0.11         a window without one: −1
    there is worth

In a window only the first detection counts, and the earlier the more; outside of windows every one costs, the less the nearer
behind a window. Rows of the probation at the beginning of a series do not count. A corpus is scored as the sum of its series,
set between a detector that says nothing (0) and one that detects the first row of every window and nothing else (100).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = 1.0, 0.11, 1.0
PROBATION, PROBATION_ROWS_MAX = 0.15, 750
FAR = 3.0
"""So many widths of a window behind it nothing is near any more."""


@dataclass(frozen=True, slots=True)
class Window:
    """Numbers of its first and its last row."""

    first: int
    last: int

    def __contains__(self, row: int) -> bool:
        return self.first <= row <= self.last

    @property
    def rows(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Scored:
    """`raw` is not normalised. `false_alarms`: detections outside of any window."""

    windows: int = 0
    detected: int = 0
    false_alarms: int = 0
    raw: float = 0.0

    def __add__(self, other: Scored) -> Scored:
        return Scored(
            self.windows + other.windows,
            self.detected + other.detected,
            self.false_alarms + other.false_alarms,
            self.raw + other.raw,
        )

    @property
    def normalised(self) -> float:
        """Not more than 100; below 0 it had better said nothing. Needs a window."""
        null, perfect = -FALSE_NEGATIVE * self.windows, TRUE_POSITIVE * self.windows
        return 100 * (self.raw - null) / (perfect - null)


def probation(rows: int) -> int:
    """How many rows at the beginning do not count."""
    return min(int(PROBATION * rows), PROBATION_ROWS_MAX)


def scored(rows: int, windows: Sequence[Window], detections: Iterable[int]) -> Scored:
    """Of one series. Windows in order and apart from each other; `detections` are numbers of rows, from 0."""
    begin = probation(rows)
    counted = sorted(row for row in set(detections) if row >= begin)
    scorable = [window for window in windows if window.last >= begin]
    earliest = [next((row for row in counted if row in window), None) for window in scorable]
    hits = [_hit(window, row) for window, row in zip(scorable, earliest, strict=True) if row is not None]
    outside = [row for row in counted if not any(row in window for window in windows)]
    raw = sum(hits) - FALSE_NEGATIVE * (len(scorable) - len(hits)) + sum(_false_alarm(windows, row) for row in outside)
    return Scored(len(scorable), len(hits), len(outside), raw)


def _hit(window: Window, row: int) -> float:
    position = -(window.last - row + 1) / window.rows
    return TRUE_POSITIVE * _sigmoid(position) / _sigmoid(-1.0)


def _false_alarm(windows: Sequence[Window], row: int) -> float:
    before = [window for window in windows if window.last < row]
    position = (row - before[-1].last) / max(before[-1].rows - 1, 1) if before else FAR
    return FALSE_POSITIVE * _sigmoid(position)


def _sigmoid(position: float) -> float:
    """From 1 far before the end of a window to −1 far behind it; 0 at its end."""
    return -1.0 if position >= FAR else 2 / (1 + exp(5 * position)) - 1
