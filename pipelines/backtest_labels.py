"""Labels: the stretches of time in which something was wrong. How many of them firings meet, how soon, and what else.

    label          ├──────────┤                     ├─────┤
    firings   ●          ● ●                                  ●
              false      met, after its delay       missed    false

A firing meets a label if its time lies in it, edges included, and the label is of its key, or of no key in particular.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from penstock.operators.error import Misused, Rejected
from penstock.operators.timestamp import instant
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.recording import json_or_none, recorded_lines

DAY_MS = 86_400_000
REMEDY = 'write a line {"key": "web-1", "from": "2026-11-20T09:00:00Z", "to": …} per label (`key` is optional), or NAB\'s windows'


class Label(NamedTuple):
    """From one time to another, ms, both included; a key of None is every key."""

    key: str | None
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Score:
    """How firings and labels meet. Shares are None where there is nothing to divide by; delays in ms, of labels that were met."""

    labels: int
    met: int
    firings: int
    true: int
    delays: Sequence[int]
    false_per_day: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "met": self.met,
            "firings": self.firings,
            "true": self.true,
            "precision": _share(self.true, self.firings),
            "recall": _share(self.met, self.labels),
            "delay_seconds": {
                "mean": fmean(self.delays) / 1000 if self.delays else None,
                "median": median(self.delays) / 1000 if self.delays else None,
            },
            "false_alarms_per_day": self.false_per_day,
        }


def scored(rows: Sequence[Row], labels: Sequence[Label], days: float | None) -> Score:
    """O(firings × log labels of a key)."""
    by_key: dict[str | None, list[Label]] = {}
    for label in sorted(labels, key=lambda label: label.first):
        by_key.setdefault(label.key, []).append(label)
    starts = {key: [label.first for label in found] for key, found in by_key.items()}
    met: dict[Label, int] = {}
    true = 0
    for row in rows:
        found = [label for key in (row.key, None) for label in _holding(by_key, starts, key, row.at)]
        true += bool(found)
        for label in found:
            met[label] = min(met.get(label, row.at), row.at)
    false_per_day = None if not days else (len(rows) - true) / days
    delays = [at - label.first for label, at in met.items()]
    return Score(len(labels), len(met), len(rows), true, delays, false_per_day)


def _holding(
    by_key: Mapping[str | None, Sequence[Label]], starts: Mapping[str | None, Sequence[int]], key: str | None, at: int
) -> Iterable[Label]:
    """Labels of one key do not overlap: only the last one that has begun can hold the time."""
    place = bisect_right(starts.get(key, ()), at)
    if place and at <= by_key[key][place - 1].last:
        yield by_key[key][place - 1]


def load_labels(path: Path, series: str | None, recordings: Collection[str] = ()) -> list[Label]:
    """Labels of one key that overlap become one. Raises Rejected, Misused.

    `series` names one of several in a file of NAB's; without it the one is meant that is called as one of the `recordings`.
    """
    lines = [(number, line) for number, line in recorded_lines(path)]
    if not lines:
        raise Rejected("holds no labels", where=str(path), remedy=REMEDY)
    whole = json_or_none(b"\n".join(line for _, line in lines))
    if isinstance(whole, dict) and not {"from", "to"} & whole.keys():
        return _merged(_nab(path, whole, series, recordings))
    if isinstance(whole, list):
        return _merged([_pair(str(path), pair) for pair in whole])
    return _merged([_label(f"{path}:{number}", json_or_none(line)) for number, line in lines])


def _nab(path: Path, windows: Mapping[str, Any], series: str | None, recordings: Collection[str]) -> list[Label]:
    if series is None:
        names = [name for name in windows if Path(name).name in recordings] or list(windows)
    else:
        names = [name for name in windows if series in name]
    if len(names) != 1:
        some = ", ".join(list(windows)[:5])
        raise Misused(
            f"{path} has labels of {len(names)} series"
            + ("" if series is None else f" with {series!r} in their names"),
            where="--series",
            remedy=f"name one of them, such as: {some}",
        )
    pairs = windows[names[0]]
    if not isinstance(pairs, list):
        raise _wrong(str(path))
    return [_pair(str(path), pair) for pair in pairs]


def _pair(where: str, pair: Any) -> Label:
    if not isinstance(pair, list) or len(pair) != 2:
        raise _wrong(where)
    return _label(where, {"from": pair[0], "to": pair[1]})


def _label(where: str, said: Any) -> Label:
    if not isinstance(said, dict) or not isinstance(said.get("key"), str | None):
        raise _wrong(where)
    first, last = (_time(said.get(name)) for name in ("from", "to"))
    if first is None or last is None or last < first:
        raise _wrong(where)
    return Label(said.get("key"), first, last)


def _time(said: Any) -> int | None:
    """ISO 8601, with a blank for the T as NAB has it; a number is ms since the epoch."""
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    return instant(said.replace(" ", "T")) if isinstance(said, str) else None


def _wrong(where: str) -> Rejected:
    return Rejected("is no label", where=where, remedy=REMEDY)


def _merged(labels: Iterable[Label]) -> list[Label]:
    merged: list[Label] = []
    for label in sorted(labels, key=lambda label: (label.key or "", label.key is None, label.first)):
        if merged and merged[-1].key == label.key and label.first <= merged[-1].last:
            merged[-1] = merged[-1]._replace(last=max(merged[-1].last, label.last))
        else:
            merged.append(label)
    return merged


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
