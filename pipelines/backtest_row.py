"""What a backtest says of one firing: a line of `firings.jsonl`. The names are those of results (docs/results.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.operators.instant import iso_text
from penstock.operators.timestamp import instant

SKIPPED = "skipped"
ASKED = "asked"
"""The state of a run that nothing answered: what a model would have said is not known."""


class Used(msgspec.Struct, kw_only=True):
    """Tokens and money of one run. `estimated`: counted by pieces of text, not by a server. A cost of None is not known."""

    calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    estimated: bool = False


class Asked(msgspec.Struct, kw_only=True):
    """One call of a run to a model of the file. `seconds` is how long it took, where somebody looked at the clock."""

    model: str
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    seconds: float | None = None


class Row(msgspec.Struct, kw_only=True):
    """One firing, with what came of it. Times are ms; `resolved_at` is where its episode ended, None if it did not.

    `route` are the calls of its run, which began `delay` ms after it fired (`spread`).
    """

    run: str
    trigger: str
    key: str
    by: str | None
    at: int
    cause: str
    end: bool
    state: str
    agent: str | None
    labels: dict[str, Any]
    values: dict[str, Any]
    events: int
    tenant: str | None = None
    reason: str | None = None
    answer: dict[str, Any] | None = None
    text: str | None = None
    degraded: list[str] = []
    usage: Used = msgspec.field(default_factory=Used)
    resolved_at: int | None = None
    route: list[Asked] = []
    delay: int = 0

    @property
    def place(self) -> tuple[str, str, str | None, int]:
        """What it is known by where its run has another id. Of several at one instant the order tells which is which."""
        return self.trigger, self.key, self.by, self.at

    @property
    def cause_order(self) -> tuple[str, int]:
        """Records of one input by offset, timers by when they were due; what follows an outcome by its run."""
        where, at, number = self.cause.rpartition("@")
        return (where, int(number)) if at else (self.cause, 0)

    def as_json(self) -> dict[str, Any]:
        resolved = None if self.resolved_at is None else iso_text(self.resolved_at)
        return {**msgspec.to_builtins(self), "at": iso_text(self.at), "resolved_at": resolved}


def row_of(record: Mapping[str, Any], at: int) -> Row:
    """The firing that an outcome tells of."""
    usage, why = record["usage"], record["why"]
    return Row(
        run=record["run"],
        trigger=record["triggers"][0],
        key=record["key"],
        by=record["by"],
        tenant=record["tenant"],
        at=at,
        cause=why["fired_by"],
        end=record["end"],
        state=record["state"],
        agent=record["agent"],
        labels=record["labels"],
        values=why["values"],
        events=why["events"],
        reason=record["reason"],
        answer=record["answer"],
        text=record["text"],
        degraded=[entry["step"] for entry in record["degraded"]],
        usage=Used(**{name: usage[name] for name in Used.__struct_fields__ if name in usage}),
        route=route_of(why["route"]),
    )


def route_of(entries: Iterable[Mapping[str, Any]]) -> list[Asked]:
    """The calls that a result tells of."""
    return [Asked(**{name: each[name] for name in Asked.__struct_fields__ if name in each}) for each in entries]


def used_of(route: Sequence[Asked], *, estimated: bool) -> Used:
    """All calls of a run together; what they cost is unknown as soon as one is."""
    costs = [asked.cost for asked in route]
    known = [cost for cost in costs if cost is not None]
    return Used(
        calls=len(route),
        input_tokens=sum(asked.input_tokens for asked in route),
        cached_input_tokens=sum(asked.cached_input_tokens for asked in route),
        output_tokens=sum(asked.output_tokens for asked in route),
        cost=sum(known) if len(known) == len(costs) else None,
        estimated=estimated,
    )


def time_of(text: str) -> int:
    """Of a time that Penstock wrote."""
    time = instant(text)
    assert time is not None, text
    return time
