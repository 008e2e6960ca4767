"""A forecast, and how wrong an earlier one was, as people read them in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock.pipelines.backtest_rates import REMEDY

TITLE = "Forecast, per day"
HEAD = ("per day", "runs", "input", "cached", "output", "cost", "in flight", "p95", "most", "GPU s")
ERRORS_TITLE = "How wrong the earlier forecast was"
ERRORS_HEAD = ("", "per day", "foretold", "came", "error", "in its range")
_TOLD = ("input_tokens", "cached_input_tokens", "output_tokens", "cost")


def report_forecast(console: Console, told: Mapping[str, Any]) -> None:
    """Nothing where no run asks a model."""
    if not told["all"]["runs"]["per_day"]:
        return
    console.print()
    console.print(_table(HEAD, forecast_rows(told)))
    for note in forecast_notes(told):
        console.print(note, style="dim", markup=False)


def report_errors(console: Console, errors: Mapping[str, Any]) -> None:
    console.print()
    console.print(f"[bold]{ERRORS_TITLE}[/] (made of {_day(errors['from'])} to {_day(errors['to'])})")
    console.print(_table(ERRORS_HEAD, error_rows(errors)))


def forecast_rows(told: Mapping[str, Any]) -> Iterator[list[str]]:
    """Of agents, of models, and of all: each once, however many there are."""
    about = "~" if told["estimated"] else ""
    for name, figures in _groups(told):
        flight, gpu = figures["in_flight"], figures["gpu_seconds"]
        bound = "" if all(rate["batched"] for rate in told["rates"].values()) else "≤ "
        yield [
            name,
            ranged(**_as(figures["runs"])),
            *(_estimated(about, figures[each]) for each in _TOLD),
            ranged(flight["mean"], flight["low"], flight["high"]),
            *(number(flight[each]) for each in ("p95", "max")),
            _estimated(bound, gpu),
        ]


def forecast_notes(told: Mapping[str, Any]) -> Iterator[str]:
    """What the figures rest on, and what would make them better."""
    if told["whole_days"] >= 2:
        yield f"(least–most) of {told['whole_days']} whole days"
    else:
        yield "no range: a recording of less than two days does not tell how days differ"
    if not told["rates"]:
        yield f"calls in flight and GPU seconds follow from rates: --rate, {REMEDY}"
    elif not all(rate["batched"] for rate in told["rates"].values()):
        yield "≤ as if a GPU served one answer at a time: give --rate throughput=…/s"


def error_rows(errors: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, figures in _groups(errors):
        for figure, said in figures.items():
            error = "·" if said["error"] is None else f"{said['error']:+.1%}"
            within = {None: "·", True: "yes", False: "no"}[said["within"]]
            yield [name, figure.replace("_", " "), number(said["forecast"]), number(said["came"]), error, within]


def _groups(told: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One agent or one model alone is all that there is: it is told once."""
    for group, kind in (("agents", "agent"), ("models", "model")):
        if len(told[group]) > 1:
            for name, figures in told[group].items():
                yield f"{kind} {name}", figures
    yield "all", told["all"]


def _as(figure: Mapping[str, float | None]) -> dict[str, float | None]:
    return {"mean": figure["per_day"], "low": figure["low"], "high": figure["high"]}


def _estimated(about: str, figure: Mapping[str, float | None]) -> str:
    return ranged(**_as(figure)) if figure["per_day"] is None else about + ranged(**_as(figure))


def ranged(mean: float | None, low: float | None, high: float | None) -> str:
    """`12 (3–20)`."""
    return number(mean) if low is None or high is None else f"{number(mean)} ({number(low)}–{number(high)})"


def number(value: float | None) -> str:
    if value is None:
        return "·"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _day(time: str | None) -> str:
    return "·" if time is None else time[:10]


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
