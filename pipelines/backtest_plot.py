"""Plots as inline SVG: no script, no font, no request. Colours are classes, so that the page decides on light and dark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from math import log1p
from typing import NamedTuple

from penstock.operators.instant import iso_text
from penstock.operators.unit import duration_text
from penstock.pipelines.backtest_feed import MINUTE_MS
from penstock.pipelines.backtest_labels import Label

WIDTH, LEFT, RIGHT = 1000, 150, 16
PLOT = WIDTH - LEFT - RIGHT
EVENTS_HEIGHT, LANE, AXIS = 110, 26, 26
COLUMNS_MAX = 240
NAME_CHARACTERS = 20
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 43_200, 131_040, 524_160)
"""Widths of a column, in minutes, that people can name."""


class Lane(NamedTuple):
    """Firings of one trigger; `colour` is the number of its class."""

    name: str
    times: Sequence[int]
    colour: int


class Bar(NamedTuple):
    """One row of bars; `parts` are (class, value, what it is)."""

    name: str
    parts: Sequence[tuple[str, float, str]]
    told: str


class _Scale:
    """Event time to columns and places."""

    def __init__(self, first: int, last: int) -> None:
        minutes = (last - first) // MINUTE_MS + 1
        fitting = (width for width in _MINUTES if minutes / width <= COLUMNS_MAX)
        self.step = next(fitting, minutes // COLUMNS_MAX + 1) * MINUTE_MS
        self.first = first // self.step * self.step
        self.columns = (last - self.first) // self.step + 1

    def column(self, time: int) -> int:
        return min(max((time - self.first) // self.step, 0), self.columns - 1)

    def x(self, time: float) -> float:
        share = (time - self.first) / (self.columns * self.step)
        return LEFT + PLOT * min(max(share, 0.0), 1.0)

    @property
    def width(self) -> float:
        return PLOT / self.columns


def timeline(minutes: Mapping[int, int], span: tuple[int, int], lanes: Sequence[Lane], labels: Iterable[Label]) -> str:
    """Events per stretch of time, below it a lane per trigger, behind all of it the labels."""
    scale, height = _Scale(*span), EVENTS_HEIGHT + LANE * len(lanes) + AXIS
    parts = [*_labels(scale, labels, height - AXIS), *_events(scale, minutes)]
    for place, lane in enumerate(lanes):
        parts += _lane(scale, lane, EVENTS_HEIGHT + LANE * place)
    return _svg("Events and firings over time", height, [*parts, *_axis(scale, height)])


def _labels(scale: _Scale, labels: Iterable[Label], height: float) -> Iterable[str]:
    for label in labels:
        x, end = scale.x(label.first), scale.x(label.last)
        told = (
            f"label{'' if label.key is None else f' of {label.key}'}: {_minute(label.first)} to {_minute(label.last)}"
        )
        yield _rect("label", x, 4, max(end - x, 1.5), height - 4, told)


def _events(scale: _Scale, minutes: Mapping[int, int]) -> Iterable[str]:
    columns: Counter[int] = Counter()
    for minute, count in minutes.items():
        columns[scale.column(minute * MINUTE_MS)] += count
    most = max(columns.values(), default=1)
    base, room = EVENTS_HEIGHT - 8, EVENTS_HEIGHT - 26
    yield _text("name", LEFT - 10, base - room / 2, "events", anchor="end")
    yield _text("note", LEFT - 10, base - room / 2 + 15, f"per {duration_text(scale.step)}", anchor="end")
    yield _text("note", LEFT + 2, base - room - 5, f"{most:,}")
    yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base - room}" y2="{base - room}"/>'
    for column, count in sorted(columns.items()):
        tall = max(room * count / most, 1)
        x, told = LEFT + column * scale.width, f"{count:,} events from {_minute(scale.first + column * scale.step)}"
        yield _rect("events", x, base - tall, max(scale.width - 0.6, 0.8), tall, told)
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'


def _lane(scale: _Scale, lane: Lane, top: float) -> Iterable[str]:
    """A mark per column with firings; the more of them, the taller."""
    columns = Counter(scale.column(time) for time in lane.times)
    most, middle = max(columns.values(), default=1), top + LANE / 2
    yield _text("name", LEFT - 10, middle + 4, _short(lane.name), anchor="end", told=lane.name)
    yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>'
    for column, count in sorted(columns.items()):
        tall = 9 + 11 * log1p(count - 1) / log1p(max(most - 1, 1))
        x, wide = LEFT + (column + 0.5) * scale.width, min(max(scale.width - 0.6, 3), 6)
        firings = "1 firing" if count == 1 else f"{count:,} firings"
        told = f"{lane.name}: {firings} from {_minute(scale.first + column * scale.step)}"
        yield _rect(f"c{lane.colour}", x - wide / 2, middle - tall / 2, wide, tall, told)


def _axis(scale: _Scale, height: float) -> Iterable[str]:
    """About six times, at columns' edges, in the precision that the span asks for."""
    every = max(1, -(-scale.columns // 6))
    whole = "%Y-%m-%d" if scale.step * every >= 86_400_000 else "%m-%d %H:%M"
    for column in range(0, scale.columns, every):
        x = LEFT + column * scale.width
        if x > WIDTH - RIGHT - 60:
            return
        said = datetime.fromtimestamp((scale.first + column * scale.step) / 1000, UTC).strftime(whole)
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{height - AXIS}" y2="{height - AXIS + 5}"/>'
        yield _text("note", x, height - 6, said)


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, each of one part or of several; what they come to stands behind them."""
    most = max((sum(value for _, value, _ in row.parts) for row in rows), default=0) or 1
    room, parts = PLOT - 110, list[str]()
    for place, row in enumerate(rows):
        top, x = place * LANE, float(LEFT)
        parts.append(_text("name", LEFT - 10, top + LANE / 2 + 4, _short(row.name), anchor="end", told=row.name))
        for style, value, told in row.parts:
            wide = room * value / most
            if value:
                parts.append(_rect(style, x, top + 5, max(wide, 1.5), LANE - 10, f"{row.name}: {told}"))
                x += max(wide, 1.5) + 1
        parts.append(_text("value", x + 6, top + LANE / 2 + 4, row.told))
    return _svg(title, LANE * len(rows) + 2, parts)


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    inside = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">\n{inside}\n</svg>'


def _rect(style: str, x: float, y: float, width: float, height: float, told: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{style}" {place} rx="1"><title>{escape(told)}</title></rect>'


def _text(style: str, x: float, y: float, said: str, *, anchor: str = "start", told: str = "") -> str:
    hint = f"<title>{escape(told)}</title>" if told else ""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}{hint}</text>'


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"


def _minute(ms: int) -> str:
    return iso_text(ms)[:16].replace("T", " ")
