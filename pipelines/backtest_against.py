"""Two definitions over one history: what fires in both, what in one only, and what was decided differently.

Firings are the same if trigger, key, part and time are: their run ids need not be, and what they say is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.pipelines.backtest_row import ASKED, Row

COMPARED = ("answer", "text", "labels", "agent")
"""What a consumer acts on. Of values, tokens and reasons a change alone is none of the decision."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A firing of both, and what each says of it, field by field."""

    ours: Row
    theirs: Row
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """`gone`: only the present file fires; `new`: only the candidate does. By time."""

    both: int
    gone: Sequence[Row]
    new: Sequence[Row]
    changed: Sequence[Changed]

    @property
    def any(self) -> bool:
        return bool(self.gone or self.new or self.changed)

    def as_json(self) -> dict[str, Any]:
        return {
            "both": self.both,
            "gone": [row.as_json() for row in self.gone],
            "new": [row.as_json() for row in self.new],
            "changed": [
                {
                    **{
                        name: value
                        for name, value in one.ours.as_json().items()
                        if name in ("trigger", "key", "by", "at")
                    },
                    "fields": {name: {"present": pair[0], "candidate": pair[1]} for name, pair in one.fields.items()},
                }
                for one in self.changed
            ],
            "triggers": by_trigger(self),
        }


def compared(present: Iterable[Row], candidate: Iterable[Row]) -> Difference:
    ours, theirs = _by_place(present), _by_place(candidate)
    both = [(row, theirs[place]) for place, row in ours.items() if place in theirs]
    changed = [Changed(row, other, fields) for row, other in both if (fields := _differing(row, other))]
    gone = [row for place, row in ours.items() if place not in theirs]
    new = [row for place, row in theirs.items() if place not in ours]
    return Difference(len(both), gone, new, changed)


def _by_place(rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    seen: Counter[tuple[Any, ...]] = Counter()
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        found[*row.place, seen[row.place]] = row
        seen[row.place] += 1
    return found


def by_trigger(difference: Difference) -> dict[str, dict[str, int]]:
    """How many of each, for triggers of which there is something to tell."""
    told: dict[str, dict[str, int]] = {}
    kinds = {
        "gone": [row.trigger for row in difference.gone],
        "new": [row.trigger for row in difference.new],
        "changed": [one.ours.trigger for one in difference.changed],
    }
    for kind, names in kinds.items():
        for name in names:
            told.setdefault(name, dict.fromkeys(kinds, 0))[kind] += 1
    return dict(sorted(told.items()))


def _differing(row: Row, other: Row) -> dict[str, tuple[Any, Any]]:
    """What a model would have said is not known where one of the two was not answered: that is no difference."""
    unknown = ("answer", "text") if ASKED in (row.state, other.state) else ()
    pairs = {name: (getattr(row, name), getattr(other, name)) for name in COMPARED if name not in unknown}
    if not unknown:
        pairs["state"] = (row.state, other.state)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
