"""Rows of tables for a backtest: those that are there at the start, and those that come later.

    --table hosts=hosts.jsonl      {"key": "web-1", "row": {"owner": "ann"}}                                 there at the start
                                   {"key": "web-1", "row": {"owner": "bob"}, "at": "2026-11-20T09:00:00Z"}   comes then
                                   {"key": "web-1", "row": null, "at": …}                                    is gone then
    any other line is the record of a row that is there at the start, whose key the table's `key` says

A row that comes at a time is known to the first event of that time or a later one, and to what follows it in the merge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from penstock.operators.error import Misused, Rejected
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Record
from penstock.operators.table import Table
from penstock.operators.timestamp import EARLIEST_MS, instant
from penstock.pipelines.backtest_feed import Owners, Share
from penstock.pipelines.recording import json_or_none, recorded_lines

ENVELOPE = frozenset({"key", "row", "at"})
OURS, OTHERS = 0, 1
"""Partitions of rows: what is expected of a key is its own share's business, what can be looked up is everybody's."""
_NAMED = re.compile(r"([A-Za-z_][\w-]*)=(.+)", re.DOTALL)


class Coming(NamedTuple):
    """Rows that come at one time (ms), by the task's inputs; EARLIEST_MS: at the start."""

    at: int
    records: dict[str, list[Record]]


Files = Mapping[str, Path]
"""The file with the rows of each table, by its name."""


def tables_of(plans: Sequence[Plan], options: Sequence[str]) -> Files:
    """Raises Misused for tables that no file has, and where the rows of one are not given."""
    needed = {table.name for plan in plans for table in plan.tables}
    found: dict[str, Path] = {}
    for text in options:
        named = _NAMED.fullmatch(text)
        if named is None or named[1] not in needed:
            names = ", ".join(sorted(needed)) or "the file has none"
            raise Misused(f"{text!r} names no table", where="--table", remedy=f"write TABLE=FILE; tables: {names}")
        found[named[1]] = Path(named[2])
    missing = sorted(needed - found.keys())
    if missing:
        raise Misused(
            f"nothing says what rows the table {missing[0]} has",
            where="--table",
            remedy=f"give them: --table {missing[0]}=FILE, lines of rows (an empty file: none)",
        )
    return found


def rows_of(plan: Plan, files: Files, share: Share) -> list[Coming]:
    """In the order in which they come, of one time in that of the lines. Raises Rejected for files that cannot be read."""
    coming: dict[int, dict[str, list[Record]]] = {}
    owners = Owners(share)
    for table in plan.tables:
        for at, record in _records(table, files[table.name], owners, takes_dead=share.place == 0):
            coming.setdefault(at, {}).setdefault(table.input(0), []).append(record)
    return [Coming(at, coming[at]) for at in sorted(coming)]


def _records(table: Table, path: Path, owners: Owners, *, takes_dead: bool) -> Iterator[tuple[int, Record]]:
    for number, line in recorded_lines(path):
        at, key, value = _read(f"{path}:{number}", line)
        record = Record(table.topic, OURS, number, at, key, value)
        read = None if value is None else table.read(record)
        if isinstance(read, DeadLetter) and not takes_dead:
            continue
        others = isinstance(read, tuple) and not owners[read[0]]
        yield at, Record(table.topic, OTHERS if others else OURS, number, at, key, value)


def _read(where: str, line: bytes) -> tuple[int, bytes | None, bytes | None]:
    """When it comes, the key of its record, and what stands in it: None where the row is gone."""
    said = json_or_none(line)
    if not isinstance(said, dict) or "row" not in said or not said.keys() <= ENVELOPE:
        return EARLIEST_MS, None, line
    key, row, at = said.get("key"), said["row"], _time(said.get("at"))
    if (
        at is None
        or not isinstance(key, str | None)
        or not isinstance(row, dict | None)
        or (row is None and key is None)
    ):
        remedy = 'write {"key": "web-1", "row": {…}, "at": "2026-11-20T09:00:00Z"}; `row` is null where it is gone'
        raise Rejected("is no row", where=where, remedy=remedy)
    return at, None if key is None else key.encode(), None if row is None else orjson.dumps(row)


def _time(said: Any) -> int | None:
    """ISO 8601, or ms since the epoch; without any it was always there."""
    if said is None:
        return EARLIEST_MS
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    return instant(said) if isinstance(said, str) else None
