"""What a pipeline will use per day if days go on as those of a recording: runs, tokens, money, calls in flight, GPU seconds.

    firings   ●  ●      ●                 a call begins with its firing, or behind the run before it of its key and agent,
    calls     ├────┤    ├─────┤           and takes as long as its tokens do at the server's rates
                 ├────────┤
    in flight 1  2  1   2 1

A figure is given as the mean of the whole recording, and as a range: the least and the most of its whole days, and of the
mean, which what is left of the last day may move. A recording of less than two days does not tell how days differ: no range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from penstock.operators.instant import iso_text
from penstock.operators.plan import Plan
from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_labels import DAY_MS
from penstock.pipelines.backtest_rates import Rates, Speed, rates_json, speeds
from penstock.pipelines.backtest_row import Asked, Row
from penstock.pipelines.backtest_summary import days_of

SCHEMA = "penstock.forecast/1"
DAY_SECONDS = DAY_MS / 1000
DAYS_MIN = 2
"""Whole days, for a range."""
QUANTILE = 0.95


class Call(NamedTuple):
    """One call to a model: from when on (ms), and how long; unknown where no rate says it."""

    row: Row
    asked: Asked
    begin: float
    seconds: float | None
    gpu_seconds: float | None


_FIGURES: Mapping[str, Callable[[Call], float | None]] = {
    "calls": lambda call: 1,
    "input_tokens": lambda call: call.asked.input_tokens,
    "cached_input_tokens": lambda call: call.asked.cached_input_tokens,
    "output_tokens": lambda call: call.asked.output_tokens,
    "cost": lambda call: call.asked.cost,
    "gpu_seconds": lambda call: call.gpu_seconds,
}
FIGURES = ("runs", *_FIGURES)
"""Per day, in the order in which they are told."""


def forecast(plan: Plan, history: History, rates: Rates) -> dict[str, Any]:
    """One object for machines: figures by agent, by model, and in all."""
    models = list(dict.fromkeys(endpoint.name for agent in plan.agents.values() for endpoint in agent.endpoints))
    rows = [row for row in history.firings if row.route]
    found = speeds(rates, (asked for row in rows for asked in row.route), models)
    calls, span = list(_calls(rows, found)), _Span.of(history)
    return {
        "schema": SCHEMA,
        "pipeline": plan.name,
        "definition": plan.digest,
        "from": None if history.first is None else iso_text(history.first),
        "to": None if history.last is None else iso_text(history.last),
        "days": span.days,
        "whole_days": span.whole,
        "rates": rates_json(found, rates),
        "estimated": any(row.usage.estimated for row in rows),
        "agents": {name: _figures([call for call in calls if call.row.agent == name], span) for name in plan.agents},
        "models": {name: _figures([call for call in calls if call.asked.model == name], span) for name in models},
        "all": _figures(calls, span),
    }


class _Span(NamedTuple):
    """Of the recording: when it begins (ms), its length in days, None if it has none, and how many of those are whole."""

    first: int
    days: float | None
    whole: int

    @classmethod
    def of(cls, history: History) -> _Span:
        days = days_of(history)
        return cls(history.first or 0, days, int(days or 0))

    def day(self, row: Row) -> int:
        return (row.at - self.first) // DAY_MS


def _calls(rows: Iterable[Row], found: Mapping[str, Speed]) -> Iterator[Call]:
    """Runs of one key and agent go one after the other, as they do live."""
    free: dict[tuple[str | None, str], float] = {}
    for row in rows:
        begin = max(row.at + row.delay, free.get((row.agent, row.key), 0.0))
        for asked in row.route:
            speed = found.get(asked.model)
            seconds = asked.seconds if speed is None else speed.seconds(asked)
            yield Call(row, asked, begin, seconds, None if speed is None else speed.gpu_seconds(asked))
            begin += 1000 * (seconds or 0.0)
        free[row.agent, row.key] = begin


def _figures(calls: Sequence[Call], span: _Span) -> dict[str, Any]:
    one_each = list({call.row.run: call for call in calls}.values())
    told = {"runs": _daily(one_each, lambda call: 1, span)}
    return {
        **told,
        **{name: _daily(calls, value, span) for name, value in _FIGURES.items()},
        "in_flight": _in_flight(calls, span),
    }


def _daily(calls: Sequence[Call], value: Callable[[Call], float | None], span: _Span) -> dict[str, float | None]:
    """Nothing is known of the whole where it is not of a part."""
    values = [value(call) for call in calls]
    known = [each for each in values if each is not None]
    if span.days is None or len(known) < len(values):
        return {"per_day": None, "low": None, "high": None}
    days = [0.0] * span.whole
    for call, each in zip(calls, known, strict=True):
        if span.day(call.row) < span.whole:
            days[span.day(call.row)] += each
    mean = _rounded(sum(known) / span.days)
    if span.whole < DAYS_MIN:
        return {"per_day": mean, "low": None, "high": None}
    return {"per_day": mean, "low": min(mean, *map(_rounded, days)), "high": max(mean, *map(_rounded, days))}


def _in_flight(calls: Sequence[Call], span: _Span) -> dict[str, float | None]:
    """The mean is that of Little's law: calls per second × seconds per call. 95 % of the calls find no more than `p95` under
    way when they begin, themselves included."""
    told = {
        name: None if value is None else _rounded(value / DAY_SECONDS)
        for name, value in _daily(calls, lambda call: call.seconds, span).items()
    }
    counts = sorted(_met(calls)) if told["per_day"] is not None else []
    p95 = counts[ceil(QUANTILE * len(counts)) - 1] if counts else None
    most = counts[-1] if counts else None
    return {"mean": told["per_day"], "low": told["low"], "high": told["high"], "p95": p95, "max": most}


def _met(calls: Sequence[Call]) -> Iterator[int]:
    """How many calls are under way at the beginning of each, itself included; one that ends at that instant is not."""
    spans = [(call.begin, call.begin + 1000 * (call.seconds or 0.0)) for call in calls]
    turns = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    running = 0
    for _, turn in turns:
        running += turn
        if turn == 1:
            yield running


def _rounded(value: float) -> float:
    """Sums of decimals carry noise behind that."""
    return float(f"{value:.9g}")
