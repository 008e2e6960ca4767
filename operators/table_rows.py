"""The rows of one table as a task knows them: part of its state, so that an expression sees the same of them after a crash.

    record of the table's topic ─▶ put, or gone (a tombstone) ─▶ delta, image ─▶ the next task
                                        └─▶ tables.hosts[key]

A row is replaced as a whole and never changed in place: whoever holds one (an image on its way, a run) holds what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from penstock.operators.bucket import BUCKETS_MAX, finest_bucket
from penstock.operators.canonical import canonical_json
from penstock.operators.expression_value import UNKNOWN, Unknown


class Row(NamedTuple):
    """`fields` of its record, whose timestamp is `time` (ms), in `partition` of the table's topic.

    `owner` is the record's key: a compacted topic keeps one record of it, and a tombstone names it.
    """

    fields: dict[str, Any]
    time: int
    partition: int
    owner: bytes


Tables = Mapping[str, Mapping[str, Row]]
"""By the names of the file, then by key."""


class _NoTables(dict[str, Mapping[str, Row]]):
    def __missing__(self, name: str) -> Mapping[str, Row]:
        return {}


NO_TABLES: Tables = _NoTables()
"""Every table is empty."""


def row(rows: Mapping[str, Row], key: Any) -> Any:
    """The fields of the row with this key, UNKNOWN where there is none. A key that is not text is its canonical JSON."""
    if key.__class__ is not str:
        if key.__class__ is Unknown:
            return key
        if key is None:
            return UNKNOWN
        key = canonical_json(key)
    found = rows.get(key)
    return UNKNOWN if found is None else found.fields


class Rows(dict[str, Row]):
    """By key. Finding a bucket's share costs O(rows found + BUCKETS_MAX / buckets)."""

    def __init__(self) -> None:
        super().__init__()
        self._key_of: dict[bytes, str] = {}
        """By owner: two records may claim one key, and the later one has it."""
        self._by_bucket: dict[int, dict[str, None]] = {}

    def put(self, key: str, row: Row) -> None:
        """The row that its owner had before under another key has to be gone."""
        self[key], self._key_of[row.owner] = row, key
        self._by_bucket.setdefault(finest_bucket(key), {})[key] = None

    def owned(self, owner: bytes) -> str | None:
        """The key of the row that came with this record key, unless another record has claimed it since."""
        key = self._key_of.get(owner)
        return key if key is not None and key in self and self[key].owner == owner else None

    def pop_row(self, key: str) -> Row | None:
        """The row that was there."""
        found = self.pop(key, None)
        if found is not None:
            self._key_of.pop(found.owner, None)
            del self._by_bucket[finest_bucket(key)][key]
        return found

    def in_bucket(self, index: int, of: int) -> Iterator[tuple[str, Row]]:
        """Those whose key's hash falls into `index` modulo `of`."""
        for finest in range(index, BUCKETS_MAX, of):
            for key in self._by_bucket.get(finest, ()):
                yield key, self[key]

    def forget(self) -> None:
        self.clear()
        self._key_of.clear()
        self._by_bucket.clear()
