"""All tables of one task: what their records do to them, and how they go into the log and back.

A task reads every partition of a table, because an expression may look up any key; a restart finds the rows in the log, as they
were when the last commit was cut. A delta that knows no position of a table knows none of its rows either: the definition of
that time did not have it, or had it otherwise, so whatever the log says of it before is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from penstock.operators.dead import condemn
from penstock.operators.event import Arrived
from penstock.operators.key_state import Counts
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.table import Table
from penstock.operators.table_rows import Row, Rows
from penstock.operators.unsaved import Unsaved
from penstock.state.delta import Bucket, Delta

Bury = Callable[[Raw, DeadLetter], None]


class OnRow(Protocol):
    """A row that was not there has come, or is gone; the task's watermark."""

    def __call__(self, table: Table, name: str, row: Row, watermark: int, *, gone: bool) -> None: ...


class TaskTables:
    """`rows` are what expressions and templates look into, by the names of the file."""

    def __init__(self, tables: Sequence[Table], unsaved: Unsaved, counters: Counts | None = None) -> None:
        self._tables = {table.identity: table for table in tables}
        self._unsaved, self._counters = unsaved, Counter() if counters is None else counters
        self.rows: Mapping[str, Rows] = {table.name: Rows() for table in tables}
        self.on_row: OnRow = _ignore

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def of_input(self, name: str) -> Table | None:
        """The table that a task's input belongs to; None: it is that of a source, or of a table of another definition."""
        return self._tables.get(name.partition("/")[0])

    def is_over(self, name: str) -> bool:
        """The input belongs to a table that the file does not have (any more, or not like this)."""
        return "/" in name and self.of_input(name) is None

    # --- records ------------------------------------------------------------------------------------------------

    def feed(self, arrived: Arrived, watermark: int, bury: Bury) -> dict[str, Raw]:
        """Rows of a batch, before its events; returns the last record of each of their inputs."""
        last: dict[str, Raw] = {}
        for name, records in arrived.records.items():
            table = self.of_input(name)
            if table is None or not records:
                continue
            if arrived.poison:
                for raw in records:
                    bury(raw, condemn(raw))
            else:
                self._take(table, records, watermark, bury)
            last[name] = records[-1]
        return last

    def _take(self, table: Table, records: Sequence[Raw], watermark: int, bury: Bury) -> None:
        self._counters["rows", table.name] += len(records)
        for raw in records:
            if raw.value is None:
                self._take_away(table, raw, watermark)
                continue
            found = table.read(raw)
            if isinstance(found, DeadLetter):
                bury(raw, found)
            else:
                key, fields = found
                owner = key.encode("utf-8", "surrogatepass") if raw.key is None else bytes(raw.key)
                self._put(table, key, Row(fields, raw.timestamp, raw.partition, owner), watermark)
                self._unsaved.bytes += len(raw.value)

    def _put(self, table: Table, key: str, row: Row, watermark: int) -> None:
        rows = self.rows[table.name]
        before = rows.owned(row.owner)
        if before is not None and before != key:
            self._remove(table, before, watermark)
        is_new = key not in rows
        rows.put(key, row)
        self._note(table, key, row)
        if is_new:
            self.on_row(table, key, row, watermark, gone=False)

    def _take_away(self, table: Table, raw: Raw, watermark: int) -> None:
        """A tombstone names the record that is gone, not the row: only its key is left."""
        key = self.rows[table.name].owned(b"" if raw.key is None else bytes(raw.key))
        if key is not None:
            self._remove(table, key, watermark)

    def _remove(self, table: Table, key: str, watermark: int) -> None:
        row = self.rows[table.name].pop_row(key)
        if row is not None:
            self._note(table, key, None)
            self.on_row(table, key, row, watermark, gone=True)

    def _note(self, table: Table, key: str, row: Row | None) -> None:
        self._unsaved.rows.append((table.identity, key, row))
        self._unsaved.bytes += len(key)

    # --- the log ------------------------------------------------------------------------------------------------

    def image(self, index: int, of: int) -> dict[str, dict[str, Any]]:
        """By identity and key, those of one bucket."""
        shares = {each.identity: dict(self.rows[each.name].in_bucket(index, of)) for each in self._tables.values()}
        return {identity: share for identity, share in shares.items() if share}

    def apply_delta(self, delta: Delta) -> None:
        known = {name.partition("/")[0] for name in delta.header.positions}
        for identity, table in self._tables.items():
            if identity not in known:
                self.rows[table.name].forget()
        for identity, key, row in delta.rows:
            self._restore(identity, key, row)

    def apply_bucket(self, bucket: Bucket) -> None:
        for rows in self.rows.values():
            for key, _ in list(rows.in_bucket(bucket.index, bucket.of)):
                rows.pop_row(key)
        for identity, share in bucket.rows.items():
            for key, row in share.items():
                self._restore(identity, key, row)

    def _restore(self, identity: str, key: str, row: Sequence[Any] | None) -> None:
        table = self._tables.get(identity)
        if table is None:
            return
        if row is None:
            self.rows[table.name].pop_row(key)
        else:
            self.rows[table.name].put(key, Row(*row))

    def of_partition(self, table: str, partition: int) -> Iterator[tuple[str, Row]]:
        """Rows of a table that lie in this partition of its topic."""
        return ((key, row) for key, row in list(self.rows[table].items()) if row.partition == partition)


def _ignore(table: Table, name: str, row: Row, watermark: int, *, gone: bool) -> None:
    """Nobody expects anything of its keys."""
