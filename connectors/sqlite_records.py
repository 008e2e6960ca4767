"""Topics, records and epochs as statements of SQL. Each function is one transaction at most, in the thread of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from penstock.connectors.embedded_store import (
    Bounds,
    Fence,
    Marks,
    Page,
    Trim,
    Write,
    no_such_partition,
    other_partitions,
)
from penstock.connectors.failpoint import failpoint
from penstock.connectors.sqlite_file import writing
from penstock.operators.error import Fenced
from penstock.operators.record import Headers, Record

PAGE_BYTES_MAX = 4 << 20
_HEADERS = msgspec.msgpack.Decoder(Headers)


def partitions_of(db: sqlite3.Connection, topic: str) -> int | None:
    row = db.execute("SELECT partitions FROM topic WHERE name = ?", (topic,)).fetchone()
    return None if row is None else int(row[0])


def create_topic(db: sqlite3.Connection, topic: str, partitions: int) -> None:
    with writing(db):
        row = db.execute("SELECT partitions FROM topic WHERE name = ?", (topic,)).fetchone()
        if row is None:
            db.execute("INSERT INTO topic VALUES (?, ?)", (topic, partitions))
            numbers = [(topic, number) for number in range(partitions)]
            db.executemany("INSERT INTO partition (topic, number) VALUES (?, ?)", numbers)
        elif row[0] != partitions:
            raise other_partitions(topic, row[0], partitions)


def _find(db: sqlite3.Connection, topic: str, partition: int) -> tuple[int, int, int]:
    """Id of the partition, offset of its first record, offset of the next."""
    row: tuple[int, int, int] | None = db.execute(
        "SELECT id, start, next FROM partition WHERE topic = ? AND number = ?", (topic, partition)
    ).fetchone()
    if row is None:
        raise no_such_partition(topic, partition)
    return row


def read(db: sqlite3.Connection, topic: str, partition: int, start: int, limit: int) -> Page:
    number, first, end = _find(db, topic, partition)
    bounds = Bounds(first, end, end)
    if limit == 0 or start >= end:
        return Page([], start, bounds)
    rows = db.execute(
        "SELECT offset, timestamp, key, value, headers FROM record"
        " WHERE partition = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?",
        (number, start, end, limit),
    )
    records: list[Record] = []
    size = 0
    for offset, timestamp, key, value, headers in rows:
        decoded = () if headers is None else _HEADERS.decode(headers)
        records.append(Record(topic, partition, offset, timestamp, key, value, decoded))
        size += len(value or b"")
        if size >= PAGE_BYTES_MAX:
            break
    rows.close()  # an unfinished statement would hold its snapshot, and with it the WAL
    return Page(records, records[-1].offset + 1 if records else end, bounds)


def first_since(db: sqlite3.Connection, topic: str, partition: int, timestamp: int) -> int:
    number, _, end = _find(db, topic, partition)
    row = db.execute(
        "SELECT offset FROM record WHERE partition = ? AND timestamp >= ? ORDER BY offset LIMIT 1", (number, timestamp)
    ).fetchone()
    return end if row is None else int(row[0])


def raise_epoch(db: sqlite3.Connection, task: str) -> Fence:
    with writing(db):
        (epoch,) = db.execute(
            "INSERT INTO epoch VALUES (?, 1) ON CONFLICT (task) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (task,),
        ).fetchone()
        failpoint("sqlite_epoch_written")
    failpoint("sqlite_fenced")
    return Fence(task, epoch)


def commit(
    db: sqlite3.Connection, fence: Fence, writes: Sequence[Write], trim: Trim | None, marks: Marks | None
) -> list[int]:
    with writing(db):
        (epoch,) = db.execute("SELECT epoch FROM epoch WHERE task = ?", (fence.task,)).fetchone()
        if epoch != fence.epoch:
            raise Fenced("somebody else has opened this task since", where=fence.task)
        failpoint("sqlite_commit_begun")
        offsets = _append(db, writes)
        failpoint("sqlite_records_written")
        if trim is not None:
            number, _, _ = _find(db, trim.topic, trim.partition)
            db.execute("DELETE FROM record WHERE partition = ? AND offset < ?", (number, trim.before))
            db.execute("UPDATE partition SET start = max(start, ?) WHERE id = ?", (trim.before, number))
            failpoint("sqlite_log_trimmed")
        if marks is not None:
            _mark(db, fence.task, marks)
    failpoint("sqlite_committed")
    return offsets


def _mark(db: sqlite3.Connection, task: str, marks: Marks) -> None:
    db.executemany("DELETE FROM mark WHERE task = ? AND name = ?", [(task, name) for name in marks.drop])
    db.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", [(task, *mark) for mark in marks.put.items()])


def marks_of(db: sqlite3.Connection, task: str) -> dict[str, bytes]:
    return dict(db.execute("SELECT name, value FROM mark WHERE task = ? ORDER BY name", (task,)).fetchall())


def _append(db: sqlite3.Connection, writes: Sequence[Write]) -> list[int]:
    """Offsets come from the partition's own counter: trimming must never make one appear twice."""
    places = {place: _find(db, *place) for place in {(write.topic, write.partition) for write in writes}}
    following = {place: end for place, (_, _, end) in places.items()}
    offsets, rows = [], []
    for write in writes:
        place = write.topic, write.partition
        offset = following[place]
        following[place] += 1
        headers = msgspec.msgpack.encode(write.headers) if write.headers else None
        rows.append((places[place][0], offset, write.timestamp, write.key, write.value, headers))
        offsets.append(offset)
    db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", rows)
    counters = [(offset, places[place][0]) for place, offset in following.items()]
    db.executemany("UPDATE partition SET next = ? WHERE id = ?", counters)
    return offsets


def append_plain(db: sqlite3.Connection, writes: Sequence[Write], *, durable: bool) -> list[int]:
    """Outside of any task. What is not durable spares the wait for the disk, until the next commit that is."""
    if not durable:
        db.execute("PRAGMA synchronous=NORMAL")
    try:
        with writing(db):
            return _append(db, writes)
    finally:
        if not durable:
            db.execute("PRAGMA synchronous=FULL")
