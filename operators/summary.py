"""The rule summary: what a prompt still says about events that its window dropped. No model, bounded, deterministic.

    {"user": "root", "port": 22} ─┐
    {"user": "root", "port": 80} ─┼─▶ Earlier: 3 events from … to …
    {"user": "eve", "port": 22}  ─┘   "port": 22 to 80, mean 41.33
                                      "user": "root" 2, "eve" 1

Values of text are counted by the Misra-Gries sketch (Science of Computer Programming 2, 1982): with k counters a count is too low
by at most n / k, and what occurs once each never crowds out what occurs often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import orjson

from penstock.operators.instant import iso_text

FIELDS_MAX = 16
"""Fields that are summed up: the first ones seen."""
VALUES_MAX = 32
"""Different values that are counted per field at any time."""
VALUES_SHOWN = 5
NAME_CHARACTERS_MAX = 60


class FieldSummary:
    """One field. `counts` are exact while `exact`; afterwards they are lower bounds."""

    __slots__ = ("counts", "exact", "high", "low", "numbers", "total")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.exact = True
        self.numbers = 0
        self.low = self.high = self.total = 0.0

    def add(self, value: Any) -> None:
        """Take in one JSON value; lists and objects are left out."""
        match value:
            case bool() | None:
                self._count(orjson.dumps(value).decode())
            case int() | float():
                self._measure(float(value))
            case str():
                self._count(orjson.dumps(value[:NAME_CHARACTERS_MAX]).decode())

    def _count(self, value: str) -> None:
        counts = self.counts
        if value in counts:
            counts[value] += 1
        elif len(counts) < VALUES_MAX:
            counts[value] = 1
        else:
            self.exact = False
            self.counts = {known: count - 1 for known, count in counts.items() if count > 1}

    def _measure(self, number: float) -> None:
        if not isfinite(self.total + number):
            return
        self.low = min(self.low, number) if self.numbers else number
        self.high = max(self.high, number) if self.numbers else number
        self.numbers += 1
        self.total += number

    def text(self) -> str:
        parts = []
        if self.numbers:
            mean = self.total / self.numbers
            parts.append(f"{_number(self.low)} to {_number(self.high)}, mean {_number(mean)}")
        top = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        sign = "" if self.exact else "at least "
        parts += [f"{value} {sign}{count}" for value, count in top[:VALUES_SHOWN]]
        if not self.exact or len(top) > VALUES_SHOWN:
            parts.append("many others" if top else "many different values")
        return ", ".join(parts)

    def dump(self) -> list[Any]:
        return [self.counts, self.exact, self.numbers, self.low, self.high, self.total]

    @classmethod
    def load(cls, dumped: Sequence[Any]) -> FieldSummary:
        field = cls()
        field.counts, field.exact, field.numbers, field.low, field.high, field.total = dumped
        field.counts = dict(field.counts)
        return field


class Summary:
    """What was folded so far: `events` of them, with event times from `oldest` to `newest` (ms)."""

    __slots__ = ("events", "fields", "newest", "oldest")

    def __init__(self) -> None:
        self.events = 0
        self.oldest = self.newest = 0
        self.fields: dict[str, FieldSummary] = {}

    def fold(self, lines: Iterable[bytes], oldest: int, newest: int) -> None:
        """Add events, in order. Lines that are no JSON object are counted only. O(fields) per line."""
        self.oldest = min(self.oldest, oldest) if self.events else oldest
        self.newest = max(self.newest, newest) if self.events else newest
        for line in lines:
            self.events += 1
            self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        for name, value in event.items():
            if name in self.fields:
                self.fields[name].add(value)
            elif len(self.fields) < FIELDS_MAX and not isinstance(value, dict | list):
                field = self.fields[name] = FieldSummary()
                field.add(value)

    def text(self) -> str:
        """A few lines for the prompt; equal folds give equal text."""
        head = f"Earlier: {self.events} events from {iso_text(self.oldest)} to {iso_text(self.newest)}"
        fields = [
            f"{orjson.dumps(name[:NAME_CHARACTERS_MAX]).decode()}: {field.text()}"
            for name, field in sorted(self.fields.items())
        ]
        return "\n".join([head, *fields])

    def dump(self) -> list[Any]:
        return [self.events, self.oldest, self.newest, {name: field.dump() for name, field in self.fields.items()}]

    @classmethod
    def load(cls, dumped: Sequence[Any]) -> Summary:
        summary = cls()
        summary.events, summary.oldest, summary.newest, fields = dumped
        summary.fields = {name: FieldSummary.load(field) for name, field in fields.items()}
        return summary


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return f"{value:.4g}"
