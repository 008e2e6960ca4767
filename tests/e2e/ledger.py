"""What a consumer may expect of the topics, checked from the outside: nothing lost, nothing twice, nothing contradicted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from penstock.operators.record import Raw

OUTCOMES = ("final", "failed")

Outcome = tuple[str, str, str]
"""(state, answer as JSON, model route as JSON)."""


def decoded(records: Iterable[Raw]) -> list[dict[str, Any]]:
    return [orjson.loads(raw.value or b"{}") for raw in records]


def finals(results: Iterable[Raw]) -> dict[str, Outcome]:
    """Run id to outcome; fails if a run has two."""
    found: dict[str, Outcome] = {}
    for record in decoded(results):
        if record["state"] in OUTCOMES:
            assert record["run"] not in found, f"two outcomes of run {record['run']}"
            found[record["run"]] = (record["state"], _text(record["answer"]), _text(record["triggers"]))
    return found


def resolved(results: Iterable[Raw]) -> dict[str, str | None]:
    """Run id to the end of its episode; fails if a run is resolved twice."""
    found: dict[str, str | None] = {}
    for record in decoded(results):
        if record["state"] == "resolved":
            assert record["run"] not in found, f"run {record['run']} was resolved twice"
            found[record["run"]] = record["episode"]["ends_at"]
    return found


def check_revisions(partials: Iterable[Raw]) -> None:
    """The revision stream of every run: `rev` grows by one, one outcome, no partial after it, `resolved` last."""
    by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in decoded(partials):
        by_run[record["run"]].append(record)
    for run, records in by_run.items():
        assert [record["rev"] for record in records] == list(range(1, len(records) + 1)), f"revisions of run {run}"
        states = [record["state"] for record in records]
        outcome = next(place for place, state in enumerate(states) if state in OUTCOMES)
        assert set(states[:outcome]) <= {"partial"}, f"states of run {run}: {states}"
        assert states[outcome + 1 :] in ([], ["resolved"]), f"states of run {run}: {states}"
        attempts = [record["attempt"] or 0 for record in records[: outcome + 1]]
        assert attempts == sorted(attempts), f"attempts of run {run}: {attempts}"


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
