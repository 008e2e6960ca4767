"""The figures of a backtest: by trigger, by agent, and against labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.operators.instant import iso_text
from penstock.operators.plan import Plan
from penstock.operators.scheduled import Scheduled
from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_labels import DAY_MS, Label, scored
from penstock.pipelines.backtest_row import SKIPPED, Row

Figures = dict[str, Any]
TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")


def summary(plan: Plan, history: History, labels: Sequence[Label] | None) -> Figures:
    """One object for machines; what is printed and drawn is made of it. What fires on a schedule is no alarm."""
    days = days_of(history)
    fired = history.firings
    schedules = {planned.name for planned in plan.triggers if isinstance(planned.trigger, Scheduled)}
    by_trigger = {planned.name: [row for row in fired if row.trigger == planned.name] for planned in plan.triggers}
    figures: Figures = {
        "pipeline": plan.name,
        "definition": plan.digest,
        "events": _counted(history, "events"),
        "keys": history.keys,
        "from": _iso(history.first),
        "to": _iso(history.last),
        "days": days,
        "late": _counted(history, "late"),
        "ignored": _counted(history, "ignored"),
        "dead": {what[1]: count for what, count in sorted(history.counters.items()) if what[0] == "dead"},
        "firings": len(fired),
        "triggers": {
            name: _of_trigger(name, rows, history, days, None if name in schedules else labels)
            for name, rows in by_trigger.items()
        },
        "agents": {name: _of_agent([row for row in fired if row.agent == name], days) for name in plan.agents},
        "cost": _cost(fired),
        "estimated": any(row.usage.estimated for row in history.rows),
        "seconds": round(history.wall_seconds, 3),
    }
    if labels is not None:
        alarms = [row for row in fired if row.trigger not in schedules]
        figures["labels"] = scored(alarms, labels, days).as_json()
    return figures


def days_of(history: History) -> float | None:
    """How long the recording is, in days of event time; None where it has no length."""
    if history.first is None or history.last is None or history.first == history.last:
        return None
    return (history.last - history.first) / DAY_MS


def _counted(history: History, what: str) -> dict[str, int]:
    return {name[1]: count for name, count in sorted(history.counters.items()) if name[0] == what and count}


def _of_trigger(
    name: str, rows: Sequence[Row], history: History, days: float | None, labels: Sequence[Label] | None
) -> Figures:
    figures: Figures = {
        "firings": len(rows),
        "resolved": sum(row.resolved_at is not None for row in rows),
        "skipped": sum(row.trigger == name and row.state == SKIPPED for row in history.rows),
        "suppressed": history.counters["suppressed", name],
        "at_end": sum(row.end for row in rows),
        "keys": len({row.key for row in rows}),
        "first": _iso(rows[0].at if rows else None),
        "last": _iso(rows[-1].at if rows else None),
        "per_day": _per_day(len(rows), days),
    }
    if labels is not None:
        figures["labels"] = scored(rows, labels, days).as_json()
    return figures


def _of_agent(rows: Sequence[Row], days: float | None) -> Figures:
    tokens = {name: sum(getattr(row.usage, name) for row in rows) for name in TOKENS}
    return {
        "runs": len(rows),
        "states": dict(sorted(Counter(row.state for row in rows).items())),
        "calls": sum(row.usage.calls for row in rows),
        **tokens,
        "cost": _cost(rows),
        "per_day": {
            name: _per_day(count, days) for name, count in {"runs": len(rows), **tokens, "cost": _cost(rows)}.items()
        },
        "estimated": any(row.usage.estimated for row in rows),
    }


def _cost(rows: Iterable[Row]) -> float | None:
    """Unknown as soon as one is."""
    costs = [row.usage.cost for row in rows]
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 9) if len(known) == len(costs) else None


def _per_day(count: float | None, days: float | None) -> float | None:
    return None if days is None or count is None else count / days


def _iso(ms: int | None) -> str | None:
    return None if ms is None else iso_text(ms)
