"""What a benchmark says: one line of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import orjson
from tests.compiled import IS_COMPILED


class CannotRun(Exception):
    """Something that a benchmark needs is not here; the message says what."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`ours` beside `other` (the floor, the peer or the prediction), both in `unit`; `ok` is whether the target is met.

    `ratio` is ours / other. Where there is nothing to compare with, `other` and `ratio` are None.
    """

    bench: str
    ours: float
    other: float | None
    unit: str
    target: str
    ok: bool
    detail: Mapping[str, Any]
    ratio: float | None = None

    def to_json(self) -> str:
        ratio = self.ratio if self.ratio is not None else _ratio(self.ours, self.other)
        line = {
            "bench": self.bench,
            "core": "compiled" if IS_COMPILED else "interpreted",
            "ours": _rounded(self.ours),
            "other": _rounded(self.other),
            "ratio": _rounded(ratio),
            "unit": self.unit,
            "target": self.target,
            "ok": self.ok,
            "detail": _rounded(self.detail),
        }
        return orjson.dumps(line).decode()


def _ratio(ours: float, other: float | None) -> float | None:
    return ours / other if other else None


def _rounded(value: Any) -> Any:
    """Four significant digits: more would pretend."""
    match value:
        case float():
            return float(f"{value:.4g}") if abs(value) < 10_000 else round(value)
        case Mapping():
            return {name: _rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value


def middle(values: Sequence[float]) -> float:
    """The median: one disturbed round of three does not move it."""
    return float(median(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
