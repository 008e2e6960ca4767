"""A backtest as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock.pipelines.backtest_against import Difference
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.backtest_summary import Figures

TOLD = 12
"""So many firings of each kind of a difference are printed; `--out` has them all."""


def report(console: Console, figures: Figures, name: str | None = None) -> None:
    """`figures` as `summary` makes them; `name` of the file, where there are two."""
    if name is not None:
        console.rule(f"[bold]{escape(name)}", align="left")
    events = sum(figures["events"].values())
    span = "" if figures["from"] is None else f", {_short(figures['from'])} to {_short(figures['to'])}"
    counts = f"{_counted(events, 'event')} of {_counted(figures['keys'], 'key')}"
    console.print(f"[bold]{escape(figures['pipeline'])}[/]: {counts}{span}")
    console.print(_speed(events, figures["seconds"]), style="dim")
    _lost(console, figures)
    console.print()
    console.print(_triggers(figures))
    if figures["agents"]:
        console.print()
        console.print(_agents(figures))
    if figures["estimated"]:
        console.print("~ estimated: counted in pieces of text, answers taken to be of usual length", style="dim")


def _speed(events: int, seconds: float) -> str:
    return f"{seconds:.1f} s, {events / seconds:,.0f} events/s" if seconds else ""


def _lost(console: Console, figures: Figures) -> None:
    for what in ("late", "ignored"):
        for source, count in figures[what].items():
            console.print(f"{_counted(count, 'event')} of {escape(source)} {what}", style="dim")
    for reason, count in figures["dead"].items():
        console.print(f"{_counted(count, 'dead letter')}: {escape(reason)}", style="yellow")


def _triggers(figures: Figures) -> Table:
    labelled = "labels" in figures
    names = ["trigger", "firings", "resolved", "keys", "per day", "first", "last"]
    more = ["precision", "recall", "delay", "false/day"] if labelled else []
    table = _table([*names, *more], numbers={1, 2, 3, 4, 7, 8, 9, 10})
    for name, trigger in figures["triggers"].items():
        counts = [f"{trigger[what]:,}" for what in ("firings", "resolved", "keys")]
        times = [_short(trigger["first"]), _short(trigger["last"])]
        table.add_row(escape(name), *counts, number_text(trigger["per_day"]), *times, *_scores(trigger.get("labels")))
    if labelled and len(figures["triggers"]) > 1:
        table.add_row(
            "together", f"{figures['labels']['firings']:,}", *[""] * 5, *_scores(figures["labels"]), style="bold"
        )
    return table


def _scores(score: Mapping[str, Any] | None) -> list[str]:
    if score is None:
        return []
    delay = score["delay_seconds"]["median"]
    told = "·" if delay is None else shortly(delay)
    return [
        percent_text(score["precision"]),
        percent_text(score["recall"]),
        told,
        number_text(score["false_alarms_per_day"]),
    ]


def _agents(figures: Figures) -> Table:
    table = _table(["agent", "runs", "input", "cached", "output", "cost", "per day"], numbers={1, 2, 3, 4, 5, 6})
    for name, agent in figures["agents"].items():
        about = "~" if agent["estimated"] else ""
        tokens = [f"{about}{agent[what]:,}" for what in ("input_tokens", "cached_input_tokens", "output_tokens")]
        cost, daily = agent["cost"], agent["per_day"]["cost"]
        per_day = "·" if daily is None else f"{about}{daily:.4g}"
        table.add_row(escape(name), f"{agent['runs']:,}", *tokens, _cost(cost, about), per_day)
    return table


def report_difference(console: Console, difference: Difference, names: tuple[str, str]) -> None:
    """`names` of the present file and of the candidate."""
    ours, theirs = map(escape, names)
    console.print()
    console.print(
        f"[bold]{ours} and {theirs}[/]: {difference.both:,} firings in both, {len(difference.gone):,} only in {ours}, "
        f"{len(difference.new):,} only in {theirs}, {len(difference.changed):,} decided differently"
    )
    for sign, style, rows in (("-", "red", difference.gone), ("+", "green", difference.new)):
        for row in rows[:TOLD]:
            console.print(f"{sign} {_place(row)}", style=style, markup=False)
        if len(rows) > TOLD:
            console.print(f"{sign} and {len(rows) - TOLD:,} more", style=style)
    for one in difference.changed[:TOLD]:
        said = "; ".join(f"{name}: {before} -> {after}" for name, (before, after) in one.fields.items())
        console.print(f"~ {_place(one.ours)}  {said}", style="yellow", markup=False)
    if len(difference.changed) > TOLD:
        console.print(f"~ and {len(difference.changed) - TOLD:,} more", style="yellow")


def _place(row: Row) -> str:
    part = "" if row.by is None else f" ({row.by})"
    return f"{_short(row.as_json()['at'])}  {row.trigger}  {row.key}{part}"


def _table(names: list[str], numbers: set[int]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place in numbers else "left")
    return table


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _short(time: str | None) -> str:
    return "·" if time is None else time[:19].replace("T", " ")


def number_text(value: float | None) -> str:
    return "·" if value is None else f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def percent_text(value: float | None) -> str:
    return "·" if value is None else f"{value:.0%}"


def _cost(cost: float | None, about: str) -> str:
    return "unknown" if cost is None else f"{about}{cost:.4g}"


def shortly(seconds: float) -> str:
    """`17.6h`: a duration in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.3g}s"
