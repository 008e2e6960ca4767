"""The report of a backtest as one page: it opens offline, asks nobody for anything, and prints well.

Everything that comes from a file or a recording is escaped where it is put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import orjson

from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_against import Changed, Difference
from penstock.pipelines.backtest_forecast_report import (
    ERRORS_HEAD,
    ERRORS_TITLE,
    HEAD,
    TITLE,
    error_rows,
    forecast_notes,
    forecast_rows,
)
from penstock.pipelines.backtest_labels import Label
from penstock.pipelines.backtest_plot import Bar, Lane, bars, timeline
from penstock.pipelines.backtest_report import number_text, percent_text, shortly
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.backtest_style import STYLE
from penstock.pipelines.backtest_summary import Figures

ROWS_MAX = 200
"""So many firings of a kind are listed; the rest is in firings.jsonl."""
COLOURS = 8
LABELS_MAX = 500
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body><main>
{body}
</main></body></html>
"""


def page(
    histories: Sequence[History],
    figures: Sequence[Figures],
    difference: Difference | None,
    labels: Sequence[Label] | None,
) -> str:
    """`histories` and `figures` of the present file, and of the candidate where there is one."""
    ours, history = figures[0], histories[0]
    names = list(dict.fromkeys(name for side in figures for name in side["triggers"]))
    colours = {name: place % COLOURS for place, name in enumerate(names)}
    body = [
        _head(ours),
        _tiles(ours),
        _timeline(histories, names, colours, labels or ()),
        _triggers(ours, colours),
        _agents(ours),
        _forecast(ours),
    ]
    if difference is not None:
        body.append(_difference(difference, figures[1]))
    body.append(_firings(history.rows))
    return PAGE.format(title=escape(f"Backtest of {ours['pipeline']}"), style=STYLE, body="\n".join(body))


def _head(figures: Figures) -> str:
    span = "no events" if figures["from"] is None else f"{_time(figures['from'])} to {_time(figures['to'])}"
    definition = figures["definition"].removeprefix("sha256:")[:12]
    return (
        f"<h1>{escape(figures['pipeline'])}</h1><p class=muted>Backtest · {span} · definition {escape(definition)}</p>"
    )


def _tiles(figures: Figures) -> str:
    about = "~" if figures["estimated"] else ""
    runs = sum(agent["runs"] for agent in figures["agents"].values())
    tokens = sum(agent["input_tokens"] + agent["output_tokens"] for agent in figures["agents"].values())
    cost = "unknown" if figures["cost"] is None else f"{about}{figures['cost']:,.4g}"
    told = {
        "events": f"{sum(figures['events'].values()):,}",
        "keys": f"{figures['keys']:,}",
        "firings": f"{figures['firings']:,}",
        "runs": f"{runs:,}",
        "tokens": f"{about}{tokens:,}",
        "cost": cost,
    }
    if "labels" in figures:
        score = figures["labels"]
        told |= {"precision": percent_text(score["precision"]), "recall": percent_text(score["recall"])}
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{name}</span></div>" for name, value in told.items())
    return f"<section class=tiles>{tiles}</section>"


def _timeline(
    histories: Sequence[History], names: Sequence[str], colours: Mapping[str, int], labels: Sequence[Label]
) -> str:
    history = histories[0]
    if history.first is None or history.last is None:
        return ""
    lanes = []
    for name in names:
        for said, side in zip((name, "candidate"), histories, strict=False):
            lanes.append(Lane(said, [row.at for row in side.firings if row.trigger == name], colours[name]))
    plot = timeline(history.minutes, (history.first, history.last), lanes, labels[:LABELS_MAX])
    note = "<p class=muted><i class=label></i> labels</p>" if labels else ""
    return _section("Timeline", plot + note)


def _triggers(figures: Figures, colours: Mapping[str, int]) -> str:
    rows = [
        Bar(name, [(f"c{colours[name]}", one["firings"], f"{one['firings']:,} firings")], _firings_told(one))
        for name, one in figures["triggers"].items()
    ]
    table = ""
    if "labels" in figures:
        alarms = {name: one["labels"] for name, one in figures["triggers"].items() if "labels" in one}
        scores = {**alarms, "together": figures["labels"]}
        head = ("trigger", "precision", "recall", "delay (median)", "false alarms per day")
        table = _table(head, [_score(name, score) for name, score in scores.items()])
    return _section("Triggers", bars("Firings by trigger", rows) + table)


def _firings_told(one: Mapping[str, Any]) -> str:
    per_day = "" if one["per_day"] is None else f" · {number_text(one['per_day'])}/day"
    return f"{one['firings']:,}{per_day}"


def _score(name: str, score: Mapping[str, Any]) -> list[str]:
    delay, false = score["delay_seconds"]["median"], score["false_alarms_per_day"]
    told = ("·" if delay is None else shortly(delay), number_text(false))
    return [name, percent_text(score["precision"]), percent_text(score["recall"]), *told]


def _agents(figures: Figures) -> str:
    rows, costs = [], []
    for name, agent in figures["agents"].items():
        computed = agent["input_tokens"] - agent["cached_input_tokens"]
        parts = [
            ("computed", computed, f"{computed:,} input tokens computed"),
            ("cached", agent["cached_input_tokens"], f"{agent['cached_input_tokens']:,} input tokens cached"),
            ("output", agent["output_tokens"], f"{agent['output_tokens']:,} output tokens"),
        ]
        about = "~" if agent["estimated"] else ""
        rows.append(Bar(name, parts, f"{about}{agent['input_tokens'] + agent['output_tokens']:,}"))
        cost = "unknown" if agent["cost"] is None else f"{about}{agent['cost']:,.6g}"
        states = ", ".join(f"{state} {count:,}" for state, count in agent["states"].items())
        costs.append([name, f"{agent['runs']:,}", states, cost])
    if not rows:
        return ""
    keys = ("computed", "cached", "output")
    legend = "".join(f"<span><i class={key}></i> {key}</span> " for key in keys)
    note = f"<p class=muted>Tokens: {legend}{'· ~ estimated' if figures['estimated'] else ''}</p>"
    table = _table(("agent", "runs", "outcomes", "cost"), costs)
    return _section("Agents", bars("Tokens by agent", rows) + note + table)


def _forecast(figures: Figures) -> str:
    told, errors = figures["forecast"], ""
    if not told["all"]["runs"]["per_day"]:
        return ""
    notes = "".join(f"<p class=muted>{escape(note)}</p>" for note in forecast_notes(told))
    if "earlier" in figures:
        errors = f"<h3>{ERRORS_TITLE}</h3>" + _table(ERRORS_HEAD, error_rows(figures["earlier"]))
    return _section(TITLE, _table(HEAD, forecast_rows(told)) + notes + errors)


def _difference(difference: Difference, candidate: Figures) -> str:
    counts = {"both": difference.both, "gone": len(difference.gone), "new": len(difference.new)}
    rows = [
        Bar("in both", [("both", counts["both"], f"{counts['both']:,}")], f"{counts['both']:,}"),
        Bar("only present", [("gone", counts["gone"], f"{counts['gone']:,}")], f"{counts['gone']:,}"),
        Bar("only candidate", [("new", counts["new"], f"{counts['new']:,}")], f"{counts['new']:,}"),
        Bar("decided differently", [("changed", len(difference.changed), "")], f"{len(difference.changed):,}"),
    ]
    cost = "unknown" if candidate["cost"] is None else f"{candidate['cost']:,.6g}"
    inside = [bars("What the candidate would change", rows), f"<p class=muted>Cost of the candidate: {cost}</p>"]
    head = ("time", "trigger", "key", "values", "answer")
    for title, only in (("Only the present file fires", difference.gone), ("Only the candidate fires", difference.new)):
        inside.append(_listed(title, head, [_cells(row) for row in only[:ROWS_MAX]], len(only)))
    changed = [_changed(one) for one in difference.changed[:ROWS_MAX]]
    columns = ("time", "trigger", "key", "field", "present", "candidate")
    inside.append(
        _listed("Decided differently", columns, [line for lines in changed for line in lines], len(difference.changed))
    )
    return _section("What the candidate would change", "".join(inside))


def _changed(one: Changed) -> Iterable[list[str]]:
    for name, (before, after) in one.fields.items():
        yield [_time(one.ours.as_json()["at"]), one.ours.trigger, _key(one.ours), name, _json(before), _json(after)]


def _firings(rows: Sequence[Row]) -> str:
    head = ("time", "trigger", "key", "values", "answer")
    return _section("Firings", _listed("", head, [_cells(row) for row in rows[:ROWS_MAX]], len(rows)))


def _cells(row: Row) -> list[str]:
    answer = row.reason or row.text or ("" if row.answer is None else _json(row.answer))
    return [_time(row.as_json()["at"]), row.trigger, _key(row), _values(row.values), answer]


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}" for name, value in values.items()
    )


def _key(row: Row) -> str:
    return row.key if row.by is None else f"{row.key} ({row.by})"


def _listed(title: str, head: Sequence[str], cells: Sequence[Sequence[str]], count: int) -> str:
    if not cells:
        return ""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    more = (
        f"<p class=muted>the first {ROWS_MAX:,} of {count:,}; all are in firings.jsonl</p>" if count > ROWS_MAX else ""
    )
    return heading + _table(head, cells) + more


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
