"""`anomaly` on recordings whose anomalies people have marked: one file for all of them, nothing tuned to any.

Two detectors stand beside the methods: a threshold that never learns (4 standard deviations of the probation around its mean),
and the textbook's moving average, with the same half-life and threshold as `ewma`. Of all of them a detection is a beginning:
the row at which something becomes unusual, not every row at which it still is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from math import sqrt
from operator import add
from statistics import fmean, pstdev
from typing import Any

import orjson
from tests.bench.figure import CannotRun, Figure
from tests.bench.nab_score import Scored, Window, probation, scored
from tests.oracle.product import PARTITION, TOPIC, plan_of
from tests.recorded import FOLDER, NO_FOLDER, SERIES, fired_at, marked, series

from penstock.operators.record import Record

FILE = """
penstock: v1
name: nab
sources:
  in: {topic: in, key: event.series, time: {at: event.t, unit: ms}}
triggers:
  ewma: {anomaly: event.v, method: ewma, agent: none}
  change_point: {anomaly: event.v, method: change_point, agent: none}
  robust_seasonal: {anomaly: event.v, method: robust_seasonal, agent: none}
  robust_seasonal_1w: {anomaly: event.v, method: robust_seasonal, season: 1w, agent: none}
"""
METHODS = ("ewma", "change_point", "robust_seasonal", "robust_seasonal_1w")
SIGMAS = 4.0
HALF_LIFE = 100
DAY_MS = 86_400_000

Rows = list[tuple[int, float]]


def run(quick: bool) -> Figure:
    """Raises CannotRun where the recordings are not here."""
    if not (FOLDER / "nab").is_dir():
        raise CannotRun(NO_FOLDER)
    chosen = [(name, series(name)) for name in SERIES if not quick or name != "machine_temperature_system_failure"]
    found = [(name, rows, detections(rows)) for name, rows in chosen]
    detectors = {
        detector: _told([(name, rows, detected[detector]) for name, rows, detected in found])
        for detector in found[0][2]
    }
    ours, other = detectors["ewma"]["score"], detectors["static_threshold"]["score"]
    return Figure(
        "nab",
        ours,
        other,
        unit="NAB score, standard profile",
        target="the default method above a static threshold",
        ok=ours > other,
        detail={"series": [name for name, _ in chosen], "detectors": detectors},
    )


def detections(rows: Rows) -> dict[str, list[int]]:
    """Numbers of rows, by detector."""
    times = [time for time, _ in rows]
    fired = fired_at(plan_of(FILE), records(rows))
    ours = {method: [bisect_left(times, at) for at in fired.get(method, [])] for method in METHODS}
    values = [value for _, value in rows]
    return {**ours, "static_threshold": beginnings(values, static(values)), "plain_ewma": beginnings(values, ewma())}


def records(rows: Rows) -> Iterator[Record]:
    for offset, (time, value) in enumerate(rows):
        event = orjson.dumps({"series": "one", "t": time, "v": value})
        yield Record(TOPIC, PARTITION, offset, time, None, event)


def beginnings(values: Sequence[float], unusual: Callable[[float], bool]) -> list[int]:
    """Rows that are unusual, the one before them not."""
    told = [unusual(value) for value in values]
    return [row for row, now in enumerate(told) if now and not (row and told[row - 1])]


def static(values: Sequence[float]) -> Callable[[float], bool]:
    """Outside of what the probation was like."""
    known = values[: probation(len(values))]
    middle, limit = fmean(known), SIGMAS * pstdev(known)
    return lambda value: abs(value - middle) > limit


def ewma() -> Callable[[float], bool]:
    """The textbook's: one share for every number, and whatever comes is learned."""
    share = 1 - 0.5 ** (1 / HALF_LIFE)
    mean, variance, seen = 0.0, 0.0, 0

    def unusual(value: float) -> bool:
        nonlocal mean, variance, seen
        deviation, spread = value - mean, sqrt(variance)
        mean = value if not seen else mean + share * deviation
        variance = 0.0 if not seen else (1 - share) * (variance + share * deviation * deviation)
        seen += 1
        return seen > HALF_LIFE and abs(deviation) > SIGMAS * spread

    return unusual


def _told(found: Sequence[tuple[str, Rows, list[int]]]) -> dict[str, Any]:
    """One detector's figures over all series, and by series."""
    each = {name: scored(len(rows), _windows(name, rows), detected) for name, rows, detected in found}
    days = {name: (rows[-1][0] - rows[probation(len(rows))][0]) / DAY_MS for name, rows, _ in found}
    told = _figures(reduce(add, each.values()), sum(days.values()))
    return {**told, "series": {name: _figures(each[name], days[name]) for name in each}}


def _figures(figures: Scored, days: float) -> dict[str, Any]:
    return {
        "windows": figures.windows,
        "detected": figures.detected,
        "false_alarms_per_day": figures.false_alarms / days,
        "score": figures.normalised,
    }


def _windows(name: str, rows: Rows) -> list[Window]:
    times = [time for time, _ in rows]
    return [Window(bisect_left(times, begin), bisect_right(times, end) - 1) for begin, end in marked(name)]
