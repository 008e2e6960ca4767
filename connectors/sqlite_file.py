"""The file of the SQLite broker: what it holds, how it is opened, and what its errors mean.

WAL with `synchronous=FULL`: a commit that returned survives a power cut. WAL needs memory shared by all processes that
have the file open, so network file systems are refused where the kernel says that it is one (Linux, /proc/mounts).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.operators.error import Damaged, PenstockError, Rejected, StateRefused, TooNew, Unanswered, Unreachable

SCHEMA = 1
APPLICATION_ID = 0x50535443
"""`PSTC` in the file's header: no other program's database is taken for ours."""
WAL_BYTES_MAX = 64 << 20

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "fuse.sshfs",
        "fuse.glusterfs",
    }
)

TABLES = """
CREATE TABLE topic (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partition (
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
  start INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number)
);
CREATE TABLE record (
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB,
  PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE TABLE epoch (task TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE member (
  pipeline TEXT NOT NULL, name TEXT NOT NULL, heartbeat INTEGER NOT NULL, PRIMARY KEY (pipeline, name)
) WITHOUT ROWID;
CREATE TABLE seat (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, owner TEXT, heir TEXT, until INTEGER NOT NULL,
  PRIMARY KEY (pipeline, partition)
) WITHOUT ROWID
"""

ADDED_TABLES = """
CREATE TABLE IF NOT EXISTS mark (
  task TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (task, name)
) WITHOUT ROWID
"""
"""What files of this schema may lack, because the version that made them had no use for it."""


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: the lock is taken first, so that what is read inside cannot change before it is written."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def open_file(path: Path, *, busy_seconds: float, file_bytes_max: int | None = None) -> sqlite3.Connection:
    """A connection to a file of ours, which is made if it is not there. Raises Unreachable, Rejected, TooNew, Damaged.

    `file_bytes_max` bounds the file as a full disk would. The connection may be used by any one thread at a time.
    """
    refuse_network_file_system(path)
    try:
        db = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            _set_up(db, path, file_bytes_max)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise explained(error, path) from error
    return db


def _set_up(db: sqlite3.Connection, path: Path, file_bytes_max: int | None) -> None:
    _refuse_foreign(db, path)
    (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise Unreachable("this file system cannot share memory between processes", where=str(path), remedy=ELSEWHERE)
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA journal_size_limit={WAL_BYTES_MAX}")
    if file_bytes_max is not None:
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA max_page_count={file_bytes_max // page_bytes}")
    with writing(db):
        if _pragma(db, "application_id") == 0:
            for table in TABLES.split(";"):
                db.execute(table)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={SCHEMA}")
        db.execute(ADDED_TABLES)


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Before anything is written. An empty file is welcome.

    All of it is read in one transaction: in between, another process may make the file ours.
    """
    db.execute("BEGIN")
    application, version = _pragma(db, "application_id"), _pragma(db, "user_version")
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    db.execute("COMMIT")
    if application != APPLICATION_ID and (application or tables):
        raise Rejected("this is a database of another program", where=str(path), remedy="name another file")
    if application == APPLICATION_ID and version > SCHEMA:
        raise TooNew(
            f"the file has schema {version}, this version of Penstock knows up to {SCHEMA}",
            where=str(path),
            remedy="run the version that wrote it, or a newer one",
        )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def explained(error: sqlite3.Error, path: Path) -> PenstockError:
    """What an error of SQLite means to whoever runs us. Not for errors of a commit: there the outcome is unknown, too."""
    code, where = _primary_code(error), str(path)
    match code:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Damaged(
                f"the file is damaged ({error})",
                where=where,
                remedy="restore it from a copy; `.recover` of sqlite3 may help",
            )
        case sqlite3.SQLITE_FULL:
            return StateRefused(
                "the disk is full, or the file may not grow", where=where,
                remedy="make room and start again; the file is intact, and everything committed is in it",
            )  # fmt: skip
        case sqlite3.SQLITE_BUSY:
            return Unanswered(
                "another process has held the lock for too long", where=where, remedy="end what else has the file open"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return Unreachable(
                f"the file cannot be opened for writing ({error})",
                where=where,
                remedy="check that its folder is there and ours",
            )
        case _:
            return Unreachable(f"SQLite failed ({error})", where=where, remedy="check the disk")


def _primary_code(error: sqlite3.Error) -> int:
    """Without what SQLite adds in the higher bits; 0 for an error of Python's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


ELSEWHERE = "put the file on a local disk"
MOUNTS = Path("/proc/mounts")


def refuse_network_file_system(path: Path, mounts: Path = MOUNTS) -> None:
    """Locks and shared memory of WAL do not reach over a network. Raises Unreachable; says nothing where it cannot tell."""
    kind = file_system_of(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Unreachable(f"the file lies on a network file system ({kind})", where=str(path), remedy=ELSEWHERE)


def holds_anything(path: Path) -> bool:
    """False for a file that is not there, or empty: opening it would make one of ours."""
    return path.exists() and path.stat().st_size > 0


def refuse_place(path: Path) -> None:
    """Raises Unreachable where no file can be made."""
    refuse_network_file_system(path)
    if not os.access(path.parent, os.W_OK):
        raise Unreachable("no file can be made here", where=str(path), remedy="check that its folder is there and ours")


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Type of the file system that `path` lies on or would lie on; None if the machine does not say."""
    if not mounts.exists():
        return None
    place, found, longest = path.resolve(), None, -1
    for line in mounts.read_text(errors="replace").splitlines():
        _, mounted_at, kind, *_ = line.split(" ")
        folder = Path(mounted_at.replace(r"\040", " "))
        if place.is_relative_to(folder) and len(folder.parts) >= longest:
            found, longest = kind, len(folder.parts)
    return found
