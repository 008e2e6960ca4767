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
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from penstock.connectors import sqlite_records as sql
from penstock.connectors.embedded_broker import RECORD_BYTES_MAX, EmbeddedBroker
from penstock.connectors.embedded_store import Fence, Marks, News, Page, Trim, Write
from penstock.connectors.membership import TERMS, Seats, Terms
from penstock.connectors.port import Layout, WallClock
from penstock.connectors.sqlite_file import explained, holds_anything, open_file, refuse_place
from penstock.connectors.sqlite_seats import attend, give_up
from penstock.operators.error import Fenced, Indefinite, PenstockError, StateRefused, Unreachable

BUSY_SECONDS = 5.0
POLL_SECONDS = 0.05

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
        self._path = path

    async def missing(self) -> list[str]:
        """As on any embedded broker; a file that is not there is not made."""
        if not holds_anything(self._path):
            refuse_place(self._path)
            return [*sorted(self._layout.read), *self._layout.own]
        return await super().missing()

    async def connect(self, topic: str) -> None:
        """As on any embedded broker; a file that is not there is not made."""
        if not holds_anything(self._path):
            raise Unreachable(
                "there is no such file, or nothing in it",
                where=str(self._path),
                remedy="`penstock run` and `penstock feed` create it",
            )
        await super().connect(topic)


@dataclass(slots=True, eq=False)
class _Append:
    """A plain write, and its offset or what went wrong with it."""

    write: Write
    outcome: int | BaseException | None = None


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
        self._waiting: dict[bool, list[_Append]] = {True: [], False: []}
        self._appending = asyncio.Lock()
        self._closed = False

    async def partitions(self, topic: str) -> int | None:
        return await self._run(lambda db: sql.partitions_of(db, topic))

    async def create_topic(self, topic: str, partitions: int) -> None:
        await self._run(lambda db: sql.create_topic(db, topic, partitions))

    async def read(self, topic: str, partition: int, start: int, limit: int, *, committed: bool = True) -> Page:
        """Nothing is ever there that is not committed."""
        return await self._run(lambda db: sql.read(db, topic, partition, start, limit))

    async def first_since(self, topic: str, partition: int, timestamp: int) -> int:
        return await self._run(lambda db: sql.first_since(db, topic, partition, timestamp))

    async def fence(self, task: str) -> Fence:
        return await self._run(lambda db: sql.raise_epoch(db, task))

    async def commit(
        self, fence: Fence, writes: Sequence[Write], trim: Trim | None = None, marks: Marks | None = None
    ) -> list[int]:
        """Any error, wherever it happens, leaves the outcome to the log: nothing is repeated here (protocol rule 3).

        A full disk and a damaged file are refusals: to open the task again would not help.
        """
        try:
            offsets = await self._run(lambda db: sql.commit(db, fence, writes, trim, marks))
        except (Fenced, StateRefused):
            raise
        except PenstockError as error:
            raise Indefinite(f"a commit failed: {error.what}", where=error.where, remedy=error.remedy) from error
        self.records.publish()
        return offsets

    async def marks(self, task: str) -> dict[str, bytes]:
        return await self._run(lambda db: sql.marks_of(db, task))

    async def append(self, write: Write, *, durable: bool = True) -> int:
        """Those that come while another one is under way share a transaction: the disk is waited for once."""
        mine = _Append(write)
        waiting = self._waiting[durable]
        waiting.append(mine)
        async with self._appending:
            if mine.outcome is None:
                batch = waiting.copy()
                waiting.clear()
                await self._append_all(batch, durable)
        if isinstance(mine.outcome, int):
            return mine.outcome
        raise Unreachable("a record may not have been written", where=str(self.path)) from mine.outcome

    async def _append_all(self, batch: list[_Append], durable: bool) -> None:
        try:
            offsets = await self._run(lambda db: sql.append_plain(db, [each.write for each in batch], durable=durable))
        except BaseException as error:
            for each in batch:
                each.outcome = error
            raise
        for each, offset in zip(batch, offsets, strict=True):
            each.outcome = offset
        self.records.publish()

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
