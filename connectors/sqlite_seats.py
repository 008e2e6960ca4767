"""The seats of a pipeline's members in a SQLite file, settled under its write lock."""

from __future__ import annotations

import sqlite3

from penstock.connectors.failpoint import failpoint
from penstock.connectors.lease import margin
from penstock.connectors.membership import Seat, Seats, Terms, alive, settle
from penstock.connectors.sqlite_file import writing

AGE_PER_MARGIN = 0.5
"""A heartbeat is written when it is so old; in between a member only looks, and counts its lease from that."""


def attend(db: sqlite3.Connection, group: str, member: str, partitions: int, now: int, terms: Terms) -> Seats:
    """Say that `member` is alive, settle the seats, and see them. Writes only if something is to be changed."""
    age_max = AGE_PER_MARGIN * 1000 * margin(terms.session / 1000)
    if 0 <= now - _heartbeats(db, group).get(member, -terms.session) < age_max:
        before = _seats(db, group)
        if before == _settled(db, group, partitions, now, terms):
            return before
    with writing(db):
        db.execute("INSERT OR REPLACE INTO member VALUES (?, ?, ?)", (group, member, now))
        after = _settled(db, group, partitions, now, terms)
        db.execute("DELETE FROM member WHERE pipeline = ? AND abs(? - heartbeat) >= ?", (group, now, terms.session))
        db.execute("DELETE FROM seat WHERE pipeline = ?", (group,))
        db.executemany("INSERT INTO seat VALUES (?, ?, ?, ?, ?)", [(group, at, *seat) for at, seat in after.items()])
        failpoint("sqlite_seats_written")
    return after


def give_up(db: sqlite3.Connection, group: str, member: str, partition: int | None) -> None:
    """Leave one seat to its heir; None: leave the group."""
    with writing(db):
        if partition is None:
            db.execute("DELETE FROM member WHERE pipeline = ? AND name = ?", (group, member))
        db.execute(
            "UPDATE seat SET owner = NULL WHERE pipeline = ? AND owner = ? AND ifnull(partition = ?, TRUE)",
            (group, member, partition),
        )


def _heartbeats(db: sqlite3.Connection, group: str) -> dict[str, int]:
    return dict(db.execute("SELECT name, heartbeat FROM member WHERE pipeline = ?", (group,)).fetchall())


def _seats(db: sqlite3.Connection, group: str) -> Seats:
    rows = db.execute("SELECT partition, owner, heir, until FROM seat WHERE pipeline = ? ORDER BY partition", (group,))
    return {number: Seat(owner, heir, until) for number, owner, heir, until in rows.fetchall()}


def _settled(db: sqlite3.Connection, group: str, partitions: int, now: int, terms: Terms) -> Seats:
    members = alive(_heartbeats(db, group), now, terms.session)
    return settle(_seats(db, group), members, partitions, now, terms.notice)
