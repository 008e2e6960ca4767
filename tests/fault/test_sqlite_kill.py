"""Processes on one file are killed, fence each other, and find damage: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.fault.sqlite_worker import LAYOUT, TASK, Copier, started

from penstock.connectors.clock import MachineClock
from penstock.connectors.sqlite import SqliteBroker
from penstock.operators.error import Damaged, PenstockError
from penstock.state.delta import Delta

KILLS = 24
START_SECONDS_MAX = 10.0
RECORDS = 100_000
"""More than can be copied before the last kill."""
WORKER = Path(__file__).with_name("sqlite_worker.py")


async def produce(path: Path, count: int) -> None:
    """Many at once, by the back door: one commit each would take a minute."""
    broker = SqliteBroker(path, LAYOUT, "producer", MachineClock())
    await broker.create_topic("in", 1)
    await broker.start()
    await broker.close()
    with closing(sqlite3.connect(path)) as db, db:
        (number,) = db.execute("SELECT id FROM partition WHERE topic = 'in'").fetchone()
        rows = ((number, offset, 1_000 + offset, b"k", b"%d" % offset) for offset in range(count))
        db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, NULL)", rows)
        db.execute("UPDATE partition SET next = ? WHERE id = ?", (count, number))


class Pair:
    """Two workers that both believe that the task is theirs."""

    def __init__(self, path: Path, said: Path) -> None:
        self._path, self._said, self._started = path, said, 0
        self._numbers = [0, 0]
        self.running = [self._start(0), self._start(1)]

    def _start(self, which: int) -> subprocess.Popen[bytes]:
        self._started += 1
        self._numbers[which] = self._started
        command = [sys.executable, str(WORKER), str(self._path), str(self._started), str(RECORDS)]
        with self._said.open("ab") as said:
            return subprocess.Popen(command, stdout=said, stderr=said)

    def replace(self, which: int) -> None:
        """SIGKILL one, and start another in its place."""
        assert self.running[which].poll() is None, self._said.read_text()
        self._end(which)
        self.running[which] = self._start(which)

    def wait_until_at_work(self) -> None:
        """Until both have connected: on a machine that is busy that takes longer than the time between two kills."""
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and not self._both_started():
            time.sleep(0.01)

    def _both_started(self) -> bool:
        said = self._said.read_text().splitlines()
        return all(started(number) in said for number in self._numbers)

    def _end(self, which: int) -> None:
        self.running[which].kill()
        self.running[which].wait()

    def end(self) -> None:
        for which in range(len(self.running)):
            self._end(which)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.db"


@pytest.fixture
def pair(path: Path, tmp_path: Path) -> Iterator[Pair]:
    asyncio.run(produce(path, RECORDS))
    workers = Pair(path, tmp_path / "said.txt")
    yield workers
    workers.end()


@pytest.mark.timeout(120)
def test_killed_and_fighting_workers_lose_nothing_and_do_nothing_twice(pair: Pair, path: Path, tmp_path: Path) -> None:
    chance = random.Random(20)
    for number in range(KILLS):
        if number % 4:  # every fourth may be killed before it is at work
            pair.wait_until_at_work()
        time.sleep(chance.uniform(0.05, 0.45))  # the moment of the kill is the random input of this test
        pair.replace(chance.randrange(2))
    pair.end()
    incarnation, copied = asyncio.run(check(path))
    assert incarnation > 10
    assert 100 < copied < RECORDS
    assert "Fenced" in (tmp_path / "said.txt").read_text()


async def check(path: Path) -> tuple[int, int]:
    """Restoring refuses holes in seq by itself; the outputs must be the first so many inputs, each once."""
    broker = SqliteBroker(path, LAYOUT, "judge", MachineClock())
    await broker.start()
    copier = Copier(await broker.open(TASK))
    await copier.open()
    values = [raw.value async for raw in broker.read("out", 0, 0)]
    assert values == [b"%d" % offset for offset in range(copier.count)]
    assert copier.position is not None
    assert copier.position.offset == copier.count
    first = await anext(broker.read(LAYOUT.log, 0, 0))
    assert first.offset > 0, "the log was never trimmed"
    await broker.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return copier.log.incarnation, copier.count


async def filled(path: Path) -> None:
    await produce(path, 500)
    broker = SqliteBroker(path, LAYOUT, "worker", MachineClock())
    await broker.start()
    copier = Copier(await broker.open(TASK))
    await copier.open()
    while copier.count < 500:
        await copier.copy(50)
    await broker.close()


async def read_all(path: Path) -> tuple[list[Delta], list[bytes | None]]:
    broker = SqliteBroker(path, LAYOUT, "reader", MachineClock())
    try:
        await broker.start()
        log = await broker.open(TASK)
        deltas = [entry async for entry, _ in log.restored() if isinstance(entry, Delta)]
        return deltas, [raw.value async for raw in broker.read("out", 0, 0)]
    finally:
        await broker.close()


def overwritten(path: Path, sound: bytes, start: int, size: int) -> None:
    """The file as it was, but for one page; what SQLite keeps beside it is gone."""
    for beside in ("-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    path.write_bytes(sound[:start] + b"\xaa" * size + sound[start + size :])


def test_a_page_that_was_overwritten_is_refused_or_holds_nothing_of_ours(path: Path) -> None:
    asyncio.run(filled(path))
    expected = asyncio.run(read_all(path))
    sound = path.read_bytes()
    page_bytes = int.from_bytes(sound[16:18], "big")
    refusals: list[PenstockError] = []
    for start in range(0, len(sound), page_bytes):
        overwritten(path, sound, start, page_bytes)
        try:
            found = asyncio.run(read_all(path))
        except PenstockError as error:
            refusals.append(error)
        else:
            assert found == expected
    assert all(str(path) in str(error) or LAYOUT.log in str(error) for error in refusals)
    assert sum(isinstance(error, Damaged) for error in refusals) > 3
