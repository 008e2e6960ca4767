"""Topics in one SQLite file, for laptops, demos and small installations. Several processes may share it.

Every statement runs in one thread of this broker's own: the event loop never waits for the disk, and there is no
connection to share. Reads hold no snapshot longer than a page takes. What other processes write is noticed by asking
`PRAGMA data_version`, which costs a microsecond.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.connectors.embedded_broker import RECORD_BYTES_MAX, EmbeddedBroker
from penstock.connectors.embedded_store import (
    Bounds,
    Fence,
    News,
    Page,
    Trim,
    Write,
    no_such_partition,
    other_partitions,
)
from penstock.connectors.membership import TERMS, Seats, Terms
from penstock.connectors.port import Layout, WallClock
from penstock.connectors.sqlite_file import explained, open_file, writing
from penstock.connectors.sqlite_seats import attend, give_up
from penstock.operators.error import Fenced, Indefinite, PenstockError, StateRefused, Unreachable
from penstock.operators.record import Headers, Record

BUSY_SECONDS = 5.0
POLL_SECONDS = 0.05
PAGE_BYTES_MAX = 4 << 20

_HEADERS = msgspec.msgpack.Decoder(Headers)
T = TypeVar("T")


class SqliteBroker(EmbeddedBroker):
    """One process on the topics of one file.

    `member` names the process. `record_bytes_max` bounds one output, `file_bytes_max` the whole file.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        member: str,
        clock: WallClock,
        *,
        terms: Terms = TERMS,
        record_bytes_max: int = RECORD_BYTES_MAX,
        file_bytes_max: int | None = None,
    ) -> None:
        store = SqliteStore(path, clock, file_bytes_max=file_bytes_max)
        super().__init__(store, layout, member, clock, terms=terms, record_bytes_max=record_bytes_max)


class SqliteStore:
    """`Store` in a file, which is opened with the first use. `busy_seconds`: how long others may hold its lock."""

    def __init__(
        self,
        path: Path,
        clock: WallClock,
        *,
        busy_seconds: float = BUSY_SECONDS,
        file_bytes_max: int | None = None,
    ) -> None:
        self.path, self._clock = path, clock
        self._busy_seconds, self._file_bytes_max = busy_seconds, file_bytes_max
        self.records: News = _PolledNews(self._poll)
        self.seats = News()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._db: sqlite3.Connection | None = None
        self._data_version = 0
        self._closed = False

    async def partitions(self, topic: str) -> int | None:
        def look(db: sqlite3.Connection) -> int | None:
            row = db.execute("SELECT partitions FROM topic WHERE name = ?", (topic,)).fetchone()
            return None if row is None else int(row[0])

        return await self._run(look)

    async def create_topic(self, topic: str, partitions: int) -> None:
        await self._run(lambda db: _create_topic(db, topic, partitions))

    async def read(self, topic: str, partition: int, start: int, limit: int, *, committed: bool = True) -> Page:
        """Nothing is ever there that is not committed."""
        return await self._run(lambda db: _read(db, topic, partition, start, limit))

    async def first_since(self, topic: str, partition: int, timestamp: int) -> int:
        return await self._run(lambda db: _first_since(db, topic, partition, timestamp))

    async def fence(self, task: str) -> Fence:
        return await self._run(lambda db: _raise_epoch(db, task))

    async def commit(self, fence: Fence, writes: Sequence[Write], trim: Trim | None) -> list[int]:
        """Any error, wherever it happens, leaves the outcome to the log: nothing is repeated here (protocol rule 3).

        A full disk and a damaged file are refusals: to open the task again would not help.
        """
        try:
            offsets = await self._run(lambda db: _commit(db, fence, writes, trim))
        except (Fenced, StateRefused):
            raise
        except PenstockError as error:
            raise Indefinite(f"a commit failed: {error.what}", where=error.where, remedy=error.remedy) from error
        self.records.publish()
        return offsets

    async def append(self, write: Write, *, durable: bool = True) -> int:
        offset = await self._run(lambda db: _append_plain(db, write, durable=durable))
        self.records.publish()
        return offset

    async def attend(self, group: str, member: str, partitions: int, terms: Terms) -> Seats:
        now = self._clock.now()
        return await self._run(lambda db: attend(db, group, member, partitions, now, terms))

    async def give_up(self, group: str, member: str, partition: int | None = None) -> None:
        await self._run(lambda db: give_up(db, group, member, partition))
        self.seats.publish()

    async def close(self) -> None:
        """What is still to be done in the thread is done before."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close_file)
            self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise Unreachable("this broker was closed", where=str(self.path))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = open_file(self.path, busy_seconds=self._busy_seconds, file_bytes_max=self._file_bytes_max)
        try:
            return work(self._db)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _close_file(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):  # the file stays as it is; whoever opens it next takes in the WAL
                self._db.close()
            self._db = None

    async def _poll(self) -> bool:
        """Whether another process has written since the last time."""
        (version,) = await self._run(lambda db: db.execute("PRAGMA data_version").fetchone())
        before, self._data_version = self._data_version, version
        return bool(version != before)


class _PolledNews(News):
    """News that nobody brings: it has to be asked for."""

    def __init__(self, poll: Callable[[], Awaitable[bool]]) -> None:
        super().__init__()
        self._poll = poll

    async def wait(self, known: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.version == known and (left := deadline - loop.time()) > 0:
            await super().wait(known, min(POLL_SECONDS, left))
            if self.version == known and await self._poll():
                self.publish()


def _create_topic(db: sqlite3.Connection, topic: str, partitions: int) -> None:
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


def _read(db: sqlite3.Connection, topic: str, partition: int, start: int, limit: int) -> Page:
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


def _first_since(db: sqlite3.Connection, topic: str, partition: int, timestamp: int) -> int:
    number, _, end = _find(db, topic, partition)
    row = db.execute(
        "SELECT offset FROM record WHERE partition = ? AND timestamp >= ? ORDER BY offset LIMIT 1", (number, timestamp)
    ).fetchone()
    return end if row is None else int(row[0])


def _raise_epoch(db: sqlite3.Connection, task: str) -> Fence:
    with writing(db):
        (epoch,) = db.execute(
            "INSERT INTO epoch VALUES (?, 1) ON CONFLICT (task) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (task,),
        ).fetchone()
    return Fence(task, epoch)


def _commit(db: sqlite3.Connection, fence: Fence, writes: Sequence[Write], trim: Trim | None) -> list[int]:
    with writing(db):
        (epoch,) = db.execute("SELECT epoch FROM epoch WHERE task = ?", (fence.task,)).fetchone()
        if epoch != fence.epoch:
            raise Fenced("somebody else has opened this task since", where=fence.task)
        offsets = _append(db, writes)
        if trim is not None:
            number, _, _ = _find(db, trim.topic, trim.partition)
            db.execute("DELETE FROM record WHERE partition = ? AND offset < ?", (number, trim.before))
            db.execute("UPDATE partition SET start = max(start, ?) WHERE id = ?", (trim.before, number))
    return offsets


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


def _append_plain(db: sqlite3.Connection, write: Write, *, durable: bool) -> int:
    if not durable:
        db.execute("PRAGMA synchronous=NORMAL")
    try:
        with writing(db):
            return _append(db, [write])[0]
    finally:
        if not durable:
            db.execute("PRAGMA synchronous=FULL")
